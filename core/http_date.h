/* http_date.h: the value of the Date field (RFC 9110, 6.6.1), made once a second. */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

const char *http_date(void);

#endif

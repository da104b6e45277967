/* http_date.c: see http_date.h. */
#include "http_date.h"

#include <time.h>

#include "proc.h"
#include "timer.h"

const char *http_date(void)
{
    struct date *date = &proc->date;
    if (date->text[0] != '\0' && now_ms() < date->until_ms)
        return date->text;
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm) == NULL || strftime(date->text, sizeof(date->text), "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
        date->text[0] = '\0';
    date->until_ms = now_ms() + 1000;
    return date->text;
}

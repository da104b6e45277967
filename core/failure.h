/* failure.h: the table of what a client gets when things go wrong: one row a reason, one place for status, code and word. */
#ifndef FAILURE_H
#define FAILURE_H

#include <weir/exchange.h>
#include <weir/message.h>

/* The failure of a reason with a text for people; the text is borrowed. */
weir_failure_t failure_of(weir_reason_t reason, weir_slice_t text);

/* The word that logs, counters and data.reason use; never NULL ("" for WEIR_REASON_NONE). */
const char *failure_word(weir_reason_t reason);

#endif

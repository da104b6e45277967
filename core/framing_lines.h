/* framing_lines.h: the framing that the host offers: one message a line. */
#ifndef FRAMING_LINES_H
#define FRAMING_LINES_H

#include <weir/framing.h>

extern const weir_framing_t framing_lines;

#endif

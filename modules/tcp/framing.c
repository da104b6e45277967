/* framing.c: how messages are told apart in a stream, by name; see framing_t. */
#include "tcp.h"

const char *const framing_names[] = {
    [FRAMING_NDJSON] = "ndjson", [FRAMING_LENGTH] = "length", [FRAMING_MUX] = "mux", NULL};

const weir_framing_t *framing_of(const weir_host_t *host, int framing)
{
    return framing == FRAMING_LENGTH ? &length_framing : host->framing_lines;
}

uint32_t framing_link_modules(int framing, const char **why_not)
{
    *why_not = "framing: ndjson has no frames to gather or pack; use framing: length or mux on both ends";
    return framing != FRAMING_NDJSON ? WEIR_LINK_GATHERS | WEIR_LINK_PACKS : 0;
}

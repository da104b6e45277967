/* places.h: an envelope on its way to another process: its parts as places in the message that travels beside it, so that whoever
 * gets both has nothing to scan again.
 */
#ifndef PLACES_H
#define PLACES_H

#include <weir/message.h>

#define PLACES 12

typedef struct places {
    struct {
        uint32_t at; /* 0: the part is absent; otherwise where it begins, from 1 on */
        uint32_t n;
    } parts[PLACES];
    int32_t error_code;
    uint8_t kind;
    bool is_method_escaped, is_name_escaped, has_newline;
} places_t;

/* False when a part stands elsewhere than in `bytes`: then whoever gets the message has to scan it. */
bool places_of(const weir_envelope_t *envelope, weir_slice_t bytes, places_t *places);

/* False when they are no places of a message as long as `bytes`. */
bool places_read(const places_t *places, weir_slice_t bytes, weir_envelope_t *envelope);

#endif

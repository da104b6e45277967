/* coding.c: see coding.h. Names no coding. */
#include "coding.h"

#include <stdlib.h>

#include "buf.h"
#include "codec.h"
#include "lane.h"
#include "stats.h"

/* What an encoder may hold back before it writes: so much is lost when it is cut off, and so much room its output needs. */
#define HELD_BYTES (64u << 10)

#define WEIGHT_ONE 1000 /* q=1, in thousandths */
#define WEIGHT_NONE (-1)

struct weir_encoder {
    lane_chain_t *chain; /* that offers its coding */
    codec_context_t *context;
    size_t held; /* given since the last flush */
    uint32_t pieces;
};

/* ---- names ---- */

const weir_codings_t *coding_offers(const lane_chain_t *chain)
{
    return chain->codings.count == 0 ? NULL : &chain->codings;
}

/* RFC 9110 8.4.1: the names that began with x- when they were new mean the same. */
static bool is_coding(weir_slice_t name, weir_slice_t coding)
{
    if (coding.n == 0)
        return false;
    if (name.n > 2 && weir_slice_ieq(weir_slice(name.p, 2), WEIR_LIT("x-")) &&
        weir_slice_ieq(weir_slice(name.p + 2, name.n - 2), coding))
        return true;
    return weir_slice_ieq(name, coding);
}

const weir_codec_t *coding_of(weir_slice_t name)
{
    const weir_codec_t *codec;
    for (uint32_t i = 0; (codec = codec_at(i)) != NULL; i++)
        if (is_coding(name, codec->coding))
            return codec;
    return NULL;
}

size_t coding_names(char *p, size_t n)
{
    const weir_codec_t *codec;
    size_t at = 0;
    for (uint32_t i = 0; (codec = codec_at(i)) != NULL; i++) {
        size_t comma = at > 0 ? 2 : 0;
        if (codec->coding.n == 0 || codec->coding.n + comma > n - at)
            continue;
        memcpy(p + at, ", ", comma);
        memcpy(p + at + comma, codec->coding.p, codec->coding.n);
        at += comma + codec->coding.n;
    }
    return at;
}

/* ---- what a peer takes ---- */

/* "0.5" in thousandths (RFC 9110 12.4.2); WEIGHT_NONE: it is no weight. */
static int weight_read(weir_slice_t text)
{
    if (text.n == 0 || text.n > 5 || (text.p[0] != '0' && text.p[0] != '1') || (text.n > 1 && text.p[1] != '.'))
        return WEIGHT_NONE;
    int weight = text.p[0] == '1' ? WEIGHT_ONE : 0;
    for (size_t i = 2, unit = 100; i < text.n; i++, unit /= 10) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return WEIGHT_NONE;
        weight += (text.p[i] - '0') * (int)unit;
    }
    return weight > WEIGHT_ONE ? WEIGHT_NONE : weight;
}

/* Take "gzip;q=0.5" apart. What cannot be understood says nothing. */
static int element_read(weir_slice_t element, weir_slice_t *name)
{
    const char *semicolon = element.n == 0 ? NULL : memchr(element.p, ';', element.n);
    *name = element;
    if (semicolon == NULL)
        return WEIGHT_ONE;
    *name = weir_slice_trim(weir_slice(element.p, (size_t)(semicolon - element.p)));
    size_t n = (size_t)(element.p + element.n - semicolon) - 1;
    weir_slice_t weight = weir_slice_trim(weir_slice(semicolon + 1, n));
    if (weight.n < 2 || weir_lower(weight.p[0]) != 'q' || weight.p[1] != '=')
        return WEIGHT_NONE;
    return weight_read(weir_slice(weight.p + 2, weight.n - 2));
}

/* What one list says of a coding: by its name, or by "*". */
typedef struct said {
    int named, any;
} said_t;

static void list_say(weir_slice_t list, weir_slice_t coding, said_t *said)
{
    while (list.n > 0) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma == NULL ? list.n : (size_t)(comma - list.p);
        weir_slice_t name;
        int weight = element_read(weir_slice_trim(weir_slice(list.p, n)), &name);
        if (weight != WEIGHT_NONE && is_coding(name, coding))
            said->named = weight;
        else if (weight != WEIGHT_NONE && weir_slice_eq(name, WEIR_LIT("*")))
            said->any = weight;
        n += comma != NULL;
        list = weir_slice(list.p + n, list.n - n);
    }
}

/* Thousandths, or WEIGHT_NONE when nothing is said of it. */
static int weight_of(const weir_head_t *head, weir_slice_t coding)
{
    said_t said = {WEIGHT_NONE, WEIGHT_NONE};
    if (head == NULL || head->known[WEIR_FIELD_ACCEPT_ENCODING] < 0)
        return WEIGHT_NONE;
    for (uint16_t i = (uint16_t)head->known[WEIR_FIELD_ACCEPT_ENCODING]; i < head->nfields; i++)
        if (head->fields[i].id == WEIR_FIELD_ACCEPT_ENCODING)
            list_say(head->fields[i].value, coding, &said);
    return said.named != WEIGHT_NONE ? said.named : said.any;
}

/* Who says nothing at all takes anything. */
bool coding_is_taken(const weir_head_t *head, weir_slice_t name)
{
    return head == NULL || head->known[WEIR_FIELD_ACCEPT_ENCODING] < 0 || weight_of(head, name) > 0;
}

/* Who says nothing gets a body as it is: many who do not unpack one do not say so. That a body as it is weighs less than any coding
 * that is named, unless it is named itself, is RFC 9110 12.5.3. */
const weir_coding_t *coding_choose(const weir_codings_t *codings, const weir_head_t *head, bool *is_needed)
{
    const weir_coding_t *best = NULL;
    int plain = weight_of(head, WEIR_LIT("identity")), weight = 0;
    for (uint32_t i = 0; i < codings->count; i++) {
        int of_this = weight_of(head, codings->items[i].codec->coding);
        if (of_this > weight) {
            best = &codings->items[i];
            weight = of_this;
        }
    }
    *is_needed = plain == 0 && best != NULL;
    return plain > weight ? NULL : best;
}

/* ---- bodies on their way out ---- */

/* The chain that these are in: what an encoder counts is counted there. */
static lane_chain_t *chain_of(const weir_codings_t *codings)
{
    return WEIR_CONTAINER(codings, lane_chain_t, codings);
}

weir_encoder_t *encoder_new(const weir_codings_t *codings, const weir_coding_t *coding, bool is_stream)
{
    lane_chain_t *chain = chain_of(codings);
    if (chain->open_bodies >= codings->max_open)
        return NULL;
    weir_encoder_t *e = malloc(sizeof(*e));
    if (e == NULL)
        return NULL;
    *e = (weir_encoder_t){.chain = chain};
    e->context = codec_take(coding->codec, is_stream ? CODEC_PACKS_SMALL : CODEC_PACKS, coding->level, NULL);
    chain->open_bodies++;
    if (e->context != NULL && coding->codec->pack_begin(e->context->context, 0) == WEIR_OK) {
        chain->stats->payloads_out++;
        chain->stats->packed++;
        return e;
    }
    encoder_free(e);
    return NULL;
}

void encoder_free(weir_encoder_t *e)
{
    if (e == NULL)
        return;
    e->chain->open_bodies--;
    codec_give(e->context);
    free(e);
}

/* One piece after the other; what is wanted of them all is said with the last one. */
static long encode_pieces(weir_encoder_t *e, const weir_chunk_t *chunks, size_t n, weir_pack_t how, weir_buf_t *buf)
{
    const weir_codec_t *codec = e->context->codec;
    size_t at = 0;
    for (size_t i = 0; i < n || (i == 0 && how != WEIR_PACK_MORE); i++) {
        weir_slice_t piece = n == 0 ? weir_slice("", 0) : chunks[i].bytes;
        long wrote =
            codec->pack(e->context->context, piece, i + 1 < n ? WEIR_PACK_MORE : how, buf->data + at, buf->size - at);
        if (wrote < 0)
            return wrote;
        at += (size_t)wrote;
    }
    return (long)at;
}

int encode(weir_encoder_t *e, const weir_chunk_t *chunks, size_t n, weir_pack_t how, weir_chunk_t *out)
{
    size_t bytes = 0;
    *out = (weir_chunk_t){.buf = NULL};
    for (size_t i = 0; i < n; i++)
        bytes += chunks[i].bytes.n;
    e->held += bytes;
    e->pieces += (uint32_t)n;
    if (how == WEIR_PACK_MORE && (e->held > HELD_BYTES || e->pieces + WEIR_ENCODE_CHUNKS > WEIR_PACK_PIECES))
        how = WEIR_PACK_FLUSH;
    weir_buf_t *buf = buf_new(e->context->codec->packed_bound(e->held));
    long wrote = buf == NULL ? WEIR_EFAIL : encode_pieces(e, chunks, n, how, buf);
    if (how != WEIR_PACK_MORE)
        e->held = e->pieces = 0;
    if (wrote <= 0)
        buf_unref(buf);
    else
        *out = (weir_chunk_t){weir_slice(buf->data, (size_t)wrote), buf};
    e->chain->stats->bytes_joined += bytes;
    e->chain->stats->bytes_sent += out->bytes.n;
    return wrote < 0 ? WEIR_EFAIL : WEIR_OK;
}

/* ---- bodies that come ---- */

int decode(const weir_codings_t *codings, const weir_codec_t *codec, weir_slice_t body, uint64_t limit,
           weir_chunk_t *out, weir_error_t *err)
{
    int rc = codec_expand(codec, body, limit, out, err);
    if (codings == NULL)
        return rc;
    struct stats_lanes *stats = chain_of(codings)->stats;
    stats->payloads_in++;
    stats->bytes_read += body.n;
    if (rc == WEIR_OK)
        stats->bytes_expanded += out->bytes.n;
    else
        stats->broken++;
    return rc;
}

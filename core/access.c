/* access.c: see access.h. A line is put together by hand in the process's buffer: this runs once per exchange.
 *
 * The buffer has room for one line more than it is asked to hold, and every text of a line is clipped, so that a line always
 * fits and nothing is checked while it is written. Only whole lines are written, with one write(2) to an O_APPEND file, so
 * that the lines of several workers do not mix.
 */
#include "access.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "decimal.h"
#include "jscan.h"
#include "log.h"
#include "proc.h"
#include "timer.h"

/* A text is cut at TEXT_MAX bytes, each of which becomes 6 at most. FIXED_MAX is for what stands around the texts. */
#define TEXTS 9
#define TEXT_MAX 256u
#define FIXED_MAX 512u
#define LINE_ROOM (TEXTS * TEXT_MAX * 6 + FIXED_MAX)

#define TRACE_ID_AT 3
#define TRACE_ID_SIZE 32
#define TRACEPARENT_MIN 55

struct access {
    const char *file; /* the configuration's */
    int fd;
    char *buffer;
    size_t used, limit;
    weir_timeouts_t *flushes;
    weir_timer_t flush;
    uint64_t lines, lost; /* in the buffer; not written since writing began to fail */
    bool is_torn;         /* the file ends in the middle of a line */
    time_t second;        /* that `time` was made for */
    uint64_t stamp_ms;    /* loop time at which it was looked at */
    char time[24];        /* 2026-11-24T01:50:00.123Z, no NUL */
};

/* Nonblocking means nothing to a file; a pipe whose reader sleeps must not stop the loop. */
static int open_file(const char *file, weir_error_t *err)
{
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0)
        return weir_error(err, "cannot open the access log %s: %s", file,
                          errno == ENOENT ? "there is no such folder" : strerror(errno));
    return fd;
}

static void on_flush(void *arg)
{
    access_flush(arg);
}

struct access *access_open(const config_t *config, weir_error_t *err)
{
    if (config->access_file == NULL)
        return NULL;
    struct access *access = calloc(1, sizeof(*access));
    char *buffer = malloc(config->access_buffer + LINE_ROOM);
    weir_timeouts_t *flushes = timers_get(config->access_flush_ms);
    bool has_memory = access != NULL && buffer != NULL && flushes != NULL;
    int fd = has_memory ? open_file(config->access_file, err) : weir_error(err, "no memory for the access log");
    if (fd < 0) {
        free(access);
        free(buffer);
        return NULL;
    }
    access->file = config->access_file;
    access->fd = fd;
    access->buffer = buffer;
    access->limit = config->access_buffer;
    access->flushes = flushes;
    access->flush = (weir_timer_t){.fire = on_flush, .arg = access};
    return access;
}

void access_close(struct access *access)
{
    if (access == NULL)
        return;
    access_flush(access);
    close(access->fd);
    free(access->buffer);
    free(access);
}

int access_reopen(struct access *access, weir_error_t *err)
{
    access_flush(access);
    int fd = open_file(access->file, err);
    if (fd < 0)
        return WEIR_EFAIL;
    close(access->fd);
    access->fd = fd;
    access->is_torn = false;
    return WEIR_OK;
}

/* Told when writing begins to fail and when it works again, not for every line in between. */
static void flush_failed(struct access *access, ssize_t written)
{
    if (access->lost == 0)
        log_write(WEIR_LOG_ERROR, "access log: cannot write to %s: %s; lines are lost until it can be written again",
                  access->file, written < 0 ? strerror(errno) : "only a part was taken");
    access->lost += access->lines;
    access->is_torn = access->is_torn || written > 0;
}

static void flush_succeeded(struct access *access)
{
    if (access->lost > 0)
        log_write(WEIR_LOG_NOTICE, "access log: %s can be written again; %llu lines were lost", access->file,
                  (unsigned long long)access->lost);
    access->lost = 0;
    access->is_torn = false;
}

void access_flush(struct access *access)
{
    timer_stop(&access->flush);
    if (access->lines == 0)
        return;
    ssize_t written;
    do
        written = write(access->fd, access->buffer, access->used);
    while (written < 0 && errno == EINTR);
    if (written == (ssize_t)access->used)
        flush_succeeded(access);
    else
        flush_failed(access, written);
    access->used = 0;
    access->lines = 0;
}

/* --- the parts of a line: each writes at `p` and returns where the next one begins --- */

static char *put_slice(char *p, weir_slice_t s)
{
    memcpy(p, s.p, s.n);
    return p + s.n;
}

#define PUT(p, literal) put_slice(p, WEIR_LIT(literal))

static char *put_number(char *p, uint64_t value)
{
    char room[DECIMAL_MAX];
    return put_slice(p, decimal(room, value));
}

static void put_digits(char *p, int n, int value)
{
    for (; n > 0; value /= 10)
        p[--n] = (char)('0' + value % 10);
}

static void stamp_second(struct access *access, time_t second)
{
    struct tm tm;
    if (gmtime_r(&second, &tm) == NULL)
        return;
    memcpy(access->time, "0000-00-00T00:00:00.000Z", sizeof(access->time));
    put_digits(access->time, 4, tm.tm_year + 1900);
    put_digits(access->time + 5, 2, tm.tm_mon + 1);
    put_digits(access->time + 8, 2, tm.tm_mday);
    put_digits(access->time + 11, 2, tm.tm_hour);
    put_digits(access->time + 14, 2, tm.tm_min);
    put_digits(access->time + 17, 2, tm.tm_sec);
    access->second = second;
}

/* The clock is asked once per turn of the loop, and the calendar once a second. */
static char *put_time(char *p, struct access *access)
{
    if (access->stamp_ms != now_ms() || access->second == 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (now.tv_sec != access->second)
            stamp_second(access, now.tv_sec);
        put_digits(access->time + 20, 3, (int)(now.tv_nsec / 1000000));
        access->stamp_ms = now_ms();
    }
    return put_slice(p, weir_slice(access->time, sizeof(access->time)));
}

/* Length of the UTF-8 sequence that begins a text (RFC 3629), 0 when it is broken or cut. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    size_t want = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (want == 0 || n < want)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool is_bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
                  (p[0] == 0xf4 && p[1] > 0x8f);
    return is_bad ? 0 : want;
}

/* The value of "\uXXXX" at the beginning of a text, -1 when there is none. */
static int unicode_escape(const char *p, size_t n)
{
    if (n < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    int value = 0;
    for (int i = 2; i < 6; i++) {
        char c = weir_lower(p[i]);
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* Length of the JSON escape that begins a text, 0 when it is broken or cut; half of a surrogate pair counts as broken. */
static size_t escape_length(const char *p, size_t n)
{
    if (n < 2)
        return 0;
    if (p[1] != 'u')
        return strchr("\"\\/bfnrt", p[1]) != NULL && p[1] != '\0' ? 2 : 0;
    int value = unicode_escape(p, n);
    if (value < 0 || (value >= 0xdc00 && value <= 0xdfff))
        return 0;
    if (value < 0xd800 || value > 0xdfff)
        return 6;
    int low = unicode_escape(p + 6, n - 6);
    return low >= 0xdc00 && low <= 0xdfff ? 12 : 0;
}

/* What cannot stand in a JSON string as it is: control characters, quotes, lone backslashes, broken UTF-8. */
static char *put_odd(char *p, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    if (c >= 0x80)
        return PUT(p, "\\ufffd");
    if (c >= 0x20) {
        *p++ = '\\';
        *p++ = (char)c;
        return p;
    }
    p = PUT(p, "\\u00");
    *p++ = hex[c >> 4];
    *p++ = hex[c & 15];
    return p;
}

/* What is not plain: as it is when it may stand in a JSON string, and otherwise what stands for it. Returns how much was taken. */
static size_t put_special(char **p, const char *text, size_t n, bool is_escaped)
{
    unsigned char c = (unsigned char)*text;
    size_t whole = c >= 0x80                 ? utf8_length((const unsigned char *)text, n)
                   : c == '\\' && is_escaped ? escape_length(text, n)
                                             : 0;
    *p = whole > 0 ? put_slice(*p, weir_slice(text, whole)) : put_odd(*p, c);
    return whole > 0 ? whole : 1;
}

/* The inside of a JSON string. `is_escaped`: the text stood between a client's JSON quotes, where it may have been cut anywhere;
 * its escapes stay as they are. */
static char *put_text(char *p, weir_slice_t text, bool is_escaped)
{
    const char *at = text.p, *end = text.p + (text.n < TEXT_MAX ? text.n : TEXT_MAX);
    while (at < end) {
        const char *plain = jscan_plain(at, end);
        p = put_slice(p, weir_slice(at, (size_t)(plain - at)));
        at = plain;
        if (at < end)
            at += put_special(&p, at, (size_t)(end - at), is_escaped);
    }
    return p;
}

/* A member, with the comma before it; nothing when its text is empty. */
static char *put_member(char *p, weir_slice_t intro, weir_slice_t text, bool is_escaped)
{
    if (text.n == 0)
        return p;
    p = put_text(put_slice(p, intro), text, is_escaped);
    *p++ = '"';
    return p;
}

/* The same for what is made of plain letters alone: weir's own words, and names of the configuration. */
static char *put_word(char *p, weir_slice_t intro, weir_slice_t word)
{
    if (word.n == 0)
        return p;
    p = put_slice(put_slice(p, intro), weir_slice(word.p, word.n < TEXT_MAX ? word.n : TEXT_MAX));
    *p++ = '"';
    return p;
}

static weir_slice_t verb_word(weir_verb_t verb)
{
    return verb == WEIR_VERB_LISTEN ? WEIR_LIT("GET") : verb == WEIR_VERB_END ? WEIR_LIT("DELETE") : WEIR_LIT("POST");
}

/* The trace id of a W3C traceparent, "00-<32 digits>-…"; empty when it is none. */
static weir_slice_t trace_id(weir_slice_t trace)
{
    if (trace.n < TRACEPARENT_MIN || trace.p[TRACE_ID_AT - 1] != '-' || trace.p[TRACE_ID_AT + TRACE_ID_SIZE] != '-')
        return (weir_slice_t){NULL, 0};
    return weir_slice(trace.p + TRACE_ID_AT, TRACE_ID_SIZE);
}

static char *put_outcome(char *p, const access_record_t *record)
{
    p = put_number(PUT(p, ",\"status\":"), record->outcome.status);
    p = put_word(p, WEIR_LIT(",\"reason\":\""), weir_slice_str(record->reason));
    p = put_number(PUT(p, ",\"bytes_in\":"), record->outcome.bytes_in);
    p = put_number(PUT(p, ",\"bytes_out\":"), record->outcome.bytes_out);
    return put_number(PUT(p, ",\"us\":"), record->outcome.us);
}

static char *put_line(char *p, struct access *access, const access_record_t *record)
{
    p = put_time(PUT(p, "{\"time\":\""), access);
    p = PUT(p, "\"");
    p = put_word(p, WEIR_LIT(",\"listener\":\""), weir_slice_str(record->listener));
    p = put_member(p, WEIR_LIT(",\"peer\":\""), record->peer, false);
    p = put_member(p, WEIR_LIT(",\"principal\":\""), record->principal, false);
    p = put_word(p, WEIR_LIT(",\"verb\":\""), verb_word(record->verb));
    p = put_member(p, WEIR_LIT(",\"method\":\""), record->method, true);
    p = put_member(p, WEIR_LIT(",\"name\":\""), record->name, true);
    p = put_word(p, WEIR_LIT(",\"upstream\":\""), weir_slice_str(record->upstream));
    p = put_member(p, WEIR_LIT(",\"server\":\""), weir_slice_str(record->server), false);
    p = put_outcome(p, record);
    p = put_member(p, WEIR_LIT(",\"trace_id\":\""), trace_id(record->trace), false);
    return PUT(p, "}\n");
}

void access_log(const access_record_t *record)
{
    struct access *access = proc->access;
    if (access == NULL)
        return;
    /* What was torn off ends here, so that this line begins a line of the file. */
    if (access->used == 0 && access->is_torn)
        access->buffer[access->used++] = '\n';
    access->used = (size_t)(put_line(access->buffer + access->used, access, record) - access->buffer);
    if (access->lines++ == 0)
        timer_start(access->flushes, &access->flush);
    if (access->used >= access->limit)
        access_flush(access);
}

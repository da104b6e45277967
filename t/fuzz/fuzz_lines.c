/* fuzz_lines.c: newline-delimited messages. In whatever pieces they come, the lines are those between the newlines; one that is too long
 * costs itself and no other.
 */
#include "fuzz.h"

#include "buf.h"
#include "lines.h"
#include "proc.h"

#define LONGEST 100

/* Lines written down, each with a newline behind it; one that is too long is a `!`. Empty ones are nobody's. */
typedef struct story {
    char *text;
    size_t n;
} story_t;

static void tell(story_t *story, weir_slice_t line)
{
    if (line.n == 0)
        return;
    memcpy(story->text + story->n, line.p, line.n);
    story->n += line.n;
    story->text[story->n++] = '\n';
}

static void read_whole(const char *p, size_t n, story_t *story)
{
    size_t begin = 0;
    for (size_t at = 0; at < n; at++) {
        if (p[at] != '\n')
            continue;
        size_t line_n = at - begin;
        line_n -= line_n > 0 && p[at - 1] == '\r';
        tell(story, line_n > LONGEST ? WEIR_LIT("!") : weir_slice(p + begin, line_n));
        begin = at + 1;
    }
    /* The beginning of a line is enough to know that it is too long. */
    if (n - begin > LONGEST + 1 || (n - begin == LONGEST + 1 && p[n - 1] != '\r'))
        tell(story, WEIR_LIT("!"));
}

static void take_lines(weir_lines_t *lines, story_t *story, bool keeps)
{
    size_t at = 0;
    weir_slice_t line;
    weir_buf_t *kept = lines->buf;
    if (keeps) /* somebody still reads what was handed out */
        buf_ref(kept);
    for (;;) {
        weir_lines_found_t found = lines_next(lines, &at, LONGEST, &line);
        if (found == WEIR_LINES_MORE)
            break;
        if (found != WEIR_LINES_LOST) /* whose answer it was is not told here */
            tell(story, found == WEIR_LINES_TOO_LONG ? WEIR_LIT("!") : line);
        if (lines->buf == NULL)
            break;
    }
    if (keeps)
        buf_unref(kept);
}

static void read_in_pieces(const char *p, size_t n, size_t piece, story_t *story, bool keeps)
{
    weir_lines_t lines;
    memset(&lines, 0, sizeof(lines));
    for (size_t at = 0; at < n;) {
        weir_slice_t room = lines_room(&lines);
        size_t have = n - at < piece ? n - at : piece;
        FUZZ_CHECK(room.n > 0);
        have = have < room.n ? have : room.n;
        memcpy((char *)room.p, p + at, have);
        lines_filled(&lines, have);
        take_lines(&lines, story, keeps);
        at += have;
    }
    lines_free(&lines);
}

static void fuzz_one(const char *p, size_t n)
{
    static const size_t pieces[] = {1, 2, 37, SIZE_MAX};
    static proc_t process;
    if (n > 6 * LONGEST)
        return;
    if (proc == NULL) {
        proc = &process;
        proc->bufs = bufs_new(4);
    }
    story_t expected = {.text = malloc(2 * n + 8)}, story = {.text = malloc(2 * n + 8)};
    FUZZ_CHECK(expected.text != NULL && story.text != NULL);
    read_whole(p, n, &expected);
    for (size_t i = 0; i < 2 * sizeof(pieces) / sizeof(pieces[0]); i++) {
        story.n = 0;
        read_in_pieces(p, n, pieces[i / 2], &story, i % 2 == 1);
        FUZZ_CHECK(story.n == expected.n && memcmp(story.text, expected.text, story.n) == 0);
    }
    FUZZ_CHECK(bufs_in_use(proc->bufs) == 0);
    free(expected.text);
    free(story.text);
}

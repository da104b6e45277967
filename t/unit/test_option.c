/* test_option.c: options read by their table: every type, its range and default, and what a mistake is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "number.h"
#include "option.h"
#include "suggest.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- arrangement ---- */

typedef struct all {
    bool is_on;
    int64_t count;
    uint64_t wait_ms;
    uint64_t room;
    double part;
    const char *word;
    const char *file;
    int way;
    weir_strings_t list;
    weir_map_t env;
} all_t;

static const char *const ways[] = {"round_robin", "least_loaded", "adaptive", NULL};

#define AT(member) offsetof(all_t, member)
static const weir_option_t table[] = {
    {"is_on", WEIR_TYPE_BOOL, AT(is_on), "true", 0, 0, NULL, false, "whether"},
    {"count", WEIR_TYPE_INT, AT(count), "3", -5, 100, NULL, false, "how many"},
    {"wait", WEIR_TYPE_DURATION, AT(wait_ms), "30s", 10, 3600000, NULL, false, "how long"},
    {"room", WEIR_TYPE_SIZE, AT(room), "64KiB", 1024, 1u << 30, NULL, false, "how much"},
    {"part", WEIR_TYPE_RATIO, AT(part), "0.8", 0, 1, NULL, false, "which part"},
    {"word", WEIR_TYPE_STRING, AT(word), NULL, 0, 0, NULL, false, "a word"},
    {"file", WEIR_TYPE_PATH, AT(file), NULL, 0, 0, NULL, false, "a file"},
    {"way", WEIR_TYPE_ENUM, AT(way), "round_robin", 0, 0, ways, false, "which way"},
    {"list", WEIR_TYPE_STRINGS, AT(list), NULL, 0, 0, NULL, false, "words"},
    {"env", WEIR_TYPE_MAP, AT(env), NULL, 0, 0, NULL, false, "variables"},
    {.name = NULL},
};

static const weir_option_t needy_table[] = {
    {"url", WEIR_TYPE_STRING, 0, NULL, 0, 0, NULL, true, "where the server is"},
    {.name = NULL},
};

static const config_source_t source = {"/etc/weir/weir.yaml", "/etc/weir"};
static arena_t *arena;
static all_t all;
static weir_error_t err;

static int begin(void **state)
{
    (void)state;
    arena = arena_new(4096);
    return arena == NULL;
}

static int end(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static int read_with(const weir_option_t *options, void *out, const char *text)
{
    node_t *root = NULL;
    err.text[0] = '\0';
    memset(&all, 0x55, sizeof(all));
    assert_int_equal(yaml_load(arena, source.file, weir_slice_str(text), &root, &err), WEIR_OK);
    return options_read(&source, arena, options, root, out, "the thing", &err);
}

static void read_good(const char *text)
{
    if (read_with(table, &all, text) != WEIR_OK)
        fail_msg("%s: %s", text, err.text);
}

static void assert_refused(const char *text, const char *story)
{
    assert_int_equal(read_with(table, &all, text), WEIR_EFAIL);
    char expected[WEIR_ERROR_MAX];
    snprintf(expected, sizeof(expected), "%s:%s", source.file, story);
    if (strcmp(err.text, expected) != 0)
        fail_msg("%s was told\n\"%s\", not\n\"%s\"", text, err.text, expected);
}

/* ---- what is read ---- */

static void what_is_not_said_is_the_default(void **state)
{
    (void)state;
    static const char *const nothing[] = {
        "{}", "is_on: ~\ncount:\nwait: null\nroom: ~\npart: ~\nway: ~\nlist: ~\nenv: ~\nfile: ~\n"};
    for (size_t i = 0; i < COUNT(nothing); i++) {
        read_good(nothing[i]);
        assert_true(all.is_on);
        assert_true(all.count == 3);
        assert_true(all.wait_ms == 30000);
        assert_true(all.room == 65536);
        assert_true(all.part == 0.8);
        assert_null(all.word);
        assert_null(all.file);
        assert_int_equal(all.way, 0);
        assert_int_equal(all.list.count, 0);
        assert_int_equal(all.env.count, 0);
    }
    assert_int_equal(options_read(&source, arena, table, NULL, &all, "the thing", &err), WEIR_OK);
    assert_true(all.count == 3);
}

static void every_type_is_read_as_it_is_written(void **state)
{
    (void)state;
    read_good("is_on: false\ncount: -5\nwait: 250ms\nroom: 4MiB\npart: 80%\nword: \"a b\"\nfile: sub/edge.pem\nway: "
              "adaptive\n"
              "list: [a, \"b\", 3]\nenv: { HOME: /root, EMPTY: \"\", N: 1 }\n");
    assert_false(all.is_on);
    assert_true(all.count == -5);
    assert_true(all.wait_ms == 250);
    assert_true(all.room == 4u << 20);
    assert_true(all.part == 0.8);
    assert_string_equal(all.word, "a b");
    assert_string_equal(all.file, "/etc/weir/sub/edge.pem");
    assert_int_equal(all.way, 2);
    assert_int_equal(all.list.count, 3);
    assert_string_equal(all.list.items[2], "3");
    assert_null(all.list.items[3]);
    assert_int_equal(all.env.count, 3);
    assert_string_equal(all.env.names[1], "EMPTY");
    assert_string_equal(all.env.values[1], "");
    assert_string_equal(all.env.values[0], "/root");
}

static void one_string_alone_is_a_list_of_one(void **state)
{
    (void)state;
    read_good("list: one\n");
    assert_int_equal(all.list.count, 1);
    assert_string_equal(all.list.items[0], "one");
    read_good("list: []\n");
    assert_int_equal(all.list.count, 0);
    assert_null(all.list.items[0]);
}

static void an_absolute_path_stays_and_a_relative_one_begins_at_the_file(void **state)
{
    (void)state;
    read_good("file: /tmp/x\n");
    assert_string_equal(all.file, "/tmp/x");
    read_good("file: ../x\n");
    assert_string_equal(all.file, "/etc/weir/../x");
    node_t *root = NULL;
    config_source_t here = {"weir.yaml", ""};
    assert_int_equal(yaml_load(arena, "weir.yaml", WEIR_LIT("file: x"), &root, &err), WEIR_OK);
    assert_int_equal(options_read(&here, arena, table, root, &all, "the thing", &err), WEIR_OK);
    assert_string_equal(all.file, "x");
}

static void the_ends_of_a_range_belong_to_it(void **state)
{
    (void)state;
    read_good("{ count: 100, wait: 1h, room: 1GiB, part: 1 }");
    read_good("{ count: -5, wait: 10ms, room: 1KiB, part: 0 }");
    read_good("{ part: 100% }");
    assert_true(all.part == 1);
}

/* ---- what a mistake is told ---- */

static void a_value_of_another_type_is_told_what_was_expected(void **state)
{
    (void)state;
    assert_refused("is_on: yes\n", "1:8: is_on of the thing: expected true or false, found \"yes\"");
    assert_refused("is_on: [true]\n", "1:8: is_on of the thing: expected true or false, found a list");
    assert_refused("\n  count: many\n", "2:10: count of the thing: expected a whole number, found \"many\"");
    assert_refused("count: { a: 1 }\n", "1:8: count of the thing: expected a whole number, found a map");
    assert_refused(
        "wait: soon\n",
        "1:7: wait of the thing: expected a duration with its unit, as 250ms, 30s, 5m, 1h or 1d, found \"soon\"");
    assert_refused("wait: 30\n",
                   "1:7: wait of the thing: expected a duration with its unit, as 250ms, 30s, 5m, 1h or 1d; did you "
                   "mean 30s?");
    assert_refused("room: big\n",
                   "1:7: room of the thing: expected a size, as 512, 64KiB, 4MiB or 1GiB, found \"big\"");
    assert_refused("part: half\n", "1:7: part of the thing: expected a ratio, as 0.8 or 80%, found \"half\"");
    assert_refused("word: [a]\n", "1:7: word of the thing: expected a string, found a list");
    assert_refused("file: \"\"\n", "1:7: file of the thing: expected a path, found \"\"");
    assert_refused("list: [a, [b]]\n", "1:11: list of the thing: expected a string or a list of strings, found a list");
    assert_refused("list: { a: b }\n", "1:7: list of the thing: expected a string or a list of strings, found a map");
    assert_refused("env: [a]\n", "1:6: env of the thing: expected a map of names to strings, found a list");
    assert_refused("env: { A: [b] }\n", "1:11: env of the thing: expected a string, found a list");
    assert_refused("way: x\n", "1:6: way of the thing: expected round_robin, least_loaded, adaptive, found \"x\"");
    assert_refused("way: adaptve\n",
                   "1:6: way of the thing: \"adaptve\" is none of round_robin, least_loaded, adaptive; did you mean "
                   "\"adaptive\"?");
    assert_refused("way: [adaptive]\n",
                   "1:6: way of the thing: expected round_robin, least_loaded, adaptive, found a list");
}

static void a_value_out_of_range_is_told_the_range_in_its_unit(void **state)
{
    (void)state;
    assert_refused("count: 101\n", "1:8: count of the thing: 101 is out of range; it must be from -5 to 100");
    assert_refused("count: -6\n", "1:8: count of the thing: -6 is out of range; it must be from -5 to 100");
    assert_refused("wait: 9ms\n", "1:7: wait of the thing: 9ms is out of range; it must be from 10ms to 1h");
    assert_refused("wait: 0\n", "1:7: wait of the thing: 0 is out of range; it must be from 10ms to 1h");
    assert_refused("room: 2GiB\n", "1:7: room of the thing: 2GiB is out of range; it must be from 1KiB to 1GiB");
    assert_refused("part: 1.01\n", "1:7: part of the thing: 1.01 is out of range; it must be from 0 to 1");
    assert_refused("part: 101%\n", "1:7: part of the thing: 101% is out of range; it must be from 0 to 1");
    assert_refused("part: -1%\n", "1:7: part of the thing: -1% is out of range; it must be from 0 to 1");
}

static void an_unknown_key_is_told_the_nearest_one_or_all(void **state)
{
    (void)state;
    assert_refused("count: 1\nwiat: 1s\n", "2:1: unknown key \"wiat\" in the thing; did you mean \"wait\"?");
    assert_refused("nothing_like_it: 1\n", "1:1: unknown key \"nothing_like_it\" in the thing; known are: is_on, "
                                           "count, wait, room, part, word, file, way, "
                                           "list, env");
    assert_refused("Count: 1\n", "1:1: unknown key \"Count\" in the thing; did you mean \"count\"?");
}

static void what_is_required_is_asked_for(void **state)
{
    (void)state;
    const char *url = NULL;
    assert_int_equal(read_with(needy_table, &url, "{}"), WEIR_EFAIL);
    assert_string_equal(err.text, "/etc/weir/weir.yaml:1:1: the thing needs `url`: where the server is");
    assert_int_equal(read_with(needy_table, &url, "url: ~\n"), WEIR_EFAIL);
    assert_int_equal(read_with(needy_table, &url, "url: http://a\n"), WEIR_OK);
    assert_string_equal(url, "http://a");
}

static void what_is_no_map_has_no_options(void **state)
{
    (void)state;
    assert_int_equal(read_with(table, &all, "[a]"), WEIR_EFAIL);
    assert_string_equal(err.text, "/etc/weir/weir.yaml:1:1: the thing: expected a map of options");
}

static void several_tables_may_read_one_map(void **state)
{
    (void)state;
    node_t *root = NULL;
    const char *url = NULL;
    option_set_t sets[] = {{table, &all, "the thing"}, {needy_table, &url, "its transport"}, {NULL, NULL, "nobody"}};
    assert_int_equal(yaml_load(arena, source.file, WEIR_LIT("url: u\ncount: 7"), &root, &err), WEIR_OK);
    assert_int_equal(options_read_sets(&source, arena, sets, COUNT(sets), root, &err), WEIR_OK);
    assert_string_equal(url, "u");
    assert_true(all.count == 7);
    assert_int_equal(yaml_load(arena, source.file, WEIR_LIT("urk: u\ncount: 7"), &root, &err), WEIR_OK);
    assert_int_equal(options_read_sets(&source, arena, sets, COUNT(sets), root, &err), WEIR_EFAIL);
    assert_non_null(strstr(err.text, "did you mean \"url\"?"));
    assert_int_equal(options_read_some(&source, arena, table, root, &all, "the thing", &err), WEIR_OK);
}

static void a_long_list_of_what_is_known_ends_with_a_sign_that_there_is_more(void **state)
{
    (void)state;
    static weir_option_t many[64];
    static char names[63][32];
    for (int i = 0; i < 63; i++) {
        snprintf(names[i], sizeof(names[i]), "a_rather_long_name_%d", i);
        many[i] = (weir_option_t){.name = names[i], .type = WEIR_TYPE_STRING, .offset = AT(word)};
    }
    assert_int_equal(read_with(many, &all, "x: 1\n"), WEIR_EFAIL);
    size_t n = strlen(err.text);
    assert_true(n > 200 && n < sizeof(err.text) - 1);
    assert_string_equal(err.text + n - 5, ", ...");
}

/* ---- numbers and units ---- */

static void a_word_may_stand_for_a_number(void **state)
{
    (void)state;
    static const char *const words[] = {"auto", "none", NULL};
    static const weir_option_t some[] = {{"n", WEIR_TYPE_INT, 0, "auto", 0, 9, words, false, "how many"},
                                         {.name = NULL}};
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"", -1}, {"n: auto", -1}, {"n: none", -2}, {"n: 7", 7}};
    int64_t n;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(read_with(some, &n, good[i].text), WEIR_OK);
        assert_int_equal(n, good[i].value);
    }
    assert_int_equal(read_with(some, &n, "n: atuo"), WEIR_EFAIL);
    assert_string_equal(
        err.text, "/etc/weir/weir.yaml:1:4: n of the thing: expected a whole number or auto or none, found \"atuo\"");
    assert_int_equal(read_with(some, &n, "n: -1"), WEIR_EFAIL);
}

static void numbers_are_read_whole_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        {"0", 0}, {"007", 7}, {"-1", -1}, {"9223372036854775807", INT64_MAX}, {"-9223372036854775807", -INT64_MAX}};
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "--1",
                                      "1.0",
                                      "0x1",
                                      "1e3",
                                      "1_000",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999"};
    int64_t value;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(integer_read(weir_slice_str(good[i].text), &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        if (integer_read(weir_slice_str(bad[i]), &value))
            fail_msg("\"%s\" was taken", bad[i]);
}

static void durations_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0", 0},        {"0s", 0},         {"00", 0},
                {"1ms", 1},      {"30s", 30000},    {"5m", 300000},
                {"1h", 3600000}, {"2d", 172800000}, {"213503982334d", 213503982334u * 86400000u}};
    static const char *const bad[] = {"",
                                      "s",
                                      "1",
                                      "1 s",
                                      " 1s",
                                      "1s ",
                                      "1S",
                                      "1sec",
                                      "1.5s",
                                      "-1s",
                                      "+1s",
                                      "1s1s",
                                      "18446744073709551616ms",
                                      "213503982335d",
                                      "18446744073709551615s"};
    uint64_t ms;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(duration_read(weir_slice_str(good[i].text), &ms));
        assert_true(ms == good[i].ms);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        if (duration_read(weir_slice_str(bad[i]), &ms))
            fail_msg("\"%s\" was taken", bad[i]);
}

static void sizes_may_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},         {"512", 512},       {"512B", 512},
                {"64KiB", 65536}, {"4MiB", 4u << 20}, {"1GiB", 1u << 30},
                {"8k", 8192},     {"1m", 1u << 20},   {"18446744073709551615", UINT64_MAX}};
    static const char *const bad[] = {"",
                                      "KiB",
                                      "1 KiB",
                                      "1KB",
                                      "1kb",
                                      "1K",
                                      "1G",
                                      "1.5MiB",
                                      "-1",
                                      "1e3",
                                      "0x10",
                                      "18446744073709551616",
                                      "17179869184GiB"};
    uint64_t bytes;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(size_read(weir_slice_str(good[i].text), &bytes));
        assert_true(bytes == good[i].bytes);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        if (size_read(weir_slice_str(bad[i]), &bytes))
            fail_msg("\"%s\" was taken", bad[i]);
}

static void a_ratio_is_a_number_or_a_percentage(void **state)
{
    (void)state;
    static const char *const bad[] = {"%",    ".",   "-",   "80 %",   "80%%", "%80",   " 0.5",
                                      "0.5 ", "inf", "nan", "0x1p-1", "1e-1", "0.5.5", "--1"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char text[64];
        snprintf(text, sizeof(text), "part: \"%s\"\n", bad[i]);
        assert_int_equal(read_with(table, &all, text), WEIR_EFAIL);
        assert_non_null(strstr(err.text, "expected a ratio"));
    }
    read_good("part: .5\n");
    assert_true(all.part == 0.5);
}

/* What number_write() says is read as what it was. */
static void numbers_are_written_in_the_largest_unit_that_fits(void **state)
{
    (void)state;
    static const struct {
        weir_type_t type;
        double value;
        const char *text;
    } cases[] = {
        {WEIR_TYPE_DURATION, 0, "0"},
        {WEIR_TYPE_DURATION, 1, "1ms"},
        {WEIR_TYPE_DURATION, 1500, "1500ms"},
        {WEIR_TYPE_DURATION, 60000, "1m"},
        {WEIR_TYPE_DURATION, 90000, "90s"},
        {WEIR_TYPE_DURATION, 86400000, "1d"},
        {WEIR_TYPE_SIZE, 0, "0"},
        {WEIR_TYPE_SIZE, 1023, "1023"},
        {WEIR_TYPE_SIZE, 65536, "64KiB"},
        {WEIR_TYPE_SIZE, 16777216, "16MiB"},
        {WEIR_TYPE_SIZE, 1073741824, "1GiB"},
        {WEIR_TYPE_INT, -5, "-5"},
        {WEIR_TYPE_INT, 1048576, "1048576"},
        {WEIR_TYPE_RATIO, 0.25, "0.25"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[32];
        uint64_t value;
        number_write(text, sizeof(text), cases[i].type, cases[i].value);
        assert_string_equal(text, cases[i].text);
        if (cases[i].type == WEIR_TYPE_DURATION)
            assert_true(duration_read(weir_slice_str(text), &value) && (double)value == cases[i].value);
        if (cases[i].type == WEIR_TYPE_SIZE)
            assert_true(size_read(weir_slice_str(text), &value) && (double)value == cases[i].value);
    }
}

/* ---- the nearest word ---- */

static unsigned distance(const char *a, const char *b)
{
    unsigned there = word_distance(weir_slice_str(a), weir_slice_str(b));
    assert_int_equal(word_distance(weir_slice_str(b), weir_slice_str(a)), there);
    return there;
}

static void words_are_as_far_apart_as_it_takes_to_turn_one_into_the_other(void **state)
{
    (void)state;
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("", "abc"), 3);
    assert_int_equal(distance("abc", "abc"), 0);
    assert_int_equal(distance("abc", "abd"), 1);
    assert_int_equal(distance("abc", "ac"), 1);
    assert_int_equal(distance("abc", "acb"), 1);
    assert_int_equal(distance("abcd", "badc"), 2);
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("ca", "abc"), 3);
    char longest[66];
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(word_distance(weir_slice(longest, 64), weir_slice(longest, 63)), 1);
    assert_true(word_distance(weir_slice(longest, 65), weir_slice(longest, 64)) > 1000);
}

static const char *nearest(const char *written)
{
    static const char *const words[] = {"listen", "listeners", "upstreams", "user", "workers", "min", "max"};
    const char *best = NULL;
    for (size_t i = 0; i < COUNT(words); i++)
        best = suggest_nearer(weir_slice_str(written), best, words[i]);
    return best;
}

static void the_word_that_was_probably_meant_is_suggested_and_no_far_one(void **state)
{
    (void)state;
    assert_string_equal(nearest("listener"), "listeners");
    assert_string_equal(nearest("lisen"), "listen");
    assert_string_equal(nearest("upstraem"), "upstreams");
    assert_string_equal(nearest("mni"), "min");
    assert_string_equal(nearest("mxa"), "max");
    assert_string_equal(nearest("worker"), "workers");
    assert_null(nearest("x"));
    assert_null(nearest("zzz"));
    assert_null(nearest(""));
    assert_null(nearest("certificate"));
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(what_is_not_said_is_the_default),
        SCENE(every_type_is_read_as_it_is_written),
        SCENE(one_string_alone_is_a_list_of_one),
        SCENE(an_absolute_path_stays_and_a_relative_one_begins_at_the_file),
        SCENE(the_ends_of_a_range_belong_to_it),
        SCENE(a_value_of_another_type_is_told_what_was_expected),
        SCENE(a_value_out_of_range_is_told_the_range_in_its_unit),
        SCENE(an_unknown_key_is_told_the_nearest_one_or_all),
        SCENE(what_is_required_is_asked_for),
        SCENE(what_is_no_map_has_no_options),
        SCENE(several_tables_may_read_one_map),
        SCENE(a_long_list_of_what_is_known_ends_with_a_sign_that_there_is_more),
        SCENE(a_word_may_stand_for_a_number),
        SCENE(numbers_are_read_whole_or_not_at_all),
        SCENE(durations_have_units),
        SCENE(sizes_may_have_units),
        SCENE(a_ratio_is_a_number_or_a_percentage),
        SCENE(numbers_are_written_in_the_largest_unit_that_fits),
        SCENE(words_are_as_far_apart_as_it_takes_to_turn_one_into_the_other),
        SCENE(the_word_that_was_probably_meant_is_suggested_and_no_far_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* fuzz_config.c: configurations. Any text is read or refused with a story that names the file; what is read is whole, and says the same
 * when it is read again.
 */
#include "fuzz.h"

#include "config.h"

typedef struct all {
    bool is_on;
    int64_t count;
    uint64_t wait_ms, room;
    double part;
    const char *word, *file;
    int way;
    weir_strings_t list;
    weir_map_t env;
} all_t;

static const char *const ways[] = {"round_robin", "least_loaded", "adaptive", NULL};

/* Options as a transport or module declares them, with keys that stand in configurations. */
#define AT(member) offsetof(all_t, member)
static const weir_option_t table[] = {
    {"verify", WEIR_TYPE_BOOL, AT(is_on), "true", 0, 0, NULL, false, "whether"},
    {"max", WEIR_TYPE_INT, AT(count), "3", 1, 100, NULL, false, "how many"},
    {"timeout", WEIR_TYPE_DURATION, AT(wait_ms), "30s", 10, 3600000, NULL, false, "how long"},
    {"max_bytes", WEIR_TYPE_SIZE, AT(room), "64KiB", 1024, 1u << 30, NULL, false, "how much"},
    {"ratio", WEIR_TYPE_RATIO, AT(part), "0.8", 0, 1, NULL, false, "which part"},
    {"url", WEIR_TYPE_STRING, AT(word), NULL, 0, 0, NULL, false, "a word"},
    {"ca", WEIR_TYPE_PATH, AT(file), NULL, 0, 0, NULL, false, "a file"},
    {"strategy", WEIR_TYPE_ENUM, AT(way), "round_robin", 0, 0, ways, false, "which way"},
    {"command", WEIR_TYPE_STRINGS, AT(list), NULL, 0, 0, NULL, false, "words"},
    {"env", WEIR_TYPE_MAP, AT(env), NULL, 0, 0, NULL, false, "variables"},
    {.name = NULL},
};

static void check_story(const weir_error_t *err)
{
    FUZZ_CHECK(strncmp(err->text, "fuzz.yaml:", 10) == 0 && strlen(err->text) > 15);
}

static void check_options(const config_t *config, const node_t *node)
{
    all_t all;
    weir_error_t err = {""};
    memset(&all, 0x55, sizeof(all));
    if (options_read_some(&config->source, config->arena, table, node, &all, "the thing", &err) != WEIR_OK) {
        check_story(&err);
        return;
    }
    FUZZ_CHECK(all.count >= 1 && all.count <= 100 && all.wait_ms >= 10 && all.wait_ms <= 3600000);
    FUZZ_CHECK(all.room >= 1024 && all.room <= 1u << 30 && all.part >= 0 && all.part <= 1);
    FUZZ_CHECK(all.way >= 0 && all.way < 3 && (all.file == NULL || all.file[0] != '\0'));
    for (size_t i = 0; i < all.list.count; i++)
        FUZZ_CHECK(all.list.items[i] != NULL);
    for (size_t i = 0; i < all.env.count; i++)
        FUZZ_CHECK(all.env.names[i] != NULL && all.env.values[i] != NULL);
}

static void check_listener(const config_t *config, const conf_listener_t *l)
{
    FUZZ_CHECK(l->name[0] != '\0' && l->transports.count > 0 && l->listen.count > 0 && l->nroutes > 0);
    for (size_t i = 0; i < l->nroutes; i++) {
        bool is_known = false;
        for (size_t j = 0; j < config->nupstreams; j++)
            is_known |= strcmp(config->upstreams[j].name, l->routes[i].upstream) == 0;
        FUZZ_CHECK(is_known && l->routes[i].path[0] == '/');
    }
    for (size_t i = 0; i < l->ntls; i++)
        FUZZ_CHECK(l->tls[i].certificate != NULL);
    check_options(config, l->node);
}

static void check_upstream(const config_t *config, const conf_upstream_t *up)
{
    FUZZ_CHECK(up->name[0] != '\0' && up->transport != NULL && up->reply_timeout_ms > 0 && up->buffer_limit >= 4096);
    for (size_t i = 0; i < up->nchain; i++) {
        FUZZ_CHECK(up->chain[i].module != NULL && up->chain[i].line > 0 && up->chain[i].column > 0);
        check_options(config, up->chain[i].options);
    }
    for (size_t i = 0; i < up->nservers; i++)
        FUZZ_CHECK(up->servers[i].weight >= 1 && up->servers[i].node != NULL);
    check_options(config, up->node);
}

static void check_again(const config_t *config, const char *text)
{
    config_t *again = NULL;
    FUZZ_CHECK(config_parse(text, "fuzz.yaml", &again, NULL) == WEIR_OK && again->nupstreams == config->nupstreams);
    for (size_t i = 0; i < config->nupstreams; i++)
        FUZZ_CHECK(config->upstreams[i].digest == again->upstreams[i].digest);
    config_free(again);
}

static void fuzz_one(const char *p, size_t n)
{
    char *text = malloc(n + 1);
    config_t *config = NULL;
    weir_error_t err = {""};
    FUZZ_CHECK(text != NULL);
    memcpy(text, p, n);
    text[n] = '\0';
    if (config_parse(text, "fuzz.yaml", &config, &err) != WEIR_OK) {
        check_story(&err);
        free(text);
        return;
    }
    FUZZ_CHECK(config->workers >= 0 && config->workers <= CONF_WORKERS_MAX && config->nlisteners > 0);
    for (size_t i = 0; i < config->nlisteners; i++)
        check_listener(config, &config->listeners[i]);
    for (size_t i = 0; i < config->nupstreams; i++)
        check_upstream(config, &config->upstreams[i]);
    check_again(config, text);
    config_free(config);
    free(text);
}

/* way.h: a way of messages through weir, for the benches of streams: a weir of one worker and one keeper, a server behind it, and this
 * process as its client, on one connection and one link.
 *
 * All ways of a program are up from the start and take turns, each round another one first. What a message costs is read from the run
 * time of the worker and of the keeper (/proc/PID/schedstat), which does not depend on what else the machine does; how many come in a
 * second does. A message is a JSON-RPC message that weir has carried from one side to the other: a call is two.
 */
#ifndef BENCH_WAY_H
#define BENCH_WAY_H

#include "peer.h"

#include "histogram.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define WAY_FOLDER "build/bench/run"
#define WAY_ROUNDS_MAX 64
#define FIRST_ID 1000000000ull /* ids keep ten digits, so messages keep their size */
#define PLACES (1u << 17)      /* of calls in flight */

typedef struct {
    double seconds, messages, worker_ns, keeper_ns; /* CPU of the two */
    double p50_us, p99_us;
} round_t;

typedef struct {
    const char *name;
    const char *transport; /* both sides': ndjson, length, ws; stdio: a child behind a client that speaks ndjson */
    const char *batch;     /* the options of `batch` on both sides, NULL: none */
    bool is_legacy;        /* a session that begins with initialize */
    uint32_t per_frame;    /* that client and server put into a frame */
    double rate;           /* calls a second; 0: the plan's */
    /* from here on: way_open() */
    pid_t weir, origin, worker, keeper;
    peer_t client;
    uint64_t next_id;
    round_t rounds[WAY_ROUNDS_MAX];
} way_t;

static uint64_t way_due[PLACES]; /* of the call with that id; 0: none is in flight */

/* ---- processes ---- */

static inline uint16_t free_port(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, n) != 0 || getsockname(fd, (struct sockaddr *)&addr, &n) != 0)
        die("a free port");
    close(fd);
    return ntohs(addr.sin_port);
}

/* Runs a command line of words; it ends with this process. */
static inline pid_t run_words(char *words)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char *argv[32];
    size_t n = 0;
    for (char *word = strtok(words, " "); word != NULL && n < 31; word = strtok(NULL, " "))
        argv[n++] = word;
    argv[n] = NULL;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execvp(argv[0], argv);
    die(argv[0]);
}

static inline int connect_to(uint16_t port)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 3000; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
            no_delay(fd);
            fcntl(fd, F_SETFL, O_NONBLOCK);
            return fd;
        }
        close(fd);
        usleep(10000);
    }
    die("connect");
}

static inline void read_file(const char *name, char *text, size_t size)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* The child of weir's master whose title has this word. */
static inline pid_t child_titled(pid_t master, const char *word)
{
    char name[64], children[512], title[256];
    snprintf(name, sizeof(name), "/proc/%d/task/%d/children", master, master);
    read_file(name, children, sizeof(children));
    for (char *at = strtok(children, " "); at != NULL; at = strtok(NULL, " ")) {
        snprintf(name, sizeof(name), "/proc/%s/cmdline", at);
        read_file(name, title, sizeof(title));
        if (strstr(title, word) != NULL)
            return atoi(at);
    }
    return 0;
}

static inline double cpu_ns(pid_t pid)
{
    char name[64], text[128];
    snprintf(name, sizeof(name), "/proc/%d/schedstat", pid);
    read_file(name, text, sizeof(text));
    return strtod(text, NULL);
}

/* ---- weir ---- */

static inline bool way_is_stdio(const way_t *w)
{
    return strcmp(w->transport, "stdio") == 0;
}

static inline bool way_is_ws(const way_t *w)
{
    return strcmp(w->transport, "ws") == 0;
}

static inline void way_configure(const way_t *w, const char *file, uint16_t port, uint16_t origin_port)
{
    FILE *out = fopen(file, "w");
    char edge[64] = "transport: ws", links[192], batch[128] = "";
    const char *framing = way_is_stdio(w) ? "ndjson" : w->transport;
    if (out == NULL)
        die(file);
    if (!way_is_ws(w))
        snprintf(edge, sizeof(edge), "transport: tcp\n    framing: %s", framing);
    if (way_is_stdio(w))
        snprintf(links, sizeof(links), "transport: stdio\n    command: [build/bench/stream_origin, stdio]");
    else if (way_is_ws(w))
        snprintf(links, sizeof(links), "transport: ws\n    servers: [ { url: \"ws://127.0.0.1:%u/\" } ]", origin_port);
    else
        snprintf(links, sizeof(links),
                 "transport: tcp\n    framing: %s\n    servers: [ { address: \"127.0.0.1:%u\" } ]", framing,
                 origin_port);
    if (w->batch != NULL)
        snprintf(batch, sizeof(batch), "batch: { %s }", w->batch);
    fprintf(out,
            "workers: 1\nkeepers: 1\nlog: { level: warn, file: stderr }\nmodules: [tcp, ws, stdio, pool, batch]\n\n"
            "listeners:\n  edge:\n    %s\n    listen: 127.0.0.1:%u\n    max_exchanges: 65535\n    chain: [ %s ]\n"
            "    routes: [ { path: /, upstream: origin } ]\n\n"
            "upstreams:\n  origin:\n    %s\n    chain:\n"
            "      - pool: { min: 0, max: 1, exchanges_per_link: 65535 }\n%s%s\n",
            edge, port, batch, links, batch[0] == '\0' ? "" : "      - ", batch);
    fclose(out);
}

/* WAY_TOOL goes before weir's own command: a profiler. */
static inline void way_start(way_t *w, uint16_t port, uint16_t origin_port, size_t index)
{
    const char *tool = getenv("WAY_TOOL");
    char file[64], words[512];
    snprintf(file, sizeof(file), WAY_FOLDER "/way-%d-%zu.yaml", getpid(), index);
    way_configure(w, file, port, origin_port);
    snprintf(words, sizeof(words), "build/bench/stream_origin %s 127.0.0.1:%u %u", w->transport, origin_port,
             w->per_frame);
    w->origin = way_is_stdio(w) ? 0 : run_words(words);
    if (w->origin > 0)
        close(connect_to(origin_port));
    snprintf(words, sizeof(words), "%s ./weir -c %s", tool == NULL ? "" : tool, file);
    w->weir = run_words(words);
}

/* ---- calls ---- */

static inline void way_put(way_t *w, uint64_t due)
{
    static const char modern[] = "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"tools/"
                                 "call\",\"params\":{\"name\":\"add\",\"arguments\":{\"a\":1,"
                                 "\"b\":41},\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
                                 "\"io.modelcontextprotocol/clientCapabilities\":{}}}}";
    static const char legacy[] = "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"tools/call\",\"params\":{\"name\":"
                                 "\"add\",\"arguments\":{\"a\":1,\"b\":41}}}";
    static char text[2][512];
    static size_t size[2], digits;
    uint64_t id = w->next_id++;
    char *message = text[w->is_legacy];
    if (size[w->is_legacy] == 0)
        size[w->is_legacy] =
            (size_t)snprintf(message, sizeof(text[0]), w->is_legacy ? legacy : modern, (unsigned long long)FIRST_ID);
    digits = sizeof("{\"jsonrpc\":\"2.0\",\"id\":") - 1;
    for (uint64_t i = 10, rest = id; i-- > 0; rest /= 10)
        message[digits + i] = (char)('0' + rest % 10);
    way_due[id % PLACES] = due;
    peer_put(&w->client, message, size[w->is_legacy]);
}

/* Whether it is the result to a call in flight; then when that was due. Anything else ends the bench: its figures would be of
 * something else. */
static inline uint64_t way_check(way_t *w, slice_t message)
{
    static const char key[] = "\"id\":", result[] = ",\"result\":";
    const char *at = memmem(message.at, message.len, key, sizeof(key) - 1), *end = message.at + message.len;
    uint64_t id = 0;
    for (at = at == NULL ? end : at + sizeof(key) - 1; at < end && *at >= '0' && *at <= '9'; at++)
        id = id * 10 + (uint64_t)(*at - '0');
    uint64_t due = way_due[id % PLACES];
    bool is_result = (size_t)(end - at) > sizeof(result) && memcmp(at, result, sizeof(result) - 1) == 0;
    if (due == 0 || !is_result || id >= w->next_id) {
        fprintf(stderr, "%s: no result to a call in flight: %.*s\n", w->name, (int)message.len, message.at);
        exit(1);
    }
    way_due[id % PLACES] = 0;
    return due;
}

static inline void way_wait(way_t *w, const struct timespec *time)
{
    struct pollfd poll = {.fd = w->client.rfd, .events = (short)(POLLIN | (peer_has_unsent(&w->client) ? POLLOUT : 0))};
    ppoll(&poll, 1, time, NULL);
    if (w->client.is_over) {
        fprintf(stderr, "%s: weir has closed the connection\n", w->name);
        exit(1);
    }
}

/* Take what has come. Returns how many calls were answered. */
static inline uint64_t way_take(way_t *w, histogram_t *latency)
{
    slice_t message;
    uint64_t n = 0;
    if (!peer_fill(&w->client))
        return 0;
    uint64_t now = now_ns();
    for (; peer_next(&w->client, &message); n++) {
        uint64_t due = way_check(w, message);
        if (latency != NULL)
            histogram_add(latency, now > due ? now - due : 0);
    }
    return n;
}

/* `window` calls in flight all the time, until so many have been answered or the time is over. */
static inline uint64_t way_closed(way_t *w, uint64_t window, uint64_t calls, double seconds)
{
    uint64_t sent = 0, answered = 0, end = now_ns() + (uint64_t)(seconds * 1e9);
    bool is_on = true;
    while (answered < sent || is_on) {
        for (; is_on && sent < calls && sent - answered < window && peer_has_room(&w->client); sent++)
            way_put(w, 1);
        peer_send(&w->client);
        way_wait(w, NULL);
        answered += way_take(w, NULL);
        is_on = sent < calls && now_ns() < end;
    }
    return answered;
}

/* A call each 1/rate of a second, whether or not those before have been answered; a latency begins when its call was due. */
static inline uint64_t way_open_loop(way_t *w, double rate, double seconds, histogram_t *latency)
{
    uint64_t begin = now_ns(), sent = 0, answered = 0, calls = (uint64_t)(rate * seconds);
    while (answered < calls) {
        uint64_t now = now_ns(), due = begin + (uint64_t)((double)sent * 1e9 / rate);
        for (; sent < calls && due <= now && sent - answered < PLACES / 2 && peer_has_room(&w->client); sent++) {
            way_put(w, due);
            due = begin + (uint64_t)((double)(sent + 1) * 1e9 / rate);
        }
        peer_send(&w->client);
        now = now_ns();
        uint64_t wait = sent == calls || due < now ? 1000000 : due - now;
        way_wait(w, &(struct timespec){.tv_nsec = (long)(wait < 999999999 ? wait : 999999999)});
        answered += way_take(w, latency);
    }
    return answered;
}

/* ---- life ---- */

static inline void way_initialize(way_t *w)
{
    static const char ask[] = "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
                              "\"2025-06-18\",\"capabilities\":{},\"clientInfo\":{\"name\":\"load\",\"version\":"
                              "\"1\"}}}";
    static const char done[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
    slice_t message;
    peer_put(&w->client, ask, sizeof(ask) - 1);
    peer_send(&w->client);
    while (!peer_next(&w->client, &message)) {
        way_wait(w, NULL);
        (void)peer_fill(&w->client);
    }
    peer_put(&w->client, done, sizeof(done) - 1);
    peer_send(&w->client);
}

static inline void way_open(way_t *w, size_t index)
{
    uint16_t port = free_port(), origin_port = free_port();
    if (w->per_frame == 0)
        w->per_frame = 1;
    way_start(w, port, origin_port, index);
    int fd = connect_to(port);
    peer_init(&w->client, fd, fd, framing_named(w->transport), w->per_frame);
    if (way_is_ws(w))
        peer_ws_ask(&w->client);
    w->next_id = FIRST_ID;
    if (w->is_legacy)
        way_initialize(w);
    (void)way_closed(w, 1, 10, 60);
    w->worker = child_titled(w->weir, "worker");
    w->keeper = child_titled(w->weir, "keeper");
}

static inline void way_close(way_t *w)
{
    peer_free(&w->client);
    kill(w->weir, SIGTERM);
    waitpid(w->weir, NULL, 0);
    if (w->origin > 0) {
        kill(w->origin, SIGTERM);
        waitpid(w->origin, NULL, 0);
    }
}

/* ---- rounds ---- */

typedef struct {
    uint64_t rounds, window, calls; /* calls 0: as many as fit into the time */
    double seconds, rate;
} plan_t;

static inline plan_t plan_of(int argc, char **argv)
{
    plan_t plan = {.rounds = 7, .window = 512, .seconds = 1};
    int option;
    while ((option = getopt(argc, argv, "r:s:w:n:R:")) != -1) {
        if (option == 'r')
            plan.rounds = strtoul(optarg, NULL, 10);
        else if (option == 's')
            plan.seconds = strtod(optarg, NULL);
        else if (option == 'w')
            plan.window = strtoul(optarg, NULL, 10);
        else if (option == 'n')
            plan.calls = strtoul(optarg, NULL, 10);
        else if (option == 'R')
            plan.rate = strtod(optarg, NULL);
    }
    if (plan.rounds == 0 || plan.rounds > WAY_ROUNDS_MAX || plan.window > PLACES / 2 || optind < argc) {
        fprintf(stderr,
                "usage: %s [-r ROUNDS] [-s SECONDS of a turn] [-w CALLS in flight] [-n CALLS of a turn] "
                "[-R CALLS a second]\n",
                argv[0]);
        exit(2);
    }
    return plan;
}

/* One turn of one way: as fast as it goes, or at plan->rate. */
static inline void way_turn(way_t *w, const plan_t *plan, round_t *round)
{
    static histogram_t latency;
    memset(&latency, 0, sizeof(latency));
    double worker = cpu_ns(w->worker), keeper = cpu_ns(w->keeper), from = (double)now_ns();
    double rate = w->rate > 0 ? w->rate : plan->rate;
    uint64_t calls = rate > 0 ? way_open_loop(w, rate, plan->seconds, &latency)
                              : way_closed(w, plan->window, plan->calls == 0 ? UINT64_MAX : plan->calls, plan->seconds);
    *round = (round_t){
        .seconds = ((double)now_ns() - from) / 1e9,
        .messages = 2 * (double)calls,
        .worker_ns = cpu_ns(w->worker) - worker,
        .keeper_ns = cpu_ns(w->keeper) - keeper,
        .p50_us = (double)histogram_percentile(&latency, 0.5) / 1e3,
        .p99_us = (double)histogram_percentile(&latency, 0.99) / 1e3,
    };
}

/* All ways in turn, each round another one first; a round before the first is not counted. */
static inline void ways_run(way_t *ways, size_t n, const plan_t *plan)
{
    round_t first;
    for (uint64_t round = 0; round <= plan->rounds; round++)
        for (size_t i = 0; i < n; i++) {
            way_t *w = &ways[(i + round) % n];
            way_turn(w, plan, round == 0 ? &first : &w->rounds[round - 1]);
        }
}

static inline void ways_open(way_t *ways, size_t n)
{
    (void)signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    for (size_t i = 0; i < n; i++)
        way_open(&ways[i], i);
}

static inline void ways_close(way_t *ways, size_t n)
{
    for (size_t i = 0; i < n; i++)
        way_close(&ways[i]);
}

/* ---- figures ---- */

typedef double (*figure_fn)(const round_t *round);

static inline double figure_rate(const round_t *r)
{
    return r->messages / r->seconds;
}

static inline double figure_calls(const round_t *r)
{
    return r->messages / 2 / r->seconds;
}

/* Of worker and keeper together. */
static inline double figure_cpu_us(const round_t *r)
{
    return (r->worker_ns + r->keeper_ns) / r->messages / 1e3;
}

static inline double figure_worker_us(const round_t *r)
{
    return r->worker_ns / r->messages / 1e3;
}

static inline double figure_keeper_us(const round_t *r)
{
    return r->keeper_ns / r->messages / 1e3;
}

/* What a worker with a core of its own, and a keeper with one, would carry: the busier of the two decides. */
static inline double figure_capacity(const round_t *r)
{
    return r->messages / ((r->worker_ns > r->keeper_ns ? r->worker_ns : r->keeper_ns) / 1e9);
}

static inline double figure_p50(const round_t *r)
{
    return r->p50_us;
}

static inline double figure_p99(const round_t *r)
{
    return r->p99_us;
}

static inline int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct {
    double median, least, most;
} spread_t;

static inline spread_t spread_of(double *values, uint64_t n)
{
    qsort(values, n, sizeof(*values), compare_doubles);
    return (spread_t){(values[(n - 1) / 2] + values[n / 2]) / 2, values[0], values[n - 1]};
}

static inline spread_t way_spread(const way_t *w, uint64_t rounds, figure_fn figure)
{
    double values[WAY_ROUNDS_MAX];
    for (uint64_t i = 0; i < rounds; i++)
        values[i] = figure(&w->rounds[i]);
    return spread_of(values, rounds);
}

/* Within each round, so that a machine which slows down slows both. */
static inline spread_t way_ratio(const way_t *w, const way_t *base, uint64_t rounds, figure_fn figure)
{
    double values[WAY_ROUNDS_MAX];
    for (uint64_t i = 0; i < rounds; i++)
        values[i] = figure(&w->rounds[i]) / figure(&base->rounds[i]);
    return spread_of(values, rounds);
}

/* ---- tables ---- */

typedef struct {
    const char *title;
    figure_fn figure;
    int decimals;
    bool has_spread;
    bool is_ratio; /* to the first way, within each round */
} column_t;

static inline void way_print(const way_t *w, const way_t *base, uint64_t rounds, const column_t *column)
{
    spread_t s = column->is_ratio ? way_ratio(w, base, rounds, column->figure) : way_spread(w, rounds, column->figure);
    printf(" %.*f", column->decimals, s.median);
    if (column->has_spread)
        printf(" (%.*f … %.*f)", column->decimals, s.least, column->decimals, s.most);
    printf(" |");
}

/* A row for each way, its figures the medians of the rounds; a column without a title ends them. */
static inline void ways_table(const way_t *ways, size_t n, uint64_t rounds, const column_t *columns)
{
    printf("| |");
    for (const column_t *column = columns; column->title != NULL; column++)
        printf(" %s |", column->title);
    printf("\n|---|");
    for (const column_t *column = columns; column->title != NULL; column++)
        printf("---|");
    printf("\n");
    for (size_t i = 0; i < n; i++) {
        printf("| %s |", ways[i].name);
        for (const column_t *column = columns; column->title != NULL; column++)
            way_print(&ways[i], ways, rounds, column);
        printf("\n");
    }
    printf("\n");
}

/* What every report of these benches begins with. */
static inline void plan_print(const plan_t *plan)
{
    double load = 0;
    if (getloadavg(&load, 1) != 1)
        load = 0;
    printf("%llu rounds of %.1f s for each, in turn; load average before the run: %.1f\n\n",
           (unsigned long long)plan->rounds, plan->seconds, load);
}

/* The whole of a program that asks how many messages a second each way carries. */
static inline int rates_main(int argc, char **argv, way_t *ways, size_t n)
{
    static const column_t columns[] = {
        {"messages/s", figure_rate, 0, true, false},
        {"worker, µs a message", figure_worker_us, 2, true, false},
        {"keeper, µs a message", figure_keeper_us, 2, true, false},
        {"messages/s that a core for each would carry", figure_capacity, 0, true, false},
        {.title = NULL},
    };
    plan_t plan = plan_of(argc, argv);
    printf("%llu calls in flight; ", (unsigned long long)plan.window);
    plan_print(&plan);
    ways_open(ways, n);
    ways_run(ways, n, &plan);
    ways_close(ways, n);
    ways_table(ways, n, plan.rounds, columns);
    return 0;
}

#endif

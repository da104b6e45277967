/* stream_origin.c: the MCP server behind the benches of streams: answers every request at the same small cost, those of one read with
 * one write.
 *
 *   stream_origin ndjson|length|ws ADDRESS:PORT [N]     up to N answers share a frame (1)
 *   stream_origin stdio                                 a line each, on stdin and stdout
 *
 * It is a server of both eras: it knows server/discover and initialize. Other requests get the result of a small tool.
 */
#include "peer.h"

#define CONNS_MAX 64

static const char tool_result[] = "\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"42\"}],"
                                  "\"resultType\":\"complete\"}}";
static const char discover_result[] =
    "\"result\":{\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":"
    "\"origin\",\"version\":\"1.0.0\"},\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\"}}";
static const char initialize_result[] = "\"result\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":"
                                        "{}},\"serverInfo\":{\"name\":\"origin\",\"version\":\"1.0.0\"}}}";

/* A number as weir writes it, up to what ends it. */
static slice_t id_of(slice_t message)
{
    static const char key[] = "\"id\":";
    const char *at = memmem(message.at, message.len, key, sizeof(key) - 1);
    if (at == NULL)
        return (slice_t){NULL, 0};
    at += sizeof(key) - 1;
    size_t n = 0;
    while (at + n < message.at + message.len && at[n] != ',' && at[n] != '}')
        n++;
    return (slice_t){at, n};
}

static bool has(slice_t message, const char *text)
{
    return memmem(message.at, message.len, text, strlen(text)) != NULL;
}

static size_t put(char *out, size_t used, const char *text, size_t n)
{
    memcpy(out + used, text, n);
    return used + n;
}

static void answer(peer_t *p, slice_t message)
{
    static const char begin[] = "{\"jsonrpc\":\"2.0\",\"id\":";
    char out[1024];
    slice_t id = id_of(message);
    if (id.len == 0 || id.len > 64)
        return;
    const char *result = tool_result;
    if (!has(message, "\"tools/call\""))
        result = has(message, "\"server/discover\"") ? discover_result
                 : has(message, "\"initialize\"")    ? initialize_result
                                                     : tool_result;
    size_t n = put(out, 0, begin, sizeof(begin) - 1);
    n = put(out, n, id.at, id.len);
    n = put(out, n, ",", 1);
    peer_put(p, out, put(out, n, result, strlen(result)));
}

static void serve(peer_t *p)
{
    slice_t message;
    peer_send(p);
    if (peer_has_unsent(p))
        return;
    (void)peer_fill(p); /* something may be left from before */
    while (peer_has_room(p) && peer_next(p, &message)) {
        answer(p, message);
        if (!peer_has_room(p))
            peer_send(p);
    }
    peer_send(p);
}

static int serve_stdio(void)
{
    peer_t p;
    peer_init(&p, STDIN_FILENO, STDOUT_FILENO, FRAMING_NDJSON, 1);
    while (!p.is_over)
        serve(&p);
    return 0;
}

static void welcome(int epoll, int listener, framing_t framing, uint32_t per_frame)
{
    peer_t *p = malloc(sizeof(*p));
    int fd = socket_accept(listener);
    if (fd < 0 || p == NULL)
        return;
    peer_init(p, fd, fd, framing, per_frame);
    if (framing == FRAMING_WS)
        peer_ws_answer(p);
    epoll_watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, p);
}

static void attend(int epoll, peer_t *p)
{
    bool was_waiting = peer_has_unsent(p);
    serve(p);
    if (p->is_over) {
        peer_free(p);
        free(p);
    } else if (was_waiting != peer_has_unsent(p)) {
        epoll_watch(epoll, EPOLL_CTL_MOD, p->rfd, was_waiting ? EPOLLIN : EPOLLOUT, p);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "stdio") == 0)
        return serve_stdio();
    if (argc < 3) {
        fprintf(stderr, "usage: stream_origin ndjson|length|ws ADDRESS:PORT [N] | stream_origin stdio\n");
        return 2;
    }
    struct sockaddr_in addr = address_parse(argv[2]);
    int listener = socket_listen(&addr), epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        struct epoll_event events[CONNS_MAX];
        int n = epoll_wait(epoll, events, CONNS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                welcome(epoll, listener, framing_named(argv[1]), argc > 3 ? (uint32_t)atoi(argv[3]) : 1);
            else
                attend(epoll, events[i].data.ptr);
        }
    }
}

/* run.c: fills in conf/run.yaml, and serves it the ordinary way. What can be told before anything is
 * started is: a program that is not there, an address that is taken.
 */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "master.h"
#include "program.h"
#include "run_yaml.h"
#include "template.h"

#define NAME_SIZE 64

typedef struct run {
    const cli_t *cli;
    char name[NAME_SIZE]; /* what clients are told to call the server */
} run_t;

/* --- what can be told before --- */

static int listen_check(const char *listen, weir_error_t *err)
{
    int fd = address_listen(listen, false, 1, err);
    if (fd >= 0) {
        close(fd);
        return WEIR_OK;
    }
    if (errno != EADDRINUSE)
        return weir_error_wrap(err, "--listen: ");
    return weir_error(err,
                      "cannot listen on %s: another program does; choose another address, for example "
                      "--listen 127.0.0.1:8081, or 127.0.0.1:0 for any",
                      listen);
}

static int path_check(const char *path, weir_error_t *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@%/";
    size_t n = strspn(path, plain);
    if (path[0] != '/')
        return weir_error(err, "--path '%s': a path begins with /", path);
    if (path[n] != '\0')
        return weir_error(err, "--path '%s': '%c' cannot stand in the path of a URL", path, path[n]);
    return WEIR_OK;
}

/* --- what is said when it serves --- */

/* A name for the server: of the first argument that looks like a path or a package, or else of the program. */
static void name_make(run_t *run, const cli_t *cli)
{
    const char *from = cli->program[0];
    for (char *const *word = cli->program; cli->name == NULL && *word != NULL; word++)
        if (strchr(*word, '/') != NULL) {
            from = *word;
            break;
        }
    const char *slash = strrchr(from, '/');
    if (cli->name != NULL)
        from = cli->name;
    else if (slash != NULL && slash[1] != '\0')
        from = slash + 1;
    size_t n = 0;
    for (; *from != '\0' && *from != '@' && n < sizeof(run->name) - 1; from++) {
        bool is_plain = (*from >= '0' && *from <= '9') || (weir_lower(*from) >= 'a' && weir_lower(*from) <= 'z');
        run->name[n++] = is_plain || *from == '_' ? *from : '-';
    }
    run->name[n] = '\0';
    if (n == 0)
        snprintf(run->name, sizeof(run->name), "weir");
}

/* Where a client on this machine reaches an address: one that means all addresses is no place to go to. */
static void host_make(const char *address, char *host, size_t size)
{
    static const char *const any[][2] = {
        {"0.0.0.0:", "127.0.0.1:"}, {"[::]:", "[::1]:"}, {":", "127.0.0.1:"}, {"unix:", "localhost"}};
    for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++) {
        size_t n = strlen(any[i][0]);
        if (strncmp(address, any[i][0], n) == 0) {
            snprintf(host, size, "%s%s", any[i][1], any[i][0][0] == 'u' ? "" : address + n);
            return;
        }
    }
    snprintf(host, size, "%s", address);
}

#define CURL_BODY                                                                                                      \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-06-18\","          \
    "\"capabilities\":{},\"clientInfo\":{\"name\":\"curl\",\"version\":\"1\"}}}"

static void ready_print(const void *arg, const char *address)
{
    const run_t *run = arg;
    char host[ADDRESS_TEXT_MAX + 16], socket[ADDRESS_TEXT_MAX + 32] = "";
    const char *path = run->cli->path;
    host_make(address, host, sizeof(host));
    if (strncmp(address, "unix:", 5) == 0)
        snprintf(socket, sizeof(socket), "--unix-socket %s ", address + 5);
    printf("\nServing at\n\n  http://%s%s\n\n", host, path);
    printf(
        "Try it:\n\n  curl -sS %s-H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' "
        "-d '%s' http://%s%s\n\n",
        socket, CURL_BODY, host, path);
    printf("Connect a client by a command, or in its configuration file:\n\n"
           "  claude mcp add --transport http %s http://%s%s\n"
           "  {\"mcpServers\":{\"%s\":{\"type\":\"http\",\"url\":\"http://%s%s\"}}}\n\n",
           run->name, host, path, run->name, host, path);
    printf("Ctrl-C ends it.\n\n");
    (void)fflush(stdout); /* whoever closed our output does not want to read it */
}

static int run_check(const cli_t *cli, weir_error_t *err)
{
    if (program_check(cli->program[0], NULL, err) != WEIR_OK || path_check(cli->path, err) != WEIR_OK)
        return WEIR_EFAIL;
    return listen_check(cli->listen, err);
}

int run_main(const cli_t *cli, const title_t *title)
{
    weir_error_t err;
    run_t run = {.cli = cli};
    if (run_check(cli, &err) != WEIR_OK) {
        fprintf(stderr, "weir run: %s\n", err.text);
        return EXIT_FAILURE;
    }
    const template_word_t words[] = {{"@LISTEN@", cli->listen, NULL},
                                     {"@PATH@", cli->path, NULL},
                                     {"@COMMAND@", NULL, cli->program},
                                     {NULL, NULL, NULL}};
    char *text = template_fill(weir_run_yaml, words);
    if (text == NULL) {
        fprintf(stderr, "weir run: out of memory\n");
        return EXIT_FAILURE;
    }
    name_make(&run, cli);
    const master_options_t options = {
        .file = "weir run", .text = text, .title = *title, .on_ready = ready_print, .arg = &run};
    int status = master_run(&options);
    free(text);
    return status;
}

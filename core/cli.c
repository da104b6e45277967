/* cli.c: the command line, by tables: one of commands, one of options for each kind of command line. What is wrong is answered by
 * one line that names it, and the nearest thing that is known or where to look.
 */
#include "cli.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_config.h"
#include "suggest.h"

static const char usage[] = "usage: weir [-c FILE] [-d | -t | -s reload|quit|stop|reopen]\n"
                            "       weir run [--listen ADDRESS] [--path PATH] [--name NAME] -- COMMAND...\n"
                            "       weir connect URL\n"
                            "       weir status [--watch [SECONDS] | --json]\n"
                            "       weir modules [NAME] | schema\n"
                            "       weir MODULE WORD UPSTREAM[/SERVER]\n";

static const char help_text[] =
    "\n"
    "Serve, check and control:\n"
    "  -c, --config FILE   the configuration (" WEIR_CONF_FILE ")\n"
    "  -d, --daemon        return when all is ready, and serve in the background\n"
    "  -t, --test          check the configuration and the modules it names, and serve nothing\n"
    "  -s, --signal WORD   tell the running weir: reload the configuration, quit when all is done, stop now,\n"
    "                      reopen the logs (needs `pid_file:` in the configuration)\n"
    "  -v, --version       the version;  -V, --build: and how it was built\n"
    "  -h, --help          this; `weir run --help` says more of run\n"
    "\n"
    "Commands:\n"
    "  run                 serve one MCP server that speaks on stdin and stdout, with no configuration at all\n"
    "  connect URL         speak on stdin and stdout for a client that starts a command, to a server over HTTP\n"
    "  status              a table of what the running weir does (needs `admin:` in the configuration); --json: all "
    "that\n"
    "                      it says of itself; --watch [SECONDS]: again and again, drawn in place on a terminal\n"
    "  modules [NAME]      the modules there are, or the options of one\n"
    "  schema              a JSON Schema of the configuration, for editors\n"
    "  MODULE WORD UPSTREAM[/SERVER]\n"
    "                      tell a module of the running weir to do something (needs `admin:`); `weir modules NAME`\n"
    "                      says which words it knows\n"
    "\n"
    "weir runs in the foreground and ends with Ctrl-C. Status: 0 good, 1 failed, 2 wrong command line.\n";

#define RUN_EXAMPLE "weir run -- npx -y @modelcontextprotocol/server-everything"

static const char run_help[] =
    "usage: weir run [--listen ADDRESS] [--path PATH] [--name NAME] -- COMMAND...\n"
    "\n"
    "Serves one MCP server that speaks on stdin and stdout, over HTTP.\n"
    "\n"
    "  -l, --listen ADDRESS   127.0.0.1:8080 unless given; port 0 takes a free one\n"
    "  -p, --path PATH        /mcp unless given\n"
    "  -n, --name NAME        what clients are told to call it; made from the command unless given\n"
    "\n"
    "example: " RUN_EXAMPLE "\n";

typedef struct word {
    const char *name;
    int value;
} word_t;

static const word_t commands[] = {
    {"run", CLI_RUN},
    {"connect", CLI_CONNECT},
    {"status", CLI_STATUS},
    {"modules", CLI_MODULES},
    {"schema", CLI_SCHEMA},
    {"help", CLI_HELP},
    {NULL, 0},
};

static const word_t signals[] = {
    {"reload", SIGHUP}, {"quit", SIGQUIT}, {"stop", SIGTERM}, {"reopen", SIGUSR1}, {NULL, 0},
};

static const struct option main_options[] = {
    {"config", required_argument, NULL, 'c'}, {"daemon", no_argument, NULL, 'd'},
    {"test", no_argument, NULL, 't'},         {"signal", required_argument, NULL, 's'},
    {"version", no_argument, NULL, 'v'},      {"build", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

static const struct option run_options[] = {
    {"listen", required_argument, NULL, 'l'},
    {"path", required_argument, NULL, 'p'},
    {"name", required_argument, NULL, 'n'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const struct option tool_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const struct option status_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"watch", optional_argument, NULL, 'w'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* --- what is meant --- */

static const char *nearest_word(const char *word, const word_t *known)
{
    const char *found = NULL;
    for (; known->name != NULL; known++)
        found = suggest_nearer(weir_slice_str(word), found, known->name);
    return found;
}

static const char *nearest_option(weir_slice_t word, const struct option *known)
{
    const char *found = NULL;
    for (; known->name != NULL; known++)
        found = suggest_nearer(word, found, known->name);
    return found;
}

/* The one line. `near` is the nearest thing that is known; without it `help` says where to look. */
static void wrong(cli_t *cli, const char *what, const char *word, const char *dashes, const char *near,
                  const char *help)
{
    fprintf(stderr, "weir: %s '%s'; ", what, word);
    if (near != NULL)
        fprintf(stderr, "did you mean '%s%s'?\n", dashes, near);
    else
        fprintf(stderr, "%s\n", help);
    cli->command = CLI_WRONG;
}

static const char see_help[] = "see weir --help", see_run_help[] = "see weir run --help";

/* getopt_long() has returned ':' or '?' for the argument before optind. */
static void wrong_option(cli_t *cli, int option, char **argv, const struct option *known)
{
    const char *help = known == run_options ? see_run_help : see_help;
    char letter[3] = {'-', (char)optopt, '\0'};
    const char *word = optopt != 0 && strncmp(argv[optind - 1], "--", 2) != 0 ? letter : argv[optind - 1];
    if (option == ':') {
        wrong(cli, "a value is missing after", word, "", NULL, help);
        return;
    }
    const char *name = word + strspn(word, "-");
    bool is_long = strncmp(word, "--", 2) == 0;
    wrong(cli, "there is no option", word, "--",
          is_long ? nearest_option(weir_slice(name, strcspn(name, "=")), known) : NULL, help);
}

static int word_value(const char *name, const word_t *known)
{
    for (; known->name != NULL; known++)
        if (strcmp(name, known->name) == 0)
            return known->value;
    return -1;
}

/* --- the command lines --- */

static void main_option(cli_t *cli, int option)
{
    switch (option) {
    case 'c':
        cli->file = optarg;
        cli->is_file_given = true;
        break;
    case 'd':
        cli->is_daemon = true;
        break;
    case 't':
        cli->command = CLI_CHECK;
        break;
    case 's':
        cli->command = CLI_SIGNAL;
        cli->signal = word_value(optarg, signals);
        if (cli->signal < 0)
            wrong(cli, "there is no signal", optarg, "", nearest_word(optarg, signals), see_help);
        break;
    case 'v':
        cli->command = CLI_VERSION;
        break;
    case 'V':
        cli->command = CLI_BUILD;
        break;
    default:
        cli->command = CLI_HELP;
    }
}

static void parse_main(cli_t *cli, int argc, char **argv)
{
    int option;
    while (cli->command != CLI_WRONG && cli->command != CLI_HELP &&
           (option = getopt_long(argc, argv, "+:c:dts:vVh", main_options, NULL)) != -1) {
        if (option == ':' || option == '?')
            wrong_option(cli, option, argv, main_options);
        else
            main_option(cli, option);
    }
}

static void parse_run(cli_t *cli, int argc, char **argv)
{
    int option;
    cli->command = CLI_RUN;
    while ((option = getopt_long(argc, argv, "+:l:p:n:h", run_options, NULL)) != -1) {
        if (option == 'l')
            cli->listen = optarg;
        else if (option == 'p')
            cli->path = optarg;
        else if (option == 'n')
            cli->name = optarg;
        else if (option == 'h')
            *cli = (cli_t){.command = CLI_HELP, .topic = "run"};
        else
            wrong_option(cli, option, argv, run_options);
        if (cli->command != CLI_RUN)
            return;
    }
    cli->program = argv + optind;
    if (optind < argc)
        return;
    fprintf(stderr, "weir: say which server to run, as in: " RUN_EXAMPLE "\n");
    cli->command = CLI_WRONG;
}

static void wrong_url(cli_t *cli)
{
    fprintf(stderr, "weir: say which server to reach, as in: weir connect http://127.0.0.1:8080/mcp\n");
    cli->command = CLI_WRONG;
}

/* connect, status, modules, schema: the same options, before or after the name of a module. */
static void parse_tool(cli_t *cli, cli_command_t command, int argc, char **argv)
{
    int option;
    cli->command = command;
    while ((option = getopt_long(argc, argv, ":c:h", tool_options, NULL)) != -1) {
        if (option == ':' || option == '?')
            wrong_option(cli, option, argv, tool_options);
        else
            main_option(cli, option);
        if (cli->command != command)
            return;
    }
    if (command == CLI_MODULES && optind < argc)
        cli->module = argv[optind++];
    if (command == CLI_COMMAND && optind + 3 <= argc) {
        cli->module = argv[optind];
        cli->word = argv[optind + 1];
        cli->target = argv[optind + 2];
        optind += 3;
    }
    if (command == CLI_CONNECT && optind < argc)
        cli->url = argv[optind++];
    else if (command == CLI_CONNECT)
        wrong_url(cli);
    if (optind < argc)
        wrong(cli, "too much:", argv[optind], "", NULL, see_help);
}

/* Three words of which the first is none of ours: a module's name, what it is told, and about which upstream. */
static bool is_for_module(int argc, char **argv)
{
    return argc >= 3 && argv[0][0] != '-' && argv[1][0] != '-' && argv[2][0] != '-';
}

#define WATCH_SECONDS 1.0
#define WATCH_SECONDS_MAX 3600.0

static void watch_every(cli_t *cli, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end != text && *end == '\0' && seconds >= 0.01 && seconds <= WATCH_SECONDS_MAX)
        cli->watch_ms = (uint64_t)(seconds * 1000);
    else
        wrong(cli, "--watch: seconds from 0.01 to 3600 are expected, not", text, "", NULL, see_help);
}

static void status_option(cli_t *cli, int option)
{
    if (option == 'j')
        cli->is_json = true;
    else if (option != 'w')
        main_option(cli, option);
    else if (optarg != NULL)
        watch_every(cli, optarg);
    else
        cli->watch_ms = (uint64_t)(WATCH_SECONDS * 1000);
}

/* The seconds may stand behind --watch as a word of their own. */
static void parse_status(cli_t *cli, int argc, char **argv)
{
    int option;
    cli->command = CLI_STATUS;
    while (cli->command == CLI_STATUS && (option = getopt_long(argc, argv, ":c:w::jh", status_options, NULL)) != -1) {
        if (option == ':' || option == '?')
            wrong_option(cli, option, argv, status_options);
        else
            status_option(cli, option);
    }
    if (cli->command != CLI_STATUS)
        return;
    if (cli->watch_ms > 0 && optind < argc)
        watch_every(cli, argv[optind++]);
    if (cli->command == CLI_STATUS && optind < argc)
        wrong(cli, "too much:", argv[optind], "", NULL, see_help);
    else if (cli->watch_ms > 0 && cli->is_json)
        wrong(cli, "--watch draws a table, and does not go with", "--json", "", NULL, see_help);
}

static void parse_command(cli_t *cli, int argc, char **argv)
{
    const char *name = argv[0];
    int command = word_value(name, commands);
    if (command < 0 && is_for_module(argc, argv)) {
        optind = 0;
        parse_tool(cli, CLI_COMMAND, argc + 1, argv - 1); /* there is always a word before: the program's own name */
        return;
    }
    if (command < 0) {
        wrong(cli, "there is no command", name, "", nearest_word(name, commands),
              strpbrk(name, "./") == NULL ? see_help : "a configuration is named after -c");
        return;
    }
    if (command == CLI_HELP) {
        *cli = (cli_t){.command = CLI_HELP, .topic = argc > 1 && strcmp(argv[1], "run") == 0 ? "run" : NULL};
        return;
    }
    optind = 0; /* begin anew behind the command (0: glibc forgets the rest of a cluster too) */
    if (command == CLI_RUN)
        parse_run(cli, argc, argv);
    else if (command == CLI_STATUS)
        parse_status(cli, argc, argv);
    else
        parse_tool(cli, (cli_command_t)command, argc, argv);
}

cli_t cli_parse(int argc, char **argv)
{
    cli_t cli = {.command = CLI_SERVE, .file = WEIR_CONF_FILE, .listen = "127.0.0.1:8080", .path = "/mcp"};
    opterr = 0;
    parse_main(&cli, argc, argv);
    if (cli.command == CLI_WRONG || cli.command == CLI_HELP || optind >= argc)
        return cli;
    if (cli.command == CLI_SERVE && !cli.is_daemon)
        parse_command(&cli, argc - optind, argv + optind);
    else
        wrong(&cli, "too much:", argv[optind], "", NULL, see_help);
    return cli;
}

void cli_help(const char *topic)
{
    if (topic == NULL)
        printf("%s%s", usage, help_text);
    else
        fputs(run_help, stdout);
}

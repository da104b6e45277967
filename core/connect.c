/* connect.c: fills in conf/connect.yaml, and serves it the ordinary way. stdout belongs to the client: nothing is said there. */
#include "connect.h"

#include <stdio.h>
#include <stdlib.h>

#include "master.h"
#include "run_yaml.h"
#include "template.h"
#include "url.h"

int connect_main(const cli_t *cli, const title_t *title)
{
    weir_error_t err;
    weir_url_t url;
    const template_word_t words[] = {{"@URL@", cli->url, NULL}, {NULL, NULL, NULL}};
    if (url_parse(cli->url, &url, &err) != WEIR_OK) {
        fprintf(stderr, "weir connect: %s\n", err.text);
        return EXIT_FAILURE;
    }
    char *text = template_fill(weir_connect_yaml, words);
    if (text == NULL) {
        fprintf(stderr, "weir connect: out of memory\n");
        return EXIT_FAILURE;
    }
    const master_options_t options = {.file = "weir connect", .text = text, .title = *title};
    int status = master_run(&options);
    free(text);
    return status;
}

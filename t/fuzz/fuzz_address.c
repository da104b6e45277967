/* fuzz_address.c: addresses as people write them, and ids of events as clients send them back. What is read is written as it was, or as
 * something that is read the same.
 */
#include "fuzz.h"

#include "address.h"
#include "events.h"

static void check_number(const struct address *address)
{
    struct sockaddr_storage sa;
    socklen_t len = 0;
    char text[ADDRESS_TEXT_MAX], host[300];
    struct address again;
    snprintf(host, sizeof(host), "%s%s", address->kind == ADDRESS_UNIX ? "unix:" : "", address->host);
    if (address_number(host, address->port, &sa, &len) != WEIR_OK)
        return;
    FUZZ_CHECK(len > 0 && len <= sizeof(sa));
    size_t n = address_text((struct sockaddr *)&sa, len, text, sizeof(text));
    FUZZ_CHECK(n == strlen(text) && address_parse(text, &again, NULL) == WEIR_OK);
    FUZZ_CHECK(again.kind == address->kind && again.port == address->port);
}

static void check_address(const char *text)
{
    struct address address, again;
    weir_error_t err = {""};
    int result = address_parse(text, &address, &err);
    FUZZ_CHECK((result == WEIR_OK) == (err.text[0] == '\0'));
    FUZZ_CHECK(address_parse(text, &again, NULL) == result);
    if (result != WEIR_OK)
        return;
    FUZZ_CHECK(memchr(address.host, '\0', sizeof(address.host)) != NULL);
    FUZZ_CHECK(strstr(text, address.host) != NULL);
    check_number(&address);
}

static void check_event_id(const char *p, size_t n)
{
    uint32_t stream, number;
    char text[EVENT_ID_MAX];
    char *copy = fuzz_copy(p, n);
    if (event_id_read(weir_slice(copy, n), &stream, &number))
        FUZZ_CHECK(weir_slice_eq(event_id_write(text, stream, number), weir_slice(p, n)));
    fuzz_free(copy, n);
}

static void fuzz_one(const char *p, size_t n)
{
    char *text = malloc(n + 1);
    FUZZ_CHECK(text != NULL);
    if (n > 0)
        memcpy(text, p, n);
    text[n] = '\0';
    check_address(text);
    free(text);
    check_event_id(p, n);
}

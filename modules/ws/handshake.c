/* handshake.c: the parts of the opening handshake that both sides need (RFC 6455, 4). */
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "ws.h"

weir_slice_t head_value(const weir_head_t *head, weir_slice_t name)
{
    for (uint16_t i = 0; i < head->nfields; i++)
        if (weir_slice_ieq(head->fields[i].name, name))
            return head->fields[i].value;
    return weir_slice(NULL, 0);
}

/* The next element of a list, by its separator; false when there is none. */
static bool next_of(weir_slice_t *list, char separator, weir_slice_t *element)
{
    if (list->n == 0)
        return false;
    const char *at = memchr(list->p, separator, list->n);
    size_t n = at == NULL ? list->n : (size_t)(at - list->p);
    size_t used = at == NULL ? n : n + 1;
    *element = weir_slice_trim(weir_slice(list->p, n));
    *list = weir_slice(list->p + used, list->n - used);
    return true;
}

bool has_token(weir_slice_t list, weir_slice_t token)
{
    weir_slice_t element;
    while (next_of(&list, ',', &element))
        if (weir_slice_ieq(element, token))
            return true;
    return false;
}

void handshake_accept(weir_slice_t key, char accept[ACCEPT_SIZE + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_SIZE + sizeof(guid)];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    size_t key_n = key.n < KEY_SIZE ? key.n : KEY_SIZE;
    memcpy(text, key.p, key_n);
    memcpy(text + key_n, guid, sizeof(guid) - 1);
    accept[0] = '\0';
    if (EVP_Digest(text, key_n + sizeof(guid) - 1, digest, &n, EVP_sha1(), NULL) == 1)
        (void)EVP_EncodeBlock((unsigned char *)accept, digest, (int)n);
}

void handshake_key(char key[KEY_SIZE + 1])
{
    unsigned char nonce[16] = {0};
    if (RAND_bytes(nonce, sizeof(nonce)) != 1)
        memset(nonce, 'w', sizeof(nonce)); /* it guards against caches, not against people */
    (void)EVP_EncodeBlock((unsigned char *)key, nonce, sizeof(nonce));
}

/* A window of our own choice, or the full one: a smaller one for what we send is not kept to. */
static bool parameters_fit(weir_slice_t parameters)
{
    weir_slice_t parameter;
    while (next_of(&parameters, ';', &parameter))
        if (weir_slice_starts(parameter, WEIR_LIT("server_max_window_bits")))
            return false;
    return true;
}

bool offers_deflate(weir_slice_t extensions)
{
    weir_slice_t offer, name;
    while (next_of(&extensions, ',', &offer))
        if (next_of(&offer, ';', &name) && weir_slice_ieq(name, WEIR_LIT("permessage-deflate")) &&
            parameters_fit(offer))
            return true;
    return false;
}

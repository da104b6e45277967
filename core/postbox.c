/* postbox.c: see postbox.h. */
#include "postbox.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "ids.h"
#include "listener.h"
#include "log.h"
#include "proc.h"

struct weir_postbox {
    uint32_t number;
    uint8_t key[POSTBOX_KEY_SIZE], bound[POSTBOX_BOUND_SIZE];
    char address[WEIR_POSTBOX_ADDRESS];
    weir_postbox_take_fn take;
    void *owner;
};

struct postboxes {
    ids_t boxes, posts;
    weir_list_t on_their_way; /* weir_post_t.node */
};

/* What an address says, in the order in which it stands there. */
typedef struct address {
    uint16_t worker;
    uint32_t generation, box;
    uint8_t key[POSTBOX_KEY_SIZE];
} __attribute__((packed)) address_t;

_Static_assert(2 * sizeof(address_t) == WEIR_POSTBOX_ADDRESS, "an address is written in hexadecimal digits");

static postboxes_t *postboxes(void)
{
    if (proc->postboxes == NULL && (proc->postboxes = calloc(1, sizeof(*proc->postboxes))) != NULL) {
        ids_init(&proc->postboxes->boxes, IDS_MAX);
        ids_init(&proc->postboxes->posts, IDS_MAX);
        weir_list_init(&proc->postboxes->on_their_way);
    }
    return proc->postboxes;
}

void postboxes_free(void)
{
    if (proc->postboxes == NULL)
        return;
    ids_free(&proc->postboxes->boxes);
    ids_free(&proc->postboxes->posts);
    free(proc->postboxes);
    proc->postboxes = NULL;
}

/* ---- addresses ---- */

static void address_write(const address_t *address, char text[WEIR_POSTBOX_ADDRESS])
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = (const uint8_t *)address;
    for (size_t i = 0; i < sizeof(*address); i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool address_read(weir_slice_t text, address_t *address)
{
    uint8_t *bytes = (uint8_t *)address;
    if (text.n != WEIR_POSTBOX_ADDRESS)
        return false;
    for (size_t i = 0; i < sizeof(*address); i++) {
        int high = digit_of(text.p[2 * i]), low = digit_of(text.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Who a box is for. A listener's name ends with a NUL, which no Authorization holds, and so does that before a principal. */
static bool bind_to(const weir_listener_t *listener, weir_slice_t authorization, weir_slice_t principal,
                    uint8_t bound[POSTBOX_BOUND_SIZE])
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_made = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(digest, listener->name, strlen(listener->name) + 1) == 1 &&
                   (authorization.n == 0 || EVP_DigestUpdate(digest, authorization.p, authorization.n) == 1) &&
                   (principal.n == 0 || (EVP_DigestUpdate(digest, "", 1) == 1 &&
                                         EVP_DigestUpdate(digest, principal.p, principal.n) == 1)) &&
                   EVP_DigestFinal_ex(digest, bound, NULL) == 1;
    EVP_MD_CTX_free(digest);
    return is_made;
}

/* ---- boxes ---- */

weir_postbox_t *postbox_open(weir_listener_t *listener, weir_slice_t authorization, weir_slice_t principal,
                             weir_postbox_take_fn take, void *owner)
{
    weir_postbox_t *box = calloc(1, sizeof(*box));
    address_t address = {.worker = (uint16_t)proc->slot, .generation = proc->generation};
    if (box == NULL || postboxes() == NULL || !bind_to(listener, authorization, principal, box->bound) ||
        RAND_bytes(box->key, sizeof(box->key)) != 1 || (box->number = ids_put(&proc->postboxes->boxes, box)) == 0) {
        free(box);
        return NULL;
    }
    box->take = take;
    box->owner = owner;
    address.box = box->number;
    memcpy(address.key, box->key, sizeof(address.key));
    address_write(&address, box->address);
    return box;
}

weir_slice_t postbox_address(const weir_postbox_t *box)
{
    return weir_slice(box->address, sizeof(box->address));
}

void postbox_close(weir_postbox_t *box)
{
    if (box == NULL)
        return;
    ids_remove(&proc->postboxes->boxes, box->number);
    free(box);
}

/* A message has come to this worker. */
static int box_take(const post_head_t *head, const weir_chunk_t *message)
{
    const weir_postbox_t *box = proc->postboxes == NULL ? NULL : ids_get(&proc->postboxes->boxes, head->box);
    if (box == NULL || CRYPTO_memcmp(box->key, head->key, sizeof(box->key)) != 0 ||
        CRYPTO_memcmp(box->bound, head->bound, sizeof(box->bound)) != 0)
        return WEIR_ECLOSED;
    return box->take(box->owner, message);
}

/* ---- messages on their way ---- */

void post_forget(weir_post_t *post)
{
    if (post->id == 0)
        return;
    ids_remove(&proc->postboxes->posts, post->id);
    weir_list_remove(&post->node);
    post->id = 0;
}

static void post_done(weir_post_t *post, int result)
{
    post_forget(post);
    post->done(post->arg, result);
}

static bool is_here(post_place_t place)
{
    return place.worker == proc->slot && place.generation == proc->generation;
}

static void post_relay(weir_post_t *post, const post_head_t *head, const weir_chunk_t *message)
{
    post->id = postboxes() == NULL ? 0 : ids_put(&proc->postboxes->posts, post);
    if (post->id == 0) {
        post->done(post->arg, WEIR_EFULL);
        return;
    }
    post->worker = head->to.worker;
    post->generation = head->to.generation;
    weir_list_append(&proc->postboxes->on_their_way, &post->node);
    frame_t frame = {.word = FRAME_POST, .id = post->id};
    weir_chunk_t parts[] = {{.bytes = weir_slice((const char *)head, sizeof(*head))}, *message};
    post->keeper = channel_relay(head->box, &frame, parts, 2);
    if (post->keeper < 0)
        post_done(post, WEIR_EFAIL);
}

void post_send(weir_post_t *post, weir_listener_t *listener, weir_slice_t address, weir_slice_t authorization,
               weir_slice_t principal, const weir_chunk_t *message)
{
    address_t to;
    post_head_t head = {.from = {proc->slot, proc->generation}};
    if (!address_read(address, &to)) {
        post->done(post->arg, WEIR_ECLOSED);
        return;
    }
    if (!bind_to(listener, authorization, principal, head.bound)) {
        post->done(post->arg, WEIR_EFAIL);
        return;
    }
    head.to = (post_place_t){to.worker, to.generation};
    head.box = to.box;
    memcpy(head.key, to.key, sizeof(head.key));
    if (is_here(head.to))
        post->done(post->arg, box_take(&head, message));
    else
        post_relay(post, &head, message);
}

/* ---- what comes over channels ---- */

static void take_relayed(wire_t *wire, const frame_t *frame, const post_head_t *head, weir_slice_t bytes)
{
    weir_chunk_t message = {.bytes = bytes, .buf = wire->in};
    post_head_t answer = {.to = head->from, .from = head->to};
    frame_t posted = {.word = FRAME_POSTED, .id = frame->id};
    weir_chunk_t part = {.bytes = weir_slice((const char *)&answer, sizeof(answer))};
    posted.arg = (uint16_t)-box_take(head, &message);
    wire_write(wire, &posted, &part, 1);
}

static void tell_of_end(post_place_t gone)
{
    WEIR_LIST_EACH(&proc->postboxes->on_their_way, it) {
        weir_post_t *post = WEIR_CONTAINER(it, weir_post_t, node);
        if (post->worker == gone.worker && post->generation == gone.generation)
            post_done(post, WEIR_ECLOSED);
    }
}

static void on_frame(wire_t *wire, const frame_t *frame, weir_slice_t payload)
{
    post_head_t head;
    if (payload.n < sizeof(head))
        return;
    memcpy(&head, payload.p, sizeof(head));
    if (frame->word == FRAME_POST) {
        take_relayed(wire, frame, &head, weir_slice(payload.p + sizeof(head), payload.n - sizeof(head)));
        return;
    }
    if (proc->postboxes == NULL)
        return;
    weir_post_t *post = frame->word == FRAME_POSTED ? ids_get(&proc->postboxes->posts, frame->id) : NULL;
    if (frame->word == FRAME_LEFT)
        tell_of_end(head.from);
    else if (post != NULL)
        post_done(post, -(int)frame->arg);
}

/* A keeper is down: nobody knows what became of the messages that went through it. */
static void on_lost(int keeper)
{
    if (proc->postboxes == NULL)
        return;
    WEIR_LIST_EACH(&proc->postboxes->on_their_way, it) {
        weir_post_t *post = WEIR_CONTAINER(it, weir_post_t, node);
        if (post->keeper == keeper)
            post_done(post, WEIR_EFAIL);
    }
}

const channel_post_t postbox_channel = {.frame = on_frame, .lost = on_lost};

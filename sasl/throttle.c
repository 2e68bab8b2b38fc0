#include "sasl/throttle.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "gateway/base/clock.h"
#include "gateway/base/hmac.h"
#include "gateway/base/mem.h"

#define KEY_LEN      16
#define FAILURES_MAX 1000

struct record {
    RB_ENTRY(record) node;
    TAILQ_ENTRY(record) used; /* the least recently used is first */
    uint8_t key[KEY_LEN];
    unsigned failures;
    unsigned open; /* exchanges; such a record stays */
    int64_t since; /* when failures was counted or halved last */
};

static int record_cmp(const struct record *a, const struct record *b)
{
    return memcmp(a->key, b->key, KEY_LEN);
}

RB_HEAD(record_tree, record);
RB_GENERATE_INTERNAL(record_tree, record, node, record_cmp, static __attribute__((unused)))

struct throttle {
    struct throttle_limits limits;
    uint8_t secret[HMAC_LEN];
    struct record_tree tree;
    TAILQ_HEAD(, record) order;
    size_t count;
};

struct throttle *throttle_new(const struct throttle_limits *limits)
{
    struct throttle *t = mem_zalloc(sizeof(*t));
    t->limits = *limits;
    arc4random_buf(t->secret, sizeof(t->secret));
    RB_INIT(&t->tree);
    TAILQ_INIT(&t->order);
    return t;
}

static void record_free(struct throttle *t, struct record *r)
{
    RB_REMOVE(record_tree, &t->tree, r);
    TAILQ_REMOVE(&t->order, r, used);
    t->count--;
    free(r);
}

void throttle_free(struct throttle **pt)
{
    struct throttle *t = *pt;
    if (t == NULL)
        return;
    *pt = NULL;
    while (!TAILQ_EMPTY(&t->order))
        record_free(t, TAILQ_FIRST(&t->order));
    free(t);
}

/* Makes room for one more. Open records are bounded by the exchanges, not by the table. */
static void throttle_evict(struct throttle *t)
{
    struct record *r, *next;
    unsigned looked = 0;
    TAILQ_FOREACH_SAFE (r, &t->order, used, next) {
        if (t->count < t->limits.entries || looked++ == 64)
            return;
        if (r->open == 0)
            record_free(t, r);
    }
}

/* The record of a name; NULL where there is none and make is false. Halves what is old. */
static struct record *throttle_find(struct throttle *t, const void *name, size_t len, bool make)
{
    struct record want = {0}, *r;
    uint8_t hash[HMAC_LEN];
    int64_t now = clock_now_ms();

    hmac_sha256(t->secret, sizeof(t->secret), name, len, hash);
    memcpy(want.key, hash, KEY_LEN);
    r = RB_FIND(record_tree, &t->tree, &want);
    if (r == NULL) {
        if (!make)
            return NULL;
        throttle_evict(t);
        r = mem_zalloc(sizeof(*r));
        memcpy(r->key, want.key, KEY_LEN);
        r->since = now;
        RB_INSERT(record_tree, &t->tree, r);
        t->count++;
    } else {
        TAILQ_REMOVE(&t->order, r, used);
    }
    TAILQ_INSERT_TAIL(&t->order, r, used);
    while (r->failures > 0 && now - r->since >= t->limits.memory) {
        r->failures /= 2;
        r->since += t->limits.memory;
    }
    return r;
}

/* The record of an address' first bits under a letter that says what is counted. */
static struct record *throttle_prefix(struct throttle *t, char what, const struct netaddr *peer,
                                      unsigned bits, bool make)
{
    uint8_t name[2 + sizeof(peer->bytes)] = {(uint8_t)what, peer->family};
    size_t len = bits / 8;
    memcpy(name + 2, peer->bytes, len);
    if (bits % 8 != 0) {
        name[2 + len] = (uint8_t)(peer->bytes[len] & (0xff << (8 - bits % 8)));
        len++;
    }
    return throttle_find(t, name, 2 + len, make);
}

/* For exchanges that are open. */
static struct record *throttle_peer(struct throttle *t, const struct netaddr *peer, bool make)
{
    return throttle_prefix(t, 'p', peer, peer->family == 4 ? 32 : peer->family == 6 ? 64 : 0, make);
}

static struct record *throttle_address(struct throttle *t, const struct netaddr *peer)
{
    return throttle_prefix(t, 'a', peer,
                           peer->family == 4   ? 32
                           : peer->family == 6 ? 128
                                               : 0,
                           true);
}

static struct record *throttle_network(struct throttle *t, const struct netaddr *peer)
{
    return throttle_prefix(t, 'n', peer,
                           peer->family == 4   ? t->limits.bits_ipv4
                           : peer->family == 6 ? t->limits.bits_ipv6
                                               : 0,
                           true);
}

static struct record *throttle_login(struct throttle *t, const char *login, bool make)
{
    size_t len = strlen(login) + 2;
    char *name = mem_printf("l:%s", login);
    struct record *r = throttle_find(t, name, len, make);
    free(name);
    return r;
}

bool throttle_enter(struct throttle *t, const struct netaddr *peer)
{
    struct record *r = throttle_peer(t, peer, true);
    if (r->open >= t->limits.peer_max)
        return false;
    r->open++;
    return true;
}

void throttle_leave(struct throttle *t, const struct netaddr *peer)
{
    struct record *r = throttle_peer(t, peer, false);
    if (r == NULL || r->open == 0)
        return;
    if (--r->open == 0 && r->failures == 0)
        record_free(t, r);
}

static unsigned record_failed(struct record *r)
{
    if (r->failures == 0)
        r->since = clock_now_ms();
    if (r->failures < FAILURES_MAX)
        r->failures++;
    return r->failures;
}

int64_t throttle_failed(struct throttle *t, const struct netaddr *peer, const char *login)
{
    unsigned n = record_failed(throttle_login(t, login, true));
    if (peer != NULL) {
        unsigned m = record_failed(throttle_address(t, peer));
        unsigned all = record_failed(throttle_network(t, peer));
        n = m > n ? m : n;
        if (all > t->limits.network_free && all - t->limits.network_free > n)
            n = all - t->limits.network_free;
    }
    int64_t delay = t->limits.delay;
    while (--n > 0 && delay < t->limits.delay_max)
        delay *= 2;
    return delay < t->limits.delay_max ? delay : t->limits.delay_max;
}

void throttle_succeeded(struct throttle *t, const char *login)
{
    struct record *r = throttle_login(t, login, false);
    if (r == NULL)
        return;
    r->failures = 0;
    if (r->open == 0)
        record_free(t, r);
}

bool throttle_claim(struct throttle *t, const char *login)
{
    struct record *r = throttle_login(t, login, true);
    if (r->open >= t->limits.login_max)
        return false;
    r->open++;
    return true;
}

void throttle_release(struct throttle *t, const char *login)
{
    struct record *r = throttle_login(t, login, false);
    if (r == NULL || r->open == 0)
        return;
    if (--r->open == 0 && r->failures == 0)
        record_free(t, r);
}

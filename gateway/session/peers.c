#include "gateway/session/peers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>

#include "conf/networks.h"
#include "gateway/base/mem.h"

struct peer {
    RB_ENTRY(peer) node;
    uint8_t key[1 + 8]; /* family, and the address or its first half */
    unsigned count;
};

static int peer_cmp(const struct peer *a, const struct peer *b)
{
    return memcmp(a->key, b->key, sizeof(a->key));
}

RB_HEAD(peer_tree, peer);
RB_GENERATE_INTERNAL(peer_tree, peer, node, peer_cmp, static __attribute__((unused)))

struct peers {
    struct peer_tree tree;
    unsigned limit;
    struct networks trusted;
};

struct peers *peers_new(const struct conf_list *trusted, unsigned limit)
{
    struct peers *p = mem_zalloc(sizeof(*p));
    RB_INIT(&p->tree);
    p->limit = limit;
    networks_read(&p->trusted, trusted);
    return p;
}

void peers_free(struct peers **pp)
{
    struct peers *p = *pp;
    struct peer *r;
    if (p == NULL)
        return;
    *pp = NULL;
    while ((r = RB_ROOT(&p->tree)) != NULL) {
        RB_REMOVE(peer_tree, &p->tree, r);
        free(r);
    }
    networks_free(&p->trusted);
    free(p);
}

static struct peer *peer_find(struct peers *p, const struct netaddr *addr, bool make)
{
    struct peer want = {.key = {addr->family}}, *r;
    memcpy(want.key + 1, addr->bytes, addr->family == 4 ? 4 : 8);
    r = RB_FIND(peer_tree, &p->tree, &want);
    if (r != NULL || !make)
        return r;
    r = mem_zalloc(sizeof(*r));
    memcpy(r->key, want.key, sizeof(r->key));
    RB_INSERT(peer_tree, &p->tree, r);
    return r;
}

bool peers_enter(struct peers *p, const struct netaddr *addr)
{
    if (networks_contain(&p->trusted, addr))
        return true;
    struct peer *r = peer_find(p, addr, true);
    if (r->count >= p->limit)
        return false;
    r->count++;
    return true;
}

void peers_leave(struct peers *p, const struct netaddr *addr)
{
    struct peer *r = peer_find(p, addr, false);
    if (r == NULL || --r->count > 0)
        return;
    RB_REMOVE(peer_tree, &p->tree, r);
    free(r);
}

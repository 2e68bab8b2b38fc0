#include "gateway/base/ticket_used.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "gateway/base/mem.h"

/* The time and the hash over owner and session id: one login, whoever shows it. */
struct used {
    RB_ENTRY(used) node;
    TAILQ_ENTRY(used) link;
    uint8_t ticket[TICKET_LEN];
};

RB_HEAD(used_tree, used);

struct ticket_used {
    struct used_tree tree;
    TAILQ_HEAD(, used) order; /* as they came, which is nearly the order of their times */
    size_t count, limit;
};

static int used_compare(const struct used *a, const struct used *b)
{
    return memcmp(a->ticket, b->ticket, TICKET_LEN);
}

RB_GENERATE_INTERNAL(used_tree, used, node, used_compare, static __attribute__((unused)));

static void used_remove(struct ticket_used *t, struct used *u)
{
    RB_REMOVE(used_tree, &t->tree, u);
    TAILQ_REMOVE(&t->order, u, link);
    t->count--;
    free(u);
}

struct ticket_used *ticket_used_new(size_t limit)
{
    struct ticket_used *t = mem_zalloc(sizeof(*t));
    RB_INIT(&t->tree);
    TAILQ_INIT(&t->order);
    t->limit = limit;
    return t;
}

void ticket_used_free(struct ticket_used **used)
{
    struct ticket_used *t = *used;
    if (t == NULL)
        return;
    while (!TAILQ_EMPTY(&t->order))
        used_remove(t, TAILQ_FIRST(&t->order));
    free(t);
    *used = NULL;
}

bool ticket_used_allows(struct ticket_used *t, const uint8_t ticket[TICKET_LEN], int64_t now)
{
    struct used *u, key;
    while ((u = TAILQ_FIRST(&t->order)) != NULL && ticket_until(u->ticket) < now)
        used_remove(t, u);
    memcpy(key.ticket, ticket, TICKET_LEN);
    return RB_FIND(used_tree, &t->tree, &key) == NULL && t->count < t->limit;
}

void ticket_used_add(struct ticket_used *t, const uint8_t ticket[TICKET_LEN])
{
    struct used *u = mem_zalloc(sizeof(*u));
    memcpy(u->ticket, ticket, TICKET_LEN);
    if (RB_INSERT(used_tree, &t->tree, u) != NULL) {
        free(u);
        return;
    }
    TAILQ_INSERT_TAIL(&t->order, u, link);
    t->count++;
}

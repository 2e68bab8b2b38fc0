/*
 * Keys of TLS session tickets. Three at a time: the one that makes tickets, the next one, which
 * every process knows before the first ticket is made with it, and the one before, whose tickets
 * are still good.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/event/tls.h"
#include "gateway/master/master.h"

enum {
    TICKET_CURRENT,
    TICKET_NEXT,
    TICKET_BEFORE,
    TICKET_COUNT
};
_Static_assert(TICKET_COUNT <= TLS_TICKET_KEYS, "a context takes that many");

struct tls_keys {
    struct master *master;
    struct timer *timer;
    uint8_t key[TICKET_COUNT][TLS_TICKET_KEY_LEN];
};

static void tls_keys_arm(struct tls_keys *t)
{
    timer_set(t->timer, t->master->generation->conf->tls_ticket_lifetime);
}

static void tls_keys_rotate(void *arg)
{
    struct tls_keys *t = arg;
    struct process *p;
    memcpy(t->key[TICKET_BEFORE], t->key[TICKET_CURRENT], TLS_TICKET_KEY_LEN);
    memcpy(t->key[TICKET_CURRENT], t->key[TICKET_NEXT], TLS_TICKET_KEY_LEN);
    arc4random_buf(t->key[TICKET_NEXT], TLS_TICKET_KEY_LEN);
    TAILQ_FOREACH (p, &t->master->processes, link)
        process_send_tls_keys(p);
    log_debug("keys of session tickets replaced");
    tls_keys_arm(t);
}

struct tls_keys *tls_keys_new(struct master *m)
{
    struct tls_keys *t = mem_zalloc(sizeof(*t));
    t->master = m;
    arc4random_buf(t->key, sizeof(t->key));
    t->timer = timer_new(m->loop, tls_keys_rotate, t);
    tls_keys_arm(t);
    return t;
}

void tls_keys_free(struct tls_keys **t)
{
    if (*t == NULL)
        return;
    timer_free(&(*t)->timer);
    mem_wipe_free(*t, sizeof(**t));
    *t = NULL;
}

const void *tls_keys_get(const struct tls_keys *t, size_t *len)
{
    *len = sizeof(t->key);
    return t->key;
}

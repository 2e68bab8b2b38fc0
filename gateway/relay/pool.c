/* The cache of idle sessions. */
#include "gateway/relay/pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "gateway/base/clock.h"
#include "gateway/base/mem.h"

struct kept {
    TAILQ_ENTRY(kept) entry;
    struct pool *pool;
    struct smtp_client *client;
    int64_t until;
    char key[];
};

struct pool {
    struct timer *timer;
    TAILQ_HEAD(kept_list, kept) kept; /* oldest first: all are kept equally long */
    size_t count, limit;
    int64_t idle, reuse;
};

/* Takes an entry out and gives its client up. */
static struct smtp_client *kept_remove(struct kept *k)
{
    struct smtp_client *client = k->client;

    TAILQ_REMOVE(&k->pool->kept, k, entry);
    k->pool->count--;
    free(k);
    return client;
}

static void kept_quit(struct kept *k)
{
    struct smtp_client *client = kept_remove(k);

    smtp_client_quit(&client);
}

static void arm(struct pool *p)
{
    struct kept *k = TAILQ_FIRST(&p->kept);

    if (k == NULL) {
        timer_stop(p->timer);
        return;
    }
    int64_t left = k->until - clock_now_ms();
    timer_set(p->timer, left > 0 ? left : 0);
}

static void on_timer(void *arg)
{
    struct pool *p = arg;
    struct kept *k;
    int64_t now = clock_now_ms();

    while ((k = TAILQ_FIRST(&p->kept)) != NULL && k->until <= now)
        kept_quit(k);
    arm(p);
}

/* The server ended an idle session. */
static void on_failed(struct smtp_client *c, const struct smtp_trouble *trouble, void *arg)
{
    (void)trouble;
    kept_remove(arg);
    smtp_client_free(&c);
}

struct pool *pool_new(struct loop *loop, size_t limit, int64_t idle_ms, int64_t reuse_ms)
{
    struct pool *p = mem_zalloc(sizeof(*p));

    p->timer = timer_new(loop, on_timer, p);
    p->limit = limit;
    p->idle = idle_ms;
    p->reuse = reuse_ms;
    TAILQ_INIT(&p->kept);
    return p;
}

void pool_clear(struct pool *p)
{
    while (!TAILQ_EMPTY(&p->kept))
        kept_quit(TAILQ_FIRST(&p->kept));
    timer_stop(p->timer);
}

void pool_free(struct pool **p)
{
    if (*p == NULL)
        return;
    pool_clear(*p);
    timer_free(&(*p)->timer);
    free(*p);
    *p = NULL;
}

void pool_put(struct pool *p, const char *key, struct smtp_client **c)
{
    static const struct smtp_client_ops ops = {.failed = on_failed};
    int64_t now = clock_now_ms();

    if (!smtp_client_reusable(*c) || p->limit == 0 || p->idle == 0 ||
        now - smtp_client_since(*c) >= p->reuse) {
        smtp_client_quit(c);
        return;
    }
    if (p->count == p->limit)
        kept_quit(TAILQ_FIRST(&p->kept));
    size_t len = strlen(key) + 1;
    struct kept *k = mem_zalloc(sizeof(*k) + len);
    memcpy(k->key, key, len);
    k->pool = p;
    k->client = *c;
    k->until = now + p->idle;
    smtp_client_set_ops(k->client, &ops, k);
    TAILQ_INSERT_TAIL(&p->kept, k, entry);
    p->count++;
    *c = NULL;
    if (!timer_pending(p->timer))
        arm(p);
}

struct smtp_client *pool_take(struct pool *p, const char *key)
{
    struct kept *k;

    /* The newest: the server is least likely to have closed it. */
    TAILQ_FOREACH_REVERSE(k, &p->kept, kept_list, entry)
    if (strcmp(k->key, key) == 0)
        return kept_remove(k);
    return NULL;
}

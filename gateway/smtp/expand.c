/*
 * Large groups. RCPT accepts one without looking into it; when the message has arrived, its members
 * are read some at a time, so that no other session waits for them, and become targets of the
 * transaction like all others. What the directory said is durable with the envelope, before the
 * 250.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/smtp/smtpd.h"

/* What one step may use. */
#define STEP_MAX ((size_t)16 << 20)

struct list {
    STAILQ_ENTRY(list) link;
    struct resolve_list at;
    const char *original; /* the recipient it was reached by */
    char *dn;
};

struct expansion {
    struct session *session;
    struct arena *arena; /* of the step at hand */
    struct timer *timer; /* the next step */
    STAILQ_HEAD(, list) lists;
    struct list *current;
    expand_done *done;
};

int expand_add(struct session *s, const struct delivery *d, const char *original)
{
    struct transaction *tx = s->tx;
    struct list *list;

    if (tx->expansion == NULL) {
        tx->expansion = mem_zalloc(sizeof(*tx->expansion));
        tx->expansion->session = s;
        STAILQ_INIT(&tx->expansion->lists);
    }
    STAILQ_FOREACH (list, &tx->expansion->lists, link)
        if (uuid_eq(&list->at.group, &d->owner))
            return 0;
    list = arena_alloc(tx->arena, sizeof(*list));
    if (list == NULL)
        return -1;
    list->at = *d->list;
    list->original = original;
    list->dn = arena_strdup(tx->arena, d->dn);
    STAILQ_INSERT_TAIL(&tx->expansion->lists, list, link);
    return 0;
}

void expand_free(struct expansion **xp)
{
    struct expansion *x = *xp;

    *xp = NULL;
    if (x == NULL)
        return;
    timer_free(&x->timer);
    arena_free(&x->arena);
    free(x);
}

/* The end; the transaction goes on, or ends with a reply. */
static void finish(struct expansion *x, enum expand_result result, const char *reason)
{
    struct session *s = x->session;
    const struct list *list = x->current;

    if (result != EXPAND_DONE)
        log_warning("group cannot be expanded", LOG_STR("id", s->id),
                    LOG_STR("dn", list != NULL ? list->dn : NULL),
                    LOG_UINT("recipients", s->tx->target_count), LOG_STR("reason", reason));
    x->done(s, result);
}

static void step(void *arg)
{
    struct expansion *x = arg;
    struct transaction *tx = x->session->tx;
    struct resolution res = {.answer = ANSWER_UNKNOWN, .reason = "the replica cannot be read"};
    bool room = true;

    arena_reset(x->arena);
    struct snapshot *snap = snapshot_take(x->session->d->evaluator.directory);
    if (snap != NULL)
        resolve_members(snap, &x->current->at, x->arena, &res);
    for (size_t i = 0; res.answer == ANSWER_FOUND && room && i < res.count; i++)
        room = transaction_target(x->session, &res.deliveries[i], x->current->original) == 0;
    if (res.answer != ANSWER_FOUND) {
        finish(x, EXPAND_UNKNOWN, res.reason);
    } else if (!room) {
        finish(x, EXPAND_TOO_MANY, "qmgr_message_recipient_limit");
    } else {
        if (x->current->at.done)
            x->current = STAILQ_NEXT(x->current, link);
        if (x->current != NULL)
            timer_set(x->timer, 0);
        else if (tx->target_count == 0)
            finish(x, EXPAND_NOBODY, "no member leads to a recipient");
        else
            finish(x, EXPAND_DONE, NULL);
    }
    snapshot_release(&snap);
}

bool expand(struct session *s, expand_done *done)
{
    struct expansion *x = s->tx->expansion;

    if (x == NULL)
        return false;
    x->current = STAILQ_FIRST(&x->lists);
    x->done = done;
    x->arena = arena_new(STEP_MAX);
    x->timer = timer_new(s->d->loop, step, x);
    timer_set(x->timer, 0);
    session_wait(s, true);
    return true;
}

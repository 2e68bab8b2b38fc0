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
    struct part *part;
    const char *original; /* the recipient it was reached by */
    struct rcpt_options options;
    char *dn;
};

struct expansion {
    struct session *session;
    struct arena *arena; /* of the step at hand */
    struct timer *timer; /* the next step */
    STAILQ_HEAD(, list) lists;
    struct list *current;
    struct directory_query *query; /* what the memberURLs of current find */
    struct uuid *found;            /* then */
    size_t found_count, found_next;
    expand_done *done;
};

int expand_add(struct session *s, struct part *part, const struct delivery *d, const char *original,
               const struct rcpt_options *options)
{
    struct transaction *tx = s->tx;
    struct list *list;

    if (tx->expansion == NULL) {
        tx->expansion = mem_zalloc(sizeof(*tx->expansion));
        tx->expansion->session = s;
        STAILQ_INIT(&tx->expansion->lists);
    }
    STAILQ_FOREACH (list, &tx->expansion->lists, link)
        if (uuid_eq(&list->at.group, &d->owner) && list->part == part)
            return 0;
    list = arena_alloc(tx->arena, sizeof(*list));
    if (list == NULL)
        return -1;
    list->at = *d->list;
    list->part = part;
    list->original = original;
    list->options = *options;
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
    directory_query_cancel(&x->query);
    free(x->found);
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

static void members_found(enum answer answer, const struct uuid *uuids, size_t n,
                          const char *reason, void *arg)
{
    struct expansion *x = arg;

    x->query = NULL;
    if (answer != ANSWER_FOUND) {
        finish(x, EXPAND_UNKNOWN, reason);
        return;
    }
    x->found = mem_alloc((n + 1) * sizeof(*uuids));
    if (n > 0)
        memcpy(x->found, uuids, n * sizeof(*uuids));
    x->found_count = n;
    x->found_next = 0;
    timer_set(x->timer, 0);
}

/* The members at hand are done with: the dynamic ones of the same group, or the next group. */
static void go_on(struct expansion *x)
{
    struct session *s = x->session;

    if (x->current->at.dynamic && x->found == NULL) {
        x->query =
            directory_members(s->d->evaluator.directory, &x->current->at.group, members_found, x);
        if (x->query == NULL)
            finish(x, EXPAND_UNKNOWN, "the directory service is away");
        return;
    }
    free(x->found);
    x->found = NULL;
    x->current = STAILQ_NEXT(x->current, link);
    if (x->current != NULL)
        timer_set(x->timer, 0);
    else if (s->tx->target_count == 0)
        finish(x, EXPAND_NOBODY, "no member leads to a recipient");
    else
        finish(x, EXPAND_DONE, NULL);
}

/* The next members; whether there are more. */
static bool next_members(struct expansion *x, struct snapshot *snap, struct resolution *res)
{
    size_t n = x->found_count - x->found_next;
    size_t most = (size_t)x->session->d->conf->alias_expansion_step;

    if (x->found == NULL) {
        resolve_members(snap, &x->current->at, x->arena, res);
        return !x->current->at.done;
    }
    if (n > most)
        n = most;
    resolve_entries(snap, &x->current->at, x->found + x->found_next, n, x->arena, res);
    x->found_next += n;
    return x->found_next < x->found_count;
}

static void step(void *arg)
{
    struct expansion *x = arg;
    struct resolution res = {.answer = ANSWER_UNKNOWN, .reason = "the replica cannot be read"};
    bool room = true, more = false;

    arena_reset(x->arena);
    struct snapshot *snap = snapshot_take(x->session->d->evaluator.directory);
    if (snap != NULL)
        more = next_members(x, snap, &res);
    for (size_t i = 0; res.answer == ANSWER_FOUND && room && i < res.count; i++)
        room = transaction_target(x->session, x->current->part, &res.deliveries[i],
                                  x->current->original, &x->current->options) == 0;
    const char *reason = res.reason != NULL ? arena_strdup(x->arena, res.reason) : NULL;
    snapshot_release(&snap);
    if (res.answer != ANSWER_FOUND)
        finish(x, EXPAND_UNKNOWN, reason);
    else if (!room)
        finish(x, EXPAND_TOO_MANY, "qmgr_message_recipient_limit");
    else if (more)
        timer_set(x->timer, 0);
    else
        go_on(x);
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

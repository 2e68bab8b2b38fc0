/* What restrictions want done with a message that is accepted. */
#include <stdlib.h>
#include <string.h>

#include "gateway/smtp/smtpd.h"

/* Adds text to a list without doubles; one that is full keeps what it has. */
static void keep(struct transaction *tx, const char **list, size_t *count, const char *text)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(list[i], text) == 0)
            return;
    char *copy = arena_strdup(tx->arena, text);
    if (copy != NULL && *count < RESTRICTION_EFFECTS_MAX)
        list[(*count)++] = copy;
}

static void take(struct transaction *tx, const struct restriction_effect *effects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct restriction_effect *e = &effects[i];
        switch (e->kind) {
        case EFFECT_DISCARD:
            tx->discard = true;
            break;
        case EFFECT_REDIRECT:
            tx->redirect = arena_strdup(tx->arena, e->text);
            break;
        case EFFECT_FILTER:
            tx->filter = arena_strdup(tx->arena, e->text);
            break;
        case EFFECT_HOLD:
            if (tx->hold == NULL)
                tx->hold = arena_strdup(tx->arena, e->text);
            break;
        case EFFECT_BCC:
            keep(tx, tx->bcc, &tx->bcc_count, e->text);
            break;
        case EFFECT_PREPEND:
            keep(tx, tx->prepend, &tx->prepend_count, e->text);
            break;
        }
    }
}

void transaction_take_effects(struct transaction *tx, const struct restriction_run *run)
{
    take(tx, run->effects, run->effect_count);
}

/* ---- of stages before MAIL ---- */

struct early_effects {
    struct restriction_effect v[RESTRICTION_EFFECTS_MAX];
    size_t count;
};

void effects_free(struct early_effects **effects)
{
    struct early_effects *e = *effects;

    *effects = NULL;
    while (e != NULL && e->count > 0)
        free(e->v[--e->count].text);
    free(e);
}

void effects_keep(struct early_effects **effects, struct restriction_run *run)
{
    effects_free(effects);
    if (run->effect_count == 0)
        return;
    struct early_effects *e = *effects = mem_zalloc(sizeof(*e));
    memcpy(e->v, run->effects, sizeof(e->v));
    e->count = run->effect_count;
    run->effect_count = 0; /* the texts are ours now */
}

void transaction_take_early(struct transaction *tx, const struct early_effects *effects)
{
    if (effects != NULL)
        take(tx, effects->v, effects->count);
}

/* ---- what comes of them ---- */

/* Nothing is left of where the message was to go. */
static void drop_targets(struct transaction *tx)
{
    STAILQ_INIT(&tx->parts);
    tx->target_count = 0;
    expand_free(&tx->expansion);
}

/* Adds where an address of ours leads; what is refused here was promised by an administrator. */
static int add_address(struct session *s, struct snapshot *snap, const char *action,
                       const char *address, unsigned notify)
{
    const struct rcpt_options options = {.notify = notify};
    struct resolution res = {.answer = ANSWER_UNKNOWN, .reason = "the replica cannot be read"};
    int rc = 0;

    if (snap != NULL)
        resolve_recipient(snap, address, false, s->tx->arena, &res);
    if (res.answer != ANSWER_FOUND) {
        log_error("action leads nowhere", LOG_STR("id", s->id), LOG_STR("action", action),
                  LOG_STR("to", address), LOG_STR("reason", res.reason));
        return -1;
    }
    for (size_t i = 0; i < res.count && rc == 0; i++)
        rc = transaction_target(s, NULL, &res.deliveries[i], address, &options);
    return rc;
}

/*
 * A filter gets the message for the recipients as they were given: what it sends back is resolved
 * then, once.
 */
static int filter_targets(struct session *s)
{
    struct transaction *tx = s->tx;
    const struct recipient *r;
    struct delivery d = {.kind = DELIVERY_HOST, .host = tx->filter};
    static const struct rcpt_options none, never = {.notify = QUEUE_NOTIFY_NEVER};
    int rc = 0;

    drop_targets(tx);
    if (tx->redirect != NULL) {
        d.address = tx->redirect;
        rc = transaction_target(s, NULL, &d, tx->redirect, &none);
    } else {
        STAILQ_FOREACH (r, &tx->recipients, link) {
            d.address = r->address;
            if (rc == 0)
                rc = transaction_target(s, NULL, &d, r->address, &r->options);
        }
    }
    for (size_t i = 0; i < tx->bcc_count && rc == 0; i++) {
        d.address = tx->bcc[i];
        rc = transaction_target(s, NULL, &d, tx->bcc[i], &never);
    }
    return rc;
}

int transaction_apply_effects(struct session *s)
{
    struct transaction *tx = s->tx;
    int rc = 0;

    if (tx->filter != NULL)
        return filter_targets(s);
    if (tx->redirect == NULL && tx->bcc_count == 0)
        return 0;
    struct snapshot *snap = snapshot_take(s->d->evaluator.directory);
    if (tx->redirect != NULL) {
        drop_targets(tx);
        rc = add_address(s, snap, "REDIRECT", tx->redirect, 0);
    }
    for (size_t i = 0; i < tx->bcc_count && rc == 0; i++)
        rc = add_address(s, snap, "BCC", tx->bcc[i], QUEUE_NOTIFY_NEVER);
    snapshot_release(&snap);
    return rc;
}

/* A transaction: the sender, the recipients, and where the message has to go, each place once. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/smtp/smtpd.h"

/* Everything in it is bounded by parameters; this is the bound of bounds. */
#define TRANSACTION_MAX ((size_t)512 << 20)

static int target_cmp(const struct target *a, const struct target *b)
{
    const struct queue_rcpt *x = &a->rcpt, *y = &b->rcpt;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->kind == QUEUE_RCPT_MAILBOX)
        return memcmp(&x->owner, &y->owner, sizeof(x->owner));
    int c = strcmp(x->host != NULL ? x->host : "", y->host != NULL ? y->host : "");
    return c != 0 ? c : strcmp(x->address, y->address);
}

RB_GENERATE_INTERNAL(target_tree, target, node, target_cmp, static __attribute__((unused)));

struct transaction *transaction_new(void)
{
    struct transaction *tx = mem_zalloc(sizeof(*tx));

    tx->arena = arena_new(TRANSACTION_MAX);
    STAILQ_INIT(&tx->recipients);
    STAILQ_INIT(&tx->parts);
    return tx;
}

void transaction_end(struct session *s)
{
    struct transaction *tx = s->tx;

    if (tx == NULL)
        return;
    if (tx->reverse_id != 0)
        filter_cancel(s->d->filter, tx->reverse_id);
    s->tx = NULL;
    s->mode = s->chunk.left > 0 ? MODE_CHUNK : MODE_COMMAND;
    message_free(&tx->message);
    expand_free(&tx->expansion);
    for (size_t i = 0; i < tx->data_list_count; i++)
        restriction_list_unref(&tx->data_lists[i].list);
    arena_free(&tx->arena);
    free(tx);
    directory_query_cancel(&s->want);
    evaluation_free(&s->eval);
}

/* What both want to hear of: nothing said is the wish to hear of failures. */
static unsigned merge_notify(unsigned a, unsigned b)
{
    if (a == b)
        return a;
    unsigned both = (a != 0 ? a : QUEUE_NOTIFY_FAILURE) | (b != 0 ? b : QUEUE_NOTIFY_FAILURE);
    return both & ~(unsigned)QUEUE_NOTIFY_NEVER;
}

/* ---- parts ---- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* The part for a recipient whose lists want this; NULL where memory is full. */
static struct part *part_for(struct transaction *tx, const struct list_outcome *list,
                             const char *address)
{
    struct part *part;

    STAILQ_FOREACH (part, &tx->parts, link)
        if (!part->forwarded && same_text(part->moderated, list->moderated) &&
            same_text(part->return_path, list->errors_to))
            return part;
    part = arena_alloc(tx->arena, sizeof(*part));
    if (part == NULL)
        return NULL;
    part->address = address;
    if (list->moderated != NULL)
        part->moderated = arena_strdup(tx->arena, list->moderated);
    if (list->errors_to != NULL)
        part->return_path = arena_strdup(tx->arena, list->errors_to);
    if (!same_text(part->moderated, list->moderated) ||
        !same_text(part->return_path, list->errors_to))
        return NULL;
    STAILQ_INIT(&part->targets);
    RB_INIT(&part->tree);
    STAILQ_INSERT_TAIL(&tx->parts, part, link);
    return part;
}

/* The part of what is forwarded to addresses elsewhere; NULL where memory is full. */
static struct part *forwarded_part(struct transaction *tx, const char *address)
{
    struct part *part;

    STAILQ_FOREACH (part, &tx->parts, link)
        if (part->forwarded)
            return part;
    part = arena_alloc(tx->arena, sizeof(*part));
    if (part == NULL)
        return NULL;
    part->address = address;
    part->forwarded = true;
    part->return_path = tx->forward_sender;
    STAILQ_INIT(&part->targets);
    RB_INIT(&part->tree);
    STAILQ_INSERT_TAIL(&tx->parts, part, link);
    return part;
}

/* Whether SPF would fail where this goes. */
static bool is_forwarded(const struct session *s, const struct part *part, const struct delivery *d,
                         const char *original)
{
    return *s->d->conf->srs_domain != '\0' && d->kind == DELIVERY_REMOTE &&
           s->tx->sender.full[0] != '\0' && part->return_path == NULL && part->moderated == NULL &&
           strcasecmp(d->address, original) != 0;
}

const char *transaction_sender(const struct transaction *tx, const struct part *part)
{
    return part != NULL && part->return_path != NULL ? part->return_path : tx->sender.full;
}

/* A place that is certain to get the message already, or to be asked for in the same part. */
static struct target *find_target(struct transaction *tx, struct part *at, struct target *key)
{
    struct part *part;

    STAILQ_FOREACH (part, &tx->parts, link) {
        struct target *t =
            part == at || part->moderated == NULL ? RB_FIND(target_tree, &part->tree, key) : NULL;
        if (t != NULL)
            return t;
    }
    return NULL;
}

/* ---- targets ---- */

/* Adds a target, or finds the one that is there; strings are copied. */
static int put_target(struct session *s, struct part *part, const struct queue_rcpt *rcpt)
{
    struct transaction *tx = s->tx;
    struct target key = {.rcpt = *rcpt}, *t = find_target(tx, part, &key);

    if (t != NULL) {
        t->rcpt.notify = merge_notify(t->rcpt.notify, rcpt->notify);
        return 0;
    }
    if (tx->target_count >= (size_t)s->d->conf->qmgr_message_recipient_limit)
        return -1;
    t = arena_alloc(tx->arena, sizeof(*t));
    if (t == NULL)
        return -1;
    t->rcpt = *rcpt;
    t->rcpt.address = arena_strdup(tx->arena, rcpt->address);
    if (rcpt->host != NULL)
        t->rcpt.host = arena_strdup(tx->arena, rcpt->host);
    if (t->rcpt.address == NULL || (rcpt->host != NULL && t->rcpt.host == NULL))
        return -1;
    RB_INSERT(target_tree, &part->tree, t);
    STAILQ_INSERT_TAIL(&part->targets, t, link);
    part->target_count++;
    tx->target_count++;
    return 0;
}

void transaction_forward(struct transaction *tx, const char *sender)
{
    struct part *part;

    if (*sender == '\0')
        return;
    tx->forward_sender = arena_strdup(tx->arena, sender);
    STAILQ_FOREACH (part, &tx->parts, link)
        if (part->forwarded)
            part->return_path = tx->forward_sender;
}

int transaction_target(struct session *s, struct part *part, const struct delivery *d,
                       const char *original, const struct rcpt_options *options)
{
    static const struct list_outcome plain;

    if (part == NULL && (part = part_for(s->tx, &plain, original)) == NULL)
        return -1;
    if (d->kind == DELIVERY_LIST)
        return expand_add(s, part, d, original, options);
    if (is_forwarded(s, part, d, original) && (part = forwarded_part(s->tx, original)) == NULL)
        return -1;
    struct queue_rcpt rcpt = {.kind = d->kind == DELIVERY_MAILBOX ? QUEUE_RCPT_MAILBOX
                                                                  : QUEUE_RCPT_REMOTE,
                              .owner = d->owner,
                              .address = d->address,
                              .original = original,
                              .host = d->kind == DELIVERY_HOST ? d->host : NULL,
                              .notify = options->notify,
                              .orcpt = options->orcpt};

    return put_target(s, part, &rcpt);
}

/*
 * An address that stands for several (RFC 3461 section 5.2.7.3): who wanted to hear of its success
 * hears that it was expanded, once, and not of each delivery.
 */
static int add_expansion(struct session *s, struct part *part, const char *address,
                         struct rcpt_options *options)
{
    struct queue_rcpt rcpt = {.kind = QUEUE_RCPT_EXPANDED,
                              .address = address,
                              .original = address,
                              .notify = options->notify,
                              .orcpt = options->orcpt};

    if (!(options->notify & QUEUE_NOTIFY_SUCCESS))
        return 0;
    options->notify &= ~(unsigned)QUEUE_NOTIFY_SUCCESS;
    if (options->notify == 0)
        options->notify = QUEUE_NOTIFY_NEVER;
    return s->tx->sender.full[0] == '\0' ? 0 : put_target(s, part, &rcpt);
}

int transaction_add(struct session *s, const char *address, const struct rcpt_options *given,
                    const struct resolution *res, const struct list_outcome *list)
{
    struct rcpt_options options = *given;
    struct transaction *tx = s->tx;
    size_t max = (size_t)s->d->conf->qmgr_message_recipient_limit;

    if (tx->target_count + res->count > max)
        return -1;
    struct recipient *r = arena_alloc(tx->arena, sizeof(*r));
    char *text = arena_strdup(tx->arena, address);
    if (r == NULL || text == NULL)
        return -1;
    r->address = text;
    struct part *part = part_for(tx, list, text);
    if (part == NULL)
        return -1;
    if (list->max_size > 0 && (tx->max_size == 0 || list->max_size < tx->max_size))
        tx->max_size = list->max_size;
    if (options.orcpt != NULL && (options.orcpt = arena_strdup(tx->arena, options.orcpt)) == NULL)
        return -1;
    r->options = options;
    bool several = res->count > 1 || (res->count == 1 && res->deliveries[0].kind == DELIVERY_LIST);
    if (several && add_expansion(s, part, r->address, &options) != 0)
        return -1;
    for (size_t i = 0; i < res->count; i++)
        if (transaction_target(s, part, &res->deliveries[i], r->address, &options) != 0)
            return -1;
    STAILQ_INSERT_TAIL(&tx->recipients, r, link);
    tx->recipient_count++;
    return 0;
}

int transaction_add_data_list(struct transaction *tx, struct restriction_list *list, const char *dn)
{
    for (size_t i = 0; i < tx->data_list_count; i++) {
        if (tx->data_lists[i].list == list) {
            restriction_list_unref(&list);
            return 0;
        }
    }
    if (restriction_list_len(list) == 0) {
        restriction_list_unref(&list);
        return 0;
    }
    if (tx->data_list_count == DATA_LISTS_MAX) {
        restriction_list_unref(&list);
        return -1;
    }
    tx->data_lists[tx->data_list_count++] = (struct restriction_step){
        .stage = STAGE_DATA, .list = list, .dn = dn != NULL ? arena_strdup(tx->arena, dn) : NULL};
    return 0;
}

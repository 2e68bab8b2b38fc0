/*
 * Jobs for dirigo-relay: the recipients of one message with one next hop. Each destination has a
 * queue of its own and a bound on what runs at one time; destinations take turns.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/queue/queue.h"

#define RELAYS_TEXT_MAX  512 /* of a remote reply that is kept */
#define RELAYS_SLOTS_MAX 10000

struct destination {
    RB_ENTRY(destination) link;
    TAILQ_ENTRY(destination) ready_link;
    bool ready; /* in the list of those that can start a job */
    uint32_t active;
    struct job_list jobs; /* not given to a relay */
    char name[];
};

struct outcome {
    enum relay_status status;
    const char *host;
    const char *text;
    bool told; /* the host knows what the sender wants to hear of */
};

static int destination_compare(const struct destination *a, const struct destination *b)
{
    return strcmp(a->name, b->name);
}

RB_GENERATE_INTERNAL(destination_tree, destination, link, destination_compare,
                     __attribute__((unused)) static)

/* ---- destinations ---- */

static struct destination *destination_get(struct queue *q, const char *name)
{
    size_t len = strlen(name) + 1;
    struct destination *d = mem_zalloc(sizeof(*d) + len);
    memcpy(d->name, name, len);
    struct destination *known = RB_INSERT(destination_tree, &q->destinations, d);
    if (known != NULL) {
        free(d);
        return known;
    }
    TAILQ_INIT(&d->jobs);
    return d;
}

/* Puts it into, or takes it out of, the list of those that can start a job; drops it when idle. */
static void destination_changed(struct queue *q, struct destination *d)
{
    bool ready =
        !TAILQ_EMPTY(&d->jobs) && d->active < (uint32_t)q->conf->smtp_destination_concurrency_limit;
    if (ready && !d->ready)
        TAILQ_INSERT_TAIL(&q->ready, d, ready_link);
    else if (!ready && d->ready)
        TAILQ_REMOVE(&q->ready, d, ready_link);
    d->ready = ready;
    if (TAILQ_EMPTY(&d->jobs) && d->active == 0) {
        RB_REMOVE(destination_tree, &q->destinations, d);
        free(d);
    }
}

/* Where a recipient goes: the hop behind "smtp:", "[host]" that the directory names, else the
 * address's domain. */
static char *next_hop(const struct envelope_rcpt *r)
{
    if (r->host != NULL && strncmp(r->host, QUEUE_HOST_SMTP, strlen(QUEUE_HOST_SMTP)) == 0)
        return mem_strdup(r->host + strlen(QUEUE_HOST_SMTP));
    if (r->host != NULL && *r->host != '\0')
        return *r->host == '[' ? mem_strdup(r->host) : mem_printf("[%s]", r->host);
    const char *at = strrchr(r->address, '@');
    char *name = mem_strdup(at == NULL ? "" : at + 1);
    str_lower(name);
    return name;
}

/* ---- jobs ---- */

static uint64_t job_rank(const struct job *job)
{
    uint64_t priority = job->waiting->envelope->options.priority;
    return priority == QUEUE_PRIORITY_NONE ? QUEUE_PRIORITY(0) : priority;
}

static void job_free(struct job *job)
{
    LIST_REMOVE(job, by_message);
    job->waiting->queue->job_count--;
    free(job);
}

static void rcpt_outcome(struct waiting *w, struct envelope_rcpt *r, const struct outcome *o)
{
    struct queue *q = w->queue;
    static const char *const event[] = {"message sent", "delivery deferred", "delivery failed"};
    char text[RELAYS_TEXT_MAX];
    strlcpy(text, o->text == NULL ? "" : o->text, sizeof(text));
    envelope_set(&r->status, text);
    strlcpy(text, o->host == NULL ? "" : o->host, sizeof(text));
    envelope_set(&r->remote, *text == '\0' ? NULL : text);
    r->busy = false;
    if (o->status == RELAY_SENT) {
        if (o->told)
            r->done = true;
        else
            envelope_rcpt_end(w->envelope, r, ENVELOPE_RELAYED);
        q->counters.sent++;
    } else if (o->status == RELAY_BOUNCED) {
        envelope_rcpt_end(w->envelope, r, ENVELOPE_BOUNCED);
        q->counters.bounced++;
    } else {
        q->counters.deferred++;
    }
    log_info(event[o->status], LOG_STR("id", w->envelope->id), LOG_STR("to", r->address),
             LOG_STR("relay", r->remote), LOG_STR("status", r->status));
}

/* Ends a job that has left both lists, with one outcome for each recipient or one for all. */
static void job_end(struct job *job, const struct outcome *outcomes, size_t n)
{
    struct waiting *w = job->waiting;
    for (size_t i = 0; i < job->count; i++)
        rcpt_outcome(w, &w->envelope->rcpts[job->rcpts[i]], &outcomes[n == 1 ? 0 : i]);
    job_free(job);
    waiting_job_done(w);
}

static int job_send(struct job *job, struct peer *relay)
{
    struct queue *q = job->waiting->queue;
    const struct envelope *e = job->waiting->envelope;
    int fd = spool_open_message(&q->spool, e->id);
    if (fd < 0)
        return -1;
    struct msg *m = msg_new(QUEUE_MSG_RELAY_JOB);
    msg_put_str(m, job->name);
    msg_put_str(m, e->id);
    msg_put_str(m, e->sender);
    msg_put_u64(m, e->size);
    msg_put_u32(m, (uint32_t)e->trace);
    msg_put_bool(m, e->body_8bit != 0);
    queue_options_put(m, &e->options);
    msg_put_str(m, job->destination->name);
    msg_put_u32(m, (uint32_t)job->count);
    for (size_t i = 0; i < job->count; i++) {
        const struct envelope_rcpt *r = &e->rcpts[job->rcpts[i]];
        msg_put_str(m, r->address);
        msg_put_u8(m, (uint8_t)r->notify);
        msg_put_str(m, r->orcpt);
    }
    msg_put_fd(m, fd);
    ipc_reply(relay->ipc, 0, &m);
    return 0;
}

static struct peer *relays_free_one(struct queue *q)
{
    struct peer *p;
    TAILQ_FOREACH (p, &q->relays, relay_link)
        if (p->active < p->slots)
            return p;
    return NULL;
}

static void relays_dispatch(struct queue *q)
{
    struct destination *d;
    struct peer *relay;
    while ((d = TAILQ_FIRST(&q->ready)) != NULL && (relay = relays_free_one(q)) != NULL) {
        struct job *job = TAILQ_FIRST(&d->jobs);
        TAILQ_REMOVE(&d->jobs, job, link);
        if (job_send(job, relay) < 0) {
            struct outcome o = {.status = RELAY_DEFERRED, .text = strerror(errno)};
            log_error("spool file cannot be read", LOG_STR("id", job->waiting->envelope->id),
                      LOG_ERRNO(errno));
            destination_changed(q, d);
            job_end(job, &o, 1);
            continue;
        }
        job->relay = relay;
        TAILQ_INSERT_TAIL(&relay->jobs, job, link);
        relay->active++;
        d->active++;
        /* Both go to the end of their lines. */
        TAILQ_REMOVE(&q->relays, relay, relay_link);
        TAILQ_INSERT_TAIL(&q->relays, relay, relay_link);
        TAILQ_REMOVE(&q->ready, d, ready_link);
        d->ready = false;
        destination_changed(q, d);
    }
}

/* Behind the jobs of its priority (RFC 6710), before those of lower ones. */
static void job_line_up(struct job *job)
{
    struct job_list *list = &job->destination->jobs;
    uint64_t rank = job_rank(job);
    struct job *before = TAILQ_LAST(list, job_list);
    while (before != NULL && job_rank(before) < rank)
        before = TAILQ_PREV(before, job_list, link);
    if (before != NULL)
        TAILQ_INSERT_AFTER(list, before, job, link);
    else
        TAILQ_INSERT_HEAD(list, job, link);
}

/* One job with the recipients that share the next hop of the i-th, as many as the limit allows. */
static void relays_make_job(struct waiting *w, size_t i)
{
    struct queue *q = w->queue;
    struct envelope *e = w->envelope;
    size_t max = (size_t)q->conf->smtp_destination_recipient_limit;
    char *hop = next_hop(&e->rcpts[i]);
    struct job *job = mem_zalloc(sizeof(*job) + max * sizeof(job->rcpts[0]));
    for (; i < e->rcpt_count && job->count < max; i++) {
        struct envelope_rcpt *r = &e->rcpts[i];
        if (r->kind != QUEUE_RCPT_REMOTE || !envelope_rcpt_pending(r) || r->busy)
            continue;
        char *other = next_hop(r);
        if (strcmp(hop, other) == 0) {
            r->busy = true;
            job->rcpts[job->count++] = i;
        }
        free(other);
    }
    snprintf(job->name, sizeof(job->name), "%.16s.%" PRIu64, e->id, ++q->job_number);
    job->waiting = w;
    job->destination = destination_get(q, hop);
    job_line_up(job);
    LIST_INSERT_HEAD(&w->job_list, job, by_message);
    q->job_count++;
    w->jobs++;
    destination_changed(q, job->destination);
    free(hop);
}

void relays_try(struct waiting *w)
{
    struct envelope *e = w->envelope;
    for (size_t i = 0; i < e->rcpt_count; i++) {
        struct envelope_rcpt *r = &e->rcpts[i];
        if (r->kind == QUEUE_RCPT_REMOTE && envelope_rcpt_pending(r) && !r->busy)
            relays_make_job(w, i);
    }
    relays_dispatch(w->queue);
}

void relays_cancel(struct waiting *w)
{
    struct job *job, *next;
    LIST_FOREACH_SAFE (job, &w->job_list, by_message, next) {
        if (job->relay != NULL)
            continue;
        TAILQ_REMOVE(&job->destination->jobs, job, link);
        destination_changed(w->queue, job->destination);
        for (size_t i = 0; i < job->count; i++)
            w->envelope->rcpts[job->rcpts[i]].busy = false;
        job_free(job);
        w->jobs--;
    }
}

/* ---- relays ---- */

void relays_ready(struct peer *peer, uint32_t slots)
{
    if (!peer->is_relay) {
        peer->is_relay = true;
        TAILQ_INSERT_TAIL(&peer->queue->relays, peer, relay_link);
    }
    peer->slots = slots < RELAYS_SLOTS_MAX ? slots : RELAYS_SLOTS_MAX;
    relays_dispatch(peer->queue);
}

/* Takes a job from its relay; its destination may start another. */
static void job_leave(struct job *job)
{
    struct peer *relay = job->relay;
    TAILQ_REMOVE(&relay->jobs, job, link);
    relay->active--;
    job->destination->active--;
    destination_changed(relay->queue, job->destination);
    job->destination = NULL;
    job->relay = NULL;
}

int relays_done(struct peer *peer, struct msg *m)
{
    const char *name = msg_get_str(m);
    uint32_t n = msg_get_u32(m);
    struct job *job;
    if (!msg_ok(m) || name == NULL || n == 0)
        return -1;
    TAILQ_FOREACH (job, &peer->jobs, link)
        if (strcmp(job->name, name) == 0)
            break;
    if (job == NULL || n != job->count)
        return -1;
    struct outcome *outcomes = mem_zalloc(n * sizeof(*outcomes));
    int r = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t status = msg_get_u8(m);
        outcomes[i].status = (enum relay_status)status;
        outcomes[i].host = msg_get_str(m);
        outcomes[i].text = msg_get_str(m);
        outcomes[i].told = msg_get_bool(m);
        if (status > RELAY_BOUNCED)
            r = -1;
    }
    if (msg_end(m) < 0)
        r = -1;
    if (r == 0) {
        job_leave(job);
        job_end(job, outcomes, n);
        relays_dispatch(peer->queue);
    }
    free(outcomes);
    return r;
}

void relays_peer_gone(struct peer *peer)
{
    struct job *job;
    static const struct outcome lost = {.status = RELAY_DEFERRED,
                                        .text = "the relay ended before it reported"};
    if (!peer->is_relay)
        return;
    TAILQ_REMOVE(&peer->queue->relays, peer, relay_link);
    peer->is_relay = false;
    while ((job = TAILQ_FIRST(&peer->jobs)) != NULL) {
        job->waiting->lost = true;
        job_leave(job);
        job_end(job, &lost, 1);
    }
}

void relays_free(struct queue *q)
{
    struct destination *d, *next;
    for (struct waiting *w = waiting_after(q, ""); w != NULL;
         w = waiting_after(q, w->envelope->id)) {
        struct job *job;
        while ((job = LIST_FIRST(&w->job_list)) != NULL)
            job_free(job);
    }
    RB_FOREACH_SAFE(d, destination_tree, &q->destinations, next)
    {
        RB_REMOVE(destination_tree, &q->destinations, d);
        free(d);
    }
}

/*
 * What waits in the spool: for a relay, for a mailbox that could not be written to, or for its
 * bounce to be sent.
 *
 * A try makes jobs of all that is left; when the last has been reported on, what is left then goes
 * into the journal, after that into the spool, and the message is scheduled again or ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/queue/deliver.h"
#include "gateway/queue/queue.h"
#include "gateway/queue/replay.h"

#define WAITING_AGAIN_MS 5000 /* after the journal or the spool failed */
#define WAITING_LOST_MS  1000 /* the least wait after a relay went away */
#define WAITING_TEXT_MAX ((size_t)64 << 20)
#define WAITING_SLEEP_MS                                                                           \
    60000 /* the longest the timer is set for, so that due times stay exact                        \
           */

static int waiting_compare(const struct waiting *a, const struct waiting *b)
{
    return strcmp(a->envelope->id, b->envelope->id);
}

RB_GENERATE_INTERNAL(waiting_tree, waiting, link, waiting_compare, __attribute__((unused)) static)

struct waiting *waiting_find(struct queue *q, const char *id)
{
    struct envelope e = {.id = (char *)id};
    struct waiting key = {.envelope = &e};
    return RB_FIND(waiting_tree, &q->waiting, &key);
}

struct waiting *waiting_after(struct queue *q, const char *id)
{
    struct envelope e = {.id = (char *)id};
    struct waiting key = {.envelope = &e};
    struct waiting *w = RB_NFIND(waiting_tree, &q->waiting, &key);
    if (w != NULL && strcmp(w->envelope->id, id) == 0)
        w = RB_NEXT(waiting_tree, &q->waiting, w);
    return w;
}

/* ---- schedule ---- */

static void waiting_arm(struct queue *q)
{
    struct schedule_entry *first = schedule_first(&q->schedule);
    if (first == NULL) {
        timer_stop(q->schedule_timer);
        return;
    }
    int64_t ms = first->due - clock_now_ms();
    timer_set(q->schedule_timer, ms < 0 ? 0 : ms < WAITING_SLEEP_MS ? ms : WAITING_SLEEP_MS);
}

static void waiting_schedule(struct waiting *w, enum waiting_state state, int64_t ms)
{
    w->state = state;
    schedule_set(&w->queue->schedule, &w->entry, clock_now_ms() + ms);
    waiting_arm(w->queue);
}

static void set_hold(struct waiting *w, const char *why)
{
    w->queue->held_count -= w->envelope->hold != NULL;
    envelope_set(&w->envelope->hold, why);
    w->queue->held_count += w->envelope->hold != NULL;
}

/* Held for as long as it takes, or until whoever is to decide has not. */
static void waiting_held(struct waiting *w)
{
    int64_t by = (int64_t)w->envelope->options.decide_by;
    int64_t left = (by - clock_wall()) * 1000;
    w->state = WAITING_HELD;
    if (by != 0)
        waiting_schedule(w, WAITING_HELD, left > 0 ? left : 0);
}

static void waiting_free(struct waiting *w)
{
    struct queue *q = w->queue;
    RB_REMOVE(waiting_tree, &q->waiting, w);
    q->waiting_count--;
    schedule_remove(&q->schedule, &w->entry);
    set_hold(w, NULL);
    envelope_free(&w->envelope);
    buf_free(&w->op.head);
    free(w->wish_why);
    free(w);
}

void waiting_add(struct queue *q, struct envelope *e, uint64_t file_generation)
{
    if (waiting_find(q, e->id) != NULL) {
        envelope_free(&e); /* the same id cannot come twice: the spool has one file of it */
        return;
    }
    struct waiting *w = mem_zalloc(sizeof(*w));
    w->queue = q;
    w->envelope = e;
    w->file_generation = file_generation;
    LIST_INIT(&w->job_list);
    RB_INSERT(waiting_tree, &q->waiting, w);
    q->waiting_count++;
    if (e->hold != NULL) {
        q->held_count++;
        waiting_held(w);
        return;
    }
    int64_t wait = ((int64_t)e->next - clock_wall()) * 1000;
    if (wait > q->conf->maximal_backoff_time && e->next != e->options.hold_until)
        wait = q->conf->maximal_backoff_time; /* the clock was wrong, then or now */
    waiting_schedule(w, WAITING_SCHEDULED, wait > 0 ? wait : 0);
}

/* ---- after a try: the journal, then the spool ---- */

static void waiting_update(struct waiting *w);

static void update_run(void *arg)
{
    struct waiting *w = arg;
    struct queue *q = w->queue;
    int r = w->envelope->rcpt_count > 0
                ? spool_write(&q->spool, w->envelope)
                : spool_remove(&q->spool, w->envelope->id, w->file_generation == 0);
    w->error = r < 0 ? errno : 0;
}

/* The spool has what is left: the next try, or what was wished for meanwhile. */
static void waiting_go_on(struct waiting *w)
{
    int wish = w->wish;
    w->wish = WISH_NONE;
    if (w->deleted)
        waiting_schedule(w, WAITING_SCHEDULED, 0);
    else if (w->envelope->hold != NULL)
        waiting_held(w);
    else if (envelope_owed(w->envelope) && !w->bounce_tried) {
        w->report_only = true;
        waiting_schedule(w, WAITING_SCHEDULED, 0);
    } else {
        waiting_schedule(w, WAITING_SCHEDULED, w->wait);
    }
    if (wish == WISH_HOLD)
        waiting_hold(w, w->wish_why);
    else if (wish == WISH_RELEASE)
        waiting_release(w);
}

static void update_done(void *arg)
{
    struct waiting *w = arg;
    struct queue *q = w->queue;
    if (q->stopping)
        return;
    uint64_t generation = w->op.generation;
    if (w->error != 0) {
        /* The record holds its half until the spool is up to date. */
        log_error("spool cannot be written; it is tried again", LOG_STR("id", w->envelope->id),
                  LOG_ERRNO(w->error));
        waiting_schedule(w, WAITING_AGAIN, WAITING_AGAIN_MS);
        return;
    }
    w->op.durable = false;
    if (w->envelope->rcpt_count == 0) {
        log_info("message done", LOG_STR("id", w->envelope->id));
        if (w->file_generation != 0)
            commit_spent(q, w->envelope->id, w->file_generation);
        waiting_free(w);
    } else {
        waiting_go_on(w);
    }
    group_release(q->group, generation);
}

static void update_journalled(struct group_op *op)
{
    struct waiting *w = (struct waiting *)((char *)op - offsetof(struct waiting, op));
    buf_free(&op->head);
    if (!op->durable) {
        waiting_schedule(w, WAITING_AGAIN, WAITING_AGAIN_MS);
        return;
    }
    /* A large message's file goes when the half that relies on it does. */
    if (!group_covers(w->queue->group, w->file_generation))
        w->file_generation = 0;
    worker_run(w->queue->linker, update_run, update_done, w);
}

static void waiting_update(struct waiting *w)
{
    w->state = WAITING_UPDATING;
    if (w->op.durable) { /* only the spool failed */
        worker_run(w->queue->linker, update_run, update_done, w);
        return;
    }
    w->op.head.max = WAITING_TEXT_MAX;
    w->op.type = RECORD_ENVELOPE;
    w->op.fd = -1;
    w->op.done = update_journalled;
    envelope_write(w->envelope, &w->op.head);
    group_add(w->queue->group, &w->op);
}

/* ---- a try ---- */

static bool waiting_expired(const struct waiting *w)
{
    const struct conf *conf = w->queue->conf;
    int64_t life =
        *w->envelope->sender == '\0' ? conf->bounce_queue_lifetime : conf->maximal_queue_lifetime;
    const struct queue_options *o = &w->envelope->options;
    uint64_t from = w->envelope->released != 0 ? w->envelope->released : w->envelope->arrived;
    if (from < o->hold_until)
        from = o->hold_until;
    if ((o->flags & QUEUE_BY_RETURN) && o->deliver_by != 0 &&
        (uint64_t)clock_wall() >= o->deliver_by)
        return true;
    return (clock_wall() - (int64_t)from) * 1000 >= life;
}

/* Gives up what is still pending when its time is over. */
static void waiting_expire(struct waiting *w)
{
    for (size_t i = 0; i < w->envelope->rcpt_count; i++) {
        struct envelope_rcpt *r = &w->envelope->rcpts[i];
        if (!envelope_rcpt_pending(r) || r->done)
            continue;
        envelope_rcpt_end(w->envelope, r, ENVELOPE_BOUNCED);
        w->queue->counters.bounced++;
        log_info("delivery given up", LOG_STR("id", w->envelope->id), LOG_STR("to", r->address),
                 LOG_STR("reason", r->status));
    }
}

/* Whether it is time to tell the sender that this recipient has not got it yet. */
static bool waiting_warns(const struct waiting *w, const struct envelope_rcpt *r)
{
    const struct envelope *e = w->envelope;
    const struct conf *conf = w->queue->conf;
    int64_t age = (clock_wall() - (int64_t)e->arrived) * 1000;
    bool asked = envelope_rcpt_wants(e, r, QUEUE_NOTIFY_DELAY);
    int64_t after = asked ? conf->delay_notify_time : conf->delay_warning_time;
    if (r->state != ENVELOPE_PENDING || *e->sender == '\0' || (r->notify != 0 && !asked))
        return false;
    /* RFC 2852 section 4.1.4.1: in the mode N the sender hears of the time that passed. */
    if (e->options.deliver_by != 0 && (uint64_t)clock_wall() >= e->options.deliver_by)
        return true;
    return after > 0 && age >= after;
}

/* When it is tried again. */
static void waiting_next(struct waiting *w, bool pending)
{
    struct envelope *e = w->envelope;
    const struct conf *conf = w->queue->conf;
    e->tries++;
    if (w->lost && pending)
        w->wait = schedule_backoff(e->tries, WAITING_LOST_MS, conf->minimal_backoff_time);
    else
        w->wait =
            schedule_backoff(e->tries, conf->minimal_backoff_time, conf->maximal_backoff_time);
    int64_t left = ((int64_t)e->options.deliver_by - clock_wall()) * 1000;
    if (e->options.deliver_by != 0 && left > 0 && left < w->wait)
        w->wait = left;
    e->next = (uint64_t)(clock_wall() + w->wait / 1000);
}

static void waiting_end_try(struct waiting *w)
{
    struct envelope *e = w->envelope;
    bool pending = false;
    if (w->deleted)
        while (e->rcpt_count > 0)
            envelope_remove(e, e->rcpt_count - 1);
    if (e->hold == NULL && waiting_expired(w))
        waiting_expire(w);
    for (size_t i = e->rcpt_count; i-- > 0;) {
        e->rcpts[i].busy = false;
        e->rcpts[i].reporting = ENVELOPE_PENDING;
        if (!w->report_only && waiting_warns(w, &e->rcpts[i]) && !e->rcpts[i].done)
            e->rcpts[i].state = ENVELOPE_DELAYED;
        if (e->rcpts[i].done)
            envelope_remove(e, i);
        else if (envelope_rcpt_pending(&e->rcpts[i]))
            pending = true;
    }
    if (!envelope_owed(e))
        envelope_set(&e->bounce, NULL);
    else if (e->bounce == NULL)
        e->bounce = mem_strdup(id_new((char[ID_STRLEN]){0}));
    if (!w->report_only)
        waiting_next(w, pending);
    w->report_only = false;
    waiting_update(w);
}

void waiting_job_done(struct waiting *w)
{
    if (--w->jobs == 0)
        waiting_end_try(w);
}

static void local_run(void *arg)
{
    struct waiting *w = arg;
    struct envelope *e = w->envelope;
    struct queue *q = w->queue;
    char name[STORE_NAME_MAX];
    int fd = spool_open_message(&q->spool, e->id);
    for (size_t i = 0; i < e->rcpt_count; i++) {
        struct envelope_rcpt *r = &e->rcpts[i];
        if (r->kind != QUEUE_RCPT_MAILBOX || !envelope_rcpt_pending(r))
            continue;
        store_base_name((int64_t)e->arrived, e->id, (unsigned)r->number, name, sizeof(name));
        /* Durable at once: no record of the journal promises this delivery any more. */
        if (fd >= 0 && deliver_link(q->spool.mail_fd, &r->owner, name, fd) == 0 &&
            deliver_sync(q->spool.mail_fd, &r->owner, fd) == 0)
            envelope_rcpt_end(e, r, ENVELOPE_DELIVERED);
        else
            envelope_set(&r->status, strerror(errno));
    }
    if (fd >= 0)
        close(fd);
}

static void local_done(void *arg)
{
    struct waiting *w = arg;
    if (!w->queue->stopping)
        waiting_job_done(w);
}

static void waiting_try(struct waiting *w)
{
    struct envelope *e = w->envelope;
    bool local = false;
    w->state = WAITING_TRYING;
    w->lost = false;
    w->jobs = 1; /* ours, so that the try cannot end while it is being made */
    if (w->deleted) {
        waiting_job_done(w);
        return;
    }
    w->bounce_tried = envelope_owed(e);
    for (size_t i = 0; i < e->rcpt_count; i++)
        if (e->rcpts[i].kind == QUEUE_RCPT_MAILBOX && envelope_rcpt_pending(&e->rcpts[i]))
            local = !w->report_only;
    if (w->bounce_tried)
        returns_try(w);
    if (!w->report_only)
        relays_try(w);
    if (local) {
        w->jobs++;
        worker_run(w->queue->linker, local_run, local_done, w);
    }
    waiting_job_done(w);
}

void waiting_due(void *arg)
{
    struct queue *q = arg;
    struct schedule_entry *e;
    int64_t now = clock_now_ms();
    while ((e = schedule_pop(&q->schedule, now)) != NULL) {
        struct waiting *w = (struct waiting *)((char *)e - offsetof(struct waiting, entry));
        if (w->state == WAITING_AGAIN)
            waiting_update(w);
        else if (w->state == WAITING_HELD)
            waiting_reject(w, "5.7.0 nobody has decided on the message in time");
        else
            waiting_try(w);
    }
    waiting_arm(q);
}

/* ---- the administrator ---- */

bool waiting_flush(struct waiting *w)
{
    if (w->state != WAITING_SCHEDULED || w->envelope->options.hold_until > (uint64_t)clock_wall())
        return false;
    w->report_only = false;
    waiting_schedule(w, WAITING_SCHEDULED, 0);
    return true;
}

/* Ends a try early. What a relay is at is waited for: it may be sent by now. */
static void cut_try(struct waiting *w)
{
    w->jobs++;
    relays_cancel(w);
    waiting_job_done(w);
}

bool waiting_delete(struct waiting *w)
{
    if (w->deleted)
        return false;
    w->deleted = true;
    log_notice("message deleted by the administrator", LOG_STR("id", w->envelope->id));
    if (w->state == WAITING_SCHEDULED || w->state == WAITING_HELD) {
        schedule_remove(&w->queue->schedule, &w->entry);
        waiting_end_try(w);
    } else if (w->state == WAITING_TRYING) {
        cut_try(w);
    }
    return true;
}

static void wish(struct waiting *w, int what, const char *why)
{
    char *copy = why == NULL ? NULL : mem_strdup(why);
    free(w->wish_why);
    w->wish_why = copy;
    w->wish = what;
}

bool waiting_hold(struct waiting *w, const char *why)
{
    bool held = w->wish == WISH_NONE ? w->envelope->hold != NULL : w->wish == WISH_HOLD;
    if (w->deleted || held)
        return false;
    log_notice("message held", LOG_STR("id", w->envelope->id), LOG_STR("why", why));
    if (w->state == WAITING_UPDATING || w->state == WAITING_AGAIN) {
        wish(w, WISH_HOLD, why);
        return true;
    }
    set_hold(w, why);
    if (w->state == WAITING_SCHEDULED) {
        schedule_remove(&w->queue->schedule, &w->entry);
        waiting_update(w);
    } else if (w->state == WAITING_TRYING) {
        cut_try(w);
    }
    return true;
}

/* It is as if the message came now. */
static void end_hold(struct waiting *w)
{
    schedule_remove(&w->queue->schedule, &w->entry);
    set_hold(w, NULL);
    w->envelope->options.decide_by = 0;
    w->envelope->released = w->envelope->next = (uint64_t)clock_wall();
    w->wait = 0;
}

bool waiting_release(struct waiting *w)
{
    bool held = w->wish == WISH_NONE ? w->envelope->hold != NULL : w->wish == WISH_HOLD;
    if (w->deleted || !held)
        return false;
    log_notice("message released", LOG_STR("id", w->envelope->id));
    if (w->state == WAITING_UPDATING || w->state == WAITING_AGAIN) {
        wish(w, WISH_RELEASE, NULL);
        return true;
    }
    end_hold(w);
    if (w->state == WAITING_HELD)
        waiting_update(w);
    return true;
}

bool waiting_reject(struct waiting *w, const char *why)
{
    struct envelope *e = w->envelope;
    if (w->deleted || w->state != WAITING_HELD)
        return false;
    log_notice("held message returned", LOG_STR("id", e->id), LOG_STR("from", e->sender),
               LOG_STR("why", why));
    end_hold(w);
    for (size_t i = e->rcpt_count; i-- > 0;) {
        struct envelope_rcpt *r = &e->rcpts[i];
        if (!envelope_rcpt_pending(r))
            continue;
        envelope_set(&r->status, why);
        envelope_set(&r->remote, NULL);
        envelope_rcpt_end(e, r, ENVELOPE_BOUNCED);
        w->queue->counters.bounced++;
    }
    waiting_end_try(w);
    return true;
}

void waiting_free_all(struct queue *q)
{
    struct waiting *w;
    while ((w = RB_MIN(waiting_tree, &q->waiting)) != NULL)
        waiting_free(w);
    schedule_free(&q->schedule);
}

/*
 * Reports to the sender: bounces, delays, and successes where he asked for them. The sender is
 * resolved by the directory as any recipient is; the report is committed like any message, under an
 * id that the message's envelope keeps, so that a crash in between does not send it twice. A
 * message from <> has nobody to return to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "directory/protocol.h"
#include "directory/resolve.h"
#include "gateway/base/clock.h"
#include "gateway/base/file.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/queue/bounce.h"
#include "gateway/queue/queue.h"

#define RETURNS_RESOLVE_MS 30000
#define RETURNS_HEADER_MAX ((size_t)64 << 10) /* of the original that is read for its header */
#define RETURNS_TEXT_MAX   ((size_t)64 << 20)

/* One report on its way. The recipients it is for have their state in reporting. */
struct give_back {
    struct waiting *waiting;
    struct envelope *envelope; /* of the bounce */
    struct envelope *report;   /* of the message, with the recipients it is for: the worker's own */
    int fd;                    /* its file */
    int error;
};

/* The report was sent, or can never be: its recipients are done with, but for those that are still
 * tried. What has happened to one meanwhile is for another report, with an id of its own. */
static void returns_settle(struct waiting *w)
{
    for (size_t i = 0; i < w->envelope->rcpt_count; i++) {
        struct envelope_rcpt *r = &w->envelope->rcpts[i];
        if (r->reporting == ENVELOPE_PENDING || r->state != r->reporting)
            continue;
        if (r->state == ENVELOPE_DELAYED)
            r->state = ENVELOPE_WARNED;
        else
            r->done = true;
    }
    envelope_set(&w->envelope->bounce, NULL);
}

static void returns_free(struct give_back *g)
{
    if (g->fd >= 0)
        close(g->fd);
    envelope_free(&g->envelope);
    envelope_free(&g->report);
    free(g);
}

static void returns_end(struct give_back *g)
{
    struct waiting *w = g->waiting;
    returns_free(g);
    waiting_job_done(w);
}

static void returns_committed(enum queue_result result, void *arg)
{
    struct give_back *g = arg;
    if (result == QUEUE_ACCEPTED)
        returns_settle(g->waiting);
    returns_end(g);
}

/* On a worker: the text, into an unnamed file. */
static void write_run(void *arg)
{
    struct give_back *g = arg;
    struct queue *q = g->waiting->queue;
    struct buf text = {.max = RETURNS_TEXT_MAX};
    const struct envelope *e = g->report;
    bool full = e->options.ret == QUEUE_RET_FULL && e->size <= q->conf->bounce_size_limit;
    size_t room = full ? (size_t)e->size : RETURNS_HEADER_MAX;
    char *head = mem_alloc(room);
    size_t trace;
    bool body_8bit;
    int original = spool_open_message(&q->spool, e->id);
    ssize_t n = original < 0 ? -1 : pread(original, head, room, 0);
    g->error = n < 0 ? errno : 0;
    if (n >= 0) {
        struct bounce_params p = {
            .envelope = g->report,
            .id = g->envelope->id,
            .hostname = q->conf->myhostname,
            .now = clock_wall(),
            .original = head,
            .original_len = (size_t)n,
            .full = full && (uint64_t)n == e->size,
            .retry_until = (int64_t)e->arrived + q->conf->maximal_queue_lifetime / 1000,
        };
        if (bounce_write(&p, &text, &trace, &body_8bit) < 0)
            g->error = EFBIG;
        else if ((g->fd = spool_new_file(&q->spool)) < 0 ||
                 file_pwrite(g->fd, text.data, text.len, 0) < 0)
            g->error = errno;
        g->envelope->size = text.len;
        g->envelope->trace = g->error == 0 ? trace : 0;
        g->envelope->body_8bit = g->error == 0 && body_8bit;
        g->envelope->options.flags = e->options.flags & QUEUE_UTF8;
    }
    if (original >= 0)
        close(original);
    buf_free(&text);
    free(head);
}

static void write_done(void *arg)
{
    struct give_back *g = arg;
    struct queue *q = g->waiting->queue;
    if (q->stopping) {
        returns_free(g);
        return;
    }
    if (g->error != 0) {
        log_error("bounce cannot be written; it is tried again",
                  LOG_STR("id", g->waiting->envelope->id), LOG_ERRNO(g->error));
        returns_end(g);
        return;
    }
    struct envelope *e = g->envelope;
    int fd = g->fd;
    log_info("message returned", LOG_STR("id", g->waiting->envelope->id), LOG_STR("bounce", e->id),
             LOG_STR("to", g->waiting->envelope->sender));
    g->envelope = NULL;
    g->fd = -1;
    commit_submit(q, e, fd, answer_new_fn(returns_committed, g));
}

/* Reads the deliveries that the directory named into the bounce's envelope. */
static int returns_read(struct msg *m, struct envelope *e)
{
    uint32_t n = msg_get_u32(m);
    for (uint32_t i = 0; i < n && msg_ok(m); i++) {
        uint8_t kind = msg_get_u8(m);
        struct envelope_rcpt *r = envelope_add(e);
        r->number = i;
        r->owner = msg_get_uuid(m);
        r->kind = kind == DELIVERY_MAILBOX ? QUEUE_RCPT_MAILBOX : QUEUE_RCPT_REMOTE;
        const char *address = msg_get_str(m);
        msg_get_str(m); /* detail */
        const char *host = msg_get_str(m);
        msg_get_str(m); /* dn */
        envelope_set(&r->address, address == NULL ? "" : address);
        envelope_set(&r->host, kind == DELIVERY_HOST ? host : NULL);
        if (kind > DELIVERY_REMOTE || address == NULL)
            return -1;
    }
    return msg_end(m);
}

static int returns_resolved(enum ipc_status status, struct msg *m, void *arg)
{
    struct give_back *g = arg;
    struct waiting *w = g->waiting;
    struct queue *q = w->queue;
    if (q->stopping) {
        returns_free(g);
        return 0;
    }
    uint8_t answer = ANSWER_UNKNOWN;
    const char *reason = "the directory cannot be asked";
    int r = 0;
    if (status == IPC_OK) {
        answer = msg_get_u8(m);
        reason = msg_get_str(m);
        if (msg_type(m) != DIRECTORY_MSG_RESOLVE_RESULT || returns_read(m, g->envelope) < 0) {
            answer = ANSWER_UNKNOWN;
            reason = "malformed answer of the directory";
            r = -1;
        }
    }
    if (answer == ANSWER_FOUND && g->envelope->rcpt_count > 0) {
        worker_run(q->linker, write_run, write_done, g);
        return r;
    }
    if (answer == ANSWER_ABSENT) {
        log_warning("bounce dropped: its recipient does not exist", LOG_STR("id", w->envelope->id),
                    LOG_STR("to", w->envelope->sender), LOG_STR("reason", reason));
        returns_settle(w);
    } else {
        log_info("bounce waits", LOG_STR("id", w->envelope->id), LOG_STR("to", w->envelope->sender),
                 LOG_STR("reason", reason));
    }
    returns_end(g);
    return r;
}

static bool beyond_ascii(const char *s)
{
    for (; s != NULL && *s != '\0'; s++)
        if ((unsigned char)*s > 0x7f)
            return true;
    return false;
}

/* What is reported: a copy, because jobs go on changing the envelope. */
static struct envelope *returns_report(const struct envelope *e)
{
    struct envelope *report = envelope_new();
    envelope_set(&report->id, e->id);
    envelope_set(&report->sender, e->sender);
    report->arrived = e->arrived;
    report->trace = e->trace;
    report->size = e->size;
    envelope_set_options(report, &e->options);
    for (size_t i = 0; i < e->rcpt_count; i++) {
        if (e->rcpts[i].reporting == ENVELOPE_PENDING)
            continue;
        struct envelope_rcpt *r = envelope_add(report);
        r->state = e->rcpts[i].reporting;
        if (beyond_ascii(e->rcpts[i].address) || beyond_ascii(e->rcpts[i].original))
            report->options.flags |= QUEUE_UTF8;
        r->kind = e->rcpts[i].kind;
        envelope_set(&r->orcpt, e->rcpts[i].orcpt);
        envelope_set(&r->address, e->rcpts[i].address);
        envelope_set(&r->original, e->rcpts[i].original);
        envelope_set(&r->remote, e->rcpts[i].remote);
        envelope_set(&r->status, e->rcpts[i].status);
    }
    return report;
}

void returns_try(struct waiting *w)
{
    struct queue *q = w->queue;
    struct envelope *e = w->envelope;
    for (size_t i = 0; i < e->rcpt_count; i++)
        if (envelope_rcpt_owed(&e->rcpts[i]))
            e->rcpts[i].reporting = e->rcpts[i].state;
    if (*e->sender == '\0' || e->bounce == NULL) {
        log_warning("bounce dropped: the message is from <>", LOG_STR("id", e->id));
        returns_settle(w);
        return;
    }
    struct give_back *g = mem_zalloc(sizeof(*g));
    g->waiting = w;
    g->fd = -1;
    g->report = returns_report(e);
    g->envelope = envelope_new();
    envelope_set(&g->envelope->id, e->bounce);
    envelope_set(&g->envelope->sender, "");
    envelope_set(&g->envelope->client, "bounce");
    g->envelope->arrived = (uint64_t)clock_wall();
    w->jobs++;
    struct msg *m = msg_new(DIRECTORY_MSG_RESOLVE);
    msg_put_str(m, e->sender);
    ipc_request(q->directory, &m, RETURNS_RESOLVE_MS, returns_resolved, g);
}

/*
 * The way of one message: checked, made durable by the journal, put into its mailboxes or the
 * spool, answered. The journal's record is the promise; linking comes before the answer only so
 * that who got a 250 finds the message there, and it goes on beside the next fdatasync.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/queue/deliver.h"
#include "gateway/queue/queue.h"
#include "gateway/queue/replay.h"

#define COMMIT_LINK_JOBS  2
#define COMMIT_LINK_BATCH 64   /* messages in one job */
#define COMMIT_LINK_SLICE 1000 /* recipients of one message in it */
#define COMMIT_STUCK_MS   5000
#define COMMIT_ENVELOPE   ((size_t)64 << 20)
#define COMMIT_IDS_FILE   "ids"
#define COMMIT_IDS_SAVED  (60 * 1000) /* twice as long as a client asks again */
#define COMMIT_IDS_MAX    200000
#define COMMIT_IDS_AGE_MS (10 * 60 * 1000) /* longer than any client tries again */

struct message {
    TAILQ_ENTRY(message) all;
    TAILQ_ENTRY(message) link; /* of linking, a job, or stuck */
    struct queue *queue;
    struct envelope *envelope;
    int fd;
    bool file; /* large: kept as ID.msg, which is durable before the record */
    struct group_op op;
    struct id_entry *id;
    size_t rcpts;  /* at first */
    size_t linked; /* recipients that were looked at */
    int error;     /* of a job on a worker */
    enum queue_result refusal;
    TAILQ_HEAD(, answer_to) answers;
};

struct link_job {
    struct queue *queue;
    struct message_list list;
};

/* ---- answers ---- */

struct answer_to *answer_new(struct peer *peer, uint32_t request)
{
    struct answer_to *to = mem_zalloc(sizeof(*to));
    to->peer = peer;
    to->request = request;
    LIST_INSERT_HEAD(&peer->answers, to, peer_link);
    return to;
}

struct answer_to *answer_new_fn(void (*fn)(enum queue_result result, void *arg), void *arg)
{
    struct answer_to *to = mem_zalloc(sizeof(*to));
    to->fn = fn;
    to->arg = arg;
    return to;
}

static void answer_send(struct answer_to *to, enum queue_result result)
{
    if (to->peer != NULL) {
        struct msg *m = msg_new(QUEUE_MSG_COMMIT_RESULT);
        msg_put_u8(m, (uint8_t)result);
        LIST_REMOVE(to, peer_link);
        ipc_reply(to->peer->ipc, to->request, &m);
    } else if (to->fn != NULL) {
        to->fn(result, to->arg);
    }
    free(to);
}

static void message_answer(struct message *m, enum queue_result result)
{
    struct answer_to *to;
    while ((to = TAILQ_FIRST(&m->answers)) != NULL) {
        TAILQ_REMOVE(&m->answers, to, link);
        answer_send(to, result);
    }
}

static void message_free(struct message *m)
{
    TAILQ_REMOVE(&m->queue->messages, m, all);
    if (m->id != NULL)
        m->id->message = NULL;
    envelope_free(&m->envelope);
    buf_free(&m->op.head);
    if (m->fd >= 0)
        close(m->fd);
    free(m);
}

static void refuse_run(void *arg)
{
    struct message *m = arg;
    spool_remove(&m->queue->spool, m->envelope->id, true);
}

static void refuse_done(void *arg)
{
    struct message *m = arg;
    struct queue *q = m->queue;
    if (q->stopping)
        return;
    ids_remove(&q->ids, m->id);
    m->id = NULL;
    message_answer(m, m->refusal);
    message_free(m);
}

/* Not accepted. Its id is free for another attempt only after what was made for it has gone. */
static void message_refuse(struct message *m, enum queue_result result, const char *why, int error)
{
    log_warning("message refused", LOG_STR("id", m->envelope->id), LOG_STR("reason", why),
                LOG_ERRNO(error));
    m->queue->counters.refused++;
    m->refusal = result;
    if (m->file)
        worker_run(m->queue->linker, refuse_run, refuse_done, m);
    else
        refuse_done(m);
}

static enum queue_result commit_result(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG ? QUEUE_FULL : QUEUE_UNAVAILABLE;
}

/* ---- large files whose message is in its mailboxes ---- */

void commit_spent(struct queue *q, const char *id, uint64_t generation)
{
    struct spent *s = mem_zalloc(sizeof(*s));
    strlcpy(s->id, id, sizeof(s->id));
    s->queue = q;
    s->generation = generation;
    LIST_INSERT_HEAD(&q->spent, s, link);
}

static void spent_run(void *arg)
{
    struct spent *s = arg;
    if (spool_remove(&s->queue->spool, s->id, true) < 0)
        log_warning("spool file cannot be removed", LOG_STR("id", s->id), LOG_ERRNO(errno));
}

/*
 * A client asks again for up to 30 seconds. A process may be killed, replay, make its checkpoint
 * and be killed again within that time, so ids outlive the records.
 */
void commit_prepare(struct buf *out, void *arg)
{
    struct queue *q = arg;
    ids_write(&q->ids, clock_now_ms(), clock_wall(), COMMIT_IDS_SAVED, out);
}

int commit_save(const struct buf *data, void *arg)
{
    struct queue *q = arg;
    return spool_save(&q->spool, COMMIT_IDS_FILE, data);
}

int commit_load(struct queue *q)
{
    struct buf text = {0};
    int r = spool_load(&q->spool, COMMIT_IDS_FILE, &text);
    if (r == 0)
        ids_read(&q->ids, buf_str(&text), text.len, clock_now_ms(), clock_wall(), COMMIT_IDS_SAVED);
    buf_free(&text);
    return r;
}

static int commit_keep_id(const struct id_entry *e, void *arg)
{
    struct queue *q = arg;
    return e->message != NULL || group_covers(q->group, e->generation);
}

void commit_recycled(uint64_t generation, void *arg)
{
    struct queue *q = arg;
    struct spent *s, *next;
    LIST_FOREACH_SAFE (s, &q->spent, link, next) {
        if (s->generation != generation)
            continue;
        LIST_REMOVE(s, link);
        worker_run(q->linker, spent_run, free, s);
    }
    ids_expire(&q->ids, clock_now_ms(), COMMIT_IDS_AGE_MS, COMMIT_IDS_MAX, commit_keep_id, q);
}

/* ---- into mailboxes and spool ---- */

/*
 * On a worker: mailbox recipients are linked, so many that other messages are not kept waiting;
 * after the last, what is left of the envelope goes to the spool. The envelope is this job's alone.
 */
static void message_link(struct message *m)
{
    struct envelope *e = m->envelope;
    struct queue *q = m->queue;
    char name[STORE_NAME_MAX];
    m->error = 0;
    if (e->hold != NULL || e->options.hold_until != 0)
        m->linked = e->rcpt_count;
    size_t end = m->linked + COMMIT_LINK_SLICE;
    for (; m->linked < e->rcpt_count && m->linked < end; m->linked++) {
        struct envelope_rcpt *r = &e->rcpts[m->linked];
        if (r->kind != QUEUE_RCPT_MAILBOX || r->state != ENVELOPE_PENDING)
            continue;
        store_base_name((int64_t)e->arrived, e->id, (unsigned)r->number, name, sizeof(name));
        if (deliver_link(q->spool.mail_fd, &r->owner, name, m->fd) == 0)
            envelope_rcpt_end(e, r, ENVELOPE_DELIVERED);
        else
            log_warning("mailbox takes no message now; it waits", LOG_STR("id", e->id),
                        LOG_STR("recipient", r->address), LOG_ERRNO(errno));
    }
    if (m->linked < e->rcpt_count)
        return;
    for (size_t i = e->rcpt_count; i-- > 0;)
        if (e->rcpts[i].done)
            envelope_remove(e, i);
    m->linked = e->rcpt_count;
    if (e->rcpt_count > 0 &&
        (spool_link(&q->spool, e->id, m->fd, false) < 0 || spool_write(&q->spool, e) < 0))
        m->error = errno;
}

static void commit_link_more(struct queue *q);

static void link_run(void *arg)
{
    struct link_job *job = arg;
    struct message *m;
    TAILQ_FOREACH (m, &job->list, link)
        message_link(m);
}

/* Linked or in the spool: the journal is needed no longer than until the next checkpoint. */
static void message_finish(struct message *m)
{
    struct queue *q = m->queue;
    struct envelope *e = m->envelope;
    uint64_t generation = m->op.generation;
    if (e->rcpt_count > 0) {
        m->envelope = NULL;
        waiting_add(q, e, m->file ? generation : 0);
    } else if (m->file) {
        commit_spent(q, e->id, generation);
    }
    message_free(m);
    group_release(q->group, generation);
}

static void message_linked(struct message *m)
{
    struct queue *q = m->queue;
    struct envelope *e = m->envelope;
    if (!TAILQ_EMPTY(&m->answers)) {
        log_info("message accepted", LOG_STR("id", e->id), LOG_STR("from", e->sender),
                 LOG_UINT("size", e->size), LOG_UINT("delivered", m->rcpts - e->rcpt_count),
                 LOG_UINT("queued", e->rcpt_count), LOG_STR("client", e->client),
                 LOG_STR("login", e->login), LOG_STR("held", e->hold));
        message_answer(m, QUEUE_ACCEPTED);
    }
    if (m->error != 0) {
        log_error("message stays in the journal: the spool cannot take it", LOG_STR("id", e->id),
                  LOG_ERRNO(m->error));
        TAILQ_INSERT_TAIL(&q->stuck, m, link);
        if (!timer_pending(q->stuck_timer))
            timer_set(q->stuck_timer, COMMIT_STUCK_MS);
        return;
    }
    message_finish(m);
}

static void link_done(void *arg)
{
    struct link_job *job = arg;
    struct queue *q = job->queue;
    struct message *m;
    q->link_jobs--;
    if (!q->stopping) {
        struct message_list linked = TAILQ_HEAD_INITIALIZER(linked);
        while ((m = TAILQ_FIRST(&job->list)) != NULL) {
            TAILQ_REMOVE(&job->list, m, link);
            if (m->linked < m->envelope->rcpt_count)
                TAILQ_INSERT_TAIL(&q->linking, m, link);
            else
                TAILQ_INSERT_TAIL(&linked, m, link);
        }
        commit_link_more(q);
        while ((m = TAILQ_FIRST(&linked)) != NULL) {
            TAILQ_REMOVE(&linked, m, link);
            message_linked(m);
        }
    }
    free(job);
}

static void commit_link_more(struct queue *q)
{
    struct message *m;
    while (q->link_jobs < COMMIT_LINK_JOBS && !TAILQ_EMPTY(&q->linking)) {
        struct link_job *job = mem_zalloc(sizeof(*job));
        job->queue = q;
        TAILQ_INIT(&job->list);
        for (size_t n = 0; n < COMMIT_LINK_BATCH && (m = TAILQ_FIRST(&q->linking)) != NULL; n++) {
            TAILQ_REMOVE(&q->linking, m, link);
            TAILQ_INSERT_TAIL(&job->list, m, link);
        }
        q->link_jobs++;
        worker_run(q->linker, link_run, link_done, job);
    }
}

/* Posted once per batch of the journal, so that one job takes all of it. */
static void commit_link_soon(void *arg)
{
    struct queue *q = arg;
    q->link_posted = false;
    if (!q->stopping)
        commit_link_more(q);
}

void commit_stuck(void *arg)
{
    struct queue *q = arg;
    TAILQ_CONCAT(&q->linking, &q->stuck, link);
    commit_link_more(q);
}

/* ---- into the journal ---- */

static void message_journalled(struct group_op *op)
{
    struct message *m = (struct message *)((char *)op - offsetof(struct message, op));
    struct queue *q = m->queue;
    buf_free(&op->head);
    if (!op->durable) {
        message_refuse(m, op->too_large ? QUEUE_FULL : QUEUE_UNAVAILABLE, "journal", 0);
        return;
    }
    m->id->generation = op->generation;
    q->counters.accepted++;
    TAILQ_INSERT_TAIL(&q->linking, m, link);
    if (!q->link_posted) {
        q->link_posted = true;
        loop_post(q->loop, commit_link_soon, q);
    }
}

static void message_journal(struct message *m)
{
    struct group_op *op = &m->op;
    struct buf *b = &op->head;
    b->max = COMMIT_ENVELOPE;
    if (!m->file)
        buf_append(b, "\0\0\0\0", 4);
    if (envelope_write(m->envelope, b) < 0) {
        message_refuse(m, QUEUE_FULL, "envelope", E2BIG);
        return;
    }
    op->type = m->file ? RECORD_FILE : RECORD_MESSAGE;
    op->fd = -1;
    op->done = message_journalled;
    if (!m->file) {
        uint32_t n = htole32((uint32_t)b->len - 4);
        memcpy(b->data, &n, 4);
        op->fd = m->fd;
        op->len = m->envelope->size;
    }
    group_add(m->queue->group, op);
}

static void file_run(void *arg)
{
    struct message *m = arg;
    const struct spool *s = &m->queue->spool;
    struct stat st;
    m->error = spool_link(s, m->envelope->id, m->fd, true) < 0 ? errno : 0;
    if (m->error == ENOENT && fstat(m->fd, &st) == 0 && st.st_nlink == 0) {
        /* It had a name in an attempt that was cut short, and cannot get another. */
        int copy = spool_copy(s, m->fd, m->envelope->size);
        m->error = errno;
        if (copy >= 0) {
            close(m->fd);
            m->fd = copy;
            m->error = spool_link(s, m->envelope->id, m->fd, true) < 0 ? errno : 0;
        }
    }
}

static void file_done(void *arg)
{
    struct message *m = arg;
    if (m->queue->stopping)
        return;
    if (m->error != 0)
        message_refuse(m, commit_result(m->error), "spool", m->error);
    else
        message_journal(m);
}

/* ---- arrival ---- */

/* A commit that was there before: answered with what became of it, or together with it. */
static void commit_again(struct id_entry *known, int fd, struct envelope *e, struct answer_to *to)
{
    struct message *m = known->message;
    if (m != NULL && known->generation == 0)
        TAILQ_INSERT_TAIL(&m->answers, to, link);
    else
        answer_send(to, QUEUE_ACCEPTED);
    if (fd >= 0)
        close(fd);
    envelope_free(&e);
}

void commit_submit(struct queue *q, struct envelope *e, int fd, struct answer_to *to)
{
    struct stat st;
    struct id_entry *known = ids_find(&q->ids, e->id);
    if (known != NULL) {
        commit_again(known, fd, e, to);
        return;
    }
    struct message *m = mem_zalloc(sizeof(*m));
    m->queue = q;
    m->envelope = e;
    m->fd = fd;
    m->rcpts = e->rcpt_count;
    m->id = ids_add(&q->ids, e->id, clock_now_ms());
    m->id->message = m;
    TAILQ_INIT(&m->answers);
    TAILQ_INSERT_TAIL(&m->answers, to, link);
    TAILQ_INSERT_TAIL(&q->messages, m, all);
    if (fd < 0 || fstat(fd, &st) < 0)
        message_refuse(m, QUEUE_UNAVAILABLE, "file", errno);
    else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != e->size || st.st_dev != q->device)
        message_refuse(m, QUEUE_UNAVAILABLE, "file is not what its envelope says", 0);
    else if (!files_space(q, e->size))
        message_refuse(m, QUEUE_FULL, "queue_minfree", ENOSPC);
    else if (e->size > q->conf->queue_journal_inline_limit ||
             e->size > journal_payload_max(q->journal) / 4) {
        m->file = true;
        worker_run(q->syncer, file_run, file_done, m);
    } else {
        message_journal(m);
    }
}

/* The workers and the group have ended. */
void commit_free(struct queue *q)
{
    struct message *m;
    struct answer_to *to;
    struct spent *s;
    while ((m = TAILQ_FIRST(&q->messages)) != NULL) {
        while ((to = TAILQ_FIRST(&m->answers)) != NULL) {
            TAILQ_REMOVE(&m->answers, to, link);
            free(to);
        }
        message_free(m);
    }
    while ((s = LIST_FIRST(&q->spent)) != NULL) {
        LIST_REMOVE(s, link);
        free(s);
    }
}

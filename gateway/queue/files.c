/* Unnamed files on the mailboxes' file system, made ahead on a worker; and the space left there. */
#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/queue/queue.h"

#define FILES_SPACE_MS 500

struct refill {
    struct queue *queue;
    int fds[QUEUE_STOCK];
    size_t want, got;
    int error;
};

bool files_space(struct queue *q, uint64_t size)
{
    int64_t now = clock_now_ms();
    if (q->conf->queue_minfree == 0)
        return true;
    if (q->space_checked == 0 || now - q->space_checked > FILES_SPACE_MS) {
        struct statvfs st;
        if (fstatvfs(q->spool.spool_fd, &st) < 0)
            return true; /* the write will tell */
        q->space = (uint64_t)st.f_bavail * st.f_frsize;
        q->space_checked = now;
    }
    return q->space >= size && q->space - size >= q->conf->queue_minfree;
}

static void files_reply(struct peer *peer, uint32_t request, enum queue_result result,
                        const int *fds, uint32_t n)
{
    struct msg *m = msg_new(QUEUE_MSG_OPEN_RESULT);
    msg_put_u8(m, (uint8_t)result);
    msg_put_u32(m, n);
    for (uint32_t i = 0; i < n; i++)
        msg_put_fd(m, fds[i]);
    ipc_reply(peer->ipc, request, &m);
}

/* Gives up to count files of the stock away. */
static void files_give(struct queue *q, struct peer *peer, uint32_t request, uint32_t count)
{
    uint32_t n = count < q->stock_count ? count : (uint32_t)q->stock_count;
    q->stock_count -= n;
    files_reply(peer, request, QUEUE_ACCEPTED, q->stock + q->stock_count, n);
}

static void refill_run(void *arg)
{
    struct refill *r = arg;
    for (; r->got < r->want; r->got++) {
        int fd = spool_new_file(&r->queue->spool);
        if (fd < 0) {
            r->error = errno;
            return;
        }
        r->fds[r->got] = fd;
    }
}

static void refill_done(void *arg)
{
    struct refill *r = arg;
    struct queue *q = r->queue;
    struct open_request *o;
    q->opening = false;
    for (size_t i = 0; i < r->got; i++)
        q->stock[q->stock_count++] = r->fds[i];
    if (r->error != 0)
        log_error("no file for a message can be made", LOG_ERRNO(r->error));
    while (!q->stopping && (o = TAILQ_FIRST(&q->open_requests)) != NULL) {
        if (q->stock_count == 0 && r->error == 0)
            break;
        TAILQ_REMOVE(&q->open_requests, o, link);
        if (q->stock_count > 0)
            files_give(q, o->peer, o->request, o->count);
        else
            files_reply(o->peer, o->request,
                        r->error == ENOSPC || r->error == EDQUOT ? QUEUE_FULL : QUEUE_UNAVAILABLE,
                        NULL, 0);
        free(o);
    }
    if (r->error == 0 && !q->stopping)
        files_refill(q);
    free(r);
}

void files_refill(struct queue *q)
{
    if (q->opening || (q->stock_count >= QUEUE_STOCK / 2 && TAILQ_EMPTY(&q->open_requests)))
        return;
    struct refill *r = mem_zalloc(sizeof(*r));
    r->queue = q;
    r->want = QUEUE_STOCK - q->stock_count;
    q->opening = true;
    worker_run(q->opener, refill_run, refill_done, r);
}

void files_open(struct queue *q, struct peer *peer, uint32_t request, uint32_t count)
{
    if (!files_space(q, 0)) {
        files_reply(peer, request, QUEUE_FULL, NULL, 0);
        return;
    }
    if (q->stock_count > 0) {
        files_give(q, peer, request, count);
    } else {
        struct open_request *o = mem_zalloc(sizeof(*o));
        o->peer = peer;
        o->request = request;
        o->count = count;
        TAILQ_INSERT_TAIL(&q->open_requests, o, link);
    }
    files_refill(q);
}

void files_peer_gone(struct queue *q, struct peer *peer)
{
    struct open_request *o, *next;
    TAILQ_FOREACH_SAFE (o, &q->open_requests, link, next) {
        if (o->peer == peer) {
            TAILQ_REMOVE(&q->open_requests, o, link);
            free(o);
        }
    }
}

void files_free(struct queue *q)
{
    struct open_request *o;
    worker_pool_free(&q->opener);
    while ((o = TAILQ_FIRST(&q->open_requests)) != NULL) {
        TAILQ_REMOVE(&q->open_requests, o, link);
        free(o);
    }
    while (q->stock_count > 0)
        close(q->stock[--q->stock_count]);
}

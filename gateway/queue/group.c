#include "gateway/queue/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/event/worker.h"
#include "gateway/queue/spool.h"

#define GROUP_BATCH_OPS   1024
#define GROUP_BATCH_BYTES ((uint64_t)8 << 20)
#define GROUP_BLOCK       4096
#define GROUP_STALL_MS    15000 /* how long a record waits for room */
#define GROUP_SYNC_MS     2
#define GROUP_RETRY_MS    5000 /* after a failed sync of the file system */

enum half_state {
    HALF_FREE,    /* empty */
    HALF_ACTIVE,  /* takes records */
    HALF_CLOSING, /* waits until all it holds is released */
    HALF_SYNCING  /* syncfs and recycle are under way */
};

struct group_half {
    struct group *group;
    int index;
    enum half_state state;
    uint64_t generation;
    size_t held;      /* records not released */
    bool dirty;       /* active, with something in it */
    struct buf saved; /* what has to outlive its records */
    int error;        /* of the sync */
};

struct group {
    struct group_params p;
    struct worker_pool *writer; /* one thread: batches in their order */
    struct worker_pool *syncer;
    struct timer *interval, *stall, *sync_timer;
    struct group_half half[JOURNAL_HALVES];
    struct group_ops waiting, batch;
    bool running; /* a batch is on the writer */
    bool due;     /* a checkpoint is wanted */
    bool ending;
    int error; /* of the batch */
    uint64_t batches, records, checkpoints;
    size_t waiting_count;
};

static void group_run(struct group *g);

static struct group_half *group_active(struct group *g)
{
    int i = journal_active(g->p.journal);
    return i < 0 ? NULL : &g->half[i];
}

/* ---- checkpoints ---- */

static void sync_run(void *arg)
{
    struct group_half *h = arg;
    h->error = 0;
    const struct group_params *p = &h->group->p;
    if (p->save(&h->saved, p->arg) < 0 || syncfs(p->mail_fd) < 0 ||
        journal_recycle(p->journal, h->index) < 0)
        h->error = errno;
    buf_free(&h->saved);
}

static void sync_done(void *arg)
{
    struct group_half *h = arg;
    struct group *g = h->group;
    if (g->ending)
        return;
    if (h->error != 0) {
        log_error("checkpoint failed; it is tried again", LOG_ERRNO(h->error));
        h->state = HALF_CLOSING;
        timer_set(g->sync_timer, GROUP_RETRY_MS);
        return;
    }
    uint64_t old = h->generation;
    h->state = HALF_FREE;
    h->generation = journal_generation(g->p.journal, h->index);
    g->checkpoints++;
    log_debug("checkpoint done", LOG_UINT("generation", old));
    g->p.recycled(old, g->p.arg);
    group_run(g);
}

/*
 * By timer, so that answers queued in this turn of the loop have left before the records that would
 * let a repeated commit be recognised are void.
 */
static void group_sync(struct group_half *h)
{
    struct group *g = h->group;
    if (h->state == HALF_CLOSING && h->held == 0 && !timer_pending(g->sync_timer))
        timer_set(g->sync_timer, GROUP_SYNC_MS);
}

static void group_sync_now(void *arg)
{
    struct group *g = arg;
    int older = g->half[1].generation < g->half[0].generation;
    for (int i = 0; i < JOURNAL_HALVES; i++) {
        struct group_half *h = &g->half[(older + i) % JOURNAL_HALVES];
        if (h->state != HALF_CLOSING || h->held > 0)
            continue;
        h->state = HALF_SYNCING;
        g->p.prepare(&h->saved, g->p.arg);
        worker_run(g->syncer, sync_run, sync_done, h);
    }
}

/* Leaves the active half for the other one, if that is free. Only between batches. */
static bool group_switch(struct group *g)
{
    struct group_half *old = group_active(g), *next = NULL;
    for (int i = 0; i < JOURNAL_HALVES; i++)
        if (g->half[i].state == HALF_FREE &&
            (next == NULL || g->half[i].generation < next->generation))
            next = &g->half[i];
    if (next == NULL)
        return false;
    journal_activate(g->p.journal, next->index);
    next->state = HALF_ACTIVE;
    next->dirty = false;
    g->due = false;
    if (old != NULL) {
        old->state = HALF_CLOSING;
        group_sync(old);
    }
    return true;
}

static void group_interval(void *arg)
{
    struct group *g = arg;
    g->due = true;
    group_run(g);
}

/* ---- batches ---- */

static void batch_run(void *arg)
{
    struct group *g = arg;
    struct journal *j = g->p.journal;
    struct group_op *op;
    g->error = 0;
    TAILQ_FOREACH (op, &g->batch, link) {
        size_t len = op->head.len + (size_t)op->len;
        unsigned char *to = journal_reserve(j, len);
        if (to == NULL) {
            g->error = errno;
            return;
        }
        memcpy(to, op->head.data, op->head.len);
        /* A file that cannot be read is its own message's trouble. */
        if (op->len > 0 && spool_pread(op->fd, to + op->head.len, (size_t)op->len, 0) < 0)
            continue;
        journal_append(j, op->type, len);
        op->durable = true;
    }
    if (journal_sync(j) < 0)
        g->error = errno;
}

static void batch_done(void *arg)
{
    struct group *g = arg;
    struct group_half *h = group_active(g);
    struct group_ops done;
    struct group_op *op;
    g->running = false;
    if (g->ending)
        return;
    /* What is on the disk now only a replay can tell. */
    if (g->error != 0)
        log_fatal("journal cannot be written", LOG_ERRNO(g->error));
    g->batches++;
    TAILQ_INIT(&done);
    TAILQ_CONCAT(&done, &g->batch, link);
    TAILQ_FOREACH (op, &done, link) {
        if (op->durable)
            g->records++;
        else
            h->held--;
    }
    /* The next batch starts before anybody hears of this one. */
    group_run(g);
    while ((op = TAILQ_FIRST(&done)) != NULL) {
        TAILQ_REMOVE(&done, op, link);
        op->done(op);
    }
}

static uint64_t group_op_bytes(const struct group_op *op)
{
    return journal_record_size(op->head.len + (size_t)op->len);
}

/* The journal writes a batch out in pieces of about a MiB and pads each to a block. */
static bool group_fits(uint64_t bytes, uint64_t room)
{
    return bytes + (2 * (bytes >> 20) + 4) * GROUP_BLOCK <= room;
}

/* Moves what fits from waiting to the batch; its operations hold the half. */
static void group_collect(struct group *g, struct group_half *h)
{
    uint64_t room = journal_room(g->p.journal), bytes = 0;
    struct group_op *op;
    size_t n = 0;
    while ((op = TAILQ_FIRST(&g->waiting)) != NULL && n < GROUP_BATCH_OPS) {
        bytes += group_op_bytes(op);
        if ((n > 0 && bytes > GROUP_BATCH_BYTES) || !group_fits(bytes, room))
            break;
        TAILQ_REMOVE(&g->waiting, op, link);
        TAILQ_INSERT_TAIL(&g->batch, op, link);
        g->waiting_count--;
        op->generation = h->generation;
        h->held++;
        n++;
    }
}

/* An operation larger than an empty half takes. */
static bool group_refuse_large(struct group *g, const struct group_half *h)
{
    struct group_op *op = TAILQ_FIRST(&g->waiting);
    if (h->dirty || group_fits(group_op_bytes(op), journal_room(g->p.journal)))
        return false;
    TAILQ_REMOVE(&g->waiting, op, link);
    g->waiting_count--;
    op->too_large = true;
    op->done(op);
    return true;
}

static void group_run(struct group *g)
{
    struct group_half *h = NULL;
    if (g->running || g->ending)
        return;
    if (g->due && ((h = group_active(g)) == NULL || h->dirty))
        group_switch(g);
    while (!TAILQ_EMPTY(&g->waiting)) {
        h = group_active(g);
        if (h != NULL && h->state == HALF_ACTIVE) {
            group_collect(g, h);
            if (!TAILQ_EMPTY(&g->batch))
                break;
            if (group_refuse_large(g, h))
                continue;
        }
        if (!group_switch(g)) {
            if (!timer_pending(g->stall)) {
                log_warning("journal is full and waits for its checkpoint");
                timer_set(g->stall, GROUP_STALL_MS);
            }
            return;
        }
    }
    timer_stop(g->stall);
    if (TAILQ_EMPTY(&g->batch))
        return;
    if (!h->dirty) {
        h->dirty = true;
        timer_set(g->interval, g->p.interval);
    }
    g->running = true;
    worker_run(g->writer, batch_run, batch_done, g);
}

static void group_stalled(void *arg)
{
    struct group *g = arg;
    struct group_ops failed;
    struct group_op *op;
    log_error("no room in the journal; mail is refused for now",
              LOG_UINT("waiting", g->waiting_count));
    TAILQ_INIT(&failed);
    TAILQ_CONCAT(&failed, &g->waiting, link);
    g->waiting_count = 0;
    while ((op = TAILQ_FIRST(&failed)) != NULL) {
        TAILQ_REMOVE(&failed, op, link);
        op->done(op);
    }
}

void group_add(struct group *g, struct group_op *op)
{
    op->durable = op->too_large = false;
    op->generation = 0;
    TAILQ_INSERT_TAIL(&g->waiting, op, link);
    g->waiting_count++;
    group_run(g);
}

void group_release(struct group *g, uint64_t generation)
{
    for (int i = 0; i < JOURNAL_HALVES; i++) {
        struct group_half *h = &g->half[i];
        if (h->generation == generation && h->held > 0) {
            h->held--;
            group_sync(h);
        }
    }
}

bool group_covers(const struct group *g, uint64_t generation)
{
    for (int i = 0; i < JOURNAL_HALVES; i++)
        if (g->half[i].generation == generation && g->half[i].state != HALF_FREE)
            return true;
    return false;
}

void group_state(const struct group *g, struct group_state *out)
{
    int i = journal_active(g->p.journal);
    *out = (struct group_state){
        .generation = i < 0 ? 0 : g->half[i].generation,
        .batches = g->batches,
        .records = g->records,
        .checkpoints = g->checkpoints,
        .waiting = g->waiting_count,
    };
    if (!g->running)
        out->room = journal_room(g->p.journal);
}

/* ---- life ---- */

struct group *group_new(const struct group_params *params)
{
    struct group *g = mem_zalloc(sizeof(*g));
    g->p = *params;
    TAILQ_INIT(&g->waiting);
    TAILQ_INIT(&g->batch);
    g->writer = worker_pool_new(g->p.loop, 1);
    g->syncer = worker_pool_new(g->p.loop, 1);
    g->interval = timer_new(g->p.loop, group_interval, g);
    g->stall = timer_new(g->p.loop, group_stalled, g);
    g->sync_timer = timer_new(g->p.loop, group_sync_now, g);
    for (int i = 0; i < JOURNAL_HALVES; i++) {
        struct group_half *h = &g->half[i];
        h->group = g;
        h->index = i;
        h->generation = journal_generation(g->p.journal, i);
        h->state = journal_half_empty(g->p.journal, i) ? HALF_FREE : HALF_CLOSING;
    }
    /* Generations tell the order of use, so an empty half that is older than a full one is renewed
     * too. */
    int older = g->half[1].generation < g->half[0].generation;
    if (g->half[older].state == HALF_FREE && g->half[1 - older].state != HALF_FREE)
        g->half[older].state = HALF_CLOSING;
    for (int i = 0; i < JOURNAL_HALVES; i++)
        group_sync(&g->half[i]);
    return g;
}

void group_free(struct group **pg)
{
    struct group *g = *pg;
    if (g == NULL)
        return;
    *pg = NULL;
    g->ending = true;
    worker_pool_free(&g->writer);
    worker_pool_free(&g->syncer);
    for (int i = 0; i < JOURNAL_HALVES; i++)
        buf_free(&g->half[i].saved);
    timer_free(&g->interval);
    timer_free(&g->stall);
    timer_free(&g->sync_timer);
    free(g);
}

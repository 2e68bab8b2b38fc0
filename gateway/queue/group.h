/*
 * Group commit and checkpoints: the journal on its own thread.
 *
 * Everything that arrives while one fdatasync runs goes into the next one. A half of the journal
 * that is full, or has held something for the checkpoint interval, is left for the other one; when
 * all that it holds has been released (is in its mailboxes or in the spool), the file system is
 * synced and the half recycled. While neither half has room, what arrives waits, and fails after
 * some seconds: nothing is lost, the sender tries again.
 */
#ifndef DIRIGO_QUEUE_GROUP_H
#define DIRIGO_QUEUE_GROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "gateway/base/buf.h"
#include "gateway/event/loop.h"
#include "gateway/queue/journal.h"

struct group;

/* One record on its way into the journal; embedded in what it is for. */
struct group_op {
    TAILQ_ENTRY(group_op) link; /* private until done */
    uint32_t type;
    struct buf head; /* the payload, or its start; freed by the owner */
    int fd;          /* -1, or the file whose first len bytes end the payload */
    uint64_t len;
    /* Called on the loop when it is durable, or known not to be. */
    void (*done)(struct group_op *op);
    /* Then: */
    bool durable;        /* and held: group_release is owed for the generation */
    bool too_large;      /* not durable, and it never will be */
    uint64_t generation; /* of the half that holds it */
};
TAILQ_HEAD(group_ops, group_op);

struct group_params {
    struct loop *loop;
    struct journal *journal; /* replayed; must outlive the group */
    int mail_fd;             /* a folder of the file system to sync, not O_PATH */
    int64_t interval;        /* between checkpoints, while there is something to make durable */
    /*
     * Before a half is recycled: prepare, on the loop, puts what has to outlive its records into
     * out; save, on a worker, writes it to the file system, which is synced then. 0, or -1 with
     * errno.
     */
    void (*prepare)(struct buf *out, void *arg);
    int (*save)(const struct buf *data, void *arg);
    /* A half was recycled: what it held under this generation is durable without it. */
    void (*recycled)(uint64_t generation, void *arg);
    void *arg;
};

/* What the journal holds from before counts as released. */
struct group *group_new(const struct group_params *params);
/* Waits for what is under way. Operations that are not done are forgotten: done is not called. */
void group_free(struct group **g);

void group_add(struct group *g, struct group_op *op);
void group_release(struct group *g, uint64_t generation);
/* Whether a half of this generation is not recycled yet. */
bool group_covers(const struct group *g, uint64_t generation);

struct group_state {
    uint64_t generation; /* of the active half; 0: none */
    uint64_t room;       /* bytes left in it */
    uint64_t batches, records, checkpoints;
    size_t waiting;
};
void group_state(const struct group *g, struct group_state *out);

#endif

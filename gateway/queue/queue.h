/*
 * Inside dirigo-queue. The way of a message through the process:
 *
 *   server.c   a COMMIT arrives: an envelope and a descriptor
 *   commit.c   known id? room? large: file to the disk; then the record into the journal (group.c);
 *              then the links into the mailboxes, or the spool; then the answer
 *   waiting.c  what is in the spool: when it is tried, what is left of it, its end
 *   relays.c   jobs for dirigo-relay by destination
 *   returns.c  bounces, which are committed like any other message
 */
#ifndef DIRIGO_QUEUE_QUEUE_H
#define DIRIGO_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "conf/conf.h"
#include "gateway/event/loop.h"
#include "gateway/event/worker.h"
#include "gateway/ipc/channel.h"
#include "gateway/queue/envelope.h"
#include "gateway/queue/group.h"
#include "gateway/queue/ids.h"
#include "gateway/queue/protocol.h"
#include "gateway/queue/schedule.h"
#include "gateway/queue/spool.h"
#include "gateway/service/service.h"

#define QUEUE_STOCK 64 /* unnamed files kept ready */

struct queue;
struct message;
struct destination;
struct forget;

/* Who hears of a commit: a peer, or a function of this process. */
struct answer_to {
    TAILQ_ENTRY(answer_to) link; /* of its message */
    LIST_ENTRY(answer_to) peer_link;
    struct peer *peer; /* NULL: gone, or fn */
    uint32_t request;
    void (*fn)(enum queue_result result, void *arg);
    void *arg;
};

/* The recipients that came before their COMMIT. */
struct partial {
    LIST_ENTRY(partial) link;
    struct envelope *envelope; /* id and rcpts */
};

struct open_request {
    TAILQ_ENTRY(open_request) link;
    struct peer *peer;
    uint32_t request;
    uint32_t count;
};

/* A job that a relay works on, or that waits for one. */
struct job {
    TAILQ_ENTRY(job) link; /* of its destination while it waits, of its relay then */
    LIST_ENTRY(job) by_message;
    char name[32];
    struct waiting *waiting;
    struct destination *destination;
    struct peer *relay; /* NULL while it waits */
    size_t count;
    size_t rcpts[]; /* places in the envelope, which stands still during a try */
};
TAILQ_HEAD(job_list, job);

struct peer {
    struct queue *queue;
    struct ipc_peer *ipc;
    LIST_HEAD(, answer_to) answers;
    LIST_HEAD(, partial) partials;
    size_t partial_count;
    /* dirigo-relay */
    TAILQ_ENTRY(peer) relay_link;
    bool is_relay;
    uint32_t slots;
    uint32_t active;
    struct job_list jobs;
};

enum waiting_state {
    WAITING_SCHEDULED, /* for its next try */
    WAITING_TRYING,    /* jobs are under way */
    WAITING_UPDATING,  /* what is left goes into the journal, then into the spool */
    WAITING_AGAIN,     /* that failed; scheduled to be done again */
    WAITING_HELD       /* until it is released */
};

/* A message in the spool. */
struct waiting {
    RB_ENTRY(waiting) link;
    struct schedule_entry entry; /* due in ms of clock_now_ms */
    struct queue *queue;
    struct envelope *envelope;
    enum waiting_state state;
    size_t jobs;       /* of this try, not reported on */
    int64_t wait;      /* ms until the next try, as the last one decided */
    bool lost;         /* a relay went away in this try */
    bool bounce_tried; /* this try was for a report that was owed before, too */
    bool report_only;  /* the next try is for that alone: it comes right after one */
    bool deleted;      /* by the administrator: ends with this try */
    enum {
        WISH_NONE,
        WISH_HOLD,
        WISH_RELEASE
    } wish; /* for when WAITING_UPDATING is over: a worker reads the envelope until then */
    char *wish_why;
    uint64_t file_generation; /* of the half that relies on ID.msg, or 0 */
    struct group_op op;
    int error;
    LIST_HEAD(, job) job_list;
};
RB_HEAD(waiting_tree, waiting);
RB_HEAD(destination_tree, destination);

/* ID.msg of a large message without other use: goes when its half is recycled. */
struct spent {
    LIST_ENTRY(spent) link;
    struct queue *queue;
    uint64_t generation;
    char id[ID_STRLEN];
};

struct queue {
    struct service *service;
    struct loop *loop;
    const struct conf *conf;
    struct spool spool;
    int lock_fd;
    unsigned lock_tries;
    struct timer *start_timer, *report_timer;
    struct journal *journal;
    struct group *group;
    struct ids ids;
    struct ipc_server *server;
    struct ipc_client *directory;
    LIST_HEAD(, forget) forgets; /* under way */
    bool stopping;

    /* files.c */
    struct worker_pool *opener;
    int stock[QUEUE_STOCK];
    size_t stock_count;
    bool opening;
    TAILQ_HEAD(, open_request) open_requests;
    int64_t space_checked; /* ms */
    uint64_t space;        /* bytes free then */

    /* commit.c */
    struct worker_pool *linker;                 /* mailboxes and spool */
    struct worker_pool *syncer;                 /* large files */
    TAILQ_HEAD(message_list, message) messages; /* all under way */
    struct message_list linking;                /* journalled, not in a link job */
    unsigned link_jobs;
    bool link_posted;
    dev_t device;              /* of the spool: a message's file must be there */
    struct message_list stuck; /* neither delivered nor in the spool: tried again */
    struct timer *stuck_timer;
    LIST_HEAD(, spent) spent;

    /* waiting.c */
    struct waiting_tree waiting;
    size_t waiting_count, held_count;
    struct schedule schedule;
    struct timer *schedule_timer;

    /* relays.c */
    TAILQ_HEAD(, peer) relays;
    struct destination_tree destinations;
    TAILQ_HEAD(, destination) ready; /* with jobs, and below their limit */
    uint64_t job_number;
    size_t job_count;

    struct {
        uint64_t accepted, refused, local, sent, deferred, bounced;
    } counters;
};

/* ---- files.c: unnamed files and space ---- */

/* Whether size more bytes leave queue_minfree free. */
bool files_space(struct queue *q, uint64_t size);
void files_open(struct queue *q, struct peer *peer, uint32_t request, uint32_t count);
void files_peer_gone(struct queue *q, struct peer *peer);
void files_refill(struct queue *q);
void files_free(struct queue *q);

/* ---- commit.c ---- */

/* Takes over envelope, fd (-1: could not be had) and to. to is answered once, unless its peer goes
 * away. */
void commit_submit(struct queue *q, struct envelope *envelope, int fd, struct answer_to *to);
/* What a checkpoint saves: the ids that clients may still ask for again. */
void commit_prepare(struct buf *out, void *arg);
int commit_save(const struct buf *data, void *arg);
int commit_load(struct queue *q);
void commit_recycled(uint64_t generation, void *arg);
/* ID.msg has no other use than the record of this generation: it goes with it. */
void commit_spent(struct queue *q, const char *id, uint64_t generation);
void commit_stuck(void *arg); /* the timer of q->stuck */
void commit_free(struct queue *q);
struct answer_to *answer_new(struct peer *peer, uint32_t request);
struct answer_to *answer_new_fn(void (*fn)(enum queue_result result, void *arg), void *arg);

/* ---- waiting.c ---- */

/*
 * A message whose files are in the spool; takes the envelope over. file_generation: of the half
 * whose record relies on ID.msg, or 0.
 */
void waiting_add(struct queue *q, struct envelope *envelope, uint64_t file_generation);
struct waiting *waiting_find(struct queue *q, const char *id);
/* The first with an id greater than this, or NULL. */
struct waiting *waiting_after(struct queue *q, const char *id);
/* One job of the present try has been reported on. */
void waiting_job_done(struct waiting *w);
/* What the administrator wants; false where it makes no difference. */
bool waiting_flush(struct waiting *w);
bool waiting_delete(struct waiting *w);
bool waiting_hold(struct waiting *w, const char *why);
bool waiting_release(struct waiting *w);
/* Gives a held message back to its sender; why is a status and words ("5.7.2 not wanted"). */
bool waiting_reject(struct waiting *w, const char *why);
void waiting_due(void *arg); /* the schedule's timer */
void waiting_free_all(struct queue *q);

/* ---- relays.c ---- */

/* Makes jobs of the pending remote recipients; counts them in w->jobs. */
void relays_try(struct waiting *w);
/* Takes back the jobs that no relay has yet. */
void relays_cancel(struct waiting *w);
void relays_ready(struct peer *peer, uint32_t slots);
/* RELAY_DONE: 0, or -1 where it is malformed. */
int relays_done(struct peer *peer, struct msg *m);
void relays_peer_gone(struct peer *peer);
void relays_free(struct queue *q);

/* ---- returns.c ---- */

/* Reports to the sender about the recipients that are owed one; counts as one job. */
void returns_try(struct waiting *w);

/* ---- server.c ---- */

extern const struct ipc_server_ops queue_server_ops;
/* The counters as key=value text. */
void server_text_status(struct queue *q, struct buf *out);

void server_free(struct queue *q);

#endif

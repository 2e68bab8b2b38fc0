/*
 * A pool of threads for what blocks: fsync, mailbox files.
 *
 * A job's run() is called on a worker thread, then its done() on the loop. Jobs start in the order
 * in which they were given; the caller keeps one session's jobs apart by giving the next only from
 * done().
 */
#ifndef DIRIGO_EVENT_WORKER_H
#define DIRIGO_EVENT_WORKER_H

#include <stddef.h>

#include "gateway/event/loop.h"

struct worker_pool;

struct worker_pool *worker_pool_new(struct loop *loop, unsigned threads);
/* Waits for every job given, runs what is done, and ends the threads. */
void worker_pool_free(struct worker_pool **pool);
void worker_run(struct worker_pool *pool, void (*run)(void *arg), void (*done)(void *arg),
                void *arg);
/* Jobs given and not yet done. */
size_t worker_pending(const struct worker_pool *pool);

#endif

#include "gateway/event/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"

struct job {
    struct job *next;
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

struct job_list {
    struct job *first, **last;
};

/* What a wake-up of the loop points to: it may arrive after the pool has gone. */
struct notice {
    struct worker_pool *pool; /* NULL then */
};

struct worker_pool {
    struct loop *loop;
    pthread_t *threads;
    unsigned thread_count;
    size_t pending; /* loop thread only */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job_list waiting, finished;
    struct notice *notice; /* on its way to the loop, or NULL */
    bool ending;
};

static void job_append(struct job_list *list, struct job *job)
{
    job->next = NULL;
    *list->last = job;
    list->last = &job->next;
}

static struct job *job_take_all(struct job_list *list)
{
    struct job *first = list->first;
    list->first = NULL;
    list->last = &list->first;
    return first;
}

/* Calls done() for what has finished. */
static void worker_collect(struct worker_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct job *job = job_take_all(&pool->finished);
    pthread_mutex_unlock(&pool->lock);
    while (job != NULL) {
        struct job *next = job->next;
        pool->pending--;
        job->done(job->arg);
        free(job);
        job = next;
    }
}

static void worker_notice(void *arg)
{
    struct notice *notice = arg;
    struct worker_pool *pool = notice->pool;
    if (pool != NULL) {
        pthread_mutex_lock(&pool->lock);
        pool->notice = NULL;
        pthread_mutex_unlock(&pool->lock);
        worker_collect(pool);
    }
    free(notice);
}

static void *worker_main(void *arg)
{
    struct worker_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->waiting.first == NULL && !pool->ending)
            pthread_cond_wait(&pool->wake, &pool->lock);
        struct job *job = pool->waiting.first;
        if (job == NULL)
            break;
        pool->waiting.first = job->next;
        if (pool->waiting.first == NULL)
            pool->waiting.last = &pool->waiting.first;
        pthread_mutex_unlock(&pool->lock);
        job->run(job->arg);
        pthread_mutex_lock(&pool->lock);
        job_append(&pool->finished, job);
        if (pool->notice == NULL && !pool->ending) {
            pool->notice = mem_zalloc(sizeof(*pool->notice));
            pool->notice->pool = pool;
            loop_post(pool->loop, worker_notice, pool->notice);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct worker_pool *worker_pool_new(struct loop *loop, unsigned threads)
{
    struct worker_pool *pool = mem_zalloc(sizeof(*pool));
    sigset_t all, before;
    pool->loop = loop;
    pool->waiting.last = &pool->waiting.first;
    pool->finished.last = &pool->finished.first;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->threads = mem_zalloc(threads * sizeof(*pool->threads));
    /* Signals are the loop's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < threads; i++, pool->thread_count++)
        if (pthread_create(&pool->threads[i], NULL, worker_main, pool) != 0)
            log_fatal("cannot start a worker thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool;
}

void worker_pool_free(struct worker_pool **pool)
{
    struct worker_pool *p = *pool;
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->thread_count; i++)
        pthread_join(p->threads[i], NULL);
    worker_collect(p);
    if (p->notice != NULL)
        p->notice->pool = NULL;
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
    *pool = NULL;
}

void worker_run(struct worker_pool *pool, void (*run)(void *arg), void (*done)(void *arg),
                void *arg)
{
    struct job *job = mem_zalloc(sizeof(*job));
    job->run = run;
    job->done = done;
    job->arg = arg;
    pool->pending++;
    pthread_mutex_lock(&pool->lock);
    job_append(&pool->waiting, job);
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

size_t worker_pending(const struct worker_pool *pool)
{
    return pool->pending;
}

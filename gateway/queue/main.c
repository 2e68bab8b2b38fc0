/*
 * dirigo-queue: start, replay, stop.
 *
 * It stops as it would be killed: what was promised is in the journal, and the next start replays
 * it. Only one may have the journal, so a start waits for the lock of the one before (a reload
 * starts the new process first); until the replay is done, clients wait in the socket's backlog.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory/protocol.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/queue/queue.h"
#include "gateway/queue/replay.h"

#define MAIN_LOCK_MS   50
#define MAIN_LOCK_LONG 100 /* times MAIN_LOCK_MS after which waiting is worth a line */
#define MAIN_REPORT_MS 5000

/* What a worker finds at the start; the loop takes it over. */
struct start {
    struct queue *queue;
    struct buf error;
    struct replay_result replay;
    struct envelope **waiting;
    size_t waiting_count;
    bool ok;
};

/* ---- the start, on a worker ---- */

static int start_compare(const void *key, const void *member)
{
    return strcmp(key, ((const struct replay_message *)member)->id);
}

static struct replay_message *start_find(const struct start *s, const char *id)
{
    if (s->replay.count == 0)
        return NULL;
    return bsearch(id, s->replay.messages, s->replay.count, sizeof(*s->replay.messages),
                   start_compare);
}

static bool start_keep(const char *id, void *arg)
{
    const struct replay_message *m = start_find(arg, id);
    return m != NULL && m->file;
}

static void start_take(struct envelope *e, void *arg)
{
    struct start *s = arg;
    if ((s->waiting_count & (s->waiting_count - 1)) == 0)
        s->waiting = mem_realloc(s->waiting, s->waiting_count == 0 ? 1 : s->waiting_count * 2,
                                 sizeof(struct envelope *));
    s->waiting[s->waiting_count++] = e;
}

static void start_run(void *arg)
{
    struct start *s = arg;
    struct queue *q = s->queue;
    q->journal = journal_open(q->spool.queue_fd, q->conf->queue_journal_size, &s->error);
    if (q->journal == NULL || replay_run(q->journal, &q->spool, &s->replay) < 0)
        return;
    if (spool_scan(&q->spool, start_take, start_keep, s) < 0) {
        buf_printf(&s->error, "the spool: %s", strerror(errno));
        return;
    }
    s->ok = true;
}

/* ---- and on the loop ---- */

static void main_report(void *arg)
{
    struct queue *q = arg;
    struct buf text = {.max = 2000};
    server_text_status(q, &text);
    service_report(q->service, buf_str(&text));
    buf_free(&text);
}

static void start_adopt(struct start *s)
{
    struct queue *q = s->queue;
    int64_t now = clock_now_ms();
    if (commit_load(q) < 0)
        log_warning("the file of recent ids cannot be read", LOG_ERRNO(errno));
    for (size_t i = 0; i < s->replay.count; i++) {
        const struct replay_message *m = &s->replay.messages[i];
        struct id_entry *known = ids_find(&q->ids, m->id);
        if (known == NULL)
            known = ids_add(&q->ids, m->id, now);
        known->generation = m->generation;
    }
    for (size_t i = 0; i < s->waiting_count; i++) {
        struct replay_message *m = start_find(s, s->waiting[i]->id);
        waiting_add(q, s->waiting[i], m != NULL && m->file ? m->generation : 0);
        if (m != NULL)
            m->file = false;
    }
    /* Large files that only the journal's record still needs. */
    for (size_t i = 0; i < s->replay.count; i++)
        if (s->replay.messages[i].file)
            commit_spent(q, s->replay.messages[i].id, s->replay.messages[i].generation);
}

static void start_done(void *arg)
{
    struct start *s = arg;
    struct queue *q = s->queue;
    if (q->stopping) {
        for (size_t i = 0; i < s->waiting_count; i++)
            envelope_free(&s->waiting[i]);
    } else if (!s->ok) {
        log_fatal("the queue cannot start", LOG_STR("reason", buf_str(&s->error)));
    } else {
        struct group_params params = {
            .loop = q->loop,
            .journal = q->journal,
            .mail_fd = q->spool.mail_fd,
            .interval = q->conf->queue_checkpoint_interval,
            .prepare = commit_prepare,
            .save = commit_save,
            .recycled = commit_recycled,
            .arg = q,
        };
        q->group = group_new(&params);
        start_adopt(s);
        files_refill(q);
        q->server = ipc_server_new(q->loop, service_take_ipc_listener(q->service), QUEUE_SERVICE,
                                   QUEUE_VERSION, &queue_server_ops, q);
        q->report_timer = timer_new(q->loop, main_report, q);
        timer_repeat(q->report_timer, MAIN_REPORT_MS);
        log_notice("queue is open", LOG_UINT("journal_messages", s->replay.count),
                   LOG_UINT("delivered", s->replay.delivered),
                   LOG_UINT("repaired", s->replay.repaired), LOG_UINT("waiting", s->waiting_count));
    }
    free(s->replay.messages);
    free(s->waiting);
    buf_free(&s->error);
    free(s);
}

static void start_try(void *arg)
{
    struct queue *q = arg;
    if (flock(q->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            log_fatal("the queue's lock", LOG_ERRNO(errno));
        if (++q->lock_tries % MAIN_LOCK_LONG == 0)
            log_warning("another dirigo-queue has mail_directory; waiting until it ends");
        timer_set(q->start_timer, MAIN_LOCK_MS);
        return;
    }
    struct start *s = mem_zalloc(sizeof(*s));
    s->queue = q;
    s->error.max = 1000;
    worker_run(q->linker, start_run, start_done, s);
}

static int queue_start(struct service *service)
{
    struct queue *q = mem_zalloc(sizeof(*q));
    struct buf error = {.max = 1000};
    struct stat st;
    service_set_data(service, q);
    q->service = service;
    q->loop = service_loop(service);
    q->conf = service_conf(service);
    q->lock_fd = -1;
    ids_init(&q->ids);
    TAILQ_INIT(&q->open_requests);
    TAILQ_INIT(&q->messages);
    TAILQ_INIT(&q->linking);
    TAILQ_INIT(&q->stuck);
    LIST_INIT(&q->spent);
    LIST_INIT(&q->forgets);
    RB_INIT(&q->waiting);
    TAILQ_INIT(&q->relays);
    RB_INIT(&q->destinations);
    TAILQ_INIT(&q->ready);
    q->opener = worker_pool_new(q->loop, 1);
    q->linker = worker_pool_new(q->loop, 2);
    q->syncer = worker_pool_new(q->loop, 4);
    q->stuck_timer = timer_new(q->loop, commit_stuck, q);
    q->schedule_timer = timer_new(q->loop, waiting_due, q);
    q->start_timer = timer_new(q->loop, start_try, q);
    q->directory = ipc_client_new(q->loop, service_run_path(service, "directory.sock"),
                                  DIRECTORY_SERVICE, DIRECTORY_VERSION);
    if (spool_open(&q->spool, q->conf->mail_directory, &error) < 0) {
        log_error("mail_directory", LOG_STR("reason", buf_str(&error)));
        buf_free(&error);
        return -1;
    }
    q->lock_fd = openat(q->spool.queue_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (q->lock_fd < 0 || fstat(q->spool.spool_fd, &st) < 0) {
        log_error("the queue's lock", LOG_ERRNO(errno));
        return -1;
    }
    q->device = st.st_dev;
    timer_set(q->start_timer, 0);
    return 0;
}

static void queue_stop(struct service *service)
{
    struct queue *q = service_data(service);
    if (q == NULL)
        return;
    q->stopping = true;
    /* Clients first: nothing may be answered any more. Then whatever works ends, then memory. */
    ipc_server_free(&q->server);
    ipc_client_free(&q->directory);
    worker_pool_free(&q->linker);
    worker_pool_free(&q->syncer);
    group_free(&q->group);
    files_free(q);
    server_free(q);
    commit_free(q);
    relays_free(q);
    waiting_free_all(q);
    ids_free(&q->ids);
    journal_close(&q->journal);
    spool_close(&q->spool);
    timer_free(&q->stuck_timer);
    timer_free(&q->schedule_timer);
    timer_free(&q->start_timer);
    timer_free(&q->report_timer);
    if (q->lock_fd >= 0)
        close(q->lock_fd);
    free(q);
    service_set_data(service, NULL);
}

int main(int argc, char **argv)
{
    static const struct service_def def = {
        .name = "dirigo-queue",
        .user = SERVICE_USER_MAIL,
        .flags = SERVICE_NO_EXEC,
        .start = queue_start,
        .stop = queue_stop,
    };
    return service_main(&def, argc, argv);
}

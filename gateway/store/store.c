/* The store of a process, its open mailboxes, and when their indexes are open. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/store/names.h"
#include "gateway/store/private.h"

/* An index is closed this long after its last use, so that an idle session costs no map. */
#define INDEX_IDLE_MS 3000

static void idle_tick(void *arg)
{
    struct store *store = arg;
    int64_t now = clock_now_ms();
    bool open = false, closed = false;
    struct mailbox *mb;
    LIST_FOREACH (mb, &store->mailboxes, entry) {
        /* A worker that holds the lock is using it. */
        if (pthread_mutex_trylock(&mb->lock) != 0) {
            open = true;
            continue;
        }
        if (mb->users == 0 && mb->ix != NULL && now - mb->used >= INDEX_IDLE_MS) {
            index_close(&mb->ix);
            closed = true;
        }
        open = open || mb->ix != NULL;
        pthread_mutex_unlock(&mb->lock);
    }
    if (closed)
        malloc_trim(0); /* what LMDB and the commands touched goes back to the system */
    timer_set(store->idle, open ? INDEX_IDLE_MS : (int64_t)4 * INDEX_IDLE_MS);
}

struct store *store_new(struct loop *loop, const struct store_config *config)
{
    int fd = open(config->mail_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        log_error("cannot open mail_directory", LOG_STR("path", config->mail_directory),
                  LOG_ERRNO(errno));
        return NULL;
    }
    struct store *store = mem_zalloc(sizeof(*store));
    store->loop = loop;
    store->path = mem_strdup(config->mail_directory);
    store->dir_fd = fd;
    store->config = *config;
    store->config.mail_directory = store->path;
    LIST_INIT(&store->mailboxes);
    store->idle = timer_new(loop, idle_tick, store);
    timer_set(store->idle, INDEX_IDLE_MS);
    return store;
}

void store_free(struct store **store)
{
    struct store *s = *store;
    if (s == NULL)
        return;
    *store = NULL;
    watches_free(&s->watches);
    timer_free(&s->idle);
    close(s->dir_fd);
    free(s->path);
    free(s);
}

struct mailbox *mailbox_open(struct store *store, const struct uuid *owner)
{
    struct mailbox *mb;
    LIST_FOREACH (mb, &store->mailboxes, entry)
        if (uuid_eq(&mb->owner, owner)) {
            mb->refs++;
            return mb;
        }
    int fd = store_open_owner(store->dir_fd, owner);
    if (fd < 0) {
        char text[UUID_STRLEN];
        log_error("cannot open a mailbox", LOG_STR("owner", uuid_str(owner, text)),
                  LOG_ERRNO(errno));
        return NULL;
    }
    mb = mem_zalloc(sizeof(*mb));
    mb->store = store;
    mb->owner = *owner;
    mb->refs = 1;
    mb->fd = fd;
    mb->lock_fd = -1;
    pthread_mutex_init(&mb->lock, NULL);
    LIST_INSERT_HEAD(&store->mailboxes, mb, entry);
    return mb;
}

void mailbox_release(struct mailbox **mbp)
{
    struct mailbox *mb = *mbp;
    *mbp = NULL;
    if (mb == NULL || --mb->refs > 0)
        return;
    LIST_REMOVE(mb, entry);
    index_close(&mb->ix);
    pthread_mutex_destroy(&mb->lock);
    mailbox_unlock(mb);
    close(mb->fd);
    free(mb);
}

const struct uuid *mailbox_owner(const struct mailbox *mb)
{
    return &mb->owner;
}

bool mailbox_lock(struct mailbox *mb)
{
    if (mb->lock_fd >= 0)
        return false;
    /* A file's lock also keeps an older process out that drains while this one starts. */
    int fd = openat(mb->fd, "pop3.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        mailbox_failed(mb, "cannot lock a mailbox", "pop3.lock");
        return false;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return false;
    }
    mb->lock_fd = fd;
    return true;
}

void mailbox_unlock(struct mailbox *mb)
{
    if (mb->lock_fd >= 0)
        close(mb->lock_fd);
    mb->lock_fd = -1;
}

/* ---- transactions ---- */

static struct index *acquire(struct mailbox *mb)
{
    pthread_mutex_lock(&mb->lock);
    if (mb->ix == NULL) {
        char owner[64];
        store_owner_path(&mb->owner, owner, sizeof(owner));
        char *path = mem_printf("%s/%s/index", mb->store->path, owner);
        mb->ix = index_open(path, mb->store->config.index_map_size);
        free(path);
    }
    struct index *ix = mb->ix;
    if (ix != NULL)
        mb->users++;
    pthread_mutex_unlock(&mb->lock);
    return ix;
}

static void let_go(struct mailbox *mb)
{
    pthread_mutex_lock(&mb->lock);
    mb->users--;
    mb->used = clock_now_ms();
    pthread_mutex_unlock(&mb->lock);
}

enum store_result mailbox_begin(struct mailbox *mb, bool write, struct index_txn *t)
{
    struct index *ix = acquire(mb);
    t->txn = NULL;
    if (ix == NULL)
        return STORE_FAILED;
    if (index_begin(ix, write, t) == 0)
        return STORE_OK;
    let_go(mb);
    return STORE_FAILED;
}

enum store_result mailbox_commit(struct mailbox *mb, struct index_txn *t, bool durable)
{
    int rc = index_commit(t, durable);
    let_go(mb);
    return rc == 0 ? STORE_OK : STORE_FAILED;
}

void mailbox_abort(struct mailbox *mb, struct index_txn *t)
{
    if (t->txn == NULL)
        return;
    index_abort(t);
    let_go(mb);
}

enum store_result mailbox_failed(const struct mailbox *mb, const char *what, const char *name)
{
    int error = errno;
    char text[UUID_STRLEN];
    log_error(what, LOG_STR("owner", uuid_str(&mb->owner, text)), LOG_STR("name", name),
              LOG_ERRNO(error));
    return error == ENOSPC || error == EDQUOT ? STORE_LIMIT : STORE_FAILED;
}

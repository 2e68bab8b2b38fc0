/*
 * Waiting for changes of folders: one inotify descriptor for the process. Two sessions that wait
 * for one folder share its kernel watches.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/store/names.h"
#include "gateway/store/private.h"

#define WATCH_EVENTS (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)
/* How often a folder is looked at that could not be watched. */
#define WATCH_POLL_MS 15000

struct watch_link {
    LIST_ENTRY(watch_link) entry;
    struct watched_dir *dir;
    struct mailbox_watch *watch;
};

struct watched_dir {
    RB_ENTRY(watched_dir) node;
    int wd;
    bool gone; /* the kernel has dropped it with its directory */
    LIST_HEAD(, watch_link) links;
};

struct mailbox_watch {
    TAILQ_ENTRY(mailbox_watch) pending_entry;
    struct watches *watches;
    struct watch_link links[2];
    void (*fn)(void *arg);
    void *arg;
    struct timer *poll;
    bool pending;
};

RB_HEAD(dir_tree, watched_dir);
struct watches {
    int fd;
    struct watch *watch;
    struct dir_tree dirs;
    TAILQ_HEAD(, mailbox_watch) pending;
};

static int dir_cmp(const struct watched_dir *a, const struct watched_dir *b)
{
    return a->wd < b->wd ? -1 : a->wd > b->wd;
}
RB_GENERATE_INTERNAL(dir_tree, watched_dir, node, dir_cmp, __attribute__((unused)) static)

static void wake_dir(struct watches *w, struct watched_dir *dir)
{
    struct watch_link *l;
    LIST_FOREACH (l, &dir->links, entry)
        if (!l->watch->pending) {
            l->watch->pending = true;
            TAILQ_INSERT_TAIL(&w->pending, l->watch, pending_entry);
        }
}

static void take_event(struct watches *w, const struct inotify_event *e)
{
    struct watched_dir key = {.wd = e->wd}, *dir;
    if (e->mask & IN_Q_OVERFLOW) {
        RB_FOREACH (dir, dir_tree, &w->dirs)
            wake_dir(w, dir);
        return;
    }
    dir = RB_FIND(dir_tree, &w->dirs, &key);
    if (dir == NULL)
        return;
    if (e->mask & IN_IGNORED) {
        dir->gone = true;
        RB_REMOVE(dir_tree, &w->dirs, dir);
    }
    wake_dir(w, dir);
}

static void readable(int ready, void *arg)
{
    struct watches *w = arg;
    struct mailbox_watch *m;
    char events[8192] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n;
    (void)ready;
    while ((n = read(w->fd, events, sizeof(events))) > 0)
        for (char *p = events; p < events + n;) {
            const struct inotify_event *e = (const struct inotify_event *)p;
            take_event(w, e);
            p += sizeof(*e) + e->len;
        }
    /* A callback may free watches, its own and others. */
    while ((m = TAILQ_FIRST(&w->pending)) != NULL) {
        TAILQ_REMOVE(&w->pending, m, pending_entry);
        m->pending = false;
        m->fn(m->arg);
    }
}

static struct watches *watches_get(struct store *store)
{
    if (store->watches != NULL)
        return store->watches;
    struct watches *w = mem_zalloc(sizeof(*w));
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0) {
        log_warning("cannot watch folders; they are polled", LOG_ERRNO(errno));
    } else {
        w->watch = watch_new(store->loop, w->fd, readable, w);
        watch_set(w->watch, WATCH_READ);
    }
    RB_INIT(&w->dirs);
    TAILQ_INIT(&w->pending);
    store->watches = w;
    return w;
}

void watches_free(struct watches **wp)
{
    struct watches *w = *wp;
    if (w == NULL)
        return;
    *wp = NULL;
    watch_free(&w->watch);
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}

static int add_dir(struct watches *w, struct watch_link *l, const char *path)
{
    struct watched_dir key = {.wd = w->fd < 0 ? -1 : inotify_add_watch(w->fd, path, WATCH_EVENTS)};
    if (key.wd < 0)
        return -1;
    l->dir = RB_FIND(dir_tree, &w->dirs, &key);
    if (l->dir == NULL) {
        l->dir = mem_zalloc(sizeof(*l->dir));
        l->dir->wd = key.wd;
        LIST_INIT(&l->dir->links);
        RB_INSERT(dir_tree, &w->dirs, l->dir);
    }
    LIST_INSERT_HEAD(&l->dir->links, l, entry);
    return 0;
}

static void remove_link(struct watches *w, struct watch_link *l)
{
    struct watched_dir *dir = l->dir;
    if (dir == NULL)
        return;
    LIST_REMOVE(l, entry);
    l->dir = NULL;
    if (!LIST_EMPTY(&dir->links))
        return;
    if (!dir->gone) {
        inotify_rm_watch(w->fd, dir->wd);
        RB_REMOVE(dir_tree, &w->dirs, dir);
    }
    free(dir);
}

static void poll_tick(void *arg)
{
    struct mailbox_watch *w = arg;
    w->fn(w->arg);
}

struct mailbox_watch *mailbox_watch_new(struct mailbox *mb, const char *folder,
                                        void (*fn)(void *arg), void *arg)
{
    static const char *const subs[2] = {"new", "cur"};
    char owner[64], dir[MAILDIR_PATH_MAX];
    struct mailbox_watch *m = mem_zalloc(sizeof(*m));
    m->watches = watches_get(mb->store);
    m->fn = fn;
    m->arg = arg;
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        char *path = mem_printf("%s/%s/%s%s", mb->store->path,
                                store_owner_path(&mb->owner, owner, sizeof(owner)),
                                maildir_dir(folder, dir), subs[i]);
        m->links[i].watch = m;
        rc = add_dir(m->watches, &m->links[i], path);
        free(path);
    }
    if (rc != 0 && errno == ENOENT) {
        mailbox_watch_free(&m);
        return NULL;
    }
    if (rc != 0) {
        m->poll = timer_new(mb->store->loop, poll_tick, m);
        timer_repeat(m->poll, WATCH_POLL_MS);
    }
    return m;
}

void mailbox_watch_free(struct mailbox_watch **mp)
{
    struct mailbox_watch *m = *mp;
    if (m == NULL)
        return;
    *mp = NULL;
    if (m->pending)
        TAILQ_REMOVE(&m->watches->pending, m, pending_entry);
    for (int i = 0; i < 2; i++)
        remove_link(m->watches, &m->links[i]);
    timer_free(&m->poll);
    free(m);
}

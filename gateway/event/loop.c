#include "gateway/event/loop.h"

#include <event2/event.h>
#include <event2/thread.h>
#include <event2/util.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"

struct post {
    struct post *next;
    void (*fn)(void *arg);
    void *arg;
};

struct loop {
    struct event_base *base;
    struct event *wakeup;
    int wakeup_fd;
    pthread_mutex_t lock; /* guards the list of posts, the one thing other threads touch */
    struct post *first, **last;
    TAILQ_HEAD(, loop_guest) guests;
    unsigned lingering;
};

/* Runs what was posted up to now; what is posted meanwhile waits for the next wake-up. */
static void loop_run_posts(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct post *p = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    pthread_mutex_unlock(&loop->lock);
    while (p != NULL) {
        struct post *next = p->next;
        p->fn(p->arg);
        free(p);
        p = next;
    }
}

static void loop_woken(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;
    (void)what;
    if (read((int)fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
        loop_run_posts(arg);
}

struct loop *loop_new(void)
{
    struct loop *loop = mem_zalloc(sizeof(*loop));
    struct event_config *config = event_config_new();
    /* Only loop_post crosses threads, by an eventfd, so libevent needs no locks of its own. */
    if (config != NULL) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
        loop->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    loop->wakeup_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->base == NULL || loop->wakeup_fd < 0)
        log_fatal("cannot make an event loop");
    loop->last = &loop->first;
    TAILQ_INIT(&loop->guests);
    pthread_mutex_init(&loop->lock, NULL);
    loop->wakeup = event_new(loop->base, loop->wakeup_fd, EV_READ | EV_PERSIST, loop_woken, loop);
    event_add(loop->wakeup, NULL);
    /* A peer that went away is an error of write(), not the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    return loop;
}

void loop_free(struct loop **loop)
{
    struct loop *l = *loop;
    if (l == NULL)
        return;
    loop_run_posts(l);
    struct loop_guest *guest;
    event_base_loop(l->base, EVLOOP_NONBLOCK);
    while ((guest = TAILQ_FIRST(&l->guests)) != NULL)
        guest->end(guest);
    /* A stream freed while a callback of its own was due is let go of in that callback's place. */
    event_base_loop(l->base, EVLOOP_NONBLOCK);
    event_free(l->wakeup);
    close(l->wakeup_fd);
    event_base_free(l->base);
    pthread_mutex_destroy(&l->lock);
    free(l);
    *loop = NULL;
}

void loop_run(struct loop *loop)
{
    event_base_dispatch(loop->base);
}

void loop_stop(struct loop *loop)
{
    event_base_loopbreak(loop->base);
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct post *p = mem_zalloc(sizeof(*p));
    p->fn = fn;
    p->arg = arg;
    pthread_mutex_lock(&loop->lock);
    bool first = loop->first == NULL;
    *loop->last = p;
    loop->last = &p->next;
    pthread_mutex_unlock(&loop->lock);
    uint64_t one = 1;
    /* The counter cannot overflow, and a loop that was woken already needs no second wake-up. */
    if (first && write(loop->wakeup_fd, &one, sizeof(one)) < 0)
        log_fatal("cannot wake the event loop");
}

/* ---- guests ---- */

void loop_guest_add(struct loop *loop, struct loop_guest *guest)
{
    TAILQ_INSERT_TAIL(&loop->guests, guest, link);
}

void loop_guest_remove(struct loop *loop, struct loop_guest *guest)
{
    TAILQ_REMOVE(&loop->guests, guest, link);
}

unsigned *loop_lingering(struct loop *loop)
{
    return &loop->lingering;
}

/* ---- timers ---- */

struct timer {
    struct event *event;
    struct event_base *base;
    void (*fn)(void *arg);
    void *arg;
    bool repeat;
};

static void timer_fire(evutil_socket_t fd, short what, void *arg)
{
    struct timer *t = arg;
    (void)fd;
    (void)what;
    t->fn(t->arg);
}

static struct timeval timer_timeval(int64_t ms)
{
    if (ms < 0)
        ms = 0;
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

struct timer *timer_new(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct timer *t = mem_zalloc(sizeof(*t));
    t->base = loop->base;
    t->fn = fn;
    t->arg = arg;
    t->event = event_new(loop->base, -1, 0, timer_fire, t);
    if (t->event == NULL)
        log_fatal("cannot make a timer");
    return t;
}

static void timer_start(struct timer *t, int64_t ms, bool repeat)
{
    struct timeval tv = timer_timeval(ms);
    event_del(t->event);
    if (repeat != t->repeat) {
        event_assign(t->event, t->base, -1, repeat ? EV_PERSIST : 0, timer_fire, t);
        t->repeat = repeat;
    }
    event_add(t->event, &tv);
}

void timer_set(struct timer *t, int64_t ms)
{
    timer_start(t, ms, false);
}

void timer_repeat(struct timer *t, int64_t ms)
{
    timer_start(t, ms, true);
}

void timer_stop(struct timer *t)
{
    event_del(t->event);
}

bool timer_pending(const struct timer *t)
{
    return event_pending(t->event, EV_TIMEOUT, NULL) != 0;
}

void timer_free(struct timer **timer)
{
    if (*timer == NULL)
        return;
    event_free((*timer)->event);
    free(*timer);
    *timer = NULL;
}

/* ---- descriptors ---- */

struct watch {
    struct event *event;
    struct event_base *base;
    int fd, events;
    void (*fn)(int ready, void *arg);
    void *arg;
};

static void watch_fire(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    (void)fd;
    w->fn((what & EV_READ ? WATCH_READ : 0) | (what & EV_WRITE ? WATCH_WRITE : 0), w->arg);
}

struct watch *watch_new(struct loop *loop, int fd, void (*fn)(int ready, void *arg), void *arg)
{
    struct watch *w = mem_zalloc(sizeof(*w));
    w->base = loop->base;
    w->fd = fd;
    w->fn = fn;
    w->arg = arg;
    w->event = event_new(loop->base, fd, EV_PERSIST, watch_fire, w);
    if (w->event == NULL)
        log_fatal("cannot watch a descriptor");
    return w;
}

void watch_set(struct watch *w, int events)
{
    if (events == w->events)
        return;
    if (w->events != 0)
        event_del(w->event);
    w->events = events;
    if (events == 0)
        return;
    short what = EV_PERSIST;
    if (events & WATCH_READ)
        what |= EV_READ;
    if (events & WATCH_WRITE)
        what |= EV_WRITE;
    event_assign(w->event, w->base, w->fd, what, watch_fire, w);
    if (event_add(w->event, NULL) != 0)
        log_fatal("cannot watch a descriptor", LOG_INT("fd", w->fd));
}

void watch_free(struct watch **watch)
{
    if (*watch == NULL)
        return;
    event_free((*watch)->event);
    free(*watch);
    *watch = NULL;
}

/* ---- signals ---- */

struct signal_watch {
    struct event *event;
    void (*fn)(int signum, void *arg);
    void *arg;
};

static void signal_fire(evutil_socket_t signum, short what, void *arg)
{
    struct signal_watch *w = arg;
    (void)what;
    w->fn((int)signum, w->arg);
}

struct signal_watch *signal_watch_new(struct loop *loop, int signum,
                                      void (*fn)(int signum, void *arg), void *arg)
{
    struct signal_watch *w = mem_zalloc(sizeof(*w));
    w->fn = fn;
    w->arg = arg;
    w->event = evsignal_new(loop->base, signum, signal_fire, w);
    if (w->event == NULL || event_add(w->event, NULL) != 0)
        log_fatal("cannot watch a signal", LOG_INT("signal", signum));
    return w;
}

void signal_watch_free(struct signal_watch **watch)
{
    if (*watch == NULL)
        return;
    event_free((*watch)->event);
    free(*watch);
    *watch = NULL;
}

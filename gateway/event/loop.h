/*
 * The event loop: one per process, on libevent. Nothing that blocks runs on it; see worker.h.
 *
 * Everything in gateway/event is called from the loop's own thread, except loop_post.
 */
#ifndef DIRIGO_EVENT_LOOP_H
#define DIRIGO_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct loop;
struct event_base;

struct loop *loop_new(void);
/* Runs what was posted and not yet run, so that nothing given to loop_post is forgotten. */
void loop_free(struct loop **loop);
/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* libevent's own handle, for libunbound alone. */
struct event_base *loop_base(struct loop *loop);

/* Runs fn(arg) on the loop soon; may be called from any thread. */
void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/*
 * What nobody owns but the loop: it ends by itself, and at the latest in loop_free, which lets what
 * is due happen once more and then calls end(). end() takes itself off the list.
 */
struct loop_guest {
    TAILQ_ENTRY(loop_guest) link;
    void (*end)(struct loop_guest *guest);
};
void loop_guest_add(struct loop *loop, struct loop_guest *guest);
void loop_guest_remove(struct loop *loop, struct loop_guest *guest);
/* How many sockets linger (linger.h). */
unsigned *loop_lingering(struct loop *loop);

/* A one-shot or repeating timer. It fires on the loop; timer_free stops it, and accepts NULL
 * inside. */
struct timer;
struct timer *timer_new(struct loop *loop, void (*fn)(void *arg), void *arg);
void timer_set(struct timer *timer,
               int64_t ms); /* fires once, ms from now; replaces an earlier time */
void timer_repeat(struct timer *timer, int64_t ms); /* fires every ms */
void timer_stop(struct timer *timer);
bool timer_pending(const struct timer *timer);
void timer_free(struct timer **timer);

/* Watches a descriptor that it does not own. fn gets what is ready. */
enum {
    WATCH_READ = 1,
    WATCH_WRITE = 2
};
struct watch;
struct watch *watch_new(struct loop *loop, int fd, void (*fn)(int ready, void *arg), void *arg);
void watch_set(struct watch *watch, int events); /* WATCH_*, or 0 to pause; level-triggered */
void watch_free(struct watch **watch);

/* A signal, delivered on the loop. */
struct signal_watch;
struct signal_watch *signal_watch_new(struct loop *loop, int signum,
                                      void (*fn)(int signum, void *arg), void *arg);
void signal_watch_free(struct signal_watch **watch);

#endif

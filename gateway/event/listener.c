#include "gateway/event/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"

/* Connections taken at one wake-up: more wait for the sessions that are there. */
#define LISTENER_BURST 32

struct listener {
    struct watch *watch;
    struct timer *retry;
    int fd;
    bool paused;
    bool *freed; /* set where a callback frees the listener */
    void (*fn)(int fd, const struct netaddr *peer, void *arg);
    void *arg;
};

static void listener_retry(void *arg)
{
    struct listener *l = arg;
    if (!l->paused)
        watch_set(l->watch, WATCH_READ);
}

static void listener_ready(int ready, void *arg)
{
    struct listener *l = arg;
    bool freed = false;
    (void)ready;
    l->freed = &freed;
    for (int i = 0; i < LISTENER_BURST && !freed && !l->paused; i++) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof(ss);
        struct netaddr peer;
        memset(&ss, 0, sizeof(ss));
        int fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            netaddr_from_sockaddr(&peer, (struct sockaddr *)&ss);
            l->fn(fd, &peer, l->arg);
            continue;
        }
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (errno != EAGAIN) {
            /* Out of descriptors or memory: the queue of the kernel holds clients until some are
             * free. */
            log_warning("cannot accept a connection; trying again in a second", LOG_ERRNO(errno));
            watch_set(l->watch, 0);
            timer_set(l->retry, 1000);
        }
        break;
    }
    if (!freed)
        l->freed = NULL;
}

struct listener *listener_new(struct loop *loop, int fd,
                              void (*fn)(int fd, const struct netaddr *peer, void *arg), void *arg)
{
    struct listener *l = mem_zalloc(sizeof(*l));
    l->fd = fd;
    l->fn = fn;
    l->arg = arg;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    l->retry = timer_new(loop, listener_retry, l);
    l->watch = watch_new(loop, fd, listener_ready, l);
    watch_set(l->watch, WATCH_READ);
    return l;
}

void listener_pause(struct listener *l)
{
    l->paused = true;
    watch_set(l->watch, 0);
}

void listener_resume(struct listener *l)
{
    l->paused = false;
    watch_set(l->watch, WATCH_READ);
}

void listener_free(struct listener **listener)
{
    struct listener *l = *listener;
    if (l == NULL)
        return;
    if (l->freed != NULL)
        *l->freed = true;
    watch_free(&l->watch);
    timer_free(&l->retry);
    close(l->fd);
    free(l);
    *listener = NULL;
}

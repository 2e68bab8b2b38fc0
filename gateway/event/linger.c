#include "gateway/event/linger.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/mem.h"

#define LINGER_MS    2000
#define LINGER_BYTES ((size_t)1 << 20)
#define LINGER_MAX   1000
#define LINGER_BURST 16 /* reads at one wake-up */

struct lingering {
    struct loop_guest guest;
    struct loop *loop;
    struct watch *watch;
    struct timer *timer;
    int fd;
    size_t left;
};

static void linger_free(struct lingering *l)
{
    loop_guest_remove(l->loop, &l->guest);
    --*loop_lingering(l->loop);
    watch_free(&l->watch);
    timer_free(&l->timer);
    close(l->fd);
    free(l);
}

static void linger_guest_end(struct loop_guest *guest)
{
    linger_free((struct lingering *)((char *)guest - offsetof(struct lingering, guest)));
}

static void linger_timer(void *arg)
{
    linger_free(arg);
}

/* Throws away what has come. Whether more may come. */
static bool linger_drain(int fd, size_t *left)
{
    char junk[4096];
    for (int i = 0; i < LINGER_BURST; i++) {
        ssize_t n = recv(fd, junk, sizeof(junk), MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0 || (size_t)n > *left)
            return false;
        *left -= (size_t)n;
    }
    return true;
}

static void linger_ready(int ready, void *arg)
{
    struct lingering *l = arg;
    (void)ready;
    if (!linger_drain(l->fd, &l->left))
        linger_free(l);
}

void linger_close(struct loop *loop, int fd)
{
    size_t left = LINGER_BYTES;
    if (shutdown(fd, SHUT_WR) < 0 || !linger_drain(fd, &left) ||
        *loop_lingering(loop) >= LINGER_MAX) {
        close(fd);
        return;
    }
    struct lingering *l = mem_zalloc(sizeof(*l));
    l->guest.end = linger_guest_end;
    l->loop = loop;
    l->fd = fd;
    l->left = left;
    l->watch = watch_new(loop, fd, linger_ready, l);
    l->timer = timer_new(loop, linger_timer, l);
    loop_guest_add(loop, &l->guest);
    ++*loop_lingering(loop);
    watch_set(l->watch, WATCH_READ);
    timer_set(l->timer, LINGER_MS);
}

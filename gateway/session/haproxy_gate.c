/* The wait for a PROXY header. */
#include "gateway/session/haproxy_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/networks.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/proto/haproxy.h"

enum {
    WAITING_MAX = 1024, /* connections without a header yet */
    LENGTH_MAX = 4096   /* of version 2 with all its extras */
};

struct waiting {
    LIST_ENTRY(waiting) link;
    struct haproxy_gate *gate;
    const char *protocol;
    int fd;
    struct netaddr proxy;
    struct watch *watch;
    struct timer *timer;
    struct haproxy header;
};

struct haproxy_gate {
    struct loop *loop;
    const struct conf *conf;
    void (*fn)(const char *protocol, int fd, const struct netaddr *client, void *arg);
    void *arg;
    struct networks trusted;
    size_t count;
    LIST_HEAD(, waiting) waiting;
};

/* Returns the descriptor, which stays open. */
static int waiting_free(struct waiting *w)
{
    int fd = w->fd;

    watch_free(&w->watch);
    timer_free(&w->timer);
    LIST_REMOVE(w, link);
    w->gate->count--;
    free(w);
    return fd;
}

static void refuse(struct waiting *w, const char *why)
{
    char text[NETADDR_STRLEN];

    log_warning("connection from a proxy closed: no PROXY header",
                LOG_STR("peer", netaddr_str(&w->proxy, text)), LOG_STR("protocol", w->protocol),
                LOG_STR("why", why));
    close(waiting_free(w));
}

static void on_timer(void *arg)
{
    refuse(arg, "none came within haproxy_timeout");
}

static void pass_on(struct waiting *w)
{
    struct haproxy_gate *g = w->gate;
    const char *protocol = w->protocol;
    struct netaddr client = w->header.status == HAPROXY_PROXY ? w->header.client : w->proxy;
    char from[NETADDR_STRLEN], by[NETADDR_STRLEN];

    if (w->header.status == HAPROXY_PROXY)
        log_debug("passed on by a proxy", LOG_STR("peer", netaddr_str(&client, from)),
                  LOG_STR("proxy", netaddr_str(&w->proxy, by)));
    g->fn(protocol, waiting_free(w), &client, g->arg);
}

/* Takes the header's bytes and none behind it, which may be a TLS handshake's: looked at first,
 * then read. */
static void on_ready(int ready, void *arg)
{
    struct waiting *w = arg;
    unsigned char data[HAPROXY_HEAD_MAX];
    ssize_t n = recv(w->fd, data, sizeof(data), MSG_PEEK);

    (void)ready;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        close(waiting_free(w));
        return;
    }
    size_t taken = haproxy_push(&w->header, data, (size_t)n, LENGTH_MAX);
    if (taken > 0 && recv(w->fd, data, taken, 0) != (ssize_t)taken)
        w->header.status = HAPROXY_BAD;
    if (w->header.status == HAPROXY_BAD)
        refuse(w, "what came is none");
    else if (w->header.status != HAPROXY_MORE)
        pass_on(w);
}

static bool is_expected(const struct haproxy_gate *g, const char *protocol,
                        const struct netaddr *peer)
{
    const struct conf_list *protocols = &g->conf->haproxy_protocols;

    for (size_t i = 0; i < protocols->n; i++)
        if (str_ieq(protocols->v[i], protocol))
            return networks_contain(&g->trusted, peer);
    return false;
}

void haproxy_gate_accept(struct haproxy_gate *g, const char *protocol, int fd,
                         const struct netaddr *peer)
{
    if (!is_expected(g, protocol, peer)) {
        g->fn(protocol, fd, peer, g->arg);
        return;
    }
    if (g->count >= WAITING_MAX) {
        log_warning("too many connections wait for their PROXY header");
        close(fd);
        return;
    }
    struct waiting *w = mem_zalloc(sizeof(*w));
    w->gate = g;
    w->protocol = protocol;
    w->fd = fd;
    w->proxy = *peer;
    haproxy_init(&w->header);
    g->count++;
    LIST_INSERT_HEAD(&g->waiting, w, link);
    w->timer = timer_new(g->loop, on_timer, w);
    timer_set(w->timer, g->conf->haproxy_timeout);
    w->watch = watch_new(g->loop, fd, on_ready, w);
    watch_set(w->watch, WATCH_READ);
}

struct haproxy_gate *haproxy_gate_new(struct loop *loop, const struct conf *conf,
                                      void (*fn)(const char *protocol, int fd,
                                                 const struct netaddr *client, void *arg),
                                      void *arg)
{
    struct haproxy_gate *g = mem_zalloc(sizeof(*g));

    g->loop = loop;
    g->conf = conf;
    g->fn = fn;
    g->arg = arg;
    LIST_INIT(&g->waiting);
    networks_read(&g->trusted, &conf->haproxy_trusted_networks);
    return g;
}

void haproxy_gate_free(struct haproxy_gate **g)
{
    struct waiting *w;

    if (*g == NULL)
        return;
    while ((w = LIST_FIRST(&(*g)->waiting)) != NULL)
        close(waiting_free(w));
    networks_free(&(*g)->trusted);
    free(*g);
    *g = NULL;
}

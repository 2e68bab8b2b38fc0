/* Connections from libunbound, continued over TLS. */
#include "gateway/resolver/tunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/event/listener.h"
#include "gateway/event/stream.h"

enum {
    CONNECTIONS_MAX = 128, /* of one tunnel; libunbound opens fewer */
    IDLE_MS = 30000,
    BACKLOG = 64
};

/* One connection: near is libunbound's, far the name server's. Once spliced both belong to the
 * splice. */
struct pair {
    LIST_ENTRY(pair) link;
    struct tunnel *tunnel;
    struct stream *near, *far;
    struct splice *splice;
};

struct tunnel {
    struct loop *loop;
    struct tls_context *tls;
    struct listener *listener;
    struct netaddr server;
    char *name;
    int64_t timeout;
    uint16_t port;
    size_t count;
    LIST_HEAD(, pair) pairs;
};

static void pair_free(struct pair *p)
{
    stream_free(&p->near);
    stream_free(&p->far);
    LIST_REMOVE(p, link);
    p->tunnel->count--;
    free(p);
}

static void on_done(void *arg)
{
    pair_free(arg);
}

static void on_connected(struct stream *s, void *arg)
{
    struct pair *p = arg;

    stream_set_timeout(s, p->tunnel->timeout);
    stream_start_tls_client(s, p->tunnel->tls, p->tunnel->name);
}

static void on_secured(struct stream *s, void *arg)
{
    struct pair *p = arg;

    stream_set_timeout(s, IDLE_MS);
    p->splice = stream_splice(&p->near, &p->far, on_done, p);
}

/* Nothing is read before the streams are joined. */
static void on_input(struct stream *s, void *arg)
{
    (void)arg;
    stream_pause(s);
}

static void on_far_closed(struct stream *s, enum stream_end why, void *arg)
{
    struct pair *p = arg;
    char address[NETADDR_STRLEN];

    (void)why;
    log_warning("no TLS connection to a name server",
                LOG_STR("server", netaddr_str(&p->tunnel->server, address)),
                LOG_STR("name", p->tunnel->name), LOG_STR("error", stream_error(s)));
    pair_free(p);
}

static void on_near_closed(struct stream *s, enum stream_end why, void *arg)
{
    (void)s, (void)why;
    pair_free(arg);
}

static void on_accept(int fd, const struct netaddr *peer, void *arg)
{
    static const struct stream_ops near_ops = {.input = on_input, .closed = on_near_closed};
    static const struct stream_ops far_ops = {.input = on_input,
                                              .connected = on_connected,
                                              .secured = on_secured,
                                              .closed = on_far_closed};
    struct tunnel *t = arg;

    (void)peer;
    if (t->count >= CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    struct pair *p = mem_zalloc(sizeof(*p));
    p->tunnel = t;
    t->count++;
    LIST_INSERT_HEAD(&t->pairs, p, link);
    p->near = stream_new(t->loop, fd, &near_ops, p);
    stream_pause(p->near);
    p->far = stream_connect(t->loop, &t->server, NULL, t->timeout, &far_ops, p);
}

static int bind_listener(uint16_t *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd == -1)
        return -1;
    (void)inet_pton(AF_INET, TUNNEL_ADDRESS, &addr.sin_addr);
    if (bind(fd, (struct sockaddr *)&addr, len) == -1 || listen(fd, BACKLOG) == -1 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) == -1) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    *port = ntohs(addr.sin_port);
    return fd;
}

struct tunnel *tunnel_new(struct loop *loop, struct tls_context *tls, const struct netaddr *server,
                          const char *name, int64_t timeout_ms)
{
    uint16_t port;
    int fd = bind_listener(&port);

    if (fd == -1)
        return NULL;
    struct tunnel *t = mem_zalloc(sizeof(*t));
    t->loop = loop;
    t->tls = tls;
    t->server = *server;
    t->name = mem_strdup(name);
    t->timeout = timeout_ms;
    t->port = port;
    LIST_INIT(&t->pairs);
    t->listener = listener_new(loop, fd, on_accept, t);
    return t;
}

uint16_t tunnel_port(const struct tunnel *t)
{
    return t->port;
}

void tunnel_free(struct tunnel **t)
{
    struct pair *p;

    if (*t == NULL)
        return;
    while ((p = LIST_FIRST(&(*t)->pairs)) != NULL) {
        stream_splice_end(&p->splice);
        pair_free(p);
    }
    listener_free(&(*t)->listener);
    free((*t)->name);
    free(*t);
    *t = NULL;
}

/* The server end of channels, and the pair between dirigod and a process. */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "gateway/base/log.h"
#include "gateway/event/listener.h"
#include "gateway/ipc/channel.h"
#include "gateway/ipc/frame.h"

/* A peer says hello as soon as it is connected. */
#define SERVER_HELLO_MS 10000

struct ipc_peer {
    LIST_ENTRY(ipc_peer) link;
    struct ipc_server *server;
    struct conn *conn;
    struct timer *hello_timer; /* until it is ready */
    bool ready;
    uid_t uid;
    pid_t pid;
    void *data;
};

struct ipc_server {
    struct loop *loop;
    struct listener *listener;
    char *service;
    uint32_t version;
    const struct ipc_server_ops *ops;
    void *arg;
    int64_t hello_ms;
    LIST_HEAD(, ipc_peer) peers;
};

static void peer_free(struct ipc_peer *p)
{
    struct ipc_server *s = p->server;
    LIST_REMOVE(p, link);
    if (p->ready && s->ops->gone != NULL)
        s->ops->gone(p, s->arg);
    timer_free(&p->hello_timer);
    conn_free(&p->conn);
    free(p);
}

static int peer_message(struct msg *m, void *arg)
{
    struct ipc_peer *p = arg;
    struct ipc_server *s = p->server;
    if (p->ready)
        return s->ops->request(p, m, s->arg);
    if (!hello_matches(m, s->service, s->version)) {
        log_warning("a peer of another version or for another service was turned away",
                    LOG_STR("service", s->service), LOG_INT("pid", p->pid));
        return -1;
    }
    p->ready = true;
    timer_free(&p->hello_timer);
    return 0;
}

static void peer_closed(void *arg)
{
    peer_free(arg);
}

static void peer_silent(void *arg)
{
    struct ipc_peer *p = arg;
    log_warning("a peer that did not say hello was closed", LOG_STR("service", p->server->service),
                LOG_INT("pid", p->pid));
    peer_free(p);
}

static const struct conn_ops peer_conn_ops = {.message = peer_message, .closed = peer_closed};

static void server_accept(int fd, const struct netaddr *addr, void *arg)
{
    struct ipc_server *s = arg;
    struct ipc_peer *p = mem_zalloc(sizeof(*p));
    struct ucred cred = {.uid = (uid_t)-1};
    socklen_t len = sizeof(cred);
    (void)addr;
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
    p->server = s;
    p->uid = cred.uid;
    p->pid = cred.pid;
    p->conn = conn_new(s->loop, fd, &peer_conn_ops, p);
    p->hello_timer = timer_new(s->loop, peer_silent, p);
    timer_set(p->hello_timer, s->hello_ms);
    LIST_INSERT_HEAD(&s->peers, p, link);
    struct msg *hello = hello_new(s->service, s->version);
    conn_send(p->conn, 0, &hello);
}

struct ipc_server *ipc_server_new(struct loop *loop, int listen_fd, const char *service,
                                  uint32_t version, const struct ipc_server_ops *ops, void *arg)
{
    struct ipc_server *s = mem_zalloc(sizeof(*s));
    s->loop = loop;
    s->service = mem_strdup(service);
    s->version = version;
    s->hello_ms = SERVER_HELLO_MS;
    s->ops = ops;
    s->arg = arg;
    LIST_INIT(&s->peers);
    s->listener = listener_new(loop, listen_fd, server_accept, s);
    return s;
}

void ipc_server_set_hello_timeout(struct ipc_server *s, int64_t ms)
{
    s->hello_ms = ms;
}

void ipc_server_free(struct ipc_server **server)
{
    struct ipc_server *s = *server;
    if (s == NULL)
        return;
    listener_free(&s->listener);
    while (!LIST_EMPTY(&s->peers))
        peer_free(LIST_FIRST(&s->peers));
    free(s->service);
    free(s);
    *server = NULL;
}

void ipc_reply(struct ipc_peer *peer, uint32_t id, struct msg **m)
{
    conn_send(peer->conn, id, m);
}

void ipc_broadcast(struct ipc_server *s, struct msg **m)
{
    struct ipc_peer *p;
    LIST_FOREACH (p, &s->peers, link)
        if (p->ready)
            conn_send_copy(p->conn, 0, *m);
    msg_free(m);
}

uid_t ipc_peer_uid(const struct ipc_peer *peer)
{
    return peer->uid;
}

pid_t ipc_peer_pid(const struct ipc_peer *peer)
{
    return peer->pid;
}

void ipc_peer_set_data(struct ipc_peer *peer, void *data)
{
    peer->data = data;
}

void *ipc_peer_data(const struct ipc_peer *peer)
{
    return peer->data;
}

/* ---- pair ---- */

struct ipc_pair {
    struct conn *conn;
    int (*fn)(struct msg *m, void *arg);
    void (*closed)(void *arg);
    void *arg;
};

static int pair_message(struct msg *m, void *arg)
{
    struct ipc_pair *p = arg;
    return p->fn(m, p->arg);
}

static void pair_closed(void *arg)
{
    struct ipc_pair *p = arg;
    p->closed(p->arg);
}

static const struct conn_ops pair_conn_ops = {.message = pair_message, .closed = pair_closed};

struct ipc_pair *ipc_pair_new(struct loop *loop, int fd, int (*fn)(struct msg *m, void *arg),
                              void (*closed)(void *arg), void *arg)
{
    struct ipc_pair *p = mem_zalloc(sizeof(*p));
    p->fn = fn;
    p->closed = closed;
    p->arg = arg;
    p->conn = conn_new(loop, fd, &pair_conn_ops, p);
    return p;
}

void ipc_pair_send(struct ipc_pair *p, struct msg **m)
{
    conn_send(p->conn, 0, m);
}

void ipc_pair_free(struct ipc_pair **pair)
{
    struct ipc_pair *p = *pair;
    if (p == NULL)
        return;
    conn_free(&p->conn);
    free(p);
    *pair = NULL;
}

/* control.sock: what `dirigo status`, `dirigo reload` and `dirigo stop` ask for. */
#include <stdlib.h>
#include <unistd.h>

#include "config.h"
#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/master/master.h"
#include "gateway/master/protocol.h"

struct control_waiter {
    TAILQ_ENTRY(control_waiter) link;
    struct ipc_peer *peer;
    uint32_t id;
};

struct control {
    struct master *master;
    struct ipc_server *server;
    TAILQ_HEAD(, control_waiter) waiters; /* for the end of a reload */
};

static void control_result(struct ipc_peer *peer, uint32_t id, bool ok, const char *text)
{
    struct msg *m = msg_new(CONTROL_MSG_RESULT);
    msg_put_bool(m, ok);
    msg_put_str(m, text);
    ipc_reply(peer, id, &m);
}

static void control_put_process(struct msg *out, const struct process *p, int64_t now)
{
    msg_put_str(out, p->kind->name);
    msg_put_u32(out, p->index);
    msg_put_u32(out, p->generation->number);
    msg_put_u32(out, (uint32_t)p->pid);
    msg_put_str(out, process_state_name(p->state));
    msg_put_u64(out, (uint64_t)(now - p->since) / 1000);
    msg_put_u32(out, p->restarts);
    msg_put_u32(out, p->sessions);
    msg_put_str(out, p->report == NULL ? "" : p->report);
}

static void control_status(struct control *c, struct ipc_peer *peer, uint32_t id)
{
    const struct master *m = c->master;
    const struct process *p;
    int64_t now = clock_now_ms();
    uint32_t n = 0;
    struct msg *out = msg_new(CONTROL_MSG_STATUS_RESULT);
    msg_put_str(out, PACKAGE_VERSION);
    msg_put_str(out, master_phase_name(m->phase));
    msg_put_u32(out, (uint32_t)getpid());
    msg_put_u64(out, (uint64_t)(now - m->started) / 1000);
    msg_put_u32(out, m->generation->number);
    msg_put_str(out, m->conf_path);
    TAILQ_FOREACH (p, &m->processes, link)
        n++;
    msg_put_u32(out, n);
    TAILQ_FOREACH (p, &m->processes, link)
        control_put_process(out, p, now);
    ipc_reply(peer, id, &out);
}

static void control_reload(struct control *c, struct ipc_peer *peer, uint32_t id)
{
    struct control_waiter *w = mem_zalloc(sizeof(*w));
    w->peer = peer;
    w->id = id;
    TAILQ_INSERT_TAIL(&c->waiters, w, link);
    master_reload(c->master);
}

static int control_request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    struct control *c = arg;
    if (msg_end(m) < 0)
        return -1;
    /* The socket's mode says the same; this holds where somebody changed it. */
    if (ipc_peer_uid(peer) != 0 && ipc_peer_uid(peer) != geteuid()) {
        log_warning("control request refused", LOG_UINT("uid", ipc_peer_uid(peer)));
        return -1;
    }
    switch (msg_type(m)) {
    case CONTROL_MSG_STATUS:
        control_status(c, peer, msg_id(m));
        return 0;
    case CONTROL_MSG_RELOAD:
        control_reload(c, peer, msg_id(m));
        return 0;
    case CONTROL_MSG_STOP:
        control_result(peer, msg_id(m), true, "");
        master_stop(c->master, 0);
        return 0;
    default:
        return -1;
    }
}

static void control_gone(struct ipc_peer *peer, void *arg)
{
    struct control *c = arg;
    struct control_waiter *w, *next;
    for (w = TAILQ_FIRST(&c->waiters); w != NULL; w = next) {
        next = TAILQ_NEXT(w, link);
        if (w->peer != peer)
            continue;
        TAILQ_REMOVE(&c->waiters, w, link);
        free(w);
    }
}

void control_reloaded(struct control *c, bool ok, const char *text)
{
    struct control_waiter *w;
    while ((w = TAILQ_FIRST(&c->waiters)) != NULL) {
        TAILQ_REMOVE(&c->waiters, w, link);
        control_result(w->peer, w->id, ok, text);
        free(w);
    }
}

struct control *control_new(struct master *m, int listen_fd)
{
    static const struct ipc_server_ops ops = {.request = control_request, .gone = control_gone};
    struct control *c = mem_zalloc(sizeof(*c));
    c->master = m;
    TAILQ_INIT(&c->waiters);
    c->server = ipc_server_new(m->loop, listen_fd, CONTROL_SERVICE, CONTROL_VERSION, &ops, c);
    return c;
}

void control_free(struct control **c)
{
    if (*c == NULL)
        return;
    ipc_server_free(&(*c)->server);
    control_gone(NULL, *c);
    free(*c);
    *c = NULL;
}

/* The client end of a channel: requests, their time-outs, and connecting again. */
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/ipc/channel.h"
#include "gateway/ipc/frame.h"

#define CLIENT_RETRY_MIN_MS 100
#define CLIENT_RETRY_MAX_MS 2000
#define CLIENT_REQUESTS_MAX 100000

struct request {
    RB_ENTRY(request) by_id, by_deadline;
    uint32_t id;
    int64_t deadline;
    enum ipc_status fail_as; /* what the deadline means */
    struct msg *waiting;     /* not sent yet: there is no connection */
    int (*fn)(enum ipc_status status, struct msg *reply, void *arg);
    void *arg;
};

static int request_cmp_id(const struct request *a, const struct request *b)
{
    return a->id < b->id ? -1 : a->id > b->id;
}

static int request_cmp_deadline(const struct request *a, const struct request *b)
{
    if (a->deadline != b->deadline)
        return a->deadline < b->deadline ? -1 : 1;
    return request_cmp_id(a, b);
}

RB_HEAD(requests_by_id, request);
RB_HEAD(requests_by_deadline, request);
/* RB_GENERATE_STATIC leans on a macro that not every sys/tree.h brings along. */
#define STATIC_UNUSED __attribute__((unused)) static
RB_GENERATE_INTERNAL(requests_by_id, request, by_id, request_cmp_id, STATIC_UNUSED)
RB_GENERATE_INTERNAL(requests_by_deadline, request, by_deadline, request_cmp_deadline,
                     STATIC_UNUSED)

struct ipc_client {
    struct loop *loop;
    char *path, *service;
    uint32_t version;
    struct conn *conn;
    bool ready; /* the hello of the other end has come */
    bool logged_mismatch;
    int64_t retry_ms;
    struct timer *retry, *deadline;
    uint32_t last_id;
    size_t count;
    struct requests_by_id ids;
    struct requests_by_deadline deadlines;
    bool *freed;
    void (*on_state)(bool connected, void *arg);
    void *state_arg;
    int (*on_event)(struct msg *m, void *arg);
    void *event_arg;
};

static void client_connect(void *arg);

static void client_arm_deadline(struct ipc_client *c)
{
    struct request *r = RB_MIN(requests_by_deadline, &c->deadlines);
    if (r == NULL)
        timer_stop(c->deadline);
    else
        timer_set(c->deadline, r->deadline - clock_now_ms());
}

/* Takes r out and answers it. fn may free the client: the result says whether it did. */
static bool client_answer(struct ipc_client *c, struct request *r, enum ipc_status status,
                          struct msg *reply, int *rc)
{
    bool freed = false, *outer = c->freed;
    RB_REMOVE(requests_by_id, &c->ids, r);
    RB_REMOVE(requests_by_deadline, &c->deadlines, r);
    c->count--;
    c->freed = &freed;
    int result = r->fn(status, reply, r->arg);
    if (rc != NULL)
        *rc = result;
    msg_free(&r->waiting);
    free(r);
    if (!freed)
        c->freed = outer;
    else if (outer != NULL)
        *outer = true;
    return freed;
}

static void client_deadline(void *arg)
{
    struct ipc_client *c = arg;
    int64_t now = clock_now_ms();
    struct request *r;
    while ((r = RB_MIN(requests_by_deadline, &c->deadlines)) != NULL && r->deadline <= now)
        if (client_answer(c, r, r->fail_as, NULL, NULL))
            return;
    client_arm_deadline(c);
}

/* Every request that was sent is lost with the connection; those that wait for one go on waiting.
 */
static bool client_fail_sent(struct ipc_client *c)
{
    struct request *r;
    for (;;) {
        RB_FOREACH (r, requests_by_id, &c->ids)
            if (r->waiting == NULL && r->fail_as == IPC_TIMEOUT)
                break;
        if (r == NULL)
            return false;
        if (client_answer(c, r, IPC_UNAVAILABLE, NULL, NULL))
            return true;
    }
}

static void client_closed(void *arg)
{
    struct ipc_client *c = arg;
    bool was_ready = c->ready, freed = false;
    conn_free(&c->conn);
    c->ready = false;
    timer_set(c->retry, c->retry_ms);
    c->retry_ms = c->retry_ms * 2 > CLIENT_RETRY_MAX_MS ? CLIENT_RETRY_MAX_MS : c->retry_ms * 2;
    if (was_ready && c->on_state != NULL) {
        c->freed = &freed;
        c->on_state(false, c->state_arg);
        if (freed)
            return;
        c->freed = NULL;
    }
    client_fail_sent(c);
}

static void client_send_waiting(struct ipc_client *c)
{
    struct request *r;
    RB_FOREACH (r, requests_by_id, &c->ids)
        if (r->waiting != NULL)
            conn_send(c->conn, r->id, &r->waiting);
}

static int client_hello(struct ipc_client *c, struct msg *m)
{
    if (!hello_matches(m, c->service, c->version)) {
        if (!c->logged_mismatch)
            log_error(
                "the service at this socket is another one, or of another version; restart dirigod",
                LOG_STR("socket", c->path), LOG_STR("service", c->service),
                LOG_UINT("version", c->version));
        c->logged_mismatch = true;
        return -1;
    }
    c->ready = true;
    c->retry_ms = CLIENT_RETRY_MIN_MS;
    client_send_waiting(c);
    if (c->on_state != NULL)
        c->on_state(true, c->state_arg);
    return 0;
}

static int client_message(struct msg *m, void *arg)
{
    struct ipc_client *c = arg;
    if (!c->ready)
        return client_hello(c, m);
    if (msg_id(m) == 0)
        return c->on_event != NULL ? c->on_event(m, c->event_arg) : 0;
    struct request key = {.id = msg_id(m)};
    struct request *r = RB_FIND(requests_by_id, &c->ids, &key);
    /* An answer to a request that was cancelled or timed out is late, not wrong. */
    if (r == NULL)
        return 0;
    int rc = 0;
    if (client_answer(c, r, IPC_OK, m, &rc))
        return 0;
    return rc;
}

static const struct conn_ops client_conn_ops = {.message = client_message, .closed = client_closed};

static void client_connect(void *arg)
{
    struct ipc_client *c = arg;
    int fd = ipc_connect(c->path);
    if (fd < 0) {
        timer_set(c->retry, c->retry_ms);
        c->retry_ms = c->retry_ms * 2 > CLIENT_RETRY_MAX_MS ? CLIENT_RETRY_MAX_MS : c->retry_ms * 2;
        return;
    }
    c->conn = conn_new(c->loop, fd, &client_conn_ops, c);
    struct msg *hello = hello_new(c->service, c->version);
    conn_send(c->conn, 0, &hello);
}

struct ipc_client *ipc_client_new(struct loop *loop, const char *path, const char *service,
                                  uint32_t version)
{
    struct ipc_client *c = mem_zalloc(sizeof(*c));
    c->loop = loop;
    c->path = mem_strdup(path);
    c->service = mem_strdup(service);
    c->version = version;
    c->retry_ms = CLIENT_RETRY_MIN_MS;
    RB_INIT(&c->ids);
    RB_INIT(&c->deadlines);
    c->retry = timer_new(loop, client_connect, c);
    c->deadline = timer_new(loop, client_deadline, c);
    client_connect(c);
    return c;
}

void ipc_client_free(struct ipc_client **client)
{
    struct ipc_client *c = *client;
    if (c == NULL)
        return;
    *client = NULL;
    if (c->freed != NULL)
        *c->freed = true;
    c->freed = NULL;
    c->ready = false;
    struct request *r;
    while ((r = RB_MIN(requests_by_id, &c->ids)) != NULL)
        client_answer(c, r, IPC_UNAVAILABLE, NULL, NULL);
    conn_free(&c->conn);
    timer_free(&c->retry);
    timer_free(&c->deadline);
    free(c->path);
    free(c->service);
    free(c);
}

bool ipc_client_connected(const struct ipc_client *c)
{
    return c->ready;
}

void ipc_client_on_state(struct ipc_client *c, void (*fn)(bool connected, void *arg), void *arg)
{
    c->on_state = fn;
    c->state_arg = arg;
}

void ipc_client_on_event(struct ipc_client *c, int (*fn)(struct msg *m, void *arg), void *arg)
{
    c->on_event = fn;
    c->event_arg = arg;
}

uint32_t ipc_request(struct ipc_client *c, struct msg **m, int64_t timeout_ms,
                     int (*fn)(enum ipc_status status, struct msg *reply, void *arg), void *arg)
{
    struct request *r = mem_zalloc(sizeof(*r));
    bool refused = msg_full(*m) || c->count >= CLIENT_REQUESTS_MAX;
    r->fn = fn;
    r->arg = arg;
    r->deadline = refused ? clock_now_ms() : clock_now_ms() + timeout_ms;
    r->fail_as = refused ? IPC_UNAVAILABLE : IPC_TIMEOUT;
    do {
        if (++c->last_id == 0)
            c->last_id = 1;
        r->id = c->last_id;
    } while (RB_INSERT(requests_by_id, &c->ids, r) != NULL);
    RB_INSERT(requests_by_deadline, &c->deadlines, r);
    c->count++;
    if (RB_MIN(requests_by_deadline, &c->deadlines) == r)
        client_arm_deadline(c);
    if (refused) {
        msg_free(m);
    } else if (c->ready) {
        conn_send(c->conn, r->id, m);
    } else {
        r->waiting = *m;
        *m = NULL;
    }
    return r->id;
}

void ipc_cancel(struct ipc_client *c, uint32_t id)
{
    struct request key = {.id = id};
    struct request *r = RB_FIND(requests_by_id, &c->ids, &key);
    if (r == NULL)
        return;
    RB_REMOVE(requests_by_id, &c->ids, r);
    RB_REMOVE(requests_by_deadline, &c->deadlines, r);
    c->count--;
    msg_free(&r->waiting);
    free(r);
}

void ipc_send(struct ipc_client *c, struct msg **m)
{
    if (c->ready && !msg_full(*m))
        conn_send(c->conn, 0, m);
    else
        msg_free(m);
}

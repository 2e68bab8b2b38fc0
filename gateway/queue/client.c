#include "gateway/queue/client.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/ipc/channel.h"
#include "gateway/queue/protocol.h"

/* Unnamed files kept ready; one request brings MSG_FDS_MAX of them. */
#define CLIENT_STOCK        8
#define CLIENT_OPEN_MS      10000
#define CLIENT_COMMIT_MS    30000 /* how long a commit is tried again */
#define CLIENT_FORGET_MS    10000
#define CLIENT_FORGET_BATCH 2048
#define CLIENT_RCPTS_BYTES  ((size_t)256 << 10) /* of recipients in one message */

struct client_waiter {
    TAILQ_ENTRY(client_waiter) link;
    uint32_t id;
    void (*fn)(int fd, bool full, void *arg);
    void *arg;
};

struct client_commit {
    TAILQ_ENTRY(client_commit) link;
    struct queue_client *client;
    struct arena *arena; /* holds the envelope's copy */
    struct queue_envelope envelope;
    int fd;
    uint32_t request; /* 0: not sent, or its channel broke */
    int64_t deadline;
    void (*fn)(enum queue_result result, void *arg);
    void *arg;
};

struct client_forget {
    size_t outstanding; /* requests */
    bool ok;
    void (*fn)(bool ok, void *arg);
    void *arg;
};

struct queue_client {
    struct loop *loop;
    struct ipc_client *ipc;
    struct timer *timer; /* deadlines of commits; also what must not be answered at once */
    int stock[CLIENT_STOCK];
    size_t stock_count;
    size_t opening; /* OPEN requests under way */
    uint32_t next_id;
    bool closing;
    bool opens; /* files are wanted here: dirigo-mailbox only forgets */
    TAILQ_HEAD(, client_waiter) waiters;
    size_t waiter_count;
    TAILQ_HEAD(, client_commit) commits; /* by deadline */
};

/* ---- the stock of files ---- */

static void client_refill(struct queue_client *c);

static void client_give(struct queue_client *c, int fd, bool full)
{
    struct client_waiter *w = TAILQ_FIRST(&c->waiters);
    TAILQ_REMOVE(&c->waiters, w, link);
    c->waiter_count--;
    w->fn(fd, full, w->arg);
    free(w);
}

static void client_got_file(struct queue_client *c, int fd)
{
    if (!TAILQ_EMPTY(&c->waiters))
        client_give(c, fd, false);
    else if (c->stock_count < CLIENT_STOCK)
        c->stock[c->stock_count++] = fd;
    else
        close(fd);
}

static int client_opened(enum ipc_status status, struct msg *reply, void *arg)
{
    struct queue_client *c = arg;
    int fds[MSG_FDS_MAX];
    size_t n = 0;
    uint8_t result = QUEUE_UNAVAILABLE;
    c->opening--;
    if (status == IPC_OK) {
        result = msg_get_u8(reply);
        uint32_t count = msg_get_u32(reply);
        while (n < count && n < MSG_FDS_MAX && msg_ok(reply)) {
            int fd = msg_get_fd(reply);
            if (fd >= 0)
                fds[n++] = fd;
        }
        if (msg_type(reply) != QUEUE_MSG_OPEN_RESULT || msg_end(reply) < 0) {
            while (n > 0)
                close(fds[--n]);
            while (!TAILQ_EMPTY(&c->waiters) && c->opening == 0)
                client_give(c, -1, false);
            return -1;
        }
    }
    for (size_t i = 0; i < n; i++)
        client_got_file(c, fds[i]);
    if (n == 0) {
        /* Nothing came: those who wait hear it now, and the next who asks tries again. */
        while (!TAILQ_EMPTY(&c->waiters) && c->opening == 0)
            client_give(c, -1, result == QUEUE_FULL);
    } else if (!c->closing) {
        client_refill(c);
    }
    return 0;
}

static void client_refill(struct queue_client *c)
{
    while (c->stock_count + c->opening * MSG_FDS_MAX <
           c->waiter_count + CLIENT_STOCK - MSG_FDS_MAX + 1) {
        struct msg *m = msg_new(QUEUE_MSG_OPEN);
        msg_put_u32(m, MSG_FDS_MAX);
        c->opening++;
        ipc_request(c->ipc, &m, CLIENT_OPEN_MS, client_opened, c);
    }
}

uint32_t queue_open_file(struct queue_client *c, void (*fn)(int fd, bool full, void *arg),
                         void *arg)
{
    c->opens = true;
    if (c->stock_count > 0) {
        int fd = c->stock[--c->stock_count];
        client_refill(c);
        fn(fd, false, arg);
        return 0;
    }
    struct client_waiter *w = mem_zalloc(sizeof(*w));
    if (++c->next_id == 0)
        c->next_id = 1;
    w->id = c->next_id;
    w->fn = fn;
    w->arg = arg;
    TAILQ_INSERT_TAIL(&c->waiters, w, link);
    c->waiter_count++;
    client_refill(c);
    return w->id;
}

void queue_cancel(struct queue_client *c, uint32_t id)
{
    struct client_waiter *w;
    TAILQ_FOREACH (w, &c->waiters, link) {
        if (w->id == id) {
            TAILQ_REMOVE(&c->waiters, w, link);
            c->waiter_count--;
            free(w);
            return;
        }
    }
}

/* ---- commits ---- */

static void client_put_rcpt(struct msg *m, const struct queue_rcpt *r)
{
    msg_put_u8(m, (uint8_t)r->kind);
    msg_put_uuid(m, &r->owner);
    msg_put_str(m, r->address);
    msg_put_str(m, r->original);
    msg_put_str(m, r->host);
    msg_put_u8(m, (uint8_t)r->notify);
    msg_put_str(m, r->orcpt);
}

static size_t client_rcpt_bytes(const struct queue_rcpt *r)
{
    return 48 + (r->address == NULL ? 0 : strlen(r->address)) +
           (r->original == NULL ? 0 : strlen(r->original)) +
           (r->host == NULL ? 0 : strlen(r->host)) + (r->orcpt == NULL ? 0 : strlen(r->orcpt));
}

/* How many recipients from the one at start fit one message. */
static size_t client_rcpt_run(const struct queue_envelope *e, size_t start)
{
    size_t bytes = 0, n = start;
    for (; n < e->rcpt_count; n++) {
        bytes += client_rcpt_bytes(&e->rcpts[n]);
        if (bytes > CLIENT_RCPTS_BYTES && n > start)
            break;
    }
    return n - start;
}

static int client_committed(enum ipc_status status, struct msg *reply, void *arg);

static void client_commit_end(struct client_commit *k, enum queue_result result)
{
    TAILQ_REMOVE(&k->client->commits, k, link);
    close(k->fd);
    k->fn(result, k->arg);
    arena_free(&k->arena);
    free(k);
}

/* Sends a commit on the channel as it is now. 0, or -1 without descriptors left (tried again). */
static int client_commit_send(struct client_commit *k)
{
    const struct queue_envelope *e = &k->envelope;
    int fd = fcntl(k->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    size_t at = 0, n = client_rcpt_run(e, 0);
    for (; at + n < e->rcpt_count; at += n, n = client_rcpt_run(e, at)) {
        struct msg *m = msg_new(QUEUE_MSG_RCPTS);
        msg_put_str(m, e->id);
        msg_put_u32(m, (uint32_t)n);
        for (size_t i = 0; i < n; i++)
            client_put_rcpt(m, &e->rcpts[at + i]);
        ipc_send(k->client->ipc, &m);
    }
    struct msg *m = msg_new(QUEUE_MSG_COMMIT);
    msg_put_str(m, e->id);
    msg_put_str(m, e->sender);
    msg_put_str(m, e->client);
    msg_put_str(m, e->login);
    msg_put_str(m, e->hold);
    msg_put_u64(m, e->size);
    msg_put_u32(m, e->trace_offset);
    msg_put_bool(m, e->body_8bit);
    queue_options_put(m, &e->options);
    msg_put_u32(m, (uint32_t)e->rcpt_count);
    msg_put_u32(m, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        client_put_rcpt(m, &e->rcpts[at + i]);
    msg_put_fd(m, fd);
    int64_t left = k->deadline - clock_now_ms();
    k->request = ipc_request(k->client->ipc, &m, left > 1 ? left : 1, client_committed, k);
    return 0;
}

/* Ends what is too late, and sends what is not under way. */
static void client_commit_run(void *arg)
{
    struct queue_client *c = arg;
    struct client_commit *k, *next;
    int64_t now = clock_now_ms();
    bool retry = false;
    TAILQ_FOREACH_SAFE (k, &c->commits, link, next) {
        if (k->request != 0)
            continue;
        if (k->deadline <= now)
            client_commit_end(k, QUEUE_UNAVAILABLE);
        else if (ipc_client_connected(c->ipc) && client_commit_send(k) < 0)
            retry = true;
    }
    if (retry)
        timer_set(c->timer, 100);
    else if (!TAILQ_EMPTY(&c->commits))
        timer_set(c->timer, 1000);
}

static int client_committed(enum ipc_status status, struct msg *reply, void *arg)
{
    struct client_commit *k = arg;
    struct queue_client *c = k->client;
    k->request = 0;
    if (status == IPC_OK) {
        uint8_t result = msg_get_u8(reply);
        if (msg_type(reply) == QUEUE_MSG_COMMIT_RESULT && msg_end(reply) == 0 &&
            result <= QUEUE_UNAVAILABLE) {
            client_commit_end(k, (enum queue_result)result);
            return 0;
        }
        timer_set(c->timer, 100);
        return -1;
    }
    if (status == IPC_TIMEOUT || c->closing) {
        client_commit_end(k, QUEUE_UNAVAILABLE);
    } else if (!timer_pending(c->timer)) {
        /* The channel broke. Whether the queue had it is not known; the id makes asking again safe.
         */
        timer_set(c->timer, 100);
    }
    return 0;
}

static void client_state(bool connected, void *arg)
{
    struct queue_client *c = arg;
    if (!connected)
        return;
    if (c->opens)
        client_refill(c);
    if (!TAILQ_EMPTY(&c->commits))
        client_commit_run(c);
}

static void client_copy_envelope(struct client_commit *k, const struct queue_envelope *e)
{
    struct arena *a = k->arena = arena_new(0);
    struct queue_envelope *to = &k->envelope;
    *to = *e;
    to->id = arena_strdup(a, e->id);
    to->sender = arena_strdup(a, e->sender);
    to->client = e->client == NULL ? "" : arena_strdup(a, e->client);
    to->login = e->login == NULL ? NULL : arena_strdup(a, e->login);
    to->hold = e->hold == NULL ? NULL : arena_strdup(a, e->hold);
    if (e->options.envelope != NULL)
        to->options.envelope = arena_strdup(a, e->options.envelope);
    struct queue_rcpt *rcpts = arena_alloc(a, e->rcpt_count * sizeof(*rcpts));
    for (size_t i = 0; i < e->rcpt_count; i++) {
        const struct queue_rcpt *r = &e->rcpts[i];
        rcpts[i] = *r;
        rcpts[i].address = r->address == NULL ? "" : arena_strdup(a, r->address);
        rcpts[i].original = r->original == NULL ? NULL : arena_strdup(a, r->original);
        rcpts[i].host = r->host == NULL ? NULL : arena_strdup(a, r->host);
        rcpts[i].orcpt = r->orcpt == NULL ? NULL : arena_strdup(a, r->orcpt);
    }
    to->rcpts = rcpts;
}

void queue_commit(struct queue_client *c, int fd, const struct queue_envelope *envelope,
                  void (*fn)(enum queue_result result, void *arg), void *arg)
{
    struct client_commit *k = mem_zalloc(sizeof(*k));
    k->client = c;
    k->fd = fd;
    k->fn = fn;
    k->arg = arg;
    k->deadline = clock_now_ms() + CLIENT_COMMIT_MS;
    client_copy_envelope(k, envelope);
    TAILQ_INSERT_TAIL(&c->commits, k, link);
    if (!ipc_client_connected(c->ipc) || client_commit_send(k) < 0) {
        if (!timer_pending(c->timer))
            timer_set(c->timer, 100);
    }
}

/* ---- forgetting ---- */

static int client_forgot(enum ipc_status status, struct msg *reply, void *arg)
{
    struct client_forget *f = arg;
    int r = 0;
    if (status == IPC_OK) {
        bool ok = msg_get_bool(reply);
        if (msg_type(reply) != QUEUE_MSG_FORGET_RESULT || msg_end(reply) < 0)
            r = -1;
        if (r < 0 || !ok)
            f->ok = false;
    } else {
        f->ok = false;
    }
    if (--f->outstanding == 0) {
        f->fn(f->ok, f->arg);
        free(f);
    }
    return r;
}

void queue_forget(struct queue_client *c, const struct uuid *owner, const char *const *names,
                  size_t count, void (*fn)(bool ok, void *arg), void *arg)
{
    struct client_forget *f = mem_zalloc(sizeof(*f));
    f->ok = true;
    f->fn = fn;
    f->arg = arg;
    size_t at = 0;
    do {
        size_t n = count - at < CLIENT_FORGET_BATCH ? count - at : CLIENT_FORGET_BATCH;
        struct msg *m = msg_new(QUEUE_MSG_FORGET);
        msg_put_uuid(m, owner);
        msg_put_u32(m, (uint32_t)n);
        for (size_t i = 0; i < n; i++)
            msg_put_str(m, names[at + i]);
        f->outstanding++;
        ipc_request(c->ipc, &m, CLIENT_FORGET_MS, client_forgot, f);
        at += n;
    } while (at < count);
}

bool queue_flush_domain(struct queue_client *c, const char *domain)
{
    if (!ipc_client_connected(c->ipc))
        return false;
    struct msg *m = msg_new(QUEUE_MSG_FLUSH_DOMAIN);
    msg_put_str(m, domain);
    ipc_send(c->ipc, &m);
    return true;
}

/* ---- life ---- */

struct queue_client *queue_client_new(struct loop *loop, const char *socket_path)
{
    struct queue_client *c = mem_zalloc(sizeof(*c));
    c->loop = loop;
    TAILQ_INIT(&c->waiters);
    TAILQ_INIT(&c->commits);
    c->timer = timer_new(loop, client_commit_run, c);
    c->ipc = ipc_client_new(loop, socket_path, QUEUE_SERVICE, QUEUE_VERSION);
    ipc_client_on_state(c->ipc, client_state, c);
    return c;
}

void queue_client_free(struct queue_client **pc)
{
    struct queue_client *c = *pc;
    if (c == NULL)
        return;
    *pc = NULL;
    c->closing = true;
    ipc_client_on_state(c->ipc, NULL, NULL);
    ipc_client_free(&c->ipc);
    while (!TAILQ_EMPTY(&c->commits))
        client_commit_end(TAILQ_FIRST(&c->commits), QUEUE_UNAVAILABLE);
    while (!TAILQ_EMPTY(&c->waiters))
        client_give(c, -1, false);
    while (c->stock_count > 0)
        close(c->stock[--c->stock_count]);
    timer_free(&c->timer);
    free(c);
}

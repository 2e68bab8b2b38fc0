#include "gateway/smtp/policy_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/event/stream.h"

/* Services come from policies, and so from few hands. */
#define SERVICES_MAX 64

struct policy_query {
    TAILQ_ENTRY(policy_query) link; /* in waiting, while conn is NULL */
    struct policy_service *service;
    struct policy_conn *conn;
    struct timer *timer; /* the time-out; and the pause before another try */
    int64_t deadline;
    struct buf request;
    int64_t tries;
    bool paused; /* the timer ends a pause, then the query is in no list */
    void (*fn)(const char *action, void *arg);
    void *arg;
};

struct policy_conn {
    TAILQ_ENTRY(policy_conn) link;
    struct policy_service *service;
    struct stream *stream;
    struct policy_query *query; /* NULL: idle */
    int64_t born, requests;
};

struct policy_service {
    TAILQ_ENTRY(policy_service) link;
    struct policy_client *client;
    char *name;
    struct policy_endpoint at;
    TAILQ_HEAD(, policy_conn) conns; /* idle ones first */
    TAILQ_HEAD(, policy_query) waiting;
    TAILQ_HEAD(, policy_query) paused;
    int64_t conn_count, wait_count;
};

struct policy_client {
    struct loop *loop;
    const struct conf *conf;
    const char *folder;
    TAILQ_HEAD(, policy_service) services;
    size_t count;
};

struct policy_client *policy_client_new(struct loop *loop, const struct conf *conf,
                                        const char *folder)
{
    struct policy_client *c = mem_zalloc(sizeof(*c));

    c->loop = loop;
    c->conf = conf;
    c->folder = folder;
    TAILQ_INIT(&c->services);
    return c;
}

/* ---- queries ---- */

static void query_leave(struct policy_query *q)
{
    struct policy_service *s = q->service;

    if (q->conn != NULL) {
        q->conn->query = NULL;
        q->conn = NULL;
    } else if (q->paused) {
        TAILQ_REMOVE(&s->paused, q, link);
        q->paused = false;
    } else {
        TAILQ_REMOVE(&s->waiting, q, link);
        s->wait_count--;
    }
}

/* q has left its place. */
static void query_free(struct policy_query *q)
{
    timer_free(&q->timer);
    buf_free(&q->request);
    free(q);
}

static void query_end(struct policy_query *q, const char *action)
{
    void (*fn)(const char *, void *) = q->fn;
    void *arg = q->arg;

    query_free(q);
    fn(action, arg);
}

static void conn_free(struct policy_conn *conn)
{
    TAILQ_REMOVE(&conn->service->conns, conn, link);
    conn->service->conn_count--;
    stream_free(&conn->stream);
    free(conn);
}

void policy_cancel(struct policy_query *q)
{
    struct policy_conn *conn = q->conn;

    query_leave(q);
    if (conn != NULL)
        conn_free(conn); /* the answer to come would be taken for another one's */
    query_free(q);
}

static void service_work(struct policy_service *s);

static void on_timer(void *arg)
{
    struct policy_query *q = arg;
    struct policy_service *s = q->service;
    struct policy_conn *conn = q->conn;

    bool paused = q->paused;
    int64_t left = q->deadline - clock_now_ms();

    query_leave(q);
    if (paused && left > 0 && q->tries < s->client->conf->smtpd_policy_service_try_limit) {
        timer_set(q->timer, left);
        TAILQ_INSERT_HEAD(&s->waiting, q, link);
        s->wait_count++;
        service_work(s);
        return;
    }
    if (!paused)
        log_warning("policy service did not answer in time", LOG_STR("service", s->name));
    if (conn != NULL)
        conn_free(conn);
    query_end(q, NULL);
    service_work(s);
}

/* The connection of q broke, or none could be made: the timer tries again, or ends it. q has left
 * its place. */
static void query_retry(struct policy_query *q)
{
    const struct conf *conf = q->service->client->conf;

    q->paused = true;
    TAILQ_INSERT_TAIL(&q->service->paused, q, link);
    timer_set(q->timer, ++q->tries < conf->smtpd_policy_service_try_limit
                            ? conf->smtpd_policy_service_retry_delay
                            : 0);
}

/* ---- connections ---- */

static void conn_send(struct policy_conn *conn, struct policy_query *q)
{
    conn->query = q;
    q->conn = conn;
    conn->requests++;
    TAILQ_REMOVE(&conn->service->conns, conn, link);
    TAILQ_INSERT_TAIL(&conn->service->conns, conn, link);
    stream_set_timeout(conn->stream, 0);
    stream_write(conn->stream, q->request.data, q->request.len);
}

/* Whether it may serve another query. */
static bool conn_keep(const struct policy_conn *conn)
{
    const struct conf *conf = conn->service->client->conf;

    return clock_now_ms() - conn->born < conf->smtpd_policy_service_max_ttl &&
           (conf->smtpd_policy_service_request_limit == 0 ||
            conn->requests < conf->smtpd_policy_service_request_limit);
}

static void conn_input(struct stream *stream, void *arg)
{
    struct policy_conn *conn = arg;
    struct policy_service *s = conn->service;
    struct policy_query *q = conn->query;
    const char *action;
    size_t len, used, action_len;
    const char *data = stream_peek(stream, &len);
    int done = q == NULL ? -1 : policy_reply_parse(data, len, &used, &action, &action_len);

    if (done == 0)
        return;
    char *text = done > 0 ? mem_strndup(action, action_len) : NULL;
    if (q != NULL)
        query_leave(q);
    if (done < 0)
        log_warning("policy service sent no answer of the protocol", LOG_STR("service", s->name));
    if (done < 0 || used < len || !conn_keep(conn)) {
        conn_free(conn);
    } else {
        stream_consume(stream, used);
        stream_set_timeout(stream, s->client->conf->smtpd_policy_service_max_idle);
        TAILQ_REMOVE(&s->conns, conn, link);
        TAILQ_INSERT_HEAD(&s->conns, conn, link);
    }
    service_work(s);
    if (q != NULL)
        query_end(q, text);
    free(text);
}

static void conn_closed(struct stream *stream, enum stream_end why, void *arg)
{
    struct policy_conn *conn = arg;
    struct policy_service *s = conn->service;
    struct policy_query *q = conn->query;

    if (q != NULL) {
        log_warning("policy service is gone", LOG_STR("service", s->name),
                    LOG_STR("error", why == STREAM_ERROR ? stream_error(stream) : "closed"));
        query_leave(q);
    }
    conn_free(conn);
    service_work(s);
    if (q != NULL)
        query_retry(q);
}

static const struct stream_ops conn_ops = {.input = conn_input, .closed = conn_closed};

/* A connected stream, or NULL with errno. Unix sockets connect at once or not at all. */
static struct stream *connect_unix(struct policy_service *s, struct policy_conn *conn)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    char *path = mem_printf("%s/%s", s->client->folder, s->at.path);
    bool fits = strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) < sizeof(sun.sun_path);
    int fd = fits ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;

    free(path);
    if (!fits)
        errno = ENAMETOOLONG;
    if (fd < 0)
        return NULL;
    if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return NULL;
    }
    return stream_new(s->client->loop, fd, &conn_ops, conn);
}

static struct policy_conn *conn_new(struct policy_service *s)
{
    struct policy_client *c = s->client;
    struct policy_conn *conn = mem_zalloc(sizeof(*conn));

    conn->service = s;
    conn->born = clock_now_ms();
    if (s->at.addr.family != 0)
        conn->stream = stream_connect(c->loop, &s->at.addr, NULL,
                                      c->conf->smtpd_policy_service_timeout, &conn_ops, conn);
    else
        conn->stream = connect_unix(s, conn);
    if (conn->stream == NULL) {
        log_warning("policy service cannot be reached", LOG_STR("service", s->name),
                    LOG_ERRNO(errno));
        free(conn);
        return NULL;
    }
    stream_set_input_max(conn->stream, POLICY_REPLY_MAX + 1);
    TAILQ_INSERT_HEAD(&s->conns, conn, link);
    s->conn_count++;
    return conn;
}

/* A connection for one more query, or NULL. */
static struct policy_conn *conn_get(struct policy_service *s)
{
    struct policy_conn *conn;

    while ((conn = TAILQ_FIRST(&s->conns)) != NULL && conn->query == NULL) {
        if (conn_keep(conn))
            return conn;
        conn_free(conn);
    }
    return s->conn_count < s->client->conf->smtpd_policy_service_connection_limit ? conn_new(s)
                                                                                  : NULL;
}

/* Gives connections to those who wait. Where none can be made and none will be free, they pause. */
static void service_work(struct policy_service *s)
{
    struct policy_query *q;

    while ((q = TAILQ_FIRST(&s->waiting)) != NULL) {
        struct policy_conn *conn = conn_get(s);
        if (conn == NULL && s->conn_count > 0)
            break;
        query_leave(q);
        if (conn != NULL)
            conn_send(conn, q);
        else
            query_retry(q);
    }
}

/* ---- services ---- */

static struct policy_service *service_get(struct policy_client *c, const char *name)
{
    struct policy_service *s;
    struct policy_endpoint at;

    TAILQ_FOREACH (s, &c->services, link)
        if (strcmp(s->name, name) == 0)
            return s;
    if (c->count == SERVICES_MAX || policy_endpoint_parse(&at, name) != 0)
        return NULL;
    s = mem_zalloc(sizeof(*s));
    s->client = c;
    s->name = mem_strdup(name);
    s->at = at;
    TAILQ_INIT(&s->conns);
    TAILQ_INIT(&s->waiting);
    TAILQ_INIT(&s->paused);
    TAILQ_INSERT_TAIL(&c->services, s, link);
    c->count++;
    return s;
}

static void service_free(struct policy_service *s)
{
    struct policy_conn *conn;
    struct policy_query *q;

    while ((conn = TAILQ_FIRST(&s->conns)) != NULL) {
        q = conn->query;
        conn_free(conn);
        if (q != NULL)
            query_free(q);
    }
    while ((q = TAILQ_FIRST(&s->waiting)) != NULL || (q = TAILQ_FIRST(&s->paused)) != NULL) {
        query_leave(q);
        query_free(q);
    }
    free(s->name);
    free(s);
}

void policy_client_free(struct policy_client **c)
{
    struct policy_service *s;

    if (*c == NULL)
        return;
    while ((s = TAILQ_FIRST(&(*c)->services)) != NULL) {
        TAILQ_REMOVE(&(*c)->services, s, link);
        service_free(s);
    }
    free(*c);
    *c = NULL;
}

struct policy_query *policy_ask(struct policy_client *c, const char *service, const void *request,
                                size_t len, void (*fn)(const char *action, void *arg), void *arg)
{
    struct policy_service *s = service_get(c, service);

    if (s == NULL || s->wait_count >= c->conf->smtpd_policy_service_queue_limit)
        return NULL;
    struct policy_query *q = mem_zalloc(sizeof(*q));
    q->service = s;
    q->fn = fn;
    q->arg = arg;
    q->deadline = clock_now_ms() + c->conf->smtpd_policy_service_timeout;
    q->timer = timer_new(c->loop, on_timer, q);
    timer_set(q->timer, c->conf->smtpd_policy_service_timeout);
    buf_append(&q->request, request, len);
    TAILQ_INSERT_TAIL(&s->waiting, q, link);
    s->wait_count++;
    service_work(s);
    return q;
}

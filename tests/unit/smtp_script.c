/* The scripted SMTP server. */
#include "tests/unit/smtp_script.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/event/listener.h"
#include "gateway/event/stream.h"

struct session {
    LIST_ENTRY(session) entry;
    struct script_server *server;
    struct stream *stream;
    const struct script_step *step;
    struct buf out;
    size_t body_bytes;
};

struct script_server {
    struct loop *loop;
    struct listener *listener;
    const struct script_step *steps;
    bool bytewise;
    uint16_t port;
    unsigned connections;
    struct buf lines, body;
    char *fault;
    LIST_HEAD(, session) sessions;
};

static void session_free(struct session *c)
{
    LIST_REMOVE(c, entry);
    stream_free(&c->stream);
    buf_free(&c->out);
    free(c);
}

static void flush(struct session *c)
{
    size_t n = c->server->bytewise && c->out.len > 1 ? 1 : c->out.len;

    if (n == 0)
        return;
    stream_write(c->stream, c->out.data, n);
    buf_consume(&c->out, n);
}

/* Answers the step and goes on to the next. False where the session has ended. */
static bool answer(struct session *c)
{
    const char *reply = c->step->reply;

    c->step++;
    if (reply == NULL)
        return true;
    if (reply[0] == '!') {
        session_free(c);
        return false;
    }
    bool idle = c->out.len == 0;
    (void)buf_append_str(&c->out, reply);
    if (idle)
        flush(c);
    return true;
}

/* Takes a whole message's lines; 1 at its end, 0 when more is needed. */
static int take_body(struct session *c)
{
    size_t len;
    const char *data, *lf;

    while ((data = stream_peek(c->stream, &len)) != NULL && len > 0 &&
           (lf = memchr(data, '\n', len)) != NULL) {
        size_t n = (size_t)(lf - data) + 1;
        bool end = n == 3 && memcmp(data, ".\r\n", 3) == 0;
        if (!end)
            (void)buf_append(&c->server->body, data + (*data == '.'), n - (*data == '.'));
        stream_consume(c->stream, n);
        if (end)
            return 1;
    }
    return 0;
}

/* Takes bytes and closes when there were so many. False: the session has ended. */
static bool take_part(struct session *c, size_t most)
{
    size_t len;

    (void)stream_peek(c->stream, &len);
    stream_consume(c->stream, len);
    c->body_bytes += len;
    if (c->body_bytes < most)
        return true;
    session_free(c);
    return false;
}

static void on_input(struct stream *s, void *arg)
{
    struct session *c = arg;
    struct script_server *server = c->server;
    size_t len;

    for (;;) {
        const char *want = c->step->line;
        if (want != NULL && want[0] == '.' && want[1] == '+') {
            (void)take_part(c, strtoul(want + 2, NULL, 10));
            return;
        }
        if (want != NULL && strcmp(want, ".") == 0) {
            if (take_body(c) == 0 || !answer(c))
                return;
            continue;
        }
        const char *data = stream_peek(s, &len), *lf = len > 0 ? memchr(data, '\n', len) : NULL;
        if (lf == NULL)
            return;
        size_t n = (size_t)(lf - data) + 1;
        char *line = mem_strndup(data, n);
        stream_consume(s, n);
        line[strcspn(line, "\r\n")] = '\0';
        bool fits = want != NULL && strncmp(line, want, strlen(want)) == 0;
        if (fits)
            (void)buf_printf(&server->lines, "%s\n", line);
        else if (server->fault == NULL && strcmp(line, "QUIT") != 0)
            server->fault = mem_strdup(line);
        free(line);
        if (!fits || !answer(c))
            return;
    }
}

static void on_drained(struct stream *s, void *arg)
{
    (void)s;
    flush(arg);
}

static void on_closed(struct stream *s, enum stream_end why, void *arg)
{
    (void)s, (void)why;
    session_free(arg);
}

static void on_accept(int fd, const struct netaddr *peer, void *arg)
{
    static const struct stream_ops ops = {
        .input = on_input, .drained = on_drained, .closed = on_closed};
    struct script_server *server = arg;
    struct session *c = mem_zalloc(sizeof(*c));

    (void)peer;
    server->connections++;
    c->server = server;
    c->step = server->steps;
    c->stream = stream_new(server->loop, fd, &ops, c);
    LIST_INSERT_HEAD(&server->sessions, c, entry);
    if (c->step->line == NULL)
        (void)answer(c);
}

struct script_server *script_server_new(struct loop *loop, const char *address, uint16_t port,
                                        const struct script_step *steps, bool bytewise)
{
    struct script_server *s = mem_zalloc(sizeof(*s));
    struct netaddr addr;
    struct sockaddr_storage ss;
    socklen_t len;
    int fd, one = 1;

    if (netaddr_parse(&addr, address) == -1)
        abort();
    addr.port = port;
    len = netaddr_to_sockaddr(&addr, &ss);
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1 ||
        bind(fd, (struct sockaddr *)&ss, len) == -1 || listen(fd, 16) == -1 ||
        getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
        abort();
    netaddr_from_sockaddr(&addr, (struct sockaddr *)&ss);
    s->loop = loop;
    s->port = addr.port;
    s->steps = steps;
    s->bytewise = bytewise;
    LIST_INIT(&s->sessions);
    s->listener = listener_new(loop, fd, on_accept, s);
    return s;
}

uint16_t script_server_port(const struct script_server *s)
{
    return s->port;
}

unsigned script_server_connections(const struct script_server *s)
{
    return s->connections;
}

const char *script_server_lines(struct script_server *s)
{
    return buf_str(&s->lines);
}

struct buf *script_server_body(struct script_server *s)
{
    return &s->body;
}

const char *script_server_fault(const struct script_server *s)
{
    return s->fault;
}

void script_server_free(struct script_server **s)
{
    if (*s == NULL)
        return;
    while (!LIST_EMPTY(&(*s)->sessions))
        session_free(LIST_FIRST(&(*s)->sessions));
    listener_free(&(*s)->listener);
    buf_free(&(*s)->lines);
    buf_free(&(*s)->body);
    free((*s)->fault);
    free(*s);
    *s = NULL;
}

#include "gateway/event/stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/event/linger.h"
#include "gateway/event/stream_private.h"

#define STREAM_INPUT_MAX     65536
#define STREAM_FINISH_MS     10000
#define STREAM_FILE_COPY_MAX 65536

static void stream_linger(struct stream *s);

static void stream_read_cb(struct bufferevent *bev, void *arg)
{
    struct stream *s = arg;
    (void)bev;
    if (s->state == STREAM_OPEN && !s->paused && s->ops->input != NULL)
        s->ops->input(s, s->arg);
}

static void stream_write_cb(struct bufferevent *bev, void *arg)
{
    struct stream *s = arg;
    if (evbuffer_get_length(bufferevent_get_output(bev)) > 0)
        return;
    if (s->state == STREAM_FINISHING)
        stream_linger(s);
    else if (s->state == STREAM_HANDSHAKE && s->start_handshake != NULL)
        s->start_handshake(s);
    else if (s->state == STREAM_OPEN && s->ops->drained != NULL)
        s->ops->drained(s, s->arg);
}

void stream_fail(struct stream *s, enum stream_end why)
{
    if (s->state == STREAM_FINISHING) {
        stream_free(&s);
        return;
    }
    if (s->state == STREAM_CLOSED)
        return;
    s->state = STREAM_CLOSED;
    timer_free(&s->handshake_timer);
    bufferevent_disable(s->bev, EV_READ | EV_WRITE);
    s->ops->closed(s, why, s->arg);
}

static void stream_connected(struct stream *s)
{
    s->state = STREAM_OPEN;
    stream_arm(s);
    if (s->ops->connected != NULL)
        s->ops->connected(s, s->arg);
}

static void stream_event_cb(struct bufferevent *bev, short what, void *arg)
{
    struct stream *s = arg;
    (void)bev;
    if (what & BEV_EVENT_CONNECTED) {
        if (s->state == STREAM_CONNECTING)
            stream_connected(s);
        else if (s->state == STREAM_HANDSHAKE && s->handshake_done != NULL)
            s->handshake_done(s);
        return;
    }
    /* Silence is no idleness where the peer is still being sent something: that has a time-out of
     * its own. */
    if (what & BEV_EVENT_TIMEOUT && what & BEV_EVENT_READING && s->state == STREAM_OPEN &&
        evbuffer_get_length(bufferevent_get_output(s->bev)) > 0) {
        if (!s->paused)
            bufferevent_enable(s->bev, EV_READ);
        return;
    }
    if (what & BEV_EVENT_TIMEOUT) {
        strlcpy(s->error, "timed out", sizeof(s->error));
        stream_fail(s, STREAM_TIMEOUT);
        return;
    }
    if (what & BEV_EVENT_ERROR) {
        int e = EVUTIL_SOCKET_ERROR();
        strlcpy(s->error, e != 0 ? strerror(e) : "connection broken", sizeof(s->error));
    }
    bool in_tls = s->tls || s->state == STREAM_HANDSHAKE;
    if (in_tls && s->describe_error != NULL && what & BEV_EVENT_ERROR)
        s->describe_error(s);
    if (s->state == STREAM_HANDSHAKE)
        stream_fail(s, STREAM_TLS_ERROR);
    else
        stream_fail(s, what & BEV_EVENT_EOF ? STREAM_EOF : STREAM_ERROR);
}

static void stream_apply_timeout(struct stream *s)
{
    struct timeval tv = {.tv_sec = s->timeout_ms / 1000, .tv_usec = s->timeout_ms % 1000 * 1000};
    const struct timeval *p = s->timeout_ms > 0 ? &tv : NULL;
    bufferevent_set_timeouts(s->bev, p, p);
}

void stream_arm(struct stream *s)
{
    bufferevent_setcb(s->bev, stream_read_cb, stream_write_cb, stream_event_cb, s);
    bufferevent_setwatermark(s->bev, EV_READ, 0, s->input_max);
    stream_apply_timeout(s);
    bufferevent_enable(s->bev, EV_WRITE);
    if (!s->paused)
        bufferevent_enable(s->bev, EV_READ);
}

static struct stream *stream_make(struct loop *loop, int fd, const struct stream_ops *ops,
                                  void *arg)
{
    struct stream *s = mem_zalloc(sizeof(*s));
    s->loop = loop;
    s->ops = ops;
    s->arg = arg;
    s->input_max = STREAM_INPUT_MAX;
    /* Deferred, so that no callback runs from inside a call of the owner's. */
    s->bev = bufferevent_socket_new(loop_base(loop), fd,
                                    BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (s->bev == NULL)
        log_fatal("cannot make a stream");
    return s;
}

static void stream_prepare_fd(int fd)
{
    int one = 1;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    /* Fails on a Unix socket, which has no delay to switch off. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

struct stream *stream_new(struct loop *loop, int fd, const struct stream_ops *ops, void *arg)
{
    stream_prepare_fd(fd);
    struct stream *s = stream_make(loop, fd, ops, arg);
    s->state = STREAM_OPEN;
    stream_arm(s);
    return s;
}

struct stream *stream_connect(struct loop *loop, const struct netaddr *addr,
                              const struct netaddr *source, int64_t timeout_ms,
                              const struct stream_ops *ops, void *arg)
{
    struct sockaddr_storage to, from;
    socklen_t to_len = netaddr_to_sockaddr(addr, &to);
    int fd = socket(addr->family == 6 ? AF_INET6 : AF_INET,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool failed = fd < 0 || to_len == 0;
    if (!failed && source != NULL) {
        socklen_t from_len = netaddr_to_sockaddr(source, &from);
        failed = bind(fd, (struct sockaddr *)&from, from_len) != 0;
    }
    int error = errno;
    if (fd >= 0)
        stream_prepare_fd(fd);
    struct stream *s = stream_make(loop, fd, ops, arg);
    s->state = STREAM_CONNECTING;
    s->timeout_ms = timeout_ms;
    stream_arm(s);
    /* For connecting alone: afterwards what stream_set_timeout says is in force. */
    s->timeout_ms = 0;
    if (!failed) {
        failed = bufferevent_socket_connect(s->bev, (struct sockaddr *)&to, (int)to_len) != 0;
        error = errno;
    }
    if (failed) {
        /* closed() must come from the loop, with this errno. */
        errno = error;
        bufferevent_trigger_event(s->bev, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
    }
    return s;
}

void stream_free(struct stream **stream)
{
    struct stream *s = *stream;
    if (s == NULL)
        return;
    *stream = NULL;
    if (s->state == STREAM_FINISHING)
        loop_guest_remove(s->loop, &s->guest);
    if (s->tls && s->close_notify != NULL)
        s->close_notify(s);
    timer_free(&s->handshake_timer);
    bufferevent_free(s->bev);
    if (s->guarded != NULL)
        evbuffer_free(s->guarded);
    arena_free(&s->peer_arena);
    free(s->server_name);
    free(s);
}

/* All is sent: the descriptor lives on until the peer has read it. */
static void stream_linger(struct stream *s)
{
    struct loop *loop = s->loop;
    int fd = fcntl(stream_fd(s), F_DUPFD_CLOEXEC, 3);
    stream_free(&s);
    if (fd >= 0)
        linger_close(loop, fd);
}

static void stream_guest_end(struct loop_guest *guest)
{
    struct stream *s = (struct stream *)((char *)guest - offsetof(struct stream, guest));
    stream_free(&s);
}

void stream_finish(struct stream **stream)
{
    struct stream *s = *stream;
    if (s == NULL)
        return;
    *stream = NULL;
    bool flushed = evbuffer_get_length(bufferevent_get_output(s->bev)) == 0;
    if (s->state == STREAM_CLOSED || s->state == STREAM_CONNECTING ||
        s->state == STREAM_HANDSHAKE) {
        stream_free(&s);
        return;
    }
    if (flushed) {
        stream_linger(s);
        return;
    }
    s->state = STREAM_FINISHING;
    s->guest.end = stream_guest_end;
    loop_guest_add(s->loop, &s->guest);
    bufferevent_disable(s->bev, EV_READ);
    struct timeval tv = {.tv_sec = STREAM_FINISH_MS / 1000};
    bufferevent_set_timeouts(s->bev, NULL, &tv);
}

void stream_set_ops(struct stream *s, const struct stream_ops *ops, void *arg)
{
    s->ops = ops;
    s->arg = arg;
}

const void *stream_peek(struct stream *s, size_t *len)
{
    struct evbuffer *in = bufferevent_get_input(s->bev);
    *len = evbuffer_get_length(in);
    if (*len == 0)
        return "";
    return evbuffer_pullup(in, -1);
}

void stream_consume(struct stream *s, size_t len)
{
    evbuffer_drain(bufferevent_get_input(s->bev), len);
}

void stream_set_input_max(struct stream *s, size_t max)
{
    s->input_max = max;
    bufferevent_setwatermark(s->bev, EV_READ, 0, max);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    bufferevent_disable(s->bev, EV_READ);
}

void stream_resume(struct stream *s)
{
    if (!s->paused)
        return;
    s->paused = false;
    if (s->state != STREAM_OPEN)
        return;
    bufferevent_enable(s->bev, EV_READ);
    if (evbuffer_get_length(bufferevent_get_input(s->bev)) > 0)
        bufferevent_trigger(s->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

/* Where output is queued. */
static struct evbuffer *stream_output(struct stream *s)
{
    if (s->state != STREAM_HANDSHAKE || s->start_handshake == NULL)
        return bufferevent_get_output(s->bev);
    if (s->guarded == NULL && (s->guarded = evbuffer_new()) == NULL)
        log_fatal("cannot make a stream");
    return s->guarded;
}

void stream_write(struct stream *s, const void *data, size_t len)
{
    if (s->state == STREAM_CLOSED)
        return;
    if (evbuffer_add(stream_output(s), data, len) != 0)
        log_fatal("out of memory", LOG_UINT("bytes", len));
}

void stream_printf(struct stream *s, const char *fmt, ...)
{
    va_list ap;
    if (s->state == STREAM_CLOSED)
        return;
    va_start(ap, fmt);
    evbuffer_add_vprintf(stream_output(s), fmt, ap);
    va_end(ap);
}

/* A small piece of a file is copied, which is cheaper than a mapping or one more system call at the
 * end. */
static int stream_copy_file(struct evbuffer *out, int fd, off_t offset, size_t len)
{
    struct evbuffer_iovec room;
    if (evbuffer_reserve_space(out, (ssize_t)len, &room, 1) < 1)
        return -1;
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, (char *)room.iov_base + got, len - got, offset + (off_t)got);
        if (n <= 0)
            return -1;
        got += (size_t)n;
    }
    room.iov_len = len;
    return evbuffer_commit_space(out, &room, 1);
}

int stream_write_file(struct stream *s, int fd, off_t offset, off_t len)
{
    if (s->state == STREAM_CLOSED || len == 0) {
        close(fd);
        return 0;
    }
    struct evbuffer *out = stream_output(s);
    if (len > STREAM_FILE_COPY_MAX) {
        int rc = evbuffer_add_file(out, fd, offset, len);
        if (rc != 0)
            close(fd);
        return rc;
    }
    int rc = stream_copy_file(out, fd, offset, (size_t)len);
    close(fd);
    return rc;
}

size_t stream_pending(const struct stream *s)
{
    size_t guarded = s->guarded != NULL ? evbuffer_get_length(s->guarded) : 0;
    return evbuffer_get_length(bufferevent_get_output(s->bev)) + guarded;
}

void stream_set_timeout(struct stream *s, int64_t ms)
{
    s->timeout_ms = ms;
    if (s->state != STREAM_CONNECTING && s->state != STREAM_FINISHING)
        stream_apply_timeout(s);
}

bool stream_is_tls(const struct stream *s)
{
    return s->tls;
}

const char *stream_error(const struct stream *s)
{
    return s->error[0] != '\0' ? s->error : "closed by the peer";
}

int stream_fd(const struct stream *s)
{
    return (int)bufferevent_getfd(s->bev);
}

int stream_detach(struct stream **stream, struct buf *input)
{
    struct stream *s = *stream;
    if (s->tls || s->state != STREAM_OPEN || stream_pending(s) > 0)
        return -1;
    size_t len;
    const void *data = stream_peek(s, &len);
    if (buf_append(input, data, len) != 0)
        return -1;
    int fd = stream_fd(s);
    bufferevent_setfd(s->bev, -1);
    stream_free(stream);
    return fd;
}

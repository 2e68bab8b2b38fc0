/* A connected Unix socket that carries frames, on the loop. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/ipc/frame.h"

#define CONN_READ_SIZE 32768
/* Received descriptors that wait for the frame they belong to. */
#define CONN_FDS_MAX (4 * MSG_FDS_MAX)
/* A peer that lets this much pile up is not reading any more. */
#define CONN_OUT_MAX ((size_t)64 << 20)

/* Descriptors that leave with the byte at this position of the stream. */
struct attachment {
    STAILQ_ENTRY(attachment) link;
    uint64_t position;
    uint8_t count;
    int fds[MSG_FDS_MAX];
};

struct conn {
    int fd;
    struct loop *loop;
    struct watch *watch;
    struct timer *flush;
    const struct conn_ops *ops;
    void *arg;
    struct buf in, out;
    uint64_t sent; /* bytes that have left, ever */
    STAILQ_HEAD(, attachment) attachments;
    int fds[CONN_FDS_MAX];
    size_t fd_count;
    bool broken, closed;
    bool mute;   /* nothing can be sent any more */
    bool *freed; /* set where a callback frees the connection */
};

static void conn_take_fds(struct conn *c, struct msghdr *mh)
{
    for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm != NULL; cm = CMSG_NXTHDR(mh, cm)) {
        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(fd));
            if (c->fd_count == CONN_FDS_MAX) {
                close(fd);
                c->broken = true;
            } else {
                c->fds[c->fd_count++] = fd;
            }
        }
    }
    if (mh->msg_flags & MSG_CTRUNC)
        c->broken = true;
}

/* Reads what is there into c->in: bytes read, 0 for nothing now, -1 at the end. */
static ssize_t conn_read(struct conn *c)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * CONN_FDS_MAX)];
    } control;
    void *room = buf_reserve(&c->in, CONN_READ_SIZE);
    if (room == NULL)
        return -1;
    struct iovec iov = {.iov_base = room, .iov_len = CONN_READ_SIZE};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    conn_take_fds(c, &mh);
    if (n == 0)
        return -1;
    buf_commit(&c->in, (size_t)n);
    return n;
}

/* Hands the frame at the front of c->in out. False where there is none yet, or the connection
 * broke. */
static bool conn_deliver_one(struct conn *c, bool *freed)
{
    struct frame_header h;
    struct msg m;
    if (c->in.len < FRAME_HEADER_SIZE)
        return false;
    if (frame_header_get(c->in.data, &h) != 0) {
        c->broken = true;
        return false;
    }
    size_t whole = FRAME_HEADER_SIZE + h.len;
    if (c->in.len < whole)
        return false;
    if (h.fd_count > c->fd_count) {
        c->broken = true;
        return false;
    }
    msg_view(&m, &h, c->in.data + FRAME_HEADER_SIZE);
    m.fd_count = h.fd_count;
    memcpy(m.fds, c->fds, h.fd_count * sizeof(int));
    c->fd_count -= h.fd_count;
    memmove(c->fds, c->fds + h.fd_count, c->fd_count * sizeof(int));
    /* The buffer outlives the handler even where that frees the connection: it is let go of first.
     */
    struct buf held = c->in;
    memset(&c->in, 0, sizeof(c->in));
    int rc = c->ops->message(&m, c->arg);
    msg_view_end(&m);
    if (*freed) {
        buf_wipe_free(&held);
        return false;
    }
    c->in = held;
    /* Messages carry passwords and challenges: they do not stay behind in the buffer. */
    explicit_bzero(c->in.data, whole);
    buf_consume(&c->in, whole);
    if (rc != 0)
        c->broken = true;
    return rc == 0;
}

static void conn_closed(struct conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    watch_set(c->watch, 0);
    timer_stop(c->flush);
    c->ops->closed(c->arg);
}

/* Sends from the front of c->out as far as one system call may: up to the next descriptors. */
static ssize_t conn_send_some(struct conn *c)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
    } control;
    struct iovec iov = {.iov_base = c->out.data, .iov_len = c->out.len};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    struct attachment *a = STAILQ_FIRST(&c->attachments);
    struct attachment *now = a != NULL && a->position == c->sent ? a : NULL;
    struct attachment *next = now != NULL ? STAILQ_NEXT(now, link) : a;
    if (next != NULL)
        iov.iov_len = (size_t)(next->position - c->sent);
    if (now != NULL) {
        memset(&control, 0, sizeof(control));
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(sizeof(int) * now->count);
        struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(sizeof(int) * now->count);
        memcpy(CMSG_DATA(cm), now->fds, sizeof(int) * now->count);
    }
    ssize_t n = sendmsg(c->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n <= 0)
        return n;
    if (now != NULL) {
        STAILQ_REMOVE_HEAD(&c->attachments, link);
        for (uint8_t i = 0; i < now->count; i++)
            close(now->fds[i]);
        free(now);
    }
    c->sent += (uint64_t)n;
    explicit_bzero(c->out.data, (size_t)n);
    buf_consume(&c->out, (size_t)n);
    return n;
}

static void conn_flush(void *arg)
{
    struct conn *c = arg;
    while (c->out.len > 0 && !c->broken && !c->mute) {
        ssize_t n = conn_send_some(c);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EPIPE && errno != ECONNRESET) {
            c->broken = true;
        } else if (n < 0) {
            /* The peer is gone. What it said before may be an answer, and is read before its end.
             */
            c->mute = true;
            buf_wipe_free(&c->out);
        }
    }
    if (c->out.len == 0 && c->out.cap > CONN_READ_SIZE)
        buf_free(&c->out);
    if (c->broken)
        conn_closed(c);
    else
        watch_set(c->watch, WATCH_READ | (c->out.len > 0 ? WATCH_WRITE : 0));
}

static void conn_ready(int ready, void *arg)
{
    struct conn *c = arg;
    bool freed = false;
    if (ready & WATCH_READ) {
        ssize_t n = conn_read(c);
        c->freed = &freed;
        while (n > 0 && !c->broken && conn_deliver_one(c, &freed))
            ;
        if (freed)
            return;
        c->freed = NULL;
        if (c->in.len == 0 && c->in.cap > 2 * CONN_READ_SIZE)
            buf_free(&c->in);
        if (n < 0 || c->broken) {
            conn_closed(c);
            return;
        }
    }
    if (ready & WATCH_WRITE)
        conn_flush(c);
}

struct conn *conn_new(struct loop *loop, int fd, const struct conn_ops *ops, void *arg)
{
    struct conn *c = mem_zalloc(sizeof(*c));
    c->fd = fd;
    c->loop = loop;
    c->ops = ops;
    c->arg = arg;
    c->in.max = FRAME_HEADER_SIZE + MSG_BODY_MAX + 2 * CONN_READ_SIZE;
    c->out.max = CONN_OUT_MAX;
    STAILQ_INIT(&c->attachments);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    c->flush = timer_new(loop, conn_flush, c);
    c->watch = watch_new(loop, fd, conn_ready, c);
    watch_set(c->watch, WATCH_READ);
    return c;
}

void conn_free(struct conn **conn)
{
    struct conn *c = *conn;
    if (c == NULL)
        return;
    *conn = NULL;
    /* What was queued just now may still be a goodbye; it costs one try. */
    if (!c->broken && !c->closed && c->out.len > 0)
        while (c->out.len > 0 && conn_send_some(c) > 0)
            ;
    if (c->freed != NULL)
        *c->freed = true;
    watch_free(&c->watch);
    timer_free(&c->flush);
    close(c->fd);
    for (size_t i = 0; i < c->fd_count; i++)
        close(c->fds[i]);
    while (!STAILQ_EMPTY(&c->attachments)) {
        struct attachment *a = STAILQ_FIRST(&c->attachments);
        STAILQ_REMOVE_HEAD(&c->attachments, link);
        for (uint8_t i = 0; i < a->count; i++)
            close(a->fds[i]);
        free(a);
    }
    buf_wipe_free(&c->in);
    buf_wipe_free(&c->out);
    free(c);
}

static void conn_queue(struct conn *c, uint32_t id, const struct msg *m)
{
    uint8_t header[FRAME_HEADER_SIZE];
    struct frame_header h = {
        .len = (uint32_t)m->out.len, .type = m->type, .fd_count = m->fd_count, .id = id};
    frame_header_put(header, &h);
    if (m->fd_count > 0) {
        struct attachment *a = mem_zalloc(sizeof(*a));
        a->position = c->sent + c->out.len;
        a->count = m->fd_count;
        memcpy(a->fds, m->fds, m->fd_count * sizeof(int));
        STAILQ_INSERT_TAIL(&c->attachments, a, link);
    }
    if (buf_append(&c->out, header, sizeof(header)) != 0 ||
        buf_append(&c->out, m->out.data, m->out.len) != 0)
        c->broken = true;
    if (!timer_pending(c->flush))
        timer_set(c->flush, 0);
}

void conn_send(struct conn *c, uint32_t id, struct msg **m)
{
    if (msg_full(*m))
        c->broken = true;
    if (c->closed || c->broken || c->mute) {
        if (!c->closed && !timer_pending(c->flush))
            timer_set(c->flush, 0);
        msg_free(m);
        return;
    }
    conn_queue(c, id, *m);
    /* The descriptors are the attachment's now. */
    (*m)->fd_next = (*m)->fd_count;
    msg_free(m);
}

void conn_send_copy(struct conn *c, uint32_t id, const struct msg *m)
{
    if (!c->closed && !c->broken && !c->mute && !msg_full(m))
        conn_queue(c, id, m);
}

int conn_fd(const struct conn *c)
{
    return c->fd;
}

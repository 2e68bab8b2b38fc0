/* Channels without a loop: for the dirigo tool, and for a process that waits for its configuration.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/ipc/channel.h"
#include "gateway/ipc/frame.h"

struct ipc_sync {
    int fd;
    uint32_t last_id;
};

int ipc_connect(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlcpy(un.sun_path, path, sizeof(un.sun_path)) >= sizeof(un.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0) {
        int e = errno;
        close(fd);
        errno = e;
        fd = -1;
    }
    return fd;
}

/* Waits until fd is ready: 0, or -1 at the deadline. */
static int wait_ready(int fd, short events, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - clock_now_ms();
        if (left <= 0)
            return -1;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -1;
    }
}

/* Reads exactly len bytes; descriptors that come with them are appended to m. */
static int read_exactly(int fd, void *data, size_t len, struct msg *m, int64_t deadline)
{
    size_t got = 0;
    while (got < len) {
        union {
            struct cmsghdr align;
            char space[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
        } control;
        struct iovec iov = {.iov_base = (char *)data + got, .iov_len = len - got};
        struct msghdr mh = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};
        if (wait_ready(fd, POLLIN, deadline) != 0)
            return -1;
        ssize_t n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return -1;
        for (struct cmsghdr *cm = CMSG_FIRSTHDR(&mh); cm != NULL; cm = CMSG_NXTHDR(&mh, cm)) {
            size_t count = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; i++) {
                int received;
                memcpy(&received, CMSG_DATA(cm) + i * sizeof(int), sizeof(received));
                if (m->fd_count < MSG_FDS_MAX)
                    m->fds[m->fd_count++] = received;
                else
                    close(received);
            }
        }
        got += (size_t)n;
    }
    return 0;
}

struct msg *ipc_read_blocking(int fd, int64_t timeout_ms)
{
    int64_t deadline = clock_now_ms() + timeout_ms;
    uint8_t header[FRAME_HEADER_SIZE];
    struct frame_header h;
    struct msg *m = msg_new(0);
    /* The header alone first: bytes behind this message belong to whoever reads next. */
    if (read_exactly(fd, header, sizeof(header), m, deadline) != 0 ||
        frame_header_get(header, &h) != 0 || h.fd_count != m->fd_count)
        goto fail;
    void *body = buf_reserve(&m->out, h.len);
    if (body == NULL || read_exactly(fd, body, h.len, m, deadline) != 0)
        goto fail;
    buf_commit(&m->out, h.len);
    m->type = h.type;
    m->id = h.id;
    m->body = m->out.data;
    m->len = h.len;
    return m;
fail:
    msg_free(&m);
    return NULL;
}

int frame_send_blocking(int fd, uint32_t id, struct msg **m, int64_t deadline)
{
    struct frame_header h = {.len = (uint32_t)(*m)->out.len, .type = (*m)->type, .id = id};
    struct buf frame = {.max = FRAME_HEADER_SIZE + MSG_BODY_MAX};
    uint8_t header[FRAME_HEADER_SIZE];
    int rc = msg_full(*m) ? -1 : 0;
    frame_header_put(header, &h);
    buf_append(&frame, header, sizeof(header));
    buf_append(&frame, (*m)->out.data, (*m)->out.len);
    while (rc == 0 && frame.len > 0) {
        ssize_t n = send(fd, frame.data, frame.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            buf_consume(&frame, (size_t)n);
        else if (errno == EAGAIN)
            rc = wait_ready(fd, POLLOUT, deadline);
        else if (errno != EINTR)
            rc = -1;
    }
    buf_wipe_free(&frame);
    msg_free(m);
    return rc;
}

struct ipc_sync *ipc_sync_open(const char *path, const char *service, uint32_t version,
                               int64_t timeout_ms, char **error)
{
    int64_t deadline = clock_now_ms() + timeout_ms;
    int fd = ipc_connect(path);
    if (fd < 0) {
        *error = mem_printf("%s: %s; is dirigod running?", path, strerror(errno));
        return NULL;
    }
    struct msg *hello = hello_new(service, version);
    struct msg *theirs = NULL;
    bool ok = frame_send_blocking(fd, 0, &hello, deadline) == 0 &&
              (theirs = ipc_read_blocking(fd, deadline - clock_now_ms())) != NULL &&
              hello_matches(theirs, service, version);
    if (!ok) {
        *error = mem_printf("%s: %s", path,
                            theirs == NULL ? "no answer"
                                           : "another service or another version answers there");
        msg_free(&theirs);
        close(fd);
        return NULL;
    }
    msg_free(&theirs);
    struct ipc_sync *s = mem_zalloc(sizeof(*s));
    s->fd = fd;
    return s;
}

void ipc_sync_close(struct ipc_sync **s)
{
    if (*s == NULL)
        return;
    close((*s)->fd);
    free(*s);
    *s = NULL;
}

struct msg *ipc_sync_request(struct ipc_sync *s, struct msg **m, int64_t timeout_ms, char **error)
{
    int64_t deadline = clock_now_ms() + timeout_ms;
    uint32_t id = ++s->last_id;
    if (frame_send_blocking(s->fd, id, m, deadline) != 0) {
        *error = mem_strdup("the request could not be sent");
        return NULL;
    }
    for (;;) {
        struct msg *reply = ipc_read_blocking(s->fd, deadline - clock_now_ms());
        if (reply == NULL) {
            *error = mem_strdup("no answer");
            return NULL;
        }
        if (reply->id == id)
            return reply;
        msg_free(&reply); /* an event */
    }
}

/* The frame around a message, and a connection that carries frames: what client, server and pair
 * share. */
#ifndef DIRIGO_IPC_FRAME_H
#define DIRIGO_IPC_FRAME_H

#include "gateway/event/loop.h"
#include "gateway/ipc/msg.h"

#define FRAME_HEADER_SIZE 16
#define FRAME_TYPE_HELLO  0xffff

/* ---- messages, from the inside ---- */

/* A message for reading, whose body lies in somebody's buffer; msg_view_end closes descriptors
 * nobody took. */
struct msg {
    uint16_t type;
    uint32_t id;
    bool bad;  /* reading ran off the end, or writing past the bound */
    bool view; /* body is borrowed */
    uint8_t fd_count, fd_next;
    int fds[MSG_FDS_MAX];
    const uint8_t *body; /* for reading */
    size_t len, pos;
    struct buf out; /* for writing */
};

struct frame_header {
    uint32_t len;
    uint16_t type;
    uint8_t fd_count;
    uint32_t id;
};

/* Reads a header: 0, or -1 where it breaks a bound. */
int frame_header_get(const uint8_t data[FRAME_HEADER_SIZE], struct frame_header *out);
void frame_header_put(uint8_t data[FRAME_HEADER_SIZE], const struct frame_header *h);
/* Makes *m a view of a frame's body. */
void msg_view(struct msg *m, const struct frame_header *h, const uint8_t *body);
void msg_view_end(struct msg *m);
/* Copies a finished message so that it can be read: for tests and fuzzing. */
struct msg *msg_reread(const struct msg *m);

struct msg *hello_new(const char *service, uint32_t version);
/* Whether m is the hello of this service and version. */
bool hello_matches(struct msg *m, const char *service, uint32_t version);

/* ---- a connection ---- */

struct conn;

struct conn_ops {
    /* A whole message; 0, or -1 to close. The connection may be freed inside. */
    int (*message)(struct msg *m, void *arg);
    /* The peer is gone or broke the rules. Called once, from the loop; the owner frees the
     * connection. */
    void (*closed)(void *arg);
};

/* Takes the connected descriptor over. */
struct conn *conn_new(struct loop *loop, int fd, const struct conn_ops *ops, void *arg);
void conn_free(struct conn **c);
/* Queues m with this id and frees it; it leaves at the end of the loop's turn, with others of that
 * turn. */
void conn_send(struct conn *c, uint32_t id, struct msg **m);
/* The same for a message that is sent to several; it has no descriptors. */
void conn_send_copy(struct conn *c, uint32_t id, const struct msg *m);
int conn_fd(const struct conn *c);

/* ---- without a loop ---- */

/* Sends one frame whole: 0 or -1. */
int frame_send_blocking(int fd, uint32_t id, struct msg **m, int64_t deadline);
/* Connects to a Unix socket: a non-blocking descriptor, or -1 with errno. */
int ipc_connect(const char *path);

#endif

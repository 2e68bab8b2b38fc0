/*
 * Channels between processes: a server end that answers requests, a client end that makes them.
 *
 * A channel opens with a hello from both ends (service name and protocol version); a difference, a
 * bad message, or a body over the bound closes it. A request carries an id, and its reply the same
 * one.
 *
 * The client end connects to a Unix socket on the loop, connects again when the service went away
 * (100 ms, growing to 2 s), and fails what was outstanding as IPC_UNAVAILABLE: a caller gets
 * exactly one answer to every request, from the loop, never from inside ipc_request.
 */
#ifndef DIRIGO_IPC_CHANNEL_H
#define DIRIGO_IPC_CHANNEL_H

#include <sys/types.h>

#include "gateway/event/loop.h"
#include "gateway/ipc/msg.h"

enum ipc_status {
    IPC_OK,
    IPC_UNAVAILABLE, /* not connected, closed before the answer, or refused by a bound */
    IPC_TIMEOUT
};

/* ---- client ---- */

struct ipc_client;

/* path: the service's socket; service and version: what the hello must say. Never fails: it keeps
 * trying. */
struct ipc_client *ipc_client_new(struct loop *loop, const char *path, const char *service,
                                  uint32_t version);
/* Outstanding requests are answered IPC_UNAVAILABLE before it returns. *c may be NULL. */
void ipc_client_free(struct ipc_client **c);
bool ipc_client_connected(const struct ipc_client *c);
/* Called with true after each hello and false when the service goes away; may be NULL. */
void ipc_client_on_state(struct ipc_client *c, void (*fn)(bool connected, void *arg), void *arg);
/* Called for messages that answer no request (id 0); may be NULL. 0, or -1 to close for a bad
 * message. */
void ipc_client_on_event(struct ipc_client *c, int (*fn)(struct msg *m, void *arg), void *arg);

/*
 * Sends m (taken over: *m is NULL then) and calls fn once: IPC_OK with the reply, or the failure
 * with reply NULL, at the latest after timeout_ms. While not connected a request waits for the
 * connection within its time-out. Returns an id for ipc_cancel, never 0. fn calls msg_end on what
 * it read; where that fails it returns -1 and the channel is closed (0 otherwise).
 */
uint32_t ipc_request(struct ipc_client *c, struct msg **m, int64_t timeout_ms,
                     int (*fn)(enum ipc_status status, struct msg *reply, void *arg), void *arg);
/* fn will not be called any more. Unknown ids are ignored. */
void ipc_cancel(struct ipc_client *c, uint32_t id);
/* Sends m with id 0, without an answer; dropped while not connected. */
void ipc_send(struct ipc_client *c, struct msg **m);

/* ---- server ---- */

struct ipc_server;
struct ipc_peer;

struct ipc_server_ops {
    /* A request or event. 0, or -1 where it is malformed (the channel is closed). Answer now or
     * later. */
    int (*request)(struct ipc_peer *peer, struct msg *m, void *arg);
    /* May be NULL. Whatever is kept for the peer goes now. */
    void (*gone)(struct ipc_peer *peer, void *arg);
};

/* Serves on a listening Unix socket, which it takes over. */
struct ipc_server *ipc_server_new(struct loop *loop, int listen_fd, const char *service,
                                  uint32_t version, const struct ipc_server_ops *ops, void *arg);
/* How long a new peer may take to say hello before it is closed, in milliseconds (10000). */
void ipc_server_set_hello_timeout(struct ipc_server *s, int64_t ms);
void ipc_server_free(struct ipc_server **s);
/* Sends the answer to request id (taken over). A peer that has gone must not be used: see gone().
 */
void ipc_reply(struct ipc_peer *peer, uint32_t id, struct msg **m);
/* The same to every connected peer, with id 0. */
void ipc_broadcast(struct ipc_server *s, struct msg **m);
/* Who is at the other end (SO_PEERCRED). */
uid_t ipc_peer_uid(const struct ipc_peer *peer);
pid_t ipc_peer_pid(const struct ipc_peer *peer);
/* A pointer of the service's own with the peer. */
void ipc_peer_set_data(struct ipc_peer *peer, void *data);
void *ipc_peer_data(const struct ipc_peer *peer);

/* ---- one connected socket (the control channel between dirigod and a process) ---- */

struct ipc_pair;
/* Takes a connected socket over; fn gets every message, closed() the end. No hello. */
struct ipc_pair *ipc_pair_new(struct loop *loop, int fd, int (*fn)(struct msg *m, void *arg),
                              void (*closed)(void *arg), void *arg);
void ipc_pair_send(struct ipc_pair *p, struct msg **m);
void ipc_pair_free(struct ipc_pair **p);

/* ---- without a loop: the dirigo tool, and a process that waits for its configuration ---- */

/* Connects to a service and says hello; NULL with an allocated text in error. */
struct ipc_sync;
struct ipc_sync *ipc_sync_open(const char *path, const char *service, uint32_t version,
                               int64_t timeout_ms, char **error);
void ipc_sync_close(struct ipc_sync **s);
/* Sends *m (taken over) and waits for the answer, which the caller frees; NULL with a text in
 * error. */
struct msg *ipc_sync_request(struct ipc_sync *s, struct msg **m, int64_t timeout_ms, char **error);
/* The next message from a plain connected socket, such as the control channel; NULL at its end. */
struct msg *ipc_read_blocking(int fd, int64_t timeout_ms);

#endif

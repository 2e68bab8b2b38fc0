/*
 * A byte stream on a socket: buffered input and output, time-outs, TLS at any point.
 *
 * The life of one: stream_new on an accepted or connected descriptor (or stream_connect); input()
 * is called when bytes came, and peeks and consumes what it understands; writes are queued and
 * leave on their own; stream_finish flushes and closes, or stream_free drops at once. closed() is
 * called once, for an end that the owner did not ask for; the owner then frees the stream.
 * Callbacks never run from inside stream_* calls, and the stream may be freed inside a callback.
 *
 * Input stops being read while more than the input bound is unconsumed. An idle stream holds no
 * buffers.
 */
#ifndef DIRIGO_EVENT_STREAM_H
#define DIRIGO_EVENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gateway/base/buf.h"
#include "gateway/base/netaddr.h"
#include "gateway/event/loop.h"
#include "gateway/event/tls.h"

struct stream;

enum stream_end {
    STREAM_EOF,      /* the peer closed */
    STREAM_ERROR,    /* reset, unreachable */
    STREAM_TIMEOUT,  /* no byte came, or none could be sent, for the time set */
    STREAM_TLS_ERROR /* the handshake failed, or the peer broke TLS; stream_error says how */
};

struct stream_ops {
    void (*input)(struct stream *s, void *arg);
    void (*drained)(struct stream *s, void *arg);   /* the output is empty again; may be NULL */
    void (*connected)(struct stream *s, void *arg); /* stream_connect succeeded; may be NULL */
    void (*secured)(struct stream *s, void *arg);   /* the handshake succeeded; may be NULL */
    void (*closed)(struct stream *s, enum stream_end why, void *arg);
};

/* Takes fd over (made non-blocking, TCP_NODELAY where it is TCP). ops and arg outlive the stream.
 */
struct stream *stream_new(struct loop *loop, int fd, const struct stream_ops *ops, void *arg);
/* Connects to addr (TCP), from source where it is not NULL; connected() or closed() follows within
 * ms. */
struct stream *stream_connect(struct loop *loop, const struct netaddr *addr,
                              const struct netaddr *source, int64_t timeout_ms,
                              const struct stream_ops *ops, void *arg);
/* Drops the stream and closes the descriptor; what was not sent is lost. *s may be NULL. */
void stream_free(struct stream **s);
/*
 * Sends what is queued (within 10 s), then closes by itself; the owner forgets the stream: *s is
 * NULL then. What the peer still sends is thrown away for a while, so that no reset destroys what
 * it has not read yet.
 */
void stream_finish(struct stream **s);
/* Replaces the callbacks, when one owner hands the stream to another. */
void stream_set_ops(struct stream *s, const struct stream_ops *ops, void *arg);

/* The unconsumed input as one run of bytes, valid until the next call on the stream; *len may be 0.
 */
const void *stream_peek(struct stream *s, size_t *len);
void stream_consume(struct stream *s, size_t len);
/* Unconsumed bytes after which reading stops; 64 KiB unless set. */
void stream_set_input_max(struct stream *s, size_t max);
/* Stops and resumes input callbacks (reading stops too); stream_resume calls input() soon if bytes
 * wait. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);

/* Queue output. The bytes are copied, but for a file, whose descriptor is taken over and closed
 * when sent. */
void stream_write(struct stream *s, const void *data, size_t len);
void stream_printf(struct stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int stream_write_file(struct stream *s, int fd, off_t offset,
                      off_t len); /* -1, fd closed: cannot be read */
/* Bytes queued and not yet sent: a producer of much output waits for drained() above some mark. */
size_t stream_pending(const struct stream *s);

/* closed(STREAM_TIMEOUT) when nothing arrived while there was nothing to send either, or when
 * nothing could be sent, for ms; 0: never (the default). */
void stream_set_timeout(struct stream *s, int64_t ms);

/*
 * Turns TLS on: as server after a STARTTLS reply was queued (it is sent first, in clear), or on a
 * new stream. Input that came before the handshake is thrown away, so nothing injected in clear
 * text is ever read as protected. *discarded, if not NULL, gets how many bytes that were. secured()
 * or closed(STREAM_TLS_ERROR) follows; what is written meanwhile is sent protected, after the
 * handshake. server_name: SNI and the name to verify, for the client's
 * side.
 */
void stream_start_tls_server(struct stream *s, struct tls_context *ctx, size_t *discarded);
void stream_start_tls_client(struct stream *s, struct tls_context *ctx, const char *server_name);
bool stream_is_tls(const struct stream *s); /* after secured() */
void stream_tls_info(const struct stream *s, struct tls_info *info);
/* Channel binding data of this connection: RFC 9266 tls-exporter on TLS 1.3, RFC 5929 tls-unique
 * on 1.2. Appends to out; *name is static. -1 where there is none. */
int stream_tls_binding(const struct stream *s, const char **name, struct buf *out);
/* A text for the log about the last error; never NULL. */
const char *stream_error(const struct stream *s);

/*
 * Gives up a stream without TLS: unconsumed input is appended to input, unsent output must be empty
 * (else -1), and the descriptor is returned; *s is NULL then.
 */
int stream_detach(struct stream **s, struct buf *input);
int stream_fd(const struct stream *s);

/*
 * Joins two streams: each one's bytes go to the other, with back-pressure, until either ends; then
 * the other is flushed and closed, and done(arg) is called: the splice is gone then. Both belong to
 * the splice from now on. The idle time-outs of the streams stay in force.
 */
struct splice;
struct splice *stream_splice(struct stream **a, struct stream **b, void (*done)(void *arg),
                             void *arg);
/* Ends it early: what has come is passed on, both streams are finished, done is not called. */
void stream_splice_end(struct splice **splice);

#endif

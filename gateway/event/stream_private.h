/* What stream.c and stream_tls.c share. */
#ifndef DIRIGO_EVENT_STREAM_PRIVATE_H
#define DIRIGO_EVENT_STREAM_PRIVATE_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "gateway/event/stream.h"

struct stream {
    struct loop_guest guest; /* STREAM_FINISHING: nobody else has it */
    struct loop *loop;
    struct bufferevent *bev;
    const struct stream_ops *ops;
    void *arg;
    size_t input_max;
    int64_t timeout_ms;
    enum {
        STREAM_CONNECTING,
        STREAM_OPEN,
        STREAM_HANDSHAKE,
        STREAM_FINISHING,
        STREAM_CLOSED
    } state;
    bool paused;
    bool tls;
    /* Set by the TLS side, so that streams without TLS need no OpenSSL. */
    void (*start_handshake)(struct stream *s); /* once the clear-text output has left */
    void (*close_notify)(struct stream *s);
    void (*handshake_done)(struct stream *s);
    void (*describe_error)(struct stream *s);
    struct tls_context *tls_context;
    struct timer *handshake_timer;
    struct arena *peer_arena; /* what the peer's certificate says */
    const struct tls_peer *peer;
    char *server_name;
    /* Written after TLS was asked for and before the handshake began: it must not leave in clear.
     */
    struct evbuffer *guarded;
    char error[160];
};

/* Sets callbacks, watermarks and time-outs of s->bev and enables it. */
void stream_arm(struct stream *s);
/* Reports an end to the owner; s may be gone afterwards. */
void stream_fail(struct stream *s, enum stream_end why);

#endif

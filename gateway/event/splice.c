/* Two streams joined: what one receives, the other sends. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>

#include "gateway/base/mem.h"
#include "gateway/event/stream_private.h"

/* Unsent bytes above which the other side is not read. */
#define SPLICE_HIGH 262144

struct splice_side {
    struct splice *splice;
    struct stream *stream;
    struct splice_side *other;
};

struct splice {
    struct splice_side a, b;
    void (*done)(void *arg);
    void *arg;
};

/* Moves buffers, not bytes, from one stream to the other. */
static void splice_forward(struct splice_side *from)
{
    struct stream *to = from->other->stream;
    bufferevent_read_buffer(from->stream->bev, bufferevent_get_output(to->bev));
    if (stream_pending(to) > SPLICE_HIGH)
        stream_pause(from->stream);
}

static void splice_input(struct stream *s, void *arg)
{
    (void)s;
    splice_forward(arg);
}

static void splice_drained(struct stream *s, void *arg)
{
    struct splice_side *side = arg;
    (void)s;
    stream_resume(side->other->stream);
}

static void splice_closed(struct stream *s, enum stream_end why, void *arg)
{
    struct splice_side *side = arg;
    struct splice *splice = side->splice;
    (void)s;
    (void)why;
    bufferevent_read_buffer(side->stream->bev, bufferevent_get_output(side->other->stream->bev));
    stream_finish(&side->other->stream);
    stream_free(&side->stream);
    splice->done(splice->arg);
    free(splice);
}

static const struct stream_ops splice_ops = {
    .input = splice_input, .drained = splice_drained, .closed = splice_closed};

struct splice *stream_splice(struct stream **a, struct stream **b, void (*done)(void *arg),
                             void *arg)
{
    struct splice *splice = mem_zalloc(sizeof(*splice));
    splice->a = (struct splice_side){splice, *a, &splice->b};
    splice->b = (struct splice_side){splice, *b, &splice->a};
    splice->done = done;
    splice->arg = arg;
    stream_set_ops(*a, &splice_ops, &splice->a);
    stream_set_ops(*b, &splice_ops, &splice->b);
    *a = *b = NULL;
    splice_forward(&splice->a);
    splice_forward(&splice->b);
    /* Either may have been paused by its former owner. */
    if (stream_pending(splice->b.stream) <= SPLICE_HIGH)
        stream_resume(splice->a.stream);
    if (stream_pending(splice->a.stream) <= SPLICE_HIGH)
        stream_resume(splice->b.stream);
    return splice;
}

void stream_splice_end(struct splice **splice)
{
    struct splice *s = *splice;
    if (s == NULL)
        return;
    *splice = NULL;
    splice_forward(&s->a);
    splice_forward(&s->b);
    stream_finish(&s->a.stream);
    stream_finish(&s->b.stream);
    free(s);
}

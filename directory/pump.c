#include "directory/pump.h"

#include <stdlib.h>

#include "gateway/base/mem.h"

/* Unsent bytes above which the other side is not read. */
#define PUMP_HIGH 262144

struct side {
    struct side *other;
    struct stream *stream; /* NULL: ended */
};

struct pump {
    struct side a, b;
};

static void move(struct stream *s, void *arg)
{
    struct side *side = arg;
    size_t len;
    const void *data = stream_peek(s, &len);
    if (side->other->stream == NULL)
        return;
    stream_write(side->other->stream, data, len);
    stream_consume(s, len);
    if (stream_pending(side->other->stream) > PUMP_HIGH)
        stream_pause(s);
}

static void on_drained(struct stream *s, void *arg)
{
    struct side *side = arg;
    (void)s;
    if (side->other->stream != NULL)
        stream_resume(side->other->stream);
}

static void on_closed(struct stream *s, enum stream_end why, void *arg)
{
    struct side *side = arg;
    (void)why;
    move(s, side);
    stream_free(&side->stream);
    stream_finish(&side->other->stream);
}

struct pump *pump_new(struct stream **a, struct stream **b)
{
    static const struct stream_ops ops = {
        .input = move, .drained = on_drained, .closed = on_closed};
    struct pump *p = mem_zalloc(sizeof *p);
    p->a = (struct side){.other = &p->b, .stream = *a};
    p->b = (struct side){.other = &p->a, .stream = *b};
    *a = *b = NULL;
    stream_set_ops(p->a.stream, &ops, &p->a);
    stream_set_ops(p->b.stream, &ops, &p->b);
    move(p->a.stream, &p->a);
    move(p->b.stream, &p->b);
    return p;
}

void pump_free(struct pump **pump)
{
    if (*pump == NULL)
        return;
    stream_free(&(*pump)->a.stream);
    stream_free(&(*pump)->b.stream);
    free(*pump);
    *pump = NULL;
}

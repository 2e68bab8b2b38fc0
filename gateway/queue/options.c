#include "gateway/queue/options.h"

#include "gateway/ipc/msg.h"

void queue_options_put(struct msg *m, const struct queue_options *o)
{
    msg_put_u8(m, (uint8_t)o->flags);
    msg_put_u8(m, (uint8_t)o->ret);
    msg_put_u8(m, (uint8_t)o->priority);
    msg_put_u64(m, o->hold_until);
    msg_put_u64(m, o->deliver_by);
    msg_put_u64(m, o->decide_by);
    msg_put_str(m, o->envelope);
}

int queue_options_get(struct msg *m, struct queue_options *o)
{
    o->flags = msg_get_u8(m);
    o->ret = msg_get_u8(m);
    o->priority = msg_get_u8(m);
    o->hold_until = msg_get_u64(m);
    o->deliver_by = msg_get_u64(m);
    o->decide_by = msg_get_u64(m);
    o->envelope = msg_get_str(m);
    return !msg_ok(m) || o->flags > QUEUE_FLAGS || o->ret > QUEUE_RET_HDRS ||
                   o->priority > QUEUE_PRIORITY_MAX || o->hold_until > INT64_MAX ||
                   o->deliver_by > INT64_MAX || o->decide_by > INT64_MAX
               ? -1
               : 0;
}

/* dirigo queue: what waits in the spool, and what may be done with it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/ctl/command.h"
#include "gateway/ipc/channel.h"
#include "gateway/queue/protocol.h"

enum {
    QUEUE_WAIT_MS = 30000
};

struct queue_call {
    const struct command_context *ctx;
    struct ipc_sync *channel;
    struct buf out;
    size_t messages, held;
};

/* The answer to *m (taken over) where it is of this type; else NULL, after saying why. */
static struct msg *queue_ask(struct queue_call *c, struct msg **m, uint16_t type)
{
    char *error = NULL;
    struct msg *reply = ipc_sync_request(c->channel, m, QUEUE_WAIT_MS, &error);
    if (reply == NULL) {
        command_error("queue: %s", error);
        free(error);
    } else if (msg_type(reply) != type) {
        command_error("queue: unexpected answer");
        msg_free(&reply);
    }
    return reply;
}

/* Others' text for a terminal: what is not printable ASCII becomes '?'. */
static void put_clean(struct buf *out, const char *s)
{
    for (; *s != '\0'; s++)
        buf_append_byte(out, *s >= ' ' && *s < 0x7f ? (unsigned char)*s : '?');
}

static void put_time(struct buf *out, uint64_t wall)
{
    time_t t = (time_t)wall;
    struct tm tm;
    char text[32] = "?";
    if (localtime_r(&t, &tm) != NULL)
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    buf_append_str(out, text);
}

struct listed {
    const char *id, *sender, *hold;
    uint64_t size, arrived, next;
    uint32_t rcpts;
};

static void list_text(struct queue_call *c, const struct listed *l, struct msg *m)
{
    struct buf *out = &c->out;
    buf_printf(out, "%s  %8" PRIu64 "  ", l->id, l->size);
    put_time(out, l->arrived);
    buf_append_str(out, "  ");
    put_clean(out, *l->sender == '\0' ? "<>" : l->sender);
    buf_append_byte(out, '\n');
    for (uint32_t i = 0; i < l->rcpts && msg_ok(m); i++) {
        const char *address = msg_get_str(m);
        const char *status = msg_get_str(m);
        buf_append_str(out, "    ");
        put_clean(out, address == NULL ? "" : address);
        if (status != NULL) {
            buf_append_str(out, "\n        ");
            put_clean(out, status);
        }
        buf_append_byte(out, '\n');
    }
    if (l->hold != NULL) {
        buf_append_str(out, "    held: ");
        put_clean(out, l->hold);
    } else {
        buf_append_str(out, "    next try ");
        put_time(out, l->next > l->arrived ? l->next : l->arrived);
    }
    buf_append_byte(out, '\n');
}

static void list_json(struct queue_call *c, const struct listed *l, struct msg *m)
{
    struct buf *out = &c->out;
    buf_append_str(out, c->messages == 0 ? "{" : ",\n{");
    json_member(out, "id", l->id);
    buf_append_byte(out, ',');
    json_member(out, "sender", l->sender);
    if (l->hold != NULL) {
        buf_append_byte(out, ',');
        json_member(out, "held", l->hold);
    }
    buf_printf(
        out, ",\"size\":%" PRIu64 ",\"arrived\":%" PRIu64 ",\"next\":%" PRIu64 ",\"recipients\":[",
        l->size, l->arrived, l->next);
    for (uint32_t i = 0; i < l->rcpts && msg_ok(m); i++) {
        const char *address = msg_get_str(m);
        const char *status = msg_get_str(m);
        buf_append_str(out, i == 0 ? "{" : ",{");
        json_member(out, "address", address == NULL ? "" : address);
        if (status != NULL) {
            buf_append_byte(out, ',');
            json_member(out, "status", status);
        }
        buf_append_byte(out, '}');
    }
    buf_append_str(out, "]}");
}

/* One LIST_RESULT; 1 where more follow after *last, 0 at the end, -1 where it is malformed. */
static int list_page(struct queue_call *c, struct msg *m, char *last, size_t size)
{
    uint32_t n = msg_get_u32(m);
    for (uint32_t i = 0; i < n && msg_ok(m); i++) {
        struct listed l;
        l.id = msg_get_str(m);
        l.sender = msg_get_str(m);
        l.size = msg_get_u64(m);
        l.arrived = msg_get_u64(m);
        l.next = msg_get_u64(m);
        l.hold = msg_get_str(m);
        l.rcpts = msg_get_u32(m);
        if (!msg_ok(m) || l.id == NULL || l.sender == NULL)
            return -1;
        (c->ctx->json ? list_json : list_text)(c, &l, m);
        strlcpy(last, l.id, size);
        c->messages++;
        c->held += l.hold != NULL;
    }
    bool more = msg_get_bool(m);
    return msg_end(m) < 0 ? -1 : more && n > 0;
}

static int run_list(struct queue_call *c, const char *id, const char *why)
{
    char last[64] = "";
    int more = 1;
    (void)id;
    (void)why;
    if (c->ctx->json)
        buf_append_byte(&c->out, '[');
    while (more > 0) {
        struct msg *m = msg_new(QUEUE_MSG_LIST);
        msg_put_str(m, last);
        struct msg *reply = queue_ask(c, &m, QUEUE_MSG_LIST_RESULT);
        if (reply == NULL)
            return COMMAND_UNAVAILABLE;
        more = list_page(c, reply, last, sizeof(last));
        msg_free(&reply);
    }
    if (more < 0)
        return command_error("queue: malformed answer");
    if (c->ctx->json)
        buf_append_str(&c->out, "]\n");
    else
        buf_printf(&c->out, "%zu message%s waiting, %zu held\n", c->messages - c->held,
                   c->messages - c->held == 1 ? "" : "s", c->held);
    return command_print(&c->out);
}

/* id: "ALL" or NULL for all of them. */
static int queue_act(struct queue_call *c, const char *id, enum queue_action action,
                     const char *why)
{
    static const char *const done[] = {[QUEUE_ACTION_FLUSH] = "tried now",
                                       [QUEUE_ACTION_DELETE] = "deleted",
                                       [QUEUE_ACTION_HOLD] = "held",
                                       [QUEUE_ACTION_RELEASE] = "released",
                                       [QUEUE_ACTION_REJECT] = "returned"};
    if (id == NULL || strcmp(id, "ALL") == 0)
        id = "";
    struct msg *m = msg_new(QUEUE_MSG_ACTION);
    msg_put_str(m, id);
    msg_put_u8(m, (uint8_t)action);
    msg_put_str(m, why);
    struct msg *reply = queue_ask(c, &m, QUEUE_MSG_ACTION_RESULT);
    if (reply == NULL)
        return COMMAND_UNAVAILABLE;
    uint32_t n = msg_get_u32(reply);
    int end = msg_end(reply);
    msg_free(&reply);
    if (end < 0)
        return command_error("queue: malformed answer");
    if (c->ctx->json)
        buf_printf(&c->out, "{\"messages\":%u}\n", n);
    else
        buf_printf(&c->out, "%u message%s %s\n", n, n == 1 ? "" : "s", done[action]);
    int rc = command_print(&c->out);
    return n == 0 && *id != '\0' ? COMMAND_FAILED : rc;
}

static int run_flush(struct queue_call *c, const char *id, const char *why)
{
    return queue_act(c, id, QUEUE_ACTION_FLUSH, why);
}

static int run_delete(struct queue_call *c, const char *id, const char *why)
{
    return queue_act(c, id, QUEUE_ACTION_DELETE, why);
}

static int run_hold(struct queue_call *c, const char *id, const char *why)
{
    return queue_act(c, id, QUEUE_ACTION_HOLD, why);
}

static int run_release(struct queue_call *c, const char *id, const char *why)
{
    return queue_act(c, id, QUEUE_ACTION_RELEASE, why);
}

static int run_reject(struct queue_call *c, const char *id, const char *why)
{
    return queue_act(c, id, QUEUE_ACTION_REJECT, why);
}

static const struct action {
    const char *name;
    int min, max; /* arguments: the id, then why */
    int (*run)(struct queue_call *c, const char *id, const char *why);
} actions[] = {
    {"list", 0, 0, run_list},     {"flush", 0, 1, run_flush},     {"delete", 1, 1, run_delete},
    {"hold", 1, 2, run_hold},     {"release", 1, 1, run_release}, {"approve", 1, 1, run_release},
    {"reject", 1, 2, run_reject},
};

static int queue_with(const struct command_context *ctx, const struct action *a, const char *id,
                      const char *why)
{
    struct queue_call c = {.ctx = ctx};
    char *error = NULL, *path = command_socket(ctx, QUEUE_SERVICE ".sock");
    int rc = COMMAND_UNAVAILABLE;
    c.channel = ipc_sync_open(path, QUEUE_SERVICE, QUEUE_VERSION, QUEUE_WAIT_MS, &error);
    if (c.channel == NULL)
        command_error("queue: %s", error);
    else
        rc = a->run(&c, id, why);
    if (c.channel != NULL)
        ipc_sync_close(&c.channel);
    buf_free(&c.out);
    free(error);
    free(path);
    return rc;
}

static int run(const struct command_context *ctx, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "list";
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        const struct action *a = &actions[i];
        if (strcmp(a->name, name) != 0)
            continue;
        if (argc > a->max + 2 || argc < a->min + (argc > 1 ? 2 : 1))
            break;
        return queue_with(ctx, a, argc > 2 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL);
    }
    return command_usage(&command_queue);
}

const struct command command_queue = {
    .name = "queue",
    .args = "[list | flush [ID] | hold ID [WHY] | release ID | approve ID | reject ID [WHY] | "
            "delete ID]",
    .help = "show what waits to be delivered or is held; try, hold, release or delete it",
    .flags = COMMAND_NEEDS_CONF,
    .run = run,
};

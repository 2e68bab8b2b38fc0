/* dirigo status, reload, stop: what is asked of dirigod over control.sock. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/ctl/command.h"
#include "gateway/ipc/channel.h"
#include "gateway/master/protocol.h"

#define CONTROL_TIMEOUT 5000
/* A reload starts every session process anew and waits until they are ready. */
#define CONTROL_RELOAD_TIMEOUT 120000

/* Sends a request of that type and returns the answer; NULL after saying why. */
static struct msg *control_ask(const struct command_context *ctx, uint16_t type, uint16_t answer,
                               int64_t timeout)
{
    char *path = command_socket(ctx, "control.sock"), *error = NULL;
    struct msg *reply = NULL, *m = NULL;
    struct ipc_sync *s =
        ipc_sync_open(path, CONTROL_SERVICE, CONTROL_VERSION, CONTROL_TIMEOUT, &error);
    if (s != NULL) {
        m = msg_new(type);
        reply = ipc_sync_request(s, &m, timeout, &error);
    }
    if (reply == NULL)
        command_error("%s", error == NULL ? "no answer" : error);
    else if (msg_type(reply) != answer) {
        command_error("dirigod answered something else; is it of this version?");
        msg_free(&reply);
    }
    free(error);
    free(path);
    ipc_sync_close(&s);
    return reply;
}

/* ---- reload and stop ---- */

static int control_order(const struct command_context *ctx, uint16_t type, int64_t timeout)
{
    struct msg *m = control_ask(ctx, type, CONTROL_MSG_RESULT, timeout);
    if (m == NULL)
        return COMMAND_UNAVAILABLE;
    bool ok = msg_get_bool(m);
    const char *text = msg_get_str(m);
    int rc = msg_end(m) == 0 && ok ? COMMAND_OK : COMMAND_FAILED;
    struct buf out = {0};
    if (ctx->json) {
        buf_printf(&out, "{\"ok\":%s,", rc == COMMAND_OK ? "true" : "false");
        json_member(&out, "text", text == NULL ? "" : text);
        buf_append_str(&out, "}\n");
        command_print(&out);
    } else if (rc != COMMAND_OK) {
        command_error("dirigod refused:");
        fputs(text == NULL ? "" : text, stderr);
    }
    msg_free(&m);
    return rc;
}

static int reload_run(const struct command_context *ctx, int argc, char **argv)
{
    (void)argv;
    if (argc != 1)
        return command_usage(&command_reload);
    return control_order(ctx, CONTROL_MSG_RELOAD, CONTROL_RELOAD_TIMEOUT);
}

static int stop_run(const struct command_context *ctx, int argc, char **argv)
{
    (void)argv;
    if (argc != 1)
        return command_usage(&command_stop);
    return control_order(ctx, CONTROL_MSG_STOP, CONTROL_TIMEOUT);
}

/* ---- status ---- */

static const char *status_text(const char *text)
{
    return text == NULL ? "" : text;
}

static void status_head(const struct command_context *ctx, struct msg *m, struct buf *out)
{
    const char *version = status_text(msg_get_str(m)), *state = status_text(msg_get_str(m));
    uint32_t pid = msg_get_u32(m);
    uint64_t up = msg_get_u64(m);
    uint32_t generation = msg_get_u32(m);
    const char *file = status_text(msg_get_str(m));
    if (!ctx->json) {
        buf_printf(out,
                   "dirigod %s is %s: process %u, up %" PRIu64 " s, configuration %u from %s\n",
                   version, state, pid, up, generation, file);
        buf_printf(out, "%-18s %3s %3s %8s %-9s %8s %8s %8s  %s\n", "process", "no", "gen", "pid",
                   "state", "for s", "restarts", "sessions", "counters");
        return;
    }
    buf_append_byte(out, '{');
    json_member(out, "version", version);
    buf_append_byte(out, ',');
    json_member(out, "state", state);
    buf_printf(out, ",\"pid\":%u,\"up\":%" PRIu64 ",\"generation\":%u,", pid, up, generation);
    json_member(out, "config", file);
    buf_append_str(out, ",\"processes\":[");
}

static void status_process(const struct command_context *ctx, struct msg *m, bool first,
                           struct buf *out)
{
    const char *name = status_text(msg_get_str(m));
    uint32_t index = msg_get_u32(m), generation = msg_get_u32(m), pid = msg_get_u32(m);
    const char *state = status_text(msg_get_str(m));
    uint64_t seconds = msg_get_u64(m);
    uint32_t restarts = msg_get_u32(m), sessions = msg_get_u32(m);
    const char *counters = status_text(msg_get_str(m));
    if (!ctx->json) {
        buf_printf(out, "%-18s %3u %3u %8u %-9s %8" PRIu64 " %8u %8u  %s\n", name, index,
                   generation, pid, state, seconds, restarts, sessions, counters);
        return;
    }
    buf_append_str(out, first ? "\n {" : ",\n {");
    json_member(out, "name", name);
    buf_printf(out, ",\"index\":%u,\"generation\":%u,\"pid\":%u,", index, generation, pid);
    json_member(out, "state", state);
    buf_printf(out, ",\"seconds\":%" PRIu64 ",\"restarts\":%u,\"sessions\":%u,", seconds, restarts,
               sessions);
    json_member(out, "counters", counters);
    buf_append_byte(out, '}');
}

static int status_run(const struct command_context *ctx, int argc, char **argv)
{
    (void)argv;
    if (argc != 1)
        return command_usage(&command_status);
    struct msg *m =
        control_ask(ctx, CONTROL_MSG_STATUS, CONTROL_MSG_STATUS_RESULT, CONTROL_TIMEOUT);
    if (m == NULL)
        return COMMAND_UNAVAILABLE;
    struct buf out = {0};
    status_head(ctx, m, &out);
    uint32_t n = msg_get_u32(m);
    for (uint32_t i = 0; i < n && msg_ok(m); i++)
        status_process(ctx, m, i == 0, &out);
    if (ctx->json)
        buf_append_str(&out, "\n]}\n");
    int rc = msg_end(m) == 0 ? COMMAND_OK : command_error("dirigod's answer is malformed");
    msg_free(&m);
    if (rc == COMMAND_OK)
        return command_print(&out);
    buf_free(&out);
    return rc;
}

const struct command command_status = {
    .name = "status",
    .args = "",
    .help = "Show dirigod's processes with their states, restarts and open sessions.",
    .flags = COMMAND_NEEDS_CONF,
    .run = status_run,
};

const struct command command_reload = {
    .name = "reload",
    .args = "",
    .help = "Put the changed configuration and certificates into force, and wait until they are; "
            "sessions go on.",
    .flags = COMMAND_NEEDS_CONF,
    .run = reload_run,
};

const struct command command_stop = {
    .name = "stop",
    .args = "",
    .help = "Tell dirigod to stop; sessions may go on for shutdown_timeout.",
    .flags = COMMAND_NEEDS_CONF,
    .run = stop_run,
};

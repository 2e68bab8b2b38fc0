/* dirigo lookup: where mail for an address goes, and which entries lead there. */
#include <inttypes.h>

#include "directory/resolve.h"
#include "gateway/base/mem.h"
#include "gateway/ctl/answer.h"
#include "gateway/ctl/command.h"

static void print_text(struct buf *out, const char *address, const struct resolution *res,
                       const struct directory_state *state)
{
    put_text(out, address);
    buf_printf(out, ": %s", answer_name(res->answer));
    if (res->answer != ANSWER_FOUND) {
        buf_append_str(out, ": ");
        put_text(out, res->reason != NULL ? res->reason : "");
    }
    if (res->answer != ANSWER_FOUND && res->dn != NULL) {
        buf_append_str(out, " (");
        put_text(out, res->dn);
        buf_append_byte(out, ')');
    }
    buf_append_byte(out, '\n');
    put_steps(out, res);
    put_deliveries(out, res);
    put_away(out, state);
}

static void print_json(struct buf *out, const char *address, const struct resolution *res,
                       const struct directory_state *state)
{
    buf_append_byte(out, '{');
    json_member(out, "address", address);
    json_optional(out, "answer", answer_name(res->answer));
    if (res->answer != ANSWER_FOUND) {
        json_optional(out, "reason", res->reason);
        json_optional(out, "dn", res->dn);
    }
    buf_printf(out, ",\"local_domain\":%s,\"disabled\":%s,\"in_sync\":%s,\"last_sync\":%" PRId64,
               res->local_domain ? "true" : "false", res->disabled ? "true" : "false",
               state->in_sync ? "true" : "false", state->last_sync);
    json_deliveries(out, res);
    json_steps(out, res);
    buf_append_str(out, "}\n");
}

static int lookup(const struct command_context *ctx, struct directory *d, const char *address)
{
    struct arena *arena = arena_new((size_t)64 << 20);
    struct resolution res = {.answer = ANSWER_UNKNOWN, .reason = "the replica cannot be read"};
    struct directory_state state;
    struct buf out = {0};
    struct snapshot *snap = snapshot_take(d);
    if (snap != NULL)
        resolve_address(snap, address, true, arena, &res);
    directory_state(d, &state);
    (ctx->json ? print_json : print_text)(&out, address, &res, &state);
    snapshot_release(&snap);
    arena_free(&arena);
    int rc = command_print(&out);
    return rc == COMMAND_OK && res.answer != ANSWER_FOUND ? COMMAND_FAILED : rc;
}

static int run(const struct command_context *ctx, int argc, char **argv)
{
    if (argc != 2)
        return command_usage(&command_lookup);
    struct directory *d = answer_open(ctx);
    if (d == NULL)
        return COMMAND_UNAVAILABLE;
    int rc = lookup(ctx, d, argv[1]);
    directory_close(&d);
    return rc;
}

const struct command command_lookup = {
    .name = "lookup",
    .args = "address",
    .help = "show where mail for an address goes, and the entries that lead there",
    .flags = COMMAND_NEEDS_CONF,
    .args_min = 1,
    .run = run,
};

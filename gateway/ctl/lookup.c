/* dirigo lookup: where mail for an address goes, and which entries lead there. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "directory/resolve.h"
#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/ctl/command.h"

static const char *const answers[] = {
    [ANSWER_FOUND] = "found", [ANSWER_ABSENT] = "absent", [ANSWER_UNKNOWN] = "unknown"};

static const char *const kinds[] = {
    [DELIVERY_MAILBOX] = "mailbox", [DELIVERY_HOST] = "host", [DELIVERY_REMOTE] = "remote"};

/* Text from the directory for a terminal: control characters as \xNN. */
static void put_text(struct buf *out, const char *text)
{
    for (const char *s = text; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < ' ' || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_append_byte(out, c);
    }
}

static void print_step(struct buf *out, const struct resolve_step *step)
{
    buf_printf(out, "%*s", 2 + 2 * (int)step->depth, "");
    put_text(out, step->address != NULL ? step->address : "");
    buf_printf(out, "%s%s", step->address != NULL && *step->address != '\0' ? ": " : "",
               step->what);
    if (step->dn != NULL) {
        buf_append_str(out, "  ");
        put_text(out, step->dn);
    }
    buf_append_byte(out, '\n');
}

static void print_delivery(struct buf *out, const struct delivery *d)
{
    char uuid[UUID_STRLEN];
    buf_printf(out, "  -> %s ", kinds[d->kind]);
    put_text(out, d->address);
    if (d->kind == DELIVERY_HOST) {
        buf_append_str(out, " at ");
        put_text(out, d->host);
    }
    if (d->detail != NULL) {
        buf_append_str(out, " detail ");
        put_text(out, d->detail);
    }
    if (d->kind != DELIVERY_REMOTE)
        buf_printf(out, "  (mailbox %s)", uuid_str(&d->owner, uuid));
    buf_append_byte(out, '\n');
}

static void print_text(struct buf *out, const char *address, const struct resolution *res,
                       const struct directory_state *state)
{
    put_text(out, address);
    buf_printf(out, ": %s", answers[res->answer]);
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
    for (size_t i = 0; i < res->step_count; i++)
        print_step(out, &res->steps[i]);
    for (size_t i = 0; i < res->count; i++)
        print_delivery(out, &res->deliveries[i]);
    if (state->in_sync)
        return;
    if (state->last_sync == 0)
        buf_append_str(out, "The directory has not been reached yet.\n");
    else
        buf_printf(out, "The directory is away; it was last in sync %" PRId64 " s ago.\n",
                   clock_wall() - state->last_sync);
}

/* ,"name":"text" where there is a text. */
static void json_optional(struct buf *out, const char *name, const char *text)
{
    if (text == NULL)
        return;
    buf_append_byte(out, ',');
    json_member(out, name, text);
}

static void json_deliveries(struct buf *out, const struct resolution *res)
{
    char uuid[UUID_STRLEN];
    buf_append_str(out, ",\"deliveries\":[");
    for (size_t i = 0; i < res->count; i++) {
        const struct delivery *d = &res->deliveries[i];
        buf_append_str(out, i > 0 ? ",{" : "{");
        json_member(out, "kind", kinds[d->kind]);
        json_optional(out, "address", d->address);
        json_optional(out, "detail", d->detail);
        json_optional(out, "host", d->host);
        json_optional(out, "dn", d->dn);
        if (!uuid_is_zero(&d->owner))
            json_optional(out, "uuid", uuid_str(&d->owner, uuid));
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ']');
}

static void json_steps(struct buf *out, const struct resolution *res)
{
    buf_append_str(out, ",\"steps\":[");
    for (size_t i = 0; i < res->step_count; i++) {
        const struct resolve_step *step = &res->steps[i];
        buf_printf(out, "%s{\"depth\":%u", i > 0 ? "," : "", step->depth);
        json_optional(out, "what", step->what);
        json_optional(out, "address", step->address);
        json_optional(out, "dn", step->dn);
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ']');
}

static void print_json(struct buf *out, const char *address, const struct resolution *res,
                       const struct directory_state *state)
{
    buf_append_byte(out, '{');
    json_member(out, "address", address);
    json_optional(out, "answer", answers[res->answer]);
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
    char *error = NULL;
    if (argc != 2)
        return command_usage(&command_lookup);
    struct directory *d = directory_open(ctx->conf, &error);
    if (d == NULL) {
        command_error("the replica cannot be opened: %s; is dirigod running, and may you read "
                      "state_directory?",
                      error);
        free(error);
        return COMMAND_UNAVAILABLE;
    }
    int rc = lookup(ctx, d, argv[1]);
    directory_close(&d);
    return rc;
}

const struct command command_lookup = {
    .name = "lookup",
    .args = "address",
    .help = "show where mail for an address goes, and the entries that lead there",
    .flags = COMMAND_NEEDS_CONF,
    .run = run,
};

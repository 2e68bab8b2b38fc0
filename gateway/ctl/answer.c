#include "gateway/ctl/answer.h"

#include <inttypes.h>
#include <stdlib.h>

#include "gateway/base/clock.h"

static const char *const answers[] = {
    [ANSWER_FOUND] = "found", [ANSWER_ABSENT] = "absent", [ANSWER_UNKNOWN] = "unknown"};

const char *answer_name(enum answer answer)
{
    return answers[answer];
}

static const char *const kinds[] = {[DELIVERY_MAILBOX] = "mailbox",
                                    [DELIVERY_HOST] = "host",
                                    [DELIVERY_REMOTE] = "remote",
                                    [DELIVERY_LIST] = "list"};

void put_text(struct buf *out, const char *text)
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
        if (step->directory != NULL)
            buf_printf(out, " [%s]", step->directory);
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
        buf_printf(out, "  (%s %s)", d->kind == DELIVERY_LIST ? "members of" : "mailbox",
                   uuid_str(&d->owner, uuid));
    buf_append_byte(out, '\n');
}

void put_steps(struct buf *out, const struct resolution *res)
{
    for (size_t i = 0; i < res->step_count; i++)
        print_step(out, &res->steps[i]);
}

void put_deliveries(struct buf *out, const struct resolution *res)
{
    for (size_t i = 0; i < res->count; i++)
        print_delivery(out, &res->deliveries[i]);
}

void put_away(struct buf *out, const struct directory_state *state)
{
    if (state->in_sync)
        return;
    if (state->last_sync == 0)
        buf_append_str(out, "The directory has not been reached yet.\n");
    else
        buf_printf(out, "The directory is away; it was last in sync %" PRId64 " s ago.\n",
                   clock_wall() - state->last_sync);
}

void json_optional(struct buf *out, const char *name, const char *text)
{
    if (text == NULL)
        return;
    buf_append_byte(out, ',');
    json_member(out, name, text);
}

void json_deliveries(struct buf *out, const struct resolution *res)
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

void json_steps(struct buf *out, const struct resolution *res)
{
    buf_append_str(out, ",\"steps\":[");
    for (size_t i = 0; i < res->step_count; i++) {
        const struct resolve_step *step = &res->steps[i];
        buf_printf(out, "%s{\"depth\":%u", i > 0 ? "," : "", step->depth);
        json_optional(out, "what", step->what);
        json_optional(out, "address", step->address);
        json_optional(out, "dn", step->dn);
        json_optional(out, "directory", step->directory);
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ']');
}

struct directory *answer_open(const struct command_context *ctx)
{
    char *error = NULL;
    struct directory *d = directory_open(ctx->conf, &error);
    if (d == NULL)
        command_error("the replica cannot be opened: %s; is dirigod running, and may you read "
                      "state_directory?",
                      error);
    free(error);
    return d;
}

/* dirigo explain: what an SMTP session would hear, and every entry and restriction behind it. */
#include "gateway/ctl/explain.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/ctl/answer.h"
#include "gateway/ctl/command.h"

static const char *const verdicts[] = {
    [VERDICT_DUNNO] = "goes on",
    [VERDICT_PERMIT] = "permit",
    [VERDICT_REJECT] = "reject",
    [VERDICT_DEFER] = "defer",
    [VERDICT_WAIT] = "waits",
    [VERDICT_NEST] = "restrictions",
    [VERDICT_DEFER_IF_PERMIT] = "defer if permitted",
    [VERDICT_DEFER_IF_REJECT] = "defer if rejected",
};

/* ---- text ---- */

static void put_line(struct buf *out, const char *label, const char *text)
{
    if (text == NULL)
        return;
    buf_printf(out, "%s: ", label);
    put_text(out, text);
    buf_append_byte(out, '\n');
}

static void put_trace(struct buf *out, const struct explain_answer *a)
{
    if (a->trace_count > 0)
        buf_append_str(out, "restrictions:\n");
    for (size_t i = 0; i < a->trace_count; i++) {
        const struct restriction_trace *t = &a->trace[i], *before = i > 0 ? t - 1 : NULL;
        if (before == NULL || before->stage != t->stage) {
            buf_printf(out, "  %s (", restriction_stage_name(t->stage));
            put_text(out, t->dn != NULL ? t->dn : "dirigo.conf");
            buf_append_str(out, ")\n");
        }
        buf_printf(out, "    %s", t->restriction);
        if (t->arg != NULL) {
            buf_append_byte(out, ' ');
            put_text(out, t->arg);
        }
        buf_printf(out, ": %s%s\n", verdicts[t->verdict], t->warned ? ", but only warns" : "");
    }
}

static void put_entries(struct buf *out, const struct explain_answer *a)
{
    if (a->entry_count > 0)
        buf_append_str(out, "entries:\n");
    for (size_t i = 0; i < a->entry_count; i++) {
        const struct explain_entry *e = &a->entries[i];
        buf_append_str(out, "  ");
        put_text(out, e->dn);
        buf_append_str(out, "  (by ");
        put_text(out, e->by);
        buf_append_str(out, ")\n");
        for (size_t j = 0; j < e->attr_count; j++) {
            buf_printf(out, "    %s: ", e->attrs[j].name);
            put_text(out, e->attrs[j].value);
            buf_append_byte(out, '\n');
        }
    }
}

static void print_text(struct buf *out, const struct explain_answer *a)
{
    buf_printf(out, "verdict: %u %s ", a->code, a->status);
    put_text(out, a->text);
    buf_append_byte(out, '\n');
    if (!a->accepted) {
        put_line(out, "stage", a->stage);
        put_line(out, "restriction", a->restriction);
        put_line(out, "decided by", a->dn != NULL ? a->dn : "dirigo.conf");
        put_line(out, "reason", a->reason);
    }
    put_trace(out, a);
    if (a->resolved) {
        buf_printf(out, "recipient: %s\n", answer_name(a->recipient.answer));
        put_steps(out, &a->recipient);
        put_deliveries(out, &a->recipient);
    }
    put_entries(out, a);
    if (a->state.in_sync)
        buf_append_str(out, "age: the replica is in sync\n");
    else
        put_away(out, &a->state);
}

/* ---- JSON ---- */

static void json_trace(struct buf *out, const struct explain_answer *a)
{
    buf_append_str(out, ",\"restrictions\":[");
    for (size_t i = 0; i < a->trace_count; i++) {
        const struct restriction_trace *t = &a->trace[i];
        buf_append_str(out, i > 0 ? ",{" : "{");
        json_member(out, "list", restriction_stage_name(t->stage));
        json_optional(out, "restriction", t->restriction);
        json_optional(out, "argument", t->arg);
        json_optional(out, "policy", t->dn);
        json_optional(out, "verdict", verdicts[t->verdict]);
        buf_printf(out, ",\"warned\":%s}", t->warned ? "true" : "false");
    }
    buf_append_byte(out, ']');
}

static void json_entries(struct buf *out, const struct explain_answer *a)
{
    buf_append_str(out, ",\"entries\":[");
    for (size_t i = 0; i < a->entry_count; i++) {
        const struct explain_entry *e = &a->entries[i];
        buf_append_str(out, i > 0 ? ",{" : "{");
        json_member(out, "dn", e->dn);
        json_optional(out, "by", e->by);
        buf_append_str(out, ",\"attributes\":[");
        for (size_t j = 0; j < e->attr_count; j++) {
            buf_append_str(out, j > 0 ? ",[" : "[");
            json_string(out, e->attrs[j].name);
            buf_append_byte(out, ',');
            json_string(out, e->attrs[j].value);
            buf_append_byte(out, ']');
        }
        buf_append_str(out, "]}");
    }
    buf_append_byte(out, ']');
}

static void print_json(struct buf *out, const struct explain_answer *a)
{
    buf_printf(out, "{\"accepted\":%s,\"code\":%u,", a->accepted ? "true" : "false", a->code);
    json_member(out, "status", a->status);
    json_optional(out, "text", a->text);
    json_optional(out, "stage", a->stage);
    json_optional(out, "restriction", a->restriction);
    json_optional(out, "dn", a->dn);
    json_optional(out, "reason", a->reason);
    json_trace(out, a);
    if (a->resolved) {
        json_optional(out, "recipient", answer_name(a->recipient.answer));
        json_deliveries(out, &a->recipient);
        json_steps(out, &a->recipient);
    }
    json_entries(out, a);
    buf_printf(out, ",\"in_sync\":%s,\"last_sync\":%" PRId64 "}\n",
               a->state.in_sync ? "true" : "false", a->state.last_sync);
}

/* ---- the command ---- */

static int ask(const struct command_context *ctx, struct evaluator *by, struct loop *loop,
               const struct explain_question *q)
{
    struct explain_answer a;
    struct buf out = {0};
    char *error = NULL;

    if (explain_ask(by, loop, q, &a, &error) != 0) {
        command_error("%s", error);
        free(error);
        return COMMAND_USAGE;
    }
    (ctx->json ? print_json : print_text)(&out, &a);
    bool accepted = a.accepted;
    explain_answer_free(&a);
    int rc = command_print(&out);
    return rc == COMMAND_OK && !accepted ? COMMAND_FAILED : rc;
}

static int explain(const struct command_context *ctx, const struct explain_question *q)
{
    struct evaluator by;
    char *error = NULL;

    if (evaluator_init(&by, ctx->conf, &error) != 0) {
        command_error("%s", error);
        free(error);
        return COMMAND_FAILED;
    }
    int rc = COMMAND_UNAVAILABLE;
    by.directory = answer_open(ctx);
    if (by.directory != NULL) {
        struct loop *loop = loop_new();
        char *path = command_socket(ctx, "resolver.sock");
        by.dns = dns_client_new(loop, path, ctx->conf->resolver_timeout);
        rc = ask(ctx, &by, loop, q);
        dns_client_free(&by.dns);
        loop_free(&loop);
        free(path);
        directory_close(&by.directory);
    }
    evaluator_release(&by);
    return rc;
}

static int run(const struct command_context *ctx, int argc, char **argv)
{
    static const struct option options[] = {
        {"client", required_argument, NULL, 'c'}, {"helo", required_argument, NULL, 'h'},
        {"from", required_argument, NULL, 'f'},   {"to", required_argument, NULL, 't'},
        {"login", required_argument, NULL, 'l'},  {"tls", no_argument, NULL, 's'},
        {"submission", no_argument, NULL, 'u'},   {NULL, 0, NULL, 0},
    };
    struct explain_question q = {.from = ""};
    const char *client = NULL;
    int option;

    optind = 0;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            client = optarg;
            break;
        case 'h':
            q.helo = optarg;
            break;
        case 'f':
            q.from = strcmp(optarg, "<>") == 0 ? "" : optarg;
            break;
        case 't':
            q.to = optarg;
            break;
        case 'l':
            q.login = optarg;
            break;
        case 's':
            q.tls = true;
            break;
        case 'u':
            q.submission = true;
            break;
        default:
            return command_usage(&command_explain);
        }
    }
    if (optind != argc || client == NULL || q.to == NULL || *q.to == '\0')
        return command_usage(&command_explain);
    if (netaddr_parse(&q.client, client) != 0) {
        command_error("%s is no IP address", client);
        return COMMAND_USAGE;
    }
    return explain(ctx, &q);
}

const struct command command_explain = {
    .name = "explain",
    .args = "--client address [--helo name] [--from address] --to address [--login name] [--tls] "
            "[--submission]",
    .help = "show what an SMTP session would hear, and every restriction and entry behind it",
    .flags = COMMAND_NEEDS_CONF,
    .args_min = 1,
    .run = run,
};

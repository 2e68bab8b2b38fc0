/* dirigo what-if: which lookups and verdicts change when LDIF is applied, on a copy. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "directory/scratch.h"
#include "gateway/base/mem.h"
#include "gateway/ctl/answer.h"
#include "gateway/ctl/command.h"
#include "gateway/ctl/explain.h"
#include "gateway/ctl/ldif_file.h"
#include "gateway/ctl/log_addresses.h"

struct asked {
    const struct command_context *ctx;
    struct evaluator by;
    struct loop *loop;
    struct explain_question q;
    struct scratch *scratch;
    const char *file;
    size_t faults, changed;
};

static void on_fault(void *arg, size_t line, const char *dn, const char *text)
{
    struct asked *w = arg;
    struct buf out = {0};
    buf_printf(&out, "%s:%zu: ", w->file, line);
    if (dn != NULL) {
        put_text(&out, dn);
        buf_append_str(&out, ": ");
    }
    put_text(&out, text);
    command_error("%s", buf_str(&out));
    buf_free(&out);
    w->faults++;
}

/* What an address answers, as text that can be compared: the verdict, then where mail goes. */
static int describe(struct asked *w, struct directory *d, const char *to, struct buf *out)
{
    struct explain_answer a;
    char *error = NULL;
    w->by.directory = d;
    w->q.to = to;
    int rc = explain_ask(&w->by, w->loop, &w->q, &a, &error);
    w->by.directory = NULL;
    if (rc != 0) {
        command_error("%s", error);
        free(error);
        return -1;
    }
    buf_printf(out, "  %u %s ", a.code, a.status);
    put_text(out, a.text);
    if (!a.accepted) {
        buf_printf(out, " (%s, ", a.restriction);
        put_text(out, a.dn != NULL ? a.dn : "dirigo.conf");
        buf_append_byte(out, ')');
    }
    buf_append_byte(out, '\n');
    if (a.resolved) {
        buf_printf(out, "  %s\n", answer_name(a.recipient.answer));
        put_deliveries(out, &a.recipient);
    }
    explain_answer_free(&a);
    return 0;
}

static void put_change(struct asked *w, struct buf *out, const char *to, struct buf *before,
                       struct buf *after)
{
    bool same = strcmp(buf_str(before), buf_str(after)) == 0;
    w->changed += !same;
    if (w->ctx->json) {
        buf_append_str(out, out->len > 1 ? ",{" : "{");
        json_member(out, "address", to);
        buf_printf(out, ",\"changed\":%s", same ? "false" : "true");
        json_optional(out, "before", buf_str(before));
        json_optional(out, "after", buf_str(after));
        buf_append_byte(out, '}');
        return;
    }
    put_text(out, to);
    buf_printf(out, ": %s\n", same ? "unchanged" : "changes");
    if (!same)
        buf_printf(out, " before\n%s after\n%s", buf_str(before), buf_str(after));
}

/* All addresses before the change and then all after it, for there is one copy. */
static int compare(struct asked *w, char **addresses, size_t n)
{
    struct buf *texts = mem_zalloc(2 * n * sizeof *texts), out = {0};
    char *error = NULL;
    int rc = COMMAND_OK;
    for (size_t side = 0; side < 2 && rc == COMMAND_OK; side++) {
        if (side == 1 && ldif_file_apply(w->file, w->scratch, on_fault, w) != 0)
            rc = COMMAND_FAILED;
        struct directory *d = rc == COMMAND_OK ? scratch_directory(w->scratch, &error) : NULL;
        for (size_t i = 0; d != NULL && i < n && rc == COMMAND_OK; i++)
            if (describe(w, d, addresses[i], &texts[side * n + i]) != 0)
                rc = COMMAND_USAGE;
        if (error != NULL)
            rc = command_error("%s", error);
    }
    if (rc == COMMAND_OK && w->ctx->json)
        buf_append_byte(&out, '[');
    for (size_t i = 0; i < n && rc == COMMAND_OK; i++)
        put_change(w, &out, addresses[i], &texts[i], &texts[n + i]);
    if (rc == COMMAND_OK && w->ctx->json)
        buf_append_str(&out, "]\n");
    for (size_t i = 0; i < 2 * n; i++)
        buf_free(&texts[i]);
    free(texts);
    free(error);
    if (rc == COMMAND_OK)
        rc = command_print(&out);
    buf_free(&out);
    return rc;
}

/* The tree that the change is applied to: the replica, or a whole file. */
static int fill(struct asked *w, const char *base)
{
    struct directory_state state;
    if (base != NULL) {
        const char *file = w->file;
        w->file = base;
        int rc = ldif_file_apply(base, w->scratch, on_fault, w);
        w->file = file;
        return rc == 0 ? COMMAND_OK : COMMAND_FAILED;
    }
    struct directory *live = answer_open(w->ctx);
    if (live == NULL)
        return COMMAND_UNAVAILABLE;
    directory_state(live, &state);
    int rc = COMMAND_OK;
    if (!state.in_sync || scratch_copy(w->scratch, live) != 0) {
        command_error("the replica is not in sync or cannot be copied");
        rc = COMMAND_UNAVAILABLE;
    }
    directory_close(&live);
    return rc;
}

static int what_if(struct asked *w, const char *base, char **addresses, size_t n)
{
    char *error = NULL;
    if (evaluator_init(&w->by, w->ctx->conf, &error) != 0) {
        command_error("%s", error);
        free(error);
        return COMMAND_FAILED;
    }
    w->scratch = scratch_new(w->ctx->conf, &error);
    if (w->scratch == NULL)
        command_error("%s", error);
    free(error);
    int rc = w->scratch == NULL ? COMMAND_FAILED : fill(w, base);
    if (rc == COMMAND_OK) {
        char *path = command_socket(w->ctx, "resolver.sock");
        w->loop = loop_new();
        w->by.dns = dns_client_new(w->loop, path, w->ctx->conf->resolver_timeout);
        rc = compare(w, addresses, n);
        dns_client_free(&w->by.dns);
        loop_free(&w->loop);
        free(path);
    }
    scratch_free(&w->scratch);
    evaluator_release(&w->by);
    return rc == COMMAND_OK && w->changed + w->faults > 0 ? COMMAND_FAILED : rc;
}

static int run(const struct command_context *ctx, int argc, char **argv)
{
    static const struct option options[] = {
        {"base", required_argument, NULL, 'b'}, {"client", required_argument, NULL, 'c'},
        {"from", required_argument, NULL, 'f'}, {"log", required_argument, NULL, 'l'},
        {"to", required_argument, NULL, 't'},   {NULL, 0, NULL, 0},
    };
    struct asked w = {.ctx = ctx, .q = {.from = ""}};
    /* An address of the documentation's: no network trusts it. */
    const char *base = NULL, *client = "192.0.2.1", *log = NULL;
    char **addresses = mem_zalloc((size_t)argc * sizeof *addresses);
    size_t n = 0;
    int option, rc = COMMAND_USAGE;
    optind = 0;
    while ((option = getopt_long(argc, argv, "-", options, NULL)) != -1) {
        if (option == 'b')
            base = optarg;
        else if (option == 'c')
            client = optarg;
        else if (option == 'f')
            w.q.from = strcmp(optarg, "<>") == 0 ? "" : optarg;
        else if (option == 'l')
            log = optarg;
        else if (option == 't' || (option == 1 && w.file != NULL))
            addresses[n++] = optarg;
        else if (option == 1)
            w.file = optarg;
        else
            goto usage;
    }
    if (w.file == NULL || (n == 0) == (log == NULL) || netaddr_parse(&w.q.client, client) != 0)
        goto usage;
    if (log != NULL) {
        struct log_addresses list = {0};
        rc = log_addresses_read(&list, log) != 0 ? COMMAND_FAILED
                                                 : what_if(&w, base, list.all, list.count);
        log_addresses_free(&list);
    } else {
        rc = what_if(&w, base, addresses, n);
    }
    free(addresses);
    return rc;
usage:
    free(addresses);
    return command_usage(&command_what_if);
}

const struct command command_what_if = {
    .name = "what-if",
    .args = "file.ldif --to address ... | --log file [--from address] [--client address] "
            "[--base tree.ldif]",
    .help = "show which lookups and verdicts change when LDIF is applied, on a copy",
    .flags = COMMAND_NEEDS_CONF,
    .args_min = 1,
    .run = run,
};

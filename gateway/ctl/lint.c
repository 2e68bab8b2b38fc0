/* dirigo lint: what is wrong with an LDIF file or with the directory, before mail finds out. */
#include "directory/lint.h"
#include "directory/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/ctl/answer.h"
#include "gateway/ctl/command.h"
#include "gateway/ctl/ldif_file.h"
#include "gateway/smtp/restriction.h"

struct linting {
    const struct conf *conf;
    bool json;
    const char *file; /* NULL: the replica */
    struct scratch *scratch;
    struct buf out;
    size_t errors, warnings;
};

/* Text goes out as it comes, for there may be as many findings as entries. */
static void flush(struct linting *l)
{
    fwrite(buf_str(&l->out), 1, l->out.len, stdout);
    buf_clear(&l->out);
}

static void put_json(struct linting *l, size_t line, const struct lint_finding *f)
{
    buf_append_str(&l->out, l->errors + l->warnings > 0 ? ",{" : "{");
    json_member(&l->out, "severity", f->error ? "error" : "warning");
    json_optional(&l->out, "code", f->code);
    json_optional(&l->out, "dn", f->dn);
    json_optional(&l->out, "value", f->value);
    json_optional(&l->out, "text", f->text);
    if (line > 0)
        buf_printf(&l->out, ",\"line\":%zu", line);
    buf_append_byte(&l->out, '}');
}

static void found(struct linting *l, size_t line, const struct lint_finding *f)
{
    if (l->json) {
        put_json(l, line, f);
    } else {
        if (l->file != NULL)
            buf_printf(&l->out, "%s:", l->file);
        if (line > 0)
            buf_printf(&l->out, "%zu:", line);
        buf_printf(&l->out, "%s%s: ", l->file != NULL || line > 0 ? " " : "",
                   f->error ? "error" : "warning");
        if (f->dn != NULL) {
            put_text(&l->out, f->dn);
            buf_append_str(&l->out, ": ");
        }
        put_text(&l->out, f->text);
        buf_printf(&l->out, " [%s]\n", f->code);
    }
    *(f->error ? &l->errors : &l->warnings) += 1;
    flush(l);
}

static void on_fault(void *arg, size_t line, const char *dn, const char *text)
{
    const struct lint_finding f = {.error = true, .code = "bad-record", .dn = dn, .text = text};
    found(arg, line, &f);
}

static void on_finding(void *arg, const struct lint_finding *f)
{
    struct linting *l = arg;
    found(l, l->scratch != NULL ? scratch_line(l->scratch, f->dn, f->value) : 0, f);
}

static bool exists(void *arg, const char *dn)
{
    const struct linting *l = arg;
    return scratch_has(l->scratch, dn);
}

static const char *value(void *arg, const char *dn, const char *attr, size_t i)
{
    const struct linting *l = arg;
    return scratch_value(l->scratch, dn, attr, i);
}

/* What is wrong with the classes that a list names. */
static char *check_classes(const struct linting *l, struct snapshot *snap,
                           const struct restriction_list *list)
{
    const char *name;
    struct access out;
    bool directory;
    for (size_t i = 0; (name = restriction_list_class(list, &i, &directory)) != NULL;) {
        if (!directory && conf_class(l->conf, name) != NULL)
            continue;
        enum answer answer = access_class(snap, name, &out);
        if (answer == ANSWER_ABSENT)
            return mem_printf("unknown restriction or class \"%.64s\"", name);
        if (answer == ANSWER_UNKNOWN)
            return mem_printf("two entries claim the class \"%.64s\"", name);
    }
    return NULL;
}

static char *check_list(void *arg, struct snapshot *snap, enum entry_attr attr, const char *text)
{
    static const struct {
        enum entry_attr attr;
        enum restriction_stage stage;
    } stages[] = {
        {ATTR_CLIENT_RESTRICTIONS, STAGE_CLIENT},
        {ATTR_HELO_RESTRICTIONS, STAGE_HELO},
        {ATTR_SENDER_RESTRICTIONS, STAGE_SENDER},
        {ATTR_RELAY_RESTRICTIONS, STAGE_RELAY},
        {ATTR_RECIPIENT_RESTRICTIONS, STAGE_RECIPIENT},
        {ATTR_DATA_RESTRICTIONS, STAGE_DATA},
        {ATTR_END_OF_DATA_RESTRICTIONS, STAGE_END_OF_DATA},
        {ATTR_ETRN_RESTRICTIONS, STAGE_ETRN},
        {ATTR_RESTRICTIONS, STAGE_RECIPIENT},
    };
    char *error = NULL;
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        if (stages[i].attr != attr)
            continue;
        struct restriction_list *list = restriction_compile(text, stages[i].stage, &error);
        if (list != NULL)
            error = check_classes(arg, snap, list);
        restriction_list_unref(&list);
    }
    return error;
}

/* A replica of our own is only in sync as long as somebody says so. */
static int keep_alive(void *arg)
{
    struct linting *l = arg;
    char *error = NULL;
    bool good = scratch_directory(l->scratch, &error) != NULL;
    free(error);
    return good ? 0 : -1;
}

static int finish(struct linting *l, size_t entries)
{
    if (l->json)
        buf_printf(&l->out, "],\"entries\":%zu,\"errors\":%zu,\"warnings\":%zu}\n", entries,
                   l->errors, l->warnings);
    else
        buf_printf(&l->out, "%zu entries, %zu errors, %zu warnings\n", entries, l->errors,
                   l->warnings);
    int rc = command_print(&l->out);
    return rc == COMMAND_OK && l->errors > 0 ? COMMAND_FAILED : rc;
}

static int lint_file(const struct command_context *ctx, struct linting *l)
{
    struct lint lint = {.arg = l,
                        .report = on_finding,
                        .exists = exists,
                        .value = value,
                        .check_list = check_list,
                        .pause = keep_alive};
    char *error = NULL;
    int rc = COMMAND_FAILED;
    l->scratch = scratch_new(ctx->conf, &error);
    if (l->scratch == NULL) {
        command_error("%s", error);
        free(error);
        return COMMAND_FAILED;
    }
    if (l->json)
        buf_append_str(&l->out, "{\"findings\":[");
    if (ldif_file_apply(l->file, l->scratch, on_fault, l) == 0 &&
        (lint.directory = scratch_directory(l->scratch, &error)) != NULL && lint_run(&lint) == 0)
        rc = finish(l, scratch_count(l->scratch));
    else if (error != NULL)
        command_error("%s", error);
    free(error);
    scratch_free(&l->scratch);
    return rc;
}

static int lint_live(const struct command_context *ctx, struct linting *l)
{
    struct lint lint = {.arg = l, .report = on_finding, .check_list = check_list};
    struct directory_state state;
    int rc = COMMAND_UNAVAILABLE;
    lint.directory = answer_open(ctx);
    if (lint.directory == NULL)
        return COMMAND_UNAVAILABLE;
    directory_state(lint.directory, &state);
    if (l->json)
        buf_append_str(&l->out, "{\"findings\":[");
    if (lint_run(&lint) == 0)
        rc = finish(l, state.entries);
    else
        command_error("the replica is not in sync, so nothing can be said of what is missing");
    directory_close(&lint.directory);
    return rc;
}

static int run(const struct command_context *ctx, int argc, char **argv)
{
    struct linting l = {.conf = ctx->conf, .json = ctx->json};
    if (argc != 2)
        return command_usage(&command_lint);
    bool live = strcmp(argv[1], "--live") == 0;
    if (!live && argv[1][0] == '-' && argv[1][1] != '\0')
        return command_usage(&command_lint);
    l.file = live ? NULL : argv[1];
    int rc = (live ? lint_live : lint_file)(ctx, &l);
    buf_free(&l.out);
    return rc;
}

const struct command command_lint = {
    .name = "lint",
    .args = "file.ldif | --live",
    .help = "show what is wrong with an LDIF file, or with the directory",
    .flags = COMMAND_NEEDS_CONF,
    .args_min = 1,
    .run = run,
};

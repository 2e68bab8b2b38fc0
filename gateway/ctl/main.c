/* dirigo: finds the command in the table and runs it. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/ctl/command.h"

const struct command *const commands[] = {
    &command_cache,   &command_config,
    &command_dns,     &command_explain,
    &command_help,    &command_lint,
    &command_lookup,  &command_passwd,
    &command_queue,   &command_reload,
    &command_status,  &command_stop,
    &command_what_if, NULL,
};

int command_usage(const struct command *command)
{
    fprintf(stderr, "usage: dirigo [-c file] [-o name=value] [--json] %s %s\n", command->name,
            command->args);
    return COMMAND_USAGE;
}

int command_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("dirigo: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return COMMAND_FAILED;
}

char *command_socket(const struct command_context *ctx, const char *name)
{
    return mem_printf("%s/%s", ctx->conf->run_directory, name);
}

int command_print(struct buf *out)
{
    bool ok = fwrite(buf_str(out), 1, out->len, stdout) == out->len && fflush(stdout) == 0;
    buf_free(out);
    return ok ? COMMAND_OK : command_error("the output cannot be written");
}

static const struct command *main_find(const char *name)
{
    for (const struct command *const *c = commands; *c != NULL; c++) {
        if (strcmp((*c)->name, name) == 0)
            return *c;
    }
    return NULL;
}

/* Takes --json out of the arguments, up to a "--". */
static bool main_take_json(int *argc, char **argv)
{
    bool json = false;
    int n = 0;
    bool ended = false;
    for (int i = 0; i < *argc; i++) {
        ended = ended || strcmp(argv[i], "--") == 0;
        if (!ended && strcmp(argv[i], "--json") == 0)
            json = true;
        else
            argv[n++] = argv[i];
    }
    argv[n] = NULL;
    *argc = n;
    return json;
}

static int main_run(const struct command *command, struct command_context *ctx, int argc,
                    char **argv)
{
    struct conf *conf = NULL;
    if (argc <= command->args_min)
        return command_usage(command);
    if (command->flags & COMMAND_NEEDS_CONF) {
        struct buf errors = {0};
        conf = conf_load(ctx->conf_path, ctx->overrides, &errors);
        fputs(buf_str(&errors), stderr);
        buf_free(&errors);
        if (conf == NULL)
            return COMMAND_FAILED;
    }
    ctx->conf = conf;
    int rc = command->run(ctx, argc, argv);
    conf_free(&conf);
    return rc;
}

int main(int argc, char **argv)
{
    struct command_context ctx = {.conf_path = DIRIGO_SYSCONFDIR "/dirigo/dirigo.conf"};
    const char **overrides = mem_zalloc(((size_t)argc + 1) * sizeof(*overrides));
    const struct command *command = NULL;
    char help[] = "help";
    size_t n = 0;
    int option, rc = COMMAND_USAGE;

    log_open("dirigo", LOG_TARGET_STDERR, LOG_LEVEL_WARNING);
    ctx.json = main_take_json(&argc, argv);
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        argv[1] = help;
    while ((option = getopt(argc, argv, "+c:o:V")) != -1) {
        if (option == 'c') {
            ctx.conf_path = optarg;
        } else if (option == 'o') {
            overrides[n++] = optarg;
        } else if (option == 'V') {
            printf("dirigo %s\n", DIRIGO_VERSION);
            rc = COMMAND_OK;
            goto out;
        } else {
            goto usage;
        }
    }
    ctx.overrides = overrides;
    if (optind < argc) {
        command = main_find(argv[optind]);
        if (command == NULL)
            command_error("there is no command %s; dirigo help lists them", argv[optind]);
        else
            rc = main_run(command, &ctx, argc - optind, argv + optind);
        goto out;
    }
usage:
    fputs("usage: dirigo [-V] [-c file] [-o name=value] [--json] command ...\n"
          "dirigo help lists the commands.\n",
          stderr);
out:
    free(overrides);
    return rc;
}

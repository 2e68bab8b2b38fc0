/*
 * The administrator's tool: one subcommand, one file, one line in the table of main.c.
 *
 * To add one: write gateway/ctl/NAME.c with `const struct command command_NAME`, declare it below,
 * and name it in main.c's table and in local.mk.
 */
#ifndef DIRIGO_CTL_COMMAND_H
#define DIRIGO_CTL_COMMAND_H

#include <stdbool.h>

#include "conf/conf.h"
#include "gateway/base/buf.h"

/* What `dirigo` exits with. */
enum {
    COMMAND_OK = 0,
    COMMAND_FAILED = 1,      /* it was done and the answer is no, or it could not be done */
    COMMAND_USAGE = 64,      /* EX_USAGE: the command line is wrong */
    COMMAND_UNAVAILABLE = 69 /* EX_UNAVAILABLE: dirigod or a service cannot be reached */
};

/* What the options before and after the command's name say. */
struct command_context {
    const char *conf_path;
    const char *const *overrides; /* -o, ended by NULL */
    const struct conf *conf;      /* loaded, where the command has COMMAND_NEEDS_CONF; else NULL */
    bool json;                    /* --json, anywhere on the command line */
};

enum {
    COMMAND_NEEDS_CONF = 1 /* faults of the file are printed and the command is not run */
};

struct command {
    const char *name;
    const char *args; /* for the usage line */
    const char *help; /* one line */
    unsigned flags;
    int args_min; /* with fewer the usage is printed, before the configuration is read */
    /* argv[0] is the command's name, --json is taken out. Returns one of the codes above. */
    int (*run)(const struct command_context *ctx, int argc, char **argv);
};

extern const struct command command_cache;
extern const struct command command_config;
extern const struct command command_dns;
extern const struct command command_explain;
extern const struct command command_help;
extern const struct command command_lint;
extern const struct command command_lookup;
extern const struct command command_passwd;
extern const struct command command_queue;
extern const struct command command_reload;
extern const struct command command_status;
extern const struct command command_stop;
extern const struct command command_what_if;

/* Every command, ended by NULL. */
extern const struct command *const commands[];

/* Prints the usage of a command to stderr; returns COMMAND_USAGE. */
int command_usage(const struct command *command);
/* Prints "dirigo: " and the text to stderr; returns COMMAND_FAILED. */
int command_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* run_directory/name, allocated: where a service's socket is. */
char *command_socket(const struct command_context *ctx, const char *name);
/* Writes what the buffer holds to stdout and frees it; COMMAND_OK or COMMAND_FAILED. */
int command_print(struct buf *out);

/* Appends text as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void json_string(struct buf *out, const char *text);
/* Appends "name": and the string, for members of objects. */
void json_member(struct buf *out, const char *name, const char *text);

#endif

/*
 * Structured log lines: one event, then key=value fields.
 *
 *     log_info("message accepted", LOG_STR("id", id), LOG_UINT("size", size));
 *
 * gives `message accepted id=4cX1 size=812`. Values are escaped here and nowhere else: control and
 * non-ASCII bytes as \xNN, and a value with a space, quote or equals sign stands in quotes.
 * Passwords and secrets are never passed. Each line carries the process name, and the session or
 * message id that the caller passes as `id`.
 */
#ifndef DIRIGO_BASE_LOG_H
#define DIRIGO_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR,   /* an administrator has to act */
    LOG_LEVEL_WARNING, /* something is wrong that mends itself or hurts one object */
    LOG_LEVEL_NOTICE,  /* starts, stops, changes of state */
    LOG_LEVEL_INFO,    /* each session and message */
    LOG_LEVEL_DEBUG
};

struct log_field {
    const char *key; /* NULL ends the list */
    enum {
        LOG_FIELD_STR,
        LOG_FIELD_BYTES,
        LOG_FIELD_INT,
        LOG_FIELD_UINT,
        LOG_FIELD_ERRNO
    } type;
    const void *str; /* NULL is logged as an empty value */
    size_t len;
    int64_t num;
};

#define LOG_STR(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_STR, .str = (v)})
#define LOG_BYTES(k, v, n)                                                                         \
    ((struct log_field){.key = (k), .type = LOG_FIELD_BYTES, .str = (v), .len = (n)})
#define LOG_INT(k, v)  ((struct log_field){.key = (k), .type = LOG_FIELD_INT, .num = (int64_t)(v)})
#define LOG_UINT(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_UINT, .num = (int64_t)(v)})
/* error="text of the errno value e" */
#define LOG_ERRNO(e) ((struct log_field){.key = "error", .type = LOG_FIELD_ERRNO, .num = (e)})

#define LOG_FIELDS(...)                                                                            \
    (const struct log_field[])                                                                     \
    {                                                                                              \
        __VA_ARGS__ __VA_OPT__(, )                                                                 \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define log_error(event, ...)   log_write(LOG_LEVEL_ERROR, event, LOG_FIELDS(__VA_ARGS__))
#define log_warning(event, ...) log_write(LOG_LEVEL_WARNING, event, LOG_FIELDS(__VA_ARGS__))
#define log_notice(event, ...)  log_write(LOG_LEVEL_NOTICE, event, LOG_FIELDS(__VA_ARGS__))
#define log_info(event, ...)    log_write(LOG_LEVEL_INFO, event, LOG_FIELDS(__VA_ARGS__))
#define log_debug(event, ...)                                                                      \
    do {                                                                                           \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                          \
            log_write(LOG_LEVEL_DEBUG, event, LOG_FIELDS(__VA_ARGS__));                            \
    } while (0)
/* Logs an error and exits with 1: for an environment in which the process cannot go on. */
#define log_fatal(event, ...) log_write_fatal(event, LOG_FIELDS(__VA_ARGS__))

enum log_target {
    LOG_TARGET_STDERR,  /* with a time stamp */
    LOG_TARGET_JOURNAL, /* stderr with the <N> prefix that systemd reads */
    LOG_TARGET_SYSLOG
};

/* Names the process and chooses where lines go; before it, lines go to stderr. Call it before
 * chroot. */
void log_open(const char *process, enum log_target target, enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields);
_Noreturn void log_write_fatal(const char *event, const struct log_field *fields);

struct buf;
/* Appends the line's text, without time stamp and newline; what log_write uses, for tests and
 * tools. */
void log_format(struct buf *out, const char *event, const struct log_field *fields);

#endif

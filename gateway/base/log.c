#include "gateway/base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/buf.h"

#define LOG_LINE_MAX  4096
#define LOG_VALUE_MAX 1024

static struct {
    const char *process;
    enum log_target target;
    enum log_level level;
} log_context = {"dirigo", LOG_TARGET_STDERR, LOG_LEVEL_INFO};

static const int log_syslog_level[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};
static const char *const log_level_name[] = {"error", "warning", "notice", "info", "debug"};

void log_open(const char *process, enum log_target target, enum log_level level)
{
    log_context.process = process;
    log_context.target = target;
    log_context.level = level;
    if (target == LOG_TARGET_SYSLOG)
        openlog(process, LOG_PID | LOG_NDELAY, LOG_MAIL);
}

bool log_enabled(enum log_level level)
{
    return level <= log_context.level;
}

static void log_format_value(struct buf *out, const unsigned char *s, size_t len)
{
    bool quote = len == 0;
    bool cut = len > LOG_VALUE_MAX;
    if (cut)
        len = LOG_VALUE_MAX;
    for (size_t i = 0; i < len && !quote; i++)
        quote = s[i] <= ' ' || s[i] == '"' || s[i] == '=' || s[i] == '\\' || s[i] >= 0x7f;
    if (quote)
        buf_append_byte(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '"' || s[i] == '\\')
            buf_printf(out, "\\%c", s[i]);
        else if (s[i] < ' ' || s[i] >= 0x7f)
            buf_printf(out, "\\x%02x", s[i]);
        else
            buf_append_byte(out, s[i]);
    }
    if (cut)
        buf_append_str(out, "...");
    if (quote)
        buf_append_byte(out, '"');
}

void log_format(struct buf *out, const char *event, const struct log_field *f)
{
    buf_append_str(out, event);
    for (; f->key != NULL; f++) {
        buf_printf(out, " %s=", f->key);
        switch (f->type) {
        case LOG_FIELD_STR:
            log_format_value(out, f->str, f->str == NULL ? 0 : strlen(f->str));
            break;
        case LOG_FIELD_BYTES:
            log_format_value(out, f->str, f->str == NULL ? 0 : f->len);
            break;
        case LOG_FIELD_INT:
            buf_printf(out, "%" PRId64, f->num);
            break;
        case LOG_FIELD_UINT:
            buf_printf(out, "%" PRIu64, (uint64_t)f->num);
            break;
        case LOG_FIELD_ERRNO: {
            const char *text = strerror((int)f->num);
            log_format_value(out, (const unsigned char *)text, strlen(text));
            break;
        }
        }
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    if (level > log_context.level)
        return;
    struct buf line = {.max = LOG_LINE_MAX};
    if (log_context.target == LOG_TARGET_STDERR) {
        struct timespec ts;
        struct tm tm;
        clock_gettime(CLOCK_REALTIME, &ts);
        gmtime_r(&ts.tv_sec, &tm);
        buf_printf(&line, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s[%d] %s: ", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                   ts.tv_nsec / 1000000, log_context.process, (int)getpid(), log_level_name[level]);
    } else if (log_context.target == LOG_TARGET_JOURNAL) {
        buf_printf(&line, "<%d>%s[%d]: ", log_syslog_level[level], log_context.process,
                   (int)getpid());
    }
    log_format(&line, event, fields);
    if (log_context.target == LOG_TARGET_SYSLOG) {
        syslog(log_syslog_level[level], "%s", buf_str(&line));
    } else {
        /* One write, so that lines of several processes do not mix; a log that is gone stops
         * nobody. */
        line.max = LOG_LINE_MAX + 1;
        buf_append_byte(&line, '\n');
        if (write(STDERR_FILENO, line.data, line.len) < 0)
            (void)0;
    }
    buf_free(&line);
}

_Noreturn void log_write_fatal(const char *event, const struct log_field *fields)
{
    log_write(LOG_LEVEL_ERROR, event, fields);
    exit(1);
}

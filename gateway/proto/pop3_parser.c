#include "gateway/proto/pop3_parser.h"

#include <string.h>

#include "gateway/base/str.h"

/* So that a password is not left behind when the buffer grows. */
#define LINE_FIRST 500

void pop3_parser_init(struct pop3_parser *p, size_t limit)
{
    memset(p, 0, sizeof(*p));
    p->limit = limit;
}

static void parser_clear(struct pop3_parser *p)
{
    buf_wipe_free(&p->line);
    memset(&p->cmd, 0, sizeof(p->cmd));
    p->done = p->whole = p->too_long = p->want_line = false;
}

void pop3_parser_free(struct pop3_parser *p)
{
    parser_clear(p);
}

void pop3_parser_want_line(struct pop3_parser *p)
{
    parser_clear(p);
    p->want_line = true;
}

size_t pop3_parser_push(struct pop3_parser *p, const void *data, size_t len)
{
    if (p->whole)
        return 0;
    if (p->done)
        parser_clear(p);
    if (len == 0)
        return 0;
    const char *lf = memchr(data, '\n', len);
    size_t n = lf != NULL ? (size_t)(lf - (const char *)data) : len;

    if (p->line.data == NULL)
        (void)buf_reserve(&p->line, LINE_FIRST);
    /* One more than the limit for the CR. */
    if (n > p->limit + 1 - p->line.len)
        p->too_long = true;
    else
        (void)buf_append(&p->line, data, n);
    if (lf == NULL)
        return n;
    p->whole = true;
    return n + 1;
}

static enum pop3_event parser_bad(struct pop3_parser *p, const char *error)
{
    p->cmd.name[0] = '\0';
    p->cmd.args = "";
    p->cmd.args_len = 0;
    p->cmd.error = error;
    return POP3_BAD;
}

static enum pop3_event parse_line(struct pop3_parser *p)
{
    const char *s = buf_str(&p->line);
    size_t len = p->line.len, n = 0;

    if (len > 0 && s[len - 1] == '\r')
        p->line.data[--len] = '\0';
    if (p->too_long || len > p->limit)
        return parser_bad(p, "the line is too long");
    if (memchr(s, '\0', len) != NULL || memchr(s, '\r', len) != NULL)
        return parser_bad(p, "a NUL or a bare CR");
    if (p->want_line) {
        p->cmd.args = s;
        p->cmd.args_len = len;
        return POP3_LINE;
    }
    while (n < len && s[n] != ' ') {
        char c = s[n] >= 'a' && s[n] <= 'z' ? s[n] - ('a' - 'A') : s[n];
        if (n == POP3_NAME_MAX - 1 || c < 'A' || c > 'Z')
            return parser_bad(p, "unknown command");
        p->cmd.name[n++] = c;
    }
    p->cmd.name[n] = '\0';
    if (n == 0)
        return parser_bad(p, "unknown command");
    p->cmd.args = s + n + (n < len);
    p->cmd.args_len = len - (size_t)(p->cmd.args - s);
    return POP3_COMMAND;
}

enum pop3_event pop3_parser_next(struct pop3_parser *p, const struct pop3_command **cmd)
{
    *cmd = &p->cmd;
    if (!p->whole) {
        if (p->done)
            parser_clear(p);
        return POP3_MORE;
    }
    p->whole = false;
    p->done = true;
    return parse_line(p);
}

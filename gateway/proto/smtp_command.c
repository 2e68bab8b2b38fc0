#include "gateway/proto/smtp_command.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#include "gateway/base/str.h"

void smtp_lines_init(struct smtp_lines *l, size_t max)
{
    *l = (struct smtp_lines){0};
    smtp_lines_set_max(l, max);
}

void smtp_lines_set_max(struct smtp_lines *l, size_t max)
{
    l->max = max;
    l->held.max = max + 1; /* with the CR, which may come before its LF */
}

void smtp_lines_free(struct smtp_lines *l)
{
    buf_wipe_free(&l->held);
}

/* Keeps a piece of an unfinished line, unless the line is lost anyway. */
static void hold(struct smtp_lines *l, const char *data, size_t len)
{
    if (len == 0)
        return;
    if (memchr(data, '\0', len) != NULL)
        l->has_nul = true;
    const char *cr = memchr(data, '\r', len);
    if (l->last_cr || (cr != NULL && cr != data + len - 1))
        l->has_cr = true;
    l->last_cr = data[len - 1] == '\r';
    if (!l->too_long && !l->has_lf && buf_append(&l->held, data, len) != 0)
        l->too_long = true;
    if (l->too_long || l->has_lf)
        buf_wipe_free(&l->held);
}

/* The line has ended: its fate, and a fresh start. */
static enum smtp_line_status line_status(struct smtp_lines *l, const char *line, size_t len)
{
    enum smtp_line_status status = SMTP_LINE_READY;

    if (l->has_lf)
        status = SMTP_LINE_DROPPED;
    else if (l->too_long || len > l->max)
        status = SMTP_LINE_TOO_LONG;
    else if (l->has_cr || l->has_nul || memchr(line, '\r', len) != NULL ||
             memchr(line, '\0', len) != NULL)
        status = SMTP_LINE_BAD;
    l->last_cr = l->has_cr = l->has_nul = l->has_lf = l->too_long = false;
    return status;
}

enum smtp_line_status smtp_lines_next(struct smtp_lines *l, const void *data, size_t len,
                                      size_t *used, const char **line, size_t *line_len)
{
    const char *in = data;

    *line = NULL;
    *line_len = 0;
    if (l->given)
        buf_wipe_free(&l->held);
    l->given = false;
    const char *lf = len > 0 ? memchr(in, '\n', len) : NULL;
    if (lf == NULL) {
        hold(l, in, len);
        *used = len;
        return SMTP_LINE_MORE;
    }
    size_t n = (size_t)(lf - in);
    *used = n + 1;
    bool crlf = n > 0 ? lf[-1] == '\r' : l->last_cr;
    if (!crlf) {
        hold(l, in, n);
        l->has_lf = true;
        l->last_cr = false;
        buf_wipe_free(&l->held);
        return SMTP_LINE_BARE_LF;
    }
    if (l->held.len == 0 && !l->last_cr && !l->too_long && !l->has_lf) {
        *line = in; /* whole in the input: no copy */
        *line_len = n - 1;
        enum smtp_line_status status = line_status(l, *line, *line_len);
        if (status != SMTP_LINE_READY)
            *line_len = 0;
        return status;
    }
    hold(l, in, n);
    *line = buf_str(&l->held);
    *line_len = l->held.len > 0 ? l->held.len - 1 : 0;
    enum smtp_line_status status = line_status(l, *line, *line_len);
    l->given = true;
    if (status != SMTP_LINE_READY)
        *line_len = 0;
    return status;
}

void smtp_command_split(const char *line, size_t len, const char **verb, size_t *verb_len,
                        const char **arg, size_t *arg_len)
{
    size_t v = 0;

    while (v < len && line[v] != ' ')
        v++;
    *verb = line;
    *verb_len = v;
    while (v < len && line[v] == ' ')
        v++;
    while (len > v && line[len - 1] == ' ')
        len--;
    *arg = line + v;
    *arg_len = len - v;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool is_keyword_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '-';
}

/* One "NAME[=VALUE]" (RFC 5321: esmtp-param). */
static enum smtp_syntax parse_param(const char *s, size_t len, struct arena *arena,
                                    struct smtp_param *out, const char **error)
{
    const char *eq = memchr(s, '=', len);
    size_t name_len = eq != NULL ? (size_t)(eq - s) : len;
    char *name = arena_strndup(arena, s, name_len);

    *error = "malformed parameter";
    if (name == NULL || name_len == 0 || name[0] == '-')
        return SMTP_SYNTAX_COMMAND;
    for (size_t i = 0; i < name_len; i++) {
        name[i] = upper(name[i]);
        if (!is_keyword_char(name[i]))
            return SMTP_SYNTAX_COMMAND;
    }
    *out = (struct smtp_param){.name = name};
    if (eq == NULL)
        return SMTP_SYNTAX_OK;
    size_t value_len = len - name_len - 1;
    if (value_len == 0)
        return SMTP_SYNTAX_COMMAND;
    for (size_t i = 0; i < value_len; i++)
        if (eq[1 + i] <= ' ' || eq[1 + i] > '~')
            return SMTP_SYNTAX_COMMAND;
    out->value = arena_strndup(arena, eq + 1, value_len);
    return out->value != NULL ? SMTP_SYNTAX_OK : SMTP_SYNTAX_COMMAND;
}

enum smtp_syntax smtp_path_args_parse(const char *arg, size_t len, const char *keyword, bool utf8,
                                      struct arena *arena, struct smtp_path_args *out,
                                      const char **error)
{
    const char *p = arg, *end = arg + len;
    size_t k = strlen(keyword);

    out->param_count = 0;
    if (len < k + 1 || !str_ieq_n(arg, keyword, k) || arg[k] != ':') {
        *error = "expected FROM:<address> or TO:<address>";
        return SMTP_SYNTAX_COMMAND;
    }
    p += k + 1;
    while (p < end && *p == ' ') /* against RFC 5321, and frequent */
        p++;
    enum smtp_syntax r = smtp_path_scan(&p, end, utf8, arena, &out->address, error);
    if (r != SMTP_SYNTAX_OK)
        return r;
    while (p < end) {
        while (p < end && *p == ' ')
            p++;
        const char *word = p;
        while (p < end && *p != ' ')
            p++;
        if (p == word)
            break;
        if (out->param_count == SMTP_PARAMS_MAX) {
            *error = "too many parameters";
            return SMTP_SYNTAX_COMMAND;
        }
        r = parse_param(word, (size_t)(p - word), arena, &out->params[out->param_count], error);
        if (r != SMTP_SYNTAX_OK)
            return r;
        out->param_count++;
    }
    return SMTP_SYNTAX_OK;
}

/* RFC 3461: "+" and two upper-case digits; lower case is taken, too. */
int smtp_xtext_decode(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < '!' || c > '~' || c == '=')
            return -1;
        if (c == '+') {
            if (len - i < 3 || str_hex_digit(s[i + 1]) < 0 || str_hex_digit(s[i + 2]) < 0)
                return -1;
            c = (unsigned char)(str_hex_digit(s[i + 1]) << 4 | str_hex_digit(s[i + 2]));
            i += 2;
        }
        if (buf_append_byte(out, c) != 0)
            return -1;
    }
    return 0;
}

int smtp_xtext_encode(struct buf *out, const void *data, size_t len)
{
    const unsigned char *s = data;

    for (size_t i = 0; i < len; i++) {
        bool plain = s[i] >= '!' && s[i] <= '~' && s[i] != '+' && s[i] != '=';
        if ((plain ? buf_append_byte(out, s[i]) : buf_printf(out, "+%02X", s[i])) != 0)
            return -1;
    }
    return 0;
}

/* So many digits as a number, or -1; moves *s. */
static int take_digits(const char **s, int count)
{
    int n = 0;

    for (; count > 0; count--, ++*s) {
        if (**s < '0' || **s > '9')
            return -1;
        n = n * 10 + (**s - '0');
    }
    return n;
}

static bool take_char(const char **s, char c)
{
    bool is = upper(**s) == c;

    *s += is;
    return is;
}

/* "Z", or "+01:00": seconds east of UTC. */
static int take_zone(const char **s, int *out)
{
    *out = 0;
    if (take_char(s, 'Z'))
        return 0;
    int sign = take_char(s, '+') ? 1 : take_char(s, '-') ? -1 : 0;
    int hours = sign == 0 ? -1 : take_digits(s, 2);
    int minutes = hours < 0 || !take_char(s, ':') ? -1 : take_digits(s, 2);
    *out = sign * (hours * 60 + minutes) * 60;
    return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60 ? 0 : -1;
}

int smtp_datetime_parse(const char *s, int64_t *out)
{
    static const struct {
        int digits, least, most;
        char then;
    } parts[] = {{4, 1970, 9999, '-'}, {2, 1, 12, '-'}, {2, 1, 31, 'T'},
                 {2, 0, 23, ':'},      {2, 0, 59, ':'}, {2, 0, 60, '\0'}};
    int value[6], zone;

    for (size_t i = 0; i < 6; i++) {
        value[i] = take_digits(&s, parts[i].digits);
        if (value[i] < parts[i].least || value[i] > parts[i].most ||
            (parts[i].then != '\0' && !take_char(&s, parts[i].then)))
            return -1;
    }
    if (take_char(&s, '.') && take_digits(&s, 1) < 0)
        return -1;
    while (*s >= '0' && *s <= '9')
        s++;
    if (take_zone(&s, &zone) != 0 || *s != '\0')
        return -1;
    struct tm tm = {.tm_year = value[0] - 1900,
                    .tm_mon = value[1] - 1,
                    .tm_mday = value[2],
                    .tm_hour = value[3],
                    .tm_min = value[4],
                    .tm_sec = value[5]};
    *out = (int64_t)timegm(&tm) - zone;
    return tm.tm_mday == value[2] || value[5] == 60 ? 0 : -1; /* no 31st of February */
}

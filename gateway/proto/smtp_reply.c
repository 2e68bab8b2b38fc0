/* The parser of SMTP replies. */
#include "gateway/proto/smtp_reply.h"

#include <string.h>

#include "gateway/base/str.h"

static void start(struct smtp_reply_parser *p)
{
    struct buf text = p->text;

    text.max = SMTP_REPLY_TEXT_MAX;
    buf_clear(&text);
    *p = (struct smtp_reply_parser){.text = text};
}

void smtp_reply_free(struct smtp_reply_parser *p)
{
    buf_free(&p->text);
    *p = (struct smtp_reply_parser){0};
}

static void end_line(struct smtp_reply_parser *p)
{
    if (p->column < 3)
        p->bad = true;
    else if (!p->more)
        p->done = true;
    p->first = true;
    p->more = false;
    p->column = 0;
}

/* A byte of the line, at p->column. */
static void put_byte(struct smtp_reply_parser *p, unsigned char c)
{
    if (p->column < 3) {
        bool ok = p->column == 0 ? c >= '2' && c <= '5' : c >= '0' && c <= '9';
        p->bad |= !ok;
        p->code = (p->column == 0 ? 0 : p->code * 10) + (unsigned)(c - '0');
    } else if (p->column == 3) {
        p->more = c == '-';
        p->bad |= c != '-' && c != ' ';
        if (p->first)
            (void)buf_append_byte(&p->text, '\n');
    } else {
        if (c == '\t')
            c = ' ';
        (void)buf_append_byte(&p->text, c >= 0x20 && c < 0x7f ? c : '?');
    }
    p->column++;
}

size_t smtp_reply_push(struct smtp_reply_parser *p, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    size_t i = 0;

    if (p->bad)
        return 0;
    if (p->size == 0)
        start(p);
    while (i < len && !p->done && !p->bad) {
        unsigned char c = bytes[i++];
        if (++p->size > SMTP_REPLY_SIZE_MAX)
            p->bad = true;
        else if (c == '\n')
            end_line(p);
        else {
            if (p->cr)
                put_byte(p, '\r'); /* it was not the end of the line */
            if (c != '\r')
                put_byte(p, c);
        }
        p->cr = c == '\r';
    }
    return i;
}

/* The length of an enhanced status code of this class at s, or 0. */
static size_t enhanced_len(const char *s, char class)
{
    size_t n = 1;

    if (s[0] != class || (class != '2' && class != '4' && class != '5'))
        return 0;
    for (int part = 0; part < 2; part++) {
        size_t digits = 0;
        if (s[n++] != '.')
            return 0;
        while (digits < 4 && s[n + digits] >= '0' && s[n + digits] <= '9')
            digits++;
        if (digits == 0 || digits > 3)
            return 0;
        n += digits;
    }
    return s[n] == ' ' || s[n] == '\n' || s[n] == '\0' ? n : 0;
}

/* Takes the enhanced code off the start of every line that has one. */
static void take_enhanced(struct smtp_reply_parser *p, struct smtp_reply *out)
{
    char *text = (char *)p->text.data, *from = text, *to = text;
    char class = (char)('0' + p->code / 100);
    bool line_start = true;

    while (*from != '\0') {
        size_t n = line_start ? enhanced_len(from, class) : 0;
        if (n > 0 && (from == text || out->enhanced[0] != '\0')) {
            if (from == text)
                memcpy(out->enhanced, from, n);
            from += n + (from[n] == ' ');
            line_start = false;
            continue;
        }
        line_start = *from == '\n';
        *to++ = *from++;
    }
    buf_truncate(&p->text, (size_t)(to - text));
}

int smtp_reply_next(struct smtp_reply_parser *p, struct smtp_reply *out)
{
    if (p->bad)
        return -1;
    if (!p->done)
        return 0;
    *out = (struct smtp_reply){.code = p->code};
    if (p->text.len > 0) {
        (void)buf_str(&p->text);
        take_enhanced(p, out);
    }
    out->text = buf_str(&p->text);
    p->size = 0;
    p->done = false;
    return 1;
}

bool smtp_reply_keyword(const struct smtp_reply *reply, const char *keyword, const char **params,
                        size_t *len)
{
    const char *line = strchr(reply->text, '\n'); /* the first line is the greeting */
    size_t klen = strlen(keyword);

    while (line != NULL) {
        line++;
        const char *end = strchr(line, '\n');
        size_t n = end != NULL ? (size_t)(end - line) : strlen(line);
        if (n >= klen && str_ieq_n(line, keyword, klen) &&
            (n == klen || line[klen] == ' ' || line[klen] == '=')) {
            size_t skip = klen + (n > klen);
            if (params != NULL) {
                *params = line + skip;
                *len = n - skip;
            }
            return true;
        }
        line = end;
    }
    return false;
}

#include "conf/lines.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/mem.h"

struct conf_lines {
    struct buf input;   /* bytes that are not yet a logical line; at most one line over the bound */
    struct buf logical; /* the setting that may still be continued */
    struct buf taken;   /* the setting that was handed out last */
    unsigned line;      /* number of the line at the front of input, from 1 */
    unsigned first;     /* number of the first line in logical; 0: there is none */
    bool too_long, ended;
};

struct conf_lines *conf_lines_new(void)
{
    struct conf_lines *p = mem_zalloc(sizeof(*p));
    p->line = 1;
    p->logical.max = CONF_LINE_MAX;
    p->taken.max = CONF_LINE_MAX;
    return p;
}

void conf_lines_free(struct conf_lines **p)
{
    if (*p == NULL)
        return;
    /* A line may hold bind_pw. */
    buf_wipe_free(&(*p)->input);
    buf_wipe_free(&(*p)->logical);
    buf_wipe_free(&(*p)->taken);
    free(*p);
    *p = NULL;
}

void conf_lines_push(struct conf_lines *p, const void *data, size_t len)
{
    if (buf_append(&p->input, data, len) < 0)
        p->too_long = true;
}

void conf_lines_end(struct conf_lines *p)
{
    p->ended = true;
}

static bool line_is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* The text without white space at both ends, ended in place. */
static char *line_trim(char *s, char *end)
{
    while (s < end && line_is_blank((unsigned char)*s))
        s++;
    while (end > s && line_is_blank((unsigned char)end[-1]))
        end--;
    *end = '\0';
    return s;
}

/* Turns the logical line into a setting. */
static int line_emit(struct conf_lines *p, struct conf_line *out)
{
    buf_clear(&p->taken);
    struct buf swap = p->taken;
    p->taken = p->logical;
    p->logical = swap;
    *out = (struct conf_line){.number = p->first, .name = "", .value = ""};
    p->first = 0;

    if (p->too_long) {
        p->too_long = false;
        out->fault = "the line is too long; at most 65536 bytes are read";
        return 1;
    }
    size_t len = p->taken.len;
    buf_str(&p->taken); /* a NUL behind it, where line_trim may need one */
    char *text = (char *)p->taken.data;
    if (memchr(text, '\0', len) != NULL) {
        out->fault = "there is a NUL byte in the line; the file must be plain text";
        return 1;
    }
    char *equals = memchr(text, '=', len);
    if (equals == NULL) {
        out->fault = "this is no setting; write NAME = VALUE, and start a comment with #";
        return 1;
    }
    out->value = line_trim(equals + 1, text + len);
    out->name = line_trim(text, equals);
    for (const char *c = out->name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && *c != '_')
            out->fault = "this is no parameter name; names are made of letters, digits and _";
    }
    if (*out->name == '\0')
        out->fault = "there is no name before the =; write NAME = VALUE";
    return 1;
}

/* Adds one physical line to the logical one. */
static void line_take(struct conf_lines *p, const unsigned char *s, size_t len, bool continues)
{
    while (len > 0 && line_is_blank(*s)) {
        s++;
        len--;
    }
    while (len > 0 && line_is_blank(s[len - 1]))
        len--;
    if (!continues || p->first == 0)
        p->first = p->line;
    else if (buf_append_byte(&p->logical, ' ') < 0)
        p->too_long = true;
    if (buf_append(&p->logical, s, len) < 0)
        p->too_long = true;
}

int conf_lines_next(struct conf_lines *p, struct conf_line *out)
{
    for (;;) {
        unsigned char *s = p->input.data;
        size_t len = p->input.len;
        unsigned char *newline = len == 0 ? NULL : memchr(s, '\n', len);
        if (newline != NULL)
            len = (size_t)(newline - s);
        else if (!p->ended)
            return 0;
        else if (len == 0)
            return p->first != 0 ? line_emit(p, out) : 0;

        size_t blank = 0;
        while (blank < len && line_is_blank(s[blank]))
            blank++;
        if (blank < len && s[blank] != '#') {
            /* A new setting ends the one before, which goes out first. */
            if (blank == 0 && p->first != 0)
                return line_emit(p, out);
            line_take(p, s, len, blank > 0);
        }
        buf_consume(&p->input, len + (newline != NULL));
        p->line++;
    }
}

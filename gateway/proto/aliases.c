#include "gateway/proto/aliases.h"

#include <string.h>

#include "gateway/base/str.h"

/* Where a target's text begins while the buffer that it is in may still move. */
struct draft {
    enum alias_kind kind;
    size_t offset;
};

void aliases_free(struct aliases_parser *p)
{
    buf_free(&p->line);
    buf_free(&p->text);
    buf_free(&p->targets);
}

/* ---- logical lines ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Makes room for the next entry once the last one was given out. */
static void forget(struct aliases_parser *p)
{
    buf_clear(&p->line);
    p->open = p->done = p->fetched = p->overlong = false;
    p->line.max = ALIASES_LINE_MAX;
}

static void append(struct aliases_parser *p, char c)
{
    if (buf_append_byte(&p->line, (unsigned char)c) < 0)
        p->overlong = true;
}

/* The first byte of a physical line that is neither white space nor a comment. False: it begins
 * another entry, and is not taken. */
static bool begin_text(struct aliases_parser *p, char c)
{
    if (p->open && (!p->spaces || p->list)) {
        p->done = true;
        return false;
    }
    if (!p->open)
        p->first = p->number;
    else
        append(p, ' ');
    if (!p->open && p->spaces && !p->list)
        append(p, ':'); /* nothing that it could continue: no name */
    p->open = true;
    p->state = ALIASES_IN_TEXT;
    append(p, c);
    return true;
}

static void end_line(struct aliases_parser *p)
{
    p->number++;
    p->state = ALIASES_AT_START;
    p->spaces = false;
}

size_t aliases_push(struct aliases_parser *p, const void *data, size_t len)
{
    const char *s = data;
    if (p->fetched || (!p->open && p->line.max == 0))
        forget(p);
    for (size_t i = 0; i < len; i++) {
        if (p->done)
            return i;
        if (s[i] == '\n')
            end_line(p);
        else if (p->state == ALIASES_IN_TEXT)
            append(p, s[i]);
        else if (p->state == ALIASES_IN_COMMENT)
            continue;
        else if (is_space(s[i]))
            p->spaces = true;
        else if (s[i] == '#')
            p->state = ALIASES_IN_COMMENT;
        else if (!begin_text(p, s[i]))
            return i;
    }
    return len;
}

void aliases_end(struct aliases_parser *p)
{
    if (p->fetched)
        forget(p);
    p->done = p->open;
}

/* ---- entries ---- */

/* Copies what stands in quotes at s, which is behind the first one; where it ends, or NULL. */
static const char *quoted(struct buf *out, const char *s)
{
    for (; *s != '"'; s++) {
        if (*s == '\\' && s[1] != '\0')
            s++;
        if (*s == '\0')
            return NULL;
        buf_append_byte(out, (unsigned char)*s);
    }
    return s + 1;
}

static const char *skip(const char *s, bool commas)
{
    while (is_space(*s) || (commas && *s == ','))
        s++;
    return s;
}

static bool is_plain(const char *s)
{
    for (; *s != '\0'; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
              strchr(".-_+=@", *s) != NULL))
            return false;
    return true;
}

/*
 * One target as it is written, up to a comma that is neither in quotes nor in angle brackets, into
 * out with its NUL. Quotes around the whole, or around a command, go; those of a local part stay.
 */
static const char *raw_target(struct buf *out, const char *s)
{
    size_t start = out->len;
    bool angle = false;
    if (*s == '"') {
        const char *end = quoted(out, s + 1);
        if (end == NULL)
            return NULL;
        const char *next = skip(end, false);
        buf_append_byte(out, '\0');
        const char *text = (const char *)out->data + start;
        bool whole = *next == '\0' || *next == ',';
        if (whole && (is_plain(text) || strchr("|/:\\", text[0]) != NULL || strchr(text, '@')))
            return next;
        buf_truncate(out, start);
    }
    if (*s == '|' && s[1] == '"') {
        buf_append_byte(out, '|');
        s = quoted(out, s + 2);
    }
    for (; s != NULL && *s != '\0' && (*s != ',' || angle); s++) {
        angle = *s == '<' || (angle && *s != '>');
        const char *from = s;
        if (*s == '"')
            for (s++; *s != '"' && *s != '\0'; s++)
                s += *s == '\\' && s[1] != '\0';
        if (*s == '\0')
            return NULL;
        buf_append(out, from, (size_t)(s - from) + 1);
    }
    while (out->len > start && is_space((char)out->data[out->len - 1]))
        buf_truncate(out, out->len - 1);
    buf_append_byte(out, '\0');
    return s;
}

/* "Somebody <address>" is the address. */
static size_t inside_brackets(struct buf *text, size_t offset)
{
    char *s = (char *)text->data + offset, *open = strrchr(s, '<');
    size_t len = strlen(s);
    if (open == NULL || len == 0 || s[len - 1] != '>')
        return offset;
    s[len - 1] = '\0';
    return offset + (size_t)(open + 1 - s);
}

static void add_target(struct aliases_parser *p, size_t offset)
{
    static const char include[] = ":include:";
    const char *s = (const char *)p->text.data + offset;
    struct draft d = {.kind = ALIAS_ADDRESS, .offset = offset};
    if (str_istarts(s, include)) {
        d.kind = ALIAS_INCLUDE;
        d.offset += sizeof include - 1;
        d.offset += (size_t)(skip(s + sizeof include - 1, false) - (s + sizeof include - 1));
    } else if (*s == '|') {
        d.kind = ALIAS_COMMAND;
        d.offset++;
    } else if (*s == '/') {
        d.kind = ALIAS_FILE;
    } else if (*s == '\\') {
        d.kind = ALIAS_ACCOUNT;
        d.offset++;
    } else {
        d.offset = inside_brackets(&p->text, offset);
    }
    buf_append(&p->targets, &d, sizeof d);
}

/* The name and its colon, with its NUL, into p->text; where the targets begin, or NULL. */
static const char *parse_name(struct aliases_parser *p, const char *s)
{
    if (*s == '"') {
        s = quoted(&p->text, s + 1);
    } else {
        size_t len = strcspn(s, ":");
        const char *end = s + len;
        while (len > 0 && is_space(s[len - 1]))
            len--;
        buf_append(&p->text, s, len);
        s = end;
    }
    s = s == NULL ? NULL : skip(s, false);
    if (s == NULL || *s != ':' || p->text.len == 0 || p->text.len > ALIASES_NAME_MAX)
        return NULL;
    buf_append_byte(&p->text, '\0');
    str_lower((char *)p->text.data);
    return s + 1;
}

static const char *parse_targets(struct aliases_parser *p, const char *s)
{
    for (s = skip(s, true); *s != '\0'; s = skip(s, true)) {
        size_t offset = p->text.len;
        s = raw_target(&p->text, s);
        if (s == NULL)
            return "a quote that does not end";
        add_target(p, offset);
    }
    return NULL;
}

static const char *parse(struct aliases_parser *p)
{
    const char *s = buf_str(&p->line);
    if (p->overlong)
        return "the entry is too long";
    for (size_t i = 0; i < p->line.len; i++)
        if ((p->line.data[i] < ' ' && p->line.data[i] != '\t' && p->line.data[i] != '\r') ||
            p->line.data[i] == 0x7f)
            return "a control character";
    if (!str_utf8_valid(s, p->line.len))
        return "neither ASCII nor UTF-8";
    if (p->list)
        buf_append_byte(&p->text, '\0');
    else if ((s = parse_name(p, s)) == NULL)
        return "no name and colon before the targets";
    return parse_targets(p, s);
}

int aliases_next(struct aliases_parser *p, struct alias_entry *out, struct aliases_fault *fault)
{
    if (!p->done || p->fetched)
        return 0;
    p->fetched = true;
    buf_clear(&p->text);
    buf_clear(&p->targets);
    fault->line = p->first + 1;
    fault->text = parse(p);
    if (fault->text == NULL && p->targets.len == 0 && !p->list)
        fault->text = "the alias has no target";
    if (fault->text != NULL)
        return -1;
    size_t n = p->targets.len / sizeof(struct draft);
    /* From offsets to pointers, in a place of their own behind the drafts. */
    struct alias_target *targets = buf_reserve(&p->targets, n * sizeof *targets);
    for (size_t i = 0; targets != NULL && i < n; i++) {
        struct draft d;
        memcpy(&d, p->targets.data + i * sizeof d, sizeof d);
        targets[i].kind = d.kind;
        targets[i].text = (const char *)p->text.data + d.offset;
    }
    *out = (struct alias_entry){.name = (const char *)p->text.data,
                                .line = p->first + 1,
                                .targets = targets,
                                .count = targets == NULL ? 0 : n};
    return 1;
}

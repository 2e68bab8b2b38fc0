#include "directory/dn.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"

/* A multi-valued RDN has few parts; more than this is malformed. */
#define PARTS_MAX 16

struct out {
    char *dst;
    size_t len;
    bool full;
};

static void put(struct out *o, char c)
{
    if (o->len + 1 >= DN_MAX)
        o->full = true;
    else
        o->dst[o->len++] = c;
}

/* A byte of a value: what could be taken for syntax, and what is not printable, as \xx. */
static void put_value(struct out *o, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    if (c < 0x20 || c == 0x7f || strchr(",+\"\\<>;=#", c) != NULL) {
        put(o, '\\');
        put(o, digits[c >> 4]);
        put(o, digits[c & 15]);
    } else {
        put(o, str_lower_char((char)c));
    }
}

static const char *skip_spaces(const char *s)
{
    while (*s == ' ')
        s++;
    return s;
}

static const char *parse_type(const char *s, struct out *o)
{
    const char *start = s = skip_spaces(s);
    for (; (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
           *s == '-' || *s == '.' || *s == '_' || *s == ';';
         s++)
        put(o, str_lower_char(*s));
    if (s == start)
        return NULL;
    s = skip_spaces(s);
    if (*s != '=')
        return NULL;
    put(o, '=');
    return s + 1;
}

/* One byte of a value behind a backslash: \xx or the character itself. */
static const char *parse_escape(const char *s, unsigned char *byte)
{
    char hex[3] = {0};
    if (s[0] == '\0')
        return NULL;
    if (s[1] != '\0') {
        memcpy(hex, s, 2);
        if (str_unhex(byte, 1, hex) == 0)
            return s + 2;
    }
    *byte = (unsigned char)s[0];
    return s + 1;
}

/*
 * A value up to its unescaped end. Spaces are held back until something follows, so that those at
 * either end vanish and runs become one.
 */
static const char *parse_value(const char *s, struct out *o)
{
    bool quoted = false, space = false, any = false;
    s = skip_spaces(s);
    if (*s == '"') {
        quoted = true;
        s++;
    }
    for (;;) {
        unsigned char c = (unsigned char)*s;
        if (c == '\0' || (quoted ? c == '"' : strchr(",+;", c) != NULL))
            break;
        if (!quoted && (c == '"' || c == '<' || c == '>'))
            return NULL;
        s++;
        if (c == '\\' && (s = parse_escape(s, &c)) == NULL)
            return NULL;
        if (c == ' ') {
            space = any;
            continue;
        }
        if (space)
            put(o, ' ');
        space = false;
        any = true;
        put_value(o, c);
    }
    if (quoted) {
        if (*s != '"')
            return NULL;
        s = skip_spaces(s + 1);
    }
    return s;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the n parts that stand, each ended by NUL, from offset start, and joins them by '+'. */
static void join_parts(struct out *o, size_t start, size_t n)
{
    char copy[DN_MAX], *part[PARTS_MAX];
    size_t len = o->len - start;
    memcpy(copy, o->dst + start, len);
    part[0] = copy;
    for (size_t i = 1; i < n; i++)
        part[i] = part[i - 1] + strlen(part[i - 1]) + 1;
    qsort(part, n, sizeof part[0], compare);
    o->len = start;
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            put(o, '+');
        for (const char *s = part[i]; *s != '\0'; s++)
            put(o, *s);
    }
}

static const char *parse_rdn(const char *s, struct out *o)
{
    size_t start = o->len, n = 0;
    for (;;) {
        if (n++ == PARTS_MAX || (s = parse_type(s, o)) == NULL || (s = parse_value(s, o)) == NULL)
            return NULL;
        if (*s != '+')
            break;
        put(o, '\0');
        s++;
    }
    if (o->full)
        return NULL;
    if (n > 1) {
        put(o, '\0');
        if (o->full)
            return NULL;
        join_parts(o, start, n);
    }
    return s;
}

int dn_normalize(const char *dn, char dst[DN_MAX])
{
    struct out o = {.dst = dst};
    const char *s = skip_spaces(dn);
    while (*s != '\0') {
        if ((s = parse_rdn(s, &o)) == NULL)
            return -1;
        if (*s == '\0')
            break;
        if ((*s != ',' && *s != ';') || s[1] == '\0')
            return -1;
        put(&o, ',');
        s++;
    }
    if (o.full)
        return -1;
    dst[o.len] = '\0';
    return (int)o.len;
}

static void reverse_bytes(char *s, size_t len)
{
    for (size_t i = 0; i < len / 2; i++) {
        char c = s[i];
        s[i] = s[len - 1 - i];
        s[len - 1 - i] = c;
    }
}

void dn_reverse(char *normal, size_t len)
{
    /* In a normal form a comma is always a separator: inside a value it is escaped as \2c. */
    reverse_bytes(normal, len);
    for (size_t start = 0; start < len;) {
        const char *end = memchr(normal + start, ',', len - start);
        size_t n = end == NULL ? len - start : (size_t)(end - normal) - start;
        reverse_bytes(normal + start, n);
        start += n + 1;
    }
}

size_t dn_depth(const char *normal)
{
    size_t n = normal[0] != '\0';
    for (; *normal != '\0'; normal++)
        n += *normal == ',';
    return n;
}

int dn_head(const char *dn, size_t n)
{
    bool quoted = false;
    if (n == 0)
        return 0;
    for (size_t i = 0; dn[i] != '\0'; i++) {
        if (dn[i] == '\\' && dn[i + 1] != '\0')
            i++;
        else if (dn[i] == '"')
            quoted = !quoted;
        else if (!quoted && (dn[i] == ',' || dn[i] == ';') && --n == 0)
            return (int)i;
    }
    return n == 1 ? (int)strlen(dn) : -1;
}

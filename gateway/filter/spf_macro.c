/* Macros (RFC 7208 section 7). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/filter/spf_private.h"

enum {
    DOMAIN_TEXT_MAX = 253,
    PARTS_MAX = 128,
    EXPANDED_MAX = 16384
};

/* One %{...}. */
struct macro {
    char letter;   /* lower-case */
    bool escape;   /* it was upper-case */
    unsigned keep; /* parts from the right; 0: all */
    bool reverse;
    char delimiters[8];
};

/* Reads the macro at p, behind "%{"; returns what follows its "}", or NULL where it is none. */
static const char *read_macro(const char *p, struct macro *m)
{
    size_t n = 0;

    m->letter = str_lower_char(*p);
    m->escape = m->letter != *p;
    if (*p == '\0' || strchr("slodipvhcrt", m->letter) == NULL)
        return NULL;
    p++;
    m->keep = 0;
    bool digits = *p >= '0' && *p <= '9';
    for (; *p >= '0' && *p <= '9'; p++)
        m->keep = m->keep < 1000 ? m->keep * 10 + (unsigned)(*p - '0') : m->keep;
    if (digits && m->keep == 0)
        return NULL;
    m->reverse = str_lower_char(*p) == 'r';
    if (m->reverse)
        p++;
    for (; *p != '\0' && strchr(".-+,/_=", *p) != NULL; p++) {
        if (memchr(m->delimiters, *p, n) == NULL)
            m->delimiters[n++] = *p;
    }
    m->delimiters[n] = '\0';
    if (n == 0)
        strcpy(m->delimiters, ".");
    return *p == '}' ? p + 1 : NULL;
}

bool spf_macro_valid(const char *text, bool explanation)
{
    struct macro m;

    for (const char *p = text; *p != '\0';) {
        if (*p != '%') {
            if ((unsigned char)*p > 0x7e || (unsigned char)*p < ' ' || (*p == ' ' && !explanation))
                return false;
            p++;
        } else if (p[1] == '{') {
            p = read_macro(p + 2, &m);
            if (p == NULL || (!explanation && strchr("crt", m.letter) != NULL))
                return false;
        } else if (p[1] == '%' || p[1] == '_' || p[1] == '-') {
            p += 2;
        } else {
            return false;
        }
    }
    return true;
}

bool spf_macro_needs_ptr(const char *text)
{
    for (const char *p = strchr(text, '%'); p != NULL; p = strchr(p, '%')) {
        if (p[1] == '{' && str_lower_char(p[2]) == 'p')
            return true;
        p += p[1] != '\0' ? 2 : 1;
    }
    return false;
}

/* The address as labels: decimal bytes, or nibbles (upper-case, as the test suite has them). */
static void dotted(const struct netaddr *ip, char *dst, size_t size)
{
    size_t n = 0;

    dst[0] = '\0';
    if (ip->family == 6) {
        for (int i = 0; i < 16; i++)
            n += (size_t)snprintf(dst + n, size - n, "%s%X.%X", i > 0 ? "." : "", ip->bytes[i] >> 4,
                                  ip->bytes[i] & 15);
    } else {
        snprintf(dst, size, "%u.%u.%u.%u", ip->bytes[0], ip->bytes[1], ip->bytes[2], ip->bytes[3]);
    }
}

static const char *macro_value(char letter, const struct spf_macros *m, char *dst, size_t size)
{
    struct netaddr plain = m->ip;

    plain.port = 0;
    switch (letter) {
    case 's':
        return m->sender;
    case 'l':
        return m->local;
    case 'o':
        return m->sender_domain;
    case 'd':
        return m->domain;
    case 'p':
        return m->validated != NULL ? m->validated : "unknown";
    case 'h':
        return m->helo;
    case 'r':
        return m->receiver;
    case 'v':
        return m->ip.family == 6 ? "ip6" : "in-addr";
    case 't':
        snprintf(dst, size, "%" PRId64, m->now);
        return dst;
    case 'c':
        return netaddr_str(&plain, dst);
    default:
        dotted(&m->ip, dst, size);
        return dst;
    }
}

static int put_escaped(struct buf *out, const char *s, size_t len, bool escape)
{
    int rc = 0;

    for (size_t i = 0; i < len && rc == 0; i++) {
        unsigned char c = (unsigned char)s[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     strchr("-._~", (char)c) != NULL;
        rc = !escape || plain ? buf_append_byte(out, c) : buf_printf(out, "%%%02X", c);
    }
    return rc;
}

/* Splits at the delimiters, reverses, keeps the right end, joins with dots. */
static int put_macro(struct buf *out, const struct macro *m, const char *value)
{
    const char *parts[PARTS_MAX];
    size_t lens[PARTS_MAX], n = 0;

    for (const char *p = value;; p += lens[n - 1] + 1) {
        if (n == PARTS_MAX)
            return -1;
        parts[n] = p;
        lens[n] = strcspn(p, m->delimiters);
        n++;
        if (p[lens[n - 1]] == '\0')
            break;
    }
    size_t first = m->keep > 0 && m->keep < n ? n - m->keep : 0;
    int rc = 0;
    for (size_t i = first; i < n && rc == 0; i++) {
        size_t k = m->reverse ? n - 1 - i : i;
        if (i > first)
            rc = buf_append_byte(out, '.');
        if (rc == 0)
            rc = put_escaped(out, parts[k], lens[k], m->escape);
    }
    return rc;
}

char *spf_macro_expand(const char *text, const struct spf_macros *macros, struct arena *arena)
{
    struct buf out = {.max = EXPANDED_MAX};
    struct macro m;
    char scratch[128], *result = NULL;
    int rc = 0;

    for (const char *p = text; *p != '\0' && rc == 0;) {
        if (*p != '%') {
            rc = buf_append_byte(&out, (unsigned char)*p++);
        } else if (p[1] == '{') {
            p = read_macro(p + 2, &m);
            if (p == NULL)
                break;
            rc = put_macro(&out, &m, macro_value(m.letter, macros, scratch, sizeof(scratch)));
        } else {
            rc = buf_append_str(&out, p[1] == '%' ? "%" : p[1] == '_' ? " " : "%20");
            p += 2;
        }
    }
    if (rc == 0)
        result = arena_strdup(arena, buf_str(&out));
    buf_free(&out);
    return result;
}

const char *spf_macro_domain(const char *text, const struct spf_macros *m, struct arena *arena)
{
    char *name = spf_macro_expand(text, m, arena);

    if (name == NULL)
        return NULL;
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '.')
        name[--len] = '\0';
    while (len > DOMAIN_TEXT_MAX) {
        char *dot = strchr(name, '.');
        if (dot == NULL)
            break;
        len -= (size_t)(dot + 1 - name);
        name = dot + 1;
    }
    return name;
}

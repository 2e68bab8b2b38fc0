#include "gateway/proto/smtp_address.h"

#include <string.h>

#include "gateway/base/str.h"

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* RFC 5322 atext. */
static bool is_atext(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* utf8: labels may be U-labels, whose form is looked at where they become A-labels. */
static bool hostname_valid(const char *s, size_t len, bool utf8)
{
    size_t label = 0;
    bool letter = false;

    if (len == 0 || len > SMTP_DOMAIN_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == '.') {
            if (label == 0 || s[i - 1] == '-')
                return false;
            label = 0;
            continue;
        }
        if (!is_alnum(c) && c != '-' && c != '_' && !(utf8 && (unsigned char)c >= 128))
            return false;
        if (c == '-' && label == 0)
            return false;
        if (!(c >= '0' && c <= '9'))
            letter = true;
        if (++label > 63)
            return false;
    }
    return label > 0 && s[len - 1] != '-' && letter;
}

bool smtp_hostname_valid(const char *s, size_t len)
{
    return hostname_valid(s, len, false);
}

bool smtp_hostname_fqdn(const char *s, size_t len)
{
    return smtp_hostname_valid(s, len) && memchr(s, '.', len) != NULL;
}

int smtp_literal_parse(const char *s, size_t len, struct netaddr *out)
{
    char text[NETADDR_STRLEN];
    bool six = false;

    if (len < 3 || s[0] != '[' || s[len - 1] != ']')
        return -1;
    s++;
    len -= 2;
    if (len > 5 && str_ieq_n(s, "IPv6:", 5)) {
        six = true;
        s += 5;
        len -= 5;
    }
    if (len >= sizeof(text) || memchr(s, '\0', len) != NULL || s[0] == '[')
        return -1;
    memcpy(text, s, len);
    text[len] = '\0';
    /* "IPv6:::ffff:192.0.2.1" counts as IPv4 in netaddr; the tag is what must fit the text. */
    if ((memchr(s, ':', len) != NULL) != six)
        return -1;
    return netaddr_parse(out, text);
}

/* The raw content of a local part; quoted ones are decoded. */
struct local {
    char raw[SMTP_LOCAL_MAX];
    size_t len;
};

static enum smtp_syntax scan_quoted(const char **cursor, const char *end, bool utf8,
                                    struct local *local, const char **error)
{
    const char *p = *cursor + 1;

    for (; p < end && *p != '"'; p++) {
        if (*p == '\\') {
            if (++p == end)
                break;
        }
        if (!utf8 && (unsigned char)*p >= 128) {
            *error = "the address has non-ASCII characters";
            return SMTP_SYNTAX_NEED_UTF8;
        }
        if ((unsigned char)*p < ' ' || *p == 127) {
            *error = "control character in a quoted local part";
            return SMTP_SYNTAX_ADDRESS;
        }
        if (local->len == sizeof(local->raw)) {
            *error = "local part too long";
            return SMTP_SYNTAX_ADDRESS;
        }
        local->raw[local->len++] = *p;
    }
    if (p >= end) {
        *error = "unterminated quoted local part";
        return SMTP_SYNTAX_ADDRESS;
    }
    *cursor = p + 1;
    return SMTP_SYNTAX_OK;
}

/* Bytes over 127 are taken for UTF-8, which the caller has checked or checks. */
static bool is_dot_string(const char *s, size_t len)
{
    bool atom = false;

    for (size_t i = 0; i < len; i++) {
        if (s[i] == '.') {
            if (!atom)
                return false;
            atom = false;
        } else if (is_atext(s[i]) || (unsigned char)s[i] >= 128) {
            atom = true;
        } else {
            return false;
        }
    }
    return atom;
}

static enum smtp_syntax scan_local(const char **cursor, const char *end, bool utf8,
                                   struct local *local, const char **error)
{
    const char *p = *cursor;

    local->len = 0;
    if (p < end && *p == '"')
        return scan_quoted(cursor, end, utf8, local, error);
    while (p < end && (*p == '.' || is_atext(*p) || (utf8 && (unsigned char)*p >= 128)))
        p++;
    if (p < end && (unsigned char)*p >= 128) {
        *error = "the address has non-ASCII characters";
        return SMTP_SYNTAX_NEED_UTF8;
    }
    size_t len = (size_t)(p - *cursor);
    if (len > sizeof(local->raw) || !is_dot_string(*cursor, len)) {
        *error = len > sizeof(local->raw) ? "local part too long" : "malformed local part";
        return SMTP_SYNTAX_ADDRESS;
    }
    memcpy(local->raw, *cursor, len);
    local->len = len;
    *cursor = p;
    return SMTP_SYNTAX_OK;
}

/* Writes the local part as short as RFC 5321 4.1.2 asks: in quotes only where they are needed. */
static size_t put_local(const struct local *local, char *dst)
{
    size_t n = 0;

    if (is_dot_string(local->raw, local->len)) {
        memcpy(dst, local->raw, local->len);
        return local->len;
    }
    dst[n++] = '"';
    for (size_t i = 0; i < local->len; i++) {
        if (local->raw[i] == '"' || local->raw[i] == '\\')
            dst[n++] = '\\';
        dst[n++] = local->raw[i];
    }
    dst[n++] = '"';
    return n;
}

/* The domain or address literal at *cursor. */
static enum smtp_syntax scan_domain(const char **cursor, const char *end, bool utf8, bool *literal,
                                    const char **error)
{
    const char *start = *cursor, *p = start;
    struct netaddr addr;

    *literal = p < end && *p == '[';
    if (*literal) {
        p = memchr(start, ']', (size_t)(end - start));
        p = p != NULL ? p + 1 : end;
        if (smtp_literal_parse(start, (size_t)(p - start), &addr) != 0) {
            *error = "malformed address literal";
            return SMTP_SYNTAX_ADDRESS;
        }
    } else {
        while (p < end && (is_alnum(*p) || *p == '-' || *p == '_' || *p == '.' ||
                           (utf8 && (unsigned char)*p >= 128)))
            p++;
        if (p < end && (unsigned char)*p >= 128) {
            *error = "the domain has non-ASCII characters";
            return SMTP_SYNTAX_NEED_UTF8;
        }
        if (!hostname_valid(start, (size_t)(p - start), utf8)) {
            *error = "malformed domain";
            return SMTP_SYNTAX_ADDRESS;
        }
    }
    *cursor = p;
    return SMTP_SYNTAX_OK;
}

static bool is_ascii(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] >= 128)
            return false;
    return true;
}

static enum smtp_syntax scan_address(const char **cursor, const char *end, bool utf8,
                                     struct arena *arena, struct smtp_address *out,
                                     const char **error)
{
    struct local local;
    bool literal = false;
    const char *domain = NULL, *start = *cursor;

    enum smtp_syntax r = scan_local(cursor, end, utf8, &local, error);
    if (r != SMTP_SYNTAX_OK)
        return r;
    if (*cursor < end && **cursor == '@') {
        domain = ++*cursor;
        r = scan_domain(cursor, end, utf8, &literal, error);
        if (r != SMTP_SYNTAX_OK)
            return r;
    }
    bool ascii = is_ascii(start, (size_t)(*cursor - start));
    if (!ascii && !str_utf8_valid(start, (size_t)(*cursor - start))) {
        *error = "the address is not UTF-8";
        return SMTP_SYNTAX_ADDRESS;
    }
    char *text = arena_alloc(arena, 2 * local.len + 3 + SMTP_DOMAIN_MAX + 2);
    if (text == NULL) {
        *error = "too many addresses";
        return SMTP_SYNTAX_COMMAND;
    }
    size_t n = put_local(&local, text);
    *out = (struct smtp_address){.text = text, .local_len = n, .literal = literal, .utf8 = !ascii};
    if (domain != NULL) {
        text[n++] = '@';
        out->domain = text + n;
        memcpy(text + n, domain, (size_t)(*cursor - domain));
        n += (size_t)(*cursor - domain);
    } else {
        out->domain = text + n;
    }
    text[n] = '\0';
    return SMTP_SYNTAX_OK;
}

enum smtp_syntax smtp_address_scan(const char **cursor, const char *end, struct arena *arena,
                                   struct smtp_address *out, const char **error)
{
    return scan_address(cursor, end, false, arena, out, error);
}

enum smtp_syntax smtp_address_parse(const char *s, size_t len, struct arena *arena,
                                    struct smtp_address *out, const char **error)
{
    const char *cursor = s;

    enum smtp_syntax r = smtp_address_scan(&cursor, s + len, arena, out, error);
    if (r == SMTP_SYNTAX_OK && cursor != s + len) {
        *error = "malformed address";
        return SMTP_SYNTAX_ADDRESS;
    }
    return r;
}

/* "@one,@two:" is checked for its form and left out. */
static enum smtp_syntax skip_route(const char **cursor, const char *end, bool utf8,
                                   const char **error)
{
    bool literal;

    while (*cursor < end && **cursor == '@') {
        ++*cursor;
        enum smtp_syntax r = scan_domain(cursor, end, utf8, &literal, error);
        if (r != SMTP_SYNTAX_OK)
            return r;
        if (*cursor < end && **cursor == ':') {
            ++*cursor;
            return SMTP_SYNTAX_OK;
        }
        if (*cursor >= end || **cursor != ',')
            break;
        ++*cursor;
    }
    *error = "malformed source route";
    return SMTP_SYNTAX_ADDRESS;
}

enum smtp_syntax smtp_path_scan(const char **cursor, const char *end, bool utf8,
                                struct arena *arena, struct smtp_address *out, const char **error)
{
    bool bracket = *cursor < end && **cursor == '<';
    enum smtp_syntax r;

    if (bracket)
        ++*cursor;
    if (bracket && *cursor < end && **cursor == '>') {
        ++*cursor;
        *out = (struct smtp_address){.text = "", .domain = ""};
        return SMTP_SYNTAX_OK;
    }
    if (bracket && *cursor < end && **cursor == '@') {
        r = skip_route(cursor, end, utf8, error);
        if (r != SMTP_SYNTAX_OK)
            return r;
    }
    r = scan_address(cursor, end, utf8, arena, out, error);
    if (r != SMTP_SYNTAX_OK)
        return r;
    if (bracket && (*cursor >= end || **cursor != '>')) {
        *error = "no closing bracket behind the address";
        return SMTP_SYNTAX_ADDRESS;
    }
    if (bracket)
        ++*cursor;
    if (*cursor < end && **cursor != ' ') {
        *error = "characters behind the address";
        return SMTP_SYNTAX_ADDRESS;
    }
    return SMTP_SYNTAX_OK;
}

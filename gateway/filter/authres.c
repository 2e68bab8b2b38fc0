#include "gateway/filter/authres.h"

#include <string.h>

#include "gateway/base/str.h"

enum {
    TEXT_MAX = 65536,
    VALUE_MAX = 320
};

/* ---- reading ---- */

/* Skips white space and comments; -1 where a comment has no end. */
static int skip_cfws(const char **p, const char *end)
{
    unsigned depth = 0;

    while (*p < end && (depth > 0 || strchr(" \t\r\n(", **p) != NULL)) {
        if (**p == '\\' && depth > 0 && *p + 1 < end)
            (*p)++;
        else if (**p == '(')
            depth++;
        else if (**p == ')')
            depth--;
        (*p)++;
    }
    return depth == 0 ? 0 : -1;
}

bool authres_claims(const struct header_field *field, const char *id)
{
    const char *p = field->value, *end = p + field->value_len;
    struct buf name = {.max = 1024};
    bool quoted, claims;

    if (!header_field_is(field, "Authentication-Results"))
        return false;
    if (skip_cfws(&p, end) != 0)
        return true;
    quoted = p < end && *p == '"';
    if (quoted)
        p++;
    for (; p < end && (quoted ? *p != '"' : strchr(" \t\r\n(;\"", *p) == NULL); p++) {
        if (quoted && *p == '\\' && p + 1 < end)
            p++;
        if (buf_append_byte(&name, (unsigned char)*p) != 0)
            break;
    }
    claims = name.len == 0 || str_ieq(buf_str(&name), id);
    buf_free(&name);
    return claims;
}

/* ---- writing ---- */

void authres_begin(struct authres *a, const char *id)
{
    *a = (struct authres){.text.max = TEXT_MAX};
    (void)buf_append_str(&a->text, id);
}

void authres_free(struct authres *a)
{
    buf_free(&a->text);
}

/* What is full stays as it is: the field is then shorter, and never malformed. */
static void put(struct authres *a, const char *s)
{
    (void)buf_append_str(&a->text, s);
}

static bool plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c >= 0x80 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.@", c) != NULL);
}

/* A value that somebody else chose. */
static void put_value(struct authres *a, const char *s)
{
    bool token = *s != '\0';
    size_t len = strnlen(s, VALUE_MAX);

    for (size_t i = 0; i < len; i++)
        token &= plain((unsigned char)s[i]) && s[i] != '=';
    if (!token)
        put(a, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (!token && (c == '"' || c == '\\'))
            (void)buf_append_byte(&a->text, '\\');
        (void)buf_append_byte(&a->text, c < ' ' || c == 0x7f ? '?' : c);
    }
    if (!token)
        put(a, "\"");
}

static void put_property(struct authres *a, const char *name, const char *value)
{
    put(a, " ");
    put(a, name);
    put(a, "=");
    put_value(a, value);
}

static void begin_method(struct authres *a, const char *method, const char *result)
{
    (void)buf_printf(&a->text, ";\r\n\t%s=%s", method, result);
    a->any = true;
}

/* A comment of our own words. */
static void put_comment(struct authres *a, const char *text)
{
    if (*text != '\0')
        (void)buf_printf(&a->text, " (%s)", text);
}

static void put_reason(struct authres *a, const char *text)
{
    if (*text != '\0')
        put_property(a, "reason", text);
}

void authres_spf(struct authres *a, const struct spf_verdict *v, const char *sender,
                 const char *helo)
{
    begin_method(a, "spf", spf_result_name(v->result));
    put_reason(a, v->problem);
    if (v->by_helo)
        put_property(a, "smtp.helo", helo);
    else
        put_property(a, "smtp.mailfrom", sender);
}

void authres_dkim(struct authres *a, const struct dkim_result *r)
{
    begin_method(a, "dkim", auth_result_name(r->result));
    if (r->bits > 0)
        (void)buf_printf(&a->text, " (%u-bit %s key%s)", r->bits, r->algorithm,
                         r->testing ? ", testing" : "");
    put_reason(a, r->reason);
    if (*r->domain != '\0')
        put_property(a, "header.d", r->domain);
    if (*r->selector != '\0')
        put_property(a, "header.s", r->selector);
    if (*r->identity != '\0' && strcmp(r->identity + 1, r->domain) != 0)
        put_property(a, "header.i", r->identity);
    if (*r->tag != '\0')
        put_property(a, "header.b", r->tag);
}

void authres_no_dkim(struct authres *a)
{
    begin_method(a, "dkim", "none");
}

void authres_arc(struct authres *a, const struct arc_result *r)
{
    begin_method(a, "arc", auth_result_name(r->result));
    if (r->result == AUTH_PASS)
        (void)buf_printf(&a->text, " (i=%u)", r->instances);
    put_reason(a, r->reason);
}

void authres_dmarc(struct authres *a, const struct dmarc_result *r, const char *author,
                   const char *done, const char *override)
{
    begin_method(a, "dmarc", auth_result_name(r->result));
    if (r->result == AUTH_PASS || r->result == AUTH_FAIL)
        (void)buf_printf(&a->text, " (p=%s dis=%s)", dmarc_policy_name(r->published), done);
    put_comment(a, override != NULL ? override : "");
    put_reason(a, r->reason);
    if (author != NULL)
        put_property(a, "header.from", author);
}

const char *authres_text(struct authres *a)
{
    return a->any ? buf_str(&a->text) : "";
}

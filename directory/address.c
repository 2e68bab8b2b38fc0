#include "directory/address.h"

#include <idn2.h>
#include <string.h>

#include "gateway/base/str.h"

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

/* RFC 5322 atext, and the dot. */
static bool is_atom_or_dot(unsigned char c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL);
}

static int add(char *dst, size_t *len, char c)
{
    if (*len == ADDRESS_LOCAL_MAX)
        return -1;
    dst[(*len)++] = c;
    return 0;
}

/* Both return where the local part ends, or NULL. */
static const char *parse_quoted(char *dst, const char *s)
{
    size_t len = 0;
    for (s++; *s != '"'; s++) {
        if (*s == '\\')
            s++;
        if (is_control((unsigned char)*s) || add(dst, &len, *s) < 0)
            return NULL;
    }
    dst[len] = '\0';
    return s + 1;
}

static const char *parse_dotted(char *dst, const char *s)
{
    size_t len = 0;
    for (; is_atom_or_dot((unsigned char)*s); s++)
        if (add(dst, &len, *s) < 0)
            return NULL;
    dst[len] = '\0';
    return s;
}

static int literal(char *dst, const char *text)
{
    size_t len = strlen(text);
    if (len < 3 || len > ADDRESS_DOMAIN_MAX || text[len - 1] != ']')
        return -1;
    for (size_t i = 1; i + 1 < len; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f ||
            strchr("[]\\@", text[i]) != NULL)
            return -1;
    memcpy(dst, text, len + 1);
    str_lower(dst);
    return 0;
}

static bool is_label_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

/* Letters, digits, hyphens and underscores, in labels. */
static int ascii_domain(char *dst, const char *text, size_t len)
{
    size_t label = 0;
    if (len == 0 || len > ADDRESS_DOMAIN_MAX)
        return -1;
    for (size_t i = 0; i < len; i++) {
        char c = str_lower_char(text[i]);
        if (c == '.') {
            if (label == 0)
                return -1;
            label = 0;
        } else if (!is_label_char((unsigned char)c) || ++label > 63) {
            return -1;
        }
        dst[i] = c;
    }
    dst[len] = '\0';
    return label == 0 ? -1 : 0;
}

/* U-labels become A-labels (RFC 5891, with the mapping of UTS 46): one domain has one form. */
static int idn_domain(char *dst, const char *text, size_t len)
{
    char whole[ADDRESS_DOMAIN_MAX + 1];
    uint8_t *ascii = NULL;
    memcpy(whole, text, len);
    whole[len] = '\0';
    int rc = idn2_lookup_u8((const uint8_t *)whole, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    rc = rc == IDN2_OK ? ascii_domain(dst, (const char *)ascii, strlen((const char *)ascii)) : -1;
    idn2_free(ascii);
    return rc;
}

static bool is_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

int address_domain(char *dst, const char *text)
{
    if (text[0] == '[')
        return literal(dst, text);
    size_t len = strlen(text);
    if (len > 0 && text[len - 1] == '.')
        len--;
    if (is_ascii(text, len))
        return ascii_domain(dst, text, len);
    return len <= ADDRESS_DOMAIN_MAX && str_utf8_valid(text, len) ? idn_domain(dst, text, len) : -1;
}

bool address_same_domain(const char *normal, const char *text)
{
    char other[ADDRESS_DOMAIN_MAX + 1];
    if (is_ascii(text, strlen(text)))
        return str_ieq(normal, text);
    return address_domain(other, text) == 0 && strcmp(normal, other) == 0;
}

int address_parse(struct address *out, const char *text)
{
    const char *rest =
        text[0] == '"' ? parse_quoted(out->local, text) : parse_dotted(out->local, text);
    if (rest == NULL || out->local[0] == '\0' || !str_utf8_valid(out->local, strlen(out->local)))
        return -1;
    out->domain[0] = '\0';
    if (*rest == '\0')
        return 0;
    return *rest == '@' ? address_domain(out->domain, rest + 1) : -1;
}

static bool is_dot_string(const char *s)
{
    char before = '.';
    for (; *s != '\0'; before = *s++)
        if (!is_atom_or_dot((unsigned char)*s) || (*s == '.' && before == '.'))
            return false;
    return before != '.';
}

const char *address_format(const struct address *a, char dst[ADDRESS_STRLEN])
{
    char *d = dst;
    bool quote = !is_dot_string(a->local);
    if (quote)
        *d++ = '"';
    for (const char *s = a->local; *s != '\0'; s++) {
        if (quote && (*s == '"' || *s == '\\'))
            *d++ = '\\';
        *d++ = *s;
    }
    if (quote)
        *d++ = '"';
    if (a->domain[0] != '\0')
        *d++ = '@';
    strcpy(d, a->domain);
    return dst;
}

size_t address_fold(const struct address *a, char dst[ADDRESS_STRLEN])
{
    size_t len = strlen(a->local), domain = strlen(a->domain);
    for (size_t i = 0; i < len; i++)
        dst[i] = str_lower_char(a->local[i]);
    if (domain > 0) {
        dst[len++] = '@';
        memcpy(dst + len, a->domain, domain);
        len += domain;
    }
    dst[len] = '\0';
    return len;
}

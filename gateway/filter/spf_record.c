/* SPF records (RFC 7208 sections 4.6 to 6, grammar in section 12). */
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/filter/spf_private.h"

#define VERSION "v=spf1"

enum {
    TERMS_MAX = 512,
    VERSION_LEN = sizeof(VERSION) - 1
};

bool spf_record_is(const uint8_t *data, size_t len)
{
    return len >= VERSION_LEN && str_ieq_n((const char *)data, VERSION, VERSION_LEN) &&
           (len == VERSION_LEN || data[VERSION_LEN] == ' ');
}

static bool alpha(char c)
{
    c = str_lower_char(c);
    return c >= 'a' && c <= 'z';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The end of a domain-spec: a macro, or a top-level label that is no number. */
static bool domain_end_valid(const char *text)
{
    size_t len = strlen(text);

    if (len == 0)
        return false;
    if (text[len - 1] == '}') /* of a macro: the text is a valid macro-string */
        return true;
    /* "%%", "%_" and "%-" end no domain, but a macro-literal may look like them. */
    if (len >= 2 && text[len - 2] == '%' && strchr("%_-", text[len - 1]) != NULL)
        return false;
    if (text[len - 1] == '.')
        len--;
    size_t from = len;
    while (from > 0 && text[from - 1] != '.' && text[from - 1] != '}')
        from--;
    if (from == 0 || text[from - 1] != '.' || from == len)
        return false;
    bool letter = false;
    for (size_t i = from; i < len; i++) {
        bool alnum = alpha(text[i]) || digit(text[i]);
        if (!alnum && (text[i] != '-' || i == from || i == len - 1))
            return false;
        letter |= alpha(text[i]) || text[i] == '-';
    }
    return letter;
}

static bool domain_spec_valid(const char *text)
{
    return spf_macro_valid(text, false) && domain_end_valid(text);
}

/* "24": no leading zero, at most max. -1 for anything else. */
static int prefix_length(const char *s, size_t len, unsigned max)
{
    uint64_t n;

    if (len == 0 || len > 3 || (len > 1 && s[0] == '0') || str_uint(s, len, max, &n) != 0)
        return -1;
    return (int)n;
}

/* The slash that begins a number at the end of text; NULL: there is none. */
static char *trailing_number(char *text, size_t len)
{
    size_t i = len;

    while (i > 0 && digit(text[i - 1]))
        i--;
    return i > 0 && text[i - 1] == '/' ? text + i - 1 : NULL;
}

/* Cuts dual-cidr-length off the end of text. -1 where it is out of range. */
static int cut_dual_cidr(char *text, struct spf_term *term)
{
    size_t len = strlen(text);
    char *slash = trailing_number(text, len);
    int n;

    term->bits4 = 32;
    term->bits6 = 128;
    if (slash != NULL && slash > text && slash[-1] == '/') {
        n = prefix_length(slash + 1, len - (size_t)(slash + 1 - text), 128);
        if (n < 0)
            return -1;
        term->bits6 = (uint8_t)n;
        len = (size_t)(slash - 1 - text);
        text[len] = '\0';
        slash = trailing_number(text, len);
    }
    if (slash == NULL)
        return 0;
    n = prefix_length(slash + 1, len - (size_t)(slash + 1 - text), 32);
    if (n < 0)
        return -1;
    term->bits4 = (uint8_t)n;
    *slash = '\0';
    return 0;
}

static int read_network(struct spf_term *term, char *arg)
{
    unsigned family = term->mechanism == SPF_IP4 ? 4 : 6, max = family == 4 ? 32 : 128;
    char *slash = strchr(arg, '/');
    int bits = (int)max;

    if (slash != NULL) {
        bits = prefix_length(slash + 1, strlen(slash + 1), max);
        *slash = '\0';
    }
    if (bits < 0 || strchr(arg, '[') != NULL || (strchr(arg, ':') != NULL) != (family == 6) ||
        netaddr_parse(&term->network.addr, arg) != 0)
        return -1;
    /* ::ffff:a.b.c.d counts as IPv4 elsewhere; an ip6 network of it matches nobody. */
    if (family == 6 && term->network.addr.family == 4)
        term->network.addr.family = 0;
    term->network.bits = (uint8_t)bits;
    return 0;
}

/* The name of a mechanism, and what may follow it. */
static const struct {
    const char *name;
    enum spf_mechanism mechanism;
    bool domain, needs_domain, cidr, network;
} mechanisms[] = {
    {"all", SPF_ALL, false, false, false, false},
    {"include", SPF_INCLUDE, true, true, false, false},
    {"a", SPF_A, true, false, true, false},
    {"mx", SPF_MX, true, false, true, false},
    {"ptr", SPF_PTR, true, false, false, false},
    {"ip4", SPF_IP4, false, false, false, true},
    {"ip6", SPF_IP6, false, false, false, true},
    {"exists", SPF_EXISTS, true, true, false, false},
};

static enum spf_result read_qualifier(char **text)
{
    switch (**text) {
    case '-':
        (*text)++;
        return SPF_FAIL;
    case '~':
        (*text)++;
        return SPF_SOFTFAIL;
    case '?':
        (*text)++;
        return SPF_NEUTRAL;
    case '+':
        (*text)++;
        return SPF_PASS;
    default:
        return SPF_PASS;
    }
}

static const char *read_mechanism(struct spf_term *term, char *text)
{
    term->qualifier = read_qualifier(&text);
    size_t len = strcspn(text, ":/"), i = 0, count = sizeof(mechanisms) / sizeof(*mechanisms);

    while (i < count && !str_is(text, len, mechanisms[i].name))
        i++;
    if (i == count)
        return "unknown mechanism";
    term->mechanism = mechanisms[i].mechanism;
    char *rest = text + len;
    if (mechanisms[i].network)
        return *rest == ':' && read_network(term, rest + 1) == 0 ? NULL : "malformed network";
    if (mechanisms[i].cidr && cut_dual_cidr(rest, term) != 0)
        return "malformed prefix length";
    if (*rest == '\0')
        return mechanisms[i].needs_domain ? "a domain is missing" : NULL;
    if (*rest != ':' || !mechanisms[i].domain)
        return "malformed mechanism";
    if (!domain_spec_valid(rest + 1))
        return "malformed domain";
    term->domain = rest + 1;
    return NULL;
}

/* Whether text is name=value; the name's length. */
static size_t modifier_name(const char *text)
{
    size_t n = 0;

    if (!alpha(text[0]))
        return 0;
    while (alpha(text[n]) || digit(text[n]) || (text[n] != '\0' && strchr("-_.", text[n]) != NULL))
        n++;
    return text[n] == '=' ? n : 0;
}

static const char *read_modifier(struct spf_record *out, char *text, size_t name_len)
{
    const char **field = NULL, *value = text + name_len + 1;

    if (str_is(text, name_len, "redirect"))
        field = &out->redirect;
    else if (str_is(text, name_len, "exp"))
        field = &out->exp;
    if (field == NULL)
        return spf_macro_valid(value, false) ? NULL : "malformed modifier";
    if (*field != NULL)
        return "a modifier is there twice";
    if (!domain_spec_valid(value))
        return "malformed domain";
    *field = value;
    return NULL;
}

const char *spf_record_read(struct spf_record *out, const uint8_t *data, size_t len,
                            struct arena *arena)
{
    const char *p, *term, *why = NULL;
    size_t term_len;

    for (size_t i = 0; i < len; i++) {
        if (data[i] < ' ' || data[i] > 0x7e)
            return "the record is not ASCII";
    }
    size_t most = 1;
    for (size_t i = 0; i < len; i++)
        most += data[i] == ' ';
    if (most > TERMS_MAX)
        most = TERMS_MAX;
    *out = (struct spf_record){.terms = arena_alloc(arena, most * sizeof(*out->terms))};
    p = arena_strndup(arena, data + VERSION_LEN, len - VERSION_LEN);
    if (out->terms == NULL || p == NULL)
        return "the record is too large";
    while (why == NULL && str_token(&p, " ", &term, &term_len)) {
        char *text = arena_strndup(arena, term, term_len);
        if (text == NULL || out->count == most)
            return "the record is too large";
        size_t name = modifier_name(text);
        if (name > 0) {
            why = read_modifier(out, text, name);
            continue;
        }
        struct spf_term *t = &out->terms[out->count++];
        t->text = arena_strndup(arena, term, term_len);
        why = t->text == NULL ? "the record is too large" : read_mechanism(t, text);
    }
    return why;
}

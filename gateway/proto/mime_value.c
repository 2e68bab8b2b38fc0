/* Structured header values: content types with parameters, tokens, address lists. */
#include "gateway/proto/mime_value.h"

#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/proto/header.h"

#define COMMENT_DEPTH 10

static bool is_token_char(char c)
{
    return c > ' ' && c != 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* Behind white space and comments; the last comment's text is kept in *comment where that is not
 * NULL. */
static const char *skip_cfws(struct arena *arena, const char *s, const char **comment)
{
    for (;;) {
        while (*s == ' ' || *s == '\t' || *s == '\r' || *s == '\n')
            s++;
        if (*s != '(')
            return s;
        const char *start = ++s;
        int depth = 1;
        for (; *s != '\0'; s++) {
            if (*s == '\\' && s[1] != '\0')
                s++;
            else if (*s == '(' && depth < COMMENT_DEPTH)
                depth++;
            else if (*s == ')' && --depth == 0)
                break;
        }
        if (comment != NULL)
            *comment = arena_strndup(arena, start, (size_t)(s - start));
        if (*s == ')')
            s++;
    }
}

static char *take_token(struct arena *arena, const char **s)
{
    const char *start = *s;
    while (is_token_char(**s))
        (*s)++;
    return *s > start ? arena_strndup(arena, start, (size_t)(*s - start)) : NULL;
}

static char *take_lower_token(struct arena *arena, const char **s)
{
    char *token = take_token(arena, s);
    if (token != NULL)
        str_lower(token);
    return token;
}

/* The text of a quoted string whose first quote is at *s, without quotes and backslashes. */
static const char *take_quoted(struct arena *arena, const char **s)
{
    const char *p = *s + 1;
    char *out = arena_strdup(arena, p);
    size_t n = 0;
    for (; *p != '\0' && *p != '"'; p++) {
        if (*p == '\\' && p[1] != '\0')
            p++;
        if (out != NULL)
            out[n++] = *p;
    }
    if (out != NULL)
        out[n] = '\0';
    *s = *p == '"' ? p + 1 : p;
    return out;
}

static struct mime_param *take_param(struct arena *arena, const char **s)
{
    const char *name = take_lower_token(arena, s);
    const char *value = NULL;
    *s = skip_cfws(arena, *s, NULL);
    if (name == NULL || **s != '=')
        return NULL;
    *s = skip_cfws(arena, *s + 1, NULL);
    if (**s == '"') {
        value = take_quoted(arena, s);
    } else {
        /* Names with spaces and slashes are sent unquoted by some; a value goes up to the
         * semicolon. */
        size_t len = strcspn(*s, ";");
        const char *start = *s;
        *s += len;
        while (len > 0 && (start[len - 1] == ' ' || start[len - 1] == '\t'))
            len--;
        value = arena_strndup(arena, start, len);
    }
    struct mime_param *param = arena_alloc(arena, sizeof(*param));
    if (param == NULL || value == NULL)
        return NULL;
    param->name = name;
    param->value = value;
    return param;
}

/* ---- RFC 2231 section 3: a parameter in numbered pieces ---- */

/* Whether name is BASE*NUMBER or BASE*NUMBER*; *base_len, *number and *encoded say which. */
static bool param_piece(const char *name, size_t *base_len, unsigned *number, bool *encoded)
{
    const char *star = strchr(name, '*');
    if (star == NULL || star == name || star[1] < '0' || star[1] > '9')
        return false;
    const char *s = star + 1;
    *number = 0;
    for (; *s >= '0' && *s <= '9' && *number < 10000; s++)
        *number = *number * 10 + (unsigned)(*s - '0');
    *encoded = *s == '*';
    *base_len = (size_t)(star - name);
    return s[*encoded] == '\0';
}

static struct mime_param *param_find_piece(struct mime_param *list, const char *base,
                                           size_t base_len, unsigned number)
{
    for (; list != NULL; list = list->next) {
        size_t len;
        unsigned n;
        bool encoded;
        if (param_piece(list->name, &len, &n, &encoded) && n == number && len == base_len &&
            memcmp(list->name, base, len) == 0)
            return list;
    }
    return NULL;
}

/* A plain piece among encoded ones is encoded too, so that the whole reads as one. */
static void param_append_encoded(struct buf *out, const char *value)
{
    for (; *value != '\0'; value++)
        if (is_token_char(*value) && strchr("*'%", *value) == NULL)
            buf_append_byte(out, (unsigned char)*value);
        else
            buf_printf(out, "%%%02X", (unsigned char)*value);
}

/* The pieces of the parameter whose piece 0 is first become one, in first's place. */
static void param_join(struct arena *arena, struct mime_param *list, struct mime_param *first,
                       size_t base_len)
{
    const char *base = first->name;
    struct buf out = {.max = 65536};
    struct mime_param *piece;
    bool any_encoded = false, encoded;
    unsigned n;
    size_t len;
    for (unsigned i = 0; (piece = param_find_piece(list, base, base_len, i)) != NULL; i++)
        any_encoded = (param_piece(piece->name, &len, &n, &encoded) && encoded) || any_encoded;
    for (unsigned i = 0; (piece = param_find_piece(list, base, base_len, i)) != NULL; i++) {
        param_piece(piece->name, &len, &n, &encoded);
        if (piece->value == NULL) /* taken by another piece 0 */
            continue;
        if (any_encoded && !encoded)
            param_append_encoded(&out, piece->value);
        else
            buf_append_str(&out, piece->value);
        if (piece != first)
            piece->value = NULL; /* taken: param_tidy leaves it out */
    }
    const char *value = arena_strndup(arena, out.data, out.len);
    const char *name = arena_printf(arena, "%.*s%s", (int)base_len, base, any_encoded ? "*" : "");
    if (value != NULL && name != NULL) {
        first->name = name;
        first->value = value;
    }
    buf_free(&out);
}

static void param_tidy(struct arena *arena, struct mime_param **list)
{
    size_t len;
    unsigned number;
    bool encoded;
    for (struct mime_param *p = *list; p != NULL; p = p->next)
        if (p->value != NULL && param_piece(p->name, &len, &number, &encoded) && number == 0)
            param_join(arena, *list, p, len);
    while (*list != NULL)
        if ((*list)->value == NULL)
            *list = (*list)->next;
        else
            list = &(*list)->next;
}

bool mime_value_with_params(struct arena *arena, const char *value, unsigned max, const char **type,
                            const char **subtype, struct mime_param **params, bool *limited)
{
    const char *s = skip_cfws(arena, value, NULL);
    struct mime_param **last = params;
    unsigned count = 0;
    *params = NULL;
    *type = take_lower_token(arena, &s);
    if (*type == NULL)
        return false;
    if (subtype != NULL) {
        s = skip_cfws(arena, s, NULL);
        if (*s != '/')
            return false;
        s = skip_cfws(arena, s + 1, NULL);
        *subtype = take_lower_token(arena, &s);
        if (*subtype == NULL)
            return false;
    }
    for (;;) {
        s += strcspn(s, ";");
        if (*s == '\0')
            break;
        if (count++ == max) {
            *limited = true;
            break;
        }
        s = skip_cfws(arena, s + 1, NULL);
        *last = take_param(arena, &s);
        if (*last != NULL)
            last = &(*last)->next;
    }
    param_tidy(arena, params);
    return true;
}

const char *mime_value_token(struct arena *arena, const char *value)
{
    const char *s = skip_cfws(arena, value, NULL);
    return take_lower_token(arena, &s);
}

struct mime_word *mime_value_words(struct arena *arena, const char *value, unsigned max)
{
    struct mime_word *first = NULL, **last = &first;
    const char *s = value;
    for (unsigned n = 0; n < max && *(s = skip_cfws(arena, s, NULL)) != '\0';) {
        const char *token = take_token(arena, &s);
        if (token == NULL) {
            s++;
            continue;
        }
        *last = arena_alloc(arena, sizeof(**last));
        if (*last == NULL)
            break;
        (*last)->text = token;
        last = &(*last)->next;
        n++;
    }
    return first;
}

const char *mime_param_value(const struct mime_param *list, const char *name)
{
    for (; list != NULL; list = list->next)
        if (str_ieq(list->name, name))
            return list->value;
    return NULL;
}

/* ---- addresses ---- */

struct address_parser {
    struct arena *arena;
    const char *s;
    struct mime_address *first, **last;
    unsigned left;
    bool in_group;
};

static struct mime_address *address_add(struct address_parser *p, const char *name, const char *adl,
                                        const char *mailbox, const char *host)
{
    struct mime_address *a = p->left > 0 ? arena_alloc(p->arena, sizeof(*a)) : NULL;
    if (a == NULL) {
        p->left = 0;
        return NULL;
    }
    p->left--;
    a->name = name;
    a->adl = adl;
    a->mailbox = mailbox;
    a->host = host;
    *p->last = a;
    p->last = &a->next;
    return a;
}

/* A run of words and quoted strings up to one of the bytes in stop; joined by single spaces, or as
 * they stand where dots or @ tie them together. */
static const char *address_phrase(struct address_parser *p, const char *stop, const char **comment)
{
    struct buf out = {.max = 65536};
    bool space = false;
    for (;;) {
        const char *before = p->s;
        p->s = skip_cfws(p->arena, p->s, comment);
        if (p->s != before)
            space = true;
        if (*p->s == '\0' || strchr(stop, *p->s) != NULL)
            break;
        if (space && out.len > 0 && *p->s != '.' && out.data[out.len - 1] != '.')
            buf_append_byte(&out, ' ');
        space = false;
        if (*p->s == '"') {
            const char *text = take_quoted(p->arena, &p->s);
            if (text != NULL)
                buf_append_str(&out, text);
            continue;
        }
        buf_append_byte(&out, (unsigned char)*p->s++);
    }
    char *text = out.len > 0 ? arena_strndup(p->arena, out.data, out.len) : NULL;
    buf_free(&out);
    return text;
}

/* Behind '<': an optional source route, then local@domain, up to '>'. */
static void address_angle(struct address_parser *p, const char *name, const char *comment)
{
    const char *adl = NULL;
    p->s = skip_cfws(p->arena, p->s + 1, NULL);
    if (*p->s == '@') {
        adl = address_phrase(p, ":>", NULL);
        if (*p->s == ':')
            p->s++;
    }
    const char *mailbox = address_phrase(p, "@>", NULL);
    const char *host = NULL;
    if (*p->s == '@') {
        p->s++;
        host = address_phrase(p, ">", NULL);
    }
    if (*p->s == '>')
        p->s++;
    p->s = skip_cfws(p->arena, p->s, &comment);
    if (mailbox != NULL || host != NULL)
        address_add(p, name != NULL ? name : comment, adl, mailbox != NULL ? mailbox : "",
                    host != NULL ? host : "");
    p->s += strcspn(p->s, p->in_group ? ",;" : ",");
}

static void address_one(struct address_parser *p)
{
    const char *comment = NULL;
    const char *word = address_phrase(p, "<@,:;", &comment);
    switch (*p->s) {
    case '<':
        address_angle(p, word, comment);
        return;
    case '@': {
        p->s++;
        const char *host = address_phrase(p, ",;<", &comment);
        address_add(p, comment, NULL, word != NULL ? word : "", host != NULL ? host : "");
        return;
    }
    case ':':
        p->s++;
        if (!p->in_group && word != NULL)
            p->in_group = address_add(p, NULL, NULL, word, NULL) != NULL;
        return;
    default:
        if (word != NULL)
            address_add(p, comment, NULL, word, "");
    }
}

struct mime_address *mime_addresses(const char *value, size_t len, unsigned max,
                                    struct arena *arena, bool *limited)
{
    struct buf text = {.max = len + 1};
    header_unfold(&text, value, len);
    struct address_parser p = {.arena = arena, .s = buf_str(&text), .left = max};
    p.last = &p.first;
    while (*p.s != '\0' && p.left > 0) {
        p.s = skip_cfws(arena, p.s, NULL);
        if (*p.s == ',') {
            p.s++;
        } else if (*p.s == ';') {
            p.s++;
            if (p.in_group)
                address_add(&p, NULL, NULL, NULL, NULL);
            p.in_group = false;
        } else if (*p.s != '\0') {
            const char *before = p.s;
            address_one(&p);
            if (p.s == before)
                p.s++;
        }
    }
    if (limited != NULL && *p.s != '\0')
        *limited = true;
    /* A group that was never closed still ends, so that what a client reads is balanced. */
    if (p.in_group) {
        p.left = 1;
        address_add(&p, NULL, NULL, NULL, NULL);
    }
    buf_free(&text);
    return p.first;
}

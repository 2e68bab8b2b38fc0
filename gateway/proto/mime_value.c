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

/* The len bytes at s, of a comment or a quoted string, without their backslashes. */
static const char *unescape(struct arena *arena, const char *s, size_t len)
{
    char *out = arena_strndup(arena, s, len);
    size_t n = 0;
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\\' && i + 1 < len)
            i++;
        out[n++] = s[i];
    }
    out[n] = '\0';
    return out;
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
            *comment = s > start ? unescape(arena, start, (size_t)(s - start)) : NULL;
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
    const char *start = *s + 1, *p = start;
    for (; *p != '\0' && *p != '"'; p++)
        if (*p == '\\' && p[1] != '\0')
            p++;
    *s = *p == '"' ? p + 1 : p;
    return unescape(arena, start, (size_t)(p - start));
}

/* A value without quotes. Names with spaces and slashes are sent so by some: what no comment
 * explains goes up to the semicolon. */
static const char *take_plain(struct arena *arena, const char **s)
{
    const char *start = *s, *end = start;
    while (is_token_char(*end))
        end++;
    const char *after = skip_cfws(arena, end, NULL);
    if (*after != ';' && *after != '\0') {
        after = start + strcspn(start, ";");
        for (end = after; end > start && (end[-1] == ' ' || end[-1] == '\t');)
            end--;
    }
    *s = after;
    return arena_strndup(arena, start, (size_t)(end - start));
}

static struct mime_param *take_param(struct arena *arena, const char **s)
{
    const char *name = take_lower_token(arena, s);
    const char *value = NULL;
    *s = skip_cfws(arena, *s, NULL);
    if (name == NULL || **s != '=')
        return NULL;
    *s = skip_cfws(arena, *s + 1, NULL);
    value = **s == '"' ? take_quoted(arena, s) : take_plain(arena, s);
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

/* Behind what is no parameter, at the next ';' outside quotes and comments, or at the end. */
static const char *skip_to_param(const char *s)
{
    for (; *(s = skip_cfws(NULL, s, NULL)) != ';' && *s != '\0'; s++) {
        if (*s != '"')
            continue;
        while (s[1] != '\0' && *++s != '"')
            if (*s == '\\' && s[1] != '\0')
                s++;
    }
    return s;
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
        s = skip_to_param(s);
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
        if (!is_token_char(*s)) {
            s++;
            continue;
        }
        const char *token = take_token(arena, &s);
        if (token == NULL)
            break; /* no room */
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
    struct mime_address *group_end; /* of the group that is open: its room is taken beforehand, so
                                       that a group always ends */
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

static const char *address_keep(struct address_parser *p, struct buf *text)
{
    const char *kept = text->len > 0 ? arena_strndup(p->arena, text->data, text->len) : NULL;
    buf_free(text);
    return kept;
}

/* A run of words and quoted strings up to one of the bytes in stop, joined by single spaces. Where
 * name is not NULL it gets that; what is returned is a local part or domain, whose words dots tie
 * together whatever space is around them. */
static const char *address_phrase(struct address_parser *p, const char *stop, const char **comment,
                                  const char **name)
{
    struct buf out = {.max = 65536}, words = {.max = 65536};
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
        if (space && words.len > 0)
            buf_append_byte(&words, ' ');
        space = false;
        if (*p->s == '"') {
            const char *text = take_quoted(p->arena, &p->s);
            if (text != NULL) {
                buf_append_str(&out, text);
                buf_append_str(&words, text);
            }
            continue;
        }
        buf_append_byte(&out, (unsigned char)*p->s);
        buf_append_byte(&words, (unsigned char)*p->s++);
    }
    if (name != NULL)
        *name = address_keep(p, &words);
    buf_free(&words);
    return address_keep(p, &out);
}

/* Behind '<': an optional source route, then local@domain, up to '>'. */
static void address_angle(struct address_parser *p, const char *name, const char *comment)
{
    const char *adl = NULL;
    p->s = skip_cfws(p->arena, p->s + 1, NULL);
    if (*p->s == '@') {
        adl = address_phrase(p, ":>", NULL, NULL);
        if (*p->s == ':')
            p->s++;
    }
    const char *mailbox = address_phrase(p, "@>", NULL, NULL);
    const char *host = NULL;
    if (*p->s == '@') {
        p->s++;
        host = address_phrase(p, ">", NULL, NULL);
    }
    if (*p->s == '>')
        p->s++;
    p->s = skip_cfws(p->arena, p->s, &comment);
    if (mailbox != NULL || host != NULL)
        address_add(p, name != NULL ? name : comment, adl, mailbox != NULL ? mailbox : "",
                    host != NULL ? host : "");
    p->s += strcspn(p->s, p->group_end != NULL ? ",;" : ",");
}

static void address_begin_group(struct address_parser *p, const char *name)
{
    struct mime_address *end = p->left > 1 ? arena_alloc(p->arena, sizeof(*end)) : NULL;
    if (end == NULL) {
        p->left = 0;
        return;
    }
    p->left--;
    if (address_add(p, NULL, NULL, name, NULL) != NULL)
        p->group_end = end;
}

static void address_end_group(struct address_parser *p)
{
    if (p->group_end == NULL)
        return;
    *p->last = p->group_end;
    p->last = &p->group_end->next;
    p->group_end = NULL;
}

/* local@domain without brackets; or such a thing in the place of a name, as some write it. */
static void address_plain(struct address_parser *p, const char *local, const char *comment)
{
    p->s++;
    const char *host = address_phrase(p, ",;<", &comment, NULL);
    if (local == NULL)
        local = "";
    if (host == NULL)
        host = "";
    if (*p->s == '<')
        address_angle(p, arena_printf(p->arena, "%s@%s", local, host), comment);
    else
        address_add(p, comment, NULL, local, host);
}

static void address_one(struct address_parser *p)
{
    const char *comment = NULL;
    const char *name = NULL;
    const char *word = address_phrase(p, "<@,:;", &comment, &name);
    switch (*p->s) {
    case '<':
        address_angle(p, name, comment);
        return;
    case '@':
        address_plain(p, word, comment);
        return;
    case ':':
        p->s++;
        if (p->group_end == NULL && name != NULL)
            address_begin_group(p, name);
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
            address_end_group(&p);
        } else if (*p.s != '\0') {
            const char *before = p.s;
            address_one(&p);
            if (p.s == before)
                p.s++;
        }
    }
    if (limited != NULL && p.left == 0 && p.s[strspn(p.s, " \t;")] != '\0')
        *limited = true;
    address_end_group(&p); /* one that was never closed, or in which the bound was met */
    buf_free(&text);
    return p.first;
}

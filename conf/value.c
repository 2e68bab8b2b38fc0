#include "conf/value.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"

#define LIST_DELIMS " \t,"

struct unit {
    const char *suffix;
    uint64_t factor;
    const char *name; /* as messages write it */
};

static const struct unit value_size_units[] = {
    {"g", (uint64_t)1 << 30, "G"},
    {"m", (uint64_t)1 << 20, "M"},
    {"k", (uint64_t)1 << 10, "k"},
    {"", 1, ""},
    {NULL, 0, NULL},
};

/* No suffix is seconds, as in Postfix. */
static const struct unit value_time_units[] = {
    {"w", 604800000, "w"}, {"d", 86400000, "d"}, {"h", 3600000, "h"}, {"m", 60000, "m"},
    {"s", 1000, "s"},      {"ms", 1, "ms"},      {"", 1000, "s"},     {NULL, 0, NULL},
};

/* A bound as an administrator would write it. */
static void value_put(struct buf *out, int64_t v, const struct unit *units)
{
    for (; units != NULL && units->suffix != NULL; units++) {
        if (v != 0 && *units->name != '\0' && (uint64_t)v % units->factor == 0) {
            buf_printf(out, "%" PRIu64 "%s", (uint64_t)v / units->factor, units->name);
            return;
        }
    }
    buf_printf(out, "%" PRId64, v);
}

static int value_range(const struct conf_desc *desc, const struct unit *units, uint64_t v,
                       struct buf *why)
{
    if (v >= (uint64_t)desc->min && v <= (uint64_t)desc->max)
        return 0;
    buf_append_str(why, "is out of range; it must be from ");
    value_put(why, desc->min, units);
    buf_append_str(why, " to ");
    value_put(why, desc->max, units);
    return -1;
}

/* Digits and one of the units' suffixes (NULL: none is allowed). */
static int value_number(const struct unit *units, const char *text, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t n, factor = 1;
    if (str_uint(text, digits, INT64_MAX, &n) < 0)
        return -1;
    const char *suffix = text + digits;
    while (*suffix == ' ')
        suffix++;
    if (units != NULL) {
        while (units->suffix != NULL && !str_ieq(units->suffix, suffix))
            units++;
        if (units->suffix == NULL)
            return -1;
        factor = units->factor;
    } else if (*suffix != '\0') {
        return -1;
    }
    return __builtin_mul_overflow(n, factor, out) || *out > INT64_MAX ? -1 : 0;
}

static void value_list(struct conf_list *list, const char *text)
{
    const char *cursor = text, *token;
    size_t len, n = 0;
    while (str_token(&cursor, LIST_DELIMS, &token, &len))
        n++;
    list->v = mem_zalloc((n + 1) * sizeof(*list->v));
    list->n = 0;
    cursor = text;
    while (str_token(&cursor, LIST_DELIMS, &token, &len))
        list->v[list->n++] = mem_strndup(token, len);
}

int conf_value_bool(bool *field, const char *text, struct buf *why)
{
    static const char *const yes[] = {"yes", "true", "on", NULL};
    static const char *const no[] = {"no", "false", "off", NULL};
    for (size_t i = 0; yes[i] != NULL; i++) {
        if (str_ieq(text, yes[i]) || str_ieq(text, no[i])) {
            *field = str_ieq(text, yes[i]);
            return 0;
        }
    }
    buf_append_str(why, "is neither yes nor no; write yes or no");
    return -1;
}

static int value_enum(const char **field, const char *words, const char *text, struct buf *why)
{
    const char *cursor = words, *token;
    size_t len;
    while (str_token(&cursor, " ", &token, &len)) {
        if (str_is(token, len, text)) {
            *field = text;
            return 0;
        }
    }
    buf_printf(why, "is not a word that stands here; write one of: %s", words);
    return -1;
}

/* Values go into banners, headers and paths, so control characters stop here. */
static int value_text(const struct conf_desc *desc, const char *text, struct buf *why)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            buf_append_str(why, "contains a control character; remove it");
            return -1;
        }
    }
    if (desc->type == CONF_TYPE_PATH && *text != '\0' && *text != '/') {
        buf_append_str(why, "is not an absolute path; start it with /");
        return -1;
    }
    return 0;
}

int conf_value_parse(struct conf *conf, const struct conf_desc *desc, const char *text,
                     struct buf *why)
{
    void *field = (char *)conf + desc->offset;
    uint64_t n;
    switch (desc->type) {
    case CONF_TYPE_STRING:
    case CONF_TYPE_PATH:
    case CONF_TYPE_SECRET:
        *(const char **)field = text;
        return value_text(desc, text, why);
    case CONF_TYPE_LIST:
        if (value_text(desc, text, why) < 0)
            text = "";
        value_list(field, text);
        return why->len > 0 ? -1 : 0;
    case CONF_TYPE_BOOL:
        return conf_value_bool(field, text, why);
    case CONF_TYPE_ENUM:
        *(const char **)field = text;
        return value_enum(field, desc->words, text, why);
    case CONF_TYPE_INT:
        if (value_number(NULL, text, &n) < 0) {
            buf_append_str(why, "is not a whole number; write digits alone");
            return -1;
        }
        *(int64_t *)field = (int64_t)n;
        return value_range(desc, NULL, n, why);
    case CONF_TYPE_SIZE:
        if (value_number(value_size_units, text, &n) < 0) {
            buf_append_str(why, "is not a size; write bytes, or a number with k, M or G");
            return -1;
        }
        *(uint64_t *)field = n;
        return value_range(desc, value_size_units, n, why);
    case CONF_TYPE_TIME:
        if (value_number(value_time_units, text, &n) < 0) {
            buf_append_str(why, "is not a time; write a number with ms, s, m, h, d or w");
            return -1;
        }
        *(int64_t *)field = (int64_t)n;
        return value_range(desc, value_time_units, n, why);
    }
    return -1;
}

void conf_value_free(struct conf *conf, const struct conf_desc *desc)
{
    if (desc->type != CONF_TYPE_LIST)
        return;
    struct conf_list *list = (struct conf_list *)((char *)conf + desc->offset);
    for (size_t i = 0; i < list->n; i++)
        free(list->v[i]);
    free(list->v);
    *list = (struct conf_list){0};
}

const char *conf_nearest(const char *name)
{
    size_t n, best = strlen(name) / 3 + 2;
    const struct conf_param *params = conf_params(&n);
    const char *nearest = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = str_distance(name, params[i].name);
        if (d < best) {
            best = d;
            nearest = params[i].name;
        }
    }
    return nearest;
}

/* The name after '$' at s; returns where the text goes on, or NULL. */
static const char *expand_name(const char *s, const char **name, size_t *len)
{
    char close = *s == '{' ? '}' : *s == '(' ? ')' : '\0';
    if (close != '\0')
        s++;
    *name = s;
    while (isalnum((unsigned char)*s) || *s == '_')
        s++;
    *len = (size_t)(s - *name);
    if (*len == 0 || (close != '\0' && *s != close))
        return NULL;
    return close != '\0' ? s + 1 : s;
}

int conf_expand(const char *text, struct buf *out,
                const char *(*value)(const char *name, void *arg, struct buf *why), void *arg,
                struct buf *why)
{
    while (*text != '\0') {
        size_t plain = strcspn(text, "$");
        if (buf_append(out, text, plain) < 0)
            goto too_long;
        text += plain;
        if (*text == '\0')
            break;
        if (text[1] == '$') {
            if (buf_append_byte(out, '$') < 0)
                goto too_long;
            text += 2;
            continue;
        }
        const char *start;
        size_t len;
        text = expand_name(text + 1, &start, &len);
        if (text == NULL) {
            buf_append_str(why, "has a $ without a name; write $name, ${name}, or $$ for a "
                                "dollar sign");
            return -1;
        }
        char *name = mem_strndup(start, len);
        const char *replacement = value(name, arg, why);
        free(name);
        if (replacement == NULL)
            return -1;
        if (buf_append_str(out, replacement) < 0)
            goto too_long;
    }
    return 0;
too_long:
    buf_append_str(why, "is too long when expanded; at most 65536 bytes are allowed");
    return -1;
}

#include "gateway/filter/taglist.h"

#include <string.h>

#include "gateway/base/str.h"

static bool space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void trim(const char **s, size_t *len)
{
    while (*len > 0 && space(**s)) {
        (*s)++;
        (*len)--;
    }
    while (*len > 0 && space((*s)[*len - 1]))
        (*len)--;
}

static bool name_valid(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = str_lower_char(s[i]);
        bool letter = c >= 'a' && c <= 'z';
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '_')))
            return false;
    }
    return len > 0;
}

static bool value_valid(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (((unsigned char)s[i] < 0x20 && !space(s[i])) || s[i] == 0x7f)
            return false;
    }
    return true;
}

/* One tag-spec, without its semicolon. */
static int parse_one(struct taglist *list, const char *spec, size_t len)
{
    const char *equals = memchr(spec, '=', len);

    if (equals == NULL || list->count == TAGS_MAX)
        return -1;
    struct tag tag = {.name = spec,
                      .name_len = (size_t)(equals - spec),
                      .value = equals + 1,
                      .value_len = len - (size_t)(equals - spec) - 1};
    trim(&tag.name, &tag.name_len);
    trim(&tag.value, &tag.value_len);
    if (!name_valid(tag.name, tag.name_len) || !value_valid(tag.value, tag.value_len))
        return -1;
    for (size_t i = 0; i < list->count; i++) {
        if (list->tags[i].name_len == tag.name_len &&
            memcmp(list->tags[i].name, tag.name, tag.name_len) == 0)
            return -1;
    }
    list->tags[list->count++] = tag;
    return 0;
}

int taglist_parse(struct taglist *list, const char *text, size_t len)
{
    size_t at = 0;

    list->count = 0;
    while (at < len) {
        const char *semicolon = memchr(text + at, ';', len - at);
        size_t end = semicolon != NULL ? (size_t)(semicolon - text) : len;
        const char *spec = text + at;
        size_t spec_len = end - at;
        trim(&spec, &spec_len);
        if (spec_len == 0) {
            /* Nothing may follow the last semicolon but white space. */
            if (semicolon != NULL)
                return -1;
        } else if (parse_one(list, spec, spec_len) != 0) {
            return -1;
        }
        at = end + 1;
    }
    return list->count > 0 ? 0 : -1;
}

const struct tag *taglist_get(const struct taglist *list, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < list->count; i++) {
        if (list->tags[i].name_len == len && memcmp(list->tags[i].name, name, len) == 0)
            return &list->tags[i];
    }
    return NULL;
}

bool tag_is(const struct tag *tag, const char *word)
{
    return str_is(tag->value, tag->value_len, word);
}

bool tag_item(const struct tag *tag, size_t *at, const char **item, size_t *len)
{
    if (*at > tag->value_len)
        return false;
    const char *from = tag->value + *at;
    const char *colon = memchr(from, ':', tag->value_len - *at);
    *item = from;
    *len = colon != NULL ? (size_t)(colon - from) : tag->value_len - *at;
    *at += *len + 1;
    trim(item, len);
    return true;
}

char *tag_text(const struct tag *tag, struct arena *arena)
{
    char *s = arena_alloc(arena, tag->value_len + 1);
    size_t n = 0;

    for (size_t i = 0; s != NULL && i < tag->value_len; i++) {
        if (!space(tag->value[i]))
            s[n++] = tag->value[i];
    }
    return s;
}

int tag_base64(const struct tag *tag, struct buf *out)
{
    struct buf dense = {.max = tag->value_len + 1};
    int rc = 0;

    for (size_t i = 0; i < tag->value_len && rc == 0; i++) {
        if (!space(tag->value[i]))
            rc = buf_append_byte(&dense, (unsigned char)tag->value[i]);
    }
    if (rc == 0)
        rc = str_base64_decode(out, buf_str(&dense), dense.len);
    buf_free(&dense);
    return rc;
}

int tag_number(const struct tag *tag, uint64_t max, uint64_t *out)
{
    return str_uint(tag->value, tag->value_len, max, out);
}

#include "gateway/filter/fields.h"

#include <string.h>

/* The end of the field that starts at at: behind its last line end. */
static size_t field_end(const char *text, size_t at, size_t len)
{
    do {
        const char *lf = memchr(text + at, '\n', len - at);
        at = lf != NULL ? (size_t)(lf - text) + 1 : len;
    } while (at < len && (text[at] == ' ' || text[at] == '\t'));
    return at;
}

/* The size of an empty line here; 0 where there is none. */
static size_t empty_line(const char *text, size_t at, size_t len)
{
    if (at < len && text[at] == '\n')
        return 1;
    return len - at >= 2 && text[at] == '\r' && text[at + 1] == '\n' ? 2 : 0;
}

int fields_read(struct fields *out, const char *text, size_t len, size_t max, struct arena *arena,
                size_t *body)
{
    size_t at = 0, count = 0;

    for (; at < len && empty_line(text, at, len) == 0; count++)
        at = field_end(text, at, len);
    if (body != NULL)
        *body = at + empty_line(text, at, len);
    *out = (struct fields){0};
    if (count > max)
        return -1;
    out->v = arena_alloc(arena, (count + 1) * sizeof(*out->v));
    if (out->v == NULL)
        return -1;
    for (size_t from = 0; out->count < count; out->count++) {
        size_t end = field_end(text, from, len);
        header_field_parse(&out->v[out->count], text + from, end - from);
        out->v[out->count].offset = from;
        out->v[out->count].size = end - from;
        from = end;
    }
    return 0;
}

const struct header_field *fields_next(const struct fields *f, const char *name, size_t *at)
{
    while (*at < f->count) {
        const struct header_field *field = &f->v[(*at)++];
        if (header_field_is(field, name))
            return field;
    }
    return NULL;
}

#include "gateway/proto/header.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"

/* Where in the header the next byte stands. */
enum header_place {
    HEADER_LINE_START,
    HEADER_LINE_START_CR, /* a CR came first: an empty line, if LF follows */
    HEADER_IN_LINE
};

struct header_reader {
    struct buf raw; /* the field being collected, as far as the bound goes */
    size_t field_max;
    uint64_t taken, field_offset, field_size;
    enum header_place place;
    bool have_field; /* raw has begun */
    bool field_ready, end_ready;
    bool fetched; /* raw was handed out and goes with the next call */
};

struct header_reader *header_reader_new(size_t field_max)
{
    struct header_reader *r = mem_zalloc(sizeof(*r));
    r->field_max = field_max;
    r->raw.max = field_max + 1;
    return r;
}

void header_reader_free(struct header_reader **reader)
{
    if (*reader == NULL)
        return;
    buf_free(&(*reader)->raw);
    free(*reader);
    *reader = NULL;
}

void header_reader_reset(struct header_reader *r)
{
    buf_clear(&r->raw);
    r->taken = r->field_offset = r->field_size = 0;
    r->place = HEADER_LINE_START;
    r->have_field = r->field_ready = r->end_ready = r->fetched = false;
}

static void header_forget(struct header_reader *r)
{
    if (r->fetched)
        buf_clear(&r->raw);
    r->fetched = false;
}

static void header_collect(struct header_reader *r, const char *data, size_t len)
{
    size_t room = r->field_max > r->raw.len ? r->field_max - r->raw.len : 0;
    if (!r->have_field) {
        r->have_field = true;
        r->field_offset = r->taken;
        r->field_size = 0;
    }
    buf_append(&r->raw, data, len < room ? len : room);
    r->field_size += len;
    r->taken += len;
}

/* The field that was begun is whole. */
static void header_complete(struct header_reader *r)
{
    r->field_ready = r->have_field;
    r->have_field = false;
}

static void header_blank(struct header_reader *r, size_t size)
{
    r->taken += size;
    header_complete(r);
    r->end_ready = true;
}

size_t header_reader_push(struct header_reader *r, const void *data, size_t len)
{
    const char *s = data;
    size_t i = 0;
    if (len > 0 && !r->field_ready)
        header_forget(r);
    while (i < len && !r->field_ready && !r->end_ready) {
        if (r->place == HEADER_IN_LINE) {
            const char *nl = memchr(s + i, '\n', len - i);
            size_t n = nl != NULL ? (size_t)(nl - s) + 1 - i : len - i;
            header_collect(r, s + i, n);
            i += n;
            if (nl != NULL)
                r->place = HEADER_LINE_START;
            continue;
        }
        if (s[i] == '\n') {
            header_blank(r, r->place == HEADER_LINE_START_CR ? 2 : 1);
            i++;
            break;
        }
        if (r->place == HEADER_LINE_START && s[i] == '\r') {
            r->place = HEADER_LINE_START_CR;
            i++;
            continue;
        }
        bool folded = r->place == HEADER_LINE_START && (s[i] == ' ' || s[i] == '\t');
        if (r->have_field && !folded) {
            header_complete(r);
            break;
        }
        if (r->place == HEADER_LINE_START_CR)
            header_collect(r, "\r", 1); /* a CR alone is a byte like others */
        r->place = HEADER_IN_LINE;
    }
    return i;
}

void header_reader_finish(struct header_reader *r)
{
    if (r->end_ready)
        return;
    /* A CR alone at the end belongs to what stands before it. */
    if (r->place == HEADER_LINE_START_CR && !r->field_ready)
        header_collect(r, "\r", 1);
    r->place = HEADER_LINE_START;
    if (!r->field_ready)
        header_complete(r);
    r->end_ready = true;
}

enum header_event header_reader_next(struct header_reader *r, struct header_field *field)
{
    if (r->field_ready) {
        r->field_ready = false;
        r->fetched = true;
        if (field != NULL) {
            memset(field, 0, sizeof(*field));
            header_field_parse(field, buf_str(&r->raw), r->raw.len);
            field->offset = r->field_offset;
            field->size = r->field_size;
            field->cut = r->field_size > r->raw.len;
        }
        return HEADER_FIELD;
    }
    header_forget(r);
    return r->end_ready ? HEADER_END : HEADER_MORE;
}

uint64_t header_reader_size(const struct header_reader *r)
{
    return r->taken + (r->place == HEADER_LINE_START_CR && !r->end_ready ? 1 : 0);
}

static bool header_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void header_field_parse(struct header_field *field, const char *raw, size_t len)
{
    const char *colon = memchr(raw, ':', len);
    size_t name_len = colon != NULL ? (size_t)(colon - raw) : 0;
    field->raw = raw;
    field->raw_len = len;
    field->name = raw;
    field->value = raw;
    field->name_len = field->value_len = 0;
    while (name_len > 0 && (raw[name_len - 1] == ' ' || raw[name_len - 1] == '\t'))
        name_len--;
    for (size_t i = 0; i < name_len; i++)
        if ((unsigned char)raw[i] <= ' ')
            return;
    if (name_len == 0)
        return;
    field->name_len = name_len;
    field->value = colon + 1;
    field->value_len = len - (size_t)(field->value - raw);
    while (field->value_len > 0 && header_is_space(field->value[0])) {
        field->value++;
        field->value_len--;
    }
    while (field->value_len > 0 && header_is_space(field->value[field->value_len - 1]))
        field->value_len--;
}

bool header_field_is(const struct header_field *field, const char *name)
{
    return str_is(field->name, field->name_len, name);
}

int header_unfold(struct buf *out, const char *value, size_t len)
{
    char *room = buf_reserve(out, len);
    if (room == NULL)
        return -1;
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        if (value[i] != '\r' && value[i] != '\n' && value[i] != '\0')
            room[n++] = value[i];
    buf_commit(out, n);
    return 0;
}

#include "gateway/filter/canon.h"

#include <string.h>

#include "gateway/base/str.h"

static bool space(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- header fields ---- */

/* RFC 6376 section 3.4.2. */
static int relaxed_field(const struct header_field *f, struct buf *out)
{
    size_t before = out->len;
    bool pending = false;

    for (size_t i = 0; i < f->name_len; i++) {
        if (buf_append_byte(out, (unsigned char)str_lower_char(f->name[i])) != 0)
            return -1;
    }
    if (buf_append_byte(out, ':') != 0)
        return -1;
    before = out->len;
    for (size_t i = 0; i < f->value_len; i++) {
        char c = f->value[i];
        if (c == '\r' || c == '\n')
            continue;
        if (space(c)) {
            pending = out->len > before;
            continue;
        }
        if ((pending && buf_append_byte(out, ' ') != 0) ||
            buf_append_byte(out, (unsigned char)c) != 0)
            return -1;
        pending = false;
    }
    return buf_append(out, "\r\n", 2);
}

int canon_field(enum canon canon, const struct header_field *field, struct buf *out)
{
    if (canon == CANON_RELAXED)
        return relaxed_field(field, out);
    if (buf_append(out, field->raw, field->raw_len) != 0)
        return -1;
    /* A header that ends without a line end. */
    if (field->raw_len < 2 || memcmp(field->raw + field->raw_len - 2, "\r\n", 2) != 0)
        return buf_append(out, "\r\n", 2);
    return 0;
}

/* ---- the body ---- */

static void flush(struct canon_body *b)
{
    if (b->held > 0)
        b->sink(b->out, b->held, b->arg);
    b->held = 0;
}

static void put(struct canon_body *b, const char *data, size_t len)
{
    if (len >= sizeof(b->out)) {
        flush(b);
        b->sink(data, len, b->arg);
        return;
    }
    if (b->held + len > sizeof(b->out))
        flush(b);
    memcpy(b->out + b->held, data, len);
    b->held += (unsigned)len;
}

/* Something follows what was held back. */
static void release(struct canon_body *b)
{
    for (; b->empty_lines > 0; b->empty_lines--)
        put(b, "\r\n", 2);
    if (b->space)
        put(b, " ", 1);
    b->space = false;
}

static void content(struct canon_body *b, const char *data, size_t len)
{
    release(b);
    put(b, data, len);
    b->something = true;
}

/* The line at hand is over; the first of the CRLFs held back ends it. */
static void line_end(struct canon_body *b)
{
    b->space = false;
    b->empty_lines++;
}

void canon_body_push(struct canon_body *b, const void *data, size_t len)
{
    const char *in = data;
    size_t i = 0;

    while (i < len) {
        if (b->cr) {
            b->cr = false;
            if (in[i] == '\n') {
                line_end(b);
                i++;
                continue;
            }
            content(b, "\r", 1);
        }
        if (in[i] == '\r') {
            b->cr = true;
            i++;
        } else if (b->canon == CANON_RELAXED && space(in[i])) {
            b->space = true;
            i++;
        } else {
            size_t from = i;
            while (i < len && in[i] != '\r' && !(b->canon == CANON_RELAXED && space(in[i])))
                i++;
            content(b, in + from, i - from);
        }
    }
}

void canon_body_finish(struct canon_body *b)
{
    if (b->cr)
        content(b, "\r", 1);
    b->cr = b->space = false;
    b->empty_lines = 0;
    /* What is left of a body has one CRLF at its end; of an empty one only "simple" has it. */
    if (b->something || b->canon == CANON_SIMPLE)
        put(b, "\r\n", 2);
    flush(b);
}

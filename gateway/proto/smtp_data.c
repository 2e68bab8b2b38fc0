#include "gateway/proto/smtp_data.h"

#include <string.h>

#include "gateway/base/str.h"

enum {
    AT_LINE_START, /* behind a CRLF, or before the first byte */
    AT_DOT,        /* behind a dot at the start of a line: swallowed */
    AT_DOT_CR,     /* behind that dot and a CR: swallowed, too */
    IN_LINE,
    AT_CR /* behind a CR within a line */
};

void smtp_data_init(struct smtp_data *d, uint64_t size_max, size_t header_max)
{
    *d = (struct smtp_data){.size_max = size_max, .header_max = header_max};
}

static void set_flaw(struct smtp_data *d, enum smtp_data_flaw flaw)
{
    if (d->flaw == SMTP_DATA_SOUND)
        d->flaw = flaw;
}

static bool any_8bit(const unsigned char *s, size_t len)
{
    unsigned char all = 0;

    for (size_t i = 0; i < len; i++) /* compilers make vector code of it */
        all |= s[i];
    return all >= 128;
}

/* ---- the header ---- */

static void line_begins(struct smtp_data *d, unsigned char first)
{
    d->blank = true;
    d->name_len = 0;
    d->naming = !d->header_done && first != ' ' && first != '\t';
}

static void name_complete(struct smtp_data *d)
{
    d->naming = false;
    if (str_is(d->name, d->name_len, "received"))
        d->received++;
    else if (str_is(d->name, d->name_len, "date"))
        d->fields_seen |= SMTP_HEADER_DATE;
    else if (str_is(d->name, d->name_len, "message-id"))
        d->fields_seen |= SMTP_HEADER_MESSAGE_ID;
    else if (str_is(d->name, d->name_len, "from"))
        d->fields_seen |= SMTP_HEADER_FROM;
    else if (str_is(d->name, d->name_len, "sender"))
        d->fields_seen |= SMTP_HEADER_SENDER;
}

/* Bytes of the current line, without its line end; only called within the header. */
static void line_bytes(struct smtp_data *d, const unsigned char *s, size_t len)
{
    if (len > 0)
        d->blank = false;
    if (!d->header_8bit)
        d->header_8bit = any_8bit(s, len);
    for (size_t i = 0; d->naming && i < len; i++) {
        if (d->header_size + i >= d->header_max)
            d->naming = false;
        else if (s[i] == ':')
            name_complete(d);
        else if (s[i] == ' ' || s[i] == '\t') /* obsolete, and legal before the colon */
            continue;
        else if (d->name_len == sizeof(d->name))
            d->naming = false;
        else
            d->name[d->name_len++] = (char)s[i];
    }
    d->header_size += len;
    if (d->header_size > d->header_max) {
        d->header_size = d->header_max + 1;
        d->header_done = true;
    }
}

static void line_ends(struct smtp_data *d)
{
    if (d->header_done)
        return;
    d->header_size += 2;
    if (d->blank)
        d->header_done = true;
}

/* ---- lines ---- */

/* Goes on within a line, from in[pos]; returns the new position. */
static size_t scan_line(struct smtp_data *d, const unsigned char *in, size_t pos, size_t len)
{
    const unsigned char *start = in + pos;
    const unsigned char *lf = memchr(start, '\n', len - pos);
    size_t n = lf != NULL ? (size_t)(lf - start) : len - pos;
    const unsigned char *cr = n > 0 ? memchr(start, '\r', n) : NULL;
    bool ends_in_cr = n > 0 && start[n - 1] == '\r';

    if (cr != NULL && cr != start + n - 1)
        set_flaw(d, SMTP_DATA_BARE_CR);
    if (!d->header_done)
        line_bytes(d, start, ends_in_cr ? n - 1 : n);
    if (lf == NULL) {
        d->state = ends_in_cr ? AT_CR : IN_LINE;
        return len;
    }
    if (ends_in_cr) {
        d->state = AT_LINE_START;
        line_ends(d);
    } else {
        set_flaw(d, SMTP_DATA_BARE_LF);
    }
    return pos + n + 1;
}

/* The byte behind a CR that stood at the end of the input before. */
static size_t after_cr(struct smtp_data *d, unsigned char c)
{
    if (c == '\n') {
        d->state = AT_LINE_START;
        line_ends(d);
        return 1;
    }
    set_flaw(d, SMTP_DATA_BARE_CR);
    d->state = IN_LINE;
    return 0;
}

/* Content between two marks: checked, counted and handed out, or dropped where it may not be. */
static bool give(struct smtp_data *d, const unsigned char *s, size_t n, const void **slice,
                 size_t *slice_len)
{
    if (n == 0 || d->flaw != SMTP_DATA_SOUND)
        return false;
    if (memchr(s, '\0', n) != NULL) {
        set_flaw(d, SMTP_DATA_NUL);
        return false;
    }
    if (n > d->size_max - d->size) {
        set_flaw(d, SMTP_DATA_TOO_BIG);
        return false;
    }
    d->size += n;
    if (!d->has_8bit)
        d->has_8bit = any_8bit(s, n);
    *slice = s;
    *slice_len = n;
    return true;
}

enum smtp_data_status smtp_data_next(struct smtp_data *d, const void *data, size_t len,
                                     size_t *used, const void **slice, size_t *slice_len)
{
    const unsigned char *in = data;
    size_t pos = 0, from = 0;

    *slice = NULL;
    *slice_len = 0;
    while (pos < len) {
        switch (d->state) {
        case AT_LINE_START:
            if (in[pos] == '.') {
                d->state = AT_DOT;
                bool given = give(d, in + from, pos - from, slice, slice_len);
                from = ++pos;
                if (given) {
                    *used = pos;
                    return SMTP_DATA_SLICE;
                }
                break;
            }
            line_begins(d, in[pos]);
            d->state = IN_LINE;
            break;
        case AT_DOT:
            if (in[pos] == '\r') {
                d->state = AT_DOT_CR;
                from = ++pos;
                break;
            }
            line_begins(d, in[pos]);
            d->state = IN_LINE;
            break;
        case AT_DOT_CR:
            if (in[pos] == '\n') {
                *used = pos + 1;
                return SMTP_DATA_END;
            }
            set_flaw(d, SMTP_DATA_BARE_CR);
            line_begins(d, in[pos]);
            d->state = IN_LINE;
            break;
        case AT_CR:
            pos += after_cr(d, in[pos]);
            break;
        default:
            pos = scan_line(d, in, pos, len);
            break;
        }
    }
    *used = len;
    return give(d, in + from, len - from, slice, slice_len) ? SMTP_DATA_SLICE : SMTP_DATA_MORE;
}

enum smtp_data_status smtp_data_chunk(struct smtp_data *d, const void *data, size_t len,
                                      const void **slice, size_t *slice_len)
{
    const unsigned char *in = data;
    size_t pos = 0;

    *slice = NULL;
    *slice_len = 0;
    while (pos < len) {
        if (d->state == AT_CR) {
            pos += after_cr(d, in[pos]);
        } else {
            if (d->state == AT_LINE_START)
                line_begins(d, in[pos]);
            pos = scan_line(d, in, pos, len);
        }
    }
    return give(d, in, len, slice, slice_len) ? SMTP_DATA_SLICE : SMTP_DATA_MORE;
}

void smtp_data_chunks_end(struct smtp_data *d)
{
    if (d->state == AT_CR)
        set_flaw(d, SMTP_DATA_BARE_CR);
}

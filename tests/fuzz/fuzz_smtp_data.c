/* The DATA phase: whole or in pieces the content is the same, and undone stuffing can be redone. */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/proto/smtp_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum smtp_data_status feed(struct smtp_data *d, const uint8_t *data, size_t size,
                                  size_t piece, struct buf *out, size_t *taken)
{
    *taken = 0;
    while (*taken < size) {
        size_t len = size - *taken < piece ? size - *taken : piece, used, n;
        const void *slice;
        enum smtp_data_status s = smtp_data_next(d, data + *taken, len, &used, &slice, &n);
        *taken += used;
        if (s == SMTP_DATA_SLICE)
            buf_append(out, slice, n);
        if (s == SMTP_DATA_END)
            return s;
    }
    return SMTP_DATA_MORE;
}

/* What a client would send for this content. */
static void stuff(const struct buf *content, struct buf *out)
{
    bool start = true;

    for (size_t i = 0; i < content->len; i++) {
        if (start && content->data[i] == '.')
            buf_append_byte(out, '.');
        buf_append_byte(out, content->data[i]);
        start = content->data[i] == '\n';
    }
    buf_append(out, ".\r\n", 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_data a, b;
    struct buf whole = {0}, pieces = {0}, wire = {0};
    size_t end_a, end_b;

    if (size < 1)
        return 0;
    smtp_data_init(&a, 65536, 512);
    smtp_data_init(&b, 65536, 512);
    enum smtp_data_status sa = feed(&a, data + 1, size - 1, size, &whole, &end_a);
    enum smtp_data_status sb = feed(&b, data + 1, size - 1, data[0] % 8 + 1u, &pieces, &end_b);
    if (sa != sb || end_a != end_b || (a.flaw != 0) != (b.flaw != 0))
        abort();
    if (a.flaw == SMTP_DATA_SOUND) {
        if (whole.len != pieces.len || a.size != whole.len || a.received != b.received ||
            a.header_size != b.header_size || a.fields_seen != b.fields_seen ||
            (whole.len > 0 && memcmp(whole.data, pieces.data, whole.len) != 0))
            abort();
        if (sa == SMTP_DATA_END) {
            stuff(&whole, &wire);
            smtp_data_init(&b, 65536, 512);
            buf_clear(&pieces);
            if (feed(&b, wire.data, wire.len, wire.len, &pieces, &end_b) != SMTP_DATA_END ||
                end_b != wire.len || pieces.len != whole.len ||
                (whole.len > 0 && memcmp(whole.data, pieces.data, whole.len) != 0))
                abort();
        }
    }
    buf_free(&whole);
    buf_free(&pieces);
    buf_free(&wire);
    return 0;
}

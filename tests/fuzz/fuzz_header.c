/* Headers of any content: whole and byte by byte they have the same fields, and the fields make up
 * the header. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/proto/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void read_all(const uint8_t *data, size_t size, size_t step, size_t max, struct buf *out)
{
    struct header_reader *r = header_reader_new(max);
    struct header_field f;
    enum header_event ev = HEADER_MORE;
    uint64_t sum = 0;

    for (size_t at = 0; ev != HEADER_END;) {
        at += header_reader_push(r, data + at, size - at < step ? size - at : step);
        check(at == header_reader_size(r));
        if (at == size)
            header_reader_finish(r);
        while ((ev = header_reader_next(r, &f)) == HEADER_FIELD) {
            check(f.offset == sum && f.raw_len <= max && f.cut == (f.size > f.raw_len));
            check(memcmp(f.raw, data + f.offset, f.raw_len) == 0);
            sum += f.size;
            (void)buf_printf(out, "%zu %zu %ju ", f.name_len, f.value_len, (uintmax_t)f.size);
            (void)buf_append(out, f.name, f.name_len);
            (void)header_unfold(out, f.value, f.value_len);
        }
    }
    check(header_reader_size(r) - sum <= 2);
    header_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, bytes = {0};
    size_t max = size > 0 && data[0] % 2 == 0 ? 1000 : 20;

    read_all(data, size, SIZE_MAX, max, &whole);
    read_all(data, size, 1, max, &bytes);
    check(whole.len == bytes.len);
    check(whole.len == 0 || memcmp(whole.data, bytes.data, whole.len) == 0);
    buf_free(&whole);
    buf_free(&bytes);
    return 0;
}

/* The text of an envelope: what is read must be written and read again as the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/queue/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope *e = envelope_read(data, size);
    if (e == NULL)
        return 0;
    struct buf one = {0}, two = {0};
    if (envelope_write(e, &one) < 0)
        abort();
    struct envelope *again = envelope_read(one.data, one.len);
    if (again == NULL || envelope_write(again, &two) < 0 || one.len != two.len ||
        memcmp(one.data, two.data, one.len) != 0)
        abort();
    envelope_free(&again);
    envelope_free(&e);
    buf_free(&one);
    buf_free(&two);
    return 0;
}

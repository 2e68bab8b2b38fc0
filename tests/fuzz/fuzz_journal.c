/* The journal's record reader: bytes as they come, and the same bytes behind a valid checksum. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/queue/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every payload byte, so that a length that lies is seen. */
static void walk(const struct journal_key *key, const uint8_t *data, size_t size)
{
    unsigned sum = 0;
    size_t at = 0;
    while (at < size) {
        struct journal_record r;
        size_t need = 0;
        int64_t n = journal_record_parse(key, data + at, size - at, size, &r, &need);
        if (n == 0 && need <= size - at)
            abort();
        if (n <= 0)
            break;
        for (size_t i = 0; i < r.len; i++)
            sum += ((const uint8_t *)r.payload)[i];
        at += (size_t)n;
    }
    if (sum == 1 && at > size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_key key = {.generation = 1, .salt = 0};
    walk(&key, data, size);

    uint8_t *copy = mem_zalloc(journal_record_size(size) + size);
    memcpy(copy + JOURNAL_RECORD_HEADER, data, size);
    journal_record_seal(&key, copy, 1, 1, size);
    memcpy(copy + journal_record_size(size), data, size);
    walk(&key, copy, journal_record_size(size) + size);
    free(copy);
    return 0;
}

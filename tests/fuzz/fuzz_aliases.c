/* An alias file of any content: read whole and byte by byte, it has to be the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/proto/aliases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take(struct aliases_parser *p, struct buf *out)
{
    struct alias_entry entry;
    struct aliases_fault fault;
    int rc = aliases_next(p, &entry, &fault);

    if (rc == -1)
        (void)buf_printf(out, "%zu: %s\n", fault.line, fault.text);
    if (rc == 1)
        (void)buf_printf(out, "%zu %s\n", entry.line, entry.name);
    for (size_t i = 0; rc == 1 && i < entry.count; i++)
        (void)buf_printf(out, "%d %s\n", entry.targets[i].kind, entry.targets[i].text);
    return rc != 0;
}

static void read_all(const uint8_t *data, size_t size, size_t step, bool list, struct buf *out)
{
    struct aliases_parser p = {.list = list};

    while (size > 0) {
        size_t taken = aliases_push(&p, data, size < step ? size : step);
        data += taken;
        size -= taken;
        if (!take(&p, out) && taken == 0)
            abort();
    }
    aliases_end(&p);
    take(&p, out);
    aliases_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int list = 0; list < 2; list++) {
        struct buf whole = {0}, bytes = {0};
        read_all(data, size, SIZE_MAX, list == 1, &whole);
        read_all(data, size, 1, list == 1, &bytes);
        if (whole.len != bytes.len ||
            (whole.len > 0 && memcmp(whole.data, bytes.data, whole.len) != 0))
            abort();
        buf_free(&whole);
        buf_free(&bytes);
    }
    return 0;
}

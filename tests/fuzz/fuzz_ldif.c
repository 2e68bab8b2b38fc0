/* LDIF of any content: read whole and byte by byte, it has to be the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/proto/ldif.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_record(struct buf *out, const struct ldif_record *r)
{
    (void)buf_printf(out, "%zu %d [%s] %d [%s] [%s]\n", r->line, r->change, r->dn,
                     r->delete_old_rdn, r->new_rdn != NULL ? r->new_rdn : "",
                     r->new_superior != NULL ? r->new_superior : "");
    for (size_t i = 0; i < r->count; i++) {
        const struct ldif_item *item = &r->items[i];
        (void)buf_printf(out, "%d %zu %s ", item->op, item->line, item->name);
        if (item->value != NULL)
            (void)buf_append(out, item->value, item->value_len + 1);
    }
}

static void take(struct ldif_parser *p, struct buf *out)
{
    struct ldif_record record;
    struct ldif_fault fault;
    int rc = ldif_next(p, &record, &fault);

    if (rc == 1)
        put_record(out, &record);
    else if (rc == -1)
        (void)buf_printf(out, "%zu: %s\n", fault.line, fault.text);
}

static void read_all(const uint8_t *data, size_t size, size_t step, struct buf *out)
{
    struct ldif_parser p = {0};

    while (size > 0) {
        size_t taken = ldif_push(&p, data, size < step ? size : step);
        if (taken == 0)
            abort();
        data += taken;
        size -= taken;
        take(&p, out);
    }
    ldif_end(&p);
    take(&p, out);
    ldif_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, bytes = {0};

    read_all(data, size, SIZE_MAX, &whole);
    read_all(data, size, 1, &bytes);
    if (whole.len != bytes.len || (whole.len > 0 && memcmp(whole.data, bytes.data, whole.len) != 0))
        abort();
    buf_free(&whole);
    buf_free(&bytes);
    return 0;
}

/*
 * A bounce made of others' bytes: a remote host's reply and the returned message's header. Whatever
 * they are, the file has CRLF line ends and no line over 998 bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/queue/bounce.h"
#include "gateway/queue/ids.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(const struct buf *out)
{
    size_t start = 0;
    for (size_t i = 0; i < out->len; i++) {
        if (out->data[i] != '\n')
            continue;
        if (i == 0 || out->data[i - 1] != '\r' || i - 1 - start > 998)
            abort();
        start = i + 1;
    }
    if (start != out->len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope *e = envelope_new();
    struct buf out = {.max = (size_t)8 << 20};
    size_t trace;
    bool body_8bit;
    char id[ID_STRLEN], *text = mem_strndup(data, size);
    struct ids ids;

    envelope_set(&e->id, "0123456789abcdef");
    envelope_set(&e->sender, text);
    e->trace = size > 0 ? data[0] : 0;
    struct envelope_rcpt *r = envelope_add(e);
    envelope_set(&r->address, text);
    envelope_set(&r->original, text);
    envelope_set(&r->remote, text);
    envelope_set(&r->status, text);
    envelope_set(&r->orcpt, text);
    r->state = (enum envelope_state)(size % (ENVELOPE_WARNED + 1));
    struct queue_options options = {.envelope = text, .flags = size % 3 == 0 ? QUEUE_UTF8 : 0};
    envelope_set_options(e, &options);
    struct bounce_params p = {.envelope = e,
                              .id = "fedcba9876543210",
                              .hostname = "mx.example.org",
                              .now = (int64_t)size << 40,
                              .original = (const char *)data,
                              .original_len = size,
                              .full = size % 2 == 0};
    if (bounce_write(&p, &out, &trace, &body_8bit) < 0)
        abort();
    check_lines(&out);
    (void)ids_from_name(text, id);
    ids_init(&ids);
    ids_read(&ids, (const char *)data, size, 1000000, 1700000000, 60000);
    ids_free(&ids);
    buf_free(&out);
    envelope_free(&e);
    free(text);
    return 0;
}

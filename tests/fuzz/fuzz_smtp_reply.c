/* SMTP replies of any content: read whole and byte by byte, they have to be the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/proto/smtp_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const uint8_t *data, size_t size, size_t step, struct buf *out)
{
    struct smtp_reply_parser p = {0};
    struct smtp_reply reply;
    int rc = 0;

    while (size > 0 && rc != -1) {
        size_t taken = smtp_reply_push(&p, data, size < step ? size : step);
        data += taken;
        size -= taken;
        rc = smtp_reply_next(&p, &reply);
        if (rc == 1)
            (void)buf_printf(out, "%u %s %s %d|", reply.code, reply.enhanced, reply.text,
                             smtp_reply_keyword(&reply, "SIZE", NULL, NULL));
    }
    (void)buf_printf(out, "%d", rc == -1);
    smtp_reply_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, bytes = {0};

    read_all(data, size, SIZE_MAX, &whole);
    read_all(data, size, 1, &bytes);
    if (strcmp(buf_str(&whole), buf_str(&bytes)) != 0)
        abort();
    buf_free(&whole);
    buf_free(&bytes);
    return 0;
}

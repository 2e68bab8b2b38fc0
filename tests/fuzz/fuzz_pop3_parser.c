/* POP3 lines of any content: read whole and byte by byte, they have to be the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/proto/pop3_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const uint8_t *data, size_t size, size_t step, struct buf *out)
{
    struct pop3_parser p;
    const struct pop3_command *cmd;
    enum pop3_event ev;

    pop3_parser_init(&p, 60);
    for (size_t at = 0; at < size;) {
        at += pop3_parser_push(&p, data + at, size - at < step ? size - at : step);
        while ((ev = pop3_parser_next(&p, &cmd)) != POP3_MORE) {
            (void)buf_printf(out, "%d %s %zu ", ev, cmd->name, cmd->args_len);
            (void)buf_append(out, cmd->args, cmd->args_len + 1);
            if (ev == POP3_COMMAND && strcmp(cmd->name, "AUTH") == 0)
                pop3_parser_want_line(&p);
        }
    }
    pop3_parser_free(&p);
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

/* IMAP commands of any content: read whole and byte by byte, they have to be the same. The first
 * byte chooses what is done with literals. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/proto/imap_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_args(struct buf *out, const struct imap_arg *arg)
{
    for (; arg != NULL; arg = arg->next) {
        (void)buf_printf(out, "%d %zu ", arg->type, arg->len);
        if (arg->str != NULL)
            (void)buf_append(out, arg->str, arg->len + 1);
        (void)buf_printf(out, "%d", imap_arg_astring(arg) != NULL);
        print_args(out, arg->list);
        (void)buf_append_byte(out, ')');
    }
}

static void handle(struct imap_parser *p, enum imap_event ev, const struct imap_command *cmd,
                   unsigned choice, struct buf *out)
{
    (void)buf_printf(out, "%d %s %s ", ev, cmd->tag, cmd->name);
    print_args(out, cmd->args);
    if (ev == IMAP_LINE)
        (void)buf_append(out, cmd->line, cmd->line_len + 1);
    if (ev == IMAP_COMMAND && strcmp(cmd->name, "IDLE") == 0)
        imap_parser_want_line(p, 16);
    if (ev != IMAP_LITERAL)
        return;
    if (choice == 0)
        (void)imap_literal_keep(p);
    else if (choice == 1)
        (void)imap_literal_stream(p);
    else
        imap_literal_refuse(p);
}

static void read_all(const uint8_t *data, size_t size, size_t step, struct buf *out)
{
    const struct imap_limits limits = {.line = 300, .literals = 100, .args = 40, .depth = 5};
    struct imap_parser *p = imap_parser_new(&limits);
    unsigned choice = size > 0 ? data[0] % 3 : 0;

    for (size_t at = size > 0; at < size;) {
        size_t n = size - at < step ? size - at : step;
        uint64_t left = imap_literal_left(p);
        if (left > 0) {
            n = n < left ? n : (size_t)left;
            imap_literal_took(p, n);
        } else {
            n = imap_parser_push(p, data + at, n);
        }
        at += n;
        const struct imap_command *cmd;
        enum imap_event ev;
        while ((ev = imap_parser_next(p, &cmd)) != IMAP_MORE)
            handle(p, ev, cmd, choice, out);
    }
    imap_parser_free(&p);
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

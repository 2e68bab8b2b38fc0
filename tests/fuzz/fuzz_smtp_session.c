/*
 * A whole SMTP conversation: command lines, MAIL and RCPT arguments, the DATA phase, told apart as
 * a session does it. The first byte says how large the pieces are; whatever they are, the same
 * lines and the same content must come out.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/proto/smtp_command.h"
#include "gateway/proto/smtp_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct talk {
    struct smtp_lines lines;
    struct smtp_data message;
    bool in_data;
    bool in_chunks; /* a message of BDATs has begun */
    uint64_t chunk_left;
    bool chunk_last;
    struct arena *arena;
    struct buf trace; /* everything that came out */
};

static void check_address(const struct smtp_address *a, struct arena *arena)
{
    struct smtp_address again;
    const char *error;

    if (a->text[0] == '\0')
        return;
    if (strlen(a->text) > SMTP_ADDRESS_MAX)
        abort();
    const char *cursor = a->text;
    if (smtp_path_scan(&cursor, a->text + strlen(a->text), true, arena, &again, &error) !=
            SMTP_SYNTAX_OK ||
        strcmp(again.text, a->text) != 0 || strcmp(again.domain, a->domain) != 0)
        abort();
}

static void command(struct talk *t, const char *line, size_t len)
{
    const char *verb, *arg, *error = NULL;
    size_t verb_len, arg_len;
    struct smtp_path_args args;

    if (memchr(line, '\r', len) != NULL || memchr(line, '\n', len) != NULL ||
        memchr(line, '\0', len) != NULL)
        abort();
    smtp_command_split(line, len, &verb, &verb_len, &arg, &arg_len);
    if (str_is(verb, verb_len, "data")) {
        t->in_data = true;
        smtp_data_init(&t->message, 4096, 512);
    } else if (str_is(verb, verb_len, "bdat")) {
        const char *space = memchr(arg, ' ', arg_len);
        size_t digits = space != NULL ? (size_t)(space - arg) : arg_len;
        if (!t->in_chunks)
            smtp_data_init(&t->message, 4096, 512);
        t->in_chunks = true;
        t->chunk_last = space != NULL;
        if (str_uint(arg, digits, 5000, &t->chunk_left) != 0)
            t->chunk_left = 0;
    } else if (str_is(verb, verb_len, "mail") || str_is(verb, verb_len, "rcpt")) {
        const char *keyword = str_is(verb, verb_len, "mail") ? "FROM" : "TO";
        if (smtp_path_args_parse(arg, arg_len, keyword, true, t->arena, &args, &error) ==
            SMTP_SYNTAX_OK)
            check_address(&args.address, t->arena);
        else if (error == NULL)
            abort();
    } else {
        struct buf b = {.max = 4096};
        smtp_xtext_decode(&b, arg, arg_len);
        buf_free(&b);
    }
    arena_reset(t->arena);
    buf_append(&t->trace, line, len);
    buf_append_byte(&t->trace, '\n');
}

static size_t step(struct talk *t, const void *in, size_t len)
{
    size_t used, n;

    if (t->in_data) {
        const void *slice;
        enum smtp_data_status s = smtp_data_next(&t->message, in, len, &used, &slice, &n);
        if (s == SMTP_DATA_SLICE && t->message.flaw != SMTP_DATA_SOUND)
            abort();
        if (s == SMTP_DATA_END) {
            t->in_data = false;
            /* What the header said matters only for what is kept. */
            bool sound = t->message.flaw == SMTP_DATA_SOUND;
            buf_printf(&t->trace, "[%d %u]", sound, sound ? t->message.received : 0);
        }
        return used;
    }
    if (t->chunk_left > 0) {
        const void *slice;
        size_t slice_len;
        used = len < t->chunk_left ? len : (size_t)t->chunk_left;
        t->chunk_left -= used;
        if (smtp_data_chunk(&t->message, in, used, &slice, &slice_len) == SMTP_DATA_SLICE &&
            (slice_len != used || t->message.flaw != SMTP_DATA_SOUND))
            abort();
        if (t->chunk_left == 0 && t->chunk_last) {
            smtp_data_chunks_end(&t->message);
            bool sound = t->message.flaw == SMTP_DATA_SOUND;
            buf_printf(&t->trace, "[%d %u]", sound, sound ? t->message.received : 0);
            t->in_chunks = false;
        }
        return used;
    }
    const char *line;
    enum smtp_line_status s = smtp_lines_next(&t->lines, in, len, &used, &line, &n);
    if (s == SMTP_LINE_READY)
        command(t, line, n);
    else if (s != SMTP_LINE_MORE)
        buf_printf(&t->trace, "[%d]", (int)s);
    if (used == 0)
        abort();
    return used;
}

static void run(struct talk *t, const uint8_t *data, size_t size, size_t piece)
{
    memset(t, 0, sizeof(*t));
    smtp_lines_init(&t->lines, 256);
    t->arena = arena_new((size_t)1 << 16);
    buf_init(&t->trace, (size_t)4 << 20);
    for (size_t pos = 0; pos < size;) {
        size_t len = size - pos < piece ? size - pos : piece;
        /* A copy of exactly this size, so that reading past it is noticed. */
        uint8_t *copy = malloc(len);
        memcpy(copy, data + pos, len);
        for (size_t done = 0; done < len;)
            done += step(t, copy + done, len - done);
        free(copy);
        pos += len;
    }
    smtp_lines_free(&t->lines);
    arena_free(&t->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct talk whole, pieces;

    if (size < 2)
        return 0;
    run(&whole, data + 1, size - 1, size);
    run(&pieces, data + 1, size - 1, (size_t)(data[0] % 16) + 1);
    if (whole.trace.len != pieces.trace.len ||
        (whole.trace.len > 0 && memcmp(whole.trace.data, pieces.trace.data, whole.trace.len) != 0))
        abort();
    buf_free(&whole.trace);
    buf_free(&pieces.trace);
    return 0;
}

/* Messages of any content: read whole and byte by byte they have the same structure, every part
 * lies within the one around it, and a tight arena changes nothing but what is left out. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/proto/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void print_params(struct buf *out, const struct mime_param *p)
{
    for (; p != NULL; p = p->next)
        (void)buf_printf(out, ";%s=%s", p->name, p->value);
}

static void print_addresses(struct buf *out, const struct mime_address *a)
{
    bool in_group = false;

    for (; a != NULL; a = a->next) {
        check(a->host == NULL || a->mailbox != NULL);
        if (a->host == NULL) {
            check(in_group == (a->mailbox == NULL));
            in_group = !in_group;
        }
        (void)buf_printf(out, "(%s|%s|%s|%s)", a->name, a->adl, a->mailbox, a->host);
    }
    check(!in_group);
}

static void print_envelope(struct buf *out, const struct mime_envelope *e)
{
    (void)buf_printf(out, "%s|%s|%s|%s", e->date, e->subject, e->in_reply_to, e->message_id);
    print_addresses(out, e->from);
    print_addresses(out, e->sender);
    print_addresses(out, e->reply_to);
    print_addresses(out, e->to);
    print_addresses(out, e->cc);
    print_addresses(out, e->bcc);
}

static void print_part(struct buf *out, const struct mime_part *p, uint64_t begin, uint64_t end)
{
    (void)buf_printf(out, "%s/%s %ju %ju %ju %ju %ju %ju %s %s %s %s %s %s", p->type, p->subtype,
                     (uintmax_t)p->header_offset, (uintmax_t)p->header_size,
                     (uintmax_t)p->header_lines, (uintmax_t)p->body_offset, (uintmax_t)p->body_size,
                     (uintmax_t)p->body_lines, p->id, p->description, p->encoding, p->md5,
                     p->disposition, p->location);
    check(p->type != NULL && p->subtype != NULL && p->encoding != NULL);
    check(p->header_offset >= begin && p->header_offset + p->header_size == p->body_offset);
    check(p->body_offset <= end && p->body_size <= end - p->body_offset);
    check(p->header_lines <= p->header_size && p->body_lines <= p->body_size);
    check(p->children == NULL || p->message == NULL);
    print_params(out, p->params);
    print_params(out, p->disposition_params);
    for (const struct mime_word *w = p->language; w != NULL; w = w->next)
        (void)buf_printf(out, "%s,", w->text);
    if (p->envelope != NULL)
        print_envelope(out, p->envelope);
    if (p->message != NULL) {
        check(p->message->envelope != NULL);
        print_part(out, p->message, p->body_offset, p->body_offset + p->body_size);
    }
    uint64_t next = p->body_offset;
    for (const struct mime_part *c = p->children; c != NULL; c = c->next) {
        print_part(out, c, next, end);
        next = c->body_offset + c->body_size;
    }
    (void)buf_append_byte(out, '\n');
}

static bool read_all(const uint8_t *data, size_t size, size_t step, size_t memory, struct buf *out)
{
    const struct mime_limits limits = {
        .header = 2000, .field = 500, .parts = 20, .depth = 5, .params = 10, .addresses = 20};
    struct arena *arena = arena_new(memory);
    struct mime_parser *p = mime_parser_new(&limits, arena);

    for (size_t at = 0; at < size; at += step) {
        mime_parser_push(p, data + at, size - at < step ? size - at : step);
        if (size - at <= step)
            break;
    }
    struct mime_part *root = mime_parser_finish(p);
    bool limited = mime_parser_limited(p);
    mime_parser_free(&p);
    if (root != NULL)
        print_part(out, root, 0, size);
    arena_free(&arena);
    return limited;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, bytes = {0}, tight = {0};

    bool limited = read_all(data, size, SIZE_MAX, 0, &whole);
    check(read_all(data, size, 1, 0, &bytes) == limited);
    check(strcmp(buf_str(&whole), buf_str(&bytes)) == 0);
    (void)read_all(data, size, 13, 256 + size % 4096, &tight);
    buf_free(&whole);
    buf_free(&bytes);
    buf_free(&tight);
    return 0;
}

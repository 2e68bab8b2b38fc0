#include "gateway/imap/structure.h"

#include <string.h>

#include "gateway/imap/format.h"

static void put_space_nstring(struct buf *out, const char *s)
{
    buf_append_byte(out, ' ');
    imap_put_nstring(out, s);
}

static void put_addresses(struct buf *out, const struct mime_address *a)
{
    if (a == NULL) {
        buf_append_str(out, " NIL");
        return;
    }
    buf_append_str(out, " (");
    for (; a != NULL; a = a->next) {
        buf_append_byte(out, '(');
        imap_put_nstring(out, a->name);
        put_space_nstring(out, a->adl);
        put_space_nstring(out, a->mailbox);
        put_space_nstring(out, a->host);
        buf_append_byte(out, ')');
    }
    buf_append_byte(out, ')');
}

void imap_put_envelope(struct buf *out, const struct mime_envelope *e)
{
    static const struct mime_envelope nothing;
    if (e == NULL)
        e = &nothing;
    buf_append_byte(out, '(');
    imap_put_nstring(out, e->date);
    put_space_nstring(out, e->subject);
    put_addresses(out, e->from);
    put_addresses(out, e->sender);
    put_addresses(out, e->reply_to);
    put_addresses(out, e->to);
    put_addresses(out, e->cc);
    put_addresses(out, e->bcc);
    put_space_nstring(out, e->in_reply_to);
    put_space_nstring(out, e->message_id);
    buf_append_byte(out, ')');
}

static void put_params(struct buf *out, const struct mime_param *p)
{
    const char *before = " (";
    if (p == NULL) {
        buf_append_str(out, " NIL");
        return;
    }
    for (; p != NULL; p = p->next) {
        buf_append_str(out, before);
        imap_put_string(out, p->name, strlen(p->name));
        buf_append_byte(out, ' ');
        imap_put_string(out, p->value, strlen(p->value));
        before = " ";
    }
    buf_append_byte(out, ')');
}

/* What BODYSTRUCTURE says of every kind of part: disposition, language, location. */
static void put_extension(struct buf *out, const struct mime_part *part)
{
    if (part->disposition == NULL) {
        buf_append_str(out, " NIL");
    } else {
        buf_append_str(out, " (");
        imap_put_nstring(out, part->disposition);
        put_params(out, part->disposition_params);
        buf_append_byte(out, ')');
    }
    const struct mime_word *w = part->language;
    if (w == NULL) {
        buf_append_str(out, " NIL");
    } else if (w->next == NULL) {
        put_space_nstring(out, w->text);
    } else {
        buf_append_str(out, " (");
        for (const char *space = ""; w != NULL; w = w->next, space = " ") {
            buf_append_str(out, space);
            imap_put_nstring(out, w->text);
        }
        buf_append_byte(out, ')');
    }
    put_space_nstring(out, part->location);
}

static void put_multipart(struct buf *out, const struct mime_part *part, bool extended)
{
    for (const struct mime_part *c = part->children; c != NULL; c = c->next)
        imap_put_structure(out, c, extended);
    put_space_nstring(out, part->subtype);
    if (extended) {
        put_params(out, part->params);
        put_extension(out, part);
    }
}

static void put_single(struct buf *out, const struct mime_part *part, bool extended)
{
    imap_put_nstring(out, part->type);
    put_space_nstring(out, part->subtype);
    put_params(out, part->params);
    put_space_nstring(out, part->id);
    put_space_nstring(out, part->description);
    put_space_nstring(out, part->encoding);
    buf_printf(out, " %llu", (unsigned long long)part->body_size);
    if (mime_is_message(part)) {
        buf_append_byte(out, ' ');
        imap_put_envelope(out, part->message->envelope);
        buf_append_byte(out, ' ');
        imap_put_structure(out, part->message, extended);
    }
    if (mime_is_message(part) || strcmp(part->type, "text") == 0)
        buf_printf(out, " %llu", (unsigned long long)part->body_lines);
    if (extended) {
        put_space_nstring(out, part->md5);
        put_extension(out, part);
    }
}

void imap_put_structure(struct buf *out, const struct mime_part *part, bool extended)
{
    buf_append_byte(out, '(');
    if (mime_is_multipart(part))
        put_multipart(out, part, extended);
    else
        put_single(out, part, extended);
    buf_append_byte(out, ')');
}

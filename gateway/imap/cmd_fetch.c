/*
 * FETCH. The answer is made in pieces: a job stops between two items of a message when its reply is
 * large enough, and goes on there when the client has taken it, so that neither many messages nor a
 * large one stand in memory.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/imap/fetch.h"
#include "gateway/imap/format.h"
#include "gateway/imap/message.h"
#include "gateway/imap/session.h"
#include "gateway/imap/structure.h"

/* \Seen is set for so many messages at once, just before they are sent. */
#define SEEN_BATCH 32
/* Structures that are computed are kept in the index so many at a time. */
#define KEEP_BATCH 256
/* Of the fields that a HEADER.FIELDS picks; a header with more is cut. */
#define FIELDS_MAX ((size_t)1 << 20)

struct kept {
    struct buf text;
    struct message_structure s; /* lengths; the pointers are made when it is written */
};

struct fetch {
    struct fetch_items items;
    uint32_t *uids;
    uint32_t n;
    bool sets_seen;
    bool needs_structure;

    uint32_t at;                  /* message */
    size_t item;                  /* of it; behind the last: its end */
    bool begun;                   /* its "* n FETCH (" is written */
    uint32_t seen_from, seen_end; /* the batch that \Seen was set for last */
    bool seen_changed[SEEN_BATCH];
    bool missing; /* a message was gone */

    struct mail_read *read;
    struct message m;
    struct message_file file;
    struct message_structure structure;
    struct buf fresh; /* what structure points to when it was not in the index */
    struct kept *kept;
    uint32_t *kept_uids;
    size_t kept_n;
};

static void fetch_free(void *work)
{
    struct fetch *f = work;
    fetch_items_free(&f->items);
    mail_read_end(&f->read);
    message_file_free(&f->file);
    buf_free(&f->fresh);
    for (size_t i = 0; i < f->kept_n; i++)
        buf_free(&f->kept[i].text);
    free(f->kept);
    free(f->kept_uids);
    free(f->uids);
    free(f);
}

/* ---- \Seen ---- */

static int set_seen(struct imap *s, struct fetch *f)
{
    uint32_t unseen[SEEN_BATCH], n = 0;
    uint32_t end = f->n - f->at > SEEN_BATCH ? f->at + SEEN_BATCH : f->n;
    struct message m;
    struct mail_read *r = mail_read_begin(s->mb, s->view);
    if (r == NULL)
        return -1;
    for (uint32_t i = f->at; i < end; i++) {
        bool change = mail_read_get(r, f->uids[i], &m) == 1 && !(m.flags & MESSAGE_SEEN);
        f->seen_changed[i - f->at] = change;
        if (change)
            unseen[n++] = f->uids[i];
    }
    mail_read_end(&r);
    f->seen_from = f->at;
    f->seen_end = end;
    if (n == 0)
        return 0;
    struct flags_change c = {.op = FLAGS_ADD, .flags = MESSAGE_SEEN};
    return mailbox_change_flags(s->mb, s->view, unseen, n, &c) == STORE_OK ? 0 : -1;
}

/* Whether this FETCH made the current message \Seen. */
static bool made_seen(const struct fetch *f)
{
    if (!f->sets_seen || f->at >= f->seen_end)
        return false;
    return f->seen_changed[f->at - f->seen_from];
}

/* ---- structures ---- */

static void keep_all(struct imap *s, struct fetch *f)
{
    struct message_structure *all = mem_alloc((f->kept_n + 1) * sizeof(*all));
    for (size_t i = 0; i < f->kept_n; i++) {
        all[i] = f->kept[i].s;
        all[i].envelope = (const char *)f->kept[i].text.data;
        all[i].body = all[i].envelope + all[i].envelope_len;
        all[i].bodystructure = all[i].body + all[i].body_len;
    }
    /* A failure costs only the work of computing them again. */
    mailbox_keep_structures(s->mb, s->view, f->kept_uids, all, f->kept_n);
    for (size_t i = 0; i < f->kept_n; i++)
        buf_free(&f->kept[i].text);
    f->kept_n = 0;
    free(all);
}

static void keep(struct fetch *f)
{
    if (f->kept == NULL) {
        f->kept = mem_alloc(KEEP_BATCH * sizeof(*f->kept));
        f->kept_uids = mem_alloc(KEEP_BATCH * sizeof(*f->kept_uids));
    }
    struct kept *k = &f->kept[f->kept_n];
    *k = (struct kept){.s = f->structure};
    buf_append(&k->text, f->fresh.data, f->fresh.len);
    f->kept_uids[f->kept_n++] = f->m.uid;
}

static int load_structure(struct imap *s, struct fetch *f)
{
    int rc = mail_read_structure(f->read, f->m.uid, &f->structure);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (f->file.fd < 0 && message_file_open(&f->file, f->read, f->m.uid) != 0)
        return -1;
    const struct mime_part *root = message_file_parse(&f->file, s->env->conf);
    struct buf *b = &f->fresh;
    buf_clear(b);
    imap_put_envelope(b, root->envelope);
    f->structure.envelope_len = b->len;
    imap_put_structure(b, root, false);
    f->structure.body_len = b->len - f->structure.envelope_len;
    size_t before = b->len;
    imap_put_structure(b, root, true);
    f->structure.bodystructure_len = b->len - before;
    f->structure.envelope = (const char *)b->data;
    f->structure.body = f->structure.envelope + f->structure.envelope_len;
    f->structure.bodystructure = f->structure.body + f->structure.body_len;
    keep(f);
    return 0;
}

/* ---- sections ---- */

/* Where a section lies in the file: 1; 0 where the message has no such part. */
static int locate(struct imap *s, struct fetch *f, const struct fetch_item *item, size_t *from,
                  size_t *len)
{
    const struct message_file *file = &f->file;
    *from = 0;
    *len = file->len;
    if (item->number_n == 0) {
        if (item->part == PART_ALL)
            return 1;
        size_t header = fetch_header_size(file->data, file->len);
        *from = item->part == PART_TEXT ? header : 0;
        *len = item->part == PART_TEXT ? file->len - header : header;
        return 1;
    }
    const struct mime_part *root = message_file_parse(&f->file, s->env->conf);
    const struct mime_part *part = mime_part_find(root, item->numbers, item->number_n);
    if (part == NULL)
        return 0;
    if (item->part != PART_ALL && item->part != PART_MIME) {
        part = part->message;
        if (part == NULL)
            return 0;
    }
    bool body = item->part == PART_ALL || item->part == PART_TEXT;
    *from = (size_t)(body ? part->body_offset : part->header_offset);
    *len = (size_t)(body ? part->body_size : part->header_size);
    if (*from > file->len || *len > file->len - *from) /* the parser counts what it was given */
        return 0;
    return 1;
}

static void clip(const struct fetch_item *item, size_t *from, size_t *len)
{
    if (!item->partial)
        return;
    size_t skip = item->offset < *len ? (size_t)item->offset : *len;
    *from += skip;
    *len -= skip;
    if (*len > item->length)
        *len = (size_t)item->length;
}

static void put_fields(struct imap *s, struct fetch *f, const struct fetch_item *item, size_t from,
                       size_t len)
{
    struct buf picked = {.max = FIELDS_MAX};
    fetch_header_fields(&picked, item, f->file.data + from, len);
    from = 0;
    len = picked.len;
    clip(item, &from, &len);
    imap_put_string(&s->reply.text, buf_str(&picked) + from, len);
    buf_free(&picked);
}

static void put_section(struct imap *s, struct fetch *f, const struct fetch_item *item)
{
    struct buf *out = &s->reply.text;
    size_t from, len;
    buf_printf(out, "%s ", item->label);
    if (locate(s, f, item, &from, &len) == 0) {
        buf_append_str(out, "NIL");
        return;
    }
    if (item->part == PART_FIELDS || item->part == PART_FIELDS_NOT) {
        put_fields(s, f, item, from, len);
        return;
    }
    clip(item, &from, &len);
    buf_printf(out, "{%zu}\r\n", len);
    if (len < REPLY_FILE_MIN) {
        buf_append(out, f->file.data + from, len);
        return;
    }
    int fd = dup(f->file.fd);
    if (fd < 0 || reply_file(&s->reply, fd, (off_t)from, (off_t)len) != 0)
        s->reply.broken = true;
}

/* ---- messages ---- */

static void put_item(struct imap *s, struct fetch *f, const struct fetch_item *item)
{
    struct buf *out = &s->reply.text;
    switch (item->type) {
    case FETCH_FLAGS:
        imap_put_flags(out, s->view, &f->m);
        break;
    case FETCH_UID:
        buf_printf(out, "UID %u", f->m.uid);
        break;
    case FETCH_INTERNALDATE:
        buf_append_str(out, "INTERNALDATE ");
        imap_put_date(out, f->m.date);
        break;
    case FETCH_SIZE:
        buf_printf(out, "RFC822.SIZE %u", f->m.size);
        break;
    case FETCH_ENVELOPE:
        buf_append_str(out, "ENVELOPE ");
        buf_append(out, f->structure.envelope, f->structure.envelope_len);
        break;
    case FETCH_BODY:
        buf_append_str(out, "BODY ");
        buf_append(out, f->structure.body, f->structure.body_len);
        break;
    case FETCH_BODYSTRUCTURE:
        buf_append_str(out, "BODYSTRUCTURE ");
        buf_append(out, f->structure.bodystructure, f->structure.bodystructure_len);
        break;
    case FETCH_SECTION:
        put_section(s, f, item);
        break;
    }
}

/* Makes what the message's items need available; -1 where it is gone. */
static int begin_message(struct imap *s, struct fetch *f)
{
    if (mail_read_get(f->read, f->uids[f->at], &f->m) != 1)
        return -1;
    if (f->needs_structure && load_structure(s, f) != 0)
        return -1;
    if (fetch_items_have(&f->items, FETCH_SECTION) && f->file.fd < 0 &&
        message_file_open(&f->file, f->read, f->m.uid) != 0)
        return -1;
    return 0;
}

static void next_message(struct fetch *f)
{
    message_file_close(&f->file);
    f->at++;
    f->item = 0;
    f->begun = false;
}

/* Writes items until the message is done or the reply is full. */
static void put_message(struct imap *s, struct fetch *f)
{
    struct buf *out = &s->reply.text;
    if (begin_message(s, f) != 0) {
        /* Half of an answer cannot be taken back. */
        s->reply.broken = s->reply.broken || f->begun;
        f->missing = true;
        next_message(f);
        return;
    }
    if (!f->begun)
        buf_printf(out, "* %u FETCH (", view_seq(s->view, f->m.uid));
    f->begun = true;
    while (f->item < f->items.n) {
        if (reply_size(&s->reply) >= REPLY_CHUNK || s->reply.file_n == REPLY_FILES_MAX)
            return;
        if (f->item > 0)
            buf_append_byte(out, ' ');
        put_item(s, f, &f->items.v[f->item++]);
    }
    if (made_seen(f) && !fetch_items_have(&f->items, FETCH_FLAGS)) {
        buf_append_byte(out, ' ');
        imap_put_flags(out, s->view, &f->m);
    }
    buf_append_str(out, ")\r\n");
    next_message(f);
}

static void fetch_end(struct imap *s, struct fetch *f)
{
    if (f->kept_n > 0)
        keep_all(s, f);
    imap_put_changes(s, s->uid);
    if (f->missing)
        imap_tagged(s, "NO [EXPUNGEISSUED] Some messages are not there any more");
    else
        imap_tagged(s, "OK Fetched");
}

static void fetch_run(struct imap *s)
{
    struct fetch *f = s->work;
    bool failed = false;
    while (!failed && f->at < f->n && reply_size(&s->reply) < REPLY_CHUNK &&
           s->reply.file_n < REPLY_FILES_MAX && f->kept_n < KEEP_BATCH && !s->reply.broken &&
           !atomic_load(&s->gone)) {
        if (f->sets_seen && f->at >= f->seen_end) {
            mail_read_end(&f->read);
            failed = set_seen(s, f) != 0;
        }
        if (!failed && f->read == NULL)
            f->read = mail_read_begin(s->mb, s->view);
        failed = failed || f->read == NULL;
        if (!failed)
            put_message(s, f);
    }
    /* No snapshot, and no file's bytes, are held while the client reads. */
    mail_read_end(&f->read);
    message_file_free(&f->file);
    if (failed) {
        imap_no(s, STORE_FAILED, "Cannot read the folder");
        return;
    }
    if (f->kept_n == KEEP_BATCH)
        keep_all(s, f);
    s->more = f->at < f->n;
    if (!s->more)
        fetch_end(s, f);
}

void imap_cmd_fetch(struct imap *s, const struct imap_arg *args)
{
    struct fetch *f = mem_zalloc(sizeof(*f));
    f->file = MESSAGE_FILE_INIT;
    imap_set_work(s, f, fetch_free);
    if (!imap_take_set(s, args, &f->uids, &f->n))
        return;
    if (fetch_items_parse(&f->items, args->next) != 0) {
        imap_bad_args(s);
        return;
    }
    if (s->uid && !fetch_items_have(&f->items, FETCH_UID))
        fetch_items_add(&f->items, FETCH_UID);
    for (size_t i = 0; i < f->items.n; i++) {
        const struct fetch_item *item = &f->items.v[i];
        f->sets_seen = f->sets_seen || (item->type == FETCH_SECTION && !item->peek);
        f->needs_structure = f->needs_structure || item->type == FETCH_ENVELOPE ||
                             item->type == FETCH_BODY || item->type == FETCH_BODYSTRUCTURE;
    }
    if (s->view->readonly)
        f->sets_seen = false;
    imap_work(s, fetch_run, NULL);
}

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/base/str.h"
#include "gateway/imap/fetch.h"
#include "gateway/imap/search_private.h"
#include "gateway/imap/text.h"

/* Bodies are decoded in pieces of this many bytes. */
#define PIECE ((size_t)32 << 10)

struct match {
    const struct view *view;
    const struct message *m;
    struct mail_read *read;
    struct message_file *file;
    const struct conf *conf;
};

static bool matches(struct match *c, const struct search_key *key);

/* ---- dates ---- */

int search_parse_sent(const char *value, size_t len, int64_t *day)
{
    static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    char text[64] = "", month[4] = "";
    int d = 0, y = 0;
    size_t n = len < sizeof(text) - 1 ? len : sizeof(text) - 1;
    memcpy(text, value, n);
    const char *p = memchr(text, ',', n);
    p = p == NULL ? text : p + 1; /* the day of the week may be missing */
    char *end;
    d = (int)strtol(p, &end, 10);
    p = end + strspn(end, " \t\r\n");
    if (strlen(p) < 3)
        return -1;
    for (int i = 0; i < 3; i++)
        month[i] = str_lower_char(p[i]);
    p += 3;
    y = (int)strtol(p, &end, 10);
    if (end == p || d < 1 || d > 31 || y < 0 || y > 9999)
        return -1;
    if (end - p - (long)strspn(p, " \t\r\n") <= 3) /* RFC 5322 section 4.3 */
        y += y < 50 ? 2000 : 1900;
    const char *at = strstr(months, month);
    if (at == NULL || (at - months) % 3 != 0)
        return -1;
    struct tm tm = {.tm_mday = d, .tm_mon = (int)(at - months) / 3, .tm_year = y - 1900};
    int64_t t = timegm(&tm);
    *day = t / 86400 - (t % 86400 < 0);
    return 0;
}

static bool compare_day(enum search_type type, int64_t day, int64_t than)
{
    switch (type) {
    case SEARCH_BEFORE:
    case SEARCH_SENTBEFORE:
        return day < than;
    case SEARCH_ON:
    case SEARCH_SENTON:
        return day == than;
    default:
        return day >= than;
    }
}

/* ---- headers ---- */

struct field {
    const char *name, *value;
    size_t name_len, value_len;
};

/* The next field of a header; *at moves on. */
static bool next_field(const char **at, const char *end, struct field *f)
{
    const char *p = *at;
    if (p >= end || *p == '\r' || *p == '\n')
        return false;
    const char *stop = p;
    do {
        const char *lf = memchr(stop, '\n', (size_t)(end - stop));
        stop = lf == NULL ? end : lf + 1;
    } while (stop < end && (*stop == ' ' || *stop == '\t'));
    const char *colon = memchr(p, ':', (size_t)(stop - p));
    f->name = p;
    f->name_len = colon == NULL ? 0 : (size_t)(colon - p);
    while (f->name_len > 0 && (p[f->name_len - 1] == ' ' || p[f->name_len - 1] == '\t'))
        f->name_len--;
    f->value = colon == NULL ? p : colon + 1;
    f->value_len = (size_t)(stop - f->value);
    *at = stop;
    return true;
}

static bool header_matches(struct match *c, const struct search_key *key)
{
    const char *at = c->file->data;
    const char *end = at + fetch_header_size(at, c->file->len);
    struct field f;
    bool found = false;
    while (!found && next_field(&at, end, &f)) {
        if (!str_is(f.name, f.name_len, key->field))
            continue;
        struct buf text = {0};
        text_fold_header(&text, f.value, f.value_len);
        found = strstr(buf_str(&text), key->needle) != NULL;
        buf_free(&text);
    }
    return found;
}

static bool sent_matches(struct match *c, const struct search_key *key)
{
    const char *at = c->file->data;
    const char *end = at + fetch_header_size(at, c->file->len);
    struct field f;
    int64_t day;
    while (next_field(&at, end, &f))
        if (str_is(f.name, f.name_len, "Date"))
            return search_parse_sent(f.value, f.value_len, &day) == 0 &&
                   compare_day(key->type, day, (int64_t)key->number);
    return false;
}

/* Any field of a header, its name included. */
static bool any_field_matches(const char *header, size_t len, const char *needle)
{
    const char *at = header, *end = header + len;
    struct field f;
    bool found = false;
    while (!found && next_field(&at, end, &f)) {
        struct buf text = {0};
        text_fold_header(&text, f.name, (size_t)(at - f.name));
        found = strstr(buf_str(&text), needle) != NULL;
        buf_free(&text);
    }
    return found;
}

/* ---- bodies ---- */

static bool text_part_matches(struct match *c, const struct mime_part *part, const char *needle)
{
    const char *charset = mime_param_value(part->params, "charset");
    enum text_charset set = charset == NULL ? TEXT_UTF8 : text_charset(charset, strlen(charset));
    struct text_decoder d = {.encoding = text_encoding(part->encoding)};
    struct text_finder f;
    const char *p = c->file->data + part->body_offset;
    size_t left = (size_t)part->body_size;
    text_finder_init(&f, needle);
    while (left > 0 && !f.found) {
        struct buf piece = {0};
        size_t n = left < PIECE ? left : PIECE;
        text_decode(&d, p, n, &piece);
        text_finder_push(&f, set, piece.data, piece.len);
        buf_free(&piece);
        p += n;
        left -= n;
    }
    bool found = f.found;
    text_finder_free(&f);
    return found;
}

/* The text parts, and with headers the headers of the parts in front of them. */
static bool part_matches(struct match *c, const struct mime_part *part, const char *needle,
                         bool headers)
{
    if (part->header_offset + part->header_size > c->file->len ||
        part->body_offset + part->body_size > c->file->len)
        return false;
    if (headers &&
        any_field_matches(c->file->data + part->header_offset, (size_t)part->header_size, needle))
        return true;
    /* The header of a message inside is part of the body of the one around it. */
    if (mime_is_message(part))
        return part_matches(c, part->message, needle, true);
    for (const struct mime_part *p = part->children; p != NULL; p = p->next)
        if (part_matches(c, p, needle, headers))
            return true;
    return !mime_is_multipart(part) && strcmp(part->type, "text") == 0 &&
           text_part_matches(c, part, needle);
}

/* ---- keys ---- */

static bool costly_matches(struct match *c, const struct search_key *key)
{
    if (c->file->fd < 0 && message_file_open(c->file, c->read, c->m->uid) != 0)
        return key->negate; /* it matches nothing, negated or not */
    switch (key->type) {
    case SEARCH_HEADER:
        return header_matches(c, key);
    case SEARCH_BODY:
    case SEARCH_TEXT:
        return part_matches(c, message_file_parse(c->file, c->conf), key->needle,
                            key->type == SEARCH_TEXT);
    default:
        return sent_matches(c, key);
    }
}

/* Keys that need no look at the message first. */
static bool all_match(struct match *c, const struct search_key *list)
{
    for (int costly = 0; costly < 2; costly++)
        for (const struct search_key *k = list; k != NULL; k = k->next)
            if (k->costly == (costly == 1) && !matches(c, k))
                return false;
    return true;
}

static bool key_matches(struct match *c, const struct search_key *key)
{
    const struct message *m = c->m;
    switch (key->type) {
    case SEARCH_AND:
        return all_match(c, key->list);
    case SEARCH_OR:
        return matches(c, key->list) || matches(c, key->list->next);
    case SEARCH_ALL:
        return true;
    case SEARCH_FLAGS:
        return (m->flags & key->flags) != 0;
    case SEARCH_RECENT:
        return view_is_recent(c->view, m->uid);
    case SEARCH_KEYWORD:
        return (m->keywords & key->number) != 0;
    case SEARCH_SEQ:
        return seqset_has(&key->set, view_seq(c->view, m->uid));
    case SEARCH_UID:
        return seqset_has(&key->set, m->uid);
    case SEARCH_LARGER:
        return m->size > key->number;
    case SEARCH_SMALLER:
        return m->size < key->number;
    case SEARCH_BEFORE:
    case SEARCH_ON:
    case SEARCH_SINCE:
        return compare_day(key->type, m->date / 86400, (int64_t)key->number);
    default:
        return costly_matches(c, key);
    }
}

static bool matches(struct match *c, const struct search_key *key)
{
    return key_matches(c, key) != key->negate;
}

bool search_matches(const struct search *s, const struct view *view, const struct message *m,
                    struct mail_read *read, struct message_file *file, const struct conf *conf)
{
    struct match c = {.view = view, .m = m, .read = read, .file = file, .conf = conf};
    return matches(&c, &s->root);
}

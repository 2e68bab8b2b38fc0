#include "gateway/proto/mime.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/proto/header.h"
#include "gateway/proto/mime_value.h"

#define BOUNDARY_MAX 200 /* RFC 2046 allows 70; some senders do not count */

/* One level that is open: a part, and the boundary of its children where it is a multipart. */
struct level {
    struct mime_part *part;
    char boundary[BOUNDARY_MAX + 1];
    size_t boundary_len; /* 0: none */
    struct mime_part **next_child;
    bool digest;        /* its children are messages unless they say otherwise */
    uint64_t inner_end; /* of the last part in it that has ended */
    unsigned seen;      /* bits of part_fields: the first of several counts */
};

enum mime_state {
    MIME_HEADER, /* in the header of the innermost part */
    MIME_BODY    /* in its body, or between and behind the children of a multipart */
};

struct mime_parser {
    struct mime_limits limits;
    struct arena *arena;
    enum mime_state state;
    struct level *levels;
    unsigned depth; /* levels in use */
    unsigned parts, addresses;
    bool limited, root_header_done;
    struct mime_part *root;
    uint64_t offset;    /* of the start of the current line */
    uint64_t line_len;  /* bytes of it so far */
    uint64_t lines;     /* complete lines before it */
    bool last_had_cr;   /* the line before ended with CRLF, so a boundary takes two bytes */
    bool last_empty;    /* the line before was empty */
    bool cr;            /* the current line's last byte was CR */
    size_t header_seen; /* bytes of the current header that were looked at */
    struct buf line;    /* its beginning: a boundary, or a header line, as far as the bounds go */
    struct buf field;   /* the header field being collected */
};

static struct level *mime_top(struct mime_parser *p)
{
    return &p->levels[p->depth - 1];
}

/* Hangs a new part below the innermost one and makes it the innermost; its header starts at this
 * place. */
static struct mime_part *mime_add(struct mime_parser *p, bool is_message, uint64_t offset,
                                  uint64_t lines)
{
    struct both {
        struct mime_part part;
        struct mime_envelope envelope;
    } *both = arena_alloc(p->arena, is_message ? sizeof(*both) : sizeof(both->part));
    if (both == NULL) {
        p->limited = true;
        return NULL;
    }
    struct mime_part *part = &both->part;
    if (is_message) {
        part->envelope = &both->envelope;
        p->addresses = 0;
    }
    part->type = "text";
    part->subtype = "plain";
    part->encoding = "7bit";
    part->header_offset = part->body_offset = offset;
    part->header_lines = lines; /* the line it starts in, until its end is known */
    part->body_lines = lines;
    if (p->depth > 0) {
        struct level *up = mime_top(p);
        *up->next_child = part;
        up->next_child = &part->next;
    } else {
        p->root = part;
    }
    struct level *level = &p->levels[p->depth++];
    memset(level, 0, sizeof(*level));
    level->part = part;
    level->next_child = &part->children;
    p->parts++;
    return part;
}

static void mime_default_charset(struct mime_parser *p, struct mime_part *part)
{
    part->params = arena_alloc(p->arena, sizeof(*part->params));
    if (part->params != NULL)
        *part->params = (struct mime_param){.name = "charset", .value = "us-ascii"};
    else
        p->limited = true;
}

/* What is not looked into. */
static void mime_lump(struct mime_part *part)
{
    part->type = "application";
    part->subtype = "octet-stream";
    part->params = NULL;
}

/* Opens a part that begins with a header. Past a bound it becomes a lump of all that follows at its
 * level. */
static void mime_open(struct mime_parser *p, bool is_message, uint64_t offset, uint64_t lines)
{
    bool digest = p->depth > 0 && mime_top(p)->digest;
    bool full = p->parts > 0 && p->parts >= p->limits.parts;
    if (full && p->depth > 0)
        mime_top(p)->boundary_len = 0;
    struct mime_part *part = mime_add(p, is_message, offset, lines);
    p->state = MIME_BODY;
    if (part == NULL)
        return;
    if (full) {
        p->limited = true;
        part->header_lines = 0;
        mime_lump(part);
        return;
    }
    p->state = MIME_HEADER;
    p->header_seen = 0;
    if (digest) {
        part->type = "message";
        part->subtype = "rfc822";
    } else {
        mime_default_charset(p, part);
    }
}

/* ---- header ---- */

typedef void field_fn(struct mime_parser *p, struct mime_part *part, const char *value);

static void field_content_type(struct mime_parser *p, struct mime_part *part, const char *value)
{
    const char *type, *subtype;
    struct mime_param *params;
    if (!mime_value_with_params(p->arena, value, p->limits.params, &type, &subtype, &params,
                                &p->limited)) {
        part->type = "text";
        part->subtype = "plain";
        return;
    }
    part->type = type;
    part->subtype = subtype;
    part->params = params;
}

static void field_disposition(struct mime_parser *p, struct mime_part *part, const char *value)
{
    mime_value_with_params(p->arena, value, p->limits.params, &part->disposition, NULL,
                           &part->disposition_params, &p->limited);
}

static void field_encoding(struct mime_parser *p, struct mime_part *part, const char *value)
{
    const char *encoding = mime_value_token(p->arena, value);
    if (encoding != NULL)
        part->encoding = encoding;
}

static void field_language(struct mime_parser *p, struct mime_part *part, const char *value)
{
    part->language = mime_value_words(p->arena, value, p->limits.params);
}

/* Fields that are kept as they stand, by where they go in the part. */
static const struct {
    const char *name;
    size_t offset;
} part_texts[] = {{"Content-ID", offsetof(struct mime_part, id)},
                  {"Content-Description", offsetof(struct mime_part, description)},
                  {"Content-MD5", offsetof(struct mime_part, md5)},
                  {"Content-Location", offsetof(struct mime_part, location)}};

static const struct {
    const char *name;
    field_fn *fn;
} part_fields[] = {{"Content-Type", field_content_type},
                   {"Content-Disposition", field_disposition},
                   {"Content-Transfer-Encoding", field_encoding},
                   {"Content-Language", field_language}};

static const struct {
    const char *name;
    size_t offset;
} envelope_texts[] = {{"Date", offsetof(struct mime_envelope, date)},
                      {"Subject", offsetof(struct mime_envelope, subject)},
                      {"In-Reply-To", offsetof(struct mime_envelope, in_reply_to)},
                      {"Message-ID", offsetof(struct mime_envelope, message_id)}};

static const struct {
    const char *name;
    size_t offset;
} envelope_addresses[] = {{"From", offsetof(struct mime_envelope, from)},
                          {"Sender", offsetof(struct mime_envelope, sender)},
                          {"Reply-To", offsetof(struct mime_envelope, reply_to)},
                          {"To", offsetof(struct mime_envelope, to)},
                          {"Cc", offsetof(struct mime_envelope, cc)},
                          {"Bcc", offsetof(struct mime_envelope, bcc)}};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The field's value as text in the arena; NULL past its bound. */
static const char *mime_text(struct mime_parser *p, const struct header_field *f)
{
    struct buf out = {.max = f->value_len + 1};
    header_unfold(&out, f->value, f->value_len);
    const char *text = arena_strndup(p->arena, out.data, out.len);
    buf_free(&out);
    if (text == NULL)
        p->limited = true;
    return text;
}

static void mime_envelope_field(struct mime_parser *p, struct mime_envelope *envelope,
                                const struct header_field *f)
{
    for (size_t i = 0; i < COUNT(envelope_texts); i++) {
        const char **slot = (void *)((char *)envelope + envelope_texts[i].offset);
        if (*slot == NULL && header_field_is(f, envelope_texts[i].name))
            *slot = mime_text(p, f);
    }
    for (size_t i = 0; i < COUNT(envelope_addresses); i++) {
        struct mime_address **slot = (void *)((char *)envelope + envelope_addresses[i].offset);
        if (!header_field_is(f, envelope_addresses[i].name))
            continue;
        while (*slot != NULL) /* a field that stands twice is one list */
            slot = &(*slot)->next;
        unsigned left = p->limits.addresses > p->addresses ? p->limits.addresses - p->addresses : 0;
        *slot = mime_addresses(f->value, f->value_len, left, p->arena, &p->limited);
        for (; *slot != NULL; slot = &(*slot)->next)
            p->addresses++;
    }
}

/* The field in p->field is complete. */
static void mime_field_done(struct mime_parser *p)
{
    struct mime_part *part = mime_top(p)->part;
    struct header_field f;
    header_field_parse(&f, buf_str(&p->field), p->field.len);
    if (f.name_len > 0) {
        for (size_t i = 0; i < COUNT(part_texts); i++)
            if (header_field_is(&f, part_texts[i].name)) {
                const char **slot = (void *)((char *)part + part_texts[i].offset);
                if (*slot == NULL)
                    *slot = mime_text(p, &f);
            }
        for (size_t i = 0; i < COUNT(part_fields); i++)
            if (header_field_is(&f, part_fields[i].name) && !(mime_top(p)->seen & 1U << i)) {
                mime_top(p)->seen |= 1U << i;
                const char *value = mime_text(p, &f);
                if (value != NULL)
                    part_fields[i].fn(p, part, value);
            }
        if (part->envelope != NULL)
            mime_envelope_field(p, part->envelope, &f);
    }
    buf_clear(&p->field);
}

/* What the header said decides what the body is. */
static void mime_enter_body(struct mime_parser *p, uint64_t end, uint64_t lines)
{
    struct level *level = mime_top(p);
    struct mime_part *part = level->part;
    if (strcmp(part->type, "multipart") == 0 && p->depth > p->limits.depth) {
        p->limited = true;
        mime_lump(part);
    } else if (strcmp(part->type, "multipart") == 0) {
        const char *boundary = mime_param_value(part->params, "boundary");
        size_t len = boundary != NULL ? strlen(boundary) : 0;
        if (len == 0 || len > BOUNDARY_MAX) {
            part->type = "text";
            part->subtype = "plain";
            mime_default_charset(p, part);
            return;
        }
        memcpy(level->boundary, boundary, len);
        level->boundary_len = len;
        level->digest = strcmp(part->subtype, "digest") == 0;
    } else if (strcmp(part->type, "message") == 0 &&
               (strcmp(part->subtype, "rfc822") == 0 || strcmp(part->subtype, "global") == 0)) {
        if (p->depth > p->limits.depth || p->parts >= p->limits.parts) {
            p->limited = true;
            mime_lump(part);
            return;
        }
        level->next_child = &part->message;
        mime_open(p, true, end, lines);
        if (part->message == NULL)
            mime_lump(part);
    }
}

/* The header of the innermost part ends at end, before the line number lines; its body begins
 * there. */
static void mime_header_done(struct mime_parser *p, uint64_t end, uint64_t lines)
{
    struct mime_part *part = mime_top(p)->part;
    mime_field_done(p);
    part->header_size = end - part->header_offset;
    part->header_lines =
        part->header_size > 0 && lines > part->header_lines ? lines - part->header_lines : 0;
    part->body_offset = end;
    part->body_lines = lines; /* the line it starts in, until its end is known */
    if (part->envelope != NULL) {
        if (part->envelope->sender == NULL)
            part->envelope->sender = part->envelope->from;
        if (part->envelope->reply_to == NULL)
            part->envelope->reply_to = part->envelope->from;
    }
    p->state = MIME_BODY;
    p->root_header_done = true;
    mime_enter_body(p, end, lines);
}

/* ---- body ---- */

/* The innermost part ends at this offset, before the line number lines. */
static void mime_close(struct mime_parser *p, uint64_t end, uint64_t lines)
{
    struct mime_part *part = mime_top(p)->part;
    if (p->state == MIME_HEADER) {
        mime_header_done(p, end > part->header_offset ? end : part->header_offset, lines);
        /* That may have opened a message within, which ends here too. */
        while (mime_top(p)->part != part)
            mime_close(p, end, lines);
    }
    if (mime_top(p)->inner_end > end) {
        /* The blank line of an inner header is the line end before this boundary: it stays within.
         */
        end = mime_top(p)->inner_end;
        lines++;
    }
    bool is_multipart = strcmp(part->type, "multipart") == 0;
    part->body_size = end > part->body_offset ? end - part->body_offset : 0;
    part->body_lines =
        part->body_size > 0 && lines > part->body_lines ? lines - part->body_lines : 0;
    if (is_multipart && part->children == NULL) {
        /* A multipart has at least one part (RFC 2046), and clients count on it. */
        struct mime_part *empty = mime_add(p, false, part->body_offset + part->body_size, 0);
        if (empty != NULL) {
            mime_default_charset(p, empty);
            p->depth--;
        } else {
            mime_lump(part);
        }
    }
    p->depth--;
    if (p->depth > 0)
        mime_top(p)->inner_end = part->body_offset + part->body_size;
}

/* Which open multipart the line is a boundary of: its level, or -1. *last: the closing one. */
static int mime_boundary(const struct mime_parser *p, bool *last)
{
    const unsigned char *s = p->line.data;
    size_t len = p->line.len;
    if (len < 3 || s[0] != '-' || s[1] != '-')
        return -1;
    while (len > 2 &&
           (s[len - 1] == '\n' || s[len - 1] == '\r' || s[len - 1] == ' ' || s[len - 1] == '\t'))
        len--;
    for (int i = (int)p->depth - 1; i >= 0; i--) {
        const struct level *l = &p->levels[i];
        if (l->boundary_len == 0 || len < 2 + l->boundary_len ||
            memcmp(s + 2, l->boundary, l->boundary_len) != 0)
            continue;
        size_t rest = len - 2 - l->boundary_len;
        *last = rest == 2 && s[len - 1] == '-' && s[len - 2] == '-';
        if (rest == 0 || *last)
            return i;
    }
    return -1;
}

/* The current line is a boundary of this level; the next one starts at end. */
static void mime_at_boundary(struct mime_parser *p, unsigned level, bool last, uint64_t end)
{
    /* The line end before a boundary belongs to it. */
    uint64_t before = p->last_had_cr ? 2 : 1;
    uint64_t part_end = p->offset >= before ? p->offset - before : 0;
    uint64_t lines = p->lines > 0 && p->last_empty ? p->lines - 1 : p->lines;
    while (p->depth > level + 1)
        mime_close(p, part_end, lines);
    p->state = MIME_BODY;
    if (last)
        mime_top(p)->boundary_len = 0; /* what follows is epilogue */
    else
        mime_open(p, false, end, p->lines + 1);
}

/* A header line goes to the field it continues, or begins the next one. */
static void mime_header_line(struct mime_parser *p, uint64_t end)
{
    const unsigned char *s = p->line.data;
    if (s[0] == '\n' || (p->line.len == 2 && s[0] == '\r')) {
        mime_header_done(p, end, p->lines + 1);
        return;
    }
    if (s[0] != ' ' && s[0] != '\t')
        mime_field_done(p);
    size_t room = p->limits.header > p->header_seen ? p->limits.header - p->header_seen : 0;
    if (room > p->limits.field - p->field.len)
        room = p->limits.field - p->field.len;
    size_t take = p->line.len < room ? p->line.len : room;
    if (take < p->line_len)
        p->limited = true;
    buf_append(&p->field, s, take);
    p->header_seen += take;
}

static void mime_line(struct mime_parser *p, uint64_t end)
{
    bool last = false;
    int level = mime_boundary(p, &last);
    if (level >= 0)
        mime_at_boundary(p, (unsigned)level, last, end);
    else if (p->state == MIME_HEADER)
        mime_header_line(p, end);
}

struct mime_parser *mime_parser_new(const struct mime_limits *limits, struct arena *arena)
{
    struct mime_parser *p = mem_zalloc(sizeof(*p));
    p->limits = *limits;
    p->arena = arena;
    /* One more for what is in the innermost multipart or message. */
    p->levels = mem_zalloc((limits->depth + (size_t)1) * sizeof(*p->levels));
    p->line.max = limits->field + 1;
    p->field.max = limits->field + 1;
    mime_open(p, true, 0, 0);
    return p;
}

/* How much of the current line must be kept: all of a header line, the beginning of a possible
 * boundary. */
static size_t mime_keep(const struct mime_parser *p, const unsigned char *data, size_t len)
{
    size_t room = p->limits.field > p->line.len ? p->limits.field - p->line.len : 0;
    if (p->state == MIME_BODY) {
        const unsigned char *first = p->line.len > 0 ? p->line.data : data;
        size_t bound = first[0] == '-' ? BOUNDARY_MAX + 16 : 2;
        room = p->line.len < bound ? bound - p->line.len : 0;
    }
    return len < room ? len : room;
}

void mime_parser_push(struct mime_parser *p, const void *data, size_t len)
{
    const unsigned char *s = data;
    if (p->root == NULL)
        return;
    while (len > 0) {
        const unsigned char *nl = memchr(s, '\n', len);
        size_t take = nl != NULL ? (size_t)(nl - s) + 1 : len;
        buf_append(&p->line, s, mime_keep(p, s, take));
        bool cr_before = take >= 2 ? s[take - 2] == '\r' : p->cr;
        p->cr = s[take - 1] == '\r';
        p->line_len += take;
        s += take;
        len -= take;
        if (nl == NULL)
            return;
        uint64_t end = p->offset + p->line_len;
        mime_line(p, end);
        p->last_had_cr = cr_before;
        p->last_empty = p->line_len == (cr_before ? 2 : 1);
        p->offset = end;
        p->line_len = 0;
        p->lines++;
        p->cr = false;
        buf_clear(&p->line);
    }
}

void mime_parser_free(struct mime_parser **parser)
{
    struct mime_parser *p = *parser;
    if (p == NULL)
        return;
    buf_free(&p->line);
    buf_free(&p->field);
    free(p->levels);
    free(p);
    *parser = NULL;
}

bool mime_parser_header_done(const struct mime_parser *p)
{
    return p->root_header_done;
}

bool mime_parser_limited(const struct mime_parser *p)
{
    return p->limited;
}

struct mime_part *mime_parser_finish(struct mime_parser *p)
{
    if (p->root == NULL)
        return NULL;
    uint64_t end = p->offset + p->line_len;
    uint64_t lines = p->lines;
    if (p->line_len > 0) {
        mime_line(p, end); /* a last line without line end */
        lines++;
    }
    while (p->depth > 0)
        mime_close(p, end, lines);
    return p->root;
}

const struct mime_part *mime_part_find(const struct mime_part *root, const uint32_t *numbers,
                                       size_t n)
{
    const struct mime_part *at = root;
    bool whole = true; /* at stands for a message, not for one of its parts */
    for (size_t i = 0; i < n; i++) {
        const struct mime_part *base = at;
        bool message = whole;
        if (!whole && at->message != NULL) {
            base = at->message;
            message = true;
        }
        const struct mime_part *child = base->children;
        uint32_t k = numbers[i];
        if (child == NULL) {
            if (!message || k != 1)
                return NULL;
            at = base;
        } else {
            while (child != NULL && k > 1) {
                child = child->next;
                k--;
            }
            if (child == NULL || k == 0)
                return NULL;
            at = child;
        }
        whole = false;
    }
    return at;
}

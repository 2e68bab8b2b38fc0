/*
 * The structure of an Internet message (RFC 5322, MIME: RFC 2045, 2046, 2183, 2231): a push parser
 * without I/O and bounded, which keeps where each part lies and what its header says, never a body.
 *
 *     p = mime_parser_new(&limits, arena);
 *     mime_parser_push(p, data, len);        as often as there are bytes
 *     root = mime_parser_finish(p);          lives in the arena
 *     mime_parser_free(&p);
 *
 * Every message has a structure. What is malformed or past a bound is read as something plainer, as
 * RFC 2045 section 5.2 advises: a bad Content-Type as text/plain, a multipart without boundary too;
 * a part that would be nested too deep, or one part too many, as an application/octet-stream of all
 * that follows at that level. A multipart always has a child (an empty text/plain where none came),
 * a message/rfc822 always its message. `limited` says whether a bound was met.
 *
 * Lines end in CRLF or LF. Strings are NUL-terminated, unfolded, not decoded (RFC 2047 words and
 * bytes past ASCII stay as they are), NUL bytes left out; NULL where the message says nothing.
 */
#ifndef DIRIGO_PROTO_MIME_H
#define DIRIGO_PROTO_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/mem.h"

struct mime_limits {
    size_t header;      /* bytes of one part's header that are looked at */
    size_t field;       /* bytes of one field */
    unsigned parts;     /* in the whole message */
    unsigned depth;     /* of multiparts and messages within each other */
    unsigned params;    /* of one field */
    unsigned addresses; /* of one envelope */
};

/* A parameter, RFC 2231 continuations joined: name is "filename", or "filename*" where the value is
 * charset'language'percent-encoded. Quoted strings are unquoted. */
struct mime_param {
    const char *name; /* lower case */
    const char *value;
    struct mime_param *next;
};

/* One of Content-Language's tags. */
struct mime_word {
    const char *text;
    struct mime_word *next;
};

/*
 * An address as IMAP's ENVELOPE lists it (RFC 3501 section 7.4.2). A group is an entry with host
 * NULL and its name in mailbox, then its members, then an entry of NULLs.
 */
struct mime_address {
    const char *name; /* the display name unquoted, or the comment where there is none */
    const char *adl;  /* the source route, "@a,@b" */
    const char *mailbox;
    const char *host; /* "" where an address came without one */
    struct mime_address *next;
};

struct mime_envelope {
    const char *date;
    const char *subject;
    struct mime_address *from;
    struct mime_address *sender;   /* from, where the header has none */
    struct mime_address *reply_to; /* from, where the header has none */
    struct mime_address *to;
    struct mime_address *cc;
    struct mime_address *bcc;
    const char *in_reply_to;
    const char *message_id;
};

/* Offsets count from the beginning of the message. header and body are next to each other. */
struct mime_part {
    uint64_t header_offset;
    uint64_t header_size; /* blank line included */
    uint64_t body_offset;
    uint64_t body_size;    /* the line end before a boundary not included */
    uint64_t header_lines; /* of the header, blank line included */
    uint64_t body_lines;   /* a last line without its end counts */

    const char *type;          /* never NULL; lower case: "text" */
    const char *subtype;       /* never NULL; lower case: "plain" */
    struct mime_param *params; /* charset=us-ascii stands here where RFC 2045 section 5.2 supplies
                                  it: text/plain without a Content-Type */
    const char *id;
    const char *description;
    const char *encoding; /* never NULL; lower case: "7bit" where the header has none */
    const char *md5;
    const char *disposition; /* lower case */
    struct mime_param *disposition_params;
    struct mime_word *language;
    const char *location;

    struct mime_envelope *envelope; /* of the message whose header this is: the root, and the
                                       message in a message/rfc822; else NULL */
    struct mime_part *message;      /* message/rfc822: the root of the message inside */
    struct mime_part *children;     /* multipart: its first part */
    struct mime_part *next;         /* the part behind it in the same multipart */
};

/* Whether it is multipart with children; whether it is message/rfc822 with a message. */
static inline bool mime_is_multipart(const struct mime_part *part)
{
    return part->children != NULL;
}
static inline bool mime_is_message(const struct mime_part *part)
{
    return part->message != NULL;
}

struct mime_parser;
/* The arena outlives the parser and holds the result; where its own bound is met the result is cut
 * as at any other limit. limits is copied. */
struct mime_parser *mime_parser_new(const struct mime_limits *limits, struct arena *arena);
/* *p may be NULL. */
void mime_parser_free(struct mime_parser **p);
void mime_parser_push(struct mime_parser *p, const void *data, size_t len);
/* Whether the message's own header has ended: one who wants no more than its envelope can stop
 * reading and call mime_parser_finish; sizes and children are those of what was pushed. */
bool mime_parser_header_done(const struct mime_parser *p);
/* The input is over. Called once; valid as long as the arena. NULL only where the arena has no room
 * for the part itself. */
struct mime_part *mime_parser_finish(struct mime_parser *p);
/* Whether a bound was met, so that the result says less than the message. */
bool mime_parser_limited(const struct mime_parser *p);

/*
 * The part that IMAP numbers n numbers (RFC 3501 section 6.4.5): numbers {2, 1} is BODY[2.1]. NULL
 * where there is none. n 0 is root. Part 1 of a message that is no multipart is the message's root:
 * its body is BODY[1]. BODY[2.HEADER] and [2.TEXT] are found's message's header and body; [2.MIME]
 * is found's header.
 */
const struct mime_part *mime_part_find(const struct mime_part *root, const uint32_t *numbers,
                                       size_t n);
/* The value of a parameter, or NULL. */
const char *mime_param_value(const struct mime_param *list, const char *name);

/* An address list (RFC 5322 section 3.4, obsolete forms included) from a field's raw value, in
 * arena; at most max entries, group marks counted. NULL for none. *limited, if not NULL, is set
 * where there were more. */
struct mime_address *mime_addresses(const char *value, size_t len, unsigned max,
                                    struct arena *arena, bool *limited);

#endif

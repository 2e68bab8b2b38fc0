/*
 * SMTP replies (RFC 5321 section 4.2) as a client reads them: a push/next parser without I/O.
 *
 * smtp_reply_push takes bytes up to the end of one reply, smtp_reply_next says whether there is
 * one; with pipelining the caller pushes the rest afterwards. Lines may end in LF alone. Text is
 * made harmless for logs and delivery reports here: whatever is not printable ASCII becomes '?',
 * and text over SMTP_REPLY_TEXT_MAX is dropped.
 */
#ifndef DIRIGO_PROTO_SMTP_REPLY_H
#define DIRIGO_PROTO_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buf.h"

#define SMTP_REPLY_TEXT_MAX ((size_t)8 << 10)   /* kept */
#define SMTP_REPLY_SIZE_MAX ((size_t)256 << 10) /* read; a longer reply is malformed */
#define SMTP_ENHANCED_MAX   10                  /* "5.123.123" and the NUL */

struct smtp_reply {
    unsigned code;                    /* 200 to 599, of the last line */
    char enhanced[SMTP_ENHANCED_MAX]; /* RFC 2034, of the first line; "" where there is none */
    const char *text; /* without codes, lines joined by '\n'; valid until the next push */
};

/* Private but for its size: zeros are a parser at the start of a reply. */
struct smtp_reply_parser {
    struct buf text;
    size_t size;   /* bytes of this reply so far */
    size_t column; /* within the line */
    unsigned code; /* of this line */
    bool first;    /* a line of this reply has ended */
    bool more;     /* '-' behind the code */
    bool cr;       /* the last byte was a CR */
    bool done, bad;
};

void smtp_reply_free(struct smtp_reply_parser *p);
/* Takes bytes and returns how many: all, or up to the end of a reply, which has to be fetched with
 * smtp_reply_next before the next call takes more; after a malformed one it takes nothing. */
size_t smtp_reply_push(struct smtp_reply_parser *p, const void *data, size_t len);
/* 1: a reply, in *out, once. 0: more bytes are needed. -1: this is not SMTP, or past the bound. */
int smtp_reply_next(struct smtp_reply_parser *p, struct smtp_reply *out);
/* Whether an EHLO reply has keyword (RFC 5321 section 4.1.1.1; ASCII case ignored). *params, if not
 * NULL, gets what follows it, of *len bytes, not NUL-terminated. */
bool smtp_reply_keyword(const struct smtp_reply *reply, const char *keyword, const char **params,
                        size_t *len);

#endif

/*
 * Text of messages made searchable: encoded words (RFC 2047), transfer encodings and character sets
 * become UTF-8 with upper and lower case made alike.
 *
 * Character sets known: UTF-8, US-ASCII, ISO-8859-1, -15 and Windows-1252. Bytes in another one
 * stand for themselves, so that at least their ASCII is found.
 */
#ifndef DIRIGO_IMAP_TEXT_H
#define DIRIGO_IMAP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buf.h"

enum text_charset {
    TEXT_UTF8, /* and everything unknown */
    TEXT_LATIN1,
    TEXT_LATIN9,
    TEXT_CP1252
};
enum text_charset text_charset(const char *name, size_t len);

/* Appends bytes of a character set as folded UTF-8. Bytes that are no UTF-8 stay. */
void text_fold(struct buf *out, enum text_charset charset, const void *data, size_t len);
/* Appends a header field's value, unfolded, encoded words decoded, as folded UTF-8. */
void text_fold_header(struct buf *out, const char *value, size_t len);

/* Looks for a needle (folded UTF-8) in text that comes in pieces. */
struct text_finder {
    const char *needle;
    size_t needle_len;
    struct buf window; /* of folded text */
    bool found;
};
void text_finder_init(struct text_finder *f, const char *needle);
void text_finder_push(struct text_finder *f, enum text_charset charset, const void *data,
                      size_t len);
void text_finder_free(struct text_finder *f);

/* Transfer decoding in pieces; zeros with the encoding set begin. */
enum text_encoding {
    TEXT_IDENTITY,
    TEXT_QUOTED_PRINTABLE,
    TEXT_BASE64
};
struct text_decoder {
    enum text_encoding encoding;
    unsigned bits, have; /* base64 */
    char held[3];        /* quoted-printable: "=", "=X" at the end of a piece */
    size_t held_n;
};
enum text_encoding text_encoding(const char *name);
/* Appends what the piece decodes to. Never fails: what is malformed is left out or stays. */
void text_decode(struct text_decoder *d, const char *data, size_t len, struct buf *out);

#endif

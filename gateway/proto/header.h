/*
 * The header of an Internet message (RFC 5322 section 2.2), field by field: a push/next reader
 * without I/O. Lines end in CRLF or LF.
 *
 *     while (at < len || finished) {
 *         at += header_reader_push(r, data + at, len - at);
 *         switch (header_reader_next(r, &field)) { case HEADER_MORE: read on; ... }
 *     }
 *
 * A line that is no field (no colon, or a space in the name) comes as one with an empty name, so
 * that the raw bytes of all events make up the whole header.
 */
#ifndef DIRIGO_PROTO_HEADER_H
#define DIRIGO_PROTO_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"

enum header_event {
    HEADER_MORE,  /* push more bytes, or call header_reader_finish */
    HEADER_FIELD, /* a whole field */
    HEADER_END    /* the blank line was taken, or the input is over; what follows is the body */
};

/* Valid until the next push. Not NUL-terminated; bytes of any value. */
struct header_field {
    const char *name; /* without the colon and spaces before it */
    size_t name_len;
    const char *value; /* folded as it came, without the colon, white space around it and the final
                          line end */
    size_t value_len;
    const char *raw; /* the whole field, with its line ends */
    size_t raw_len;
    uint64_t offset; /* of raw in the header */
    uint64_t size;   /* bytes in the header: more than raw_len where the field was cut */
    bool cut;        /* longer than the bound: raw and value stop there */
};

struct header_reader;
/* field_max: bytes of one field that are kept. */
struct header_reader *header_reader_new(size_t field_max);
/* *r may be NULL. */
void header_reader_free(struct header_reader **r);
/* Forgets what it has read, for the next header. */
void header_reader_reset(struct header_reader *r);
/* Takes bytes and returns how many: all, or up to an event that has not been fetched; nothing after
 * HEADER_END. */
size_t header_reader_push(struct header_reader *r, const void *data, size_t len);
/* The input is over: the last field comes, then HEADER_END. */
void header_reader_finish(struct header_reader *r);
/* What there is, each event once, but HEADER_END again and again. field is NULL where it is of no
 * interest. */
enum header_event header_reader_next(struct header_reader *r, struct header_field *field);
/* Bytes taken so far: at HEADER_END the size of the header, blank line included. */
uint64_t header_reader_size(const struct header_reader *r);

/* Splits the raw bytes of one field into name and value; offset, size and cut are left alone. */
void header_field_parse(struct header_field *field, const char *raw, size_t len);
/* Whether the field has this name, ASCII case ignored. */
bool header_field_is(const struct header_field *field, const char *name);
/* Appends a value unfolded (RFC 5322 section 2.2.3): line ends and NUL bytes left out, white space
 * kept. -1 where out is full. */
int header_unfold(struct buf *out, const char *value, size_t len);

#endif

/*
 * The DATA phase (RFC 5321 section 4.5.2): dot-unstuffing, the end, and a look at the header.
 *
 * The end is CRLF "." CRLF and nothing else. A bare LF, a bare CR or a NUL anywhere makes the
 * message one that must be refused when its end has come: what follows a false end is never taken
 * for commands, and nothing of the message is kept. Content comes out in slices of the input, as
 * large as it allows, without a copy.
 */
#ifndef DIRIGO_PROTO_SMTP_DATA_H
#define DIRIGO_PROTO_SMTP_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum smtp_data_status {
    SMTP_DATA_MORE,  /* all input is consumed */
    SMTP_DATA_SLICE, /* a piece of the message; call again with what is left */
    SMTP_DATA_END    /* the final dot; what is left of the input are commands */
};

/* The first thing that was wrong; once it is set no more slices come. */
enum smtp_data_flaw {
    SMTP_DATA_SOUND,
    SMTP_DATA_BARE_LF,
    SMTP_DATA_BARE_CR,
    SMTP_DATA_NUL,
    SMTP_DATA_TOO_BIG
};

/* Header fields that were seen. */
enum {
    SMTP_HEADER_DATE = 1,
    SMTP_HEADER_MESSAGE_ID = 2,
    SMTP_HEADER_FROM = 4,
    SMTP_HEADER_SENDER = 8
};

/* A push/next object. Fields up to fields_seen may be read, the rest is private. */
struct smtp_data {
    uint64_t size; /* bytes that came out in slices */
    enum smtp_data_flaw flaw;
    bool has_8bit;
    bool header_8bit;     /* in the header */
    bool header_done;     /* the blank line has come, or the header passed its bound */
    uint64_t header_size; /* bytes of the header, blank line included */
    unsigned received;    /* Received fields in it */
    unsigned fields_seen; /* SMTP_HEADER_* */
    uint64_t size_max;
    size_t header_max;
    uint8_t state;
    bool naming; /* collecting a field's name */
    bool blank;  /* nothing but a CR has come in this line */
    uint8_t name_len;
    char name[12];
};

/* size_max: bytes of content; header_max: how much of the header is looked at. */
void smtp_data_init(struct smtp_data *d, uint64_t size_max, size_t header_max);
/* Looks at len bytes and takes *used of them; slice points into data. */
enum smtp_data_status smtp_data_next(struct smtp_data *d, const void *data, size_t len,
                                     size_t *used, const void **slice, size_t *slice_len);
/* The same for the octets of a BDAT (RFC 3030), which have no dots to undo and no end of their own:
 * all are taken, and the slice is all of them or nothing. */
enum smtp_data_status smtp_data_chunk(struct smtp_data *d, const void *data, size_t len,
                                      const void **slice, size_t *slice_len);
/* The last chunk has ended: a CR without its LF is a flaw now. */
void smtp_data_chunks_end(struct smtp_data *d);

#endif

/* A message's bytes as a multi-line POP3 answer (RFC 1939 section 3): push/next without I/O. */
#ifndef DIRIGO_POP3_DOTS_H
#define DIRIGO_POP3_DOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"

/* Zeros, with body_lines set, begin a message. */
struct dots {
    bool limited;        /* TOP: stop after body_lines lines of the body */
    uint64_t body_lines; /* left to send */
    bool in_line;        /* the last line has no end yet */
    bool cr;             /* the last byte was CR */
    bool empty;          /* nothing of the current line was seen but perhaps its CR */
    bool in_body;
    bool done; /* the limit is reached: no more bytes are wanted */
};

/* Appends data, dots doubled and bare LF made CRLF. */
void dots_push(struct dots *d, const char *data, size_t len, struct buf *out);
/* Appends the end: a line end where one is missing, and the dot. */
void dots_end(struct dots *d, struct buf *out);

#endif

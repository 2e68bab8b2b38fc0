/* The canonical forms that signatures cover (RFC 6376 section 3.4). Lines end in CRLF. */
#ifndef DIRIGO_FILTER_CANON_H
#define DIRIGO_FILTER_CANON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/proto/header.h"

enum canon {
    CANON_SIMPLE,
    CANON_RELAXED
};

/* Appends the field with its final CRLF; -1 where out is full. */
int canon_field(enum canon canon, const struct header_field *field, struct buf *out);

/*
 * The body, pushed in pieces of any size: sink gets its canonical form in pieces of any size. A
 * struct of zeros but for canon, sink and arg is a new one.
 */
struct canon_body {
    enum canon canon;
    void (*sink)(const void *data, size_t len, void *arg);
    void *arg;
    /* private */
    uint64_t empty_lines; /* CRLFs held back: they count only if something follows */
    bool something;       /* a line was not empty */
    bool space;           /* relaxed: white space held back */
    bool cr;              /* a CR held back: the next byte tells */
    unsigned held;        /* bytes in out */
    char out[1024];
};
void canon_body_push(struct canon_body *b, const void *data, size_t len);
/* The body is over. */
void canon_body_finish(struct canon_body *b);

#endif

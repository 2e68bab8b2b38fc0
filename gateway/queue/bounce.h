/*
 * The text of a report to the sender: a delivery status notification (RFC 3464) in a
 * multipart/report (RFC 6522), about recipients that failed, wait, or were served.
 */
#ifndef DIRIGO_QUEUE_BOUNCE_H
#define DIRIGO_QUEUE_BOUNCE_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buf.h"
#include "gateway/queue/envelope.h"

struct bounce_params {
    const struct envelope *envelope; /* of the message; its recipients' states are reported */
    const char *id;                  /* of the bounce */
    const char *hostname;
    int64_t now;          /* wall seconds */
    int64_t retry_until;  /* the same, for what is still tried */
    const char *original; /* the beginning of the message, with its trace headers */
    size_t original_len;
    bool full; /* that is all of it, and it is returned so if something failed (RET=FULL) */
};

/*
 * Appends the whole file: Return-Path, headers, an explanation, the status and the headers of the
 * message. *trace gets the length of the Return-Path line; *body_8bit whether bytes over 127 are in
 * it. 0, or -1 past the buffer's bound.
 */
int bounce_write(const struct bounce_params *p, struct buf *out, size_t *trace, bool *body_8bit);

/*
 * The RFC 3463 status for a reply text such as "550 5.1.1 no such user": the one in it (the
 * relay's own texts begin with theirs), or class.0.0 after the reply's first digit, or 5.0.0. Into
 * dst, which has room for 16 bytes.
 */
const char *bounce_status(const char *reply, char dst[16]);

#endif

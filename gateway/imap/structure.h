/* ENVELOPE, BODY and BODYSTRUCTURE: RFC 3501 sections 7.4.2 and 2.6. */
#ifndef DIRIGO_IMAP_STRUCTURE_H
#define DIRIGO_IMAP_STRUCTURE_H

#include "gateway/base/buf.h"
#include "gateway/proto/mime.h"

/* "(date subject from …)"; an envelope of NULL is one that says nothing. */
void imap_put_envelope(struct buf *out, const struct mime_envelope *e);
/* The body structure of a part; extended: BODYSTRUCTURE, else BODY. */
void imap_put_structure(struct buf *out, const struct mime_part *part, bool extended);

#endif

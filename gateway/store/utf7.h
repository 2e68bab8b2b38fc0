/* Folder names on the wire and on disk: modified UTF-7, RFC 3501 section 5.1.3. */
#ifndef DIRIGO_STORE_UTF7_H
#define DIRIGO_STORE_UTF7_H

#include "gateway/base/buf.h"

/* Appends name as UTF-8; -1 for what is not well-formed: bytes outside printable ASCII, a run that
 * encodes what stands for itself or that another run should have held, loose bits. */
int utf7_decode(const char *name, struct buf *out);
/* Appends UTF-8 text as modified UTF-7; -1 where it is not UTF-8. */
int utf7_encode(const char *utf8, struct buf *out);

#endif

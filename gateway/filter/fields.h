/* A message's header in memory, as the list of its fields. */
#ifndef DIRIGO_FILTER_FIELDS_H
#define DIRIGO_FILTER_FIELDS_H

#include "gateway/base/mem.h"
#include "gateway/proto/header.h"

struct fields {
    struct header_field *v; /* top to bottom; into the text they were read from */
    size_t count;
};

/* Reads the header that text begins with; *body (may be NULL) says where the body starts. -1 where
 * there are more than max fields, or no room in arena. Lines that are no field have no name. */
int fields_read(struct fields *out, const char *text, size_t len, size_t max, struct arena *arena,
                size_t *body);
/* The next field of this name from *at on, counting up (start with 0); NULL at the end. */
const struct header_field *fields_next(const struct fields *f, const char *name, size_t *at);

#endif

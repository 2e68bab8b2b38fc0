/* Lists of tag=value pairs (RFC 6376 section 3.2): signatures, key records, DMARC records. */
#ifndef DIRIGO_FILTER_TAGLIST_H
#define DIRIGO_FILTER_TAGLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/mem.h"

#define TAGS_MAX 64

/* Not NUL-terminated; white space around them is left out, inside a value it is as it came. */
struct tag {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

struct taglist {
    struct tag tags[TAGS_MAX];
    size_t count;
};

/* Reads text, which must live as long as list. -1: no such list, a tag twice, or too many. */
int taglist_parse(struct taglist *list, const char *text, size_t len);
/* NULL where there is none. Names are case-sensitive. */
const struct tag *taglist_get(const struct taglist *list, const char *name);

/* Whether the value is word, ASCII case ignored. */
bool tag_is(const struct tag *tag, const char *word);
/* The next item between colons, without white space around it; false at the end. *at starts at 0.
 */
bool tag_item(const struct tag *tag, size_t *at, const char **item, size_t *len);
/* The value as a string without any white space, in arena; NULL past its bound. */
char *tag_text(const struct tag *tag, struct arena *arena);
/* Decodes base64 with white space anywhere in it (RFC 6376 section 3.5). 0 or -1. */
int tag_base64(const struct tag *tag, struct buf *out);
/* A number of digits up to max; 0 or -1. */
int tag_number(const struct tag *tag, uint64_t max, uint64_t *out);

#endif

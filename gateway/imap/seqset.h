/* Sequence sets, RFC 3501 section 9: "1:4,7,9:*". */
#ifndef DIRIGO_IMAP_SEQSET_H
#define DIRIGO_IMAP_SEQSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"

#define SEQSET_STAR 0 /* "*" in a range, until it is resolved */

struct seq_range {
    uint32_t first, last;
};
struct seqset {
    struct seq_range *v;
    size_t n;
};

/* 0, or -1 for what is no set. max_ranges bounds the memory. Free with seqset_free. */
int seqset_parse(struct seqset *out, const char *text, size_t max_ranges);
void seqset_free(struct seqset *set);
/* Replaces "*" by the highest number, orders and joins the ranges. highest 0: no message is there,
 * and "*" matches none. */
void seqset_resolve(struct seqset *set, uint32_t highest);
/* Whether a resolved set has the number. */
bool seqset_has(const struct seqset *set, uint32_t number);
/* Appends numbers (ascending or not) as a set, runs joined: "1:3,7". */
void seqset_put(struct buf *out, const uint32_t *numbers, size_t n);

#endif

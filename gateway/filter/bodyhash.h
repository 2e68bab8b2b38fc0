/* The hashes of a body that signatures ask for: each form is computed once, however many ask. */
#ifndef DIRIGO_FILTER_BODYHASH_H
#define DIRIGO_FILTER_BODYHASH_H

#include "gateway/filter/canon.h"
#include "gateway/filter/crypto.h"

#define BODY_WHOLE UINT64_MAX

struct bodyhash;

/* forms: how many different ones may be asked for. */
struct bodyhash *bodyhash_new(size_t forms);
void bodyhash_free(struct bodyhash **b);
/* Wants the hash of the first limit bytes (l=) of the canonical body; before the first push. A
 * number for the functions below, or -1 where there are too many. */
int bodyhash_want(struct bodyhash *b, enum canon canon, uint64_t limit);
void bodyhash_push(struct bodyhash *b, const void *data, size_t len);
void bodyhash_finish(struct bodyhash *b);
/* After that: the hash, and how many bytes the canonical body has. */
const uint8_t *bodyhash_value(const struct bodyhash *b, int form);
uint64_t bodyhash_size(const struct bodyhash *b, int form);

#endif

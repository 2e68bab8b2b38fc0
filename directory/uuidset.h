/* A set of entryUUIDs: those that a refresh has shown. */
#ifndef DIRIGO_DIRECTORY_UUIDSET_H
#define DIRIGO_DIRECTORY_UUIDSET_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/uuid.h"

/* Zeros are an empty set. count may be read. */
struct uuid_set {
    struct uuid *slot; /* all zeros: free */
    size_t slots, count;
    bool has_zero; /* the uuid of zeros itself */
};

void uuid_set_add(struct uuid_set *set, const struct uuid *u);
bool uuid_set_has(const struct uuid_set *set, const struct uuid *u);
/* Empties it and frees its memory. */
void uuid_set_free(struct uuid_set *set);

/* A hash. Servers number entries by time, so neighbours differ in few bits: it spreads them. */
size_t uuid_spread(const struct uuid *u);

#endif

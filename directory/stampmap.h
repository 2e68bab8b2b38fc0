/*
 * What a poll has seen of each entry: its key, the server's stamp of its last change (uSNChanged,
 * or the seconds of modifyTimestamp) and a digest of what it said.
 */
#ifndef DIRIGO_DIRECTORY_STAMPMAP_H
#define DIRIGO_DIRECTORY_STAMPMAP_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/uuid.h"

enum {
    STAMP_FREE, /* an empty slot */
    STAMP_MAIL,
    STAMP_NO_MAIL /* the entry means nothing to mail */
};

struct stamp {
    struct uuid uuid;
    uint32_t digest;
    uint32_t use;
    uint64_t change;
};

/* Zeros are an empty map. count may be read. */
struct stamp_map {
    struct stamp *slot;
    size_t slots, count;
};

/* The entry's stamp, valid until the next stamp_map_put; NULL where there is none. */
struct stamp *stamp_map_get(const struct stamp_map *map, const struct uuid *uuid);
/* The same, made where there is none (zeros, STAMP_MAIL). */
struct stamp *stamp_map_put(struct stamp_map *map, const struct uuid *uuid);
/* Empties it and frees its memory. */
void stamp_map_free(struct stamp_map *map);

#endif

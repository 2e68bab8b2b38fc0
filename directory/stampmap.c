#include "directory/stampmap.h"

#include <stdlib.h>
#include <string.h>

#include "directory/uuidset.h"
#include "gateway/base/mem.h"

#define SLOTS_FIRST 1024

/* Where the uuid is, or may be put. Some slot is always free. */
static size_t find(const struct stamp_map *map, const struct uuid *uuid)
{
    size_t i = uuid_spread(uuid) & (map->slots - 1);
    while (map->slot[i].use != STAMP_FREE && !uuid_eq(&map->slot[i].uuid, uuid))
        i = (i + 1) & (map->slots - 1);
    return i;
}

static void grow(struct stamp_map *map)
{
    struct stamp_map bigger = {.slots = map->slots == 0 ? SLOTS_FIRST : map->slots * 2,
                               .count = map->count};
    bigger.slot = mem_zalloc(bigger.slots * sizeof *bigger.slot);
    for (size_t i = 0; i < map->slots; i++)
        if (map->slot[i].use != STAMP_FREE)
            bigger.slot[find(&bigger, &map->slot[i].uuid)] = map->slot[i];
    free(map->slot);
    *map = bigger;
}

struct stamp *stamp_map_get(const struct stamp_map *map, const struct uuid *uuid)
{
    if (map->slots == 0)
        return NULL;
    size_t i = find(map, uuid);
    return map->slot[i].use != STAMP_FREE ? &map->slot[i] : NULL;
}

struct stamp *stamp_map_put(struct stamp_map *map, const struct uuid *uuid)
{
    if ((map->count + 1) * 4 > map->slots * 3)
        grow(map);
    struct stamp *s = &map->slot[find(map, uuid)];
    if (s->use == STAMP_FREE) {
        *s = (struct stamp){.uuid = *uuid, .use = STAMP_MAIL};
        map->count++;
    }
    return s;
}

void stamp_map_free(struct stamp_map *map)
{
    free(map->slot);
    memset(map, 0, sizeof *map);
}

#include "directory/uuidset.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"

#define FIRST_SLOTS 1024

size_t uuid_spread(const struct uuid *u)
{
    uint64_t a, b;
    memcpy(&a, u->bytes, 8);
    memcpy(&b, u->bytes + 8, 8);
    uint64_t h = (a ^ (a >> 29)) * 0x9e3779b97f4a7c15U + (b ^ (b >> 31)) * 0xbf58476d1ce4e5b9U;
    return (size_t)(h ^ (h >> 32));
}

static struct uuid *find(const struct uuid_set *set, const struct uuid *u)
{
    size_t i = uuid_spread(u) & (set->slots - 1);
    while (!uuid_is_zero(&set->slot[i]) && !uuid_eq(&set->slot[i], u))
        i = (i + 1) & (set->slots - 1);
    return &set->slot[i];
}

static void grow(struct uuid_set *set)
{
    struct uuid_set bigger = *set;
    bigger.slots = set->slots == 0 ? FIRST_SLOTS : set->slots * 2;
    bigger.slot = mem_zalloc(bigger.slots * sizeof *bigger.slot);
    for (size_t i = 0; i < set->slots; i++)
        if (!uuid_is_zero(&set->slot[i]))
            *find(&bigger, &set->slot[i]) = set->slot[i];
    free(set->slot);
    *set = bigger;
}

void uuid_set_add(struct uuid_set *set, const struct uuid *u)
{
    if (uuid_is_zero(u)) {
        set->count += !set->has_zero;
        set->has_zero = true;
        return;
    }
    if (set->count * 2 >= set->slots)
        grow(set);
    struct uuid *slot = find(set, u);
    set->count += uuid_is_zero(slot);
    *slot = *u;
}

bool uuid_set_has(const struct uuid_set *set, const struct uuid *u)
{
    if (uuid_is_zero(u))
        return set->has_zero;
    return set->slots > 0 && !uuid_is_zero(find(set, u));
}

void uuid_set_free(struct uuid_set *set)
{
    free(set->slot);
    memset(set, 0, sizeof *set);
}

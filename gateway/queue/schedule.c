#include "gateway/queue/schedule.h"

#include <stdlib.h>

#include "gateway/base/mem.h"

/* Places count from 1: the children of n are 2n and 2n + 1. heap[0] is not used. */

static void schedule_put(struct schedule *s, size_t place, struct schedule_entry *e)
{
    s->heap[place] = e;
    e->place = place;
}

static void schedule_sift(struct schedule *s, size_t place, struct schedule_entry *e)
{
    while (place > 1 && s->heap[place / 2]->due > e->due) {
        schedule_put(s, place, s->heap[place / 2]);
        place /= 2;
    }
    for (;;) {
        size_t child = place * 2;
        if (child > s->count)
            break;
        if (child < s->count && s->heap[child + 1]->due < s->heap[child]->due)
            child++;
        if (s->heap[child]->due >= e->due)
            break;
        schedule_put(s, place, s->heap[child]);
        place = child;
    }
    schedule_put(s, place, e);
}

void schedule_set(struct schedule *s, struct schedule_entry *e, int64_t due)
{
    e->due = due;
    if (e->place == 0) {
        if (s->count + 1 >= s->cap) {
            s->cap = s->cap == 0 ? 64 : s->cap * 2;
            s->heap = mem_realloc(s->heap, s->cap, sizeof(struct schedule_entry *));
        }
        e->place = ++s->count;
    }
    schedule_sift(s, e->place, e);
}

void schedule_remove(struct schedule *s, struct schedule_entry *e)
{
    size_t place = e->place;
    if (place == 0)
        return;
    e->place = 0;
    struct schedule_entry *last = s->heap[s->count--];
    if (last != e)
        schedule_sift(s, place, last);
}

bool schedule_has(const struct schedule_entry *e)
{
    return e->place != 0;
}

struct schedule_entry *schedule_first(const struct schedule *s)
{
    return s->count == 0 ? NULL : s->heap[1];
}

struct schedule_entry *schedule_pop(struct schedule *s, int64_t now)
{
    struct schedule_entry *e = schedule_first(s);
    if (e == NULL || e->due > now)
        return NULL;
    schedule_remove(s, e);
    return e;
}

void schedule_free(struct schedule *s)
{
    free(s->heap);
    *s = (struct schedule){0};
}

int64_t schedule_backoff(uint64_t tries, int64_t min, int64_t max)
{
    int64_t wait = min;
    for (uint64_t i = 1; i < tries && wait < max; i++)
        wait *= 2;
    return wait < max ? wait : max;
}

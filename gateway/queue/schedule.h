/*
 * When what waits is tried: a heap by due time. It owns nothing and reads no clock, so tests move
 * time by hand.
 */
#ifndef DIRIGO_QUEUE_SCHEDULE_H
#define DIRIGO_QUEUE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in what is scheduled; zeroed before first use. */
struct schedule_entry {
    int64_t due;
    size_t place; /* private: 0 is not scheduled */
};

struct schedule {
    struct schedule_entry **heap; /* private */
    size_t count;
    size_t cap; /* private */
};

/* Schedules e for due, moving it where it was scheduled already. */
void schedule_set(struct schedule *s, struct schedule_entry *e, int64_t due);
void schedule_remove(struct schedule *s, struct schedule_entry *e);
bool schedule_has(const struct schedule_entry *e);
/* The earliest entry, or NULL. */
struct schedule_entry *schedule_first(const struct schedule *s);
/* Removes and returns the earliest entry that is due at now, or NULL. */
struct schedule_entry *schedule_pop(struct schedule *s, int64_t now);
/* Frees the heap; entries are their owners'. */
void schedule_free(struct schedule *s);

/*
 * How long to wait after the n-th failed try (from 1): min, then twice as long each time, at most
 * max; in the unit of min and max.
 */
int64_t schedule_backoff(uint64_t tries, int64_t min, int64_t max);

#endif

/*
 * The pulse of dirigo-directory: the time at which its loop last ran, in a page of memory that it
 * shares with every reader of the replica. A process that hangs or is stopped says nothing to
 * anybody; that its pulse has grown old is seen by whoever looks, at the cost of a memory access.
 */
#ifndef DIRIGO_DIRECTORY_PULSE_H
#define DIRIGO_DIRECTORY_PULSE_H

#include <stdbool.h>
#include <stdint.h>

struct pulse;

/*
 * The file dir/pulse. The writer makes it where it is missing and never replaces it, so readers
 * keep the page over its restarts. NULL with an allocated text in error.
 */
struct pulse *pulse_open(const char *dir, bool write, char **error);
void pulse_close(struct pulse **p);
/* The writer's loop runs. */
void pulse_beat(struct pulse *p);
/* Milliseconds since the last beat; INT64_MAX where there was none since this machine started. */
int64_t pulse_age(const struct pulse *p);

#endif

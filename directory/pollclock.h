/*
 * From when on a server has to be asked for changes, by its own time stamps. They have whole
 * seconds, and its clock is not ours. A server that shows a stamp has a clock that is at least as
 * far; once `overlap` has gone by after that, every change up to that stamp can be seen, those that
 * were being written, or came from another server, too.
 */
#ifndef DIRIGO_DIRECTORY_POLLCLOCK_H
#define DIRIGO_DIRECTORY_POLLCLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLL_CLOCK_SAMPLES 64

/* Zeros: everything has to be asked for. since may be read and set. */
struct poll_clock {
    int64_t since; /* wall seconds of the server: what was changed before is known */
    struct {
        int64_t stamp, at; /* seconds of the server; milliseconds here */
    } sample[POLL_CLOCK_SAMPLES];
    size_t n;
    int64_t newest; /* the greatest stamp of all */
};

/* The server showed a stamp at now (clock_now_ms). */
void poll_clock_saw(struct poll_clock *c, int64_t stamp, int64_t now, int64_t overlap_ms);
/* A question is put at now: brings since up to date. */
void poll_clock_ask(struct poll_clock *c, int64_t now, int64_t overlap_ms);
/* Everything was read, from began to now: changes made meanwhile have to be asked for again. */
void poll_clock_read_all(struct poll_clock *c, int64_t began, int64_t now, int64_t overlap_ms);

/* GeneralizedTime (RFC 4517, 3.3.13) as seconds since 1970; -1: malformed. */
int64_t generalized_time_parse(const char *text, size_t len);
/* The same in UTC, in dst[16]. */
#define GENERALIZED_TIME_SIZE 16
const char *generalized_time_format(int64_t seconds, char dst[GENERALIZED_TIME_SIZE]);

#endif

/* Time. Durations and deadlines are milliseconds in int64_t everywhere; wall time is seconds. */
#ifndef DIRIGO_BASE_CLOCK_H
#define DIRIGO_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds that never go back and count suspended time (CLOCK_BOOTTIME); for deadlines. */
int64_t clock_now_ms(void);
/* Seconds since 1970, for files and headers. */
int64_t clock_wall(void);
/* Microseconds since 1970, for names that must sort and differ. */
int64_t clock_wall_us(void);

/* Tests move time by hand: both clocks then stand still at what was last set. Negative: real again.
 */
void clock_set_fake(int64_t now_ms, int64_t wall_s);

#endif

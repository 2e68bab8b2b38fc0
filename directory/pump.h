/*
 * Joins two streams that stay the pump's: what one receives, the other sends, with back-pressure.
 * Unlike stream_splice it can be dropped at any time.
 */
#ifndef DIRIGO_DIRECTORY_PUMP_H
#define DIRIGO_DIRECTORY_PUMP_H

#include "gateway/event/stream.h"

struct pump;

/* Takes both over (*a and *b are NULL then). When one ends, the other is flushed and closed. */
struct pump *pump_new(struct stream **a, struct stream **b);
void pump_free(struct pump **pump);

#endif

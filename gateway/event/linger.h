/*
 * Closing without a reset. A socket that is closed while bytes wait in it unread, or that more
 * bytes reach afterwards, answers with a reset, and a reset destroys what the peer has not read
 * yet: the last reply. So our half is closed first, and what still comes is thrown away until the
 * peer closes, for a bounded time and size. Private to gateway/event.
 */
#ifndef DIRIGO_EVENT_LINGER_H
#define DIRIGO_EVENT_LINGER_H

#include "gateway/event/loop.h"

/* Takes fd (non-blocking, everything sent) over. At most LINGER_MAX of a loop linger at one time;
 * further ones are closed at once. */
void linger_close(struct loop *loop, int fd);

#endif

/* Accepts connections on a listening socket that somebody else bound. */
#ifndef DIRIGO_EVENT_LISTENER_H
#define DIRIGO_EVENT_LISTENER_H

#include "gateway/base/netaddr.h"
#include "gateway/event/loop.h"

struct listener;

/* Takes fd over. fn gets each new descriptor (non-blocking, close-on-exec), which it owns. When
 * descriptors run out, accepting pauses for a second. */
struct listener *listener_new(struct loop *loop, int fd,
                              void (*fn)(int fd, const struct netaddr *peer, void *arg), void *arg);
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
/* Closes this process's copy of the socket. *l may be NULL. */
void listener_free(struct listener **l);

#endif

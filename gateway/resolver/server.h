/* The resolver's work: queries of the other processes in, validated answers out. */
#ifndef DIRIGO_RESOLVER_SERVER_H
#define DIRIGO_RESOLVER_SERVER_H

#include "gateway/service/service.h"

struct resolver;

/*
 * Reads trust anchors and root hints and sets the library up, so that it needs no file afterwards:
 * call it before the process confines itself. NULL after logging why.
 */
struct resolver *resolver_new(struct service *service);
/* Serves queries on the listening socket, which it takes over. */
void resolver_serve(struct resolver *r, int listen_fd);
void resolver_free(struct resolver **r);

#endif

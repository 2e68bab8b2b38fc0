/* directory.sock: protocol.h, served. */
#ifndef DIRIGO_DIRECTORY_SERVE_H
#define DIRIGO_DIRECTORY_SERVE_H

#include "directory/bindpool.h"
#include "directory/replica.h"
#include "directory/source.h"
#include "gateway/service/service.h"

struct serve;

/* All outlive it. */
struct serve *serve_new(struct service *service, struct replica *replica, struct source *source,
                        struct bindpool *pool);
void serve_free(struct serve **s);
/* Tells every front end. */
void serve_sync_state(struct serve *s, bool in_sync);
/* The replica has changed: what `dirigo status` shows of it does, too. */
void serve_replica_changed(struct serve *s);
/* Tells everybody that these may not log in any more. */
void serve_ended(struct serve *s, const struct uuid *uuids, size_t n);

#endif

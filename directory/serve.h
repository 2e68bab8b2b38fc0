/* directory.sock: protocol.h, served. */
#ifndef DIRIGO_DIRECTORY_SERVE_H
#define DIRIGO_DIRECTORY_SERVE_H

#include "directory/bindpool.h"
#include "directory/replica.h"
#include "directory/source.h"
#include "gateway/service/service.h"

struct serve;

/* What serves one directory; name "" is the one without a name, which is the first. */
struct serve_part {
    const char *name;
    struct replica *replica;
    struct source *source;
    struct bindpool *pool;
};

/* All outlive it; the parts are copied, in the order of conf's directories. */
struct serve *serve_new(struct service *service, const struct serve_part *parts, size_t count);
void serve_free(struct serve **s);
/* Tells every front end. */
void serve_sync_state(struct serve *s, bool in_sync);
/* The replica has changed: what `dirigo status` shows of it does, too. */
void serve_replica_changed(struct serve *s);
/* Tells everybody that these may not log in any more. */
void serve_ended(struct serve *s, const struct uuid *uuids, size_t n);

#endif

/* Members of dynamic groups, for front ends: what memberURL finds on the server. Private to
 * directory/. */
#ifndef DIRIGO_DIRECTORY_DYNAMIC_H
#define DIRIGO_DIRECTORY_DYNAMIC_H

#include "directory/client.h"
#include "directory/source.h"
#include "gateway/ipc/channel.h"

struct dynamic;
/* All outlive it. */
struct dynamic *dynamic_new(const struct conf *conf, struct directory *directory,
                            struct source *(*source_of)(void *arg, const struct uuid *group),
                            void *arg);
/* Before the server's end of the channels is freed. */
void dynamic_free(struct dynamic **d);
/* DIRECTORY_MSG_MEMBERS: 0, or -1 where it is malformed. */
int dynamic_request(struct dynamic *d, struct ipc_peer *peer, struct msg *m);
void dynamic_peer_gone(struct dynamic *d, const struct ipc_peer *peer);

#endif

/*
 * The consumer of RFC 4533 (refreshAndPersist): keeps replica and secrets like the directory.
 *
 * One connection at a time. It asks with the cookie of the last commit; the server first shows what
 * differs (refresh), then every change as it happens (persist). What one turn of the loop brings is
 * one transaction, and the cookie is stored with the data that it covers.
 *
 * Failures lead to the next server of the list, with growing pauses once all have failed. Meanwhile
 * the replica is not in sync, and changed() tells.
 */
#ifndef DIRIGO_DIRECTORY_SYNC_H
#define DIRIGO_DIRECTORY_SYNC_H

#include "directory/ldapconn.h"
#include "directory/replica.h"
#include "directory/secrets_store.h"

struct sync;

/* All outlive the sync. changed(in_sync) is called at each change of state, never from sync_new. */
struct sync *sync_new(struct ldap_env *env, struct replica *replica, struct secrets_store *secrets,
                      void (*changed)(bool in_sync, void *arg), void *arg);
/* fn(arg of sync_new) is called after each transaction that changed the replica. */
void sync_on_commit(struct sync *s, void (*fn)(void *arg));
/* Writes into the replica that it is not in sync any more. */
void sync_free(struct sync **s);
/* fn gets each entry of which the server tells that it changed or is gone, before it is written. */
void sync_on_touched(struct sync *s, void (*fn)(const struct uuid *uuid, void *arg), void *arg);
/* "connecting", "refresh", "sweep", "persist", "waiting". */
const char *sync_phase(const struct sync *s);
/* Why the last connection ended; "" where none has. */
const char *sync_last_error(const struct sync *s);
/*
 * Asks the server for everything again, because an entry is not where the replica has it. At most
 * once a minute, and only while in sync.
 */
void sync_refresh(struct sync *s, const char *why);

/*
 * Whether the server has the entry uuid under the name dn: found, absent (gone, or somebody else
 * has the name), or unknown. NULL, and fn is not called, where it cannot be asked now.
 */
struct sync_check;
struct sync_check *sync_check_dn(struct sync *s, const struct uuid *uuid, const char *dn,
                                 void (*fn)(enum answer answer, void *arg), void *arg);
/* fn will not be called any more. NULL is allowed. */
void sync_check_cancel(struct sync_check *c);

#endif

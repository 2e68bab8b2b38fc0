/* The writer's side of the secrets store; secrets.h is the reader's. Private to dirigo-directory.
 */
#ifndef DIRIGO_DIRECTORY_SECRETS_STORE_H
#define DIRIGO_DIRECTORY_SECRETS_STORE_H

#include "directory/db.h"
#include "directory/secrets.h"

/*
 * One table: entryUUID -> values, each with its NUL; and the key "complete" once a whole refresh
 * has been stored, before which nothing is absent.
 */
extern const struct db_table secrets_tables[];
#define SECRETS_COMPLETE "complete"

struct secrets_store;

/* As replica_open, mode 0600 throughout. */
struct secrets_store *secrets_store_open(const char *dir, uint64_t map_size, char **error);
/* As replica_made_anew. */
bool secrets_store_made_anew(const struct secrets_store *s);
void secrets_store_close(struct secrets_store **s);
/* A change; 0 or -1 each. It is committed before the replica's, so that keys are never older. */
int secrets_store_begin(struct secrets_store *s);
/* values: strings with their NULs, end to end; len 0: the entry has none. */
int secrets_store_put(struct secrets_store *s, const struct uuid *owner, const void *values,
                      size_t len);
int secrets_store_set_complete(struct secrets_store *s, bool complete);
/* Outside a change: whether a whole refresh was stored; where not, the replica must start afresh.
 */
bool secrets_store_complete(struct secrets_store *s);
/* Forgets everything, for a replica that starts afresh. */
int secrets_store_clear(struct secrets_store *s);
int secrets_store_commit(struct secrets_store *s);
void secrets_store_abort(struct secrets_store *s);

#endif

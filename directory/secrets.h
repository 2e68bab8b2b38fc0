/*
 * Stored login keys, for dirigo-auth alone: the values of authPassword (RFC 3112), such as
 * "SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>" (RFC 5803). dirigo-directory keeps them in an
 * environment of their own under state_directory/secrets, which only directory_user can open.
 *
 * Whether a login may go on with keys that were read while the directory is away is decided by the
 * entry: entry_by_login (client.h) answers unknown past directory_stale_login_time.
 */
#ifndef DIRIGO_DIRECTORY_SECRETS_H
#define DIRIGO_DIRECTORY_SECRETS_H

#include <stddef.h>

#include "directory/client.h"

/* An entry has at most this many values; more are not kept. */
#define SECRETS_MAX 16
/* What a value that is the secret of one-time codes (sasl/totp.h) begins with; the others are keys.
 */
#define SECRETS_TOTP "TOTP$"

/* What a password in clear text begins with among the values, where a profile has them kept. */
#define SECRETS_CLEAR "CLEAR$"

struct secrets;

/*
 * Opens the store for reading; dirigo-directory has made it. It must happen as directory_user (or
 * root), after exec and not before a fork. NULL with an allocated text in error.
 */
struct secrets *secrets_open(const struct conf *conf, char **error);
void secrets_close(struct secrets **s);

/* Copies of the values, in the directory's order, NUL-terminated. */
struct secrets_list {
    size_t count;
    char *value[SECRETS_MAX];
};

/*
 * The keys of an entry of one directory, "" or a name of conf's: another one's are none of that
 * entry's, even under its entryUUID. Found: out is filled, and the caller ends it with
 * secrets_list_wipe. Absent: the entry has none (a password can only be verified by bind). Unknown:
 * the store cannot be read, or was never filled. Any thread may call it.
 */
enum answer secrets_lookup(struct secrets *s, const char *directory, const struct uuid *owner,
                           struct secrets_list *out);
/* Overwrites and frees the values; an empty list is allowed. */
void secrets_list_wipe(struct secrets_list *list);

#endif

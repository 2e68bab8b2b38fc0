/*
 * Passwords that a server has verified lately, so that a mail client that logs in again and again
 * needs no LDAP operation. What is kept is a keyed digest with a salt of its own, in this process'
 * memory alone, for auth_cache_ttl at most; at most auth_cache_entries of them, the oldest go.
 *
 * An entry that changes in any way is forgotten at once. Only while the replica is in sync would
 * that be noticed, so only then may the cache be asked. A wrong password is never kept: the server
 * has to count those.
 */
#ifndef DIRIGO_DIRECTORY_VERIFIED_H
#define DIRIGO_DIRECTORY_VERIFIED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/uuid.h"

struct verified;

/* ttl in ms; 0 of either keeps nothing. */
struct verified *verified_new(size_t entries, int64_t ttl);
/* Wipes it. */
void verified_free(struct verified **v);
/* Whether this password was verified for this entry, and the entry has not changed since. */
bool verified_has(struct verified *v, const struct uuid *uuid, const char *password);
/* A number that grows with every forgotten entry: taken before a server is asked. */
uint64_t verified_epoch(const struct verified *v);
/* Keeps it, unless something was forgotten since epoch: that may have been this very entry. */
void verified_put(struct verified *v, const struct uuid *uuid, const char *password,
                  uint64_t epoch);
/* The entry has changed. */
void verified_forget(struct verified *v, const struct uuid *uuid);
uint64_t verified_hits(const struct verified *v);

#endif

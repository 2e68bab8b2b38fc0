/*
 * A source: keeps replica and secrets like one directory. One instance is one directory, with its
 * servers, its connection and its place in their history; it shares nothing with another one.
 *
 * How it learns of changes depends on what the server in use can do (source_kind):
 *   sync  RFC 4533, refreshAndPersist: the server tells of each change as it is made
 *   poll  the source asks from time to time: by uSNChanged where the server is an Active Directory,
 *         by modifyTimestamp elsewhere; a reconciling scan finds what went without a word
 *   lookup  nothing of the kind: each name is asked for when it is needed (want.h)
 * The root DSE decides, or directory_source.
 *
 * The life of a connection: connecting; asking (what can the server do); refresh (what differs is
 * shown); sweep (what was not shown is deleted); persist (in sync). What one turn of the loop
 * brings is one transaction, and the place in the server's history (the cookie) is stored with the
 * data that it covers. Failures lead to the next server of the list, with growing pauses once all
 * have failed. Meanwhile the replica is not in sync, and changed() tells.
 */
#ifndef DIRIGO_DIRECTORY_SOURCE_H
#define DIRIGO_DIRECTORY_SOURCE_H

#include "directory/ldapconn.h"
#include "directory/memberurl.h"
#include "directory/replica.h"
#include "directory/secrets_store.h"

struct source;

/* All outlive the source. changed(in_sync) is called at each change of state, never from
 * source_new. */
struct source *source_new(struct ldap_env *env, struct replica *replica,
                          struct secrets_store *secrets, void (*changed)(bool in_sync, void *arg),
                          void *arg);
/* fn(arg of source_new) is called after each transaction that changed the replica. */
void source_on_commit(struct source *s, void (*fn)(void *arg));
/* Writes into the replica that it is not in sync any more. */
void source_free(struct source **s);
/* fn gets each entry of which the server tells that it changed or is gone, before it is written. */
void source_on_touched(struct source *s, void (*fn)(const struct uuid *uuid, void *arg), void *arg);
/* "waiting", "connecting", "asking", "refresh", "sweep", "persist". */
const char *source_phase(const struct source *s);
/* "sync", "poll" or "lookup", of the connection in use; "" before any server has told. */
const char *source_kind(const struct source *s);
/* Why the last connection ended; "" where none has. */
const char *source_last_error(const struct source *s);
/*
 * Asks the server for everything again, because an entry is not where the replica has it. At most
 * once a minute, and only while in sync: false where it is not done.
 */
bool source_refresh(struct source *s, const char *why);

/*
 * Where each name is asked for (lookup): asks the server for what is under a key of the replica's
 * index. fn(known, arg) is called when the answer stands in the replica, or with false where there
 * was none. false, and fn is not called: it cannot be asked.
 */
bool source_query(struct source *s, const struct index_key *key, void (*fn)(bool known, void *arg),
                  void *arg);
/* None of the functions given to source_query is called any more. */
void source_queries_forget(struct source *s);

/*
 * Whether the server has the entry uuid under the name dn: found, absent (gone, or somebody else
 * has the name), or unknown. NULL, and fn is not called, where it cannot be asked now.
 */
struct source_check;
struct source_check *source_check_dn(struct source *s, const struct uuid *uuid, const char *dn,
                                     void (*fn)(enum answer answer, void *arg), void *arg);
/* fn will not be called any more. NULL is allowed. */
void source_check_cancel(struct source_check *c);

/*
 * The entries that the server finds for a memberURL: found with their uuids (valid inside fn), or
 * unknown and why. More than max are unknown; so is a base that is not there, or a filter that the
 * server does not understand. NULL, *why set and fn not called, where it cannot be asked now.
 */
struct source_search;
struct source_search *source_search(struct source *s, const struct memberurl *url, size_t max,
                                    void (*fn)(enum answer answer, const struct uuid *uuids,
                                               size_t n, const char *why, void *arg),
                                    void *arg, const char **why);
/* fn will not be called any more. NULL is allowed. */
void source_search_cancel(struct source_search *q);

#endif

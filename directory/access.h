/*
 * Access tables and restriction classes: entries of the directory that restrictions look at, read
 * from the replica.
 *
 * A table is the set of dirigoAccess entries that name it. A key of an entry is an address, a local
 * part with an at sign ("abuse@"), a domain, which stands for its subdomains as well
 * (".example.org": for them alone), a network or an address of one host, or "<>".
 *
 * As with policies, what the replica holds decides while it may be used for routing at all; past
 * that, and where two entries claim one key, the answer is unknown.
 */
#ifndef DIRIGO_DIRECTORY_ACCESS_H
#define DIRIGO_DIRECTORY_ACCESS_H

#include "directory/client.h"
#include "gateway/base/netaddr.h"

/* What a table says; valid until the snapshot is released. With unknown, dn may name the entry that
 * is in the way. */
struct access {
    const char *action;
    const char *dn;
};

/* An envelope address: whole, without +detail, its domain and those above, its local part. */
enum answer access_address(struct snapshot *snap, const char *table, const char *address,
                           struct access *out);
/* A host name or domain, then the domains above it. */
enum answer access_domain(struct snapshot *snap, const char *table, const char *domain,
                          struct access *out);
/* The smallest network that holds the address. */
enum answer access_network(struct snapshot *snap, const char *table, const struct netaddr *addr,
                           struct access *out);
/* Whether the table has domains at all, so that the client's name is worth a question to DNS. */
enum answer access_has_domains(struct snapshot *snap, const char *table);

/* What a restriction class stands for. */
enum answer access_class(struct snapshot *snap, const char *name, struct access *out);

/* ---- for entry.c ---- */

struct index_key;
void access_index_keys(const struct entry *e, void (*fn)(const struct index_key *key, void *arg),
                       void *arg);
int access_class_key(struct index_key *key, const char *name);

#endif

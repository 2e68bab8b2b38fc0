/* Which entry an address leads to first; shared by resolution and policy. Private to directory/. */
#ifndef DIRIGO_DIRECTORY_LOCATE_H
#define DIRIGO_DIRECTORY_LOCATE_H

#include "directory/address.h"
#include "directory/client.h"
#include "gateway/base/mem.h"

enum located_as {
    LOCATED_ENTRY,     /* entry owns the address, as it is or without its detail */
    LOCATED_CATCH_ALL, /* nobody does; domain has a catch-all */
    LOCATED_REMOTE     /* the domain is not ours */
};

struct located {
    enum located_as as;
    const struct entry *entry;
    const struct entry *domain;  /* the domain's entry; NULL where mydestination names it */
    const char *detail;          /* in the arena, or NULL */
    bool local_domain;           /* also set with absent and unknown, as far as it is known */
    const struct entry *rewrite; /* the last domain alias that applied, or NULL */
    const char *reason;          /* unknown and absent: why */
    const char *dn;              /* the entry that decided so, or NULL */
    /* Unknown, and dirigo-directory may know: what it has to look up where (maps.h); in the arena.
     */
    const char *map, *map_key;
};

/* What is special about a lookup that stands for a target of an alias. */
struct locate_how {
    bool account; /* the account itself, whatever alias files say: \\name in one */
    /* Whether an entry is being expanded already: what an alias says of its own name is meant for
     * what comes behind it in alias_maps. May be NULL. */
    bool (*passed)(const void *arg, const struct entry *e);
    const void *arg;
};

/*
 * Exact, then without +detail; where neither is there and the domain stands for another one, the
 * same there (a->domain is replaced); then the catch-all. A catch-all takes only what is certainly
 * absent.
 */
enum answer locate(struct snapshot *snap, struct address *a, struct arena *arena,
                   struct located *out);
enum answer locate_target(struct snapshot *snap, struct address *a, const struct locate_how *how,
                          struct arena *arena, struct located *out);

/* Why an entry that two others claim, or that cannot be read, is unknown. */
const char *locate_two_owners(struct arena *arena, const struct entry *const e[2]);

#endif

/*
 * From an address to what must be done with its mail: one pure function of an address and a
 * snapshot. SMTP, the dirigo tool and the tests call the same one.
 */
#ifndef DIRIGO_DIRECTORY_RESOLVE_H
#define DIRIGO_DIRECTORY_RESOLVE_H

#include "directory/client.h"
#include "gateway/base/netaddr.h"

enum delivery_kind {
    DELIVERY_MAILBOX, /* the mailbox of owner on this host */
    DELIVERY_HOST,    /* the mailbox of owner at host (mailHost), for address */
    DELIVERY_REMOTE,  /* address belongs to another mail system */
    DELIVERY_LIST     /* the members of owner, a large group: resolve_members tells them */
};

/* Entries on the way to a large group; deeper than alias_depth_limit can be. */
#define RESOLVE_PATH_MAX 101

/* Where the expansion of a large group has got to. A copy is independent of arena and snapshot. */
struct resolve_list {
    struct uuid group;
    struct uuid path[RESOLVE_PATH_MAX]; /* the entries that led to it, the nearest first */
    size_t path_count;
    unsigned depth;      /* of the group */
    size_t next;         /* the first member that was not looked at */
    bool done;           /* all were */
    bool dynamic;        /* then: memberURLs find more (directory_members, resolve_entries) */
    uint64_t generation; /* of the replica when it was read last */
    uint32_t digest;     /* of the entry, then */
    unsigned restarts;   /* because it changed */
};

struct delivery {
    enum delivery_kind kind;
    struct uuid owner;
    const char *address;             /* the final address, lower-cased domain */
    const char *detail;              /* what stood behind recipient_delimiter, or NULL */
    const char *host;                /* DELIVERY_HOST */
    const char *dn;                  /* of the entry that led here, or NULL */
    const struct resolve_list *list; /* DELIVERY_LIST: its beginning */
};

/* One step on the way, for `dirigo lookup` and explain. */
struct resolve_step {
    unsigned depth;
    const char *address;   /* what was looked up */
    const char *dn;        /* the entry that answered, or NULL */
    const char *directory; /* its directory; NULL where it is the one without a name */
    const char
        *what; /* "user", "alias", "group", "domain alias", "catch-all", "remote", "loop" … */
};

struct resolution {
    enum answer answer;
    /* found: */
    const struct delivery *deliveries; /* without doubles */
    size_t count;
    /* absent and unknown: why, in words for a reply and a log line, and the entry that decided (or
     * NULL) */
    const char *reason;
    const char *dn;
    /* unknown, but dirigo-directory can look this up in a map of alias_maps (directory_prepare) */
    const char *map, *map_key;
    /* found: groups with a list policy that the address leads to, but those that are members of
     * another one, whose policy holds for them */
    const struct entry *const *lists;
    size_t list_count;
    bool local_domain;                /* the address' own domain is ours */
    bool disabled;                    /* absent because the entry is disabled */
    const struct resolve_step *steps; /* when asked for */
    size_t step_count;
};

/*
 * Resolves address (local@domain, without angle brackets; a quoted local part is understood;
 * without a domain: in $myorigin). Exact, without +detail, then both in the domain that an alias
 * domain stands for, then the catch-all; aliases, forwarding with or without a copy, nested groups;
 * bounded by alias_depth_limit and alias_expansion_limit, past which it is unknown; a loop is no
 * answer but is left out, and where nothing else is found it is a refusal that names the DNs. Any
 * member that is unknown makes the whole unknown. A remote address is found as DELIVERY_REMOTE:
 * whether it may be used is policy's business. Everything in *out lives in arena or the snapshot.
 */
void resolve_address(struct snapshot *snap, const char *address, bool with_steps,
                     struct arena *arena, struct resolution *out);

/*
 * The same for an address of the envelope, in time that does not depend on the size of groups: one
 * with more than alias_expansion_step members is not looked into but found as DELIVERY_LIST. So is,
 * in either function, a group with memberURLs, which only the server can tell the members of.
 */
void resolve_recipient(struct snapshot *snap, const char *address, bool with_steps,
                       struct arena *arena, struct resolution *out);

/*
 * The next alias_expansion_step members of a large group, and list->next and list->done moved on.
 * FOUND with their deliveries (none is possible); doubles among different steps are the caller's to
 * leave out, and so is a group that is found as DELIVERY_LIST again. Where the group has changed
 * since the step before, it begins again. UNKNOWN: a member is, or the group changes all the time.
 */
void resolve_members(struct snapshot *snap, struct resolve_list *list, struct arena *arena,
                     struct resolution *out);

/* The same for entries that the memberURLs of the group find; those that are not mail's are passed
 * over. */
void resolve_entries(struct snapshot *snap, const struct resolve_list *list,
                     const struct uuid *uuids, size_t n, struct arena *arena,
                     struct resolution *out);

/*
 * The restriction list that governs a recipient at one stage: of the user, else of its groups, its
 * domain, the global policy; else the one in conf. attr is ATTR_*_RESTRICTIONS. *dn gets the
 * policy's DN, or NULL where conf decided. address may be NULL (client and HELO stages without a
 * recipient: global policy).
 */
enum answer policy_restrictions(struct snapshot *snap, const char *address, enum entry_attr attr,
                                struct arena *arena, const char **text, const char **dn);

/*
 * Whether anybody has a list there at all, for ATTR_DATA_RESTRICTIONS and
 * ATTR_END_OF_DATA_RESTRICTIONS: one look instead of one for each recipient. True also where nobody
 * can tell.
 */
bool policy_anywhere(struct snapshot *snap, enum entry_attr attr);

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
/* What a table says; valid until the snapshot is released. With unknown, dn may name the entry that
 * is in the way. */
struct access {
    const char *action;
    const char *dn;
    const struct entry *entry; /* with found */
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
/* A certificate's fingerprint, "AB:CD:…"; its case does not matter. */
enum answer access_certificate(struct snapshot *snap, const char *table, const char *fingerprint,
                               struct access *out);
/* Whether the table has domains at all, so that the client's name is worth a question to DNS. */
enum answer access_has_domains(struct snapshot *snap, const char *table);

/* Whether a partner's key is a domain (".domain": those below it) or a network. */
bool partner_key_valid(const char *text);
/* Whether there are any partners. */
bool partner_anywhere(struct snapshot *snap);
/* The partner that the domain ("" for none) is of, or one above it, else the smallest network that
 * holds the address; action is its level. */
enum answer partner_find(struct snapshot *snap, const char *domain, const struct netaddr *addr,
                         struct access *out);

/* What a restriction class stands for. */
enum answer access_class(struct snapshot *snap, const char *name, struct access *out);

#endif

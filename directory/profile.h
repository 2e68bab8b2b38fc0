/*
 * From LDAP attributes and object classes to the logical ones of client.h. Knows nothing of how an
 * entry came here, so that LDIF and LDAP are read alike.
 */
#ifndef DIRIGO_DIRECTORY_PROFILE_H
#define DIRIGO_DIRECTORY_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "directory/replica.h"
#include "gateway/base/buf.h"

/* The names of the attributes to ask a server for; ended by NULL. */
const char *const *profile_attributes(void);
/* Appends a search filter (RFC 4515) for the entries that mean anything to mail. */
void profile_filter(struct buf *out);

/* One entry on its way: profile_begin, every value once, profile_end. */
struct profile_entry {
    struct entry_draft *draft;
    struct buf *secrets;
    unsigned classes;
    unsigned status; /* ENTRY_DISABLED and ENTRY_NO_LOGIN as the account's status says */
    size_t addresses, names, routes;
    bool forward_keeps; /* it forwards by an attribute that keeps a copy unless told otherwise */
    bool has_mode;
    bool global;
    struct buf common_names; /* cn values, each with its NUL */
};

/* draft is emptied; secrets (emptied too) gets the values of authPassword, each with its NUL. */
void profile_begin(struct profile_entry *p, struct entry_draft *draft, struct buf *secrets,
                   const struct uuid *uuid, const char *dn);
/* name may carry options (";lang-en"), which are ignored; what no table names is, too. */
void profile_value(struct profile_entry *p, const char *name, size_t name_len, const void *value,
                   size_t value_len);
/* Whether the entry means anything: then draft is complete. Frees what the entry held. */
bool profile_end(struct profile_entry *p);

/* Whether two attributes are one to the profiles; false also where the first one is none. */
bool profile_same(const char *a, size_t a_len, const char *b, size_t b_len);
/*
 * The way back, as far as there is one: calls fn with LDAP attributes and values that make an entry
 * like e. Stored keys are not among them.
 */
void profile_unmap(const struct entry *e,
                   void (*fn)(void *arg, const char *name, const char *value), void *arg);

#endif

/*
 * From LDAP attributes and object classes to the logical ones of client.h, by profiles: files that
 * say what a product's schema means (dirigo-profiles(5)). Knows nothing of how an entry came here,
 * so that LDIF and LDAP are read alike.
 *
 * The story: a process loads every profile once (profile_set_load). When it is connected, it tells
 * what the server shows of itself (profile_set_tell), and profile_set_choose makes the table of the
 * profiles that apply. By that table entries are asked for and read: profile_begin, every value
 * once, profile_end.
 */
#ifndef DIRIGO_DIRECTORY_PROFILE_H
#define DIRIGO_DIRECTORY_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "directory/replica.h"
#include "gateway/base/buf.h"

/* ---- profiles ---- */

struct profile_set;
struct profile_table;

/*
 * Reads SCHEMA_DIRECTORY/profiles/NAME.profile, all of them, and the files that directory_profiles
 * names by a path. NULL with a fault a line in errors ("file:line: what; what would be right").
 */
struct profile_set *profile_set_load(const struct conf *conf, struct buf *errors);
void profile_set_free(struct profile_set **set);

/* What a server shows of itself. A new server: forget, then tell every value. */
void profile_set_forget(struct profile_set *set);
/* A value of objectClasses or attributeTypes (RFC 4512, 4.2), or of supportedControl and its like
 * of the root DSE, by the attribute's name; others mean nothing here. */
void profile_set_tell(struct profile_set *set, const char *attr, const char *value, size_t len);
/* The same from entries alone, where there is no server: one has this object class, or attribute.
 */
void profile_set_saw(struct profile_set *set, bool object_class, const char *name, size_t len);
/*
 * The table of the profiles that directory_profiles names. `auto` stands for those that the server
 * shows; where it showed no schema, for those of signature `before` (NULL or "": the ones that
 * fit most servers). The set outlives the table. Never NULL.
 */
struct profile_table *profile_set_choose(const struct profile_set *set, const struct conf *conf,
                                         const char *before);
void profile_table_free(struct profile_table **table);
/*
 * "NAME NAME#SUM": two tables of one signature read entries alike; entries that were read by
 * another one have to be read again.
 */
const char *profile_table_signature(const struct profile_table *table);

/* The names of the attributes to ask a server for; ended by NULL, and valid like the table. */
const char *const *profile_attributes(const struct profile_table *table);
/* Appends a search filter (RFC 4515) for the entries that mean anything to mail. */
void profile_filter(const struct profile_table *table, struct buf *out);

/*
 * Appends a filter for what a server has under a key of the index: addresses, login names, members.
 * -1, and out is of no use: for other keys.
 */
int profile_key_filter(const struct profile_table *table, const struct index_key *key,
                       struct buf *out);
/* The same for all that is no recipient: domains, policies, access entries, restriction classes. */
void profile_frame_filter(const struct profile_table *table, struct buf *out);

/* ---- entries ---- */

/* One entry on its way: profile_begin, every value once and in any order, profile_end. */
struct profile_entry {
    const struct profile_table *table;
    struct entry_draft *draft;
    struct buf *secrets;
    unsigned classes;
    unsigned status; /* ENTRY_DISABLED and ENTRY_NO_LOGIN as the account's status says */
    size_t addresses, names, routes;
    bool forward_keeps; /* it forwards by an attribute that keeps a copy unless told otherwise */
    bool has_mode;
    bool global;
    struct buf common_names; /* cn values, each with its NUL */
    struct buf deferred;     /* values whose meaning depends on classes that may come later */
    struct buf class_names;  /* each with its NUL, where something depends on them */
    struct buf present;      /* values of attributes that may lack one: row, value, NUL */
};

/* draft is emptied; secrets (emptied too) gets the values of authPassword, each with its NUL. */
void profile_begin(struct profile_entry *p, const struct profile_table *table,
                   struct entry_draft *draft, struct buf *secrets, const struct uuid *uuid,
                   const char *dn);
/* name may carry options (";lang-en"), which are ignored; what no table names is, too. */
void profile_value(struct profile_entry *p, const char *name, size_t name_len, const void *value,
                   size_t value_len);
/* Whether the entry means anything: then draft is complete. Frees what the entry held. */
bool profile_end(struct profile_entry *p);

/* Whether two attributes are one to the profiles; false also where the first one is none. */
bool profile_same(const struct profile_table *table, const char *a, size_t a_len, const char *b,
                  size_t b_len);
/*
 * The way back, as far as there is one: calls fn with attributes and values that make an entry like
 * e by any table. Attributes and classes that are known by their logical names alone begin with
 * '='. Stored keys are not among them.
 */
void profile_unmap(const struct entry *e,
                   void (*fn)(void *arg, const char *name, const char *value), void *arg);

#endif

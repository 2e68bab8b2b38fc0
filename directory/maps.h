/*
 * Lookup tables beside the directory, as alias_maps names them: /etc/aliases, UNIX accounts,
 * ldap_table(5) files. Private to directory/.
 *
 * dirigo-directory keeps what they say in the replica's table of maps, and everybody reads it
 * there. A file is there whole, with a mark that says so. Of the others there is what was asked
 * for, for a time: what is not there, or too old, dirigo-directory has to be asked for
 * (directory_prepare).
 *
 * A record: i64 and i64 wall seconds until which it is good, and until which it is better than
 * nothing; u32 enum answer; an encoded entry (replica.h), which says where mail goes, or where
 * there is no answer why, as its DN.
 */
#ifndef DIRIGO_DIRECTORY_MAPS_H
#define DIRIGO_DIRECTORY_MAPS_H

#include "directory/replica.h"

enum map_kind {
    MAP_DIRECTORY, /* "directory": the replica itself */
    MAP_FILE,      /* hash:, lmdb: and their like: the text file beside the database */
    MAP_LDAP,      /* ldap:/path of an ldap_table(5) file */
    MAP_UNIX,      /* unix:passwd.byname */
    MAP_NONE       /* no such thing */
};

/* What a word of alias_maps or local_recipient_maps is; *path gets what stands behind its type. */
enum map_kind map_kind(const char *word, const char **path);
/* Whether any list names something else than the directory. */
bool maps_in_use(const struct conf *conf);
/* The word that stands for UNIX accounts. */
#define MAP_ACCOUNTS "unix:passwd.byname"

#define MAP_KEY_MAX 512 /* of what is looked up; a longer name is in no map */

/*
 * Looks key (lower case) up in the map that a word names, not MAP_DIRECTORY. With ANSWER_FOUND *out
 * is the entry. With ANSWER_UNKNOWN it is one whose DN says why, or NULL, and *ask says that
 * dirigo-directory may know.
 */
enum answer map_find(struct snapshot *snap, const char *word, const char *key,
                     const struct entry **out, bool *ask);

/* ---- what reading and writing share ---- */

/* What a record begins with. */
struct map_head {
    int64_t good_until, stale_until;
    uint32_t answer, unused;
};
/* What stands before the name in a key; two words for one thing share it. Its length. */
size_t map_id(const char *word, char id[DB_KEY_MAX]);
/* The key of a name; "": of the mark that says that every name is there. */
void map_key(struct index_key *key, const char *word, const char *name);

/* ---- writing: dirigo-directory alone, inside a change of the replica ---- */

struct map_record {
    int64_t good_until, stale_until; /* wall seconds */
    enum answer answer;
};
#define MAP_FOREVER INT64_MAX

/* The uuid of what a map says under a key: the same on every host and after every restart. */
void map_uuid(struct uuid *out, const char *word, const char *key);
/* d may be NULL for ANSWER_ABSENT. 0 or -1. */
int map_put(struct replica *r, const char *word, const char *key, const struct map_record *record,
            const struct entry_draft *d);
/* Removes every record of the map, and its mark. */
int map_clear(struct replica *r, const char *word);
/* Says that every key of the map is there. */
int map_mark_whole(struct replica *r, const char *word);
/* The record under a key; DB_NONE where there is none. */
enum db_result map_get(struct replica *r, const char *word, const char *key,
                       struct map_record *record);
/*
 * Removes records that are past any use, and past max records also those that are not good any
 * more. At most `budget` records are looked at, from where the call before stopped: *cursor (zeros
 * at first).
 */
int map_purge(struct replica *r, int64_t now, size_t max, size_t budget, struct index_key *cursor);

#endif

/*
 * The replica: what dirigo-directory writes and every other process reads in place. Private to
 * directory/.
 *
 * Under state_directory/replica is one LMDB environment with four tables:
 *   meta    "state" -> struct replica_state; "cookie" -> the provider's cookie (RFC 4533)
 *   entry   entryUUID -> the encoded entry (below)
 *   index   a byte that says which index, then the normal form of what is looked up -> entryUUIDs
 *   map     what alias_maps names beside the directory (maps.h)
 *
 * An encoded entry is read where it lies, unaligned, so every field goes through memcpy:
 *   uuid[16], u32 total, u32 kinds, u32 dn, u32 rows, rows x (u32 attribute, u32 end), values x
 * u32, strings, each with its NUL. `dn` and the values are offsets from the start; a row's values
 * end before number `end` and begin where the row before ends. The format belongs to this machine
 * (byte order) and REPLICA_FORMAT; another one is rebuilt.
 */
#ifndef DIRIGO_DIRECTORY_REPLICA_H
#define DIRIGO_DIRECTORY_REPLICA_H

#include "directory/client.h"
#include "directory/db.h"
#include "gateway/base/buf.h"

#define REPLICA_FORMAT 8

enum replica_table {
    TABLE_META,
    TABLE_ENTRY,
    TABLE_INDEX,
    TABLE_MAP,
    TABLE_ASKED /* index key -> int64_t: the wall time in milliseconds until which what is under it
                   is known */
};
extern const struct db_table replica_tables[];

/* The source of a replica that holds only what was asked for. */
#define SOURCE_LOOKUP "lookup"

struct replica_state {
    uint32_t format;
    uint32_t in_sync;
    int64_t last_sync;   /* wall seconds */
    uint64_t entries;    /* that mean something to mail */
    uint64_t containers; /* that are kept for their DN alone */
    uint64_t generation;
    char server[256];
    char source[16];
    char profiles[256]; /* profile_table_signature of the table that entries were read by */
};

/* ---- indexes ---- */

enum index_kind {
    INDEX_ADDRESS = 'a', /* address_fold of every address of a user, alias or group */
    INDEX_NAME = 'n',    /* login names of users, and aliases without a domain; lower case */
    INDEX_DN = 'd',      /* dn_normalize, from the root down: a subtree is one range of keys */
    INDEX_DOMAIN = 'o',  /* lower case */
    INDEX_MEMBER = 'm',  /* dn_normalize of a member -> the groups that hold it */
    INDEX_MEMBER_ADDRESS = 'M', /* address_fold of a member -> the groups that hold it */
    INDEX_LISTED = 'l',         /* address_fold of a list -> entries that say they are on it */
    INDEX_CONFIG = 'p',         /* no text -> entries with parameters */
    INDEX_GLOBAL = 'g',         /* no text -> policies that govern everything */
    INDEX_STAGE = 's', /* an attribute's number, one byte -> policies that have a list there */
    INDEX_CLASS = 'c', /* names of restriction classes; lower case */
    INDEX_CERTIFICATE = 'f',  /* what ATTR_CERTIFICATE has */
    INDEX_APP_PASSWORD = 'w', /* dn_normalize of the user that it is for */
    INDEX_PRINCIPAL = 'k',    /* Kerberos principals; lower case */
    INDEX_ACCESS = 'x'        /* table, NUL, and what access.c puts behind it */
};

struct index_key {
    size_t len;
    char data[DB_KEY_MAX];
};
/* Text too long for a key is cut and ends in a digest instead. */
void index_key(struct index_key *key, enum index_kind kind, const char *text, size_t len);
/* The key of a DN as written, or of one that dn_normalize gave; -1 where it is malformed. */
int index_key_dn(struct index_key *key, enum index_kind kind, const char *dn);
/* The key of a name, ASCII case folded; -1 where it is empty or longer than any name. */
int index_key_name(struct index_key *key, const char *name);
/* The same in another index. */
int index_key_folded(struct index_key *key, enum index_kind kind, const char *text);

/* ---- entries ---- */

/* Beside the kinds of client.h. */
#define ENTRY_GLOBAL (1U << 16) /* a policy that governs whatever no other one does */
/* Means nothing to mail, but may hold entries that do: whoever renames it renames them, and servers
 * tell of it alone. Of no kind for a lookup. */
#define ENTRY_CONTAINER (1U << 17)

/* Whether the bytes are an entry that the accessors may read. */
bool entry_valid(const void *data, size_t len);
unsigned entry_all_kinds(const struct entry *e);
/* A checksum of all that it holds. */
uint32_t entry_digest(const struct entry *e);

/* An entry being put together. Zeros, and then entry_draft_reset, make an empty one. */
struct entry_draft {
    struct uuid uuid;
    unsigned kinds;
    struct buf dn;
    struct buf values; /* u32 attribute, u32 length, bytes, NUL; one after another */
    size_t count;
};
void entry_draft_reset(struct entry_draft *d);
void entry_draft_free(struct entry_draft *d);
/* -1 where the value is empty or no text (a NUL inside), or the entry grew past 64 MiB; then it is
 * left out. */
int entry_draft_add(struct entry_draft *d, enum entry_attr attr, const void *value, size_t len);
/* Replaces the draft's content with an entry's, under another DN. 0 or -1. */
int entry_draft_copy(struct entry_draft *d, const struct entry *e, const char *dn);
/* Replaces out's content with the encoded entry; 0 or -1. */
int entry_encode(const struct entry_draft *d, struct buf *out);
/* Calls fn with each index key of an entry; the same key may come twice. */
void entry_index_keys(const struct entry *e, void (*fn)(const struct index_key *key, void *arg),
                      void *arg);

/* The same for an access entry (access.c), and the key of a restriction class; -1: no name. */
void access_index_keys(const struct entry *e, void (*fn)(const struct index_key *key, void *arg),
                       void *arg);
int access_class_key(struct index_key *key, const char *name);

/* ---- reading: what client.c and resolve.c share ---- */

const struct conf *snapshot_conf(const struct snapshot *snap);
/* The number of changes that the snapshot has seen. */
uint64_t snapshot_generation(const struct snapshot *snap);
/* fn gets each key that a look found nothing known under, in a replica that holds only what was
 * asked for; NULL: nobody does. */
void directory_on_missed(struct directory *d, void (*fn)(const struct index_key *key, void *arg),
                         void *arg);
/* Past any bound on age, and on absence: UNKNOWN where the replica cannot tell. */
enum answer snapshot_absent(const struct snapshot *snap);
/*
 * The entries under a key whose kinds share a bit with mask. out[0] and out[1] get the first two;
 * the count (at most 2) is returned, or -1 where the replica cannot be read.
 */
int snapshot_find(struct snapshot *snap, const struct index_key *key, unsigned mask,
                  const struct entry *out[2]);
/* What the table of maps has under a key. */
enum db_result snapshot_map(struct snapshot *snap, const struct index_key *key, const void **data,
                            size_t *len);
/* Appends the uuids under a key, at most max, to out; their number, or -1. */
int snapshot_list(struct snapshot *snap, const struct index_key *key, struct uuid *out, size_t max);

/*
 * The channel to dirigo-directory as a reader sees it (connect.c). Apart from client.c, so that
 * what has no loop, such as tests and the dirigo tool, links no IPC.
 */
struct directory_link {
    bool up; /* connected, and the last event did not say "not in sync" */
    void (*close)(struct directory_link *link);
    struct directory_query *(*members)(struct directory_link *link, const struct uuid *group,
                                       directory_members_fn *fn, void *arg);
    struct directory_query *(*want)(struct directory_link *link, enum directory_wanted what,
                                    const char *name, const char *second, void (*fn)(void *arg),
                                    void *arg);
    void (*cancel)(struct directory_query *q);
    void (*ended)(const struct uuid *owner, void *arg); /* NULL: nobody wants to know */
    void *ended_arg;
};
/* Gives the link to d, which closes it in directory_close. */
void directory_set_link(struct directory *d, struct directory_link *link);

/* A reader on an environment that the caller keeps open: dirigo-directory's own. */
struct directory *directory_on(const struct conf *conf, struct db *db);
/* The replica of the next of conf's further directories. */
void directory_add(struct directory *d, struct db *db);
/* The folder of a directory's replica, or of its secrets ("replica", "secrets"); "": the first
 * one. Allocated. */
char *directory_path(const struct conf *conf, const char *what, const char *name);
/*
 * Whether absent may be said of an address in a domain that is ours: its directory is in sync,
 * however the others are.
 */
bool snapshot_domain_in_sync(const struct snapshot *snap, const char *domain);
/* Whether directory_domains of some directory names it. Such a domain needs no entry. */
bool snapshot_domain_listed(const struct snapshot *snap, const char *domain);

/* ---- writing: dirigo-directory alone ---- */

struct replica;

/*
 * Opens the replica under dir (an existing folder) for writing, and makes it anew where it is
 * missing, of another format, damaged, or not known to be whole after a crash of the machine.
 * NULL with an allocated text in error.
 */
struct replica *replica_open(const char *dir, uint64_t map_size, char **error);
/*
 * Whether replica_open began a new file. Readers that have an older one open see nothing new in it,
 * and have to open the replica again.
 */
bool replica_made_anew(const struct replica *r);
/* Whether the last failure says that the file is damaged. Then replica_close marks it, and the next
 * replica_open makes it anew. */
bool replica_damaged(const struct replica *r);
/* Flushes it to the disk and says so in the folder. */
void replica_close(struct replica **r);

/* The writer's loop runs: readers believe what the state says for directory_heartbeat_limit. */
void replica_beat(struct replica *r);

/* The state in memory; replica_commit writes it. */
struct replica_state *replica_state(struct replica *r);

/* A change. Entries, indexes, cookie and state become visible together. 0 or -1 each. */
int replica_begin(struct replica *r);
/* Where the entry has another DN now, what stands below its old one follows. */
int replica_put(struct replica *r, const struct entry_draft *d);
/* The entry alone. */
int replica_put_one(struct replica *r, const struct entry_draft *d);
/*
 * Entries below old_dn, at any depth, get the DN that they have when it is new_dn (subtree.c).
 * replica_put calls it.
 */
int replica_move_subtree(struct replica *r, const char *old_dn, const char *new_dn);
/* Inside a change: whether anything stands below an entry. DB_NONE: nothing, or no such entry. */
enum db_result replica_has_children(struct replica *r, const struct uuid *uuid);
/* Inside a change: an entry as it is stored, valid until the next change. */
enum db_result replica_get(struct replica *r, const struct uuid *uuid, const struct entry **e);
/*
 * Whether this change had to throw away what the server may not send again (an entry under a DN
 * that another one has taken, with what stands below it): only a full refresh brings it back.
 */
bool replica_lost(const struct replica *r);
int replica_delete(struct replica *r, const struct uuid *uuid);
/*
 * Inside a change: what is under the key is known until then (wall time in milliseconds). Forgets
 * all such keys where more than max are kept.
 */
int replica_set_asked(struct replica *r, const struct index_key *key, int64_t until, uint64_t max);
int replica_forget_asked(struct replica *r);
/* Inside a change: appends the uuids under a key. */
int replica_list(struct replica *r, const struct index_key *key, struct buf *uuids);
/* NULL or empty: forgets it. */
int replica_set_cookie(struct replica *r, const void *cookie, size_t len);
int replica_commit(struct replica *r);
/*
 * fn gets, after each commit, the users who could log in before it and cannot any more (deleted,
 * disabled, no-login, no user any more): their sessions have to end. NULL: nobody is told.
 */
typedef void replica_ended_fn(const struct uuid *uuids, size_t n, void *arg);
void replica_on_ended(struct replica *r, replica_ended_fn *fn, void *arg);
void replica_abort(struct replica *r);
const char *replica_error(const struct replica *r);

/* Copies the cookie into out (cleared first); it may be empty. -1 where it cannot be read. */
int replica_cookie(struct replica *r, struct buf *out);
/*
 * Inside a change: the first entry after *uuid (zeros: the first of all) into *uuid; DB_NONE at
 * the end.
 */
enum db_result replica_next(struct replica *r, struct uuid *uuid);
/* Inside a change: the kinds of an entry (entry_all_kinds). */
enum db_result replica_kinds(struct replica *r, const struct uuid *uuid, unsigned *kinds);
/* Outside a change: a consistent look at one entry's DN, appended to dn. DB_NONE: no such entry. */
enum db_result replica_dn(struct replica *r, const struct uuid *uuid, struct buf *dn);
/* Outside a change: whether passwords of the entry hold a code that is good once, or that cannot be
 * told. */
bool replica_is_one_time(struct replica *r, const struct uuid *uuid);
void replica_reap_readers(struct replica *r);

/*
 * What replica_open does with the files; the secrets store shares it. *lock is a descriptor that
 * replica_db_close gets, also where opening failed (-1: not even that). *made_anew: the data is a
 * new file (its inode's number does not tell: it may be that of the file that was removed).
 */
struct db *replica_db_open(const char *dir, const struct db_options *options, int *lock,
                           bool *made_anew, char **error);
/* Flushes, marks the folder as clean, closes. */
void replica_db_close(struct db **db, int lock);
struct db *replica_db(struct replica *r);

#endif

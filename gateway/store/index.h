/*
 * One owner's index: an LMDB environment under index/ beside the Maildir folders.
 *
 * The files are the authority for which messages exist and for their system flags; the index gives
 * them UIDs and holds what a file name cannot: keywords, sizes, dates, change sequence numbers, and
 * the parsed structure of messages. Deleting it loses UIDs and keywords, nothing else.
 *
 * A write transaction is also the lock under which Dirigo renames and scans an owner's files, in
 * this process and in others. Transactions are used from the thread that began them. Functions that
 * return int give 1 (found), 0 (absent, or done) or -1 after logging why.
 */
#ifndef DIRIGO_STORE_INDEX_H
#define DIRIGO_STORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lmdb.h>

#define INDEX_FOLDER_NAME_MAX 240 /* bytes with NUL: ".NAME" must fit NAME_MAX */
#define INDEX_BASE_MAX        256
#define INDEX_KEYWORDS_MAX    64
#define INDEX_KEYWORD_LEN_MAX 64

struct index {
    MDB_env *env;
    MDB_dbi meta, folders, names, keywords, msgs, bases, cache;
};

struct index_txn {
    struct index *ix;
    MDB_txn *txn;
    bool write;
};

/* Where a message's file is. */
enum index_where {
    INDEX_NEW,       /* new/BASE */
    INDEX_CUR_PLAIN, /* cur/BASE, without ":2," */
    INDEX_CUR        /* cur/BASE:2,FLAGS */
};

struct index_folder {
    uint32_t id;
    uint32_t uidvalidity;
    uint32_t uidnext;
    uint32_t recent_uid; /* messages from here on were shown to no session yet */
    uint32_t messages;
    uint32_t unseen;
    uint32_t in_new;
    uint64_t bytes;
    uint64_t modseq;         /* of the latest change of any kind */
    uint64_t expunge_modseq; /* of the latest removal */
    uint64_t flags_modseq;   /* of the latest change of a message that was there before */
    int64_t cur_mtime;       /* of the folders when last scanned, in ns; 0: scan again */
    int64_t new_mtime;
    char name[INDEX_FOLDER_NAME_MAX];
};

struct index_msg {
    uint32_t uid;
    uint32_t size;
    uint64_t modseq;
    int64_t date;      /* wall seconds */
    uint64_t keywords; /* bit n: the folder's keyword n */
    uint32_t letters;  /* Maildir info letters of others: bit n is 'a' + n, bit 26 'P' */
    uint8_t flags;     /* MESSAGE_* of mailbox.h */
    uint8_t where;     /* enum index_where */
    char base[INDEX_BASE_MAX];
};

struct index_keywords {
    unsigned n;
    char name[INDEX_KEYWORDS_MAX][INDEX_KEYWORD_LEN_MAX];
};

/* Opens path/ (made if it is missing); an index that is damaged or of another version is begun
 * anew. NULL after logging why. map_size bounds it. */
struct index *index_open(const char *path, size_t map_size);
/* No transaction may be open. *ix may be NULL. */
void index_close(struct index **ix);

int index_begin(struct index *ix, bool write, struct index_txn *t);
/* Ends a write transaction. durable: on disk even for a power cut before it returns; else the last
 * one may be undone by it. A read transaction just ends. */
int index_commit(struct index_txn *t, bool durable);
/* Harmless after a commit. */
void index_abort(struct index_txn *t);

int index_folder_get(struct index_txn *t, uint32_t id, struct index_folder *f);
int index_folder_find(struct index_txn *t, const char *name, struct index_folder *f);
int index_folder_put(struct index_txn *t, const struct index_folder *f);
/* A new folder with an UIDVALIDITY that no folder of this owner had before. */
int index_folder_create(struct index_txn *t, const char *name, struct index_folder *f);
int index_folder_rename(struct index_txn *t, struct index_folder *f, const char *name);
/* With all its messages. */
int index_folder_delete(struct index_txn *t, const struct index_folder *f);

int index_keywords_get(struct index_txn *t, uint32_t folder, struct index_keywords *k);
int index_keywords_put(struct index_txn *t, uint32_t folder, const struct index_keywords *k);

int index_msg_get(struct index_txn *t, uint32_t folder, uint32_t uid, struct index_msg *m);
/* Writes the record, and its base name where it is new. The caller keeps the folder's counters. */
int index_msg_put(struct index_txn *t, uint32_t folder, const struct index_msg *m, bool is_new);
/* Removes record, base name and cached structure. */
int index_msg_delete(struct index_txn *t, uint32_t folder, const struct index_msg *m);
int index_base_uid(struct index_txn *t, uint32_t folder, const char *base, uint32_t *uid);

/* The messages of a folder in UID order. */
struct index_scan {
    MDB_cursor *cursor;
    uint32_t folder;
    uint32_t from;
    bool started;
};
int index_scan_begin(struct index_txn *t, uint32_t folder, uint32_t from_uid, struct index_scan *s);
/* 1 with the next message, 0 at the end. Without m->base where with_base is false. */
int index_scan_next(struct index_scan *s, struct index_msg *m, bool with_base);
void index_scan_end(struct index_scan *s);

/* What a message's structure looks like to IMAP; valid until the transaction ends or writes. */
struct index_cached {
    const char *envelope;
    const char *body;
    const char *bodystructure;
    size_t envelope_len;
    size_t body_len;
    size_t bodystructure_len;
};
int index_cache_get(struct index_txn *t, uint32_t folder, uint32_t uid, struct index_cached *c);
int index_cache_put(struct index_txn *t, uint32_t folder, uint32_t uid,
                    const struct index_cached *c);

#endif

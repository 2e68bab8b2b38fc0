/* What the files of gateway/store share; nobody else includes it. */
#ifndef DIRIGO_STORE_PRIVATE_H
#define DIRIGO_STORE_PRIVATE_H

#include <pthread.h>
#include <sys/queue.h>

#include "gateway/store/index.h"
#include "gateway/store/mailbox.h"
#include "gateway/store/maildir.h"

struct watches;

struct store {
    struct loop *loop;
    char *path;
    int dir_fd;
    struct store_config config;
    LIST_HEAD(, mailbox) mailboxes;
    struct timer *idle; /* closes indexes that nobody has used for a while */
    struct watches *watches;
};

struct mailbox {
    LIST_ENTRY(mailbox) entry;
    struct store *store;
    struct uuid owner;
    unsigned refs;
    int fd;               /* O_PATH of the owner's directory */
    int lock_fd;          /* POP3's exclusive lock, or -1 */
    pthread_mutex_t lock; /* of the three below */
    struct index *ix;
    unsigned users;
    int64_t used;
};

/* Begins a transaction, opening the index where it is not; STORE_OK or STORE_FAILED. Ended by
 * mailbox_commit or mailbox_abort. */
enum store_result mailbox_begin(struct mailbox *mb, bool write, struct index_txn *t);
enum store_result mailbox_commit(struct mailbox *mb, struct index_txn *t, bool durable);
/* Harmless after a commit. */
void mailbox_abort(struct mailbox *mb, struct index_txn *t);
/* Logs the errno of a file operation and gives the result that stands for it. */
enum store_result mailbox_failed(const struct mailbox *mb, const char *what, const char *name);

/*
 * Takes up what happened to a folder's files. *f is the folder as it is afterwards; claim: the
 * caller's session takes the messages that nobody saw as its \Recent ones, from *recent_from on.
 * STORE_ABSENT where the folder is gone. Either by id, or (id 0) by name.
 */
enum store_result folder_sync(struct mailbox *mb, uint32_t id, const char *name, bool claim,
                              struct index_folder *f, uint32_t *recent_from);
/* The same inside a write transaction; the caller commits. *changed is set where it wrote. */
enum store_result folder_sync_in(struct mailbox *mb, struct index_txn *t, struct index_folder *f,
                                 bool *changed);
/* The folder inside a write transaction, added to the index where only its directory is there. */
enum store_result folder_get_in(struct mailbox *mb, struct index_txn *t, const char *name,
                                struct index_folder *f);

/*
 * Brackets the renames that Dirigo itself makes in a folder under a write transaction, so that they
 * do not make the next look at the folder scan it. What others did before is still seen.
 */
struct own_change {
    bool cur_known, new_known;
};
void own_change_begin(struct mailbox *mb, const struct index_folder *f, struct own_change *c);
void own_change_end(struct mailbox *mb, struct index_folder *f, const struct own_change *c);

/* Counts a message in (sign 1) or out (-1) of its folder. */
void folder_count(struct index_folder *f, const struct index_msg *m, int sign);
/* The bits of names in the folder's keywords, adding those that are missing (*added). */
enum store_result keywords_resolve(struct index_txn *t, uint32_t folder, const char *const *names,
                                   unsigned n, bool add, struct index_keywords *k, uint64_t *bits,
                                   bool *added);
/* Opens a message's file by its record; -1 with errno. */
int mailbox_open_file(struct mailbox *mb, const char *folder, const struct index_msg *m);

void watches_free(struct watches **w);

#endif

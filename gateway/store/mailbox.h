/*
 * Mailboxes: what IMAP and POP3 sessions do to one owner's Maildir++ and its index.
 *
 * The story of a session: mailbox_open on the loop, then every call below from a worker thread, one
 * at a time per session (many sessions of one owner may run at once). view_open selects a folder
 * and numbers its messages; view_refresh takes up what the queue, other sessions or other programs
 * changed and says what to tell the client; between refreshes the numbers stand still.
 *
 * Folder names are IMAP's: modified UTF-7, '.' between levels, INBOX. They are stored as such:
 * folder "A.B" is the directory ".A.B". Failures are logged here; callers only tell their client.
 */
#ifndef DIRIGO_STORE_MAILBOX_H
#define DIRIGO_STORE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gateway/base/uuid.h"
#include "gateway/event/loop.h"

#define MAILBOX_DELIMITER     '.'
#define MAILBOX_NAME_MAX      240 /* bytes with NUL */
#define MAILBOX_KEYWORDS_MAX  64  /* per folder */
#define MAILBOX_KEYWORD_MAX   64  /* bytes with NUL */
#define MAILBOX_FILE_NAME_MAX 256

enum store_result {
    STORE_OK,
    STORE_ABSENT,  /* no such folder or message */
    STORE_EXISTS,  /* a folder of that name is there */
    STORE_INVALID, /* a name that cannot be, or an operation that INBOX does not allow */
    STORE_LIMIT,   /* mailbox_list_limit, or the keywords of a folder, or the disk is full */
    STORE_FAILED   /* could not be done or is not known: temporary */
};

/* ---- the store of a process ---- */

struct store;
struct store_config {
    const char *mail_directory;
    size_t index_map_size; /* bound of one owner's index, bytes */
    size_t folder_limit;   /* folders of one owner */
};
/* NULL after logging why. */
struct store *store_new(struct loop *loop, const struct store_config *config);
/* Every mailbox has been released. */
void store_free(struct store **store);

struct mailbox;
/* The owner's mailbox, shared by its sessions and made where it is missing; NULL after logging why.
 * Loop only, as is mailbox_release, after which no call on it may run. */
struct mailbox *mailbox_open(struct store *store, const struct uuid *owner);
void mailbox_release(struct mailbox **mb);
const struct uuid *mailbox_owner(const struct mailbox *mb);
/* POP3's exclusive access (RFC 1939 section 3): false where another session has it. Loop only. */
bool mailbox_lock(struct mailbox *mb);
void mailbox_unlock(struct mailbox *mb);

/* ---- waiting for changes (loop only) ---- */

/* Calls fn on the loop when something may have changed in the folder, until it is freed. Falls back
 * to a timer where inotify has no room. NULL where the folder is not there. */
struct mailbox_watch;
struct mailbox_watch *mailbox_watch_new(struct mailbox *mb, const char *folder,
                                        void (*fn)(void *arg), void *arg);
void mailbox_watch_free(struct mailbox_watch **watch);

/* ---- folders ---- */

/* Whether a name can be a folder's: well-formed modified UTF-7 (RFC 3501 section 5.1.3), no empty
 * level, no control character, '/' or wildcard, short enough. INBOX in any case is INBOX. */
bool folder_name_valid(const char *name);
/* The canonical form: INBOX in upper case; name itself otherwise. */
const char *folder_name_canonical(const char *name);

struct folder_entry {
    char *name;
    bool selectable; /* false: only a level above other folders */
    bool has_children;
};
struct folder_list {
    struct folder_entry *v;
    size_t n;
};
/* All folders in the order of their names, INBOX first, with the levels implied between them. */
enum store_result mailbox_list(struct mailbox *mb, struct folder_list *out);
enum store_result mailbox_subscriptions(struct mailbox *mb, struct folder_list *out);
void folder_list_free(struct folder_list *list);
enum store_result mailbox_subscribe(struct mailbox *mb, const char *name, bool on);

enum store_result mailbox_create(struct mailbox *mb, const char *name);
/* Refused (STORE_INVALID) for INBOX. The caller has told the queue to forget its messages: see
 * mailbox_folder_names. */
enum store_result mailbox_delete(struct mailbox *mb, const char *name);
/* With the folders below it. INBOX: its messages move to the new folder (RFC 3501 6.3.5). */
enum store_result mailbox_rename(struct mailbox *mb, const char *from, const char *to);

struct folder_status {
    uint32_t uidvalidity;
    uint32_t uidnext;
    uint32_t messages;
    uint32_t recent;
    uint32_t unseen;
    uint64_t bytes;
    uint64_t modseq;
};
enum store_result mailbox_status(struct mailbox *mb, const char *name, struct folder_status *out);

/* ---- a selected folder ---- */

enum {
    MESSAGE_SEEN = 1,
    MESSAGE_ANSWERED = 2,
    MESSAGE_FLAGGED = 4,
    MESSAGE_DELETED = 8,
    MESSAGE_DRAFT = 16,
    MESSAGE_FLAGS_ALL = 31
};

struct uid_range {
    uint32_t first, last;
};

/* Numbers a session's messages: uids[seq - 1]. Fields are read only. */
struct view {
    uint32_t folder; /* the index's number of it */
    uint32_t uidvalidity;
    uint32_t uidnext;
    uint32_t first_unseen; /* sequence number when it was opened, or 0 */
    bool readonly;
    uint32_t *uids;
    uint32_t n, cap;
    uint64_t modseq;         /* what the client knows of flags and arrivals */
    uint64_t expunge_modseq; /* what it knows of removals */
    struct uid_range *recent;
    uint32_t recent_n;
    char **keywords; /* names of the bits in message.keywords */
    unsigned keyword_n;
};

struct view_changes {
    uint32_t *expunged; /* sequence numbers in the order to send them */
    uint32_t expunged_n;
    uint32_t *flags; /* sequence numbers, valid after the removals, of messages whose flags changed
                      */
    uint32_t flags_n;
    uint32_t recent; /* \Recent messages of this session */
    bool arrived;    /* there are more messages than before: view.n */
    bool keywords;   /* new keywords were defined */
};

/* Selects a folder. STORE_ABSENT where there is none. */
enum store_result view_open(struct mailbox *mb, const char *name, bool readonly, struct view **out);
void view_free(struct view **view);
/* STORE_ABSENT: the folder has been deleted. expunge: removals may be told now. changes is freed by
 * view_changes_free. */
enum store_result view_refresh(struct mailbox *mb, struct view *view, bool expunge,
                               struct view_changes *changes);
void view_changes_free(struct view_changes *changes);
/* 0 where the UID is not in the view. */
uint32_t view_seq(const struct view *view, uint32_t uid);
/* The first sequence number whose UID is at least uid; n + 1 where there is none. */
uint32_t view_seq_from(const struct view *view, uint32_t uid);
bool view_is_recent(const struct view *view, uint32_t uid);

/* ---- reading ---- */

struct message {
    uint32_t uid;
    uint32_t size; /* of the file; RFC822.SIZE */
    uint64_t modseq;
    int64_t date; /* INTERNALDATE, wall seconds */
    uint64_t keywords;
    uint8_t flags;
    char base[MAILBOX_FILE_NAME_MAX]; /* file name without flags */
};

/* A snapshot of the index for one piece of work; end it soon: old pages are kept for it. */
struct mail_read;
struct mail_read *mail_read_begin(struct mailbox *mb, const struct view *view);
void mail_read_end(struct mail_read **r);
/* 1, 0 (removed meanwhile), -1 (failed). In ascending order it is a scan, not a look-up each. */
int mail_read_get(struct mail_read *r, uint32_t uid, struct message *m);

/* A message's ENVELOPE, BODY and BODYSTRUCTURE as IMAP sends them, kept in the index. */
struct message_structure {
    const char *envelope;
    size_t envelope_len;
    const char *body;
    size_t body_len;
    const char *bodystructure;
    size_t bodystructure_len;
};
/* Valid until mail_read_end. 1, 0 (not computed yet) or -1. */
int mail_read_structure(struct mail_read *r, uint32_t uid, struct message_structure *s);
/* Keeps them for next time; uids without a message are left out. */
enum store_result mailbox_keep_structures(struct mailbox *mb, const struct view *view,
                                          const uint32_t *uids, const struct message_structure *s,
                                          size_t n);

/* The message's file for reading (the caller closes it), or -1: gone, or failed. */
int mail_read_open(struct mail_read *r, uint32_t uid);

/* ---- changing ---- */

enum flags_op {
    FLAGS_ADD,
    FLAGS_REMOVE,
    FLAGS_REPLACE
};
struct flags_change {
    enum flags_op op;
    uint8_t flags;
    const char *const *keywords;
    unsigned keyword_n;
};
/* On the messages with these UIDs, in ascending order; those removed meanwhile are left out.
 * STORE_LIMIT: too many keywords; nothing was changed. New keywords are defined and stand in the
 * view at once. */
enum store_result mailbox_change_flags(struct mailbox *mb, struct view *view, const uint32_t *uids,
                                       uint32_t n, const struct flags_change *change);

/* File base names, for queue_forget. */
struct name_list {
    char **v;
    size_t n;
};
void name_list_free(struct name_list *names);
/* Of the messages in uids (ascending; NULL: all those in the view) that have every flag in
 * need_flags. out_uids gets their UIDs; freed by the caller. */
enum store_result mailbox_names(struct mailbox *mb, const struct view *view, const uint32_t *uids,
                                uint32_t n, uint8_t need_flags, struct name_list *names,
                                uint32_t **out_uids);
/* Of every message in a folder, before mailbox_delete. */
enum store_result mailbox_folder_names(struct mailbox *mb, const char *folder,
                                       struct name_list *names);
/* Removes the messages for good; the queue has forgotten them. need_flags is checked again: a
 * message that was undeleted meanwhile stays. */
enum store_result mailbox_expunge(struct mailbox *mb, const struct view *view, const uint32_t *uids,
                                  uint32_t n, uint8_t need_flags);

/* What COPY, MOVE and APPEND tell the client (RFC 4315): from[i] became to[i]. */
struct copy_result {
    uint32_t uidvalidity;
    uint32_t *from;
    uint32_t *to;
    uint32_t n;
};
void copy_result_free(struct copy_result *r);
/* Durable when it returns STORE_OK; all or nothing. move: the files change folder under their
 * names, and are gone from the view's. STORE_ABSENT: no such destination. */
enum store_result mailbox_copy(struct mailbox *mb, const struct view *view, const uint32_t *uids,
                               uint32_t n, const char *destination, bool move,
                               struct copy_result *out);

/* A message on its way into a folder. */
struct append;
enum store_result append_begin(struct mailbox *mb, const char *folder, struct append **out);
enum store_result append_write(struct append *a, const void *data, size_t len);
/* Durable when it returns STORE_OK. date: wall seconds, or -1 for now. uid may be NULL. */
enum store_result append_commit(struct append **a, const struct flags_change *flags, int64_t date,
                                uint32_t *uidvalidity, uint32_t *uid);
/* Forgets it; *a may be NULL. */
void append_abort(struct append **a);

#endif

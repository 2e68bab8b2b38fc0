/*
 * One IMAP session after login, shared by session.c (its life) and cmd_*.c (its commands).
 *
 * A command is one function in the table of cmd.c. It checks its arguments on the loop and either
 * answers at once (imap_tagged) or starts a job: run() on a worker thread writes a piece of the
 * answer and sets more where there is another piece; after() on the loop, where it is given, goes
 * on from there. The parser is not touched meanwhile, so the command's arguments stay valid until
 * it is over. Commands of one session run one at a time.
 *
 * After login there are two states of RFC 3501: authenticated (view is NULL) and selected.
 */
#ifndef DIRIGO_IMAP_SESSION_H
#define DIRIGO_IMAP_SESSION_H

#include <stdatomic.h>

#include "gateway/base/mem.h"
#include "gateway/proto/imap_parser.h"
#include "gateway/store/session.h"

struct imap {
    const struct mail_env *env;
    void (*ended)(void *arg);
    void *arg;
    char *id, *login;
    struct mailbox *mb;
    struct stream *stream; /* NULL once the connection is gone */
    struct mail_input input;
    struct imap_parser *parser;
    struct reply reply;

    struct view *view; /* the selected folder, or NULL */
    char *folder;      /* its name when it was selected */

    bool working; /* a command is being carried out */
    bool job;     /* a job or request runs: the session must not be freed */
    bool closing;
    bool quitting;
    bool revoked;
    /* the system stops: say goodbye behind the command under way */ /* the answer being sent is
                                                                        the last */
    atomic_bool gone; /* nobody waits for an answer any more: a long job ends early */
    unsigned errors;  /* BAD answers without a good command between them */
    uint64_t commands;
    uint64_t sent_bytes;

    /* The command that works. */
    const struct imap_command *cmd;
    bool uid; /* its UID form */
    void (*run)(struct imap *s);
    void (*after)(struct imap *s);
    bool more;
    bool answered; /* its tagged response has been written */
    void *work;    /* its own state, freed by work_free at its end */
    void (*work_free)(void *work);

    /* IDLE */
    struct mailbox_watch *watch;
    char *idle_tag;  /* of the IDLE that is under way, or NULL */
    bool idle_again; /* something changed that has not been told */

    /* APPEND: while its literal comes in */
    struct imap_append *append;
};

/* ---- answers: on the loop, or in run() ---- */

/* The tagged response of the command: "OK ...", "NO ...", "BAD ...". */
void imap_tagged(struct imap *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* An untagged response. */
void imap_untagged(struct imap *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The tagged NO for a failure. what: "Cannot copy the messages" */
void imap_no(struct imap *s, enum store_result result, const char *what);
/* BAD for arguments that cannot be. */
void imap_bad_args(struct imap *s);

/* ---- jobs ---- */

void imap_work(struct imap *s, void (*run)(struct imap *s), void (*after)(struct imap *s));
/* The command's own state. */
void imap_set_work(struct imap *s, void *work, void (*work_free)(void *work));
/* A request to another process is under way, or has ended: the session is kept meanwhile. */
void imap_hold(struct imap *s);
/* False where the session has ended meanwhile, and is gone. */
bool imap_unhold(struct imap *s);

/* After imap_unhold, where no new job was started: the command is over, go on. */
void imap_resume(struct imap *s);

/* In run(): tells what changed in the selected folder (if any); expunge: removals too. Where the
 * folder is gone the session says BYE. */
void imap_put_changes(struct imap *s, bool expunge);
/* In run(): the end of a command that leaves the folder as it is: changes, then "OK text". */
void imap_done(struct imap *s, const char *text);
/* Leaves the selected state. */
void imap_deselect(struct imap *s);

/* The sequence set of the running command as UIDs of the view (freed by the caller); false after
 * answering BAD. */
bool imap_take_set(struct imap *s, const struct imap_arg *arg, uint32_t **uids, uint32_t *n);
/* A folder name from an argument, canonical; NULL after answering. */
const char *imap_take_folder(struct imap *s, const struct imap_arg *arg);
/* A flag list, or flags up to the end of the arguments; false after answering BAD. The names point
 * into the arguments; free keywords. */
bool imap_take_flags(struct imap *s, const struct imap_arg *arg, struct flags_change *out);
#define IMAP_MAX_FLAGS 128

/* ---- commands ---- */

enum {
    IMAP_SELECTED = 1, /* needs a selected folder */
    IMAP_WRITES = 2,   /* one that was not opened read-only */
    IMAP_NO_ARGS = 4,
    IMAP_IS_UID = 8 /* the numbers are UIDs */
};
struct imap_cmd {
    const char *name;
    unsigned flags;
    void (*fn)(struct imap *s, const struct imap_arg *args);
};
/* Carries out s->cmd. */
void imap_command(struct imap *s);

void imap_cmd_select(struct imap *s, const struct imap_arg *args);
void imap_cmd_close(struct imap *s, const struct imap_arg *args);
void imap_cmd_unselect(struct imap *s, const struct imap_arg *args);
void imap_cmd_create(struct imap *s, const struct imap_arg *args);
void imap_cmd_delete(struct imap *s, const struct imap_arg *args);
void imap_cmd_rename(struct imap *s, const struct imap_arg *args);
void imap_cmd_subscribe(struct imap *s, const struct imap_arg *args);
void imap_cmd_list(struct imap *s, const struct imap_arg *args);
void imap_cmd_status(struct imap *s, const struct imap_arg *args);
void imap_cmd_append(struct imap *s, const struct imap_arg *args);
void imap_cmd_expunge(struct imap *s, const struct imap_arg *args);
void imap_cmd_search(struct imap *s, const struct imap_arg *args);
void imap_cmd_fetch(struct imap *s, const struct imap_arg *args);
void imap_cmd_store(struct imap *s, const struct imap_arg *args);
void imap_cmd_copy(struct imap *s, const struct imap_arg *args);
void imap_cmd_idle(struct imap *s, const struct imap_arg *args);

/* IDLE: tells what changed; ends it, for the line that the client sent. */
void imap_idle_tell(struct imap *s);
void imap_idle_end(struct imap *s, const char *line);

/* APPEND, around its message: the literal was announced (decide what becomes of it); bytes may be
 * there, true where some were taken; the command turned out malformed, or the session ends. */
void imap_append_literal(struct imap *s);
bool imap_append_input(struct imap *s);
void imap_append_free(struct imap *s);

/* The flags of a folder with its keywords: "\Answered \Flagged … Work". */
void imap_put_flag_names(struct buf *out, const struct view *view);
/* "FLAGS (\Seen …)" of a message. */
void imap_put_flags(struct buf *out, const struct view *view, const struct message *m);

extern const char imap_capabilities[];

#endif

/*
 * One POP3 session after login (RFC 1939: TRANSACTION and UPDATE), shared by session.c (its life)
 * and cmd.c (its commands).
 *
 * States: opening (the maildrop is locked and numbered; +OK or -ERR [IN-USE] follows), ready
 * (waiting for a line), working (a job runs, or its answer drains), closing (QUIT was answered, or
 * the client has gone; the session is freed when no job runs).
 */
#ifndef DIRIGO_POP3_SESSION_H
#define DIRIGO_POP3_SESSION_H

#include "gateway/base/mem.h"
#include "gateway/pop3/dots.h"
#include "gateway/proto/pop3_parser.h"
#include "gateway/store/session.h"

#define POP3_LINE_MAX 512 /* RFC 2449 allows 255 */

enum {
    POP3_DELETED = 1,
    POP3_SEEN = 2
};

struct pop3 {
    const struct mail_env *env;
    void (*ended)(void *arg);
    void *arg;
    char *id, *login;
    char *notice; /* for the answer to the login; NULL: none */
    struct mailbox *mb;
    struct stream *stream; /* NULL once the connection is gone */
    struct mail_input input;
    struct pop3_parser parser;
    struct view *view;
    uint32_t *sizes;
    uint8_t *marks; /* POP3_* per message */
    struct reply reply;
    bool locked;
    struct timer *lock_retry;
    unsigned lock_tries;
    bool working; /* a job runs, or an answer drains */
    bool job;     /* a job or a request runs: the session must not be freed */
    bool closing; /* the answer being sent is the last */
    bool stopped; /* the process ends: no new jobs */
    unsigned errors;
    uint64_t sent_bytes;
    unsigned retrieved, removed;

    /* The command that works: run() on a worker makes a piece of the answer and sets more where
     * there is another one; then after() on the loop, where it is not NULL, instead of the end. */
    void (*run)(struct pop3 *s);
    void (*after)(struct pop3 *s);
    bool more;
    uint32_t msg; /* from 0 */
    bool all;
    int fd;
    off_t offset;
    struct dots dots;
    struct name_list names;
    uint32_t *uids;
    uint32_t uid_n;
    enum store_result result;
};

/* Starts a job: run, then after (or the end of the command). */
void pop3_work(struct pop3 *s, void (*run)(struct pop3 *s), void (*after)(struct pop3 *s));
/* Sends a line; the command is over where it does not work. */
void pop3_say(struct pop3 *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A request to another process is under way, or has ended: the session is kept meanwhile. */
void pop3_hold(struct pop3 *s);
/* False where the session has ended meanwhile, and is gone. */
bool pop3_unhold(struct pop3 *s);
void pop3_command(struct pop3 *s, const struct pop3_command *cmd);
/* The first job: numbers the messages. */
void pop3_open_run(struct pop3 *s);

#endif

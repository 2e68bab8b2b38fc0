/*
 * What the sessions of dirigo-mailbox have in common, whichever protocol they speak.
 *
 * The story of one: the process gets a connection after login (gateway/session/handoff.h) and
 * starts a session of its protocol. A command that touches files runs as a job on a worker thread,
 * which writes its answer into a struct reply; back on the loop the reply is sent, and the next
 * piece of a long answer is only made when the stream has drained. A session that is idle holds its
 * stream and its view, nothing else.
 */
#ifndef DIRIGO_STORE_SESSION_H
#define DIRIGO_STORE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "gateway/base/buf.h"
#include "gateway/base/netaddr.h"
#include "gateway/base/uuid.h"
#include "gateway/event/loop.h"
#include "gateway/event/stream.h"
#include "gateway/event/worker.h"
#include "gateway/queue/client.h"
#include "gateway/store/mailbox.h"

/* Lives as long as the process. */
struct mail_env {
    struct loop *loop;
    struct store *store;
    struct worker_pool *workers;
    struct queue_client *queue;
    const struct conf *conf;
};

/* A connection after login. Strings and input are valid during start only. */
struct mail_start {
    const char *id;
    const char *tag; /* IMAP: of the command that logged in */
    const char *login;
    const char *notice; /* for the user, said with the answer to the login; NULL: none */
    struct uuid owner;
    struct netaddr peer;
    int fd;            /* taken over */
    const void *input; /* what the client had sent behind the login */
    size_t input_len;
};

struct mail_protocol {
    const char *name;
    /* ended(arg) is called once, when the session is gone (never from inside start). */
    void *(*start)(const struct mail_env *env, const struct mail_start *start,
                   void (*ended)(void *arg), void *arg);
    /* The system stops: a session without a command under way says goodbye and ends, one with a
     * command ends behind it. Called from the loop; may be called again. */
    void (*quit)(void *session);
    /* The account may not be used any more: says so as far as that can be done at once, and ends,
     * whatever is under way. ended() follows as after stop. */
    void (*revoke)(void *session);
    /* The process ends: says goodbye as far as that can be done at once, and starts no new jobs.
     * ended() follows, now or when the job that runs is done. */
    void (*stop)(void *session);
};
extern const struct mail_protocol imap_protocol;
extern const struct mail_protocol pop3_protocol;

/* ---- answers ---- */

#define REPLY_FILES_MAX 64
/* A job stops making more when its reply holds this much. */
#define REPLY_CHUNK ((size_t)128 << 10)
/* Pieces of files shorter than this are copied instead of sent from the file. */
#define REPLY_FILE_MIN ((size_t)32 << 10)

struct reply {
    struct buf text;
    struct reply_file {
        size_t at; /* behind so many bytes of text */
        int fd;
        off_t offset, len;
    } * files; /* REPLY_FILES_MAX, or NULL while there are none */
    unsigned file_n;
    size_t file_bytes;
    bool broken; /* a file that was announced could not be read: the connection must end */
};
/* A piece of a file behind what is in text; the descriptor is taken over. 0, or -1 where there is
 * no room for another one (the descriptor is closed). */
int reply_file(struct reply *r, int fd, off_t offset, off_t len);
size_t reply_size(const struct reply *r);
/* Queues it on the stream and empties it; -1 where a file could not be sent: close. */
int reply_send(struct reply *r, struct stream *s);
/* Closes and frees what was not sent. */
void reply_free(struct reply *r);

/* ---- input: first what came with the hand-over, then the stream's ---- */

struct mail_input {
    struct buf early;
};
const void *mail_input_peek(struct mail_input *in, struct stream *s, size_t *len);
void mail_input_consume(struct mail_input *in, struct stream *s, size_t len);

#endif

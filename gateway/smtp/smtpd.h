/*
 * dirigo-smtpd: SMTP, submission and LMTP sessions. Private to gateway/smtp.
 *
 * The story of a session: session_new greets, session_run takes what the stream has, line by line,
 * and hands each command to its function (command.c); replies of one burst leave together. A
 * command that needs an answer from another process calls session_wait and returns; its callback
 * replies and calls session_resume. While a session waits it reads nothing.
 *
 * MAIL begins a transaction, RCPT adds what it resolves to (transaction.c) after the restrictions
 * have passed it (session_evaluate.c), DATA opens a message (message.c), whose end commits it to
 * the queue.
 */
#ifndef DIRIGO_SMTP_SMTPD_H
#define DIRIGO_SMTP_SMTPD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <sys/uio.h>

#include "conf/networks.h"
#include "directory/client.h"
#include "directory/resolve.h"
#include "gateway/base/buf.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/base/uuid.h"
#include "gateway/event/stream.h"
#include "gateway/filter/client.h"
#include "gateway/proto/smtp_command.h"
#include "gateway/proto/smtp_data.h"
#include "gateway/queue/client.h"
#include "gateway/resolver/client.h"
#include "gateway/service/service.h"
#include "gateway/smtp/evaluate.h"
#include "gateway/smtp/limits.h"
#include "sasl/client.h"

/* What tells the services apart. */
struct flavour {
    const char *protocol;
    bool lmtp;       /* RFC 2033: LHLO, and a reply for each recipient */
    bool submission; /* RFC 6409: nothing without a login */
    bool tls_first;  /* TLS from the first byte */
};

/* Service extensions (RFC 5321 section 2.2), bits. */
enum extension {
    EXT_XCLIENT = 1 << 24,
    EXT_PIPELINING = 1 << 0,
    EXT_SIZE = 1 << 1,
    EXT_STARTTLS = 1 << 2,
    EXT_AUTH = 1 << 3,
    EXT_ETRN = 1 << 4,
    EXT_ENHANCEDSTATUSCODES = 1 << 5,
    EXT_8BITMIME = 1 << 6,
    EXT_DSN = 1 << 7,
    EXT_CHUNKING = 1 << 8,
    EXT_SMTPUTF8 = 1 << 9,
    EXT_FUTURERELEASE = 1 << 10,
    EXT_DELIVERBY = 1 << 11,
    EXT_MT_PRIORITY = 1 << 12,
    EXT_LIMITS = 1 << 13
};

/* The process. */
struct smtpd {
    struct service *service;
    struct loop *loop;
    const struct conf *conf;
    struct tls_context *tls;
    struct auth_client *auth;
    struct queue_client *queue;
    struct filter_client *filter; /* NULL: there is nothing to check or to sign */
    struct haproxy_gate *gate;
    struct networks xclients; /* who may use XCLIENT */
    struct evaluator evaluator;
    unsigned withheld; /* enum extension, by smtpd_discard_ehlo_keywords */
    TAILQ_HEAD(session_list, session) sessions;
    char *line; /* the command at hand: one at a time in the whole process */
    size_t line_size;
    struct buf out; /* replies of the burst at hand; empty between bursts */
    struct timer *report;
    uint64_t connections, accepted, refused_recipients, failed_logins;
};

enum session_mode {
    MODE_COMMAND, /* a command line comes next */
    MODE_AUTH,    /* an answer to a challenge */
    MODE_DATA,    /* the message */
    MODE_CHUNK    /* octets of a BDAT */
};

struct transaction;
struct expansion;
struct message;
struct commit;

/* A BDAT under way; with zeros there is none. Without a transaction its octets are dropped. */
struct chunk {
    bool active;
    bool last;
    uint64_t left; /* octets to come */
};

/* What RCPT asked for. */
struct rcpt_options {
    unsigned notify;   /* QUEUE_NOTIFY_*; 0: nothing */
    const char *orcpt; /* or NULL */
};

struct early_effects;

struct session {
    TAILQ_ENTRY(session) link;
    struct smtpd *d;
    const struct flavour *flavour;
    struct stream *stream;
    struct smtp_lines lines;
    struct netaddr peer;
    struct netaddr counted;    /* as which its connection counts; family 0: it does not */
    struct timer *greet_timer; /* while the client has to wait for its greeting */
    struct timer *pause_timer; /* while it has to wait because of its errors */
    enum session_mode mode;
    bool waiting;         /* for another process */
    bool running;         /* session_run is on the stack */
    bool closing;         /* ends when its replies are sent */
    bool ending;          /* only its last reply has to leave */
    bool revoked;         /* the login is worth nothing any more */
    bool no_timeout;      /* the stream's time-out is off while we are the slow ones */
    bool esmtp;           /* EHLO or LHLO */
    bool trusted;         /* in mynetworks */
    bool may_name_client; /* by XCLIENT; what the connection's own address allows */
    bool named;           /* by XCLIENT: the certificate is not the client's */
    bool early_input;     /* sent more than it was allowed to before a reply */
    bool early_talker;    /* spoke before the greeting */
    bool tls;
    struct tls_info tls_info;                   /* with tls */
    struct restriction_certificate certificate; /* with tls_info.peer; the stream's */
    bool greeted;
    bool last_word; /* AUTH: SCRAM's last challenge is out; an empty answer ends the login */
    unsigned errors, junk, messages;
    struct chunk chunk;
    char *helo;
    char *etrn; /* the domain, while ETRN is evaluated */
    struct restriction_client client_name;
    struct early_effects *client_effects, *helo_effects; /* effects_keep; NULL: none */
    struct auth *auth; /* the exchange; after a login, the owner of its identity */
    const struct auth_identity *login;
    char login_key[UUID_STRLEN]; /* whose login it is, whatever name it gave */
    struct transaction *tx;
    struct evaluation *eval;
    struct directory_query *want; /* what a recipient needs is being asked for, then: */
    unsigned want_stages;
    void (*evaluated)(struct session *s, struct restriction_result *r); /* its outcome's */
    struct smtp_path_args rcpt_args;  /* of the RCPT at hand; strings in eval's scratch */
    struct rcpt_options rcpt_options; /* the same */
    struct commit *commit;            /* under way; it outlives the session */
    char id[ID_STRLEN];
};

/* ---- session.c ---- */

/* Takes fd over. */
void session_new(struct smtpd *d, const struct flavour *flavour, int fd,
                 const struct netaddr *peer);
/* Drops the connection at once. */
void session_free(struct session *s);
/* Says the greeting, or why there is none; session_run sends it. */
void session_greet(struct session *s);
/* Goes on with what the client has sent; a session may be gone afterwards. */
void session_run(struct session *s);
/* The command goes on in a callback; patient: the client may be silent as long as it takes. */
void session_wait(struct session *s, bool patient);
/* The end of that: call it last, for the session may be gone afterwards. */
void session_resume(struct session *s);
/* Ends the session: who has logged in may not do so any more. */
void session_revoke(struct session *s);
/* Draining: ends the session where nothing is under way. */
void session_drain(struct session *s);

/* A reply; status is "2.1.0", or NULL for none. Counts a code of 5xx as an error. */
void session_reply(struct session *s, unsigned code, const char *status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A line of a reply with more lines to come. */
void session_reply_more(struct session *s, unsigned code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Replies and ends the session. */
void session_bye(struct session *s, unsigned code, const char *status, const char *text);
/* Sends what was replied so far. */
void session_flush(struct session *s);
/* What a client is after its greeting is forgotten: HELO, transaction, login. */
void session_forget(struct session *s);
/* "[192.0.2.1]" as a domain literal in dst[NETADDR_STRLEN + 8]; returns dst. */
const char *session_peer_literal(const struct session *s, char *dst);

/* ---- pregreet.c ---- */

/* Whether the client has to wait for its greeting; it is said when the time is over. */
bool pregreet_begin(struct session *s);
/* Input came in that time. The session may be gone afterwards. */
void pregreet_input(struct session *s);

/* ---- command.c, cmd_*.c ---- */

/* A command line; it is in d->line. more: input is waiting behind it. */
void command_run(struct session *s, size_t len, bool more);
/* An answer to an AUTH challenge; it is in d->line. */
void auth_answer(struct session *s, size_t len);
/* Ends the exchange without a login and without a reply. */
void auth_abort(struct session *s);

/* Counts an event of the client and of who has logged in; false where a limit is reached. */
bool within_limits(struct session *s, enum limit_event event);
/* The reply where a limit for the client or the login is reached. */
void over_limit(struct session *s, const char *what);
/* A client's name for itself, as it goes into Received fields and the log, allocated: what could
 * end a comment or a field there becomes '?'; whether such a name is welcome is a restriction's
 * business. NULL: none, or too long. */
char *helo_name(const char *arg, size_t len);
#define COMMAND_FUNCTION(name) void command_##name(struct session *s, const char *arg, size_t len)
COMMAND_FUNCTION(helo);
COMMAND_FUNCTION(ehlo);
COMMAND_FUNCTION(mail);
COMMAND_FUNCTION(rcpt);
COMMAND_FUNCTION(data);
COMMAND_FUNCTION(bdat);
COMMAND_FUNCTION(expn);
COMMAND_FUNCTION(help);
COMMAND_FUNCTION(etrn);
COMMAND_FUNCTION(xclient);
COMMAND_FUNCTION(starttls);
COMMAND_FUNCTION(auth);
COMMAND_FUNCTION(vrfy);
/* "AUTH PLAIN LOGIN" and its like may be offered here and now; "" where not. */
const char *command_mechanisms(const struct session *s);
/* The restrictions at DATA have been asked: replies and ends the transaction, or begins the
 * message.
 */
void data_decided(struct session *s, struct restriction_result *r);
/* The reply for a malformed address or argument. */
void command_syntax_error(struct session *s, enum smtp_syntax syntax, const char *address_status,
                          const char *error);

/* ---- extensions.c, params.c ---- */

/* Reads smtpd_discard_ehlo_keywords. */
void extensions_init(struct smtpd *d);
bool extension_offered(const struct session *s, enum extension e);
/* The reply to EHLO. */
void extensions_say(struct session *s);
/* Take the parameters of MAIL and RCPT; false after a reply. Strings stay where the parser put
 * them. */
bool params_mail(struct session *s, struct transaction *tx, const struct smtp_path_args *args);
bool params_rcpt(struct session *s, struct rcpt_options *o, const struct smtp_path_args *args);

/* ---- session_evaluate.c ---- */

/* The session's evaluation, made ready; whatever the one before left in scratch is gone. */
struct evaluation *evaluate_begin(struct session *s);
/*
 * Evaluates the lists of the stages (bits 1 << STAGE_*) that govern recipient, or that hold where
 * there is none yet (NULL). done is called once, with the snapshot taken: at once, or after a wait.
 */
void evaluate(struct session *s, unsigned stages, const struct restriction_address *recipient,
              void (*done)(struct session *s, struct restriction_result *r));
/* Evaluates the lists that the transaction's recipients have at DATA. */
void evaluate_data(struct session *s,
                   void (*done)(struct session *s, struct restriction_result *r));
/* The same at the end of data, with the message's size. False: nobody has such a list, and nothing
 * is called. */
bool evaluate_end_of_data(struct session *s, uint64_t size,
                          void (*done)(struct session *s, struct restriction_result *r));

/* ---- transaction.c ---- */

#define DATA_LISTS_MAX STAGE_COUNT /* what one run can hold */

/* An accepted RCPT. */
struct recipient {
    STAILQ_ENTRY(recipient) link;
    const char *address; /* as given, with $myorigin where it had no domain */
    struct rcpt_options options;
};

/* Where the message goes; each once. */
struct target {
    RB_ENTRY(target) node;
    STAILQ_ENTRY(target) link;
    struct queue_rcpt rcpt;
};

/*
 * Recipients whose copy is one message in the queue. Most transactions have one part; lists with
 * another return path, and those whose moderators decide, have parts of their own.
 */
struct part {
    STAILQ_ENTRY(part) link;
    const char *return_path; /* NULL: the sender's */
    const char *moderated;   /* the DN of the list whose moderators decide; NULL: nobody's */
    const char *address;     /* the first recipient of it */
    bool forwarded;          /* to addresses elsewhere: its sender is rewritten (SRS) */
    STAILQ_HEAD(, target) targets;
    RB_HEAD(target_tree, target) tree;
    size_t target_count;
};

struct transaction {
    struct arena *arena;
    struct restriction_address sender;
    struct smtp_address sender_given;
    uint64_t declared_size;
    bool body_8bit;
    struct queue_options options;
    int64_t begun; /* clock_now_ms */
    STAILQ_HEAD(, recipient) recipients;
    size_t recipient_count;
    STAILQ_HEAD(, part) parts;
    struct part *committing;     /* in their order, but the first is the last */
    const char *traced;          /* the Return-Path that the file begins with */
    size_t target_count;         /* of all of them */
    const char *forward_sender;  /* of what is forwarded; NULL: not told, or the sender itself */
    uint32_t reverse_id;         /* of the question for the way back from an SRS address */
    const char *reverse_address; /* which is this */
    uint64_t max_size;           /* of the message, as lists among the recipients want it; 0: any */
    struct expansion *expansion; /* of large groups among the recipients, or NULL */
    struct restriction_step data_lists[DATA_LISTS_MAX]; /* without doubles */
    size_t data_list_count;
    bool discard;                                 /* an access entry says so */
    const char *redirect;                         /* the same; NULL: no */
    const char *prepend[RESTRICTION_EFFECTS_MAX]; /* header fields, without doubles */
    size_t prepend_count;
    const char *hold;                         /* why it is held; NULL: it is not */
    const char *filter;                       /* "smtp:HOP": its next hop; NULL: as usual */
    const char *bcc[RESTRICTION_EFFECTS_MAX]; /* who gets it, too */
    size_t bcc_count;
    struct message *message;
};

/* An empty one; transaction_end frees it. */
struct transaction *transaction_new(void);
/* Ends the transaction, with its message and its evaluation. Nothing where there is none. */
void transaction_end(struct session *s);
/* Adds a recipient and what it resolved to; -1 where the transaction would get too large. */
int transaction_add(struct session *s, const char *address, const struct rcpt_options *options,
                    const struct resolution *res, const struct list_outcome *list);
/* The envelope sender of a part (NULL: of the transaction). */
const char *transaction_sender(const struct transaction *tx, const struct part *part);
/* Adds one place to a part (NULL: the one without wishes), or a large group to be expanded
 * (expand.c); -1 where there are too many. */
int transaction_target(struct session *s, struct part *part, const struct delivery *d,
                       const char *original, const struct rcpt_options *options);

/* Gives what is forwarded this sender ("": its own). */
void transaction_forward(struct transaction *tx, const char *sender);
/* Remembers a list for DATA (the reference is taken over); -1 where there are too many. */
int transaction_add_data_list(struct transaction *tx, struct restriction_list *list,
                              const char *dn);

/* ---- effects.c ---- */

/* Keeps what restrictions want done with the message. */
void transaction_take_effects(struct transaction *tx, const struct restriction_run *run);
/*
 * Where smtpd_delay_reject is off, what the client and helo stages want done with messages is kept
 * with the session, for every transaction: moved out of the run into *effects, in the place of what
 * is there. NULL: nothing.
 */
void effects_keep(struct early_effects **effects, struct restriction_run *run);
void effects_free(struct early_effects **effects);
void transaction_take_early(struct transaction *tx, const struct early_effects *effects);
/* Makes the targets what FILTER, REDIRECT and BCC say; -1 where an address leads nowhere now. */
int transaction_apply_effects(struct session *s);

/* ---- expand.c: large groups ---- */

enum expand_result {
    EXPAND_DONE,
    EXPAND_UNKNOWN,  /* the directory cannot tell now */
    EXPAND_NOBODY,   /* the message would have no recipient */
    EXPAND_TOO_MANY, /* more than qmgr_message_recipient_limit */
};
typedef void expand_done(struct session *s, enum expand_result result);

/* Keeps a DELIVERY_LIST, once, for expand. -1 where memory is full. */
int expand_add(struct session *s, struct part *part, const struct delivery *d, const char *original,
               const struct rcpt_options *options);
/*
 * Turns what was kept into targets of the transaction; the session waits, and done is called from
 * the loop. False: nothing was kept.
 */
bool expand(struct session *s, expand_done *done);
void expand_free(struct expansion **x);

/* ---- message.c ---- */

/* Asks the queue for a file; replies 354 (to DATA), or a temporary failure. */
void message_begin(struct session *s);
/* Bytes of the DATA phase; *used of them were taken. Replies when the end has come. */
void message_feed(struct session *s, const void *data, size_t len, size_t *used);
/* The same for octets of a BDAT, and its end. */
void message_feed_chunk(struct session *s, const void *data, size_t len, size_t *used);
void message_chunk_end(struct session *s);
/* Drops a message that was not committed, with its file. *m may be NULL. */
void message_free(struct message **m);
/* The session ends: a commit that is under way goes on without it. */
void message_orphan(struct session *s);

/* ---- filter.c ---- */

/* What dirigo-filter has to do with the session's messages, FILTER_*; 0: nothing. */
unsigned filter_flags(const struct session *s);
/* Whether the address is one of srs_domain, which leads back to somebody else. */
bool reverse_wanted(const struct session *s, const char *address);
/* RCPT to such an address: replies, at once or later. */
void reverse_recipient(struct session *s, const char *address);
/* Fills in what the session and its transaction say; strings live as long as they. */
void filter_describe(const struct session *s, struct filter_request *r);

/* ---- submit.c ---- */

/* Why a message is to be refused when its end has come; code 0: it is not. */
struct refusal {
    unsigned code;
    const char *status;
    char text[256];
};

/* Looks at the whole header of a message that a login submits, in two pieces with what follows it:
 * adds what it lacks of its sender, or says why it is refused. */
void submit_header(struct session *s, const struct iovec pieces[2], struct buf *add,
                   struct refusal *refusal);

/* ---- trace.c ---- */

/* Return-Path and Received (RFC 5321 section 4.4); *return_path_len gets the first one's length. */
void trace_headers(const struct session *s, const char *id, struct buf *out,
                   uint32_t *return_path_len);
/* The Date, From and Message-ID fields that a message lacks (RFC 6409 section 8). */
void trace_missing_fields(const struct session *s, const char *id, unsigned seen, struct buf *out);

#endif

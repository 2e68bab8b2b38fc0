/*
 * One exchange, shared by the three files that are about it: exchange.c has its life and its ends,
 * exchange_decide.c what it comes to, exchange_serve.c the messages. Private to the process.
 */
#ifndef DIRIGO_SASL_EXCHANGE_H
#define DIRIGO_SASL_EXCHANGE_H

#include <sys/tree.h>

#include "gateway/base/password_end.h"
#include "gateway/ipc/msg.h"
#include "sasl/auth.h"
#include "sasl/client.h" /* enum auth_result */
#include "sasl/oauth.h"

#define LOG_NAME_MAX 256

enum exchange_state {
    EXCHANGE_CLIENT, /* the client's answer is awaited */
    EXCHANGE_BIND,   /* dirigo-directory verifies the password */
    EXCHANGE_TOKEN,  /* an access token is verified */
    EXCHANGE_DELAY   /* decided; the answer waits */
};

struct exchange {
    RB_ENTRY(exchange) node;
    struct auth_process *process;
    struct ipc_peer *peer;
    struct exchange_tree *tree; /* of the peer */
    uint32_t id;
    uint32_t reply_id; /* of the request that waits for its answer; 0: none */
    uint32_t bind_id;
    struct oauth_check *check; /* EXCHANGE_TOKEN */
    char *error;               /* why the token is not good, for the client; NULL: nothing to say */
    bool told;                 /* the client has heard it; its answer ends the exchange */
    enum exchange_state state;
    struct timer *timer;
    int64_t arrived; /* when the client's last bytes came */
    int64_t deadline;
    struct conversation *conversation;
    char *service, *session, *mechanism;
    struct netaddr client;
    bool trusted; /* the client is in mynetworks */
    struct password_end password_end;
    /* Where each name has to be asked for: it was, and the other one to act for was. */
    bool wanted, wanted_other;
    struct directory_query *want;
    char *token_user;       /* whose the token is, by itself */
    char *claimed;          /* the name or entry that this is an attempt at; NULL: not known yet */
    struct uuid keys_owner; /* whose keys, or whose certificate, is the proof */
    bool known;             /* login was found otherwise: by certificate or token */
    struct login login;
    struct login actor; /* who acts for login, where that is another entry */
    const char *by;     /* for the log: what made the entry known, or the acting right; or NULL */
    enum auth_result result; /* EXCHANGE_DELAY */
};

RB_HEAD(exchange_tree, exchange);
RB_PROTOTYPE(exchange_tree, exchange, node, exchange_cmp)

/* ---- exchange.c ---- */

/* Ends what it waits for. */
void exchange_free(struct exchange *x);
struct msg *result_msg(enum auth_result result, const void *challenge, size_t len);
/* Answers the request that waits. */
void exchange_reply(struct exchange *x, struct msg *m);
void exchange_log(struct exchange *x, const char *result, const char *why);
/* Answers and ends, at once or when delay (ms) has passed since the client's last bytes. */
void exchange_end(struct exchange *x, enum auth_result result);
void exchange_end_at(struct exchange *x, enum auth_result result, int64_t delay);
/* The time at which a failure, which is counted here, may be told. */
int64_t exchange_fail(struct exchange *x, const char *why);
void exchange_refuse_as(struct exchange *x, enum auth_result result, const char *why);
void exchange_refuse(struct exchange *x, const char *why);
void exchange_undecided(struct exchange *x, const char *why);
/* The client has proved who it is: for whom may it act? */
void exchange_authorise(struct exchange *x);
/* Of the timer. */
void exchange_timer(void *arg);

/* ---- exchange_decide.c ---- */

/*
 * Counts the exchange as an attempt at an entry, or at a name that nobody has: false where too many
 * are under way. A refused one is, until its delay is over, so that the delay bounds guessing by
 * many connections, too.
 */
bool exchange_claim(struct exchange *x, const struct uuid *owner, const char *name);
/* What a step of the conversation came to. */
void exchange_go_on(struct exchange *x, enum conversation_result result, const char *out,
                    size_t len);
extern const struct conversation_ops exchange_conversation_ops;

#endif

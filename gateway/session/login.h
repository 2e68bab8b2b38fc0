/*
 * A connection until login, shared by the front ends of IMAP and POP3. What differs between them is
 * data: struct login_protocol.
 *
 * The story of a connection: it is accepted and counted, TLS starts at once (imaps, pop3s) or the
 * greeting is said; the protocol takes commands from the input one at a time (next) and calls what
 * they ask for: login_start_tls, login_sasl, login_password. While one of these is under way no
 * command is taken; the rest of the input waits. A login that succeeded gives the connection to
 * dirigo-mailbox, which says so to the client; one that failed is said by the protocol (failed),
 * and the client may try again. login_timeout bounds all of it.
 */
#ifndef DIRIGO_SESSION_LOGIN_H
#define DIRIGO_SESSION_LOGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "gateway/base/netaddr.h"
#include "gateway/event/loop.h"
#include "gateway/event/stream.h"
#include "gateway/service/service.h"

struct login;

/* Why a login did not succeed; the connection goes on. */
enum login_failure {
    LOGIN_DENIED,
    LOGIN_TEMPORARY,
    LOGIN_NO_MECHANISM,
    LOGIN_BAD_SYNTAX,
    LOGIN_CANCELLED,
    LOGIN_EXPIRED, /* the directory's password policy: AUTH_EXPIRED and so on */
    LOGIN_LOCKED,
    LOGIN_MUST_CHANGE
};

/* Why the server ends a connection. */
enum login_bye {
    LOGIN_BYE_BUSY, /* instead of the greeting */
    LOGIN_BYE_TIMEOUT,
    LOGIN_BYE_SHUTDOWN,
    LOGIN_BYE_ERRORS /* too many bad commands or failed logins */
};

struct login_protocol {
    const char *name;     /* of the listener, of the SASL service, for dirigo-mailbox: "imap" */
    const char *name_tls; /* of the listener with TLS from the first byte: "imaps" */
    size_t state_size;    /* bytes of login_state, zeroed */
    void (*begin)(struct login *l);
    void (*end)(struct login *l);
    void (*greet)(struct login *l);
    /* Takes one command (or, after a challenge, one answer) from login_stream's input; false where
     * more bytes are needed. */
    bool (*next)(struct login *l);
    void (*challenge)(struct login *l, const char *base64);
    void (*failed)(struct login *l, enum login_failure why);
    /* stream: of a connection that may have no login yet (LOGIN_BYE_BUSY). */
    void (*bye)(struct stream *stream, enum login_bye why);
    /* The tag of the command that logged in. */
    const char *(*tag)(struct login *l);
};

/* ---- for the protocol ---- */

void *login_state(struct login *l);
struct stream *login_stream(struct login *l);
const struct conf *login_conf(const struct login *l);
const char *login_id(const struct login *l);
bool login_is_tls(const struct login *l);
/* The mechanisms that may be used on this connection now, as auth_mechanisms; "" for none. */
const char *login_mechanisms(const struct login *l);
/* Whether one of them is this, ASCII case ignored. */
bool login_offers(const struct login *l, const char *mechanism);
/* Whether an answer to a challenge is awaited, not a command. */
bool login_wants_answer(const struct login *l);
/* The protocol has queued its "go ahead": TLS begins behind it, and everything that the client sent
 * in clear text before is thrown away. */
void login_start_tls(struct login *l);
/* initial: base64 as the client sent it, "=" for an empty one, NULL for none. */
void login_sasl(struct login *l, const char *mechanism, const char *initial);
/* The client's answer to the challenge, base64; "*" gives up; NULL: a line that cannot be one. */
void login_answer(struct login *l, const char *line);
void login_password(struct login *l, const char *user, const char *password);
/* A bad command was answered: ends the connection where there were too many. */
void login_bad_command(struct login *l);
/* Sends what is queued and closes. */
void login_quit(struct login *l);

/* ---- the process ---- */

struct login_process;
struct login_setup {
    struct loop *loop;
    const struct conf *conf;
    const struct login_protocol *protocol;
    struct tls_context *tls; /* taken over */
    const char *run_path;    /* where auth.sock and mailbox-N.sock are */
    unsigned mailbox_count;
    /* A connection begins (false: there are too many in all) and ends, after login too. */
    bool (*session_begin)(void *arg);
    void (*session_end)(void *arg);
    void *arg;
};
struct login_process *login_process_new(const struct login_setup *setup);
void login_process_free(struct login_process **p);
/* A connection; takes fd over. tls: it begins with a handshake. */
void login_process_accept(struct login_process *p, int fd, const struct netaddr *peer, bool tls);
/* Ends connections that wait for a command; the others end after what is under way. */
void login_process_drain(struct login_process *p);

/* The hooks of struct service_def; login_service_open is called with the protocol by its own. */
int login_service_open(struct service *s, const struct login_protocol *protocol);
int login_service_start(struct service *s);
void login_service_accept(struct service *s, const char *protocol, int fd,
                          const struct netaddr *peer);
void login_service_tls_keys(struct service *s, const void *keys, size_t len);
void login_service_drain(struct service *s);
void login_service_stop(struct service *s);

#endif

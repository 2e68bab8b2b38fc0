/*
 * Logging in, as front ends see it: a SASL exchange (RFC 4422) with dirigo-auth.
 *
 * auth_start, then auth_step for every further answer of the client, until done() is called with a
 * result. One exchange at a time per struct auth.
 */
#ifndef DIRIGO_SASL_CLIENT_H
#define DIRIGO_SASL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "gateway/base/buf.h"
#include "gateway/base/netaddr.h"
#include "gateway/base/password_end.h"
#include "gateway/base/uuid.h"
#include "gateway/event/loop.h"
#include "gateway/event/tls.h"
#include "gateway/ipc/channel.h"

enum auth_result {
    AUTH_OK,
    AUTH_CONTINUE,   /* challenge must be sent and the client's answer passed to auth_step */
    AUTH_DENIED,     /* one answer for a wrong password, an unknown user and a disabled one */
    AUTH_TEMPORARY,  /* cannot be decided now */
    AUTH_BAD_MECH,   /* the mechanism is not offered here */
    AUTH_BAD_SYNTAX, /* the client's data is malformed */
    /* Denied by the directory's password policy, which wants the user to know why: */
    AUTH_EXPIRED,    /* the password has expired */
    AUTH_LOCKED,     /* too many wrong passwords */
    AUTH_MUST_CHANGE /* it has to be changed first */
};

/* Who logged in. Strings live until auth_free or the next auth_start. */
struct auth_identity {
    struct uuid owner;
    const char *login;   /* the name to log */
    const char *address; /* primary address, or NULL */
    const char *dn;
    const char *mail_host; /* mailbox elsewhere; NULL: here */
    const void *ticket;    /* for dirigo-mailbox, which opens the mailbox for it */
    size_t ticket_len;
    /* What the user is told beside it. Of the password that was given, whoever is acted for. */
    struct password_end password_end;
};

struct auth_reply {
    enum auth_result result;
    const void
        *challenge; /* raw bytes, not base64; AUTH_CONTINUE and, for SCRAM's last word, AUTH_OK */
    size_t challenge_len;
    const struct auth_identity *identity; /* AUTH_OK */
};

/* The channel to dirigo-auth, one per process. */
struct auth_client;
struct auth_client *auth_client_new(struct loop *loop, const char *socket_path,
                                    const struct conf *conf);
void auth_client_free(struct auth_client **c);

/* What the front end knows of the connection. */
struct auth_session {
    const char *service; /* "smtp", "imap", "pop3": SASL's service name */
    const char *id;      /* session id, for the log */
    struct netaddr peer, local;
    bool tls; /* the connection is protected */
    int tls_bits;
    const char *binding_name; /* channel binding, or NULL */
    const void *binding;
    size_t binding_len;
    const struct tls_peer *certificate; /* the client's, or NULL */
};

/* One login. done is called once for auth_start and once for each auth_step, never from inside
 * them. */
struct auth;
struct auth *auth_new(struct auth_client *c, const struct auth_session *session,
                      void (*done)(const struct auth_reply *reply, void *arg), void *arg);
/* Cancels what is under way. *a may be NULL. */
void auth_free(struct auth **a);
/* initial: the client's first bytes, or NULL where it sent none (an empty one is not NULL). */
void auth_start(struct auth *a, const char *mechanism, const void *initial, size_t initial_len);
void auth_step(struct auth *a, const void *data, size_t len);
/* The client gave up ("*"): dirigo-auth forgets the exchange; done is not called for it. */
void auth_cancel(struct auth *a);
/* User and password as IMAP's LOGIN and POP3's USER/PASS give them: PLAIN inside. Both are copied
 * and wiped. */
void auth_login(struct auth *a, const char *user, const char *password);

/*
 * The mechanisms to offer, space-separated and upper-case, on a connection with or without TLS:
 * without it and without the right to clear text, "" . EXTERNAL is among them where the client
 * gave a certificate (certificate is not NULL) that can be believed. Static or owned by c.
 */
const char *auth_mechanisms(const struct auth_client *c, bool tls,
                            const struct tls_peer *certificate, const struct netaddr *peer);

#endif

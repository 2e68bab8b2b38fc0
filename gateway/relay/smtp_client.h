/*
 * An SMTP session as client (RFC 5321): one connection to one address, any number of messages.
 *
 * The life of one: smtp_client_new connects, reads the greeting, says EHLO (HELO where that is not
 * known) and turns TLS on; ready() says that a message may be sent. smtp_client_send runs one
 * transaction and decides about each recipient of the job; sent() says that it is over. Then the
 * session is idle: another message, smtp_client_quit, or kept for a while. failed() may come at any
 * time, once, and the owner frees the client then: recipients without a decision have none.
 *
 * Callbacks never run from inside smtp_client_* calls; the client may be freed inside a callback.
 */
#ifndef DIRIGO_RELAY_SMTP_CLIENT_H
#define DIRIGO_RELAY_SMTP_CLIENT_H

#include "gateway/event/stream.h"
#include "gateway/relay/job.h"

struct smtp_client;

/* Why a session failed, as relay_rcpt_decide takes it; valid until the client is freed. */
struct smtp_trouble {
    unsigned code;
    const char *enhanced, *words;
    bool tls; /* the TLS handshake failed: without TLS it may go */
};

struct smtp_client_ops {
    void (*ready)(struct smtp_client *c, void *arg);
    void (*sent)(struct smtp_client *c, void *arg);
    void (*failed)(struct smtp_client *c, const struct smtp_trouble *trouble, void *arg);
};

enum smtp_client_tls {
    SMTP_CLIENT_TLS_NONE,
    SMTP_CLIENT_TLS_MAY,    /* where the server offers it */
    SMTP_CLIENT_TLS_ENCRYPT /* or no delivery */
};

/* Outlives its clients. */
struct smtp_client_settings {
    const char *helo_name;
    struct tls_context *tls;
    struct netaddr source; /* of IPv4 connections; family 0: any */
    int64_t connect_timeout, command_timeout, data_done_timeout;
};

/* name: of the host, for TLS and in what is reported; copied. */
struct smtp_client *smtp_client_new(struct loop *loop, const struct smtp_client_settings *settings,
                                    const char *name, const struct netaddr *addr,
                                    enum smtp_client_tls tls, const struct smtp_client_ops *ops,
                                    void *arg);
void smtp_client_set_ops(struct smtp_client *c, const struct smtp_client_ops *ops, void *arg);
/* Sends the job's message to its recipients that have no final decision. 5xx is final, and 4xx is
 * not, but where the server may have taken the message. The job stays the caller's, and stays until
 * sent() or failed(). */
void smtp_client_send(struct smtp_client *c, struct relay_job *job);
/* Whether another message may be sent. */
bool smtp_client_reusable(const struct smtp_client *c);
/* "name[address]:port", valid as long as the client. */
const char *smtp_client_host(const struct smtp_client *c);
/* "TLSv1.3", or "none"; valid as long as the client. */
const char *smtp_client_tls_version(const struct smtp_client *c);
/* Clock time at which the greeting came. */
int64_t smtp_client_since(const struct smtp_client *c);
/* Says QUIT and closes. *c may be NULL. */
void smtp_client_quit(struct smtp_client **c);
/* Closes at once; in the middle of a message the server does not have it. *c may be NULL. */
void smtp_client_free(struct smtp_client **c);

#endif

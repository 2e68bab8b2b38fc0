/*
 * One SASL conversation (RFC 4422) by Cyrus SASL, which no other file of the process sees.
 *
 * Cyrus calls back while it steps, and a callback must not wait: keys are read from the secrets
 * store in place. A password is different, for only the directory server can verify it. So Cyrus'
 * password callback merely takes the password down and says yes; the conversation then ends with
 * CONVERSATION_DONE, and that means "the client has said who it is and has given this password", no
 * more: conversation_password is not NULL then, and whoever runs the conversation has to have it
 * verified before anyone is told that the login succeeded. In the same way whom the client asks to
 * act for (conversation_other) is taken down, to be judged once it has proved who it is.
 */
#ifndef DIRIGO_SASL_CONVERSATION_H
#define DIRIGO_SASL_CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "directory/secrets.h"
#include "gateway/base/netaddr.h"

/* Cyrus SASL in this process; once. NULL after logging why. conf outlives it. */
struct cyrus;
struct cyrus *cyrus_new(const struct conf *conf);
void cyrus_free(struct cyrus **c);

struct conversation_ops {
    /* The stored keys (authPassword) for user, for which Cyrus asks once: 0, or -1 where they
     * cannot be told now. There is always one for the mechanism, made up where need be. */
    int (*keys)(const char *user, struct secrets_list *out, void *arg);
};

struct conversation_setup {
    const char *service; /* "smtp", "imap", "pop3": RFC 5034 has "pop" for SASL */
    const struct netaddr *peer, *local;
    int tls_bits;             /* 0: no TLS */
    const char *binding_name; /* NULL: none */
    const void *binding;
    size_t binding_len;
    const char *external; /* who the client is by other means (EXTERNAL); NULL: not known */
};

enum conversation_result {
    CONVERSATION_DONE,
    CONVERSATION_CONTINUE,
    CONVERSATION_TOKEN, /* conversation_token has to be verified, then conversation_verdict told */
    CONVERSATION_DENIED,
    CONVERSATION_MALFORMED,
    CONVERSATION_NO_MECHANISM,
    CONVERSATION_UNAVAILABLE
};

/* NULL where Cyrus cannot (out of memory). setup is copied; ops and arg outlive it. */
struct conversation;
struct conversation *conversation_new(struct cyrus *cyrus, const struct conversation_setup *setup,
                                      const struct conversation_ops *ops, void *arg);
/* Wipes what was secret. *c may be NULL. */
void conversation_free(struct conversation **c);
/* initial: NULL for none. *out is the challenge, valid until the next call. */
enum conversation_result conversation_start(struct conversation *c, const char *mechanism,
                                            const char *initial, size_t len, const char **out,
                                            size_t *out_len);
enum conversation_result conversation_step(struct conversation *c, const char *data, size_t len,
                                           const char **out, size_t *out_len);
/* The access token of OAUTHBEARER and XOAUTH2, after CONVERSATION_TOKEN. */
const char *conversation_token(const struct conversation *c);
/* Whose it is; or NULL for one that is not good, and the JSON that says why. Goes on with the
 * conversation. */
enum conversation_result conversation_verdict(struct conversation *c, const char *user,
                                              const char *error, const char **out, size_t *out_len);
/* Who the client says it is, as far as is known; NULL before. */
const char *conversation_user(const struct conversation *c);
/* Whom it asks to act for, where that is another name; NULL: for itself. */
const char *conversation_other(const struct conversation *c);
/* The password that has to be verified, or NULL where the conversation itself was the proof. */
const char *conversation_password(const struct conversation *c);

#endif

/*
 * What a client sends in OAUTHBEARER (RFC 7628 section 3.1) and in XOAUTH2, which Google made:
 * fields between bytes of 0x01, one of which holds the token (RFC 6750). No I/O.
 */
#ifndef DIRIGO_SASL_OAUTH_MESSAGE_H
#define DIRIGO_SASL_OAUTH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

/* A longer token is refused. */
#define OAUTH_TOKEN_MAX ((size_t)12 << 10)
#define OAUTH_NAME_MAX  512

struct oauth_message {
    char *token;
    char *user; /* whom the client wants to be; NULL: whose the token is */
};

/* Takes len bytes apart; gs2: OAUTHBEARER's form. 0, and oauth_message_clear ends *out; or -1. */
int oauth_message_parse(const char *data, size_t len, bool gs2, struct oauth_message *out);
/* Wipes the token. */
void oauth_message_clear(struct oauth_message *m);

#endif

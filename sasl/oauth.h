/*
 * Whether an access token is good: a signed JWT by oauth2_jwks_file, any other by asking
 * oauth2_introspection_url (RFC 7662), on threads of its own, since that takes as long as the other
 * side likes.
 */
#ifndef DIRIGO_SASL_OAUTH_H
#define DIRIGO_SASL_OAUTH_H

#include "conf/conf.h"
#include "gateway/event/loop.h"
#include "sasl/jwt.h"

struct oauth;
/* conf outlives it. */
struct oauth *oauth_new(const struct conf *conf, struct loop *loop);
/* Ends what is under way; no answer is told any more. NULL is allowed. */
void oauth_free(struct oauth **o);

struct oauth_check;
/* user: with TOKEN_GOOD, until fn returns; why: a static text, otherwise. */
typedef void oauth_fn(enum token_answer answer, const char *user, const char *why, void *arg);
/* fn is called once, from the loop. */
struct oauth_check *oauth_verify(struct oauth *o, const char *token, oauth_fn *fn, void *arg);
/* fn is not called. *check may be NULL. */
void oauth_cancel(struct oauth_check **check);

/* The JSON for the client whose token is not good (RFC 7628 section 3.2.2), allocated. xoauth2: as
 * Google has it. */
char *oauth_error(const struct conf *conf, enum token_answer answer, bool xoauth2);

#endif

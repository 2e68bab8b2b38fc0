/*
 * Access tokens that are signed JWTs (RFC 7519, RFC 9068), verified with the keys of a JWKS file
 * (RFC 7517); and what such a token, or an answer of RFC 7662, claims. cjose does the cryptography.
 */
#ifndef DIRIGO_SASL_JWT_H
#define DIRIGO_SASL_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

enum token_answer {
    TOKEN_GOOD,
    TOKEN_INVALID, /* forged, expired, another's */
    TOKEN_SCOPE,   /* good, but not for this */
    TOKEN_UNKNOWN  /* cannot be told now */
};

struct jwt_keys;
/* The file is read when it is needed, and again when it has changed; it may still be missing. */
struct jwt_keys *jwt_keys_new(const char *path);
void jwt_keys_free(struct jwt_keys **keys);

/* Whether a token has the form of a signed JWT: three parts. */
bool jwt_looks_like_one(const char *token);
/*
 * Verifies signature and claims at the wall time now (seconds). Good: *user is an allocated text,
 * the claim oauth2_username_attribute. *why: a static text for the log, otherwise.
 */
enum token_answer jwt_verify(struct jwt_keys *keys, const struct conf *conf, const char *token,
                             int64_t now, char **user, const char **why);
/* The same for the JSON of an answer to introspection, which says itself whether it is active. */
enum token_answer jwt_judge_introspection(const struct conf *conf, const char *json, size_t len,
                                          int64_t now, char **user, const char **why);

#endif

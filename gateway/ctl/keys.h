/* Values of authPassword and userPassword, made from a password. */
#ifndef DIRIGO_CTL_KEYS_H
#define DIRIGO_CTL_KEYS_H

#include "gateway/base/buf.h"

struct key_scheme;

/* By its name ("scram-sha-256", "ssha", "crypt", "argon2"; case ignored), or NULL. */
const struct key_scheme *key_scheme(const char *name, size_t len);
/* "authPassword" or "userPassword". */
const char *key_attribute(const struct key_scheme *scheme);
/* Replaces out's content with a new value, of a salt of its own. 0, or -1 where a library fails. */
int key_make(const struct key_scheme *scheme, const char *password, unsigned iterations,
             struct buf *out);
/* The names, for a message. */
#define KEY_SCHEMES                                                                                \
    "sha256 (for app passwords), scram-sha-1, scram-sha-256, scram-sha-512, ssha, crypt or argon2"

#endif

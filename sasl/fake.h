/*
 * Made-up SCRAM keys for names that have none, so that an unknown user looks and costs like a known
 * one: the same name gets the same salt as long as the process lives, and no password fits.
 */
#ifndef DIRIGO_SASL_FAKE_H
#define DIRIGO_SASL_FAKE_H

#include <stddef.h>
#include <stdint.h>

#define FAKE_SECRET_LEN 32

/*
 * For CRAM-MD5 a password; else the value of authPassword (RFC 5803) for user under mechanism
 * ("SCRAM-SHA-256"; a "-PLUS" behind it is left out), or NULL for one that has no stored keys. The
 * caller frees it.
 */
char *fake_key(const uint8_t secret[FAKE_SECRET_LEN], const char *mechanism, unsigned iterations,
               const char *user);

#endif

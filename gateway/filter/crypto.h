/*
 * The cryptography of DKIM and ARC: SHA-256, and signatures by RSA (RFC 8301) and Ed25519 (RFC
 * 8463). The one place of the filter that knows the library.
 */
#ifndef DIRIGO_FILTER_CRYPTO_H
#define DIRIGO_FILTER_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"

#define DIGEST_LEN 32

struct digest;
struct digest *digest_new(void);
/* *d may be NULL. */
void digest_free(struct digest **d);
void digest_update(struct digest *d, const void *data, size_t len);
/* The hash of what was given; only digest_free may follow. */
void digest_final(struct digest *d, uint8_t out[DIGEST_LEN]);
void digest_once(const void *data, size_t len, uint8_t out[DIGEST_LEN]);

enum key_type {
    KEY_RSA,
    KEY_ED25519
};
/* "rsa", "ed25519": the k= tag of a key record, and the first half of the a= tag. */
const char *key_type_name(enum key_type type);

/* A key as the DNS has it: SubjectPublicKeyInfo or RSAPublicKey for RSA, the 32 bytes alone for
 * Ed25519. NULL where data is no such key. */
struct public_key;
struct public_key *public_key_new(enum key_type type, const void *data, size_t len);
void public_key_free(struct public_key **key);
/* The size of an RSA modulus; 256 for Ed25519. */
unsigned public_key_bits(const struct public_key *key);
/* Whether sig is this key's signature of the hash. */
bool public_key_verify(const struct public_key *key, const uint8_t hash[DIGEST_LEN],
                       const void *sig, size_t len);

/* Reads a PEM file's content (PKCS#8, or PKCS#1 for RSA, unencrypted). NULL with a text in *why. */
struct private_key;
struct private_key *private_key_new(const void *pem, size_t len, const char **why);
void private_key_free(struct private_key **key);
enum key_type private_key_type(const struct private_key *key);
unsigned private_key_bits(const struct private_key *key);
/* Appends the signature of the hash; 0 or -1. */
int private_key_sign(const struct private_key *key, const uint8_t hash[DIGEST_LEN],
                     struct buf *out);
/* Appends the public half in the form that public_key_new reads; 0 or -1. */
int private_key_public(const struct private_key *key, struct buf *out);

#endif

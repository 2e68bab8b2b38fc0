/* What stored passwords are made with: hashes, keyed hashes and PBKDF2. Only OpenSSL is used. */
#ifndef DIRIGO_EVENT_KDF_H
#define DIRIGO_EVENT_KDF_H

#include <stddef.h>
#include <stdint.h>

enum kdf_hash {
    KDF_SHA1,
    KDF_SHA256,
    KDF_SHA512
};
/* Bytes of the longest hash. */
#define KDF_LEN_MAX 64

/* The length of a hash. */
size_t kdf_len(enum kdf_hash hash);
/* Each writes kdf_len bytes and returns 0, or -1 where OpenSSL cannot. */
int kdf_digest(enum kdf_hash hash, const void *data, size_t len, uint8_t *out);
int kdf_hmac(enum kdf_hash hash, const void *key, size_t key_len, const void *data, size_t len,
             uint8_t *out);
/* PBKDF2 (RFC 8018) with HMAC: the Hi of RFC 5802. */
int kdf_pbkdf2(enum kdf_hash hash, const char *password, const void *salt, size_t salt_len,
               unsigned iterations, uint8_t *out);

#endif

/* HMAC-SHA-256 (RFC 2104): a keyed hash, for names that outsiders may choose and for tickets. */
#ifndef DIRIGO_BASE_HMAC_H
#define DIRIGO_BASE_HMAC_H

#include <stddef.h>
#include <stdint.h>

#define HMAC_LEN 32

/* The plain hash. */
void hash_sha256(const void *data, size_t len, uint8_t out[HMAC_LEN]);

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[HMAC_LEN]);

#endif

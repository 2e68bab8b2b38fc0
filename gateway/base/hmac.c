#include "gateway/base/hmac.h"

#include <sha2.h>
#include <string.h>

void hash_sha256(const void *data, size_t len, uint8_t out[HMAC_LEN])
{
    SHA2_CTX ctx;
    SHA256Init(&ctx);
    SHA256Update(&ctx, data, len);
    SHA256Final(out, &ctx);
}

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[HMAC_LEN])
{
    uint8_t pad[SHA256_BLOCK_LENGTH] = {0}, inner[SHA256_DIGEST_LENGTH];
    SHA2_CTX ctx;

    if (key_len > sizeof(pad)) {
        SHA256Init(&ctx);
        SHA256Update(&ctx, key, key_len);
        SHA256Final(pad, &ctx);
    } else if (key_len > 0) {
        memcpy(pad, key, key_len);
    }
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36;
    SHA256Init(&ctx);
    SHA256Update(&ctx, pad, sizeof(pad));
    SHA256Update(&ctx, data, len);
    SHA256Final(inner, &ctx);
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36 ^ 0x5c;
    SHA256Init(&ctx);
    SHA256Update(&ctx, pad, sizeof(pad));
    SHA256Update(&ctx, inner, sizeof(inner));
    SHA256Final(out, &ctx);
    explicit_bzero(pad, sizeof(pad));
    explicit_bzero(inner, sizeof(inner));
    explicit_bzero(&ctx, sizeof(ctx));
}

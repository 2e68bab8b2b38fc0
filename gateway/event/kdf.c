#include "gateway/event/kdf.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static const EVP_MD *kdf_md(enum kdf_hash hash)
{
    switch (hash) {
    case KDF_SHA1:
        return EVP_sha1();
    case KDF_SHA256:
        return EVP_sha256();
    case KDF_SHA512:
        return EVP_sha512();
    }
    return NULL;
}

size_t kdf_len(enum kdf_hash hash)
{
    return (size_t)EVP_MD_get_size(kdf_md(hash));
}

int kdf_digest(enum kdf_hash hash, const void *data, size_t len, uint8_t *out)
{
    return EVP_Digest(data, len, out, NULL, kdf_md(hash), NULL) == 1 ? 0 : -1;
}

int kdf_hmac(enum kdf_hash hash, const void *key, size_t key_len, const void *data, size_t len,
             uint8_t *out)
{
    return HMAC(kdf_md(hash), key, (int)key_len, data, len, out, NULL) != NULL ? 0 : -1;
}

int kdf_pbkdf2(enum kdf_hash hash, const char *password, const void *salt, size_t salt_len,
               unsigned iterations, uint8_t *out)
{
    return PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, (int)salt_len, (int)iterations,
                             kdf_md(hash), (int)kdf_len(hash), out) == 1
               ? 0
               : -1;
}

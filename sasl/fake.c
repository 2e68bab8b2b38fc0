#include "sasl/fake.h"

#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/hmac.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

/* As long as the salts that `dirigo passwd` and the sample directory have. */
#define FAKE_SALT_LEN 12

static const struct {
    const char *name;
    size_t key_len;
} mechanisms[] = {
    {"SCRAM-SHA-1", 20},
    {"SCRAM-SHA-256", 32},
    {"SCRAM-SHA-512", 64},
};

/* len (at most two hashes) bytes that depend on label and user alone. */
static void fake_bytes(const uint8_t secret[FAKE_SECRET_LEN], const char *label, const char *user,
                       uint8_t *out, size_t len)
{
    uint8_t hash[2 * HMAC_LEN];
    char *text = mem_printf("%s:%s", label, user);
    hmac_sha256(secret, FAKE_SECRET_LEN, text, strlen(text), hash);
    hmac_sha256(secret, FAKE_SECRET_LEN, hash, HMAC_LEN, hash + HMAC_LEN);
    memcpy(out, hash, len);
    mem_wipe_free_str(text);
}

static char *fake_password(const uint8_t secret[FAKE_SECRET_LEN], const char *user)
{
    uint8_t bytes[HMAC_LEN];
    struct buf out = {0};
    fake_bytes(secret, "password", user, bytes, sizeof(bytes));
    (void)str_base64_encode(&out, bytes, sizeof(bytes));
    return buf_steal_str(&out);
}

char *fake_key(const uint8_t secret[FAKE_SECRET_LEN], const char *mechanism, unsigned iterations,
               const char *user)
{
    size_t len = strlen(mechanism);
    if (str_iends(mechanism, "-PLUS"))
        len -= strlen("-PLUS");
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(*mechanisms); i++) {
        const char *name = mechanisms[i].name;
        size_t key_len = mechanisms[i].key_len;
        uint8_t salt[FAKE_SALT_LEN], stored[2 * HMAC_LEN], server[2 * HMAC_LEN];
        struct buf out = {0};

        if (!str_is(mechanism, len, name))
            continue;
        fake_bytes(secret, "salt", user, salt, sizeof(salt));
        fake_bytes(secret, "stored", user, stored, key_len);
        fake_bytes(secret, "server", user, server, key_len);
        (void)buf_printf(&out, "%s$%u:", name, iterations);
        (void)str_base64_encode(&out, salt, sizeof(salt));
        (void)buf_append_byte(&out, '$');
        (void)str_base64_encode(&out, stored, key_len);
        (void)buf_append_byte(&out, ':');
        (void)str_base64_encode(&out, server, key_len);
        return buf_steal_str(&out);
    }
    if (str_ieq(mechanism, "CRAM-MD5"))
        return fake_password(secret, user);
    return NULL;
}

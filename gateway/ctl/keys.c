#include "gateway/ctl/keys.h"

#include <argon2.h>
#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/event/kdf.h"

/* As long as the salts of made-up keys, which must not stand out (sasl/fake.c). */
#define SCRAM_SALT_LEN 12
#define SSHA_SALT_LEN  8
/* Of Argon2id, as RFC 9106 section 4 recommends where memory is scarce. */
#define ARGON2_SALT_LEN 16
#define ARGON2_HASH_LEN 32
#define ARGON2_PASSES   3
#define ARGON2_KIB      65536
#define ARGON2_LANES    4

struct key_scheme {
    const char *name;      /* of the command line */
    const char *attribute; /* it is a value of */
    const char *prefix;    /* of the value */
    enum kdf_hash hash;
    int (*make)(const struct key_scheme *s, const char *password, unsigned iterations,
                struct buf *out);
};

/* RFC 5803: ITERATIONS:SALT$StoredKey:ServerKey, as RFC 5802 section 3 derives them. */
static int make_scram(const struct key_scheme *s, const char *password, unsigned iterations,
                      struct buf *out)
{
    uint8_t salt[SCRAM_SALT_LEN], salted[KDF_LEN_MAX], client[KDF_LEN_MAX], stored[KDF_LEN_MAX];
    uint8_t server[KDF_LEN_MAX];
    size_t len = kdf_len(s->hash);
    arc4random_buf(salt, sizeof(salt));
    int rc = kdf_pbkdf2(s->hash, password, salt, sizeof(salt), iterations, salted);
    if (rc == 0)
        rc = kdf_hmac(s->hash, salted, len, "Client Key", strlen("Client Key"), client);
    if (rc == 0)
        rc = kdf_digest(s->hash, client, len, stored);
    if (rc == 0)
        rc = kdf_hmac(s->hash, salted, len, "Server Key", strlen("Server Key"), server);
    if (rc == 0) {
        (void)buf_printf(out, "%s$%u:", s->prefix, iterations);
        (void)str_base64_encode(out, salt, sizeof(salt));
        (void)buf_append_byte(out, '$');
        (void)str_base64_encode(out, stored, len);
        (void)buf_append_byte(out, ':');
        (void)str_base64_encode(out, server, len);
    }
    explicit_bzero(salted, sizeof(salted));
    explicit_bzero(client, sizeof(client));
    explicit_bzero(stored, sizeof(stored));
    explicit_bzero(server, sizeof(server));
    return rc;
}

/* SHA-1 of password and salt, and the salt behind it. */
static int make_ssha(const struct key_scheme *s, const char *password, unsigned iterations,
                     struct buf *out)
{
    uint8_t value[KDF_LEN_MAX + SSHA_SALT_LEN], *salt = value + kdf_len(s->hash);
    size_t len = strlen(password);
    char *text = mem_alloc(len + SSHA_SALT_LEN);
    (void)iterations;
    arc4random_buf(salt, SSHA_SALT_LEN);
    memcpy(text, password, len);
    memcpy(text + len, salt, SSHA_SALT_LEN);
    int rc = kdf_digest(s->hash, text, len + SSHA_SALT_LEN, value);
    mem_wipe_free(text, len + SSHA_SALT_LEN);
    if (rc == 0) {
        (void)buf_append_str(out, s->prefix);
        (void)str_base64_encode(out, value, kdf_len(s->hash) + SSHA_SALT_LEN);
    }
    explicit_bzero(value, sizeof(value));
    return rc;
}

/* RFC 3112's form: SALT$HASH, of the password with the salt behind it. For passwords that are
 * random alone: guessing one that a person chose would be quick. */
static int make_plain_hash(const struct key_scheme *s, const char *password, unsigned iterations,
                           struct buf *out)
{
    uint8_t salt[ARGON2_SALT_LEN], hash[KDF_LEN_MAX];
    size_t len = strlen(password);
    char *text = mem_alloc(len + sizeof(salt));
    (void)iterations;
    arc4random_buf(salt, sizeof(salt));
    memcpy(text, password, len);
    memcpy(text + len, salt, sizeof(salt));
    int rc = kdf_digest(s->hash, text, len + sizeof(salt), hash);
    mem_wipe_free(text, len + sizeof(salt));
    if (rc == 0) {
        (void)buf_printf(out, "%s$", s->prefix);
        (void)str_base64_encode(out, salt, sizeof(salt));
        (void)buf_append_byte(out, '$');
        (void)str_base64_encode(out, hash, kdf_len(s->hash));
    }
    explicit_bzero(hash, sizeof(hash));
    return rc;
}

/* crypt(3) with yescrypt, at the library's cost. */
static int make_crypt(const struct key_scheme *s, const char *password, unsigned iterations,
                      struct buf *out)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data *data = mem_zalloc(sizeof(*data));
    (void)iterations;
    const char *hash = NULL;
    if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)) != NULL)
        hash = crypt_r(password, setting, data);
    bool ok = hash != NULL && hash[0] == '$';
    if (ok)
        (void)buf_printf(out, "%s%s", s->prefix, hash);
    mem_wipe_free(data, sizeof(*data));
    return ok ? 0 : -1;
}

static int make_argon2(const struct key_scheme *s, const char *password, unsigned iterations,
                       struct buf *out)
{
    char text[256];
    uint8_t salt[ARGON2_SALT_LEN];
    (void)iterations;
    arc4random_buf(salt, sizeof(salt));
    int rc =
        argon2id_hash_encoded(ARGON2_PASSES, ARGON2_KIB, ARGON2_LANES, password, strlen(password),
                              salt, sizeof(salt), ARGON2_HASH_LEN, text, sizeof(text));
    if (rc == ARGON2_OK)
        (void)buf_printf(out, "%s%s", s->prefix, text);
    explicit_bzero(text, sizeof(text));
    return rc == ARGON2_OK ? 0 : -1;
}

static const struct key_scheme schemes[] = {
    {"scram-sha-1", "authPassword", "SCRAM-SHA-1", KDF_SHA1, make_scram},
    {"scram-sha-256", "authPassword", "SCRAM-SHA-256", KDF_SHA256, make_scram},
    {"scram-sha-512", "authPassword", "SCRAM-SHA-512", KDF_SHA512, make_scram},
    {"sha256", "authPassword", "SHA256", KDF_SHA256, make_plain_hash},
    {"ssha", "userPassword", "{SSHA}", KDF_SHA1, make_ssha},
    {"crypt", "userPassword", "{CRYPT}", KDF_SHA1, make_crypt},
    {"argon2", "userPassword", "{ARGON2}", KDF_SHA1, make_argon2},
};

const struct key_scheme *key_scheme(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
        if (str_is(name, len, schemes[i].name))
            return &schemes[i];
    return NULL;
}

const char *key_attribute(const struct key_scheme *scheme)
{
    return scheme->attribute;
}

int key_make(const struct key_scheme *scheme, const char *password, unsigned iterations,
             struct buf *out)
{
    buf_clear(out);
    return scheme->make(scheme, password, iterations, out);
}

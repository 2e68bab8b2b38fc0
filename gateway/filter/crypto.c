#include "gateway/filter/crypto.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"

enum {
    ED25519_KEY_LEN = 32,
    ED25519_SIG_LEN = 64,
    RSA_BITS_MAX = 8192, /* more costs too much time for what a stranger may send */
    RSA_SIG_MAX = RSA_BITS_MAX / 8
};

struct digest {
    EVP_MD_CTX *ctx;
};

struct public_key {
    EVP_PKEY *pkey;
    enum key_type type;
};

struct private_key {
    EVP_PKEY *pkey;
    enum key_type type;
};

/* ---- SHA-256 ---- */

struct digest *digest_new(void)
{
    struct digest *d = mem_zalloc(sizeof(*d));

    d->ctx = EVP_MD_CTX_new();
    if (d->ctx == NULL || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1)
        log_fatal("the cryptographic library has no SHA-256");
    return d;
}

void digest_free(struct digest **d)
{
    if (*d == NULL)
        return;
    EVP_MD_CTX_free((*d)->ctx);
    free(*d);
    *d = NULL;
}

void digest_update(struct digest *d, const void *data, size_t len)
{
    if (EVP_DigestUpdate(d->ctx, data, len) != 1)
        log_fatal("SHA-256 failed");
}

void digest_final(struct digest *d, uint8_t out[DIGEST_LEN])
{
    if (EVP_DigestFinal_ex(d->ctx, out, NULL) != 1)
        log_fatal("SHA-256 failed");
}

void digest_once(const void *data, size_t len, uint8_t out[DIGEST_LEN])
{
    struct digest *d = digest_new();

    digest_update(d, data, len);
    digest_final(d, out);
    digest_free(&d);
}

/* ---- public keys ---- */

const char *key_type_name(enum key_type type)
{
    return type == KEY_RSA ? "rsa" : "ed25519";
}

/* RFC 6376 section 3.6.1 has SubjectPublicKeyInfo in its examples and RSAPublicKey in its text:
 * both are in use. */
static EVP_PKEY *read_rsa(const unsigned char *data, size_t len)
{
    const unsigned char *p = data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &p, (long)len);

    if (pkey == NULL) {
        p = data;
        pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, (long)len);
    }
    if (pkey != NULL && (EVP_PKEY_base_id(pkey) != EVP_PKEY_RSA || p != data + len ||
                         EVP_PKEY_bits(pkey) > RSA_BITS_MAX)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

struct public_key *public_key_new(enum key_type type, const void *data, size_t len)
{
    EVP_PKEY *pkey = NULL;

    if (type == KEY_ED25519 && len == ED25519_KEY_LEN)
        pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, data, len);
    else if (type == KEY_RSA && len > 0 && len <= 4 * RSA_SIG_MAX)
        pkey = read_rsa(data, len);
    if (pkey == NULL)
        return NULL;
    struct public_key *key = mem_zalloc(sizeof(*key));
    key->pkey = pkey;
    key->type = type;
    return key;
}

void public_key_free(struct public_key **key)
{
    if (*key == NULL)
        return;
    EVP_PKEY_free((*key)->pkey);
    free(*key);
    *key = NULL;
}

unsigned public_key_bits(const struct public_key *key)
{
    return key->type == KEY_RSA ? (unsigned)EVP_PKEY_bits(key->pkey) : 256;
}

static bool verify_rsa(EVP_PKEY *pkey, const uint8_t hash[DIGEST_LEN], const void *sig, size_t len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool good = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
                EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
                EVP_PKEY_verify(ctx, sig, len, hash, DIGEST_LEN) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* RFC 8463 section 3: the hash is the message that PureEdDSA signs. */
static bool verify_ed25519(EVP_PKEY *pkey, const uint8_t hash[DIGEST_LEN], const void *sig,
                           size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
                EVP_DigestVerify(ctx, sig, len, hash, DIGEST_LEN) == 1;

    EVP_MD_CTX_free(ctx);
    return good;
}

bool public_key_verify(const struct public_key *key, const uint8_t hash[DIGEST_LEN],
                       const void *sig, size_t len)
{
    return key->type == KEY_RSA ? verify_rsa(key->pkey, hash, sig, len)
                                : verify_ed25519(key->pkey, hash, sig, len);
}

/* ---- private keys ---- */

/* Never asks for a passphrase. */
static int no_passphrase(char *dst, int size, int writing, void *arg)
{
    (void)dst;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

struct private_key *private_key_new(const void *pem, size_t len, const char **why)
{
    BIO *bio = len <= 1 << 20 ? BIO_new_mem_buf(pem, (int)len) : NULL;
    EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    int id = pkey != NULL ? EVP_PKEY_base_id(pkey) : EVP_PKEY_NONE;
    struct private_key *key = NULL;

    BIO_free(bio);
    *why = NULL;
    if (pkey == NULL) {
        *why = "it holds no unencrypted private key in PEM form";
    } else if (id != EVP_PKEY_RSA && id != EVP_PKEY_ED25519) {
        *why = "DKIM has RSA and Ed25519 keys alone";
    } else if (id == EVP_PKEY_RSA && EVP_PKEY_bits(pkey) < 1024) {
        *why = "an RSA key of less than 1024 bits is worth nothing (RFC 8301)";
    } else if (id == EVP_PKEY_RSA && EVP_PKEY_bits(pkey) > RSA_BITS_MAX) {
        *why = "an RSA key of more than 8192 bits has no place in the DNS";
    } else {
        key = mem_zalloc(sizeof(*key));
        key->pkey = pkey;
        key->type = id == EVP_PKEY_RSA ? KEY_RSA : KEY_ED25519;
        pkey = NULL;
    }
    EVP_PKEY_free(pkey);
    return key;
}

void private_key_free(struct private_key **key)
{
    if (*key == NULL)
        return;
    EVP_PKEY_free((*key)->pkey); /* which wipes it */
    free(*key);
    *key = NULL;
}

enum key_type private_key_type(const struct private_key *key)
{
    return key->type;
}

unsigned private_key_bits(const struct private_key *key)
{
    return key->type == KEY_RSA ? (unsigned)EVP_PKEY_bits(key->pkey) : 256;
}

static int sign_rsa(EVP_PKEY *pkey, const uint8_t hash[DIGEST_LEN], uint8_t *sig, size_t *len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool good = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
                EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
                EVP_PKEY_sign(ctx, sig, len, hash, DIGEST_LEN) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good ? 0 : -1;
}

static int sign_ed25519(EVP_PKEY *pkey, const uint8_t hash[DIGEST_LEN], uint8_t *sig, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
                EVP_DigestSign(ctx, sig, len, hash, DIGEST_LEN) == 1;

    EVP_MD_CTX_free(ctx);
    return good ? 0 : -1;
}

int private_key_sign(const struct private_key *key, const uint8_t hash[DIGEST_LEN], struct buf *out)
{
    uint8_t sig[RSA_SIG_MAX];
    size_t len = sizeof(sig);
    int rc = key->type == KEY_RSA ? sign_rsa(key->pkey, hash, sig, &len)
                                  : sign_ed25519(key->pkey, hash, sig, &len);

    return rc == 0 ? buf_append(out, sig, len) : -1;
}

int private_key_public(const struct private_key *key, struct buf *out)
{
    uint8_t raw[ED25519_KEY_LEN];
    size_t len = sizeof(raw);
    unsigned char *der = NULL;
    int rc = -1;

    if (key->type == KEY_ED25519)
        return EVP_PKEY_get_raw_public_key(key->pkey, raw, &len) == 1 ? buf_append(out, raw, len)
                                                                      : -1;
    int der_len = i2d_PUBKEY(key->pkey, &der);
    if (der_len > 0)
        rc = buf_append(out, der, (size_t)der_len);
    OPENSSL_free(der);
    return rc;
}

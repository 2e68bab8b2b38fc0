/* Session tickets whose keys come from outside, so that every process of a host can open them. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/event/tls_private.h"

#define TICKET_NAME_LEN 16
#define TICKET_IV_LEN   16

struct tls_ticket_key {
    unsigned char name[TICKET_NAME_LEN];
    unsigned char mac[32];
    unsigned char cipher[32];
};
_Static_assert(sizeof(struct tls_ticket_key) == TLS_TICKET_KEY_LEN, "keys are read as they are");

struct tls_tickets {
    struct tls_ticket_key key[TLS_TICKET_KEYS];
    size_t count;
};

static int ticket_set_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params);
}

static int ticket_seal(struct tls_tickets *t, unsigned char *name, unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct tls_ticket_key *key = &t->key[0];
    memcpy(name, key->name, TICKET_NAME_LEN);
    if (RAND_bytes(iv, TICKET_IV_LEN) != 1 ||
        EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 ||
        ticket_set_mac(mac, key) != 1)
        return -1;
    return 1;
}

/* 0: a full handshake follows; 1: good; 2: good, and the client is given a new one. */
static int ticket_open(struct tls_tickets *t, const unsigned char *name, const unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    size_t i = 0;
    while (i < t->count && memcmp(t->key[i].name, name, TICKET_NAME_LEN) != 0)
        i++;
    if (i == t->count)
        return 0;
    if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, t->key[i].cipher, iv) != 1 ||
        ticket_set_mac(mac, &t->key[i]) != 1)
        return -1;
    return i == 0 ? 1 : 2;
}

static int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int sealing)
{
    /* The context that the connection began with: SNI may have put another in its place. */
    struct tls_tickets *t = SSL_get_app_data(ssl);
    if (t == NULL || t->count == 0)
        return 0;
    return sealing ? ticket_seal(t, name, iv, cipher, mac) : ticket_open(t, name, iv, cipher, mac);
}

int tls_server_set_ticket_keys(struct tls_context *ctx, const void *keys, size_t len, long lifetime)
{
    if (len == 0 || len % TLS_TICKET_KEY_LEN != 0 || len / TLS_TICKET_KEY_LEN > TLS_TICKET_KEYS)
        return -1;
    /* The same memory for good: connections point to it. */
    if (ctx->tickets == NULL)
        ctx->tickets = mem_zalloc(sizeof(*ctx->tickets));
    explicit_bzero(ctx->tickets, sizeof(*ctx->tickets));
    memcpy(ctx->tickets->key, keys, len);
    ctx->tickets->count = len / TLS_TICKET_KEY_LEN;
    SSL_CTX_set_timeout(ctx->ctx, lifetime);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx->ctx, ticket_key);
    return 0;
}

void tls_tickets_free(struct tls_context *ctx)
{
    if (ctx->tickets != NULL)
        mem_wipe_free(ctx->tickets, sizeof(*ctx->tickets));
    ctx->tickets = NULL;
}

/* What a client's certificate says. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/event/tls_private.h"

/* Names of one kind that are kept; certificates have few. */
#define PEER_NAMES_MAX 16
#define PEER_DER_MAX   65536

static const char *peer_dn(const X509_NAME *name, struct arena *arena)
{
    char *text, *copy;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0) {
        BIO_free(bio);
        return "";
    }
    long len = BIO_get_mem_data(bio, &text);
    copy = arena_strndup(arena, text, len > 0 ? (size_t)len : 0);
    BIO_free(bio);
    return copy;
}

static const char *peer_hex(const unsigned char *data, unsigned len, struct arena *arena)
{
    static const char digits[] = "0123456789ABCDEF";
    char *text = arena_alloc(arena, (size_t)len * 3 + 1);
    for (unsigned i = 0; i < len; i++) {
        text[i * 3] = digits[data[i] >> 4];
        text[i * 3 + 1] = digits[data[i] & 15];
        text[i * 3 + 2] = i + 1 < len ? ':' : '\0';
    }
    return text;
}

static const char *peer_digest(const X509 *cert, bool key, struct arena *arena)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int ok = 0;
    if (key) {
        unsigned char *der = NULL;
        int der_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
        ok = der_len > 0 && EVP_Digest(der, (size_t)der_len, digest, &len, EVP_sha256(), NULL) == 1;
        OPENSSL_free(der);
    } else {
        ok = X509_digest(cert, EVP_sha256(), digest, &len);
    }
    return ok ? peer_hex(digest, len, arena) : "";
}

/* Names that others will compare and log: printable ASCII, nothing else. */
static bool peer_name_good(const ASN1_IA5STRING *s)
{
    const unsigned char *p = ASN1_STRING_get0_data(s);
    int len = ASN1_STRING_length(s);
    for (int i = 0; i < len; i++)
        if (p[i] <= ' ' || p[i] > '~')
            return false;
    return len > 0 && len < 512;
}

static const char *const *peer_names(const X509 *cert, int type, struct arena *arena)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    const char **list = arena_alloc(arena, (PEER_NAMES_MAX + 1) * sizeof(*list));
    size_t n = 0;
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names) && n < PEER_NAMES_MAX; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == type && peer_name_good(name->d.ia5))
            list[n++] = arena_strndup(arena, ASN1_STRING_get0_data(name->d.ia5),
                                      (size_t)ASN1_STRING_length(name->d.ia5));
    }
    GENERAL_NAMES_free(names);
    return list;
}

const struct tls_peer *tls_peer_read(const SSL *ssl, struct arena *arena)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    if (cert == NULL)
        return NULL;
    struct tls_peer *p = arena_alloc(arena, sizeof(*p));
    p->verified = SSL_get_verify_result(ssl) == X509_V_OK;
    p->in_date = X509_cmp_current_time(X509_get0_notBefore(cert)) < 0 &&
                 X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
    p->subject = peer_dn(X509_get_subject_name(cert), arena);
    p->issuer = peer_dn(X509_get_issuer_name(cert), arena);
    p->fingerprint = peer_digest(cert, false, arena);
    p->key_fingerprint = peer_digest(cert, true, arena);
    p->emails = peer_names(cert, GEN_EMAIL, arena);
    p->host_names = peer_names(cert, GEN_DNS, arena);
    int len = i2d_X509(cert, NULL);
    if (len > 0 && len <= PEER_DER_MAX) {
        unsigned char *at = arena_alloc(arena, (size_t)len);
        p->der = at;
        p->der_len = (size_t)i2d_X509(cert, &at);
    }
    ERR_clear_error();
    return p;
}

/* More of a server's side: certificates by name, and certificates of clients. */
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/event/tls_private.h"

struct tls_name {
    struct tls_name *next;
    SSL_CTX *ctx;
    char name[];
};

void tls_server_set_handshake_time(struct tls_context *ctx, int64_t ms)
{
    ctx->handshake_ms = ms;
}

/* ---- SNI ---- */

static SSL_CTX *tls_find_name(const struct tls_context *ctx, const char *wanted)
{
    const char *parent = strchr(wanted, '.');
    for (const struct tls_name *n = ctx->names; n != NULL; n = n->next)
        if (str_ieq(n->name, wanted))
            return n->ctx;
    for (const struct tls_name *n = ctx->names; n != NULL && parent != NULL; n = n->next)
        if (n->name[0] == '*' && str_ieq(n->name + 1, parent))
            return n->ctx;
    return NULL;
}

static int tls_name_asked(SSL *ssl, int *alert, void *arg)
{
    const char *wanted = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    SSL_CTX *found = wanted != NULL ? tls_find_name(arg, wanted) : NULL;
    if (found != NULL)
        SSL_set_SSL_CTX(ssl, found);
    /* An unknown name is served all the same: whether the certificate suits is for the client. */
    return SSL_TLSEXT_ERR_OK;
}

static int tls_add_name(struct tls_context *ctx, const char *item, char **error)
{
    char *copy = mem_strdup(item);
    char *cert = strchr(copy, '='), *key = cert != NULL ? strrchr(cert, ':') : NULL;
    int rc = -1;
    if (cert == NULL || cert == copy || key == NULL || key == cert + 1 || key[1] == '\0') {
        if (error != NULL)
            *error = mem_printf("%s: a certificate for a name is written NAME=CERT:KEY", item);
        goto out;
    }
    *cert++ = '\0';
    *key++ = '\0';
    size_t len = strlen(copy) + 1;
    struct tls_name *n = mem_zalloc(sizeof(*n) + len);
    memcpy(n->name, copy, len);
    n->ctx = tls_ctx_new(TLS_server_method());
    if (n->ctx == NULL)
        tls_explain(error, "OpenSSL", NULL);
    else
        rc = tls_load_pair(n->ctx, cert, key, error);
    n->next = ctx->names;
    ctx->names = n;
out:
    free(copy);
    return rc;
}

int tls_server_add_names(struct tls_context *ctx, const char *const *list, size_t count,
                         char **error)
{
    for (size_t i = 0; i < count; i++)
        if (tls_add_name(ctx, list[i], error) != 0)
            return -1;
    if (count > 0) {
        SSL_CTX_set_tlsext_servername_callback(ctx->ctx, tls_name_asked);
        SSL_CTX_set_tlsext_servername_arg(ctx->ctx, ctx);
    }
    return 0;
}

void tls_names_free(struct tls_context *ctx)
{
    struct tls_name *n;
    while ((n = ctx->names) != NULL) {
        ctx->names = n->next;
        SSL_CTX_free(n->ctx);
        free(n);
    }
}

/* ---- certificates of clients ---- */

/* The handshake goes on in any case; SSL_get_verify_result keeps what was found. */
static int tls_accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

/* A ticket carries the client's certificate and that it was verified: it is good only as long as
 * the anchors are the same. */
static void tls_session_id(const STACK_OF(X509_NAME) * anchors, unsigned char id[32])
{
    unsigned char name[SHA256_DIGEST_LENGTH];
    memset(id, 0, 32);
    for (int i = 0; anchors != NULL && i < sk_X509_NAME_num(anchors); i++) {
        unsigned len = sizeof(name);
        if (X509_NAME_digest(sk_X509_NAME_value(anchors, i), EVP_sha256(), name, &len) == 1)
            for (size_t j = 0; j < sizeof(name); j++)
                id[j] ^= name[j];
    }
}

static int tls_ask(SSL_CTX *ctx, const char *ca_file, char **error)
{
    unsigned char id[32];
    STACK_OF(X509_NAME) *anchors = NULL;
    if (ca_file != NULL) {
        anchors = SSL_load_client_CA_file(ca_file);
        if (anchors == NULL || SSL_CTX_load_verify_locations(ctx, ca_file, NULL) != 1) {
            tls_explain(error, "trust anchors of clients", ca_file);
            sk_X509_NAME_pop_free(anchors, X509_NAME_free);
            return -1;
        }
    }
    tls_session_id(anchors, id);
    if (anchors != NULL)
        SSL_CTX_set_client_CA_list(ctx, anchors); /* taken over */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, tls_accept_any);
    return SSL_CTX_set_session_id_context(ctx, id, sizeof(id)) == 1 ? 0 : -1;
}

int tls_server_ask_client(struct tls_context *ctx, const char *ca_file, char **error)
{
    if (tls_ask(ctx->ctx, ca_file, error) != 0)
        return -1;
    for (struct tls_name *n = ctx->names; n != NULL; n = n->next)
        if (tls_ask(n->ctx, ca_file, error) != 0)
            return -1;
    return 0;
}

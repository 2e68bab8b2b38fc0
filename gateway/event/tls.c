#include "gateway/event/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "gateway/base/mem.h"
#include "gateway/event/tls_private.h"

/* "FILE: what OpenSSL says" as an allocated text; the queue of errors is empty afterwards. */
void tls_explain(char **error, const char *what, const char *file)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (error != NULL)
        *error = mem_printf("%s%s%s: %s", what, file != NULL ? " " : "", file != NULL ? file : "",
                            reason != NULL ? reason : "cannot be read");
    ERR_clear_error();
}

/* A key that needs a pass phrase is an error: nobody is there to be asked. */
static int tls_no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

SSL_CTX *tls_ctx_new(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_default_passwd_cb(ctx, tls_no_passphrase);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* Idle connections are the rule in mail: they give their 34 KiB of buffers back. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Sessions resume by tickets, which cost the server no memory. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL");
    return ctx;
}

static struct tls_context *tls_context_new(const SSL_METHOD *method)
{
    SSL_CTX *ssl_ctx = tls_ctx_new(method);
    if (ssl_ctx == NULL)
        return NULL;
    struct tls_context *ctx = mem_zalloc(sizeof(*ctx));
    ctx->ctx = ssl_ctx;
    return ctx;
}

int tls_load_pair(SSL_CTX *ctx, const char *cert_file, const char *key_file, char **error)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1) {
        tls_explain(error, "certificate", cert_file);
        return -1;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1) {
        tls_explain(error, "private key", key_file);
        return -1;
    }
    if (SSL_CTX_check_private_key(ctx) != 1) {
        tls_explain(error, "the private key does not belong to the certificate", cert_file);
        return -1;
    }
    return 0;
}

struct tls_context *tls_server_new(const char *cert_file, const char *key_file, char **error)
{
    struct tls_context *ctx = tls_context_new(TLS_server_method());
    if (ctx == NULL) {
        tls_explain(error, "OpenSSL", NULL);
        return NULL;
    }
    if (tls_load_pair(ctx->ctx, cert_file, key_file, error) != 0)
        tls_context_free(&ctx);
    return ctx;
}

struct tls_context *tls_client_new(enum tls_verify verify, const char *ca_file,
                                   const char *cert_file, const char *key_file, char **error)
{
    struct tls_context *ctx = tls_context_new(TLS_client_method());
    if (ctx == NULL) {
        tls_explain(error, "OpenSSL", NULL);
        return NULL;
    }
    ctx->verify = verify;
    int loaded = ca_file != NULL ? SSL_CTX_load_verify_locations(ctx->ctx, ca_file, NULL)
                                 : SSL_CTX_set_default_verify_paths(ctx->ctx);
    if (loaded != 1) {
        tls_explain(error, "trust anchors", ca_file);
        tls_context_free(&ctx);
        return NULL;
    }
    if (cert_file != NULL && tls_load_pair(ctx->ctx, cert_file, key_file, error) != 0) {
        tls_context_free(&ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx->ctx, verify == TLS_VERIFY_PEER ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       NULL);
    return ctx;
}

void tls_context_free(struct tls_context **ctx)
{
    if (*ctx == NULL)
        return;
    tls_names_free(*ctx);
    tls_tickets_free(*ctx);
    SSL_CTX_free((*ctx)->ctx);
    free(*ctx);
    *ctx = NULL;
}

/* What tls.c and stream_tls.c share. */
#ifndef DIRIGO_EVENT_TLS_PRIVATE_H
#define DIRIGO_EVENT_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "gateway/event/tls.h"

struct tls_name;
struct tls_tickets;

struct tls_context {
    SSL_CTX *ctx;
    enum tls_verify verify;
    int64_t handshake_ms;
    struct tls_name *names; /* of SNI */
    struct tls_tickets *tickets;
};

/* tls.c */
void tls_explain(char **error, const char *what, const char *file);
SSL_CTX *tls_ctx_new(const SSL_METHOD *method);
int tls_load_pair(SSL_CTX *ctx, const char *cert_file, const char *key_file, char **error);
/* tls_server.c */
void tls_names_free(struct tls_context *ctx);
/* tls_ticket.c */
void tls_tickets_free(struct tls_context *ctx);
/* tls_peer.c: what the client's certificate says, in arena; NULL: none. */
struct arena;
const struct tls_peer *tls_peer_read(const SSL *ssl, struct arena *arena);

#endif

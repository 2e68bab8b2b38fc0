/*
 * TLS settings shared by many streams: certificate, trust, versions. Only OpenSSL is used, and only
 * gateway/event sees it.
 */
#ifndef DIRIGO_EVENT_TLS_H
#define DIRIGO_EVENT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_context;

/* error, where a function takes it, gets an allocated text on failure, which the caller frees. */

/*
 * A server's side: PEM files of the certificate chain and its private key; TLS 1.2 and later. Reads
 * the files at once, so that it can be called before chroot.
 */
struct tls_context *tls_server_new(const char *cert_file, const char *key_file, char **error);

enum tls_verify {
    TLS_VERIFY_NONE, /* encryption against eavesdroppers alone (opportunistic TLS to other hosts) */
    TLS_VERIFY_PEER  /* chain and host name */
};
/* A client's side. ca_file: PEM trust anchors, or NULL for the system's. cert_file and key_file:
 * NULL for none. */
struct tls_context *tls_client_new(enum tls_verify verify, const char *ca_file,
                                   const char *cert_file, const char *key_file, char **error);
void tls_context_free(struct tls_context **ctx);

/* What a finished handshake agreed on. Strings are valid as long as the stream. */
struct tls_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    int bits;
    const char *sni;          /* the name the client asked for, or NULL */
    const char *peer_subject; /* RFC 2253 text of a verified client certificate, or NULL */
};

#endif

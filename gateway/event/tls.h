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

/* ---- more of a server's side; each before the first stream uses the context ---- */

/*
 * Certificates for names that clients ask for (SNI, RFC 6066): "NAME=CERT:KEY", where NAME may be
 * "*.example.org" for one label. Another name gets the certificate of tls_server_new. 0 or -1.
 */
int tls_server_add_names(struct tls_context *ctx, const char *const *list, size_t count,
                         char **error);
/*
 * Asks clients for a certificate; one without goes on, and so does one whose certificate ca_file
 * (PEM; NULL: no anchor at all) does not vouch for: struct tls_peer says which it was. 0 or -1.
 */
int tls_server_ask_client(struct tls_context *ctx, const char *ca_file, char **error);
/* How long a handshake may take in all, ms; 0: as long as the stream's time-outs allow. */
void tls_server_set_handshake_time(struct tls_context *ctx, int64_t ms);

/*
 * Keys of session tickets (RFC 5077, RFC 8446 section 4.6.1), shared by the processes of a host and
 * replaced while they run: count runs of TLS_TICKET_KEY_LEN random bytes, of which the first makes
 * tickets and all open them. lifetime: of a ticket, in seconds. 0, or -1 for lengths that cannot
 * be.
 */
#define TLS_TICKET_KEY_LEN 80
#define TLS_TICKET_KEYS    4
int tls_server_set_ticket_keys(struct tls_context *ctx, const void *keys, size_t len,
                               long lifetime);

/* A client's certificate, as it was given; nothing of it is true unless verified. */
struct tls_peer {
    bool verified;                 /* a trust anchor vouches for it, and it is in date */
    bool in_date;                  /* its time has begun and is not over */
    const char *subject;           /* RFC 2253 text */
    const char *issuer;            /* the same */
    const char *fingerprint;       /* SHA-256 of the certificate, "AB:CD:…" */
    const char *key_fingerprint;   /* the same of its public key (SubjectPublicKeyInfo) */
    const char *const *emails;     /* rfc822Name of subjectAltName; ended by NULL */
    const char *const *host_names; /* dNSName */
    const void *der;
    size_t der_len;
};

/* What a finished handshake agreed on. Strings are valid as long as the stream. */
struct tls_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    int bits;
    const char *sni; /* the name the client asked for, or NULL */
    bool resumed;
    const char *peer_subject;    /* RFC 2253 text of a verified client certificate, or NULL */
    const struct tls_peer *peer; /* NULL: the client gave no certificate */
};

#endif

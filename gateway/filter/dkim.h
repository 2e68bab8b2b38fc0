/*
 * DKIM signatures (RFC 6376, 8301, 8463): verified and made, without I/O.
 *
 * The story of a message: dkim_verifier_new finds the signatures in its header and says which body
 * hashes they need; the caller pushes the body into them and asks the DNS dkim_question() of each
 * signature meanwhile; dkim_answer() takes what the DNS said. With all answers in and the body
 * hashed, dkim_result() says what each signature is worth.
 */
#ifndef DIRIGO_FILTER_DKIM_H
#define DIRIGO_FILTER_DKIM_H

#include "gateway/filter/signature.h"

struct dkim_verifier;

/* Reads the first max signatures of the header, top to bottom. fields, arena, hashes and limits
 * live longer. */
struct dkim_verifier *dkim_verifier_new(const struct fields *fields, struct bodyhash *hashes,
                                        size_t max, const struct signature_limits *limits,
                                        struct arena *arena);
void dkim_verifier_free(struct dkim_verifier **v);
/* How many signatures there are to be judged, and how many were not looked at. */
size_t dkim_count(const struct dkim_verifier *v);
size_t dkim_ignored(const struct dkim_verifier *v);
/* The name whose TXT records are asked for; NULL where a signature needs none. Valid as long as v.
 */
const char *dkim_question(const struct dkim_verifier *v, size_t i);
/* Takes the answer; the records are not needed afterwards. */
void dkim_answer(struct dkim_verifier *v, size_t i, const struct dns_answer *answer);

struct dkim_result {
    enum auth_result result;
    const char *reason;                       /* "" or a text for people; of constant lifetime */
    const char *domain, *selector, *identity; /* "" where the signature has none */
    const char *algorithm;                    /* "rsa" … */
    unsigned bits;                            /* of the key; 0 where there is none */
    bool testing;                             /* the key's owner is only trying it out */
    char tag[9]; /* the first bytes of b=, which tell signatures apart (RFC 6008) */
};
/* After bodyhash_finish and the answer. */
void dkim_result(const struct dkim_verifier *v, size_t i, struct dkim_result *out);

struct dkim_signing {
    const struct private_key *key;
    const char *domain, *selector;
    enum canon header, body;
    const char *const *names;    /* fields to sign where the message has them; NULL ends it */
    const char *const *oversign; /* those of which none may be added later; NULL ends it */
    int64_t now, ttl;            /* seconds; ttl 0: no x= */
};
/* The number of the body hash that the signature needs; -1 where there are too many. */
int dkim_sign_want(const struct dkim_signing *how, struct bodyhash *hashes);
/* Appends a DKIM-Signature field with its CRLF; form is what dkim_sign_want returned. 0 or -1. */
int dkim_sign(const struct dkim_signing *how, const struct fields *fields,
              const struct bodyhash *hashes, int form, struct buf *out);

/* What DKIM and ARC share in making a signature. */
/* Appends "name:name:…" for the h= tag, folded: each field of these names once, each of oversign
 * once more. 0 or -1. */
int dkim_put_names(const struct fields *fields, const char *const *names,
                   const char *const *oversign, struct buf *out);
/* Appends the signature of the hash in base64, folded, and CRLF. 0 or -1. */
int dkim_put_value(const struct private_key *key, const uint8_t hash[DIGEST_LEN], struct buf *out);
/* Appends the TXT record that publishes the key. 0 or -1. */
int dkim_put_record(const struct private_key *key, struct buf *out);

#endif

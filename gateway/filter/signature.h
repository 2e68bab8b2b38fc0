/*
 * A signature over header fields, as DKIM (RFC 6376) and ARC (RFC 8617) write it: read, hashed and
 * compared with the key that the DNS has.
 */
#ifndef DIRIGO_FILTER_SIGNATURE_H
#define DIRIGO_FILTER_SIGNATURE_H

#include "gateway/filter/bodyhash.h"
#include "gateway/filter/canon.h"
#include "gateway/filter/crypto.h"
#include "gateway/filter/fields.h"
#include "gateway/filter/taglist.h"
#include "gateway/resolver/client.h"

/* RFC 8601 section 2.7.1. */
enum auth_result {
    AUTH_NONE,
    AUTH_PASS,
    AUTH_FAIL,
    AUTH_POLICY,
    AUTH_NEUTRAL,
    AUTH_TEMPERROR,
    AUTH_PERMERROR
};
const char *auth_result_name(enum auth_result r);

enum signature_kind {
    SIGNATURE_DKIM,
    SIGNATURE_ARC_MESSAGE, /* i= is the instance; no v= */
    SIGNATURE_ARC_SEAL     /* no h= and bh= either; "relaxed" always */
};

/* What this host takes for sound. */
struct signature_limits {
    int64_t now;          /* seconds since 1970 */
    int64_t drift;        /* how far other clocks may be ahead, in seconds */
    unsigned minimum_rsa; /* bits */
};

struct signature {
    enum signature_kind kind;
    const struct header_field *field;
    enum key_type algorithm;
    enum canon header, body;
    const char *domain;      /* d=, lower-case A-labels or as it came */
    const char *selector;    /* s= */
    const char *identity;    /* i= of DKIM, or "@" and the domain */
    const char *cv;          /* of a seal */
    unsigned instance;       /* of ARC */
    const struct tag *names; /* h= */
    struct taglist tags;
    uint64_t limit;     /* l= or BODY_WHOLE */
    int64_t signed_at;  /* t= or -1 */
    int64_t expires_at; /* x= or -1 */
    uint8_t body_hash[DIGEST_LEN];
    struct buf value; /* b= */
};

/* Reads a field. NULL where it is sound; else why not, a text of constant lifetime: then it is a
 * permanent error. What was read is there so far as it was read ("" and -1 where not). Strings are
 * in arena. signature_free in any case. */
const char *signature_read(struct signature *sig, enum signature_kind kind,
                           const struct header_field *field, struct arena *arena);
void signature_free(struct signature *sig);

/* The name whose TXT record is the key, in dst[DNS_NAME_MAX]; NULL where it is too long. */
const char *signature_question(const struct signature *sig, char *dst);

/* The field without the value of its b= tag, as its hash takes it, without the final CRLF. 0 or -1
 * where out is full. */
int signature_unsigned_field(enum canon canon, const struct header_field *field, struct buf *out);
/* The hash of the fields in h= and of the signature's own (RFC 6376 section 3.7). 0 or -1. */
int signature_header_hash(const struct signature *sig, const struct fields *fields,
                          uint8_t hash[DIGEST_LEN]);

/* The outcome: *reason is "" or a text for the comment, of constant lifetime. */
enum auth_result signature_check(const struct signature *sig, const uint8_t hash[DIGEST_LEN],
                                 const struct dns_answer *key,
                                 const struct signature_limits *limits, unsigned *bits,
                                 bool *testing, const char **reason);

#endif

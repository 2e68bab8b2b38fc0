/*
 * The Authenticated Received Chain (RFC 8617): verified and continued, without I/O. It is used as
 * dkim.h's verifier is: new, body pushed into the hashes, questions answered, result.
 */
#ifndef DIRIGO_FILTER_ARC_H
#define DIRIGO_FILTER_ARC_H

#include "gateway/filter/dkim.h"

#define ARC_INSTANCES_MAX 50 /* RFC 8617 section 4.2.1 */

struct arc_verifier;

/* Finds the sets of the header. fields, arena and hashes live longer. */
struct arc_verifier *arc_verifier_new(const struct fields *fields, struct bodyhash *hashes,
                                      const struct signature_limits *limits, struct arena *arena);
void arc_verifier_free(struct arc_verifier **v);
/* The names whose TXT records are asked for, each once; NULL past the last. */
const char *arc_question(const struct arc_verifier *v, size_t i);
void arc_answer(struct arc_verifier *v, size_t i, const struct dns_answer *answer);

struct arc_result {
    enum auth_result result; /* none, pass, fail; temperror where the DNS cannot tell now */
    const char *reason;      /* "" or a text for people; of constant lifetime */
    unsigned instances;      /* sets in the chain, where it is whole */
    const char *sealer;      /* d= of the newest seal; "" where there is none */
    const char *results;     /* with pass: what the newest set's sealer has found, as text */
    size_t results_len;
};
/* After bodyhash_finish and the answers. */
void arc_result(const struct arc_verifier *v, struct arc_result *out);

struct arc_sealing {
    const struct private_key *key;
    const char *domain, *selector;
    const char *const *names; /* as in struct dkim_signing; "arc-" fields are left out */
    const char *const *oversign;
    int64_t now;
    const char *results; /* "mx.example.org; spf=pass …", folded: what this host has found */
};
/* The number of the body hash that a seal needs; -1 where there are too many. */
int arc_seal_want(struct bodyhash *hashes);
/* Appends the three fields of one more set; form is what arc_seal_want returned. 0; 1 where the
 * chain must not be continued (it is too long, or was failed before, or cannot be judged now); -1.
 */
int arc_seal(const struct arc_sealing *how, const struct arc_verifier *v,
             const struct fields *fields, const struct bodyhash *hashes, int form, struct buf *out);

#endif

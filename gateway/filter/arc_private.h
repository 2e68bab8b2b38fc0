/* A chain from the inside; private to arc*.c. */
#ifndef DIRIGO_FILTER_ARC_PRIVATE_H
#define DIRIGO_FILTER_ARC_PRIVATE_H

#include "gateway/filter/arc.h"

struct arc_check {
    struct signature sig;
    uint8_t hash[DIGEST_LEN];
    int question;
    bool answered;
    enum auth_result result;
    const char *reason;
};

/* One hop's fields. */
struct arc_set {
    const struct header_field *results, *message, *seal;
    struct arc_check seal_check;
};

struct arc_verifier {
    const struct bodyhash *hashes;
    struct signature_limits limits;
    unsigned count; /* sets; the first has instance 1 */
    struct arc_set sets[ARC_INSTANCES_MAX];
    struct arc_check message; /* of the newest set */
    int form;                 /* of its body hash */
    const char *flaw;         /* the chain is broken, whatever the DNS says; NULL: no */
    char *questions[ARC_INSTANCES_MAX + 1];
    size_t question_count;
};

/* Puts the sets' fields [1, count] into the digest, all but the newest seal; "relaxed". 0 or -1. */
int arc_digest_sets(struct digest *d, const struct arc_set *sets, unsigned first, unsigned count);

#endif

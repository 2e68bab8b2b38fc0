/*
 * The sender rewriting scheme: forwarded mail gets a sender in a domain of ours, so that SPF
 * passes, from which the way back can be read. Without I/O.
 */
#ifndef DIRIGO_FILTER_SRS_H
#define DIRIGO_FILTER_SRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"

enum {
    SRS_SECRETS_MAX = 16,
    SRS_HASH_MIN = 4,
    SRS_HASH_MAX = 26
};

struct srs {
    const char *domain;                   /* ours */
    const char *secrets[SRS_SECRETS_MAX]; /* the first signs, each verifies */
    size_t secret_count;
    unsigned hash_length; /* base32 digits: 5 bits each */
    unsigned max_age;     /* days */
};

/* Whether the address is one of this scheme in our domain. */
bool srs_is(const struct srs *srs, const char *address);
/* Appends the rewritten sender; 0, or -1 where that is no address or would be too long. */
int srs_forward(const struct srs *srs, const char *sender, int64_t now, struct buf *out);

enum srs_answer {
    SRS_FOUND,
    SRS_FORGED, /* malformed, or not made here */
    SRS_EXPIRED
};
/* Appends where mail for the address goes. */
enum srs_answer srs_reverse(const struct srs *srs, const char *address, int64_t now,
                            struct buf *out);

#endif

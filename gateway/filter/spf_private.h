/* SPF from the inside: records as terms, and macros. Private to spf*.c. */
#ifndef DIRIGO_FILTER_SPF_PRIVATE_H
#define DIRIGO_FILTER_SPF_PRIVATE_H

#include "gateway/base/mem.h"
#include "gateway/filter/spf.h"

enum spf_mechanism {
    SPF_ALL,
    SPF_INCLUDE,
    SPF_A,
    SPF_MX,
    SPF_PTR,
    SPF_IP4,
    SPF_IP6,
    SPF_EXISTS
};

struct spf_term {
    enum spf_mechanism mechanism;
    enum spf_result qualifier; /* what a match says */
    const char *domain;        /* the domain-spec; NULL: the current domain */
    uint8_t bits4, bits6;
    struct netaddr_prefix network; /* SPF_IP4, SPF_IP6 */
    const char *text;
};

struct spf_record {
    struct spf_term *terms;
    size_t count;
    const char *redirect, *exp; /* domain-specs; NULL: none */
};

/* Whether a TXT record is one of SPF version 1 (section 4.5). */
bool spf_record_is(const uint8_t *data, size_t len);
/* Reads one, into arena. NULL, or what is wrong with it: then it is a permanent error. */
const char *spf_record_read(struct spf_record *out, const uint8_t *data, size_t len,
                            struct arena *arena);

/* What the letters stand for (section 7.2). */
struct spf_macros {
    const char *sender, *local, *sender_domain; /* s l o */
    const char *domain;                         /* d */
    const char *validated;                      /* p; NULL: not known yet */
    const char *helo, *receiver;                /* h r */
    struct netaddr ip;                          /* i v c */
    int64_t now;                                /* t */
};

/* Whether text is a macro-string. explanation: c, r and t are allowed, and spaces. */
bool spf_macro_valid(const char *text, bool explanation);
/* Whether %{p} is in it. */
bool spf_macro_needs_ptr(const char *text);
/* Expands a valid macro-string; NULL where arena is full. */
char *spf_macro_expand(const char *text, const struct spf_macros *m, struct arena *arena);
/* The same as a domain: the final dot goes, and labels from the left until 253 bytes are left. */
const char *spf_macro_domain(const char *text, const struct spf_macros *m, struct arena *arena);

#endif

/*
 * SPF (RFC 7208): whether a host may use a domain in MAIL or HELO. Without I/O:
 *
 *     spf = spf_new(&query);
 *     while (spf_next(spf, &name, &type))
 *         ask the DNS, then spf_answer(spf, &answer);
 *     spf_result(spf, &verdict);
 */
#ifndef DIRIGO_FILTER_SPF_H
#define DIRIGO_FILTER_SPF_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/netaddr.h"
#include "gateway/resolver/client.h"

enum spf_result {
    SPF_NONE,
    SPF_NEUTRAL,
    SPF_PASS,
    SPF_FAIL,
    SPF_SOFTFAIL,
    SPF_TEMPERROR,
    SPF_PERMERROR
};
/* "pass" and its like (RFC 8601 section 2.7.2). */
const char *spf_result_name(enum spf_result r);

struct spf_query {
    struct netaddr ip;
    const char *helo;
    const char *sender;                /* "" is the null sender: HELO's domain with "postmaster" */
    const char *receiver;              /* who we are, for %{r} */
    int64_t now;                       /* seconds since 1970, for %{t} */
    unsigned lookup_limit, void_limit; /* RFC 7208 section 4.6.4: 10 and 2; 0: those */
};

struct spf_verdict {
    enum spf_result result;
    bool by_helo;            /* the null sender: it says something about HELO */
    const char *domain;      /* whose record was asked for */
    const char *mechanism;   /* the term that decided, as its owner wrote it; "" where none did */
    const char *problem;     /* for people, with temperror and permerror; else "" */
    const char *explanation; /* the owner's text, with fail; NULL where there is none. ASCII. */
};

struct spf;

/* Copies what it needs of the query. */
struct spf *spf_new(const struct spf_query *query);
void spf_free(struct spf **s);
/* The question to be asked now: a name valid until the answer, a DNS_TYPE_*. False: done. */
bool spf_next(const struct spf *s, const char **name, uint16_t *type);
/* The answer to it; its records are not needed afterwards. */
void spf_answer(struct spf *s, const struct dns_answer *answer);
/* After the last answer; strings live as long as s. */
void spf_verdict(const struct spf *s, struct spf_verdict *out);

#endif

/*
 * DMARC (RFC 7489): what the author's domain wants done with mail that neither SPF nor DKIM vouches
 * for. Without I/O: dmarc_question until it is NULL, each time dmarc_answer.
 *
 * Organisational domains come from the public suffix list, as RFC 7489 has them; the caller passes
 * the function that knows it.
 */
#ifndef DIRIGO_FILTER_DMARC_H
#define DIRIGO_FILTER_DMARC_H

#include "gateway/filter/fields.h"
#include "gateway/filter/signature.h"

enum dmarc_policy {
    DMARC_NONE,
    DMARC_QUARANTINE,
    DMARC_REJECT
};
const char *dmarc_policy_name(enum dmarc_policy p);

/* The part of domain that its owner has registered; NULL where it has none. Valid until the next
 * call. */
typedef const char *(*dmarc_organisation)(const char *domain, void *arg);

enum dmarc_author {
    DMARC_AUTHOR_ONE,  /* *domain is it, in lower case, in arena */
    DMARC_AUTHOR_NONE, /* no From, or no domain in it */
    DMARC_AUTHOR_MANY  /* several From fields, or domains: what a reader sees is anybody's guess */
};
enum dmarc_author dmarc_author(const struct fields *fields, struct arena *arena,
                               const char **domain);

struct dmarc;
/* author is copied. */
struct dmarc *dmarc_new(const char *author, dmarc_organisation organisation, void *arg);
void dmarc_free(struct dmarc **d);
/* The name whose TXT record is asked for now; NULL: none any more. */
const char *dmarc_question(const struct dmarc *d);
void dmarc_answer(struct dmarc *d, const struct dns_answer *answer);

/* A domain that SPF or DKIM has passed; or could not be judged now (temporary). */
void dmarc_take_spf(struct dmarc *d, const char *domain, bool temporary);
void dmarc_take_dkim(struct dmarc *d, const char *domain, bool temporary);

struct dmarc_result {
    enum auth_result result;     /* none, pass, fail, temperror, permerror */
    enum dmarc_policy published; /* p= or sp= that holds here */
    enum dmarc_policy wanted;    /* with fail: what is to be done, after pct= */
    const char *reason;          /* "" or a text; of constant lifetime */
};
/* After the last answer and what was taken. roll: a number below 100, for pct=. */
void dmarc_result(const struct dmarc *d, unsigned roll, struct dmarc_result *out);

#endif

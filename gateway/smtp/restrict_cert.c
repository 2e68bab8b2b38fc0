/* Restrictions on the client's TLS certificate. */
#include <ctype.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/base/str.h"
#include "gateway/smtp/restriction_impl.h"

/* The certificate's fingerprint, then its key's; each whether a trust anchor vouches for it or not,
 * for whoever lists a fingerprint trusts that one certificate. */
static const char *fingerprint(const struct restriction_certificate *c, int i)
{
    return i == 0 ? c->fingerprint : c->key_fingerprint;
}

static enum verdict unknown(struct restriction_run *run, const struct restriction_text *t)
{
    run->decided_by = t->dn;
    return restriction_refuse(run, SUBJECT_CLIENT, 451, "4.3.0", "Temporary lookup failure");
}

/* Whether relay_clientcerts has one of the certificate's fingerprints, itself or in a table. */
RESTRICTION_FUNCTION(permit_tls_clientcerts)
{
    const struct conf_list *known = &run->conf->relay_clientcerts;
    const struct restriction_certificate *c = run->facts->certificate;
    struct restriction_text t;

    (void)item;
    for (size_t i = 0; c != NULL && i < 2 * known->n; i++) {
        const char *word = known->v[i / 2], *print = fingerprint(c, i % 2);
        if (strchr(word, ':') != NULL) {
            if (str_ieq(word, print))
                return VERDICT_PERMIT;
            continue;
        }
        switch (run->ops->access(run->ops_arg, word, ACCESS_CERTIFICATE, print, &t)) {
        case ANSWER_FOUND:
            run->decided_by = t.dn;
            return VERDICT_PERMIT;
        case ANSWER_ABSENT:
            break;
        default:
            return unknown(run, &t);
        }
    }
    return VERDICT_DUNNO;
}

RESTRICTION_FUNCTION(permit_tls_all_clientcerts)
{
    const struct restriction_certificate *c = run->facts->certificate;

    (void)run;
    (void)item;
    return c != NULL && c->verified ? VERDICT_PERMIT : VERDICT_DUNNO;
}

RESTRICTION_FUNCTION(check_ccert_access)
{
    const struct restriction_certificate *c = run->facts->certificate;
    struct restriction_text t;

    for (int i = 0; c != NULL && i < 2; i++) {
        switch (
            run->ops->access(run->ops_arg, item->arg, ACCESS_CERTIFICATE, fingerprint(c, i), &t)) {
        case ANSWER_FOUND:
            return restriction_act(run, SUBJECT_CLIENT, t.text, t.dn);
        case ANSWER_ABSENT:
            break;
        default:
            return unknown(run, &t);
        }
    }
    return VERDICT_DUNNO;
}

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

/* ---- partners ---- */

/* Names as RFC 2253 writes them, in any case, with or without blanks behind commas. */
static bool same_dn(const char *a, const char *b)
{
    for (;; a++, b++) {
        if (*a == ',' && *b == ',') {
            a += strspn(a + 1, " ");
            b += strspn(b + 1, " ");
            continue;
        }
        if (str_lower_char(*a) != str_lower_char(*b))
            return false;
        if (*a == '\0')
            return true;
    }
}

/* Whether a dNSName is the domain or lies below it. */
static bool names_domain(const struct restriction_certificate *c, const char *domain)
{
    size_t len = strlen(domain);

    for (size_t i = 0; c->host_names[i] != NULL && len > 0; i++) {
        size_t n = strlen(c->host_names[i]);
        if (n >= len && str_ieq(c->host_names[i] + n - len, domain) &&
            (n == len || c->host_names[i][n - len - 1] == '.'))
            return true;
    }
    return false;
}

static bool has_fingerprint(const struct restriction_certificate *c,
                            const struct restriction_partner *p)
{
    for (size_t i = 0; i < p->fingerprint_count; i++)
        if (str_ieq(p->fingerprints[i], c->fingerprint) ||
            str_ieq(p->fingerprints[i], c->key_fingerprint))
            return true;
    return false;
}

/* What the certificate lacks, or NULL. */
static const char *certificate_fault(const struct restriction_run *run,
                                     const struct restriction_partner *p, bool verify)
{
    const struct restriction_certificate *c = run->facts->certificate;

    if (c == NULL)
        return "a client certificate is needed";
    if (p->fingerprint_count > 0 && !has_fingerprint(c, p))
        return "the client certificate is not the one that was agreed on";
    if (!verify)
        return NULL;
    if (!c->verified)
        return "no CA that is known here vouches for the client certificate";
    if (p->ca != NULL && !same_dn(p->ca, c->issuer))
        return "the client certificate is not of the CA that was agreed on";
    if (p->ca == NULL && p->fingerprint_count == 0 && !names_domain(c, run->facts->sender.domain))
        return "the client certificate does not name the sender's domain";
    return NULL;
}

static enum verdict check_partner(struct restriction_run *run, const struct restriction_partner *p)
{
    bool verify = str_ieq(p->level, "verify"), print = str_ieq(p->level, "fingerprint");

    if (str_ieq(p->level, "none") || str_ieq(p->level, "may"))
        return VERDICT_DUNNO;
    if (!verify && !print && !str_ieq(p->level, "encrypt"))
        return restriction_misconfigured(run, "a partner's level is unknown", p->level);
    if (!run->facts->tls)
        return restriction_refuse(run, SUBJECT_SENDER, 550, "5.7.10",
                                  "this partner's mail is taken over TLS alone");
    if (!verify && !print)
        return VERDICT_DUNNO;
    if (!run->conf->smtpd_tls_ask_ccert)
        return restriction_misconfigured(
            run, "a partner needs a certificate; set smtpd_tls_ask_ccert = yes", p->level);
    if (print && p->fingerprint_count == 0)
        return restriction_misconfigured(run, "a partner has no fingerprint", p->level);
    const char *fault = certificate_fault(run, p, verify);
    return fault == NULL ? VERDICT_DUNNO
                         : restriction_refuse(run, SUBJECT_SENDER, 550, "5.7.1", fault);
}

RESTRICTION_FUNCTION(reject_partner_mismatch)
{
    struct restriction_partner p = {.level = NULL};

    (void)item;
    if (run->ops->partner == NULL || run->facts->sender.given == NULL)
        return VERDICT_DUNNO;
    enum answer answer = run->ops->partner(run->ops_arg, &p);
    run->decided_by = p.dn;
    if (answer == ANSWER_ABSENT)
        return VERDICT_DUNNO;
    if (answer == ANSWER_UNKNOWN)
        return restriction_refuse(run, SUBJECT_SENDER, 451, "4.4.3", "Temporary lookup failure");
    return check_partner(run, &p);
}

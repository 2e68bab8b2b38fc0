/* Restrictions on sender and recipient. */
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/proto/dns.h"
#include "gateway/smtp/restriction_impl.h"

/* Nobody can tell now: always temporary, whatever code a refusal would have. */
static enum verdict unknown(struct restriction_run *run, enum restriction_subject subject)
{
    return restriction_refuse(run, subject, 451, "4.3.0", "Temporary lookup failure");
}

/* ---- destinations ---- */

static enum answer recipient_is_ours(struct restriction_run *run)
{
    const struct restriction_address *r = &run->facts->recipient;

    if (r->given == NULL)
        return ANSWER_FOUND; /* no recipient yet: nothing to refuse */
    if (r->given->literal)
        return ANSWER_ABSENT;
    return run->ops->domain(run->ops_arg, r->domain);
}

RESTRICTION_FUNCTION(permit_auth_destination)
{
    (void)item;
    if (run->facts->recipient.given == NULL)
        return VERDICT_DUNNO;
    switch (recipient_is_ours(run)) {
    case ANSWER_FOUND:
        return VERDICT_PERMIT;
    case ANSWER_ABSENT:
        return VERDICT_DUNNO;
    default:
        return unknown(run, SUBJECT_RECIPIENT);
    }
}

static enum verdict unauth_destination(struct restriction_run *run, unsigned code)
{
    switch (recipient_is_ours(run)) {
    case ANSWER_FOUND:
        return VERDICT_DUNNO;
    case ANSWER_ABSENT:
        return restriction_say(run, code, "5.7.1", "<%.300s>: Relay access denied",
                               run->facts->recipient.given->text);
    default:
        return unknown(run, SUBJECT_RECIPIENT);
    }
}

RESTRICTION_FUNCTION(reject_unauth_destination)
{
    (void)item;
    return unauth_destination(run, (unsigned)run->conf->relay_domains_reject_code);
}

RESTRICTION_FUNCTION(defer_unauth_destination)
{
    (void)item;
    return unauth_destination(run, 454);
}

/* ---- form ---- */

static enum verdict non_fqdn(struct restriction_run *run, const struct restriction_address *a,
                             enum restriction_subject subject)
{
    if (a->given == NULL || a->given->text[0] == '\0' || a->given->literal)
        return VERDICT_DUNNO;
    const char *domain = a->given->utf8 ? a->domain : a->given->domain; /* A-labels */
    if (smtp_hostname_fqdn(domain, strlen(domain)))
        return VERDICT_DUNNO;
    return restriction_refuse(run, subject, (unsigned)run->conf->non_fqdn_reject_code, "5.5.2",
                              "need fully-qualified address");
}

RESTRICTION_FUNCTION(reject_non_fqdn_sender)
{
    (void)item;
    return non_fqdn(run, &run->facts->sender, SUBJECT_SENDER);
}

RESTRICTION_FUNCTION(reject_non_fqdn_recipient)
{
    (void)item;
    const struct smtp_address *given = run->facts->recipient.given;
    /* RFC 5321 section 4.5.1: it is always there, and without a domain. */
    if (given != NULL && str_ieq(given->text, "postmaster"))
        return VERDICT_DUNNO;
    return non_fqdn(run, &run->facts->recipient, SUBJECT_RECIPIENT);
}

/* ---- existence ---- */

static enum verdict unlisted(struct restriction_run *run, const struct restriction_address *a,
                             enum restriction_subject subject, unsigned code, const char *status)
{
    bool disabled = false;

    if (a->given == NULL || a->full[0] == '\0')
        return VERDICT_DUNNO;
    switch (run->ops->listed(run->ops_arg, a->full, &disabled)) {
    case ANSWER_FOUND:
        return VERDICT_DUNNO;
    case ANSWER_ABSENT:
        if (disabled)
            return restriction_refuse(run, subject, code, "5.2.1", "Mailbox disabled");
        return restriction_refuse(run, subject, code, status, "User unknown");
    default:
        return unknown(run, subject);
    }
}

RESTRICTION_FUNCTION(reject_unlisted_sender)
{
    (void)item;
    return unlisted(run, &run->facts->sender, SUBJECT_SENDER,
                    (unsigned)run->conf->unknown_local_recipient_reject_code, "5.1.0");
}

RESTRICTION_FUNCTION(reject_unlisted_recipient)
{
    (void)item;
    return unlisted(run, &run->facts->recipient, SUBJECT_RECIPIENT,
                    (unsigned)run->conf->unknown_local_recipient_reject_code, "5.1.1");
}

/* ---- who may send as whom ---- */

/* A sender that a login may not use; permissive: one that nobody has is everybody's. */
static enum verdict login_mismatch(struct restriction_run *run, bool permissive)
{
    const struct restriction_facts *f = run->facts;
    bool owned = false;

    if (f->login == NULL || f->sender.given == NULL || f->sender.full[0] == '\0')
        return VERDICT_DUNNO;
    switch (run->ops->send_as(run->ops_arg, f->sender.full, &owned, &run->decided_by)) {
    case ANSWER_FOUND:
        return VERDICT_DUNNO;
    case ANSWER_ABSENT:
        if (permissive && !owned)
            return VERDICT_DUNNO;
        break;
    default:
        return unknown(run, SUBJECT_SENDER);
    }
    return restriction_say(run, 553, "5.7.1",
                           "<%.200s>: Sender address rejected: not owned by user %.200s",
                           f->sender.given->text, f->login);
}

/* A sender that somebody here has, from a client that has not logged in. */
static enum verdict login_missing(struct restriction_run *run)
{
    const struct restriction_facts *f = run->facts;
    bool owned = false;

    if (f->login != NULL || f->sender.given == NULL || f->sender.full[0] == '\0')
        return VERDICT_DUNNO;
    switch (run->ops->send_as(run->ops_arg, f->sender.full, &owned, &run->decided_by)) {
    case ANSWER_UNKNOWN:
        return unknown(run, SUBJECT_SENDER);
    default:
        if (!owned)
            return VERDICT_DUNNO;
        return restriction_refuse(run, SUBJECT_SENDER, 553, "5.7.1", "not logged in");
    }
}

RESTRICTION_FUNCTION(reject_sender_login_mismatch)
{
    (void)item;
    return run->facts->login != NULL ? login_mismatch(run, false) : login_missing(run);
}

RESTRICTION_FUNCTION(reject_authenticated_sender_login_mismatch)
{
    (void)item;
    return login_mismatch(run, false);
}

RESTRICTION_FUNCTION(reject_known_sender_login_mismatch)
{
    (void)item;
    return login_mismatch(run, true);
}

RESTRICTION_FUNCTION(reject_unauthenticated_sender_login_mismatch)
{
    (void)item;
    return login_missing(run);
}

/* ---- DNS ---- */

/* Whether mail can be sent to a domain: an MX, or else an address (RFC 5321 section 5.1). */
enum mail_domain {
    MAIL_DOMAIN_GOOD,
    MAIL_DOMAIN_NULL_MX,
    MAIL_DOMAIN_NONE,
    MAIL_DOMAIN_UNKNOWN,
    MAIL_DOMAIN_WAIT
};

static enum mail_domain look_up(struct restriction_run *run, const char *domain)
{
    static const uint16_t types[] = {DNS_TYPE_MX, DNS_TYPE_A, DNS_TYPE_AAAA};
    bool failed = false;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct restriction_dns dns;
        if (!run->ops->dns(run->ops_arg, domain, types[i], &dns))
            return MAIL_DOMAIN_WAIT;
        if (dns.status == DNS_FOUND)
            return types[i] == DNS_TYPE_MX && dns.null_mx ? MAIL_DOMAIN_NULL_MX : MAIL_DOMAIN_GOOD;
        if (dns.status == DNS_NXDOMAIN)
            return MAIL_DOMAIN_NONE;
        /* An MX that cannot be told now may be a null MX: addresses would not answer that. */
        if (dns.status == DNS_UNKNOWN && types[i] == DNS_TYPE_MX)
            return MAIL_DOMAIN_UNKNOWN;
        failed |= dns.status == DNS_UNKNOWN;
    }
    return failed ? MAIL_DOMAIN_UNKNOWN : MAIL_DOMAIN_NONE;
}

struct domain_texts {
    enum restriction_subject subject;
    const char *status, *null_status;
    unsigned null_code;
};

static enum verdict unknown_domain(struct restriction_run *run, const struct restriction_address *a,
                                   const struct domain_texts *t)
{
    if (a->given == NULL || a->domain[0] == '\0' || a->given->literal)
        return VERDICT_DUNNO;
    switch (run->ops->domain(run->ops_arg, a->domain)) {
    case ANSWER_FOUND:
        return VERDICT_DUNNO; /* ours: DNS need not know it */
    case ANSWER_ABSENT:
        break;
    default:
        return unknown(run, t->subject);
    }
    switch (look_up(run, a->domain)) {
    case MAIL_DOMAIN_GOOD:
        return VERDICT_DUNNO;
    case MAIL_DOMAIN_WAIT:
        return VERDICT_WAIT;
    case MAIL_DOMAIN_NULL_MX:
        return restriction_refuse(run, t->subject, t->null_code, t->null_status,
                                  "Domain does not accept mail (nullMX)");
    case MAIL_DOMAIN_NONE:
        return restriction_refuse(run, t->subject, (unsigned)run->conf->unknown_address_reject_code,
                                  t->status, "Domain not found");
    default:
        restriction_refuse(run, t->subject, 450, t->status, "Domain not found: try again later");
        return VERDICT_DEFER_IF_PERMIT;
    }
}

RESTRICTION_FUNCTION(reject_unknown_sender_domain)
{
    (void)item;
    static const struct domain_texts texts = {SUBJECT_SENDER, "4.1.8", "5.7.27", 550};
    return unknown_domain(run, &run->facts->sender, &texts);
}

RESTRICTION_FUNCTION(reject_unknown_recipient_domain)
{
    (void)item;
    static const struct domain_texts texts = {SUBJECT_RECIPIENT, "4.1.2", "5.1.10", 556};
    return unknown_domain(run, &run->facts->recipient, &texts);
}

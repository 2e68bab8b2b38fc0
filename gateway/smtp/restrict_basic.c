/* Restrictions on the client, its session and its greeting. */
#include <string.h>

#include "gateway/smtp/restriction_impl.h"

RESTRICTION_FUNCTION(permit)
{
    (void)run;
    (void)item;
    return VERDICT_PERMIT;
}

RESTRICTION_FUNCTION(reject)
{
    (void)item;
    return restriction_refuse(run, SUBJECT_STAGE, (unsigned)run->conf->reject_code, "5.7.1",
                              "Access denied");
}

RESTRICTION_FUNCTION(defer)
{
    (void)item;
    return restriction_refuse(run, SUBJECT_STAGE, (unsigned)run->conf->defer_code, "4.7.1",
                              "Try again later");
}

RESTRICTION_FUNCTION(defer_if_permit)
{
    (void)item;
    restriction_refuse(run, SUBJECT_STAGE, 450, "4.7.0", "defer_if_permit requested");
    return VERDICT_DEFER_IF_PERMIT;
}

RESTRICTION_FUNCTION(defer_if_reject)
{
    (void)item;
    restriction_refuse(run, SUBJECT_STAGE, 450, "4.7.0", "defer_if_reject requested");
    return VERDICT_DEFER_IF_REJECT;
}

RESTRICTION_FUNCTION(permit_mynetworks)
{
    (void)item;
    return run->facts->trusted ? VERDICT_PERMIT : VERDICT_DUNNO;
}

RESTRICTION_FUNCTION(permit_sasl_authenticated)
{
    (void)item;
    return run->facts->login != NULL ? VERDICT_PERMIT : VERDICT_DUNNO;
}

RESTRICTION_FUNCTION(reject_plaintext_session)
{
    (void)item;
    if (run->facts->tls)
        return VERDICT_DUNNO;
    return restriction_refuse(run, SUBJECT_STAGE, (unsigned)run->conf->plaintext_reject_code,
                              "4.7.1", "Session encryption is required");
}

RESTRICTION_FUNCTION(reject_unauth_pipelining)
{
    (void)item;
    if (!run->facts->early_input)
        return VERDICT_DUNNO;
    return restriction_refuse(run, SUBJECT_STAGE, 503, "5.5.0",
                              "Improper use of SMTP command pipelining");
}

/* A bounce goes to the one sender of the message that it returns. */
RESTRICTION_FUNCTION(reject_multi_recipient_bounce)
{
    (void)item;
    const struct restriction_facts *f = run->facts;
    /* At RCPT the recipient at hand is not counted yet. */
    size_t count = f->recipient_count + (restriction_run_stage(run) < STAGE_DATA);
    if (f->sender.given == NULL || f->sender.full[0] != '\0' || count <= 1)
        return VERDICT_DUNNO;
    return restriction_refuse(run, SUBJECT_STAGE,
                              (unsigned)run->conf->multi_recipient_bounce_reject_code, "5.5.3",
                              "Multi-recipient bounce");
}

static bool is_literal(const char *s)
{
    struct netaddr addr;

    return smtp_literal_parse(s, strlen(s), &addr) == 0;
}

RESTRICTION_FUNCTION(reject_invalid_helo_hostname)
{
    (void)item;
    const char *helo = run->facts->helo;
    if (helo == NULL || is_literal(helo) || smtp_hostname_valid(helo, strlen(helo)))
        return VERDICT_DUNNO;
    return restriction_refuse(run, SUBJECT_HELO, (unsigned)run->conf->invalid_hostname_reject_code,
                              "5.5.2", "Invalid name");
}

RESTRICTION_FUNCTION(reject_non_fqdn_helo_hostname)
{
    (void)item;
    const char *helo = run->facts->helo;
    if (helo == NULL || is_literal(helo) || smtp_hostname_fqdn(helo, strlen(helo)))
        return VERDICT_DUNNO;
    return restriction_refuse(run, SUBJECT_HELO, (unsigned)run->conf->non_fqdn_reject_code, "5.5.2",
                              "need fully-qualified hostname");
}

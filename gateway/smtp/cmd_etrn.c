/* ETRN (RFC 1985): a host that was away asks for its mail. */
#include <stdlib.h>

#include "gateway/smtp/smtpd.h"

static void etrn_done(struct session *s, struct restriction_result *r)
{
    if (result_refuses(r)) {
        log_info("ETRN refused", LOG_STR("id", s->id), LOG_STR("domain", s->etrn),
                 LOG_UINT("code", r->code), LOG_STR("reply", r->text),
                 LOG_STR("restriction", r->restriction),
                 LOG_STR("policy", r->dn != NULL ? r->dn : "dirigo.conf"));
        session_reply(s, r->code, r->status, "%s", r->text);
    } else if (queue_flush_domain(s->d->queue, s->etrn)) {
        session_reply(s, 250, "2.0.0", "Queuing started");
    } else {
        session_reply(s, 458, "4.3.0", "The queue is not available");
    }
    free(s->etrn);
    s->etrn = NULL;
}

void command_etrn(struct session *s, const char *arg, size_t len)
{
    if (s->flavour->submission) {
        session_reply(s, 502, "5.5.1", "ETRN is not offered here");
    } else if (s->tx != NULL) {
        session_reply(s, 503, "5.5.1", "A mail transaction is in progress");
    } else if (!smtp_hostname_valid(arg, len)) {
        session_reply(s, 501, "5.5.4", "A domain is needed");
    } else {
        free(s->etrn);
        s->etrn = mem_strndup(arg, len);
        evaluate(s, 1u << STAGE_ETRN, NULL, etrn_done);
    }
}

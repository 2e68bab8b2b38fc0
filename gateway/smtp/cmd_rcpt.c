/* RCPT (RFC 5321 section 4.1.1.3): restrictions, then the directory's answer. */
#include <stdio.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/smtp/smtpd.h"

static void refuse(struct session *s, const struct restriction_result *r, const char *reason)
{
    const struct restriction_facts *f = &s->eval->facts;
    char client[NETADDR_STRLEN];

    s->d->refused_recipients++;
    log_info("recipient refused", LOG_STR("id", s->id),
             LOG_STR("client", netaddr_str(&s->peer, client)), LOG_STR("helo", s->helo),
             LOG_STR("from", f->sender.full), LOG_STR("to", f->recipient.full),
             LOG_UINT("code", r->code), LOG_STR("reply", r->text),
             LOG_STR("restriction", r->restriction),
             LOG_STR("policy", r->dn != NULL ? r->dn : "dirigo.conf"), LOG_STR("reason", reason));
    session_reply(s, r->code, r->status, "%s", r->text);
}

/* Keeps what the recipient's policy has for DATA. False after a reply. */
static bool keep_data_list(struct session *s, const char *address)
{
    struct restriction_result r;
    const char *dn;

    if (!evaluation_has_lists(s->eval, STAGE_DATA))
        return true;
    struct restriction_list *list = evaluation_list(s->eval, STAGE_DATA, address, &dn, &r);
    if (list == NULL) {
        refuse(s, &r, NULL);
        return false;
    }
    if (transaction_add_data_list(s->tx, list, dn) == 0)
        return true;
    session_reply(s, 452, "4.5.3", "Too many policies for one message, send it again for others");
    return false;
}

static void accept_recipient(struct session *s)
{
    const struct resolution *res = evaluation_recipient(s->eval);
    const char *address = s->eval->facts.recipient.full, *reason;
    struct restriction_result r;

    if (!evaluation_accepts(s->eval, &r, &reason)) {
        refuse(s, &r, reason);
        return;
    }
    if (!keep_data_list(s, address))
        return;
    if (transaction_add(s, address, &s->rcpt_options, res, &s->eval->list) != 0) {
        session_reply(s, 452, "4.5.3", "Too many recipients");
        return;
    }
    transaction_take_effects(s->tx, &s->eval->run);
    session_reply(s, 250, "2.1.5", "Ok");
}

static void rcpt_done(struct session *s, struct restriction_result *r)
{
    if (result_refuses(r)) {
        refuse(s, r, NULL);
        return;
    }
    accept_recipient(s);
}

/* The way back is nobody's address and no relaying: who sends there is judged, and the signature in
 * it. */
static void reverse_done(struct session *s, struct restriction_result *r)
{
    if (result_refuses(r))
        refuse(s, r, NULL);
    else
        reverse_recipient(s, s->eval->facts.recipient.full);
}

void command_rcpt(struct session *s, const char *arg, size_t len)
{
    if (s->tx->message != NULL) {
        session_reply(s, 503, "5.5.1", "The message is being sent with BDAT");
        return;
    }
    struct evaluation *e = evaluate_begin(s);
    struct restriction_address address;
    const char *error;

    enum smtp_syntax syntax =
        smtp_path_args_parse(arg, len, "TO", (s->tx->options.flags & QUEUE_UTF8) != 0, e->scratch,
                             &s->rcpt_args, &error);
    if (syntax == SMTP_SYNTAX_OK && s->rcpt_args.address.text[0] == '\0') {
        syntax = SMTP_SYNTAX_ADDRESS;
        error = "a recipient is needed";
    }
    if (syntax != SMTP_SYNTAX_OK) {
        command_syntax_error(s, syntax, "5.1.3", error);
        return;
    }
    if (!params_rcpt(s, &s->rcpt_options, &s->rcpt_args))
        return;
    if (s->tx->recipient_count >= (size_t)s->d->conf->smtpd_recipient_limit) {
        session_reply(s, 452, "4.5.3", "Too many recipients");
        return;
    }
    if (s->early_talker) {
        session_reply(s, 550, "5.5.1", "Protocol error");
        return;
    }
    if (!within_limits(s, LIMIT_RECIPIENT)) {
        over_limit(s, "recipients");
        return;
    }
    evaluator_address(&s->d->evaluator, &s->rcpt_args.address, e->scratch, &address);
    unsigned stages = evaluator_rcpt_stages(&s->d->evaluator, s->flavour->submission);
    if (reverse_wanted(s, address.full))
        evaluate(s, stages & ~(1u << STAGE_RELAY | 1u << STAGE_RECIPIENT), &address, reverse_done);
    else
        evaluate(s, stages, &address, rcpt_done);
}

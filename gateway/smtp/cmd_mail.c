/* MAIL (RFC 5321 section 4.1.1.2) */
#include "gateway/base/clock.h"
#include "gateway/smtp/smtpd.h"

void command_syntax_error(struct session *s, enum smtp_syntax syntax, const char *address_status,
                          const char *error)
{
    switch (syntax) {
    case SMTP_SYNTAX_ADDRESS:
        session_reply(s, 501, address_status, "Bad address syntax: %s", error);
        break;
    case SMTP_SYNTAX_NEED_UTF8:
        session_reply(s, 553, "5.6.7", "Internationalized address without SMTPUTF8: %s", error);
        break;
    default:
        session_reply(s, 501, "5.5.4", "Syntax error: %s", error);
        break;
    }
}

static void mail_done(struct session *s, struct restriction_result *r)
{
    if (result_refuses(r)) {
        log_info("sender refused", LOG_STR("id", s->id), LOG_STR("from", s->tx->sender.full),
                 LOG_UINT("code", r->code), LOG_STR("reply", r->text),
                 LOG_STR("restriction", r->restriction),
                 LOG_STR("policy", r->dn != NULL ? r->dn : "dirigo.conf"));
        session_reply(s, r->code, r->status, "%s", r->text);
        transaction_end(s);
        return;
    }
    transaction_take_effects(s->tx, &s->eval->run);
    session_reply(s, 250, "2.1.0", "Ok");
}

/* Submission: RFC 6409 section 4.3; a login needs TLS, or an exception that offers mechanisms. */
static bool may_send(struct session *s)
{
    if (!s->flavour->submission || s->login != NULL)
        return true;
    if (command_mechanisms(s)[0] == '\0')
        session_reply(s, 530, "5.7.0", "Must issue a STARTTLS command first");
    else
        session_reply(s, 530, "5.7.0", "Authentication required");
    return false;
}

void command_mail(struct session *s, const char *arg, size_t len)
{
    struct smtp_path_args args;
    const char *error;

    if (s->tx != NULL) {
        session_reply(s, 503, "5.5.1", "Nested MAIL command");
        return;
    }
    if (!may_send(s))
        return;
    if (!within_limits(s, LIMIT_MESSAGE)) {
        over_limit(s, "messages");
        return;
    }
    s->tx = transaction_new();
    enum smtp_syntax syntax =
        smtp_path_args_parse(arg, len, "FROM", true, s->tx->arena, &args, &error);
    if (syntax != SMTP_SYNTAX_OK) {
        command_syntax_error(s, syntax, "5.1.7", error);
        goto fail;
    }
    if (!params_mail(s, s->tx, &args))
        goto fail;
    if (args.address.utf8 && !(s->tx->options.flags & QUEUE_UTF8)) {
        command_syntax_error(s, SMTP_SYNTAX_NEED_UTF8, "5.1.7", "MAIL has no SMTPUTF8");
        goto fail;
    }
    s->tx->sender_given = args.address;
    evaluator_address(&s->d->evaluator, &s->tx->sender_given, s->tx->arena, &s->tx->sender);
    s->tx->begun = clock_now_ms();
    transaction_take_early(s->tx, s->client_effects);
    transaction_take_early(s->tx, s->helo_effects);
    if (s->d->conf->smtpd_delay_reject || s->flavour->submission)
        session_reply(s, 250, "2.1.0", "Ok");
    else
        evaluate(s, 1u << STAGE_SENDER, NULL, mail_done);
    return;
fail:
    transaction_end(s);
}

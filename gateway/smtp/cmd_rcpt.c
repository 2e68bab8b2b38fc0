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

static void refuse_as(struct session *s, unsigned code, const char *status, const char *text,
                      const char *restriction, const struct resolution *res)
{
    struct restriction_result r = {
        .code = code, .restriction = restriction, .dn = res->dn != NULL ? res->dn : "directory"};

    snprintf(r.status, sizeof(r.status), "%c%s", code < 500 ? '4' : '5', status + 1);
    snprintf(r.text, sizeof(r.text), "<%.300s>: %s", s->eval->facts.recipient.given->text, text);
    refuse(s, &r, res->reason);
}

/*
 * Whatever lists say or leave out: mail for others is relayed only for our networks, for who has
 * logged in, and where a restriction of the relay stage permitted it in so many words.
 */
static bool may_relay(const struct session *s)
{
    return s->trusted || s->login != NULL || s->eval->run.relay_permitted;
}

/* Keeps what the recipient's policy has for DATA. False after a reply. */
static bool keep_data_list(struct session *s, const char *address)
{
    struct restriction_result r;
    const char *dn;

    if (s->flavour->submission)
        return true;
    struct restriction_list *list = evaluate_list(s, STAGE_DATA, address, &dn, &r);
    if (list == NULL) {
        refuse(s, &r, NULL);
        return false;
    }
    if (transaction_add_data_list(s->tx, list, dn) == 0)
        return true;
    session_reply(s, 452, "4.5.3", "Too many policies for one message, send it again for others");
    return false;
}

static void accept_recipient(struct session *s, const struct resolution *res)
{
    const char *address = s->eval->facts.recipient.full;
    int64_t code = s->d->conf->unknown_local_recipient_reject_code;

    switch (res->answer) {
    case ANSWER_FOUND:
        break;
    case ANSWER_ABSENT:
        if (res->disabled)
            refuse_as(s, (unsigned)code, "5.2.1", "Recipient address rejected: Mailbox disabled",
                      "reject_unlisted_recipient", res);
        else
            refuse_as(s, (unsigned)code, "5.1.1", "Recipient address rejected: User unknown",
                      "reject_unlisted_recipient", res);
        return;
    default:
        refuse_as(s, 451, "4.4.3", "Recipient address rejected: Temporary lookup failure",
                  "reject_unlisted_recipient", res);
        return;
    }
    if (!res->local_domain && !may_relay(s)) {
        refuse_as(s, (unsigned)s->d->conf->relay_domains_reject_code, "5.7.1",
                  "Relay access denied", "no restriction permits relaying", res);
        return;
    }
    if (!keep_data_list(s, address))
        return;
    if (transaction_add(s, address, res) != 0) {
        session_reply(s, 452, "4.5.3", "Too many recipients");
        return;
    }
    session_reply(s, 250, "2.1.5", "Ok");
}

static void rcpt_done(struct session *s, struct restriction_result *r)
{
    if (result_refuses(r)) {
        refuse(s, r, NULL);
        return;
    }
    accept_recipient(s, evaluate_recipient(s));
}

static unsigned stages(const struct session *s)
{
    unsigned all = 1u << STAGE_RELAY;

    if (s->flavour->submission)
        return all;
    all |= 1u << STAGE_RECIPIENT;
    if (s->d->conf->smtpd_delay_reject)
        all |= 1u << STAGE_CLIENT | 1u << STAGE_HELO | 1u << STAGE_SENDER;
    return all;
}

void command_rcpt(struct session *s, const char *arg, size_t len)
{
    struct evaluation *e = evaluation_begin(s);
    struct restriction_address address;
    const char *error;

    enum smtp_syntax syntax = smtp_path_args_parse(arg, len, "TO", e->scratch, &e->args, &error);
    if (syntax == SMTP_SYNTAX_OK && e->args.address.text[0] == '\0') {
        syntax = SMTP_SYNTAX_ADDRESS;
        error = "a recipient is needed";
    }
    if (syntax != SMTP_SYNTAX_OK) {
        command_syntax_error(s, syntax, "5.1.3", error);
        return;
    }
    if (e->args.param_count > 0) {
        session_reply(s, 555, "5.5.4", "Unsupported parameter %.40s", e->args.params[0].name);
        return;
    }
    if (s->tx->recipient_count >= (size_t)s->d->conf->smtpd_recipient_limit) {
        session_reply(s, 452, "4.5.3", "Too many recipients");
        return;
    }
    transaction_address(s->d, &e->args.address, e->scratch, &address);
    evaluate(s, stages(s), &address, rcpt_done);
}

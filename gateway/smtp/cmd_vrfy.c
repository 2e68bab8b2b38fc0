/*
 * VRFY (RFC 5321 section 3.5.2). Where it is answered at all, it tells nobody what RCPT would not:
 * the same restrictions and limits are asked first, with the sender of the transaction if there is
 * one.
 */
#include "gateway/smtp/smtpd.h"

static void vrfy_done(struct session *s, struct restriction_result *r)
{
    const char *address = s->eval->facts.recipient.full;

    if (result_refuses(r)) {
        log_info("VRFY refused", LOG_STR("id", s->id), LOG_STR("address", address),
                 LOG_UINT("code", r->code), LOG_STR("reply", r->text),
                 LOG_STR("restriction", r->restriction),
                 LOG_STR("policy", r->dn != NULL ? r->dn : "dirigo.conf"));
        session_reply(s, r->code, r->status, "%s", r->text);
        return;
    }
    switch (evaluation_recipient(s->eval)->answer) {
    case ANSWER_FOUND:
        session_reply(s, 252, "2.0.0", "<%.300s>", address);
        break;
    case ANSWER_ABSENT:
        session_reply(s, 550, "5.1.1", "<%.300s>: User unknown", address);
        break;
    default:
        session_reply(s, 451, "4.4.3", "Temporary lookup failure");
        break;
    }
}

/* Whether the client may ask for one more address; replies where not. */
static bool may_ask(struct session *s)
{
    if (s->early_talker) {
        session_reply(s, 550, "5.5.1", "Protocol error");
        return false;
    }
    if (within_limits(s, LIMIT_RECIPIENT))
        return true;
    over_limit(s, "recipients");
    return false;
}

void command_vrfy(struct session *s, const char *arg, size_t len)
{
    struct smtp_address given, *kept;
    struct restriction_address address;
    const char *error, *cursor = arg;

    if (len == 0) {
        session_reply(s, 501, "5.5.4", "An address is needed");
        return;
    }
    if (s->d->conf->disable_vrfy_command) {
        session_reply(s, 252, "2.0.0", "Send some mail, it will be tried");
        return;
    }
    if (!may_ask(s))
        return;
    struct evaluation *e = evaluate_begin(s);
    enum smtp_syntax syntax = smtp_path_scan(&cursor, arg + len, false, e->scratch, &given, &error);
    if (syntax != SMTP_SYNTAX_OK || cursor != arg + len || given.text[0] == '\0') {
        session_reply(s, 501, "5.1.3", "Malformed address");
        return;
    }
    /* Restrictions may have to wait, and look at it then. */
    kept = arena_alloc(e->scratch, sizeof(*kept));
    if (kept == NULL) {
        session_reply(s, 451, "4.3.0", "Out of memory");
        return;
    }
    *kept = given;
    evaluator_address(&s->d->evaluator, kept, e->scratch, &address);
    evaluate(s, evaluator_rcpt_stages(&s->d->evaluator, s->flavour->submission), &address,
             vrfy_done);
}

/* The table of commands, and the short ones. */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/smtp/smtpd.h"

enum {
    NEEDS_HELO = 1,  /* smtpd_helo_required; LMTP and submission always */
    NEEDS_MAIL = 2,  /* a transaction */
    NEEDS_RCPT = 4,  /* and a recipient */
    NO_ARGUMENT = 8, /* RFC 5321 gives it none */
    JUNK = 16,       /* counts towards smtpd_junk_command_limit */
    ENDS_BURST = 32, /* RFC 2920: the client must wait for its reply */
    NOT_LMTP = 64,
    LMTP_ONLY = 128,
    FORBIDDEN = 256 /* no SMTP: a browser that was led here. The session ends. */
};

static void command_rset(struct session *s, const char *arg, size_t len)
{
    (void)arg;
    (void)len;
    transaction_end(s);
    session_reply(s, 250, "2.0.0", "Ok");
}

static void command_noop(struct session *s, const char *arg, size_t len)
{
    (void)arg;
    (void)len;
    session_reply(s, 250, "2.0.0", "Ok");
}

static void command_quit(struct session *s, const char *arg, size_t len)
{
    (void)arg;
    (void)len;
    session_bye(s, 221, "2.0.0", "Bye");
}

static void command_forbidden(struct session *s, const char *arg, size_t len)
{
    (void)arg;
    (void)len;
    log_info("not SMTP", LOG_STR("id", s->id));
    session_bye(s, 521, "5.7.0", "This is a mail server");
}

static const struct command {
    const char *verb;
    unsigned flags;
    void (*run)(struct session *s, const char *arg, size_t len);
} commands[] = {
    {"RCPT", NEEDS_HELO | NEEDS_MAIL, command_rcpt},
    {"MAIL", NEEDS_HELO, command_mail},
    {"DATA", NEEDS_HELO | NEEDS_RCPT | NO_ARGUMENT | ENDS_BURST, command_data},
    {"BDAT", 0, command_bdat}, /* whatever is wrong, its octets are to be read */
    {"EHLO", NOT_LMTP | ENDS_BURST, command_ehlo},
    {"HELO", NOT_LMTP | ENDS_BURST, command_helo},
    {"LHLO", LMTP_ONLY | ENDS_BURST, command_ehlo},
    {"QUIT", NO_ARGUMENT, command_quit},
    {"RSET", NO_ARGUMENT | JUNK, command_rset},
    {"STARTTLS", NO_ARGUMENT | ENDS_BURST, command_starttls},
    {"AUTH", NEEDS_HELO, command_auth},
    {"NOOP", JUNK | ENDS_BURST, command_noop},
    {"XCLIENT", NOT_LMTP | ENDS_BURST, command_xclient},
    {"ETRN", NEEDS_HELO | NOT_LMTP | JUNK | ENDS_BURST, command_etrn},
    {"VRFY", JUNK | ENDS_BURST, command_vrfy},
    {"HELP", JUNK | ENDS_BURST, command_help},
    {"EXPN", JUNK | ENDS_BURST, command_expn},
    {"GET", FORBIDDEN, command_forbidden},
    {"POST", FORBIDDEN, command_forbidden},
    {"CONNECT", FORBIDDEN, command_forbidden},
    {"USER-AGENT:", FORBIDDEN, command_forbidden},
};

static const struct command *find(const char *verb, size_t len)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (str_is(verb, len, commands[i].verb))
            return &commands[i];
    return NULL;
}

/* Whether the command may run now; replies where not. */
static bool allowed(struct session *s, const struct command *c, size_t arg_len)
{
    bool needs_helo = s->d->conf->smtpd_helo_required || s->flavour->lmtp || s->flavour->submission;

    if ((c->flags & NEEDS_HELO) && needs_helo && s->helo == NULL) {
        session_reply(s, 503, "5.5.1", "Send %s first", s->flavour->lmtp ? "LHLO" : "EHLO");
    } else if ((c->flags & NO_ARGUMENT) && arg_len > 0) {
        session_reply(s, 501, "5.5.4", "%s has no argument", c->verb);
    } else if ((c->flags & (NEEDS_MAIL | NEEDS_RCPT)) && s->tx == NULL) {
        session_reply(s, 503, "5.5.1", "Send MAIL first");
    } else if ((c->flags & NEEDS_RCPT) && s->tx->recipient_count == 0) {
        session_reply(s, s->flavour->lmtp ? 503 : 554, "5.5.1", "No valid recipients");
    } else {
        return true;
    }
    return false;
}

bool within_limits(struct session *s, enum limit_event event)
{
    struct limits *l = s->d->evaluator.limits;

    return limits_client(l, event, &s->peer) &&
           (s->login == NULL || limits_login(l, event, s->login_key));
}

void over_limit(struct session *s, const char *what)
{
    char text[NETADDR_STRLEN];

    log_info("limit reached", LOG_STR("id", s->id), LOG_STR("of", what),
             LOG_STR("peer", netaddr_str(&s->peer, text)),
             LOG_STR("login", s->login != NULL ? s->login->login : NULL));
    session_reply(s, 450, "4.7.1", "Too many %s from you, try again later", what);
}

void command_run(struct session *s, size_t len, bool more)
{
    const char *verb, *arg;
    size_t verb_len, arg_len;

    if (service_stopping(s->d->service) && s->tx == NULL) {
        session_bye(s, 421, "4.3.2", "The service is going down, try again later");
        return;
    }
    smtp_command_split(s->d->line, len, &verb, &verb_len, &arg, &arg_len);
    const struct command *c = find(verb, verb_len);
    if (c == NULL || ((c->flags & NOT_LMTP) && s->flavour->lmtp) ||
        ((c->flags & LMTP_ONLY) && !s->flavour->lmtp)) {
        session_reply(s, 500, "5.5.2", "Command not recognized");
        return;
    }
    if (more && ((c->flags & ENDS_BURST) || !s->esmtp))
        s->early_input = true;
    if ((c->flags & JUNK) && ++s->junk > (unsigned)s->d->conf->smtpd_junk_command_limit)
        s->errors++;
    if (allowed(s, c, arg_len))
        c->run(s, arg, arg_len);
}

/* ---- greetings ---- */

char *helo_name(const char *arg, size_t len)
{
    if (len == 0 || len > SMTP_DOMAIN_MAX)
        return NULL;
    char *helo = mem_strndup(arg, len);
    for (char *p = helo; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~' || strchr("()<>\\\";,", *p) != NULL)
            *p = '?';
    return helo;
}

static void say_hello(struct session *s)
{
    const struct conf *conf = s->d->conf;

    if (!s->esmtp) {
        session_reply(s, 250, NULL, "%s", conf->myhostname);
        return;
    }
    extensions_say(s);
}

static void helo_done(struct session *s, struct restriction_result *r)
{
    if (result_refuses(r)) {
        log_info("greeting refused", LOG_STR("id", s->id), LOG_STR("helo", s->helo),
                 LOG_STR("reply", r->text), LOG_STR("restriction", r->restriction),
                 LOG_STR("policy", r->dn != NULL ? r->dn : "dirigo.conf"));
        session_reply(s, r->code, r->status, "%s", r->text);
        free(s->helo);
        s->helo = NULL;
        return;
    }
    effects_keep(&s->helo_effects, &s->eval->run);
    say_hello(s);
}

static void hello(struct session *s, const char *arg, size_t len, bool esmtp)
{
    char *helo = helo_name(arg, len);

    if (helo == NULL) {
        session_reply(s, 501, "5.5.4", "A host name is needed");
        return;
    }
    transaction_end(s); /* RFC 5321 section 4.1.4 */
    effects_free(&s->helo_effects);
    free(s->helo);
    s->helo = helo;
    s->esmtp = esmtp;
    if (s->d->conf->smtpd_delay_reject || s->flavour->submission)
        say_hello(s);
    else
        evaluate(s, 1u << STAGE_HELO, NULL, helo_done);
}

void command_ehlo(struct session *s, const char *arg, size_t len)
{
    hello(s, arg, len, true);
}

void command_helo(struct session *s, const char *arg, size_t len)
{
    hello(s, arg, len, false);
}

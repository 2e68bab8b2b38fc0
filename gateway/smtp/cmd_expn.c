/* EXPN and HELP (RFC 5321 sections 3.5 and 4.1.1.8). */
#include "gateway/smtp/smtpd.h"

#define EXPN_MAX     100 /* lines of one answer */
#define EXPN_SCRATCH ((size_t)16 << 20)

static void answer(struct session *s, const struct resolution *res, const char *address)
{
    if (res->answer == ANSWER_UNKNOWN) {
        session_reply(s, 451, "4.4.3", "Temporary lookup failure");
        return;
    }
    if (res->answer == ANSWER_ABSENT || res->count == 0) {
        session_reply(s, 550, "5.1.1", "<%.300s>: User unknown", address);
        return;
    }
    for (size_t i = 0; i < res->count; i++) {
        if (res->count > EXPN_MAX || res->deliveries[i].kind == DELIVERY_LIST) {
            session_reply(s, 252, "2.0.0", "<%.300s>: more than are listed", address);
            return;
        }
    }
    for (size_t i = 0; i + 1 < res->count; i++)
        session_reply_more(s, 250, "<%.300s>", res->deliveries[i].address);
    session_reply(s, 250, NULL, "<%.300s>", res->deliveries[res->count - 1].address);
}

void command_expn(struct session *s, const char *arg, size_t len)
{
    struct smtp_address given;
    struct restriction_address address;
    struct resolution res = {.answer = ANSWER_UNKNOWN};
    const char *error, *cursor = arg;

    if (s->login == NULL || !s->d->conf->smtpd_expn_for_logins) {
        session_reply(s, 502, "5.5.1", "EXPN is not offered");
        return;
    }
    struct arena *arena = arena_new(EXPN_SCRATCH);
    enum smtp_syntax syntax = len > 0
                                  ? smtp_path_scan(&cursor, arg + len, false, arena, &given, &error)
                                  : SMTP_SYNTAX_ADDRESS;
    if (syntax != SMTP_SYNTAX_OK || cursor != arg + len || given.text[0] == '\0') {
        session_reply(s, 501, "5.1.3", "An address is needed");
    } else {
        evaluator_address(&s->d->evaluator, &given, arena, &address);
        struct snapshot *snap = snapshot_take(s->d->evaluator.directory);
        if (snap != NULL)
            resolve_recipient(snap, address.full, false, arena, &res);
        answer(s, &res, address.full);
        snapshot_release(&snap);
    }
    arena_free(&arena);
}

void command_help(struct session *s, const char *arg, size_t len)
{
    (void)arg;
    (void)len;
    session_reply_more(s, 214, "%s HELO MAIL RCPT DATA BDAT RSET NOOP QUIT",
                       s->flavour->lmtp ? "LHLO" : "EHLO");
    session_reply_more(s, 214, "STARTTLS AUTH VRFY EXPN HELP%s",
                       extension_offered(s, EXT_ETRN) ? " ETRN" : "");
    session_reply(s, 214, NULL, "RFC 5321 has the commands; postmaster@%.200s helps further",
                  s->d->conf->mydomain);
}

/* DATA (RFC 5321 section 4.1.1.4): the last restrictions, then the message. */
#include "gateway/smtp/smtpd.h"

void data_decided(struct session *s, struct restriction_result *r)
{
    if (result_refuses(r)) {
        log_info("message refused", LOG_STR("id", s->id), LOG_STR("from", s->tx->sender.full),
                 LOG_UINT("code", r->code), LOG_STR("reply", r->text),
                 LOG_STR("restriction", r->restriction),
                 LOG_STR("policy", r->dn != NULL ? r->dn : "dirigo.conf"));
        session_reply(s, r->code, r->status, "%s", r->text);
        transaction_end(s);
        return;
    }
    transaction_take_effects(s->tx, &s->eval->run);
    message_begin(s);
}

void command_data(struct session *s, const char *arg, size_t len)
{
    (void)arg;
    (void)len;
    if (s->tx->message != NULL) { /* RFC 3030 section 2 */
        session_reply(s, 503, "5.5.1", "The message is being sent with BDAT");
        return;
    }
    s->chunk = (struct chunk){0};
    if (s->tx->data_list_count > 0)
        evaluate_data(s, data_decided);
    else
        message_begin(s);
}

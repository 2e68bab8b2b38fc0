/*
 * Strangers wait for their greeting, and who speaks before it is no mail server (RFC 5321 section
 * 4.3.1): Postfix's postscreen calls it the pregreet test.
 */
#include <string.h>

#include "gateway/smtp/smtpd.h"

static bool drops(const struct session *s)
{
    return strcmp(s->d->conf->postscreen_greet_action, "drop") == 0;
}

static void end_wait(struct session *s)
{
    timer_free(&s->greet_timer);
    s->waiting = false;
    session_greet(s);
    session_run(s);
}

static void on_timer(void *arg)
{
    struct session *s = arg;

    if (!s->early_talker)
        limits_waited(s->d->evaluator.limits, &s->peer);
    end_wait(s);
}

bool pregreet_begin(struct session *s)
{
    const struct conf *conf = s->d->conf;

    if (strcmp(conf->postscreen_greet_action, "ignore") == 0 || s->flavour->submission ||
        s->flavour->lmtp || s->trusted || limits_has_waited(s->d->evaluator.limits, &s->peer))
        return false;
    if (*conf->postscreen_greet_banner != '\0')
        session_reply_more(s, 220, "%s", conf->postscreen_greet_banner);
    session_flush(s);
    session_wait(s, false);
    s->greet_timer = timer_new(s->d->loop, on_timer, s);
    timer_set(s->greet_timer, conf->postscreen_greet_wait);
    return true;
}

void pregreet_input(struct session *s)
{
    char text[NETADDR_STRLEN];

    if (s->early_talker)
        return;
    s->early_talker = true;
    log_info("client speaks before it is greeted", LOG_STR("id", s->id),
             LOG_STR("peer", netaddr_str(&s->peer, text)),
             LOG_STR("action", s->d->conf->postscreen_greet_action));
    if (!drops(s))
        return; /* it still waits, and then is refused every recipient */
    timer_free(&s->greet_timer);
    s->waiting = false;
    session_bye(s, 521, "5.5.1", "Protocol error");
    session_run(s);
}

/* What dirigo-filter is asked about a message. */
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/smtp/smtpd.h"

/* Whether something is forwarded, or may turn out to be when large groups are expanded. */
static bool forwards(const struct session *s)
{
    const struct part *part;

    if (*s->d->conf->srs_domain == '\0' || s->tx->sender.full[0] == '\0')
        return false;
    if (s->tx->expansion != NULL)
        return true;
    STAILQ_FOREACH (part, &s->tx->parts, link) {
        if (part->forwarded)
            return true;
    }
    return false;
}

unsigned filter_flags(const struct session *s)
{
    const struct conf *conf = s->d->conf;
    unsigned flags;

    if (s->d->filter == NULL)
        return 0;
    flags = forwards(s) ? FILTER_FORWARD : 0;
    if (s->flavour->lmtp)
        return flags;
    if (s->login != NULL || s->trusted)
        return flags | (*conf->dkim_key_directory != '\0' ? FILTER_SIGN : 0);
    return flags | (conf->authentication_checks.n > 0 ? FILTER_VERIFY : 0);
}

/* ---- bounces that come back ---- */

bool reverse_wanted(const struct session *s, const char *address)
{
    const char *domain = s->d->conf->srs_domain, *at = strrchr(address, '@');

    return *domain != '\0' && at != NULL && str_ieq(at + 1, domain) &&
           (str_istarts(address, "SRS0") || str_istarts(address, "SRS1"));
}

static void reversed(const struct filter_result *result, void *arg)
{
    static const struct list_outcome no_list;
    struct session *s = arg;
    const char *address = s->tx->reverse_address;

    s->tx->reverse_id = 0;
    if (result->verdict == FILTER_ACCEPT) {
        const struct delivery d = {.kind = DELIVERY_REMOTE, .address = result->text};
        const struct resolution res = {.answer = ANSWER_FOUND, .deliveries = &d, .count = 1};
        if (transaction_add(s, address, &s->rcpt_options, &res, &no_list) == 0) {
            transaction_take_effects(s->tx, &s->eval->run);
            session_reply(s, 250, "2.1.5", "Ok");
        } else {
            session_reply(s, 452, "4.5.3", "Too many recipients");
        }
    } else if (result->verdict == FILTER_REJECT) {
        s->d->refused_recipients++;
        log_info("recipient refused", LOG_STR("id", s->id), LOG_STR("to", address),
                 LOG_STR("reply", result->text));
        session_reply(s, 550, "5.1.1", "%s", result->text);
    } else {
        session_reply(s, 451, "4.3.0", "%s", result->text);
    }
    session_resume(s);
}

void reverse_recipient(struct session *s, const char *address)
{
    s->tx->reverse_address = arena_strdup(s->tx->arena, address);
    if (s->tx->reverse_address == NULL) {
        session_reply(s, 452, "4.5.3", "Too many recipients");
        return;
    }
    session_wait(s, false);
    s->tx->reverse_id = filter_reverse(s->d->filter, address, reversed, s);
}

/* Whether some of it leaves this host, as far as is known before large groups are expanded. */
static bool leaves(const struct transaction *tx)
{
    const struct part *part;
    const struct target *t;

    if (tx->expansion != NULL)
        return true;
    STAILQ_FOREACH (part, &tx->parts, link) {
        STAILQ_FOREACH (t, &part->targets, link) {
            if (t->rcpt.kind == QUEUE_RCPT_REMOTE)
                return true;
        }
    }
    return false;
}

static void add_domain(struct filter_request *r, const char *address)
{
    const char *at = strrchr(address, '@');

    for (size_t i = 0; at != NULL && i < r->domain_count; i++) {
        if (str_ieq(r->domains[i], at + 1))
            return;
    }
    if (at != NULL && r->domain_count < FILTER_DOMAINS_MAX)
        r->domains[r->domain_count++] = at + 1;
}

void filter_describe(const struct session *s, struct filter_request *r)
{
    const struct recipient *rcpt;

    if ((r->flags & FILTER_VERIFY) && *s->d->conf->arc_seal_domain != '\0' && leaves(s->tx))
        r->flags |= FILTER_SEAL;
    r->peer = s->peer;
    r->helo = s->helo != NULL ? s->helo : "";
    r->sender = s->tx->sender.full;
    STAILQ_FOREACH (rcpt, &s->tx->recipients, link)
        add_domain(r, rcpt->address);
}

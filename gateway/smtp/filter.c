/* What dirigo-filter is asked about a message. */
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/smtp/smtpd.h"

unsigned filter_flags(const struct session *s)
{
    const struct conf *conf = s->d->conf;
    bool ours = s->login != NULL || s->trusted;

    if (s->d->filter == NULL || s->flavour->lmtp)
        return 0;
    if (ours)
        return *conf->dkim_key_directory != '\0' ? FILTER_SIGN : 0;
    return conf->authentication_checks.n > 0 ? FILTER_VERIFY : 0;
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

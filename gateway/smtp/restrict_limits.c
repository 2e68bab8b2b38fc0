/* check_greylist and check_rate_limit: what was there before, in the process' shared memory. */
#include <stdio.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/smtp/restriction_impl.h"

enum {
    RATE_MAX = 10000000,
    KEY_MAX = 1024
};

/* Who has logged in or is in mynetworks sends again anyhow. */
RESTRICTION_FUNCTION(check_greylist)
{
    const struct restriction_facts *f = run->facts;
    int64_t wait_s;
    char text[80];

    (void)item;
    if (f->trusted || f->login != NULL || run->ops->greylist(run->ops_arg, &wait_s))
        return VERDICT_DUNNO;
    snprintf(text, sizeof(text), "Greylisted, try again in %lld seconds", (long long)wait_s);
    return restriction_refuse(run, SUBJECT_RECIPIENT, 450, "4.2.0", text);
}

/* Whom a rate is of. */
static const struct subject {
    const char *name;
    const char *(*key)(const struct restriction_run *run, char *dst);
} subjects[];

struct rate {
    const struct subject *subject;
    unsigned n;
    int64_t ms;
};

/* The client's network, as in limits: who has a /64 has addresses without number. */
static const char *client(const struct restriction_run *run, char *dst)
{
    const struct netaddr *addr = &run->facts->client;
    int64_t bits = addr->family == 6 ? run->conf->smtpd_client_ipv6_prefix_length
                                     : run->conf->smtpd_client_ipv4_prefix_length;
    struct netaddr net = netaddr_network(addr, (unsigned)bits);

    return netaddr_str(&net, dst);
}

static const char *login(const struct restriction_run *run, char *dst)
{
    const struct restriction_facts *f = run->facts;

    (void)dst;
    return f->login != NULL && f->login_key != NULL ? f->login_key : f->login;
}

static const char *sender(const struct restriction_run *run, char *dst)
{
    (void)dst;
    return run->facts->sender.full;
}

static const char *sender_domain(const struct restriction_run *run, char *dst)
{
    (void)dst;
    return run->facts->sender.domain;
}

static const char *recipient(const struct restriction_run *run, char *dst)
{
    (void)dst;
    return run->facts->recipient.full;
}

static const char *recipient_domain(const struct restriction_run *run, char *dst)
{
    (void)dst;
    return run->facts->recipient.domain;
}

static const struct subject subjects[] = {
    {"client", client},       {"login", login},
    {"sender", sender},       {"sender_domain", sender_domain},
    {"recipient", recipient}, {"recipient_domain", recipient_domain},
};

/* "10m": a number of seconds, or with s, m, h or d behind it. */
static bool parse_time(const char *text, int64_t *ms)
{
    static const char units[] = "smhd";
    static const int64_t lengths[] = {1000, 60000, 3600000, 86400000};
    size_t len = strlen(text);
    const char *unit = len > 0 ? strchr(units, text[len - 1]) : NULL;
    uint64_t n;

    if (str_uint(text, unit != NULL ? len - 1 : len, 1000000, &n) != 0 || n == 0)
        return false;
    *ms = (int64_t)n * (unit != NULL ? lengths[unit - units] : 1000);
    return true;
}

/* "SUBJECT=N/TIME" */
static bool parse_rate(const char *arg, struct rate *rate)
{
    const char *equals = strchr(arg, '='), *slash = strchr(arg, '/');
    uint64_t n;

    if (equals == NULL || slash == NULL || slash < equals ||
        str_uint(equals + 1, (size_t)(slash - equals - 1), RATE_MAX, &n) != 0 || n == 0 ||
        !parse_time(slash + 1, &rate->ms))
        return false;
    rate->n = (unsigned)n;
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        rate->subject = &subjects[i];
        if (str_is(arg, (size_t)(equals - arg), subjects[i].name))
            return true;
    }
    return false;
}

bool restriction_rate_valid(const char *arg)
{
    struct rate rate;

    return parse_rate(arg, &rate);
}

/* Each policy counts by itself. */
RESTRICTION_FUNCTION(check_rate_limit)
{
    const char *dn = restriction_run_dn(run);
    char key[KEY_MAX], buffer[NETADDR_STRLEN];
    struct rate rate;

    if (!parse_rate(item->arg, &rate))
        return restriction_misconfigured(run, "bad rate", item->arg);
    const char *subject = rate.subject->key(run, buffer);
    if (subject == NULL || *subject == '\0')
        return VERDICT_DUNNO;
    snprintf(key, sizeof(key), "%s\n%s\n%s", item->arg, subject, dn != NULL ? dn : "");
    if (run->ops->rate(run->ops_arg, key, rate.n, rate.ms))
        return VERDICT_DUNNO;
    return restriction_refuse(run, SUBJECT_STAGE, 450, "4.7.1", "Too often, try again later");
}

/* Restrictions that ask DNS lists: of addresses (RFC 5782 section 2) and of names (section 3). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/str.h"
#include "gateway/proto/dns.h"
#include "gateway/smtp/dnsl.h"
#include "gateway/smtp/restriction_impl.h"

#define LISTS_MAX 16 /* of maps_rbl_domains */

/* One question to one list. */
struct question {
    char domain[RESTRICTION_NAME_MAX + 1];
    struct dnsl_pattern pattern;
    int weight; /* 0: listed is refused */
    enum dnsl_kind kind;
    char name[DNS_NAME_MAX]; /* what is asked */
    const char *what;        /* who is asked about, for the reply */
    const char *subject;     /* "Client host" */
};

bool restriction_dnsl_valid(const char *arg)
{
    char domain[RESTRICTION_NAME_MAX + 1];
    struct dnsl_pattern pattern;
    int weight;

    return dnsl_parse(arg, domain, sizeof(domain), &pattern, &weight) == 0;
}

bool restriction_dnsl_valid_unweighted(const char *arg)
{
    return strchr(arg, '*') == NULL && restriction_dnsl_valid(arg);
}

/* Divides a list's name into the question; whether it is one. */
static bool parse(const char *list, struct question *q)
{
    return dnsl_parse(list, q->domain, sizeof(q->domain), &q->pattern, &q->weight) == 0;
}

/* ---- the reply ---- */

#define REPLY_NAMES 17

struct reply_name {
    const char *name, *value;
};

static const char *value_of(const struct reply_name *names, const char *s, size_t len)
{
    for (size_t i = 0; i < REPLY_NAMES; i++)
        if (strlen(names[i].name) == len && memcmp(names[i].name, s, len) == 0)
            return names[i].value != NULL ? names[i].value : "";
    return NULL;
}

static size_t name_len(const char *s)
{
    size_t n = 0;

    while ((s[n] >= 'a' && s[n] <= 'z') || s[n] == '_')
        n++;
    return n;
}

/* $name and ${name} at p, which is behind the dollar sign; returns where the text goes on. */
static const char *expand_name(struct buf *out, const char *p, const char *end,
                               const struct reply_name *names);

static void expand(struct buf *out, const char *p, const char *end, const struct reply_name *names)
{
    while (p < end) {
        if (*p == '$') {
            p = expand_name(out, p + 1, end, names);
            continue;
        }
        buf_append_byte(out, (unsigned char)*p++);
    }
}

/* The bracket that closes, or NULL; brackets nest. */
static const char *closing(const char *p, const char *end)
{
    for (int depth = 1; p < end; p++) {
        depth += (*p == '{') - (*p == '}');
        if (depth == 0)
            return p;
    }
    return NULL;
}

static const char *expand_name(struct buf *out, const char *p, const char *end,
                               const struct reply_name *names)
{
    bool braces = p < end && *p == '{';
    const char *name = p + braces;
    size_t len = name_len(name);
    const char *close = braces ? closing(name, end) : name + len;
    const char *value = value_of(names, name, len);

    if (close == NULL || len == 0) {
        buf_append_byte(out, '$'); /* no name: stays as it is */
        return p;
    }
    const char *rest = name + len;
    if (braces && (*rest == '?' || *rest == ':')) {
        bool set = value != NULL && *value != '\0';
        if (set == (*rest == '?'))
            expand(out, rest + 1, close, names);
    } else if (value != NULL) {
        buf_append_str(out, value);
    }
    return braces ? close + 1 : close;
}

/* What rbl_reply_maps has for the list, else default_rbl_reply; valid until the next question. */
static const char *reply_form(struct restriction_run *run, const struct question *q)
{
    const struct conf_list *tables = &run->conf->rbl_reply_maps;
    struct restriction_text t;

    for (size_t i = 0; i < tables->n && run->ops->access != NULL; i++)
        if (run->ops->access(run->ops_arg, tables->v[i], ACCESS_DOMAIN, q->domain, &t) ==
            ANSWER_FOUND)
            return t.text;
    return run->conf->default_rbl_reply;
}

/* The local part of an address as far as it is one, in dst. */
static const char *local_part(const struct restriction_address *a, char *dst, size_t size)
{
    const char *at = a->full == NULL ? NULL : strrchr(a->full, '@');

    snprintf(dst, size, "%.*s", at == NULL ? 0 : (int)(at - a->full), at == NULL ? "" : a->full);
    return dst;
}

/* The reply as default_rbl_reply makes it; a code and a status at its front replace ours. */
static enum verdict say(struct restriction_run *run, const struct question *q, const char *reason)
{
    char from[RESTRICTION_NAME_MAX + 1], to[RESTRICTION_NAME_MAX + 1];
    const struct restriction_facts *f = run->facts;
    char client[RESTRICTION_CLIENT_STRLEN], addr[NETADDR_STRLEN], code[8];
    const struct reply_name names[REPLY_NAMES] = {
        {"rbl_code", code},
        {"rbl_class", q->subject},
        {"rbl_what", q->what},
        {"rbl_domain", q->domain},
        {"rbl_reason", reason},
        {"client", restriction_client_str(f, client)},
        {"client_address", netaddr_str(&f->client, addr)},
        {"client_name", f->client_name->name},
        {"reverse_client_name", f->client_name->reverse_name},
        {"helo_name", f->helo},
        {"rbl_txt", reason},
        {"sender", f->sender.full},
        {"sender_name", local_part(&f->sender, from, sizeof(from))},
        {"sender_domain", f->sender.domain},
        {"recipient", f->recipient.full},
        {"recipient_name", local_part(&f->recipient, to, sizeof(to))},
        {"recipient_domain", f->recipient.domain},
    };
    const char *form = reply_form(run, q);
    struct buf out = {.max = 2048}; /* more is cut off in a reply anyway */
    unsigned n = (unsigned)run->conf->maps_rbl_reject_code;

    snprintf(code, sizeof(code), "%u", n);
    expand(&out, form, form + strlen(form), names);
    const char *text = buf_str(&out);
    if ((text[0] == '4' || text[0] == '5') && strspn(text, "0123456789") == 3 && text[3] == ' ') {
        n = (unsigned)atoi(text);
        text += 4;
    }
    char status[12] = "5.7.1";
    restriction_take_status(&text, status);
    enum verdict v = restriction_say(run, n, status, "%s", text);
    buf_free(&out);
    return v;
}

/* ---- asking ---- */

static void note(struct restriction_run *run, const struct question *q, const char *fault)
{
    int64_t until = clock_now_ms() + run->conf->dnsl_test_interval;
    static const char *const kinds[] = {"IPv4 addresses", "IPv6 addresses", "names"};

    if (run->lists_health == NULL ||
        !dnsl_health_set(run->lists_health, q->domain, q->kind, fault == NULL, until))
        return;
    if (fault != NULL)
        log_warning("DNS list is not used: it fails its test (RFC 5782)",
                    LOG_STR("list", q->domain), LOG_STR("for", kinds[q->kind]),
                    LOG_STR("why", fault));
    else
        log_notice("DNS list is used again", LOG_STR("list", q->domain),
                   LOG_STR("for", kinds[q->kind]));
}

/* Whether the list may be believed; what nobody can tell now is believed until it can be. */
static enum verdict fit(struct restriction_run *run, const struct question *q, bool *good)
{
    char name[DNS_NAME_MAX];
    struct restriction_dns yes, no;

    *good = true;
    if (run->conf->dnsl_test_interval == 0)
        return VERDICT_DUNNO;
    if (run->lists_health != NULL) {
        enum dnsl_state state =
            dnsl_health_get(run->lists_health, q->domain, q->kind, clock_now_ms());
        *good = state != DNSL_BAD;
        if (state != DNSL_UNTESTED)
            return VERDICT_DUNNO;
    }
    if (!run->ops->dns(run->ops_arg, dnsl_test_name(name, q->kind, true, q->domain), DNS_TYPE_A,
                       &yes) ||
        !run->ops->dns(run->ops_arg, dnsl_test_name(name, q->kind, false, q->domain), DNS_TYPE_A,
                       &no))
        return VERDICT_WAIT;
    const char *fault = NULL;
    if (no.status == DNS_FOUND)
        fault = "it lists everything";
    else if (yes.status == DNS_NODATA || yes.status == DNS_NXDOMAIN)
        fault = "it lists nothing";
    else if (yes.status == DNS_UNKNOWN || no.status == DNS_UNKNOWN)
        return VERDICT_DUNNO;
    *good = fault == NULL;
    note(run, q, fault);
    return VERDICT_DUNNO;
}

/* WAIT, PERMIT: listed, DUNNO: not listed, DEFER: nobody can tell now. */
static enum verdict ask(struct restriction_run *run, const struct question *q)
{
    struct restriction_dns dns;
    bool good;

    if (fit(run, q, &good) == VERDICT_WAIT)
        return VERDICT_WAIT;
    if (!good)
        return VERDICT_DUNNO;
    if (!run->ops->dns(run->ops_arg, q->name, DNS_TYPE_A, &dns))
        return VERDICT_WAIT;
    if (dns.status == DNS_UNKNOWN)
        return VERDICT_DEFER;
    for (size_t i = 0; dns.status == DNS_FOUND && i < dns.count; i++)
        if (dnsl_pattern_match(&q->pattern, &dns.addresses[i]))
            return VERDICT_PERMIT;
    return VERDICT_DUNNO;
}

static enum verdict refuse(struct restriction_run *run, const struct question *q)
{
    struct restriction_dns dns;

    if (!run->ops->dns(run->ops_arg, q->name, DNS_TYPE_TXT, &dns))
        return VERDICT_WAIT;
    return say(run, q, dns.status == DNS_FOUND ? dns.text : NULL);
}

/* As ask; but a list that cannot be reached blocks no mail. */
static enum verdict ask_or_pass(struct restriction_run *run, const struct question *q)
{
    enum verdict v = ask(run, q);

    if (v != VERDICT_DEFER)
        return v;
    log_info("DNS list cannot be asked", LOG_STR("id", run->facts->id), LOG_STR("list", q->domain));
    return VERDICT_DUNNO;
}

/*
 * Weights add up over their list, and the last restriction that has one judges the sum, so that
 * their order does not matter; the heaviest list that has the client says the refusal. q is NULL
 * where there is nothing to ask about.
 */
static enum verdict weigh(struct restriction_run *run, const struct restriction_item *item,
                          const struct question *q)
{
    struct restriction_frame *f = &run->frames[run->depth - 1];

    /* Once, however often DNS makes it begin anew. */
    if (q != NULL && f->scored <= f->item) {
        enum verdict v = ask_or_pass(run, q);
        if (v == VERDICT_WAIT)
            return v;
        if (v == VERDICT_PERMIT) {
            struct question heaviest;
            f->score += q->weight;
            if (f->best == NULL || !parse(f->best->arg, &heaviest) || heaviest.weight < q->weight)
                f->best = item;
        }
        f->scored = f->item + 1;
    }
    if (!item->last_weight || f->best == NULL || f->score < run->conf->postscreen_dnsbl_threshold)
        return VERDICT_DUNNO;
    run->score_reached = true;
    enum verdict v = f->best->def->check(run, f->best);
    run->score_reached = false;
    return v;
}

/* Refuses what is listed; q is NULL where there is nothing to ask about. */
static enum verdict refuse_listed(struct restriction_run *run, const struct restriction_item *item,
                                  const struct question *q)
{
    if (run->score_reached)
        return q == NULL ? VERDICT_DUNNO : refuse(run, q);
    if (strchr(item->arg, '*') != NULL)
        return weigh(run, item, q);
    enum verdict v = q == NULL ? VERDICT_DUNNO : ask_or_pass(run, q);
    return v == VERDICT_PERMIT ? refuse(run, q) : v;
}

/* A question about the client's address; false where there is none. */
static bool about_client(struct restriction_run *run, const char *list, struct question *q,
                         char addr[NETADDR_STRLEN])
{
    const struct netaddr *client = &run->facts->client;

    if (client->family == 0 || !parse(list, q))
        return false;
    q->kind = client->family == 6 ? DNSL_IPV6 : DNSL_IPV4;
    q->what = netaddr_str(client, addr);
    q->subject = "Client host";
    dnsl_name(q->name, client, q->domain);
    return true;
}

RESTRICTION_FUNCTION(reject_rbl_client)
{
    struct question q;
    char addr[NETADDR_STRLEN];

    return refuse_listed(run, item, about_client(run, item->arg, &q, addr) ? &q : NULL);
}

/* With a weight anywhere, those of all lists that have the client add up; without one it is 1. */
static enum verdict weigh_all(struct restriction_run *run, const struct conf_list *lists, size_t n)
{
    struct question q, best = {.weight = 0};
    char addr[NETADDR_STRLEN];
    int score = 0;

    for (size_t i = 0; i < n; i++) {
        if (!about_client(run, lists->v[i], &q, addr))
            continue;
        enum verdict v = ask_or_pass(run, &q);
        if (v == VERDICT_WAIT)
            return v;
        if (v != VERDICT_PERMIT)
            continue;
        q.weight += q.weight == 0;
        score += q.weight;
        if (q.weight > best.weight)
            best = q;
    }
    if (best.weight == 0 || score < run->conf->postscreen_dnsbl_threshold)
        return VERDICT_DUNNO;
    return refuse(run, &best);
}

RESTRICTION_FUNCTION(reject_maps_rbl)
{
    const struct conf_list *lists = &run->conf->maps_rbl_domains;
    size_t n = lists->n < LISTS_MAX ? lists->n : LISTS_MAX;
    struct question q;
    char addr[NETADDR_STRLEN];
    enum verdict v = VERDICT_DUNNO;

    (void)item;
    for (size_t i = 0; i < n; i++)
        if (strchr(lists->v[i], '*') != NULL)
            return weigh_all(run, lists, n);
    for (size_t i = 0; v == VERDICT_DUNNO && i < n; i++)
        if (about_client(run, lists->v[i], &q, addr))
            v = ask_or_pass(run, &q);
    return v == VERDICT_PERMIT ? refuse(run, &q) : v;
}

/* A list of friends never opens a relay. */
RESTRICTION_FUNCTION(permit_dnswl_client)
{
    const struct restriction_address *r = &run->facts->recipient;
    struct question q;
    char addr[NETADDR_STRLEN];

    if (!about_client(run, item->arg, &q, addr))
        return VERDICT_DUNNO;
    if (r->given != NULL &&
        (r->given->literal || run->ops->domain(run->ops_arg, r->domain) != ANSWER_FOUND))
        return VERDICT_DUNNO;
    enum verdict v = ask(run, &q);
    if (v != VERDICT_DEFER)
        return v;
    restriction_refuse(run, SUBJECT_CLIENT, 450, "4.7.1", "Allow-list lookup failure");
    return VERDICT_DEFER_IF_REJECT;
}

/* ---- names ---- */

static enum verdict refuse_name(struct restriction_run *run, const struct restriction_item *item,
                                const char *subject, const char *name, const char *what)
{
    struct question q = {.kind = DNSL_NAMES, .subject = subject, .what = what};

    if (name == NULL || !smtp_hostname_valid(name, strlen(name)) || !parse(item->arg, &q))
        return refuse_listed(run, item, NULL);
    snprintf(q.name, sizeof(q.name), "%s.%s", name, q.domain);
    return refuse_listed(run, item, &q);
}

RESTRICTION_FUNCTION(reject_rhsbl_client)
{
    if (restriction_client_name(run) == VERDICT_WAIT)
        return VERDICT_WAIT;
    const struct restriction_client *c = run->facts->client_name;
    const char *name = c->verified == CLIENT_NAME_FOUND ? c->name : NULL;
    return refuse_name(run, item, "Client host", name, name);
}

RESTRICTION_FUNCTION(reject_rhsbl_helo)
{
    return refuse_name(run, item, "Helo command", run->facts->helo, run->facts->helo);
}

RESTRICTION_FUNCTION(reject_rhsbl_sender)
{
    const struct restriction_address *a = &run->facts->sender;

    return refuse_name(run, item, "Sender address", a->given == NULL ? NULL : a->domain, a->full);
}

RESTRICTION_FUNCTION(reject_rhsbl_recipient)
{
    const struct restriction_address *a = &run->facts->recipient;

    return refuse_name(run, item, "Recipient address", a->given == NULL ? NULL : a->domain,
                       a->full);
}

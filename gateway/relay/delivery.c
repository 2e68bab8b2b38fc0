/* One job's way to its next hop. */
#include "gateway/relay/delivery.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/proto/idn.h"

struct delivery {
    const struct delivery_env *env;
    struct relay_job *job;
    void (*done)(struct delivery *d, void *arg);
    void *arg;
    struct timer *start_timer;
    int64_t started;
    struct nexthop hop;
    char *key; /* of the session in the pool */
    struct route *route;
    bool configured; /* the next hop is not just the recipients' domain */
    struct smtp_client *client;
    bool reused;       /* client comes from the pool */
    unsigned tries;    /* addresses */
    char *tls_version; /* of the last session, for the log */
    struct route_answer target;
};

static void next_address(struct delivery *d);

/* ---- the end ---- */

static void log_outcome(const struct delivery *d)
{
    int64_t delay = clock_now_ms() - d->started;

    for (size_t i = 0; i < d->job->count; i++) {
        const struct relay_rcpt *rcpt = &d->job->rcpts[i];
        const char *text = rcpt->text;
        /* The text is "[NNN ]X.Y.Z words". */
        size_t skip = strcspn(text, " ") == 3 ? 4 : 0, dsn = strcspn(text + skip, " ");
        log_info("relayed", LOG_STR("id", d->job->id), LOG_STR("to", rcpt->address),
                 LOG_STR("relay", rcpt->host[0] != '\0' ? rcpt->host : "none"),
                 LOG_STR("tls", d->tls_version != NULL ? d->tls_version : "none"),
                 LOG_STR("status", relay_status_word(rcpt->status)),
                 LOG_BYTES("dsn", text + skip, dsn), LOG_INT("delay_ms", delay),
                 LOG_STR("reply", text));
    }
}

static void finish(struct delivery *d)
{
    for (size_t i = 0; i < d->job->count; i++)
        if (!d->job->rcpts[i].decided)
            relay_rcpt_decide(&d->job->rcpts[i], RELAY_DEFERRED, true, "", 0, "4.4.0",
                              "no host could be reached");
    log_outcome(d);
    d->done(d, d->arg);
}

/* Decides about the recipients that no host has decided about. */
static void decide_rest(struct delivery *d, enum relay_status status, const char *enhanced,
                        const char *words)
{
    for (size_t i = 0; i < d->job->count; i++)
        if (!d->job->rcpts[i].decided)
            relay_rcpt_decide(&d->job->rcpts[i], status, true, "", 0, enhanced, words);
}

/* ---- a session ---- */

static void remember_tls(struct delivery *d)
{
    free(d->tls_version);
    d->tls_version = mem_strdup(smtp_client_tls_version(d->client));
}

static void on_ready(struct smtp_client *c, void *arg)
{
    struct delivery *d = arg;

    remember_tls(d);
    smtp_client_send(c, d->job);
}

static void on_sent(struct smtp_client *c, void *arg)
{
    struct delivery *d = arg;

    (void)c;
    if (relay_job_final(d->job)) {
        pool_put(d->env->pool, d->key, &d->client);
        finish(d);
        return;
    }
    smtp_client_quit(&d->client);
    d->reused = false;
    next_address(d);
}

static void connect_target(struct delivery *d, enum smtp_client_tls tls);

static void on_failed(struct smtp_client *c, const struct smtp_trouble *trouble, void *arg)
{
    struct delivery *d = arg;
    bool in_clear = trouble->tls && d->env->tls == SMTP_CLIENT_TLS_MAY;

    /* A kept session that has ended meanwhile says nothing about the host. */
    if (!d->reused && !in_clear)
        relay_job_decide(d->job, RELAY_DEFERRED, false, smtp_client_host(c), trouble->code,
                         trouble->enhanced, trouble->words);
    if (!d->reused)
        log_info("no delivery at this host", LOG_STR("id", d->job->id),
                 LOG_STR("relay", smtp_client_host(c)), LOG_UINT("code", trouble->code),
                 LOG_STR("reason", trouble->words), LOG_STR("next", in_clear ? "clear" : "host"));
    smtp_client_free(&d->client);
    d->reused = false;
    if (relay_job_final(d->job))
        finish(d);
    else if (in_clear)
        connect_target(d, SMTP_CLIENT_TLS_NONE);
    else
        next_address(d);
}

static const struct smtp_client_ops client_ops = {
    .ready = on_ready,
    .sent = on_sent,
    .failed = on_failed,
};

static void connect_target(struct delivery *d, enum smtp_client_tls tls)
{
    d->client = smtp_client_new(d->env->loop, &d->env->smtp, d->target.host, &d->target.address,
                                tls, &client_ops, d);
}

/* ---- the route ---- */

static void on_address(const struct route_answer *answer, void *arg)
{
    struct delivery *d = arg;

    switch (answer->result) {
    case ROUTE_ADDRESS:
        d->tries++;
        d->target = *answer;
        connect_target(d, d->env->tls);
        return;
    case ROUTE_BOUNCE:
        decide_rest(d, RELAY_BOUNCED, answer->enhanced, answer->words);
        break;
    case ROUTE_DEFER:
        decide_rest(d, RELAY_DEFERRED, answer->enhanced, answer->words);
        break;
    case ROUTE_END:
        break;
    }
    finish(d);
}

static void next_address(struct delivery *d)
{
    if (d->tries == d->env->address_limit) {
        finish(d);
        return;
    }
    if (d->route == NULL)
        d->route = route_new(d->env->loop, &d->env->route, &d->hop, d->configured);
    route_next(d->route, on_address, d);
}

/* ---- the start ---- */

/* Whether an address can stand in a command: no control bytes, and UTF-8, which needs SMTPUTF8. */
static const char *address_fault(const char *address, bool *utf8)
{
    *utf8 = false;
    for (const char *c = address; *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80)
            *utf8 = true;
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "5.1.3";
    }
    return str_utf8_valid(address, strlen(address)) ? NULL : "5.1.3";
}

static void check_addresses(struct delivery *d)
{
    bool utf8;
    const char *sender = address_fault(d->job->sender, &utf8);

    if (utf8)
        d->job->options.flags |= QUEUE_UTF8;
    for (size_t i = 0; i < d->job->count; i++) {
        const char *fault = address_fault(d->job->rcpts[i].address, &d->job->rcpts[i].utf8);
        if (fault == NULL)
            fault = sender;
        if (fault != NULL)
            relay_rcpt_decide(&d->job->rcpts[i], RELAY_BOUNCED, true, "", 0, fault,
                              "an address of the envelope cannot be sent to other hosts");
    }
}

static int choose_hop(struct delivery *d)
{
    const char *text = d->job->next_hop;

    d->configured = text[0] == '[';
    if (!d->configured && d->env->relayhost[0] != '\0') {
        d->configured = true;
        text = d->env->relayhost;
    }
    /* The domain as DNS has it. */
    char ascii[NEXTHOP_HOST_MAX + 16]; /* with brackets and a port */
    if (idn_to_ascii(ascii, sizeof(ascii), text) == 0 &&
        nexthop_parse(&d->hop, ascii, d->env->port) == 0)
        return 0;
    if (d->configured)
        decide_rest(d, RELAY_DEFERRED, "4.3.5",
                    "the next hop is no host: look at relayhost and mailHost");
    else
        decide_rest(d, RELAY_BOUNCED, "5.1.2", "the recipient's domain is none");
    return -1;
}

static void on_start(void *arg)
{
    struct delivery *d = arg;
    char address[NETADDR_STRLEN];

    check_addresses(d);
    if (relay_job_final(d->job) || choose_hop(d) == -1) {
        finish(d);
        return;
    }
    d->key = mem_printf(
        "%s:%u%s", d->hop.host[0] != '\0' ? d->hop.host : netaddr_str(&d->hop.address, address),
        d->hop.port, d->hop.use_mx ? " mx" : "");
    d->client = pool_take(d->env->pool, d->key);
    if (d->client == NULL) {
        next_address(d);
        return;
    }
    d->reused = true;
    smtp_client_set_ops(d->client, &client_ops, d);
    on_ready(d->client, d);
}

struct delivery *delivery_new(const struct delivery_env *env, struct relay_job *job,
                              void (*done)(struct delivery *d, void *arg), void *arg)
{
    struct delivery *d = mem_zalloc(sizeof(*d));

    d->env = env;
    d->job = job;
    d->done = done;
    d->arg = arg;
    d->started = clock_now_ms();
    d->start_timer = timer_new(env->loop, on_start, d);
    timer_set(d->start_timer, 0);
    return d;
}

const struct relay_job *delivery_job(const struct delivery *d)
{
    return d->job;
}

void delivery_free(struct delivery **d)
{
    if (*d == NULL)
        return;
    smtp_client_free(&(*d)->client);
    route_free(&(*d)->route);
    timer_free(&(*d)->start_timer);
    relay_job_free(&(*d)->job);
    free((*d)->key);
    free((*d)->tls_version);
    free(*d);
    *d = NULL;
}

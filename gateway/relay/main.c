/* dirigo-relay: takes jobs of dirigo-queue and sends them to other mail servers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/role.h"
#include "gateway/event/tls.h"
#include "gateway/ipc/channel.h"
#include "gateway/queue/protocol.h"
#include "gateway/relay/delivery.h"
#include "gateway/service/service.h"

enum {
    DNS_EXTRA_MS = 5000, /* the resolver's own time-out is to come first */
    REPORT_MS = 10000
};

struct work {
    TAILQ_ENTRY(work) entry;
    struct relay *relay;
    struct delivery *delivery;
};

struct relay {
    struct service *service;
    struct delivery_env env;
    struct tls_context *tls;
    struct ipc_client *queue;
    uint8_t proof[ROLE_PROOF_LEN]; /* zeroes without a key: the queue refuses it */
    TAILQ_HEAD(, work) works;
    size_t count, limit;
    struct timer *report_timer;
    uint64_t outcomes[RELAY_BOUNCED + 1]; /* recipients */
};

static void end_work(struct work *w)
{
    struct relay *r = w->relay;

    TAILQ_REMOVE(&r->works, w, entry);
    r->count--;
    delivery_free(&w->delivery);
    free(w);
    service_session_end(r->service);
}

/* The line of `dirigo status`, some time after there was something to say. */
static void report(void *arg)
{
    struct relay *r = arg;
    char text[160];

    (void)snprintf(text, sizeof(text), "sent=%llu deferred=%llu bounced=%llu sending=%zu",
                   (unsigned long long)r->outcomes[RELAY_SENT],
                   (unsigned long long)r->outcomes[RELAY_DEFERRED],
                   (unsigned long long)r->outcomes[RELAY_BOUNCED], r->count);
    service_report(r->service, text);
}

static void count_outcomes(struct relay *r, const struct relay_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        r->outcomes[job->rcpts[i].status]++;
    if (!timer_pending(r->report_timer))
        timer_set(r->report_timer, REPORT_MS);
}

static void on_done(struct delivery *d, void *arg)
{
    struct work *w = arg;
    struct msg *m = relay_job_report(delivery_job(d));

    count_outcomes(w->relay, delivery_job(d));
    ipc_send(w->relay->queue, &m);
    end_work(w);
}

static void offer(struct relay *r, size_t slots)
{
    struct msg *m = msg_new(QUEUE_MSG_RELAY_READY);

    msg_put_u32(m, (uint32_t)slots);
    msg_put_bytes(m, r->proof, sizeof(r->proof));
    ipc_send(r->queue, &m);
}

static void on_state(bool connected, void *arg)
{
    struct relay *r = arg;

    if (connected) {
        offer(r, service_draining(r->service) ? 0 : r->limit);
        return;
    }
    /* The queue starts these jobs again when it is back. */
    while (!TAILQ_EMPTY(&r->works))
        end_work(TAILQ_FIRST(&r->works));
}

static int on_event(struct msg *m, void *arg)
{
    struct relay *r = arg;

    if (msg_type(m) != QUEUE_MSG_RELAY_JOB)
        return -1;
    struct relay_job *job = relay_job_read(m);
    if (job == NULL)
        return -1;
    if (r->count >= r->limit || service_draining(r->service) ||
        !service_session_begin(r->service)) {
        relay_job_decide(job, RELAY_DEFERRED, true, "", 0, "4.3.2", "the relay is busy");
        struct msg *report = relay_job_report(job);
        ipc_send(r->queue, &report);
        relay_job_free(&job);
        return 0;
    }
    struct work *w = mem_zalloc(sizeof(*w));
    w->relay = r;
    w->delivery = delivery_new(&r->env, job, on_done, w);
    TAILQ_INSERT_TAIL(&r->works, w, entry);
    r->count++;
    return 0;
}

static int set_source(struct relay *r, const char *address)
{
    if (*address == '\0')
        return 0;
    if (netaddr_parse(&r->env.smtp.source, address) == -1) {
        log_error("smtp_bind_address is no address", LOG_STR("smtp_bind_address", address));
        return -1;
    }
    return 0;
}

/* An administrator's relayhost that is no next hop is said now, and not with each message. */
static int check_relayhost(const struct conf *conf)
{
    struct nexthop hop;

    if (*conf->relayhost == '\0' || nexthop_parse(&hop, conf->relayhost, 25) == 0)
        return 0;
    log_error("relayhost is no HOST or [HOST] with an optional :PORT",
              LOG_STR("relayhost", conf->relayhost));
    return -1;
}

static int open_relay(struct service *s)
{
    const struct conf *conf = service_conf(s);
    struct relay *r = mem_zalloc(sizeof(*r));
    const char *level = conf->smtp_tls_security_level;
    char *error = NULL;

    r->service = s;
    if (service_role_key(s) != NULL)
        role_prove(service_role_key(s), QUEUE_ROLE_RELAY, getpid(), r->proof);
    r->limit = (size_t)conf->smtp_delivery_limit;
    TAILQ_INIT(&r->works);
    service_set_data(s, r);
    r->env = (struct delivery_env){
        .loop = service_loop(s),
        .smtp = {.helo_name = conf->smtp_helo_name,
                 .connect_timeout = conf->smtp_connect_timeout,
                 .command_timeout = conf->smtp_command_timeout,
                 .data_done_timeout = conf->smtp_data_done_timeout},
        .route = {.myhostname = conf->myhostname,
                  .ipv4 = strcmp(conf->inet_protocols, "ipv6") != 0,
                  .ipv6 = strcmp(conf->inet_protocols, "ipv4") != 0},
        .tls = strcmp(level, "none") == 0      ? SMTP_CLIENT_TLS_NONE
               : strcmp(level, "encrypt") == 0 ? SMTP_CLIENT_TLS_ENCRYPT
                                               : SMTP_CLIENT_TLS_MAY,
        .relayhost = conf->relayhost,
        .port = (uint16_t)conf->smtp_tcp_port,
        .address_limit = (unsigned)conf->smtp_mx_address_limit,
    };
    if (set_source(r, conf->smtp_bind_address) == -1 || check_relayhost(conf) == -1)
        return -1;
    if (r->env.tls == SMTP_CLIENT_TLS_NONE)
        return 0;
    r->tls = tls_client_new(TLS_VERIFY_NONE, NULL, NULL, NULL, &error);
    if (r->tls == NULL)
        log_error("TLS cannot be set up", LOG_STR("error", error));
    free(error);
    r->env.smtp.tls = r->tls;
    return r->tls == NULL ? -1 : 0;
}

static int start_relay(struct service *s)
{
    const struct conf *conf = service_conf(s);
    struct relay *r = service_data(s);

    r->env.route.dns = dns_client_new(service_loop(s), service_run_path(s, "resolver.sock"),
                                      conf->resolver_timeout + DNS_EXTRA_MS);
    r->env.pool =
        pool_new(service_loop(s), (size_t)conf->smtp_connection_cache_limit,
                 conf->smtp_connection_cache_time_limit, conf->smtp_connection_reuse_time_limit);
    r->report_timer = timer_new(service_loop(s), report, r);
    r->queue = ipc_client_new(service_loop(s), service_run_path(s, "queue.sock"), QUEUE_SERVICE,
                              QUEUE_VERSION);
    ipc_client_on_state(r->queue, on_state, r);
    ipc_client_on_event(r->queue, on_event, r);
    return 0;
}

static void drain_relay(struct service *s)
{
    struct relay *r = service_data(s);

    offer(r, 0);
    pool_clear(r->env.pool);
}

static void stop_relay(struct service *s)
{
    struct relay *r = service_data(s);

    if (r == NULL)
        return;
    while (!TAILQ_EMPTY(&r->works))
        end_work(TAILQ_FIRST(&r->works));
    timer_free(&r->report_timer);
    ipc_client_free(&r->queue);
    pool_free(&r->env.pool);
    dns_client_free(&r->env.route.dns);
    tls_context_free(&r->tls);
    free(r);
    service_set_data(s, NULL);
}

int main(int argc, char **argv)
{
    static const struct service_def def = {
        .name = "dirigo-relay",
        .user = SERVICE_USER_DIRIGO,
        .flags = SERVICE_CONFINED,
        .open = open_relay,
        .start = start_relay,
        .drain = drain_relay,
        .stop = stop_relay,
    };

    return service_main(&def, argc, argv);
}

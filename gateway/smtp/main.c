/* The process: what it opens, its listeners, its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/base/clock.h"
#include "gateway/base/str.h"
#include "gateway/session/front_tls.h"
#include "gateway/session/haproxy_gate.h"
#include "gateway/smtp/dnsl.h"
#include "gateway/smtp/policy_client.h"
#include "gateway/smtp/smtpd.h"

#define REPORT_INTERVAL 2000
/* RFC 4954 section 4: an AUTH line may have 12288 bytes. */
#define AUTH_LINE_MAX 12288

static const struct flavour flavours[] = {
    {.protocol = "smtp"},
    {.protocol = "submission", .submission = true},
    {.protocol = "submissions", .submission = true, .tls_first = true},
    {.protocol = "lmtp", .lmtp = true},
};

static void list_fault(const char *parameter, const char *text, void *arg)
{
    struct smtpd *d = arg;
    service_fault(d->service, parameter, text);
}

static void smtpd_free(struct smtpd *d)
{
    directory_close(&d->evaluator.directory);
    tls_context_free(&d->tls);
    limits_free(&d->evaluator.limits);
    networks_free(&d->xclients);
    evaluator_release(&d->evaluator);
    mem_wipe_free(d->line, d->line_size);
    buf_wipe_free(&d->out);
    free(d);
}

static int smtpd_open(struct service *service)
{
    struct smtpd *d = mem_zalloc(sizeof(*d));
    char *error = NULL;

    d->service = service;
    d->loop = service_loop(service);
    d->conf = service_conf(service);
    TAILQ_INIT(&d->sessions);
    networks_read(&d->xclients, &d->conf->smtpd_authorized_xclient_hosts);
    d->line_size = (size_t)d->conf->line_length_limit;
    if (d->line_size < AUTH_LINE_MAX)
        d->line_size = AUTH_LINE_MAX;
    d->line = mem_alloc(++d->line_size);
    buf_init(&d->out, (size_t)4 << 20);
    tzset(); /* /etc/localtime is out of reach later */
    if (evaluator_init(&d->evaluator, d->conf, &error) != 0) {
        log_error("configuration is wrong", LOG_STR("error", error));
        goto fail;
    }
    if (restriction_check_conf(d->conf, list_fault, d) != 0)
        goto fail;
    const struct front_tls files = {d->conf->smtpd_tls_cert_file, d->conf->smtpd_tls_key_file,
                                    d->conf->smtpd_tls_ask_ccert, d->conf->smtpd_tls_CAfile};
    d->tls = front_tls_new(d->conf, &files, &error);
    if (d->tls == NULL) {
        service_fault_pair(service,
                           strcmp(d->conf->smtpd_tls_cert_file, d->conf->ssl_cert) == 0
                               ? "ssl_cert"
                               : "smtpd_tls_cert_file",
                           error);
        goto fail;
    }
    extensions_init(d);
    d->evaluator.limits = limits_new(d->conf, service_take_shared(service), service_index(service),
                                     service_count(service));
    if (d->evaluator.limits == NULL) {
        log_error("shared memory cannot be mapped", LOG_ERRNO(errno));
        goto fail;
    }
    d->evaluator.directory = directory_open(d->conf, &error);
    if (d->evaluator.directory == NULL) {
        log_error("replica cannot be opened", LOG_STR("error", error));
        goto fail;
    }
    service_set_data(service, d);
    return 0;
fail:
    free(error);
    smtpd_free(d);
    return -1;
}

static void send_report(void *arg)
{
    struct smtpd *d = arg;
    struct buf text = {.max = 1000}, bad = {.max = 700};

    buf_printf(&text, "connections=%llu accepted=%llu refused_recipients=%llu failed_logins=%llu",
               (unsigned long long)d->connections, (unsigned long long)d->accepted,
               (unsigned long long)d->refused_recipients, (unsigned long long)d->failed_logins);
    dnsl_health_bad(d->evaluator.dnsl, clock_now_ms(), &bad);
    if (bad.len > 0)
        buf_printf(&text, " dns_lists_not_used=%s", buf_str(&bad));
    service_report(d->service, buf_str(&text));
    buf_free(&text);
    buf_free(&bad);
}

static void on_ended(const struct uuid *owner, void *arg)
{
    struct smtpd *d = arg;
    struct session *s, *next;

    TAILQ_FOREACH_SAFE (s, &d->sessions, link, next)
        if (s->login != NULL && uuid_eq(&s->login->owner, owner))
            session_revoke(s);
}

static void smtpd_take(const char *protocol, int fd, const struct netaddr *peer, void *arg)
{
    struct smtpd *d = arg;
    const struct flavour *flavour = &flavours[0];

    for (size_t i = 0; i < sizeof(flavours) / sizeof(flavours[0]); i++)
        if (strcmp(flavours[i].protocol, protocol) == 0)
            flavour = &flavours[i];
    session_new(d, flavour, fd, peer);
    if (!timer_pending(d->report))
        timer_set(d->report, REPORT_INTERVAL);
}

static int smtpd_start(struct service *service)
{
    struct smtpd *d = service_data(service);

    directory_connect(d->evaluator.directory, d->loop, service_run_path(service, "directory.sock"));
    directory_on_ended(d->evaluator.directory, on_ended, d);
    d->evaluator.dns = dns_client_new(d->loop, service_run_path(service, "resolver.sock"),
                                      d->conf->resolver_timeout);
    d->evaluator.policy = policy_client_new(d->loop, d->conf, service_run_path(service, "."));
    d->auth = auth_client_new(d->loop, service_run_path(service, "auth.sock"), d->conf);
    if (d->conf->authentication_checks.n > 0 || *d->conf->dkim_key_directory != '\0' ||
        *d->conf->srs_domain != '\0')
        d->filter = filter_client_new(d->loop, service_run_path(service, "filter.sock"),
                                      d->conf->filter_timeout);
    d->queue = queue_client_new(d->loop, service_run_path(service, "queue.sock"));
    d->report = timer_new(d->loop, send_report, d);
    d->gate = haproxy_gate_new(d->loop, d->conf, smtpd_take, d);
    return 0;
}

static void smtpd_accept(struct service *service, const char *protocol, int fd,
                         const struct netaddr *peer)
{
    struct smtpd *d = service_data(service);

    haproxy_gate_accept(d->gate, protocol, fd, peer);
}

static void smtpd_tls_keys(struct service *service, const void *keys, size_t len)
{
    struct smtpd *d = service_data(service);

    front_tls_keys(d->tls, d->conf, keys, len);
}

static void smtpd_drain(struct service *service)
{
    struct smtpd *d = service_data(service);
    struct session *s, *next;

    TAILQ_FOREACH_SAFE (s, &d->sessions, link, next)
        session_drain(s);
}

static void smtpd_stop(struct service *service)
{
    struct smtpd *d = service_data(service);
    struct session *s;

    if (d == NULL)
        return;
    while ((s = TAILQ_FIRST(&d->sessions)) != NULL)
        session_free(s);
    haproxy_gate_free(&d->gate);
    timer_free(&d->report);
    queue_client_free(&d->queue);
    filter_client_free(&d->filter);
    auth_client_free(&d->auth);
    dns_client_free(&d->evaluator.dns);
    policy_client_free(&d->evaluator.policy);
    smtpd_free(d);
}

int main(int argc, char **argv)
{
    static const struct service_def def = {
        .name = "dirigo-smtpd",
        .user = SERVICE_USER_DIRIGO,
        .flags = SERVICE_CONFINED,
        .open = smtpd_open,
        .start = smtpd_start,
        .accept = smtpd_accept,
        .tls_keys = smtpd_tls_keys,
        .drain = smtpd_drain,
        .stop = smtpd_stop,
    };

    return service_main(&def, argc, argv);
}

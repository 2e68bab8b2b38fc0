/* Queries of the other processes, answered by libunbound on this process's loop. */
#include "gateway/resolver/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

#include <unbound.h>

#include <unbound-event.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/ipc/channel.h"
#include "gateway/resolver/anchors.h"
#include "gateway/resolver/client.h"
#include "gateway/resolver/local_data.h"
#include "gateway/resolver/protocol.h"
#include "gateway/resolver/settings.h"
#include "gateway/resolver/tunnel.h"

#define ROOT_HINTS "/usr/share/dns/root.hints"

enum {
    CLASS_IN = 1,
    SEC_BOGUS = 1, /* libunbound: 0 insecure, 1 bogus, 2 secure */
    SEC_SECURE = 2,
    REPORT_MS = 10000
};

/*
 * One question of a peer. libunbound calls back once: inside ub_resolve_event where the answer is
 * in the cache (calling is true then), later otherwise. A query that is cancelled is never called
 * back.
 */
struct query {
    TAILQ_ENTRY(query) by_age;
    LIST_ENTRY(query) of_peer;
    struct resolver *resolver;
    struct ipc_peer *peer;
    uint32_t id; /* of the peer's request */
    int async_id;
    int64_t deadline;
    bool calling, answered;
    uint16_t type;
    char name[]; /* for the log */
};

LIST_HEAD(peer_queries, query);

struct resolver {
    struct service *service;
    struct ub_ctx *ub;
    struct tls_context *tls;
    struct tunnel **tunnels; /* one for each of resolver_forward_zones; NULL: none */
    uint16_t *ports;         /* theirs */
    struct ipc_server *server;
    struct timer *timeout_timer, *report_timer;
    TAILQ_HEAD(, query) queries; /* waiting, oldest first: all have the same time-out */
    size_t outstanding, limit;
    int64_t timeout;
    uint64_t asked, bogus, failed;
};

/* ---- set-up ---- */

/* Gives libunbound the settings, which it reads from a file only: one that has no name. */
static int apply_settings(struct ub_ctx *ub, const struct buf *text)
{
    char path[64];
    int fd = memfd_create("resolver", MFD_CLOEXEC), err = UB_READFILE;

    if (fd == -1)
        return UB_READFILE;
    if (write(fd, text->data, text->len) == (ssize_t)text->len) {
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        err = ub_ctx_config(ub, path);
    }
    close(fd);
    return err;
}

static void on_warm(void *arg, int rcode, void *packet, int len, int sec, char *why,
                    int rate_limited)
{
    (void)rcode, (void)packet, (void)len, (void)sec, (void)why, (void)rate_limited;
    *(bool *)arg = true;
}

/* Answers a name that the library knows by itself, which makes it read and open all it needs. */
static int warm_up(struct ub_ctx *ub)
{
    bool called = false;
    int id = 0,
        err = ub_resolve_event(ub, "localhost", DNS_TYPE_A, CLASS_IN, &called, on_warm, &id);

    if (err == 0 && !called)
        ub_cancel(ub, id);
    return err;
}

/* One attempt; afresh: without the trust anchors that were kept. *kept: whether they were used. */
static int set_up_once(struct resolver *r, bool afresh, bool *kept)
{
    const struct conf *conf = service_conf(r->service);
    struct buf text = {0};
    char *error = NULL;
    int rc = -1, err;

    *kept = false;
    r->ub = ub_ctx_create_event(loop_base(service_loop(r->service)));
    if (r->ub == NULL) {
        log_error("libunbound gives no context");
        return -1;
    }
    if (settings_text(conf, access(ROOT_HINTS, R_OK) == 0 ? ROOT_HINTS : NULL, r->ports, &text,
                      &error) == -1) {
        log_error("bad parameter", LOG_STR("error", error));
        goto out;
    }
    err = apply_settings(r->ub, &text);
    if (err != 0) {
        log_error("libunbound refuses its settings", LOG_STR("error", ub_strerror(err)));
        goto out;
    }
    if (*conf->resolver_trust_anchor_file != '\0' && anchors_add(r->ub, conf, afresh, kept) == -1)
        goto out;
    if (*conf->resolver_local_data_file != '\0' &&
        local_data_add(r->ub, conf->resolver_local_data_file) == -1)
        goto out;
    err = warm_up(r->ub);
    if (err != 0) {
        log_error("libunbound does not start: look at the trust anchors",
                  LOG_STR("resolver_trust_anchor_file", conf->resolver_trust_anchor_file),
                  LOG_STR("error", ub_strerror(err)));
        goto out;
    }
    rc = 0;
out:
    free(error);
    buf_free(&text);
    return rc;
}

/* Listens for what libunbound has to say to servers by TLS. */
static int open_tunnels(struct resolver *r)
{
    const struct conf *conf = service_conf(r->service);
    const struct conf_list *zones = &conf->resolver_forward_zones;
    char *error = NULL;

    r->tunnels = mem_zalloc((zones->n + 1) * sizeof(struct tunnel *));
    r->ports = mem_zalloc((zones->n + 1) * sizeof(uint16_t));
    for (size_t i = 0; i < zones->n; i++) {
        struct netaddr server;
        const char *name;
        if (!settings_tls_server(zones->v[i], &server, &name))
            continue;
        if (r->tls == NULL)
            r->tls = tls_client_new(TLS_VERIFY_PEER, conf->resolver_tls_ca_cert_file, NULL, NULL,
                                    &error);
        if (r->tls == NULL) {
            service_fault(r->service, "resolver_tls_ca_cert_file", error);
            log_error("cannot read the certification authorities of name servers",
                      LOG_STR("resolver_tls_ca_cert_file", conf->resolver_tls_ca_cert_file),
                      LOG_STR("error", error));
            free(error);
            return -1;
        }
        r->tunnels[i] =
            tunnel_new(service_loop(r->service), r->tls, &server, name, conf->resolver_timeout);
        if (r->tunnels[i] == NULL) {
            log_error("cannot listen for DNS over TLS", LOG_STR("address", TUNNEL_ADDRESS),
                      LOG_ERRNO(errno));
            return -1;
        }
        r->ports[i] = tunnel_port(r->tunnels[i]);
    }
    return 0;
}

static int set_up(struct resolver *r)
{
    bool kept;

    if (open_tunnels(r) == -1)
        return -1;
    int rc = set_up_once(r, false, &kept);

    if (rc == 0 || !kept)
        return rc;
    log_warning("the trust anchors kept from an earlier run are thrown away");
    ub_ctx_delete(r->ub);
    return set_up_once(r, true, &kept);
}

/* ---- queries ---- */

static void report(void *arg)
{
    struct resolver *r = arg;
    char text[160];

    (void)snprintf(text, sizeof(text), "queries=%llu bogus=%llu failed=%llu outstanding=%zu",
                   (unsigned long long)r->asked, (unsigned long long)r->bogus,
                   (unsigned long long)r->failed, r->outstanding);
    service_report(r->service, text);
}

static void arm_timeout(struct resolver *r)
{
    struct query *q = TAILQ_FIRST(&r->queries);

    if (q == NULL)
        return;
    int64_t left = q->deadline - clock_now_ms();
    timer_set(r->timeout_timer, left > 0 ? left : 0);
}

static void send_answer(struct ipc_peer *peer, uint32_t id, enum dns_security security, bool failed,
                        const char *why, const void *packet, size_t len)
{
    struct msg *m = msg_new(RESOLVER_MSG_ANSWER);

    msg_put_u8(m, (uint8_t)security);
    msg_put_bool(m, failed);
    msg_put_str(m, why);
    msg_put_bytes(m, packet, len);
    ipc_reply(peer, id, &m);
}

static void query_wait(struct query *q)
{
    struct resolver *r = q->resolver;
    struct peer_queries *of_peer = ipc_peer_data(q->peer);

    TAILQ_INSERT_TAIL(&r->queries, q, by_age);
    LIST_INSERT_HEAD(of_peer, q, of_peer);
    /* What is outstanding holds a draining process back, as one session. */
    if (r->outstanding++ == 0)
        (void)service_session_begin(r->service);
    if (!timer_pending(r->timeout_timer))
        arm_timeout(r);
}

/* Frees a query that waits. */
static void query_end(struct query *q)
{
    struct resolver *r = q->resolver;

    TAILQ_REMOVE(&r->queries, q, by_age);
    LIST_REMOVE(q, of_peer);
    free(q);
    if (--r->outstanding == 0) {
        timer_stop(r->timeout_timer);
        service_session_end(r->service);
    }
}

/* The result of a query, from libunbound's side. The rcode stands in the packet: the argument says
 * 0 for a name that does not exist. */
static void on_result(void *arg, int rcode, void *packet, int len, int sec, char *why,
                      int rate_limited)
{
    struct query *q = arg;
    struct resolver *r = q->resolver;
    bool failed = rcode != 0 || packet == NULL || len <= 0 || rate_limited != 0;
    enum dns_security security = sec == SEC_BOGUS    ? DNS_BOGUS
                                 : sec == SEC_SECURE ? DNS_SECURE
                                                     : DNS_INSECURE;

    if (security == DNS_BOGUS) {
        r->bogus++;
        failed = true;
        why = why != NULL ? why : "DNSSEC validation failed";
        log_info("bogus DNS answer", LOG_STR("name", q->name), LOG_UINT("type", q->type),
                 LOG_STR("why", why));
    } else if (failed) {
        r->failed++;
        security = DNS_INSECURE;
        why = "no name server gave an answer";
    } else {
        why = "";
    }
    send_answer(q->peer, q->id, security, failed, why, failed ? NULL : packet,
                failed ? 0 : (size_t)len);
    if (q->calling)
        q->answered = true;
    else
        query_end(q);
}

static void on_timeout(void *arg)
{
    struct resolver *r = arg;
    struct query *q;
    int64_t now = clock_now_ms();

    while ((q = TAILQ_FIRST(&r->queries)) != NULL && q->deadline <= now) {
        ub_cancel(r->ub, q->async_id);
        r->failed++;
        send_answer(q->peer, q->id, DNS_INSECURE, true, "no answer in time", NULL, 0);
        query_end(q);
    }
    arm_timeout(r);
}

static void ask(struct resolver *r, struct ipc_peer *peer, uint32_t id, const char *name,
                uint16_t type)
{
    size_t len = strlen(name);
    struct query *q = mem_zalloc(sizeof(*q) + len + 1);

    q->resolver = r;
    q->peer = peer;
    q->id = id;
    q->type = type;
    q->deadline = clock_now_ms() + r->timeout;
    memcpy(q->name, name, len + 1);
    q->calling = true;
    int err = ub_resolve_event(r->ub, name, type, CLASS_IN, q, on_result, &q->async_id);
    q->calling = false;
    if (err != 0) {
        r->failed++;
        send_answer(peer, id, DNS_INSECURE, true, ub_strerror(err), NULL, 0);
        free(q);
    } else if (q->answered) {
        free(q);
    } else {
        query_wait(q);
    }
}

static int on_request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    struct resolver *r = arg;
    const char *name = msg_get_str(m);
    uint32_t type = msg_get_u32(m), id = msg_id(m);

    if (msg_type(m) != RESOLVER_MSG_QUERY || msg_end(m) == -1 || name == NULL ||
        strlen(name) >= DNS_NAME_MAX || type == 0 || type > UINT16_MAX)
        return -1;
    if (ipc_peer_data(peer) == NULL)
        ipc_peer_set_data(peer, mem_zalloc(sizeof(struct peer_queries)));
    r->asked++;
    if (!timer_pending(r->report_timer))
        timer_set(r->report_timer, REPORT_MS);
    if (r->outstanding >= r->limit) {
        r->failed++;
        send_answer(peer, id, DNS_INSECURE, true, "too many queries at one time", NULL, 0);
        return 0;
    }
    ask(r, peer, id, name, (uint16_t)type);
    return 0;
}

static void on_gone(struct ipc_peer *peer, void *arg)
{
    struct resolver *r = arg;
    struct peer_queries *of_peer = ipc_peer_data(peer);
    struct query *q;

    if (of_peer == NULL)
        return;
    while ((q = LIST_FIRST(of_peer)) != NULL) {
        ub_cancel(r->ub, q->async_id);
        query_end(q);
    }
    free(of_peer);
    ipc_peer_set_data(peer, NULL);
}

struct resolver *resolver_new(struct service *service)
{
    const struct conf *conf = service_conf(service);
    struct resolver *r = mem_zalloc(sizeof(*r));

    r->service = service;
    r->limit = (size_t)conf->resolver_query_limit;
    r->timeout = conf->resolver_timeout;
    TAILQ_INIT(&r->queries);
    r->timeout_timer = timer_new(service_loop(service), on_timeout, r);
    r->report_timer = timer_new(service_loop(service), report, r);
    if (set_up(r) == -1)
        resolver_free(&r);
    return r;
}

void resolver_serve(struct resolver *r, int listen_fd)
{
    static const struct ipc_server_ops ops = {.request = on_request, .gone = on_gone};

    r->server = ipc_server_new(service_loop(r->service), listen_fd, RESOLVER_SERVICE,
                               RESOLVER_VERSION, &ops, r);
}

void resolver_free(struct resolver **r)
{
    if (*r == NULL)
        return;
    /* The peers first: their queries end with them. */
    ipc_server_free(&(*r)->server);
    if ((*r)->ub != NULL)
        ub_ctx_delete((*r)->ub);
    for (size_t i = 0; i < service_conf((*r)->service)->resolver_forward_zones.n; i++)
        tunnel_free(&(*r)->tunnels[i]);
    free((*r)->tunnels);
    free((*r)->ports);
    tls_context_free(&(*r)->tls);
    timer_free(&(*r)->timeout_timer);
    timer_free(&(*r)->report_timer);
    free(*r);
    *r = NULL;
}

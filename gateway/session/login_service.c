/* The login front ends as services: certificate, clients, listeners. */
#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/session/front_tls.h"
#include "gateway/session/haproxy_gate.h"
#include "gateway/session/login.h"

struct login_service {
    struct service *service;
    const struct login_protocol *protocol;
    struct tls_context *tls; /* of the process once there is one */
    struct login_process *process;
    struct haproxy_gate *gate;
};

int login_service_open(struct service *s, const struct login_protocol *protocol)
{
    const struct conf *conf = service_conf(s);
    struct login_service *ls = mem_zalloc(sizeof(*ls));
    char *error = NULL;

    service_set_data(s, ls);
    ls->service = s;
    ls->protocol = protocol;
    const struct front_tls files = {conf->ssl_cert, conf->ssl_key, conf->ssl_verify_client_cert,
                                    conf->ssl_ca};
    ls->tls = front_tls_new(conf, &files, &error);
    if (ls->tls == NULL) {
        service_fault_pair(s, "ssl_cert", error);
        free(error);
        return -1;
    }
    return 0;
}

static bool login_service_begin(void *arg)
{
    struct login_service *ls = arg;
    return service_session_begin(ls->service);
}

static void login_service_end(void *arg)
{
    struct login_service *ls = arg;
    service_session_end(ls->service);
}

static void login_service_take(const char *protocol, int fd, const struct netaddr *client,
                               void *arg)
{
    struct login_service *ls = arg;
    login_process_accept(ls->process, fd, client, str_ieq(protocol, ls->protocol->name_tls));
}

int login_service_start(struct service *s)
{
    struct login_service *ls = service_data(s);
    /* Of every kind that can be many there are as many as of ours. */
    const struct login_setup setup = {
        .loop = service_loop(s),
        .conf = service_conf(s),
        .protocol = ls->protocol,
        .tls = ls->tls,
        .run_path = service_run_path(s, "."),
        .mailbox_count = service_count(s),
        .session_begin = login_service_begin,
        .session_end = login_service_end,
        .arg = ls,
    };
    ls->process = login_process_new(&setup);
    ls->gate = haproxy_gate_new(setup.loop, setup.conf, login_service_take, ls);
    return 0;
}

void login_service_accept(struct service *s, const char *protocol, int fd,
                          const struct netaddr *peer)
{
    struct login_service *ls = service_data(s);
    haproxy_gate_accept(ls->gate, protocol, fd, peer);
}

void login_service_tls_keys(struct service *s, const void *keys, size_t len)
{
    struct login_service *ls = service_data(s);
    front_tls_keys(ls->tls, service_conf(s), keys, len);
}

void login_service_drain(struct service *s)
{
    struct login_service *ls = service_data(s);
    if (service_stopping(s))
        login_process_drain(ls->process);
}

void login_service_stop(struct service *s)
{
    struct login_service *ls = service_data(s);
    if (ls == NULL)
        return;
    service_set_data(s, NULL);
    haproxy_gate_free(&ls->gate);
    /* The process took the context over. */
    if (ls->process == NULL)
        tls_context_free(&ls->tls);
    login_process_free(&ls->process);
    free(ls);
}

/* dirigo-auth: logins for every front end of this host. */
#include <stdlib.h>
#include <string.h>

#include "directory/protocol.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/service/service.h"
#include "sasl/auth.h"
#include "sasl/password.h"
#include "sasl/protocol.h"

static void read_trusted(struct auth_process *p)
{
    const struct conf_list *lists[] = {&p->conf->mynetworks, &p->conf->auth_allow_networks};
    p->trusted = mem_zalloc((lists[0]->n + lists[1]->n + 1) * sizeof(*p->trusted));
    for (size_t l = 0; l < 2; l++) {
        for (size_t i = 0; i < lists[l]->n; i++) {
            if (netaddr_prefix_parse(&p->trusted[p->trusted_count], lists[l]->v[i]) == 0)
                p->trusted_count++;
            else
                log_error("not a network", LOG_STR("value", lists[l]->v[i]));
        }
    }
}

static bool hook_begin(void *arg)
{
    return service_session_begin(arg);
}

static void hook_end(void *arg)
{
    service_session_end(arg);
}

static void hook_report(const char *text, void *arg)
{
    service_report(arg, text);
}

static int auth_open(struct service *s)
{
    struct auth_process *p = mem_zalloc(sizeof(*p));
    char *error = NULL;

    p->hooks = (struct auth_hooks){hook_begin, hook_end, hook_report, s};
    p->conf = service_conf(s);
    service_set_data(s, p);
    p->ticket_key = service_role_key(s);
    arc4random_buf(p->fake_secret, sizeof(p->fake_secret));
    read_trusted(p);
    p->directory = directory_open(p->conf, &error);
    if (p->directory != NULL)
        p->secrets = secrets_open(p->conf, &error);
    if (p->secrets == NULL) {
        log_error("the replica cannot be opened", LOG_STR("error", error));
        free(error);
        return -1;
    }
    p->cyrus = cyrus_new(p->conf);
    return p->cyrus == NULL ? -1 : 0;
}

static int auth_start_service(struct service *s)
{
    struct auth_process *p = service_data(s);
    const struct throttle_limits limits = {
        .delay = p->conf->auth_failure_delay,
        .delay_max = p->conf->auth_failure_delay_limit,
        .memory = p->conf->auth_failure_memory,
        .entries = (size_t)p->conf->auth_failure_entries,
        .network_free = (unsigned)p->conf->auth_network_failure_limit,
        .bits_ipv4 = (unsigned)p->conf->auth_network_ipv4_prefix_length,
        .bits_ipv6 = (unsigned)p->conf->auth_network_ipv6_prefix_length,
        .peer_max = (unsigned)p->conf->auth_peer_exchange_limit,
        .login_max = (unsigned)p->conf->auth_login_exchange_limit,
    };
    const char *directory = service_run_path(s, "directory.sock");
    int fd = service_take_ipc_listener(s);

    if (fd < 0) {
        log_error("no socket to serve on");
        return -1;
    }
    p->loop = service_loop(s);
    p->oauth = oauth_new(p->conf, p->loop);
    p->throttle = throttle_new(&limits);
    p->guesses = guesses_new(limits.entries, (unsigned)p->conf->auth_bind_failure_limit,
                             p->conf->auth_bind_failure_time);
    p->used_codes = used_codes_new();
    directory_connect(p->directory, p->loop, directory);
    p->binder = ipc_client_new(p->loop, directory, DIRECTORY_SERVICE, DIRECTORY_VERSION);
    p->server = ipc_server_new(p->loop, fd, AUTH_SERVICE, AUTH_VERSION, &exchange_ops, p);
    return 0;
}

static void auth_stop(struct service *s)
{
    struct auth_process *p = service_data(s);
    if (p == NULL)
        return;
    service_set_data(s, NULL);
    ipc_server_free(&p->server);
    ipc_client_free(&p->binder);
    oauth_free(&p->oauth);
    throttle_free(&p->throttle);
    guesses_free(&p->guesses);
    used_codes_free(&p->used_codes);
    cyrus_free(&p->cyrus);
    secrets_close(&p->secrets);
    directory_close(&p->directory);
    free(p->trusted);
    explicit_bzero(p, sizeof(*p));
    free(p);
}

int main(int argc, char **argv)
{
    static const struct service_def def = {
        .name = "dirigo-auth",
        .user = SERVICE_USER_DIRECTORY,
        /* Not confined to the run directory: Cyrus opens /dev/urandom for each conversation. */
        .flags = SERVICE_NO_EXEC,
        .open = auth_open,
        .start = auth_start_service,
        .stop = auth_stop,
    };
    return service_main(&def, argc, argv);
}

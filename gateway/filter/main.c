/* dirigo-filter: SPF, DKIM, DMARC and ARC for messages that come in, signatures for those that
 * leave. */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/base/str.h"
#include "gateway/filter/filter.h"

enum {
    REPORT_MS = 10000
};

static void filter_free(struct filter *f)
{
    if (f->server != NULL)
        ipc_server_free(&f->server);
    if (f->workers != NULL)
        worker_pool_free(&f->workers); /* what is under way ends first */
    job_end_all(f);
    dns_client_free(&f->dns);
    timer_free(&f->report);
    directory_close(&f->directory);
    keyring_free(&f->keys);
    suffix_list_free(&f->suffixes);
    buf_wipe_free(&f->srs_secrets);
    free(f);
}

static int read_checks(struct filter *f)
{
    const struct conf_list *list = &f->conf->authentication_checks;
    int rc = 0;

    for (size_t i = 0; i < list->n; i++) {
        if (str_ieq(list->v[i], "spf"))
            f->spf = true;
        else if (str_ieq(list->v[i], "dkim"))
            f->dkim = true;
        else if (str_ieq(list->v[i], "dmarc"))
            f->dmarc = true;
        else if (str_ieq(list->v[i], "arc"))
            f->arc = true;
        else
            rc = -1;
    }
    if (rc != 0)
        service_fault(f->service, "authentication_checks",
                      "there are spf, dkim, dmarc and arc; name some of them");
    return rc;
}

static int filter_open(struct service *service)
{
    struct filter *f = mem_zalloc(sizeof(*f));
    struct buf why = {0};
    char *error = NULL;

    f->service = service;
    f->conf = service_conf(service);
    TAILQ_INIT(&f->jobs);
    if (read_checks(f) != 0)
        goto fail;
    f->keys = keyring_new(f->conf->dkim_key_directory, &why);
    if (f->keys == NULL) {
        service_fault(service, "dkim_key_directory", buf_str(&why));
        goto fail;
    }
    if (forward_open(f, &why) != 0) {
        service_fault(service, "srs_secrets_file", buf_str(&why));
        goto fail;
    }
    f->suffixes = suffix_list_new();
    if (f->dmarc && f->suffixes == NULL) {
        service_fault(service, "authentication_checks",
                      "dmarc needs the public suffix list; install the package publicsuffix");
        goto fail;
    }
    f->directory = directory_open(f->conf, &error);
    if (f->directory == NULL) {
        log_error("replica cannot be opened", LOG_STR("error", error));
        goto fail;
    }
    service_set_data(service, f);
    buf_free(&why);
    return 0;
fail:
    free(error);
    buf_free(&why);
    filter_free(f);
    return -1;
}

static void send_report(void *arg)
{
    struct filter *f = arg;
    char text[160];

    snprintf(text, sizeof(text), "checked=%llu signed=%llu rejected=%llu held=%llu",
             (unsigned long long)f->checked, (unsigned long long)f->signed_messages,
             (unsigned long long)f->rejected, (unsigned long long)f->held);
    service_report(f->service, text);
}

static int filter_start(struct service *service)
{
    struct filter *f = service_data(service);
    struct loop *loop = service_loop(service);
    int fd = service_take_ipc_listener(service);

    if (fd == -1) {
        log_error("started without the socket to serve on");
        return -1;
    }
    directory_connect(f->directory, loop, service_run_path(service, "directory.sock"));
    f->dns =
        dns_client_new(loop, service_run_path(service, "resolver.sock"), f->conf->resolver_timeout);
    f->workers = worker_pool_new(loop, (unsigned)f->conf->filter_worker_threads);
    f->report = timer_new(loop, send_report, f);
    timer_repeat(f->report, REPORT_MS);
    filter_serve(f, fd);
    return 0;
}

static void filter_stop(struct service *service)
{
    struct filter *f = service_data(service);

    if (f != NULL)
        filter_free(f);
    service_set_data(service, NULL);
}

int main(int argc, char **argv)
{
    static const struct service_def def = {
        .name = "dirigo-filter",
        .user = SERVICE_USER_DIRIGO,
        .flags = SERVICE_CONFINED,
        .open = filter_open,
        .start = filter_start,
        .stop = filter_stop,
    };

    return service_main(&def, argc, argv);
}

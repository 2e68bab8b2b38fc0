/* dirigo-resolver: the validating DNS cache of this host. */
#include "gateway/base/log.h"
#include "gateway/resolver/server.h"

static int open_resolver(struct service *s)
{
    struct resolver *r = resolver_new(s);

    service_set_data(s, r);
    return r == NULL ? -1 : 0;
}

static int start_resolver(struct service *s)
{
    int fd = service_take_ipc_listener(s);

    if (fd == -1) {
        log_error("started without the socket to serve on");
        return -1;
    }
    resolver_serve(service_data(s), fd);
    return 0;
}

static void stop_resolver(struct service *s)
{
    struct resolver *r = service_data(s);

    resolver_free(&r);
    service_set_data(s, NULL);
}

int main(int argc, char **argv)
{
    static const struct service_def def = {
        .name = "dirigo-resolver",
        .user = SERVICE_USER_DIRIGO,
        .flags = SERVICE_CONFINED,
        .folder = "resolver",
        .open = open_resolver,
        .start = start_resolver,
        .stop = stop_resolver,
    };

    return service_main(&def, argc, argv);
}

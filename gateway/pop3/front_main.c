/* dirigo-pop3d: POP3 until login. */
#include "gateway/pop3/front.h"

static int pop3d_open(struct service *s)
{
    return login_service_open(s, &pop3_front);
}

int main(int argc, char **argv)
{
    static const struct service_def def = {
        .name = "dirigo-pop3d",
        .user = SERVICE_USER_DIRIGO,
        .flags = SERVICE_CONFINED,
        .open = pop3d_open,
        .start = login_service_start,
        .accept = login_service_accept,
        .tls_keys = login_service_tls_keys,
        .drain = login_service_drain,
        .stop = login_service_stop,
    };
    return service_main(&def, argc, argv);
}

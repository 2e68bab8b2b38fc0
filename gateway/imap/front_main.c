/* dirigo-imapd: IMAP until login. */
#include "gateway/imap/front.h"

static int imapd_open(struct service *s)
{
    return login_service_open(s, &imap_front);
}

int main(int argc, char **argv)
{
    static const struct service_def def = {
        .name = "dirigo-imapd",
        .user = SERVICE_USER_DIRIGO,
        .flags = SERVICE_CONFINED,
        .open = imapd_open,
        .start = login_service_start,
        .accept = login_service_accept,
        .tls_keys = login_service_tls_keys,
        .drain = login_service_drain,
        .stop = login_service_stop,
    };
    return service_main(&def, argc, argv);
}

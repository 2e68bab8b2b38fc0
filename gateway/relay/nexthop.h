/* Where a job goes, as text: HOST, [HOST] or [ADDRESS], each with an optional :PORT. */
#ifndef DIRIGO_RELAY_NEXTHOP_H
#define DIRIGO_RELAY_NEXTHOP_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/netaddr.h"

#define NEXTHOP_HOST_MAX 256

struct nexthop {
    char host[NEXTHOP_HOST_MAX]; /* lower case, without a trailing dot; "" for an address */
    struct netaddr address;      /* family 0 where host is set; the port is in port */
    uint16_t port;
    bool use_mx; /* no brackets: the host's MX records come first */
};

/* -1 where text is none of the forms. */
int nexthop_parse(struct nexthop *out, const char *text, uint16_t default_port);

#endif

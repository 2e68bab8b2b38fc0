/*
 * The hosts and addresses of a next hop (RFC 5321 section 5), one after the other.
 *
 * route_new looks the hosts up; route_next then asks for one address after another, and looks up a
 * host's addresses when its turn comes, so that a delivery to the first one costs no other query.
 */
#ifndef DIRIGO_RELAY_ROUTE_H
#define DIRIGO_RELAY_ROUTE_H

#include <stdbool.h>

#include "gateway/base/netaddr.h"
#include "gateway/event/loop.h"
#include "gateway/relay/nexthop.h"
#include "gateway/resolver/client.h"

struct route;

enum route_result {
    ROUTE_ADDRESS, /* host and address */
    ROUTE_DEFER,   /* no (further) address now; enhanced and words say why */
    ROUTE_BOUNCE,  /* none and there will be none */
    ROUTE_END      /* no further address, and no trouble while looking */
};

struct route_answer {
    enum route_result result;
    const char *host; /* the name of the host, for TLS and reports; valid as long as the route */
    struct netaddr address;
    const char *enhanced, *words; /* valid inside the callback */
};

/* Outlives its routes. */
struct route_settings {
    struct dns_client *dns;
    const char *myhostname;
    bool ipv4, ipv6;
};

/* configured: the administrator or the directory named the next hop, so that a name that does not
 * exist is a fault to be mended here and no reason to bounce. */
struct route *route_new(struct loop *loop, const struct route_settings *settings,
                        const struct nexthop *hop, bool configured);
/* Calls fn once, from the loop, with the next address. One call at a time. */
void route_next(struct route *r, void (*fn)(const struct route_answer *answer, void *arg),
                void *arg);
/* fn will not be called any more. *r may be NULL. */
void route_free(struct route **r);

#endif

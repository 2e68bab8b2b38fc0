/*
 * DNS as every process but dirigo-resolver sees it: asynchronous queries, validated answers.
 */
#ifndef DIRIGO_RESOLVER_CLIENT_H
#define DIRIGO_RESOLVER_CLIENT_H

#include "gateway/event/loop.h"
#include "gateway/proto/dns.h"

enum dns_status {
    DNS_FOUND,    /* at least one record of the type asked for */
    DNS_NODATA,   /* the name exists, the type does not */
    DNS_NXDOMAIN, /* the name does not exist */
    DNS_UNKNOWN /* time-out, SERVFAIL, bogus, resolver away: a temporary failure, never a permanent
                   one */
};

enum dns_security {
    DNS_INSECURE,
    DNS_SECURE,
    DNS_BOGUS /* only together with DNS_UNKNOWN */
};

struct dns_answer {
    enum dns_status status;
    enum dns_security security;
    const char *why; /* for the log: why unknown; "" else */
    const struct dns_record
        *records; /* of the type asked for, behind any CNAMEs; MX sorted by preference */
    size_t count;
};

struct dns_client;
struct dns_client *dns_client_new(struct loop *loop, const char *socket_path, int64_t timeout_ms);
/* Outstanding queries are dropped without a call of their fn. *c may be NULL. */
void dns_client_free(struct dns_client **c);

/* Asks for name (ASCII or A-labels; no trailing dot needed) and type (DNS_TYPE_*). fn is called
 * once, from the loop; the answer is valid inside it. A name that the DNS cannot hold (a label
 * over 63 bytes, an empty one) is DNS_NXDOMAIN. Returns an id for dns_cancel, never 0. */
uint32_t dns_query(struct dns_client *c, const char *name, uint16_t type,
                   void (*fn)(const struct dns_answer *answer, void *arg), void *arg);
void dns_cancel(struct dns_client *c, uint32_t id);
/* The name of an address in in-addr.arpa or ip6.arpa, in dst of DNS_NAME_MAX. */
struct netaddr;
const char *dns_reverse_name(const struct netaddr *addr, char *dst);

#endif

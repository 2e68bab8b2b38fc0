/* Addresses of peers and networks; IPv4 in IPv6 form (::ffff:0:0/96) counts as IPv4. */
#ifndef DIRIGO_BASE_NETADDR_H
#define DIRIGO_BASE_NETADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define NETADDR_STRLEN 64

struct netaddr {
    uint8_t family;    /* 4, 6, or 0 for a Unix socket or none */
    uint8_t bytes[16]; /* network order; the first four for family 4 */
    uint16_t port;     /* host order */
};

struct netaddr_prefix {
    struct netaddr addr;
    uint8_t bits;
};

void netaddr_from_sockaddr(struct netaddr *out, const struct sockaddr *sa);
/* Fills ss and returns its length, or 0 where family is 0. */
socklen_t netaddr_to_sockaddr(const struct netaddr *addr, struct sockaddr_storage *ss);
/* "192.0.2.1", "2001:db8::1", with or without []; -1 for anything else. The port becomes 0. */
int netaddr_parse(struct netaddr *out, const char *text);
/* The address without its port ("local" where there is none) in dst[NETADDR_STRLEN]; returns dst.
 */
const char *netaddr_str(const struct netaddr *addr, char *dst);
/* 127.0.0.0/8, ::1, or a Unix socket. */
bool netaddr_is_loopback(const struct netaddr *addr);
bool netaddr_eq(const struct netaddr *a, const struct netaddr *b);

/* The network of so many bits that addr is in; without a port. */
struct netaddr netaddr_network(const struct netaddr *addr, unsigned bits);

/* "192.0.2.0/24", "[2001:db8::]/32", or an address alone; -1 with bits set past the prefix or bad
 * text. */
int netaddr_prefix_parse(struct netaddr_prefix *out, const char *text);
bool netaddr_prefix_contains(const struct netaddr_prefix *net, const struct netaddr *addr);

#endif

/*
 * What slows guessing down: failures counted by address, by network and by login, which make the
 * answer to the next failure later; and how many exchanges one address has open.
 *
 * One table for all front ends, since dirigo-auth is one process. It is bounded; the record used
 * least recently goes first, and records are keyed by a hash with a random key, so that nobody can
 * aim at another's.
 */
#ifndef DIRIGO_SASL_THROTTLE_H
#define DIRIGO_SASL_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/netaddr.h"

struct throttle_limits {
    int64_t delay;                 /* ms, of the first failure; each one more doubles it */
    int64_t delay_max;             /* ms */
    int64_t memory;                /* ms after which a count of failures is halved */
    size_t entries;                /* records kept */
    unsigned network_free;         /* failures of a network that slow nothing down */
    unsigned bits_ipv4, bits_ipv6; /* of an address that are one network */
    unsigned peer_max;             /* exchanges open at one time for one address */
    unsigned login_max;            /* the same for one login */
};

struct throttle;
struct throttle *throttle_new(const struct throttle_limits *limits);
void throttle_free(struct throttle **t);

/*
 * An exchange from peer begins: false where that address has too many open. IPv6 counts by /64.
 * Each true is followed by one throttle_leave.
 */
bool throttle_enter(struct throttle *t, const struct netaddr *peer);
void throttle_leave(struct throttle *t, const struct netaddr *peer);
/*
 * An attempt at a login begins: false where too many are under way. Each true is followed by one
 * throttle_release with the same name.
 */
bool throttle_claim(struct throttle *t, const char *login);
void throttle_release(struct throttle *t, const char *login);
/*
 * A login failed: counts it, and returns after how many milliseconds the client may hear so. peer:
 * NULL where the address is trusted (many people behind one webmail); login: any name of it.
 */
int64_t throttle_failed(struct throttle *t, const struct netaddr *peer, const char *login);
/* It succeeded: the login's failures are forgotten. The address' are not: an attacker may well have
 * one account. */
void throttle_succeeded(struct throttle *t, const char *login);

#endif

/*
 * How often and how much: what the processes of SMTP count together of clients and logins, the
 * greylist, and who has waited for the greeting. All of it lies in one table of shared memory
 * (base/shtable.h), and costs no system call.
 *
 * Rates are those of a bucket that empties steadily: a limit of N in a time lets N pass at once and
 * then one each Nth of the time.
 */
#ifndef DIRIGO_SMTP_LIMITS_H
#define DIRIGO_SMTP_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "gateway/base/netaddr.h"

struct limits;

/* fd: the shared file, taken over; -1: this process counts alone. index of count: which of the
 * processes that share it this is. NULL with errno. conf outlives it. */
struct limits *limits_new(const struct conf *conf, int fd, unsigned index, unsigned count);
void limits_free(struct limits **l);

enum limit_event {
    LIMIT_CONNECTION,
    LIMIT_MESSAGE,
    LIMIT_RECIPIENT,
    LIMIT_AUTH,
    LIMIT_TLS
};
#define LIMIT_EVENTS 5

/* Counts an event of a client, by its network (smtpd_client_ipv4_prefix_length and its like); false
 * where smtpd_client_..._rate_limit is reached. */
bool limits_client(struct limits *l, enum limit_event event, const struct netaddr *client);
/* The same for who has logged in (a text for its entry, not the name that it gave):
 * LIMIT_MESSAGE, LIMIT_RECIPIENT. */
bool limits_login(struct limits *l, enum limit_event event, const char *login);
/* A connection that lasts until limits_disconnect; false, and not counted, where
 * smtpd_client_connection_count_limit is reached. */
bool limits_connect(struct limits *l, const struct netaddr *client);
void limits_disconnect(struct limits *l, const struct netaddr *client);

/* At most n events of the key in ms milliseconds; false where that is reached. */
bool limits_rate(struct limits *l, const char *key, unsigned n, int64_t ms);
/* "client", "2001:db8::/64": the client's network as a part of a key, in dst[NETADDR_STRLEN]. */
const char *limits_network(const struct limits *l, const struct netaddr *client, char *dst);

/*
 * Greylisting: whether mail of this kind has been tried for greylist_delay, or comes from a client
 * that has shown often enough that it tries again. *wait_s: how long it still has to be put off.
 */
bool limits_greylist(struct limits *l, const struct netaddr *client, const char *sender,
                     const char *recipient, int64_t *wait_s);

/* Clients that waited for the greeting, remembered for postscreen_greet_ttl. */
bool limits_has_waited(struct limits *l, const struct netaddr *client);
void limits_waited(struct limits *l, const struct netaddr *client);

#endif

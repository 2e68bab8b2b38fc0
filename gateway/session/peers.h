/* How many connections each client address has open; addresses in trusted networks are not counted.
 */
#ifndef DIRIGO_SESSION_PEERS_H
#define DIRIGO_SESSION_PEERS_H

#include <stdbool.h>

#include "conf/conf.h"
#include "gateway/base/netaddr.h"

struct peers;
/* trusted: networks as mynetworks has them. */
struct peers *peers_new(const struct conf_list *trusted, unsigned limit);
void peers_free(struct peers **p);
/* One more: false where that would pass the limit. IPv6 counts by /64. */
bool peers_enter(struct peers *p, const struct netaddr *addr);
/* Follows each enter that was true. */
void peers_leave(struct peers *p, const struct netaddr *addr);

#endif

/* Lists of networks, as parameters have them. */
#ifndef DIRIGO_CONF_NETWORKS_H
#define DIRIGO_CONF_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "gateway/base/netaddr.h"

struct networks {
    struct netaddr_prefix *v;
    size_t n;
};

/* Reads list into out, which networks_free empties. Words that are no network are left out:
 * conf_check has refused them. */
void networks_read(struct networks *out, const struct conf_list *list);
bool networks_contain(const struct networks *networks, const struct netaddr *addr);
void networks_free(struct networks *networks);

#endif

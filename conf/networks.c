#include "conf/networks.h"

#include <stdlib.h>

#include "gateway/base/mem.h"

void networks_read(struct networks *out, const struct conf_list *list)
{
    out->n = 0;
    out->v = mem_zalloc((list->n + 1) * sizeof(*out->v));
    for (size_t i = 0; i < list->n; i++)
        if (netaddr_prefix_parse(&out->v[out->n], list->v[i]) == 0)
            out->n++;
}

bool networks_contain(const struct networks *networks, const struct netaddr *addr)
{
    for (size_t i = 0; i < networks->n; i++)
        if (netaddr_prefix_contains(&networks->v[i], addr))
            return true;
    return false;
}

void networks_free(struct networks *networks)
{
    free(networks->v);
    *networks = (struct networks){0};
}

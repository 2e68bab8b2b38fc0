/* The PROXY protocol: whole and byte by byte come to the same. */
#include <stdlib.h>
#include <string.h>

#include "gateway/proto/haproxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct haproxy whole, parts;
    size_t taken = 0;

    haproxy_init(&whole);
    haproxy_init(&parts);
    size_t n = haproxy_push(&whole, data, size, 4096);
    while (taken < size && parts.status == HAPROXY_MORE)
        taken += haproxy_push(&parts, data + taken, 1, 4096);
    if (n > size || taken != n || whole.status != parts.status ||
        memcmp(&whole.client, &parts.client, sizeof(whole.client)) != 0)
        abort();
    return 0;
}

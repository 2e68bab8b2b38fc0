/* DNS responses of any content. */
#include <stdlib.h>
#include <string.h>

#include "gateway/proto/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new((size_t)1 << 18);
    struct dns_message m;

    if (dns_parse(data, size, arena, &m) == 0) {
        if (m.count > DNS_RECORDS_MAX || strlen(m.qname) >= DNS_NAME_MAX)
            abort();
        for (size_t i = 0; i < m.count; i++)
            if (m.records[i].type != m.qtype ||
                (m.records[i].name == NULL) == (m.records[i].data == NULL))
                abort();
    }
    arena_free(&arena);
    return 0;
}

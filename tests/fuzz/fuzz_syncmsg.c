/* What a directory server sends beside entries, and an entry of the replica with any content. */
#include <stdint.h>
#include <string.h>

#include "directory/replica.h"
#include "directory/starttls.h"
#include "directory/syncmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(const struct uuid *u, void *arg)
{
    *(unsigned *)arg += u->bytes[0];
}

static void key(const struct index_key *k, void *arg)
{
    *(unsigned *)arg += (unsigned)k->len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct berval v = {.bv_len = size, .bv_val = (char *)data};
    struct sync_entry entry;
    struct sync_info info;
    unsigned sum = 0;
    if (sync_entry_parse(&v, &entry) == 0 && entry.cookie.bv_len > 0)
        sum += (unsigned char)entry.cookie.bv_val[entry.cookie.bv_len - 1];
    if (sync_info_parse(&v, &info) == 0 && info.kind == SYNC_ID_SET)
        sync_info_uuids(&info, count, &sum);
    starttls_response(data, size);
    if (entry_valid(data, size)) {
        const struct entry *e = (const struct entry *)data;
        for (unsigned a = 0; a < ATTR_COUNT; a++)
            for (size_t i = 0; i < entry_count(e, a) && i < 100; i++)
                sum += (unsigned)strlen(entry_value(e, a, i));
        entry_index_keys(e, key, &sum);
    }
    return 0;
}

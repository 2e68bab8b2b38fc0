#include "gateway/queue/journal.h"

#include <endian.h>
#include <string.h>

#include "gateway/base/str.h"

#define RECORD_MAGIC 0x43524744u /* "DGRC" */

struct record_header {
    uint32_t magic;
    uint32_t length;
    uint64_t generation;
    uint64_t sequence;
    uint32_t crc; /* over the salt, this header with crc 0, and the payload */
    uint32_t type;
};

_Static_assert(sizeof(struct record_header) == JOURNAL_RECORD_HEADER, "header without holes");

size_t journal_record_size(size_t payload)
{
    return (JOURNAL_RECORD_HEADER + payload + 7) & ~(size_t)7;
}

static uint32_t record_crc(const struct journal_key *key, const struct record_header *h,
                           const void *payload, size_t len)
{
    struct record_header copy = *h;
    copy.crc = 0;
    uint32_t crc = str_crc32c(0, &key->salt, sizeof(key->salt));
    crc = str_crc32c(crc, &copy, sizeof(copy));
    return str_crc32c(crc, payload, len);
}

void journal_record_seal(const struct journal_key *key, void *p, uint32_t type, uint64_t sequence,
                         size_t len)
{
    unsigned char *payload = (unsigned char *)p + JOURNAL_RECORD_HEADER;
    struct record_header h = {
        .magic = htole32(RECORD_MAGIC),
        .length = htole32((uint32_t)len),
        .generation = htole64(key->generation),
        .sequence = htole64(sequence),
        .type = htole32(type),
    };
    h.crc = htole32(record_crc(key, &h, payload, len));
    memcpy(p, &h, sizeof(h));
    memset(payload + len, 0, journal_record_size(len) - JOURNAL_RECORD_HEADER - len);
}

int64_t journal_record_parse(const struct journal_key *key, const void *data, size_t avail,
                             size_t max, struct journal_record *out, size_t *need)
{
    struct record_header h;
    if (avail < sizeof(h)) {
        if (need != NULL)
            *need = sizeof(h);
        return 0;
    }
    memcpy(&h, data, sizeof(h));
    size_t len = le32toh(h.length);
    if (le32toh(h.magic) != RECORD_MAGIC || le64toh(h.generation) != key->generation || len > max)
        return -1;
    size_t size = journal_record_size(len);
    if (avail < size) {
        if (need != NULL)
            *need = size;
        return 0;
    }
    const unsigned char *payload = (const unsigned char *)data + sizeof(h);
    if (le32toh(h.crc) != record_crc(key, &h, payload, len))
        return -1;
    *out = (struct journal_record){
        .sequence = le64toh(h.sequence),
        .generation = key->generation,
        .type = le32toh(h.type),
        .payload = payload,
        .len = len,
    };
    return (int64_t)size;
}

#include <string.h>

#include "directory/maps.h"
#include "gateway/base/hmac.h"

void map_uuid(struct uuid *out, const char *word, const char *key)
{
    static const char salt[] = "dirigo map";
    char text[DB_KEY_MAX + MAP_KEY_MAX];
    uint8_t digest[HMAC_LEN];
    size_t len = map_id(word, text), n = strnlen(key, MAP_KEY_MAX - 1);
    memcpy(text + len, key, n);
    hmac_sha256(salt, sizeof salt - 1, text, len + n, digest);
    memcpy(out->bytes, digest, sizeof out->bytes);
    out->bytes[6] = (uint8_t)((out->bytes[6] & 0x0f) | 0x80); /* RFC 9562: version 8, by a hash */
    out->bytes[8] = (uint8_t)((out->bytes[8] & 0x3f) | 0x80);
}

static int put(struct replica *r, const struct index_key *key, const struct map_head *head,
               const struct entry_draft *d)
{
    struct buf value = {.max = (size_t)64 << 20}, entry = {.max = (size_t)64 << 20};
    int rc = buf_append(&value, head, sizeof *head);
    if (rc == 0 && d != NULL)
        rc = entry_encode(d, &entry) == 0 ? buf_append(&value, entry.data, entry.len) : -1;
    if (rc == 0)
        rc = db_put(replica_db(r), TABLE_MAP, key->data, key->len, value.data, value.len);
    buf_free(&entry);
    buf_free(&value);
    return rc;
}

int map_put(struct replica *r, const char *word, const char *key, const struct map_record *record,
            const struct entry_draft *d)
{
    const struct map_head head = {.good_until = record->good_until,
                                  .stale_until = record->stale_until,
                                  .answer = (uint32_t)record->answer};
    struct index_key k;
    map_key(&k, word, key);
    return put(r, &k, &head, d);
}

int map_mark_whole(struct replica *r, const char *word)
{
    const struct map_record whole = {
        .good_until = MAP_FOREVER, .stale_until = MAP_FOREVER, .answer = ANSWER_ABSENT};
    return map_put(r, word, "", &whole, NULL);
}

int map_clear(struct replica *r, const char *word)
{
    struct db *db = replica_db(r);
    struct index_key first;
    const void *key;
    size_t len;
    enum db_result rc;
    map_key(&first, word, "");
    while ((rc = db_seek(db, TABLE_MAP, first.data, first.len, &key, &len)) == DB_OK &&
           len >= first.len && memcmp(key, first.data, first.len) == 0) {
        struct index_key one = {.len = len};
        memcpy(one.data, key, len);
        if (db_delete(db, TABLE_MAP, one.data, one.len, NULL, 0) < 0)
            return -1;
    }
    return rc == DB_FAIL ? -1 : 0;
}

enum db_result map_get(struct replica *r, const char *word, const char *key,
                       struct map_record *record)
{
    struct map_head head;
    struct index_key k;
    const void *data;
    size_t len;
    map_key(&k, word, key);
    enum db_result rc = db_get(replica_db(r), TABLE_MAP, k.data, k.len, &data, &len);
    if (rc != DB_OK || len < sizeof head)
        return rc == DB_OK ? DB_FAIL : rc;
    memcpy(&head, data, sizeof head);
    *record = (struct map_record){.good_until = head.good_until,
                                  .stale_until = head.stale_until,
                                  .answer = (enum answer)head.answer};
    return DB_OK;
}

int map_purge(struct replica *r, int64_t now, size_t max, size_t budget, struct index_key *cursor)
{
    struct db *db = replica_db(r);
    bool many = db_count(db, TABLE_MAP) > max;
    for (size_t i = 0; i < budget; i++) {
        const void *key, *data;
        size_t len, size;
        struct map_head head = {0};
        enum db_result rc =
            db_seek(db, TABLE_MAP, cursor->len > 0 ? cursor->data : NULL, cursor->len, &key, &len);
        if (rc != DB_OK) {
            cursor->len = 0;
            return rc == DB_NONE ? 0 : -1;
        }
        /* The next one is at this key with a NUL behind it, or later. */
        struct index_key one = {.len = len};
        memcpy(one.data, key, len);
        *cursor = one;
        if (cursor->len < DB_KEY_MAX)
            cursor->data[cursor->len++] = '\0';
        else
            cursor->data[cursor->len - 1]++;
        if (db_get(db, TABLE_MAP, one.data, one.len, &data, &size) == DB_OK && size >= sizeof head)
            memcpy(&head, data, sizeof head);
        bool useless = head.good_until < now && (many || head.stale_until < now);
        if (useless && db_delete(db, TABLE_MAP, one.data, one.len, NULL, 0) < 0)
            return -1;
    }
    return 0;
}

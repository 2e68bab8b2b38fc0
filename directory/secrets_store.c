#include "directory/secrets_store.h"

#include <stdlib.h>
#include <string.h>

#include "directory/replica.h"
#include "gateway/base/mem.h"

struct secrets_store {
    struct db *db;
    int lock;
    bool made_anew;
    bool open; /* a change is open; it is begun when something is written */
};

struct secrets_store *secrets_store_open(const char *dir, uint64_t map_size, char **error)
{
    const struct db_options options = {.write = true,
                                       .data_mode = 0600,
                                       .lock_mode = 0600,
                                       .map_size = map_size,
                                       .tables = secrets_tables};
    struct secrets_store *s = mem_zalloc(sizeof *s);
    s->db = replica_db_open(dir, &options, &s->lock, &s->made_anew, error);
    if (s->db == NULL)
        secrets_store_close(&s);
    return s;
}

bool secrets_store_made_anew(const struct secrets_store *s)
{
    return s->made_anew;
}

void secrets_store_close(struct secrets_store **s)
{
    if (*s == NULL)
        return;
    secrets_store_abort(*s);
    replica_db_close(&(*s)->db, (*s)->lock);
    free(*s);
    *s = NULL;
}

int secrets_store_begin(struct secrets_store *s)
{
    if (s->open)
        return 0;
    if (db_write_begin(s->db) < 0)
        return -1;
    s->open = true;
    return 0;
}

int secrets_store_put(struct secrets_store *s, const struct uuid *owner, const void *values,
                      size_t len)
{
    const void *old;
    size_t old_len;
    enum db_result rc = db_get(s->db, 0, owner, sizeof *owner, &old, &old_len);
    if (rc == DB_FAIL)
        return -1;
    if (len == 0)
        return rc == DB_NONE ? 0 : db_delete(s->db, 0, owner, sizeof *owner, NULL, 0);
    if (rc == DB_OK && old_len == len && memcmp(old, values, len) == 0)
        return 0;
    return db_put(s->db, 0, owner, sizeof *owner, values, len);
}

int secrets_store_set_complete(struct secrets_store *s, bool complete)
{
    size_t len = strlen(SECRETS_COMPLETE);
    return complete ? db_put(s->db, 0, SECRETS_COMPLETE, len, "", 1)
                    : db_delete(s->db, 0, SECRETS_COMPLETE, len, NULL, 0);
}

bool secrets_store_complete(struct secrets_store *s)
{
    const void *data;
    size_t len;
    if (db_read_begin(s->db) < 0)
        return false;
    enum db_result rc = db_get(s->db, 0, SECRETS_COMPLETE, strlen(SECRETS_COMPLETE), &data, &len);
    db_read_end(s->db);
    return rc == DB_OK;
}

int secrets_store_clear(struct secrets_store *s)
{
    return db_clear(s->db, 0);
}

int secrets_store_commit(struct secrets_store *s)
{
    if (!s->open)
        return 0;
    s->open = false;
    return db_write_commit(s->db);
}

void secrets_store_abort(struct secrets_store *s)
{
    if (s->open)
        db_write_abort(s->db);
    s->open = false;
}

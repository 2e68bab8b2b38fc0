#include "directory/db.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/file.h"
#include "gateway/base/mem.h"

/* Reader slots: every front end, worker and tool takes one. */
#define READERS_MAX 512
/* What LMDB makes of its lock file for so many: a header and a cache line each. */
#define LOCK_SIZE (256 + READERS_MAX * 64)

struct db {
    MDB_env *env;
    MDB_txn *txn;      /* the one that is open */
    MDB_txn *read_txn; /* reset between views */
    MDB_dbi dbi[DB_TABLES_MAX];
    bool dup[DB_TABLES_MAX];
    MDB_cursor *cursor[DB_TABLES_MAX]; /* of the read view, or of the open change */
    MDB_cursor *read_cursor[DB_TABLES_MAX];
    unsigned tables;
    int rc; /* the last failure */
};

static int fail(struct db *db, int rc)
{
    db->rc = rc;
    return -1;
}

const char *db_error(const struct db *db)
{
    return mdb_strerror(db->rc);
}

bool db_damaged(const struct db *db)
{
    return db->rc == MDB_CORRUPTED || db->rc == MDB_PAGE_NOTFOUND || db->rc == MDB_PANIC ||
           db->rc == MDB_INVALID || db->rc == MDB_BAD_DBI || db->rc == MDB_INCOMPATIBLE;
}

/* The umask cuts modes that mdb_env_open is given, so they are set again. */
static int set_modes(const char *dir, const struct db_options *options)
{
    char *data = mem_printf("%s/data.mdb", dir), *lock = mem_printf("%s/lock.mdb", dir);
    int rc = 0;
    if (chmod(data, options->data_mode) < 0 || chmod(lock, options->lock_mode) < 0)
        rc = errno;
    free(data);
    free(lock);
    return rc;
}

static int open_tables(struct db *db, const struct db_options *options)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, options->write ? 0 : MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    for (const struct db_table *t = options->tables; t->name != NULL && rc == 0; t++) {
        unsigned flags =
            (options->write ? MDB_CREATE : 0) | (t->dup_size > 0 ? MDB_DUPSORT | MDB_DUPFIXED : 0);
        db->dup[db->tables] = t->dup_size > 0;
        rc = mdb_dbi_open(txn, t->name, flags, &db->dbi[db->tables++]);
    }
    if (rc == 0)
        return mdb_txn_commit(txn); /* also for a reader: it keeps the handles */
    mdb_txn_abort(txn);
    return rc;
}

/* All write to the map of the lock file, which a full disk must not find full of holes. */
static int allocate_lock(const char *dir, const struct db_options *options)
{
    char *path = mem_printf("%s/lock.mdb", dir);
    int rc = file_allocate(path, LOCK_SIZE, options->lock_mode) == 0 ? 0 : errno;
    free(path);
    return rc;
}

/* LMDB reads the pages that its header counts from the map, whether the file has them or not. */
static int check_length(MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat st;
    int fd, rc;
    if ((rc = mdb_env_info(env, &info)) != 0 || (rc = mdb_env_stat(env, &stat)) != 0 ||
        (rc = mdb_env_get_fd(env, &fd)) != 0)
        return rc;
    if (fstat(fd, &st) < 0)
        return errno;
    return (uint64_t)st.st_size / stat.ms_psize > info.me_last_pgno ? 0 : MDB_CORRUPTED;
}

static int open_env(struct db *db, const char *dir, const struct db_options *options)
{
    unsigned flags = MDB_NOTLS | (options->write ? MDB_NOSYNC : MDB_RDONLY);
    int dead, rc = options->write ? allocate_lock(dir, options) : 0;
    if (rc != 0)
        return rc;
    if ((rc = mdb_env_create(&db->env)) != 0)
        return rc;
    if ((rc = mdb_env_set_maxdbs(db->env, DB_TABLES_MAX)) != 0 ||
        (rc = mdb_env_set_maxreaders(db->env, READERS_MAX)) != 0 ||
        (rc = mdb_env_set_mapsize(db->env, options->map_size)) != 0 ||
        (rc = mdb_env_open(db->env, dir, flags, options->data_mode)) != 0 ||
        (rc = check_length(db->env)) != 0)
        return rc;
    if (options->write && (rc = set_modes(dir, options)) != 0)
        return rc;
    mdb_reader_check(db->env, &dead);
    return open_tables(db, options);
}

struct db *db_open(const char *dir, const struct db_options *options, char **error)
{
    struct db *db = mem_zalloc(sizeof *db);
    int rc = open_env(db, dir, options);
    if (rc == 0)
        return db;
    *error = mem_printf("%s: %s", dir, mdb_strerror(rc));
    db_close(&db);
    return NULL;
}

void db_close(struct db **db)
{
    struct db *d = *db;
    if (d == NULL)
        return;
    if (d->txn != NULL && d->txn != d->read_txn)
        db_write_abort(d);
    for (unsigned i = 0; i < d->tables; i++)
        if (d->read_cursor[i] != NULL)
            mdb_cursor_close(d->read_cursor[i]);
    if (d->read_txn != NULL)
        mdb_txn_abort(d->read_txn);
    if (d->env != NULL)
        mdb_env_close(d->env);
    free(d);
    *db = NULL;
}

int db_flush(struct db *db)
{
    int rc = mdb_env_sync(db->env, 1);
    return rc == 0 ? 0 : fail(db, rc);
}

void db_reap_readers(struct db *db)
{
    int dead;
    mdb_reader_check(db->env, &dead);
}

int db_read_begin(struct db *db)
{
    for (int tries = 0;; tries++) {
        int rc = db->read_txn == NULL ? mdb_txn_begin(db->env, NULL, MDB_RDONLY, &db->read_txn)
                                      : mdb_txn_renew(db->read_txn);
        if (rc == 0)
            break;
        /* The writer has a larger map than this process: take over its size, once. */
        if (rc != MDB_MAP_RESIZED || tries > 0 || mdb_env_set_mapsize(db->env, 0) != 0)
            return fail(db, rc);
    }
    db->txn = db->read_txn;
    return 0;
}

void db_read_end(struct db *db)
{
    mdb_txn_reset(db->read_txn);
    db->txn = NULL;
    memset(db->cursor, 0, sizeof db->cursor); /* they stay in read_cursor */
}

int db_write_begin(struct db *db)
{
    int rc = mdb_txn_begin(db->env, NULL, 0, &db->txn);
    if (rc == 0)
        return 0;
    db->txn = NULL;
    return fail(db, rc);
}

/* A change's cursors end with it; those of the read view are kept and renewed. */
static void close_cursors(struct db *db)
{
    for (unsigned i = 0; i < db->tables; i++) {
        if (db->cursor[i] != NULL)
            mdb_cursor_close(db->cursor[i]);
        db->cursor[i] = NULL;
    }
}

int db_write_commit(struct db *db)
{
    close_cursors(db);
    int rc = mdb_txn_commit(db->txn);
    db->txn = NULL;
    if (rc == 0)
        return 0;
    db_reap_readers(db);
    return fail(db, rc);
}

void db_write_abort(struct db *db)
{
    close_cursors(db);
    mdb_txn_abort(db->txn);
    db->txn = NULL;
    db_reap_readers(db); /* where the map was full, the next attempt may find pages */
}

static enum db_result result(struct db *db, int rc)
{
    if (rc == 0)
        return DB_OK;
    if (rc == MDB_NOTFOUND)
        return DB_NONE;
    fail(db, rc);
    return DB_FAIL;
}

enum db_result db_get(struct db *db, unsigned table, const void *key, size_t key_len,
                      const void **value, size_t *value_len)
{
    MDB_val k = {.mv_size = key_len, .mv_data = (void *)key}, v;
    int rc = mdb_get(db->txn, db->dbi[table], &k, &v);
    if (rc == 0) {
        *value = v.mv_data;
        *value_len = v.mv_size;
    }
    return result(db, rc);
}

static int need_cursor(struct db *db, unsigned table)
{
    int rc = 0;
    if (db->cursor[table] != NULL)
        return 0;
    if (db->txn != db->read_txn)
        return mdb_cursor_open(db->txn, db->dbi[table], &db->cursor[table]);
    if (db->read_cursor[table] == NULL)
        rc = mdb_cursor_open(db->txn, db->dbi[table], &db->read_cursor[table]);
    else
        rc = mdb_cursor_renew(db->txn, db->read_cursor[table]);
    db->cursor[table] = rc == 0 ? db->read_cursor[table] : NULL;
    return rc;
}

enum db_result db_dup_first(struct db *db, unsigned table, const void *key, size_t key_len,
                            const void **value)
{
    MDB_val k = {.mv_size = key_len, .mv_data = (void *)key}, v;
    int rc = need_cursor(db, table);
    if (rc == 0)
        rc = mdb_cursor_get(db->cursor[table], &k, &v, MDB_SET_KEY);
    if (rc == 0)
        *value = v.mv_data;
    return result(db, rc);
}

enum db_result db_dup_next(struct db *db, unsigned table, const void **value)
{
    MDB_val k, v;
    int rc = mdb_cursor_get(db->cursor[table], &k, &v, MDB_NEXT_DUP);
    if (rc == 0)
        *value = v.mv_data;
    return result(db, rc);
}

enum db_result db_seek(struct db *db, unsigned table, const void *from, size_t from_len,
                       const void **key, size_t *key_len)
{
    MDB_val k = {.mv_size = from_len, .mv_data = (void *)from}, v;
    int rc = need_cursor(db, table);
    if (rc == 0)
        rc = mdb_cursor_get(db->cursor[table], &k, &v, from == NULL ? MDB_FIRST : MDB_SET_RANGE);
    if (rc == 0) {
        *key = k.mv_data;
        *key_len = k.mv_size;
    }
    return result(db, rc);
}

int db_put(struct db *db, unsigned table, const void *key, size_t key_len, const void *value,
           size_t value_len)
{
    MDB_val k = {.mv_size = key_len, .mv_data = (void *)key};
    MDB_val v = {.mv_size = value_len, .mv_data = (void *)value};
    int rc = mdb_put(db->txn, db->dbi[table], &k, &v, db->dup[table] ? MDB_NODUPDATA : 0);
    return rc == 0 || rc == MDB_KEYEXIST ? 0 : fail(db, rc);
}

int db_delete(struct db *db, unsigned table, const void *key, size_t key_len, const void *value,
              size_t value_len)
{
    MDB_val k = {.mv_size = key_len, .mv_data = (void *)key};
    MDB_val v = {.mv_size = value_len, .mv_data = (void *)value};
    int rc = mdb_del(db->txn, db->dbi[table], &k, value == NULL ? NULL : &v);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : fail(db, rc);
}

int db_clear(struct db *db, unsigned table)
{
    int rc = mdb_drop(db->txn, db->dbi[table], 0);
    return rc == 0 ? 0 : fail(db, rc);
}

uint64_t db_count(struct db *db, unsigned table)
{
    MDB_stat stat;
    return mdb_stat(db->txn, db->dbi[table], &stat) == 0 ? stat.ms_entries : 0;
}

/*
 * LMDB, wrapped once: an environment with fixed tables, its recoverable errors mended inside.
 *
 * An environment has at most one transaction at a time: the writer's, or one read view that is
 * renewed without a system call. What db_get gives is valid until that transaction ends, and in a
 * writer's until the next change.
 */
#ifndef DIRIGO_DIRECTORY_DB_H
#define DIRIGO_DIRECTORY_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DB_TABLES_MAX 8
#define DB_KEY_MAX    511

struct db;

enum db_result {
    DB_OK,
    DB_NONE, /* no such key */
    DB_FAIL  /* I/O, full, corrupt: db_error says what */
};

struct db_table {
    const char *name;
    unsigned dup_size; /* not 0: a key has several values, all of this size, kept sorted */
};

struct db_options {
    bool write;
    mode_t data_mode; /* of the files the writer makes; readers need to write the lock file */
    mode_t lock_mode;
    uint64_t map_size;
    const struct db_table *tables; /* ended by a NULL name; indexes into it name tables below */
};

/*
 * Opens dir/data.mdb. A writer makes what is missing; a reader needs all of it. One process opens
 * an environment once, and not before a fork. NULL with an allocated text in error.
 */
struct db *db_open(const char *dir, const struct db_options *options, char **error);
void db_close(struct db **db);
/* Makes everything committed durable. */
int db_flush(struct db *db);
/* Frees pages that dead readers held; from time to time, by the writer. */
void db_reap_readers(struct db *db);
const char *db_error(const struct db *db);
/* Whether the last failure says that the file is damaged: no retry will help. */
bool db_damaged(const struct db *db);

/* A read view of the newest commit. 0 or -1. */
int db_read_begin(struct db *db);
void db_read_end(struct db *db);
/* A change, whole or not at all. A commit is visible at once and durable after db_flush. */
int db_write_begin(struct db *db);
int db_write_commit(struct db *db);
void db_write_abort(struct db *db);

/* The value, or the first one, of a key. */
enum db_result db_get(struct db *db, unsigned table, const void *key, size_t key_len,
                      const void **value, size_t *value_len);
/* The values of a key in a table that has several, one after another: first, then until DB_NONE. */
enum db_result db_dup_first(struct db *db, unsigned table, const void *key, size_t key_len,
                            const void **value);
enum db_result db_dup_next(struct db *db, unsigned table, const void **value);
/* The first key at or after one (NULL: of all); its value is not looked at. */
enum db_result db_seek(struct db *db, unsigned table, const void *from, size_t from_len,
                       const void **key, size_t *key_len);
/* Sets a key's value, or adds one to a table that has several (an equal one stays single). */
int db_put(struct db *db, unsigned table, const void *key, size_t key_len, const void *value,
           size_t value_len);
/* Removes a key, or one value of it (NULL: all); what is not there is no failure. */
int db_delete(struct db *db, unsigned table, const void *key, size_t key_len, const void *value,
              size_t value_len);
/* Empties a table. */
int db_clear(struct db *db, unsigned table);
uint64_t db_count(struct db *db, unsigned table);

#endif

#include "directory/replica.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory/pulse.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"

#define KEY_STATE  "state"
#define KEY_COOKIE "cookie"

/*
 * Commits are not flushed, so a crash of the machine (not of a process) may leave a torn file. The
 * folder's "boot" file tells: it holds the id of the boot in which the writer runs, or "clean"
 * after a flush at its end. Any other boot's id means that the content cannot be trusted. Neither
 * can it where a writer died while it opened the file: LMDB does not survive every damage.
 */
#define MARK_FILE    "boot"
#define MARK_CLEAN   "clean"
#define MARK_OPENING "opening"

/* How often and how far apart a writer asks for the folder while its predecessor ends. */
#define LOCK_TRIES    50
#define LOCK_PAUSE_US 100000

struct replica {
    struct db *db;
    struct pulse *pulse;
    int lock;
    char *dir;
    struct replica_state state;
    uint64_t containers_before; /* the change at hand */
    bool changed, lost, made_anew;
    struct buf encoded;
    struct buf ended; /* uuids: may not log in since the change at hand */
    replica_ended_fn *on_ended;
    void *on_ended_arg;
};

/* The keys of one entry, sorted. */
struct key_list {
    struct buf bytes; /* keys, end to end */
    struct buf refs;  /* struct key_ref each */
};
struct key_ref {
    size_t offset, len;
};

/* The first line of a small file; "" where it cannot be read. */
static void read_line(int fd, char *dst, size_t size)
{
    ssize_t n = fd < 0 ? -1 : pread(fd, dst, size - 1, 0);
    dst[n < 0 ? 0 : n] = '\0';
    dst[strcspn(dst, "\n")] = '\0';
}

static void this_boot(char dst[64])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    read_line(fd, dst, 64);
    if (fd >= 0)
        close(fd);
}

static int write_mark(int fd, const char *text)
{
    ssize_t len = (ssize_t)strlen(text);
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)len, 0) == len && fsync(fd) == 0 ? 0
                                                                                              : -1;
}

static bool is_whole(int fd)
{
    char mark[64], boot[64];
    read_line(fd, mark, sizeof mark);
    this_boot(boot);
    return strcmp(mark, MARK_CLEAN) == 0 || (mark[0] != '\0' && strcmp(mark, boot) == 0);
}

static int lock_folder(const char *dir)
{
    char *path = mem_printf("%s/" MARK_FILE, dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    free(path);
    for (int i = 0; fd >= 0; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        if (i == LOCK_TRIES)
            break;
        usleep(LOCK_PAUSE_US);
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool has_data(const char *dir)
{
    struct stat st;
    char *path = mem_printf("%s/data.mdb", dir);
    int rc = stat(path, &st);
    free(path);
    return rc == 0;
}

static void remove_files(const char *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = mem_printf("%s/%s", dir, names[i]);
        if (unlink(path) == 0)
            log_warning("cached directory data thrown away", LOG_STR("path", path));
        free(path);
    }
}

struct db *replica_db_open(const char *dir, const struct db_options *options, int *lock,
                           bool *made_anew, char **error)
{
    char boot[64];
    *lock = lock_folder(dir);
    if (*lock >= 0 && !is_whole(*lock))
        remove_files(dir);
    *made_anew = !has_data(dir);
    this_boot(boot);
    if (*lock < 0 || write_mark(*lock, MARK_OPENING) < 0) {
        *error = mem_printf("%s: cannot be locked and written: %s", dir, strerror(errno));
        return NULL;
    }
    struct db *db = db_open(dir, options, error);
    if (db == NULL) {
        log_error("cached directory data cannot be opened", LOG_STR("path", dir),
                  LOG_STR("error", *error));
        free(*error);
        remove_files(dir);
        *made_anew = true;
        db = db_open(dir, options, error);
    }
    if (db != NULL && write_mark(*lock, boot) < 0) {
        *error = mem_printf("%s: cannot be written: %s", dir, strerror(errno));
        db_close(&db);
    }
    return db;
}

void replica_db_close(struct db **db, int lock)
{
    bool damaged = *db != NULL && db_damaged(*db);
    bool flushed = *db != NULL && !damaged && db_flush(*db) == 0;
    db_close(db);
    if (flushed || damaged) /* who opens a damaged one next makes it anew */
        write_mark(lock, damaged ? MARK_OPENING : MARK_CLEAN);
    if (lock >= 0)
        close(lock);
}

/* Takes over the state of an earlier run, or empties what this version cannot read. */
static int load_state(struct replica *r)
{
    const void *data;
    size_t len;
    if (db_write_begin(r->db) < 0)
        return -1;
    if (db_get(r->db, TABLE_META, KEY_STATE, strlen(KEY_STATE), &data, &len) == DB_OK &&
        len == sizeof r->state)
        memcpy(&r->state, data, sizeof r->state);
    if (r->state.format != REPLICA_FORMAT) {
        memset(&r->state, 0, sizeof r->state);
        for (unsigned table = TABLE_META; table <= TABLE_ASKED; table++) {
            if (db_clear(r->db, table) < 0) {
                db_write_abort(r->db);
                return -1;
            }
        }
    }
    r->state.format = REPLICA_FORMAT;
    r->state.in_sync = 0;
    return replica_commit(r);
}

bool replica_made_anew(const struct replica *r)
{
    return r->made_anew;
}

bool replica_damaged(const struct replica *r)
{
    return db_damaged(r->db);
}

struct replica *replica_open(const char *dir, uint64_t map_size, char **error)
{
    const struct db_options options = {.write = true,
                                       .data_mode = 0640,
                                       .lock_mode = 0660,
                                       .map_size = map_size,
                                       .tables = replica_tables};
    struct replica *r = mem_zalloc(sizeof *r);
    r->dir = mem_strdup(dir);
    r->db = replica_db_open(dir, &options, &r->lock, &r->made_anew, error);
    if (r->db == NULL) {
        replica_close(&r);
        return NULL;
    }
    r->pulse = pulse_open(dir, true, error);
    if (r->pulse != NULL && load_state(r) == 0) {
        replica_beat(r);
        return r;
    }
    if (r->pulse != NULL)
        *error = mem_printf("%s: %s", dir, db_error(r->db));
    replica_close(&r);
    return NULL;
}

void replica_close(struct replica **r)
{
    if (*r == NULL)
        return;
    replica_db_close(&(*r)->db, (*r)->lock);
    pulse_close(&(*r)->pulse);
    buf_free(&(*r)->encoded);
    buf_free(&(*r)->ended);
    free((*r)->dir);
    free(*r);
    *r = NULL;
}

void replica_beat(struct replica *r)
{
    pulse_beat(r->pulse);
}

struct replica_state *replica_state(struct replica *r)
{
    return &r->state;
}

struct db *replica_db(struct replica *r)
{
    return r->db;
}

const char *replica_error(const struct replica *r)
{
    return db_error(r->db);
}

void replica_reap_readers(struct replica *r)
{
    db_reap_readers(r->db);
}

int replica_begin(struct replica *r)
{
    r->changed = r->lost = false;
    buf_clear(&r->ended);
    r->containers_before = r->state.containers;
    return db_write_begin(r->db);
}

void replica_on_ended(struct replica *r, replica_ended_fn *fn, void *arg)
{
    r->on_ended = fn;
    r->on_ended_arg = arg;
}

static bool may_login(const struct entry *e)
{
    unsigned kinds = entry_all_kinds(e);
    return (kinds & ENTRY_USER) != 0 && (kinds & (ENTRY_DISABLED | ENTRY_NO_LOGIN)) == 0;
}

/* An entry that could log in is replaced by another version, or by nothing (NULL). */
static void note_end(struct replica *r, const struct entry *old, const struct entry *new)
{
    if (may_login(old) && (new == NULL || !may_login(new)))
        buf_append(&r->ended, entry_uuid(old), sizeof(struct uuid));
}

/* Leaves out those that the rest of the change let in again. */
static void settle_ends(struct replica *r)
{
    struct uuid *u = (struct uuid *)r->ended.data;
    size_t n = r->ended.len / sizeof *u, kept = 0;
    for (size_t i = 0; i < n; i++) {
        const struct entry *e;
        if (replica_get(r, &u[i], &e) != DB_OK || !may_login(e))
            u[kept++] = u[i];
    }
    buf_truncate(&r->ended, kept * sizeof *u);
}

int replica_commit(struct replica *r)
{
    uint64_t generation = r->state.generation;
    settle_ends(r);
    if (r->changed)
        r->state.generation++;
    r->state.entries = db_count(r->db, TABLE_ENTRY) - r->state.containers;
    if (db_put(r->db, TABLE_META, KEY_STATE, strlen(KEY_STATE), &r->state, sizeof r->state) < 0) {
        r->state.generation = generation;
        replica_abort(r);
        return -1;
    }
    if (db_write_commit(r->db) < 0)
        return -1;
    if (r->ended.len > 0 && r->on_ended != NULL)
        r->on_ended((const struct uuid *)r->ended.data, r->ended.len / sizeof(struct uuid),
                    r->on_ended_arg);
    return 0;
}

void replica_abort(struct replica *r)
{
    r->state.containers = r->containers_before;
    db_write_abort(r->db);
}

bool replica_lost(const struct replica *r)
{
    return r->lost;
}

static void collect(const struct index_key *key, void *arg)
{
    struct key_list *list = arg;
    struct key_ref ref = {.offset = list->bytes.len, .len = key->len};
    if (buf_append(&list->bytes, key->data, key->len) == 0)
        buf_append(&list->refs, &ref, sizeof ref);
}

static int compare_bytes(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
    int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return c != 0 ? c : (a_len > b_len) - (a_len < b_len);
}

static int compare_refs(const void *a, const void *b, void *arg)
{
    const struct key_ref *x = a, *y = b;
    const unsigned char *bytes = arg;
    return compare_bytes(bytes + x->offset, x->len, bytes + y->offset, y->len);
}

static void collect_sorted(const struct entry *e, struct key_list *list)
{
    entry_index_keys(e, collect, list);
    if (list->refs.len > 0)
        qsort_r(list->refs.data, list->refs.len / sizeof(struct key_ref), sizeof(struct key_ref),
                compare_refs, list->bytes.data);
}

static void free_list(struct key_list *list)
{
    buf_free(&list->bytes);
    buf_free(&list->refs);
}

/* Compares key i of one list to key j of another; a list that has ended is greater. */
static int compare_keys(const struct key_list *a, size_t i, const struct key_list *b, size_t j)
{
    const struct key_ref *x = (const struct key_ref *)a->refs.data + i;
    const struct key_ref *y = (const struct key_ref *)b->refs.data + j;
    if (i >= a->refs.len / sizeof *x)
        return j >= b->refs.len / sizeof *y ? 0 : 1;
    if (j >= b->refs.len / sizeof *y)
        return -1;
    return compare_bytes(a->bytes.data + x->offset, x->len, b->bytes.data + y->offset, y->len);
}

/* Only what differs is written: a change to one member of a large group touches one key. */
static int update_index(struct replica *r, const struct uuid *uuid, const struct key_list *before,
                        const struct key_list *after)
{
    size_t n = before->refs.len / sizeof(struct key_ref);
    size_t m = after->refs.len / sizeof(struct key_ref);
    for (size_t i = 0, j = 0; i < n || j < m;) {
        int c = compare_keys(before, i, after, j);
        const struct key_list *list = c < 0 ? before : after;
        const struct key_ref *ref = (const struct key_ref *)list->refs.data + (c < 0 ? i : j);
        const unsigned char *key = list->bytes.data + ref->offset;
        if (c < 0 && db_delete(r->db, TABLE_INDEX, key, ref->len, uuid, sizeof *uuid) < 0)
            return -1;
        if (c > 0 && db_put(r->db, TABLE_INDEX, key, ref->len, uuid, sizeof *uuid) < 0)
            return -1;
        i += c <= 0;
        j += c >= 0;
    }
    return 0;
}

/* An entry as it is stored; DB_FAIL also where it is damaged. */
static enum db_result stored(struct replica *r, const struct uuid *uuid, const struct entry **e,
                             size_t *len)
{
    const void *data;
    enum db_result rc = db_get(r->db, TABLE_ENTRY, uuid, sizeof *uuid, &data, len);
    if (rc != DB_OK)
        return rc;
    *e = data;
    return entry_valid(data, *len) ? DB_OK : DB_FAIL;
}

int replica_delete(struct replica *r, const struct uuid *uuid)
{
    const struct entry *e;
    struct key_list before = {0}, after = {0};
    struct uuid key = *uuid; /* uuid may lie in the environment, which changes below */
    size_t len;
    enum db_result rc = stored(r, uuid, &e, &len);
    if (rc != DB_OK)
        return rc == DB_NONE ? 0 : -1;
    collect_sorted(e, &before);
    r->changed = true;
    r->state.containers -= (entry_all_kinds(e) & ENTRY_CONTAINER) != 0;
    note_end(r, e, NULL);
    int result = update_index(r, &key, &before, &after);
    if (result == 0)
        result = db_delete(r->db, TABLE_ENTRY, &key, sizeof key, NULL, 0);
    free_list(&before);
    return result;
}

/*
 * A DN names one entry, so an older owner of this one has gone or has another name by now: where
 * its deletion or its new name is still under way, it comes with every attribute. What stands below
 * the older owner does not come again.
 */
static int evict_dn_owner(struct replica *r, const struct entry *e, const struct uuid *uuid)
{
    struct index_key key;
    const void *value;
    if (index_key_dn(&key, INDEX_DN, entry_dn(e)) < 0)
        return 0;
    for (;;) {
        enum db_result rc = db_dup_first(r->db, TABLE_INDEX, key.data, key.len, &value);
        while (rc == DB_OK && uuid_eq(value, uuid))
            rc = db_dup_next(r->db, TABLE_INDEX, &value);
        if (rc != DB_OK)
            return rc == DB_NONE ? 0 : -1;
        struct uuid other = *(const struct uuid *)value;
        rc = replica_has_children(r, &other);
        r->lost = r->lost || rc == DB_OK;
        if (rc == DB_FAIL || replica_delete(r, &other) < 0 ||
            db_delete(r->db, TABLE_INDEX, key.data, key.len, &other, sizeof other) < 0)
            return -1;
    }
}

/* The encoded entry goes in; old is what stands there, or NULL. */
static int write_entry(struct replica *r, const struct uuid *uuid, const struct entry *old)
{
    const struct entry *new = (const struct entry *)r->encoded.data;
    struct key_list before = {0}, after = {0};
    if (old != NULL) {
        collect_sorted(old, &before);
        r->state.containers -= (entry_all_kinds(old) & ENTRY_CONTAINER) != 0;
        note_end(r, old, new);
    }
    collect_sorted(new, &after);
    r->state.containers += (entry_all_kinds(new) & ENTRY_CONTAINER) != 0;
    r->changed = true;
    int result = evict_dn_owner(r, new, uuid);
    if (result == 0)
        result = update_index(r, uuid, &before, &after);
    if (result == 0)
        result = db_put(r->db, TABLE_ENTRY, uuid, sizeof *uuid, new, r->encoded.len);
    free_list(&before);
    free_list(&after);
    return result;
}

/* Puts one entry; the DN that it had goes to old_dn where it was another one. */
static int put(struct replica *r, const struct entry_draft *d, struct buf *old_dn)
{
    const struct entry *old = NULL, *new;
    size_t len;
    if (entry_encode(d, &r->encoded) < 0)
        return -1;
    new = (const struct entry *)r->encoded.data;
    enum db_result rc = stored(r, &d->uuid, &old, &len);
    if (rc == DB_FAIL)
        return -1;
    if (rc == DB_OK && len == r->encoded.len && memcmp(old, new, len) == 0)
        return 0;
    if (rc == DB_OK && old_dn != NULL && strcmp(entry_dn(old), entry_dn(new)) != 0 &&
        buf_append_str(old_dn, entry_dn(old)) < 0)
        return -1;
    return write_entry(r, &d->uuid, rc == DB_OK ? old : NULL);
}

int replica_put_one(struct replica *r, const struct entry_draft *d)
{
    return put(r, d, NULL);
}

int replica_put(struct replica *r, const struct entry_draft *d)
{
    struct buf old_dn = {0}, new_dn = {0};
    int rc = put(r, d, &old_dn);
    if (rc == 0 && old_dn.len > 0) {
        buf_append(&new_dn, d->dn.data, d->dn.len);
        rc = replica_move_subtree(r, buf_str(&old_dn), buf_str(&new_dn));
    }
    buf_free(&old_dn);
    buf_free(&new_dn);
    return rc;
}

enum db_result replica_get(struct replica *r, const struct uuid *uuid, const struct entry **e)
{
    size_t len;
    return stored(r, uuid, e, &len);
}

enum db_result replica_kinds(struct replica *r, const struct uuid *uuid, unsigned *kinds)
{
    const struct entry *e;
    size_t len;
    enum db_result rc = stored(r, uuid, &e, &len);
    if (rc == DB_OK)
        *kinds = entry_all_kinds(e);
    return rc;
}

int replica_set_asked(struct replica *r, const struct index_key *key, int64_t until, uint64_t max)
{
    if (db_count(r->db, TABLE_ASKED) >= max && replica_forget_asked(r) < 0)
        return -1;
    return db_put(r->db, TABLE_ASKED, key->data, key->len, &until, sizeof until);
}

int replica_forget_asked(struct replica *r)
{
    return db_clear(r->db, TABLE_ASKED);
}

int replica_list(struct replica *r, const struct index_key *key, struct buf *uuids)
{
    const void *uuid;
    enum db_result rc = db_dup_first(r->db, TABLE_INDEX, key->data, key->len, &uuid);
    for (; rc == DB_OK; rc = db_dup_next(r->db, TABLE_INDEX, &uuid))
        if (buf_append(uuids, uuid, sizeof(struct uuid)) < 0)
            return -1;
    return rc == DB_FAIL ? -1 : 0;
}

int replica_set_cookie(struct replica *r, const void *cookie, size_t len)
{
    if (len == 0)
        return db_delete(r->db, TABLE_META, KEY_COOKIE, strlen(KEY_COOKIE), NULL, 0);
    return db_put(r->db, TABLE_META, KEY_COOKIE, strlen(KEY_COOKIE), cookie, len);
}

int replica_cookie(struct replica *r, struct buf *out)
{
    const void *data;
    size_t len;
    buf_clear(out);
    if (db_read_begin(r->db) < 0)
        return -1;
    enum db_result rc = db_get(r->db, TABLE_META, KEY_COOKIE, strlen(KEY_COOKIE), &data, &len);
    if (rc == DB_OK && buf_append(out, data, len) < 0)
        rc = DB_FAIL;
    db_read_end(r->db);
    return rc == DB_FAIL ? -1 : 0;
}

enum db_result replica_next(struct replica *r, struct uuid *uuid)
{
    const void *key;
    size_t len;
    struct uuid from = *uuid;
    bool start = uuid_is_zero(uuid);
    for (size_t i = sizeof from.bytes; !start && i-- > 0 && ++from.bytes[i] == 0;)
        ;
    if (!start && uuid_is_zero(&from)) /* it was the greatest there can be */
        return DB_NONE;
    enum db_result rc =
        db_seek(r->db, TABLE_ENTRY, start ? NULL : &from, start ? 0 : sizeof from, &key, &len);
    if (rc == DB_OK && len != sizeof *uuid)
        return DB_FAIL;
    if (rc == DB_OK)
        memcpy(uuid, key, sizeof *uuid);
    return rc;
}

bool replica_is_one_time(struct replica *r, const struct uuid *uuid)
{
    const struct entry *e;
    size_t len;
    if (db_read_begin(r->db) < 0)
        return true;
    bool one_time = stored(r, uuid, &e, &len) != DB_OK || (entry_kinds(e) & ENTRY_ONE_TIME) != 0;
    db_read_end(r->db);
    return one_time;
}

enum db_result replica_dn(struct replica *r, const struct uuid *uuid, struct buf *dn)
{
    const struct entry *e;
    size_t len;
    if (db_read_begin(r->db) < 0)
        return DB_FAIL;
    enum db_result rc = stored(r, uuid, &e, &len);
    if (rc == DB_OK && buf_append_str(dn, entry_dn(e)) < 0)
        rc = DB_FAIL;
    db_read_end(r->db);
    return rc;
}

#include "gateway/store/index.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/file.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"

#define INDEX_VERSION 1
/* What LMDB makes of its lock file for its usual number of readers. */
#define INDEX_LOCK_SIZE 8192

/* Values are stored in host order: an index never leaves its host. Keys are big-endian, so that
 * LMDB's byte order is UID order. */
struct msg_key {
    uint32_t folder;
    uint32_t uid;
};

struct folder_record {
    uint32_t uidvalidity, uidnext, recent_uid, messages, unseen, in_new;
    uint64_t bytes, modseq, expunge_modseq, flags_modseq;
    int64_t cur_mtime, new_mtime;
};

struct msg_record {
    uint64_t modseq;
    int64_t date;
    uint64_t keywords;
    uint32_t size;
    uint32_t letters;
    uint8_t flags;
    uint8_t where;
};
/* Without the padding, so that no byte of it is ever undefined. */
#define MSG_RECORD_LEN (offsetof(struct msg_record, where) + 1)

static int failed(const char *what, int rc)
{
    log_error("mailbox index failed", LOG_STR("step", what), LOG_STR("error", mdb_strerror(rc)));
    return -1;
}

static MDB_val val(const void *data, size_t len)
{
    return (MDB_val){.mv_size = len, .mv_data = (void *)data};
}

static struct msg_key msg_key(uint32_t folder, uint32_t uid)
{
    return (struct msg_key){htobe32(folder), htobe32(uid)};
}

/* 1, 0 or -1 for a get. */
static int get(struct index_txn *t, MDB_dbi dbi, MDB_val key, MDB_val *value)
{
    int rc = mdb_get(t->txn, dbi, &key, value);
    if (rc == 0)
        return 1;
    return rc == MDB_NOTFOUND ? 0 : failed("get", rc);
}

static int put(struct index_txn *t, MDB_dbi dbi, MDB_val key, MDB_val value)
{
    int rc = mdb_put(t->txn, dbi, &key, &value, 0);
    return rc == 0 ? 0 : failed("put", rc);
}

static int del(struct index_txn *t, MDB_dbi dbi, MDB_val key)
{
    int rc = mdb_del(t->txn, dbi, &key, NULL);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : failed("delete", rc);
}

/* ---- the environment ---- */

static int open_databases(struct index *ix)
{
    static const char *const names[] = {"meta", "folders", "names", "keywords",
                                        "msgs", "bases",   "cache"};
    MDB_dbi *dbis[] = {&ix->meta, &ix->folders, &ix->names, &ix->keywords,
                       &ix->msgs, &ix->bases,   &ix->cache};
    struct index_txn t = {.ix = ix, .write = true};
    int rc = mdb_txn_begin(ix->env, NULL, 0, &t.txn);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < sizeof(dbis) / sizeof(dbis[0]) && rc == 0; i++)
        rc = mdb_dbi_open(t.txn, names[i], MDB_CREATE, dbis[i]);
    MDB_val v;
    uint32_t version = INDEX_VERSION;
    bool fresh = false;
    if (rc == 0) {
        MDB_val key = val("version", 7);
        rc = mdb_get(t.txn, ix->meta, &key, &v);
        if (rc == 0 && (v.mv_size != sizeof(version) || memcmp(v.mv_data, &version, 4) != 0))
            rc = MDB_VERSION_MISMATCH;
        if (rc == MDB_NOTFOUND) {
            fresh = true;
            v = val(&version, sizeof(version));
            rc = mdb_put(t.txn, ix->meta, &key, &v, 0);
        }
    }
    /* Committing dbi handles of an existing index writes nothing. */
    if (rc == 0)
        rc = mdb_txn_commit(t.txn);
    else
        mdb_txn_abort(t.txn);
    if (rc == 0 && fresh)
        rc = mdb_env_sync(ix->env, 1);
    return rc;
}

/* LMDB maps the lock file and writes to the map, which a full disk must not find full of holes. */
static int allocate_lock(const char *path)
{
    char *file = mem_printf("%s/lock.mdb", path);
    int rc = file_allocate(file, INDEX_LOCK_SIZE, 0600) == 0 ? 0 : errno;
    free(file);
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
    if (fstat(fd, &st) != 0)
        return errno;
    return (uint64_t)st.st_size / stat.ms_psize > info.me_last_pgno ? 0 : MDB_CORRUPTED;
}

static int open_env(struct index *ix, const char *path, size_t map_size)
{
    int dead, rc = allocate_lock(path);
    if (rc != 0)
        return rc;
    if ((rc = mdb_env_create(&ix->env)) != 0)
        return rc;
    if ((rc = mdb_env_set_maxdbs(ix->env, 8)) == 0 &&
        (rc = mdb_env_set_mapsize(ix->env, map_size)) == 0 &&
        (rc = mdb_env_open(ix->env, path, MDB_NOTLS | MDB_NOMETASYNC, 0600)) == 0 &&
        (rc = check_length(ix->env)) == 0 && (rc = mdb_reader_check(ix->env, &dead)) == 0)
        rc = open_databases(ix);
    if (rc != 0) {
        mdb_env_close(ix->env);
        ix->env = NULL;
    }
    return rc;
}

static void discard(const char *path)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < 2; i++) {
        char *file = mem_printf("%s/%s", path, files[i]);
        if (unlink(file) != 0 && errno != ENOENT)
            log_error("cannot discard a mailbox index", LOG_STR("file", file), LOG_ERRNO(errno));
        free(file);
    }
}

struct index *index_open(const char *path, size_t map_size)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        log_error("cannot make a mailbox index", LOG_STR("path", path), LOG_ERRNO(errno));
        return NULL;
    }
    struct index *ix = mem_zalloc(sizeof(*ix));
    int rc = open_env(ix, path, map_size);
    if (rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH || rc == MDB_CORRUPTED ||
        rc == MDB_PAGE_NOTFOUND || rc == MDB_INCOMPATIBLE) {
        log_warning("mailbox index is built anew", LOG_STR("path", path),
                    LOG_STR("error", mdb_strerror(rc)));
        discard(path);
        rc = open_env(ix, path, map_size);
    }
    if (rc != 0) {
        log_error("cannot open a mailbox index", LOG_STR("path", path),
                  LOG_STR("error", mdb_strerror(rc)));
        free(ix);
        return NULL;
    }
    return ix;
}

void index_close(struct index **ix)
{
    if (*ix == NULL)
        return;
    mdb_env_close((*ix)->env);
    free(*ix);
    *ix = NULL;
}

/* ---- transactions ---- */

int index_begin(struct index *ix, bool write, struct index_txn *t)
{
    *t = (struct index_txn){.ix = ix, .write = write};
    int rc = mdb_txn_begin(ix->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);
    if (rc == 0)
        return 0;
    t->txn = NULL;
    return failed("begin", rc);
}

int index_commit(struct index_txn *t, bool durable)
{
    if (!t->write) {
        index_abort(t);
        return 0;
    }
    int rc = mdb_txn_commit(t->txn);
    t->txn = NULL;
    if (rc == 0 && durable)
        rc = mdb_env_sync(t->ix->env, 1);
    return rc == 0 ? 0 : failed("commit", rc);
}

void index_abort(struct index_txn *t)
{
    if (t->txn != NULL)
        mdb_txn_abort(t->txn);
    t->txn = NULL;
}

/* ---- folders ---- */

static int folder_decode(MDB_val v, uint32_t id, struct index_folder *f)
{
    struct folder_record r;
    if (v.mv_size < sizeof(r) || v.mv_size - sizeof(r) >= sizeof(f->name))
        return failed("folder record", MDB_CORRUPTED);
    memcpy(&r, v.mv_data, sizeof(r));
    *f = (struct index_folder){.id = id,
                               .uidvalidity = r.uidvalidity,
                               .uidnext = r.uidnext,
                               .recent_uid = r.recent_uid,
                               .messages = r.messages,
                               .unseen = r.unseen,
                               .in_new = r.in_new,
                               .bytes = r.bytes,
                               .modseq = r.modseq,
                               .expunge_modseq = r.expunge_modseq,
                               .flags_modseq = r.flags_modseq,
                               .cur_mtime = r.cur_mtime,
                               .new_mtime = r.new_mtime};
    memcpy(f->name, (const char *)v.mv_data + sizeof(r), v.mv_size - sizeof(r));
    return 1;
}

int index_folder_get(struct index_txn *t, uint32_t id, struct index_folder *f)
{
    uint32_t key = htobe32(id);
    MDB_val v;
    int found = get(t, t->ix->folders, val(&key, sizeof(key)), &v);
    return found == 1 ? folder_decode(v, id, f) : found;
}

int index_folder_find(struct index_txn *t, const char *name, struct index_folder *f)
{
    MDB_val v;
    uint32_t id;
    int found = get(t, t->ix->names, val(name, strlen(name)), &v);
    if (found != 1)
        return found;
    if (v.mv_size != sizeof(id))
        return failed("folder name", MDB_CORRUPTED);
    memcpy(&id, v.mv_data, sizeof(id));
    return index_folder_get(t, id, f);
}

int index_folder_put(struct index_txn *t, const struct index_folder *f)
{
    struct folder_record r = {f->uidvalidity,    f->uidnext,      f->recent_uid, f->messages,
                              f->unseen,         f->in_new,       f->bytes,      f->modseq,
                              f->expunge_modseq, f->flags_modseq, f->cur_mtime,  f->new_mtime};
    size_t name_len = strlen(f->name);
    unsigned char value[sizeof(r) + INDEX_FOLDER_NAME_MAX];
    memcpy(value, &r, sizeof(r));
    memcpy(value + sizeof(r), f->name, name_len);
    uint32_t key = htobe32(f->id);
    return put(t, t->ix->folders, val(&key, sizeof(key)), val(value, sizeof(r) + name_len));
}

/* A counter in meta: at least floor, and higher than it ever was. */
static int next_number(struct index_txn *t, const char *name, uint32_t floor, uint32_t *out)
{
    MDB_val v;
    uint32_t last = 0;
    int found = get(t, t->ix->meta, val(name, strlen(name)), &v);
    if (found < 0)
        return -1;
    if (found == 1 && v.mv_size == sizeof(last))
        memcpy(&last, v.mv_data, sizeof(last));
    *out = last + 1 > floor ? last + 1 : floor;
    return put(t, t->ix->meta, val(name, strlen(name)), val(out, sizeof(*out)));
}

int index_folder_create(struct index_txn *t, const char *name, struct index_folder *f)
{
    *f = (struct index_folder){.uidnext = 1, .recent_uid = 1, .modseq = 1};
    if (strlen(name) >= sizeof(f->name))
        return failed("folder name", MDB_BAD_VALSIZE);
    memcpy(f->name, name, strlen(name) + 1);
    if (next_number(t, "folder", 1, &f->id) != 0 ||
        next_number(t, "uidvalidity", (uint32_t)clock_wall(), &f->uidvalidity) != 0 ||
        put(t, t->ix->names, val(name, strlen(name)), val(&f->id, sizeof(f->id))) != 0)
        return -1;
    return index_folder_put(t, f);
}

int index_folder_rename(struct index_txn *t, struct index_folder *f, const char *name)
{
    if (strlen(name) >= sizeof(f->name))
        return failed("folder name", MDB_BAD_VALSIZE);
    if (del(t, t->ix->names, val(f->name, strlen(f->name))) != 0 ||
        put(t, t->ix->names, val(name, strlen(name)), val(&f->id, sizeof(f->id))) != 0)
        return -1;
    memcpy(f->name, name, strlen(name) + 1);
    return index_folder_put(t, f);
}

/* Deletes every key of dbi that begins with the folder's id. */
static int delete_prefix(struct index_txn *t, MDB_dbi dbi, uint32_t folder)
{
    uint32_t prefix = htobe32(folder);
    MDB_cursor *c;
    int rc = mdb_cursor_open(t->txn, dbi, &c);
    if (rc != 0)
        return failed("cursor", rc);
    for (;;) {
        MDB_val k = val(&prefix, sizeof(prefix)), v;
        rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
        if (rc != 0 || k.mv_size < sizeof(prefix) || memcmp(k.mv_data, &prefix, 4) != 0)
            break;
        if ((rc = mdb_cursor_del(c, 0)) != 0)
            break;
    }
    mdb_cursor_close(c);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : failed("delete folder", rc);
}

int index_folder_delete(struct index_txn *t, const struct index_folder *f)
{
    uint32_t key = htobe32(f->id);
    if (delete_prefix(t, t->ix->msgs, f->id) != 0 || delete_prefix(t, t->ix->bases, f->id) != 0 ||
        delete_prefix(t, t->ix->cache, f->id) != 0 ||
        del(t, t->ix->keywords, val(&key, sizeof(key))) != 0 ||
        del(t, t->ix->folders, val(&key, sizeof(key))) != 0)
        return -1;
    return del(t, t->ix->names, val(f->name, strlen(f->name)));
}

/* ---- keywords ---- */

int index_keywords_get(struct index_txn *t, uint32_t folder, struct index_keywords *k)
{
    uint32_t key = htobe32(folder);
    MDB_val v;
    k->n = 0;
    int found = get(t, t->ix->keywords, val(&key, sizeof(key)), &v);
    if (found != 1)
        return found;
    const char *p = v.mv_data, *end = p + v.mv_size;
    while (p < end && k->n < INDEX_KEYWORDS_MAX) {
        size_t len = strnlen(p, (size_t)(end - p));
        if (len >= INDEX_KEYWORD_LEN_MAX)
            return failed("keywords", MDB_CORRUPTED);
        memcpy(k->name[k->n], p, len);
        k->name[k->n++][len] = '\0';
        p += len + 1;
    }
    return 1;
}

int index_keywords_put(struct index_txn *t, uint32_t folder, const struct index_keywords *k)
{
    char value[INDEX_KEYWORDS_MAX * INDEX_KEYWORD_LEN_MAX];
    size_t len = 0;
    for (unsigned i = 0; i < k->n; i++) {
        size_t n = strlen(k->name[i]) + 1;
        memcpy(value + len, k->name[i], n);
        len += n;
    }
    uint32_t key = htobe32(folder);
    return put(t, t->ix->keywords, val(&key, sizeof(key)), val(value, len));
}

/* ---- messages ---- */

static int msg_decode(MDB_val v, uint32_t uid, struct index_msg *m, bool with_base)
{
    struct msg_record r = {0};
    size_t base_len = v.mv_size - MSG_RECORD_LEN;
    if (v.mv_size <= MSG_RECORD_LEN || base_len >= sizeof(m->base))
        return failed("message record", MDB_CORRUPTED);
    memcpy(&r, v.mv_data, MSG_RECORD_LEN);
    m->uid = uid;
    m->size = r.size;
    m->modseq = r.modseq;
    m->date = r.date;
    m->keywords = r.keywords;
    m->letters = r.letters;
    m->flags = r.flags;
    m->where = r.where;
    if (with_base)
        memcpy(m->base, (const char *)v.mv_data + MSG_RECORD_LEN, base_len);
    m->base[with_base ? base_len : 0] = '\0';
    return 1;
}

int index_msg_get(struct index_txn *t, uint32_t folder, uint32_t uid, struct index_msg *m)
{
    struct msg_key key = msg_key(folder, uid);
    MDB_val v;
    int found = get(t, t->ix->msgs, val(&key, sizeof(key)), &v);
    return found == 1 ? msg_decode(v, uid, m, true) : found;
}

/* The key of bases: the folder, then the base name; its length, or 0 where it is too long. */
static size_t base_key(unsigned char dst[4 + INDEX_BASE_MAX], uint32_t folder, const char *base)
{
    uint32_t prefix = htobe32(folder);
    size_t len = strlen(base);
    if (len == 0 || len >= INDEX_BASE_MAX)
        return 0;
    memcpy(dst, &prefix, sizeof(prefix));
    memcpy(dst + sizeof(prefix), base, len);
    return sizeof(prefix) + len;
}

int index_msg_put(struct index_txn *t, uint32_t folder, const struct index_msg *m, bool is_new)
{
    struct msg_record r = {m->modseq,  m->date,  m->keywords, m->size,
                           m->letters, m->flags, m->where};
    unsigned char bkey[4 + INDEX_BASE_MAX], value[MSG_RECORD_LEN + INDEX_BASE_MAX];
    size_t base_len = strlen(m->base), bkey_len = base_key(bkey, folder, m->base);
    if (bkey_len == 0)
        return failed("message name", MDB_BAD_VALSIZE);
    memcpy(value, &r, MSG_RECORD_LEN);
    memcpy(value + MSG_RECORD_LEN, m->base, base_len);
    struct msg_key key = msg_key(folder, m->uid);
    if (put(t, t->ix->msgs, val(&key, sizeof(key)), val(value, MSG_RECORD_LEN + base_len)) != 0)
        return -1;
    return is_new ? put(t, t->ix->bases, val(bkey, bkey_len), val(&m->uid, sizeof(m->uid))) : 0;
}

int index_msg_delete(struct index_txn *t, uint32_t folder, const struct index_msg *m)
{
    unsigned char bkey[4 + INDEX_BASE_MAX];
    size_t bkey_len = base_key(bkey, folder, m->base);
    struct msg_key key = msg_key(folder, m->uid);
    if (del(t, t->ix->msgs, val(&key, sizeof(key))) != 0 ||
        del(t, t->ix->cache, val(&key, sizeof(key))) != 0)
        return -1;
    return bkey_len == 0 ? 0 : del(t, t->ix->bases, val(bkey, bkey_len));
}

int index_base_uid(struct index_txn *t, uint32_t folder, const char *base, uint32_t *uid)
{
    unsigned char bkey[4 + INDEX_BASE_MAX];
    size_t len = base_key(bkey, folder, base);
    MDB_val v;
    int found = len == 0 ? 0 : get(t, t->ix->bases, val(bkey, len), &v);
    if (found != 1)
        return found;
    if (v.mv_size != sizeof(*uid))
        return failed("base name", MDB_CORRUPTED);
    memcpy(uid, v.mv_data, sizeof(*uid));
    return 1;
}

int index_scan_begin(struct index_txn *t, uint32_t folder, uint32_t from_uid, struct index_scan *s)
{
    *s = (struct index_scan){.folder = folder, .from = from_uid};
    int rc = mdb_cursor_open(t->txn, t->ix->msgs, &s->cursor);
    return rc == 0 ? 0 : failed("scan", rc);
}

int index_scan_next(struct index_scan *s, struct index_msg *m, bool with_base)
{
    struct msg_key key = msg_key(s->folder, s->from);
    MDB_val k = val(&key, sizeof(key)), v;
    int rc = mdb_cursor_get(s->cursor, &k, &v, s->started ? MDB_NEXT : MDB_SET_RANGE);
    s->started = true;
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return failed("scan", rc);
    if (k.mv_size != sizeof(key))
        return failed("message key", MDB_CORRUPTED);
    memcpy(&key, k.mv_data, sizeof(key));
    if (be32toh(key.folder) != s->folder)
        return 0;
    return msg_decode(v, be32toh(key.uid), m, with_base);
}

void index_scan_end(struct index_scan *s)
{
    if (s->cursor != NULL)
        mdb_cursor_close(s->cursor);
    s->cursor = NULL;
}

/* ---- cached structure ---- */

int index_cache_get(struct index_txn *t, uint32_t folder, uint32_t uid, struct index_cached *c)
{
    struct msg_key key = msg_key(folder, uid);
    MDB_val v;
    uint32_t len[3];
    int found = get(t, t->ix->cache, val(&key, sizeof(key)), &v);
    if (found != 1)
        return found;
    if (v.mv_size < sizeof(len))
        return failed("cache record", MDB_CORRUPTED);
    memcpy(len, v.mv_data, sizeof(len));
    if ((uint64_t)len[0] + len[1] + len[2] + sizeof(len) != v.mv_size)
        return failed("cache record", MDB_CORRUPTED);
    const char *p = (const char *)v.mv_data + sizeof(len);
    *c = (struct index_cached){p, p + len[0], p + len[0] + len[1], len[0], len[1], len[2]};
    return 1;
}

int index_cache_put(struct index_txn *t, uint32_t folder, uint32_t uid,
                    const struct index_cached *c)
{
    struct msg_key key = msg_key(folder, uid);
    uint32_t len[3] = {(uint32_t)c->envelope_len, (uint32_t)c->body_len,
                       (uint32_t)c->bodystructure_len};
    MDB_val k = val(&key, sizeof(key));
    MDB_val v = {.mv_size = sizeof(len) + len[0] + len[1] + len[2]};
    int rc = mdb_put(t->txn, t->ix->cache, &k, &v, MDB_RESERVE);
    if (rc != 0)
        return failed("put", rc);
    char *p = v.mv_data;
    memcpy(p, len, sizeof(len));
    memcpy(p + sizeof(len), c->envelope, len[0]);
    memcpy(p + sizeof(len) + len[0], c->body, len[1]);
    memcpy(p + sizeof(len) + len[0] + len[1], c->bodystructure, len[2]);
    return 0;
}

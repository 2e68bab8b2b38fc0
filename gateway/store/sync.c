/*
 * Taking up what happened to a folder's files: deliveries, other programs' changes, a lost index.
 *
 * A folder whose new/ and cur/ have the modification times of the last scan is not read again.
 * Deliveries only touch new/, so cur/ is read only where somebody else changed it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/store/private.h"

/* A directory that changed less than this ago may change again within the clock's grain, unseen. */
#define SETTLED_NS ((int64_t)20 * 1000 * 1000)
/* With more known messages than this in new/, they move to cur/, so that looking for new ones stays
 * cheap. */
#define NEW_DIR_MAX 256

struct scanned {
    char *name;
    uint16_t base_len;
    uint8_t flags;
    uint8_t where;
    uint32_t letters;
};

struct scan {
    struct mailbox *mb;
    struct index_folder *f;
    struct index_txn *t;
    bool in_new;
    struct scanned *v;
    size_t n, cap;
    uint32_t *found; /* UIDs whose files were seen */
    size_t found_n, found_cap;
    bool scanned_new, scanned_cur;
    bool changed;
    bool flags_changed;
};

void folder_count(struct index_folder *f, const struct index_msg *m, int sign)
{
    uint32_t one = sign > 0 ? 1 : UINT32_MAX;
    f->messages += one;
    if (!(m->flags & MESSAGE_SEEN))
        f->unseen += one;
    if (m->where == INDEX_NEW)
        f->in_new += one;
    f->bytes += sign > 0 ? m->size : -(uint64_t)m->size;
}

static int64_t wall_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t settled(int64_t mtime)
{
    return wall_ns() - mtime > SETTLED_NS ? mtime : 0;
}

/* ---- reading the directories ---- */

/* A file in new/ that already has flags belongs into cur/. */
static bool move_flagged(struct scan *s, const char *name)
{
    char dir[MAILDIR_PATH_MAX], from[MAILDIR_PATH_MAX + 264], to[MAILDIR_PATH_MAX + 264];
    maildir_dir(s->f->name, dir);
    snprintf(from, sizeof(from), "%snew/%.255s", dir, name);
    snprintf(to, sizeof(to), "%scur/%.255s", dir, name);
    return renameat(s->mb->fd, from, s->mb->fd, to) == 0;
}

static int collect(const char *name, void *arg)
{
    struct scan *s = arg;
    struct maildir_file file;
    if (maildir_parse(name, &file) != 0)
        return 0;
    if (s->in_new && file.where == INDEX_CUR && !move_flagged(s, name))
        return 0;
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->v = mem_realloc(s->v, s->cap, sizeof(*s->v));
    }
    s->v[s->n++] = (struct scanned){
        .name = mem_strndup(name, file.base_len),
        .base_len = (uint16_t)file.base_len,
        .flags = file.flags,
        .where = s->in_new && file.where != INDEX_CUR ? INDEX_NEW : file.where,
        .letters = file.letters,
    };
    return 0;
}

static int read_dir(struct scan *s, bool in_new)
{
    s->in_new = in_new;
    if (in_new)
        s->scanned_new = true;
    else
        s->scanned_cur = true;
    return maildir_each(s->mb->fd, s->f->name, in_new ? "new" : "cur", collect, s);
}

/* By arrival, which the seconds in front of a base name tell; then by name. */
static int by_arrival(const void *a, const void *b)
{
    const struct scanned *x = a, *y = b;
    unsigned long long tx = strtoull(x->name, NULL, 10), ty = strtoull(y->name, NULL, 10);
    if (tx != ty)
        return tx < ty ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void forget_list(struct scan *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i].name);
    free(s->v);
    free(s->found);
    s->v = NULL;
    s->found = NULL;
    s->n = s->cap = s->found_n = s->found_cap = 0;
}

/* ---- comparing with the index ---- */

static void mark_found(struct scan *s, uint32_t uid)
{
    if (s->found_n == s->found_cap) {
        s->found_cap = s->found_cap ? s->found_cap * 2 : 64;
        s->found = mem_realloc(s->found, s->found_cap, sizeof(*s->found));
    }
    s->found[s->found_n++] = uid;
}

static void touch(struct scan *s)
{
    if (!s->changed)
        s->f->modseq++;
    s->changed = true;
}

static int add_message(struct scan *s, const struct scanned *e)
{
    char path[MAILDIR_PATH_MAX];
    struct stat st;
    struct index_msg m = {.flags = e->flags, .where = e->where, .letters = e->letters};
    memcpy(m.base, e->name, e->base_len);
    if (fstatat(s->mb->fd, maildir_path(s->f->name, &m, path), &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : -1; /* gone again: the next scan knows */
    if (!S_ISREG(st.st_mode) || st.st_size > UINT32_MAX)
        return 0;
    if (s->f->uidnext == UINT32_MAX) {
        errno = EOVERFLOW;
        return -1;
    }
    touch(s);
    m.uid = s->f->uidnext++;
    m.size = (uint32_t)st.st_size;
    m.date = st.st_mtim.tv_sec;
    m.modseq = s->f->modseq;
    folder_count(s->f, &m, 1);
    mark_found(s, m.uid);
    return index_msg_put(s->t, s->f->id, &m, true);
}

/* Whether a file in new/ is only a second name of one that is in cur/. */
static bool is_double(struct scan *s, const struct scanned *e, const struct index_msg *m)
{
    char path[MAILDIR_PATH_MAX];
    return e->where == INDEX_NEW && m->where != INDEX_NEW &&
           faccessat(s->mb->fd, maildir_path(s->f->name, m, path), F_OK, 0) == 0;
}

static int compare(struct scan *s, const struct scanned *e)
{
    uint32_t uid;
    struct index_msg m;
    int rc = index_base_uid(s->t, s->f->id, e->name, &uid);
    if (rc == 0)
        return add_message(s, e);
    if (rc < 0 || index_msg_get(s->t, s->f->id, uid, &m) != 1)
        return -1;
    mark_found(s, uid);
    if ((m.flags == e->flags && m.letters == e->letters && m.where == e->where) ||
        is_double(s, e, &m))
        return 0;
    touch(s);
    s->flags_changed = s->flags_changed || m.flags != e->flags;
    folder_count(s->f, &m, -1);
    m.flags = e->flags;
    m.letters = e->letters;
    m.where = e->where;
    m.modseq = s->f->modseq;
    folder_count(s->f, &m, 1);
    return index_msg_put(s->t, s->f->id, &m, false);
}

static int by_uid(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Whether every message of the directories that were read had its file. */
static bool all_found(struct scan *s)
{
    if (s->found_n > 0)
        qsort(s->found, s->found_n, sizeof(*s->found), by_uid);
    size_t n = 0;
    for (size_t i = 0; i < s->found_n; i++)
        if (i == 0 || s->found[i] != s->found[i - 1])
            s->found[n++] = s->found[i];
    s->found_n = n;
    uint32_t expected =
        (s->scanned_new ? s->f->in_new : 0) + (s->scanned_cur ? s->f->messages - s->f->in_new : 0);
    return n == expected;
}

static int remove_vanished(struct scan *s)
{
    struct index_scan scan;
    struct index_msg m;
    uint32_t *gone = NULL;
    size_t n = 0, cap = 0;
    if (index_scan_begin(s->t, s->f->id, 1, &scan) != 0)
        return -1;
    int rc;
    while ((rc = index_scan_next(&scan, &m, false)) == 1) {
        if (s->found_n > 0 && bsearch(&m.uid, s->found, s->found_n, sizeof(m.uid), by_uid) != NULL)
            continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 64;
            gone = mem_realloc(gone, cap, sizeof(*gone));
        }
        gone[n++] = m.uid;
    }
    index_scan_end(&scan);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (index_msg_get(s->t, s->f->id, gone[i], &m) != 1) {
            rc = -1;
            break;
        }
        touch(s);
        folder_count(s->f, &m, -1);
        s->f->expunge_modseq = s->f->modseq;
        rc = index_msg_delete(s->t, s->f->id, &m);
    }
    free(gone);
    return rc;
}

static int compare_all(struct scan *s)
{
    if (s->n > 0)
        qsort(s->v, s->n, sizeof(*s->v), by_arrival);
    for (size_t i = 0; i < s->n; i++)
        if (compare(s, &s->v[i]) < 0)
            return -1;
    return 0;
}

/* Reads both directories again, since a file that is renamed meanwhile can be missed by one pass.
 * cur/ counts where a name is in both. */
static int scan_again(struct scan *s)
{
    forget_list(s);
    if (read_dir(s, true) != 0 || read_dir(s, false) != 0)
        return -1;
    return compare_all(s);
}

/* Moves what is known from new/ to cur/. */
static int empty_new(struct scan *s)
{
    struct index_scan scan;
    struct index_msg m;
    uint32_t *uids = mem_alloc(s->f->in_new * sizeof(*uids));
    size_t n = 0, max = s->f->in_new;
    if (index_scan_begin(s->t, s->f->id, 1, &scan) != 0) {
        free(uids);
        return -1;
    }
    int rc;
    while ((rc = index_scan_next(&scan, &m, false)) == 1 && n < max)
        if (m.where == INDEX_NEW)
            uids[n++] = m.uid;
    index_scan_end(&scan);
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        char from[MAILDIR_PATH_MAX], to[MAILDIR_PATH_MAX];
        if (index_msg_get(s->t, s->f->id, uids[i], &m) != 1) {
            rc = -1;
            break;
        }
        maildir_path(s->f->name, &m, from);
        m.where = INDEX_CUR;
        if (renameat(s->mb->fd, from, s->mb->fd, maildir_path(s->f->name, &m, to)) != 0)
            continue;
        s->f->in_new--;
        s->changed = true;
        rc = index_msg_put(s->t, s->f->id, &m, false);
    }
    free(uids);
    return rc < 0 ? -1 : 0;
}

static int sync_files(struct scan *s, bool do_new, bool do_cur)
{
    if ((do_cur && read_dir(s, false) != 0) || (do_new && read_dir(s, true) != 0) ||
        compare_all(s) != 0)
        return -1;
    if (!all_found(s)) {
        if (scan_again(s) != 0)
            return -1;
        if (!all_found(s) && remove_vanished(s) != 0)
            return -1;
    }
    if (s->f->in_new > NEW_DIR_MAX) {
        struct own_change own;
        own_change_begin(s->mb, s->f, &own);
        if (empty_new(s) != 0)
            return -1;
        own_change_end(s->mb, s->f, &own);
    }
    if (s->flags_changed)
        s->f->flags_modseq = s->f->modseq;
    return 0;
}

void own_change_begin(struct mailbox *mb, const struct index_folder *f, struct own_change *c)
{
    c->cur_known = f->cur_mtime != 0 && maildir_mtime(mb->fd, f->name, "cur") == f->cur_mtime;
    c->new_known = f->new_mtime != 0 && maildir_mtime(mb->fd, f->name, "new") == f->new_mtime;
}

void own_change_end(struct mailbox *mb, struct index_folder *f, const struct own_change *c)
{
    /* Deliveries reach new/ without our lock: one within the grain of its time must not be missed,
     * so only cur/ may be taken as known right after a change. */
    int64_t cur = c->cur_known ? maildir_mtime(mb->fd, f->name, "cur") : 0;
    int64_t fresh = c->new_known ? maildir_mtime(mb->fd, f->name, "new") : 0;
    f->cur_mtime = cur < 0 ? 0 : cur;
    f->new_mtime = fresh == f->new_mtime ? fresh : 0;
}

enum store_result folder_sync_in(struct mailbox *mb, struct index_txn *t, struct index_folder *f,
                                 bool *changed)
{
    int64_t cur = maildir_mtime(mb->fd, f->name, "cur");
    int64_t fresh = maildir_mtime(mb->fd, f->name, "new");
    if (cur < 0 || fresh < 0) {
        if (errno != ENOENT)
            return mailbox_failed(mb, "cannot look at a folder", f->name);
        if (index_folder_delete(t, f) != 0)
            return STORE_FAILED;
        *changed = true;
        return STORE_ABSENT;
    }
    if (cur == f->cur_mtime && fresh == f->new_mtime)
        return STORE_OK;
    struct scan s = {.mb = mb, .f = f, .t = t};
    int64_t cur_then = settled(cur), fresh_then = settled(fresh);
    bool do_cur = cur != f->cur_mtime, do_new = fresh != f->new_mtime;
    f->cur_mtime = cur_then;
    f->new_mtime = fresh_then;
    if (sync_files(&s, do_new, do_cur) != 0) {
        forget_list(&s);
        return mailbox_failed(mb, "cannot scan a folder", f->name);
    }
    forget_list(&s);
    *changed = *changed || s.changed || cur_then != 0 || fresh_then != 0;
    return index_folder_put(t, f) == 0 ? STORE_OK : STORE_FAILED;
}

enum store_result folder_get_in(struct mailbox *mb, struct index_txn *t, const char *name,
                                struct index_folder *f)
{
    int rc = index_folder_find(t, name, f);
    if (rc != 0)
        return rc == 1 ? STORE_OK : STORE_FAILED;
    rc = maildir_exists(mb->fd, name);
    if (rc < 0)
        return mailbox_failed(mb, "cannot look at a folder", name);
    if (rc == 0)
        return STORE_ABSENT;
    return index_folder_create(t, name, f) == 0 ? STORE_OK : STORE_FAILED;
}

/* Whether a look without the lock shows nothing to do: 1 with *f, 0, or -1. */
static int sync_quick(struct mailbox *mb, uint32_t id, const char *name, bool claim,
                      struct index_folder *f)
{
    struct index_txn t;
    if (mailbox_begin(mb, false, &t) != STORE_OK)
        return -1;
    int rc = id != 0 ? index_folder_get(&t, id, f) : index_folder_find(&t, name, f);
    mailbox_abort(mb, &t);
    if (rc != 1)
        return rc;
    return f->cur_mtime != 0 && f->new_mtime != 0 &&
           maildir_mtime(mb->fd, f->name, "cur") == f->cur_mtime &&
           maildir_mtime(mb->fd, f->name, "new") == f->new_mtime &&
           !(claim && f->recent_uid < f->uidnext);
}

enum store_result folder_sync(struct mailbox *mb, uint32_t id, const char *name, bool claim,
                              struct index_folder *f, uint32_t *recent_from)
{
    struct index_txn t;
    bool changed = false;
    int quick = sync_quick(mb, id, name, claim, f);
    if (quick != 0) {
        *recent_from = f->recent_uid;
        return quick == 1 ? STORE_OK : STORE_FAILED;
    }
    enum store_result r = mailbox_begin(mb, true, &t);
    if (r != STORE_OK)
        return r;
    if (id != 0) {
        int rc = index_folder_get(&t, id, f);
        r = rc == 1 ? STORE_OK : rc == 0 ? STORE_ABSENT : STORE_FAILED;
    } else {
        /* A folder that gets its record here is a change, however empty it is. */
        changed = index_folder_find(&t, name, f) == 0;
        r = folder_get_in(mb, &t, name, f);
    }
    uint32_t next_before = f->uidnext;
    if (r == STORE_OK)
        r = folder_sync_in(mb, &t, f, &changed);
    if (r == STORE_OK) {
        *recent_from = f->recent_uid;
        if (claim && f->recent_uid < f->uidnext) {
            f->recent_uid = f->uidnext;
            changed = true;
            if (index_folder_put(&t, f) != 0)
                r = STORE_FAILED;
        }
    }
    /* UIDs that a client hears of must not be given again after a power cut. */
    if (changed && (r == STORE_OK || r == STORE_ABSENT)) {
        enum store_result c = mailbox_commit(mb, &t, r == STORE_OK && f->uidnext != next_before);
        r = c == STORE_OK ? r : c;
    }
    mailbox_abort(mb, &t);
    return r;
}

/* COPY links a file under a new name, MOVE renames it: no byte of a message is copied. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/store/names.h"
#include "gateway/store/private.h"

struct copy {
    struct mailbox *mb;
    struct index_txn t;
    struct index_folder src, dst;
    struct index_keywords src_keywords, dst_keywords;
    uint64_t keyword_map[INDEX_KEYWORDS_MAX]; /* bit n of the source in the destination; 0: unset */
    bool move;
    char **undo; /* pairs of paths: where a file is now, where it was ("" for a new link) */
    uint32_t undo_n;
    struct copy_result *out;
};

void copy_result_free(struct copy_result *r)
{
    free(r->from);
    free(r->to);
    *r = (struct copy_result){0};
}

/* A linked file must be as durable as the answer says: the queue may not have flushed it yet. */
static enum store_result flush_sources(struct mailbox *mb, const struct view *view,
                                       const uint32_t *uids, uint32_t n)
{
    struct mail_read *r = mail_read_begin(mb, view);
    enum store_result result = r == NULL ? STORE_FAILED : STORE_OK;
    for (uint32_t i = 0; result == STORE_OK && i < n; i++) {
        int fd = mail_read_open(r, uids[i]);
        if (fd < 0)
            continue; /* gone: left out below */
        if (fdatasync(fd) != 0)
            result = mailbox_failed(mb, "cannot flush a message", NULL);
        close(fd);
    }
    mail_read_end(&r);
    return result;
}

/* The destination's bits for the source's keywords; new ones are defined as far as there is room.
 */
static enum store_result map_keywords(struct copy *c, uint64_t keywords, uint64_t *out)
{
    *out = 0;
    for (unsigned i = 0; i < c->src_keywords.n; i++) {
        bool added;
        const char *name = c->src_keywords.name[i];
        if (!(keywords & (uint64_t)1 << i))
            continue;
        if (c->keyword_map[i] == 0) {
            enum store_result r = keywords_resolve(&c->t, c->dst.id, &name, 1, true,
                                                   &c->dst_keywords, &c->keyword_map[i], &added);
            if (r == STORE_FAILED)
                return r;
        }
        *out |= c->keyword_map[i];
    }
    return STORE_OK;
}

static void keep_structure(struct copy *c, uint32_t from, uint32_t to)
{
    struct index_cached s;
    if (index_cache_get(&c->t, c->src.id, from, &s) != 1)
        return;
    size_t len = s.envelope_len + s.body_len + s.bodystructure_len;
    char *p = mem_strndup(s.envelope, len); /* the three stand behind each other */
    s.envelope = p;
    s.body = p + s.envelope_len;
    s.bodystructure = s.body + s.body_len;
    index_cache_put(&c->t, c->dst.id, to, &s);
    free(p);
}

static void remember(struct copy *c, const char *now, const char *before)
{
    c->undo[c->undo_n * 2] = mem_strdup(now);
    c->undo[c->undo_n++ * 2 + 1] = mem_strdup(before);
}

static void end_undo(struct copy *c, bool undo)
{
    for (uint32_t i = c->undo_n; i-- > 0;) {
        char *now = c->undo[i * 2], *before = c->undo[i * 2 + 1];
        if (undo && before[0] != '\0')
            renameat2(c->mb->fd, now, c->mb->fd, before, RENAME_NOREPLACE);
        else if (undo)
            unlinkat(c->mb->fd, now, 0);
        free(now);
        free(before);
    }
    free(c->undo);
}

/* Puts one file into the destination. 0, 1 where the source is gone, -1 with errno. */
static int place(struct copy *c, const struct index_msg *m, struct index_msg *to)
{
    char from_path[MAILDIR_PATH_MAX], to_path[MAILDIR_PATH_MAX], id[ID_STRLEN];
    int rc;
    maildir_path(c->src.name, m, from_path);
    if (c->move) {
        memcpy(to->base, m->base, sizeof(to->base));
        maildir_path(c->dst.name, to, to_path);
        rc = renameat2(c->mb->fd, from_path, c->mb->fd, to_path, RENAME_NOREPLACE);
    } else {
        store_base_name(clock_wall(), id_new(id), 0, to->base, sizeof(to->base));
        maildir_path(c->dst.name, to, to_path);
        rc = linkat(c->mb->fd, from_path, c->mb->fd, to_path, 0);
    }
    if (rc != 0)
        return errno == ENOENT && maildir_exists(c->mb->fd, c->dst.name) == 1 ? 1 : -1;
    remember(c, to_path, c->move ? from_path : "");
    return 0;
}

static enum store_result copy_one(struct copy *c, uint32_t uid)
{
    struct index_msg m, to;
    int rc = index_msg_get(&c->t, c->src.id, uid, &m);
    if (rc != 1)
        return rc == 0 ? STORE_OK : STORE_FAILED;
    to = m;
    to.where = INDEX_CUR;
    if (map_keywords(c, m.keywords, &to.keywords) != STORE_OK)
        return STORE_FAILED;
    rc = place(c, &m, &to);
    if (rc < 0)
        return mailbox_failed(c->mb, "cannot copy a message", m.base);
    if (rc == 1) {
        c->src.cur_mtime = c->src.new_mtime = 0;
        return STORE_OK;
    }
    to.uid = c->dst.uidnext++;
    to.modseq = c->dst.modseq + 1;
    folder_count(&c->dst, &to, 1);
    if (index_msg_put(&c->t, c->dst.id, &to, true) != 0)
        return STORE_FAILED;
    keep_structure(c, uid, to.uid);
    if (c->move) {
        folder_count(&c->src, &m, -1);
        if (index_msg_delete(&c->t, c->src.id, &m) != 0)
            return STORE_FAILED;
    }
    c->out->from[c->out->n] = uid;
    c->out->to[c->out->n++] = to.uid;
    return STORE_OK;
}

static int sync_folder_dir(struct mailbox *mb, const char *folder, const char *sub)
{
    char dir[MAILDIR_PATH_MAX], path[MAILDIR_PATH_MAX + 8];
    snprintf(path, sizeof(path), "%s%s", maildir_dir(folder, dir), sub);
    return maildir_sync_dir(mb->fd, path);
}

static enum store_result copy_all(struct copy *c, const uint32_t *uids, uint32_t n, bool same)
{
    struct own_change src_own, dst_own;
    enum store_result r = STORE_OK;
    own_change_begin(c->mb, &c->src, &src_own);
    own_change_begin(c->mb, &c->dst, &dst_own);
    for (uint32_t i = 0; r == STORE_OK && i < n; i++)
        r = copy_one(c, uids[i]);
    if (r != STORE_OK)
        return r;
    if (c->out->n > 0) {
        c->dst.modseq++;
        if (c->move)
            c->src.expunge_modseq = ++c->src.modseq;
        if (sync_folder_dir(c->mb, c->dst.name, "cur") != 0 ||
            (c->move && (sync_folder_dir(c->mb, c->src.name, "cur") != 0 ||
                         sync_folder_dir(c->mb, c->src.name, "new") != 0)))
            return mailbox_failed(c->mb, "cannot make a copy durable", c->dst.name);
    }
    own_change_end(c->mb, &c->dst, &dst_own);
    if (!same)
        own_change_end(c->mb, &c->src, &src_own);
    if ((!same && index_folder_put(&c->t, &c->src) != 0) || index_folder_put(&c->t, &c->dst) != 0)
        return STORE_FAILED;
    return STORE_OK;
}

enum store_result mailbox_copy(struct mailbox *mb, const struct view *view, const uint32_t *uids,
                               uint32_t n, const char *destination, bool move,
                               struct copy_result *out)
{
    struct copy *c = mem_zalloc(sizeof(*c));
    c->mb = mb;
    c->move = move;
    c->out = out;
    *out = (struct copy_result){0};
    enum store_result r = move ? STORE_OK : flush_sources(mb, view, uids, n);
    if (r == STORE_OK)
        r = mailbox_begin(mb, true, &c->t);
    if (r != STORE_OK)
        goto out;
    int rc = index_folder_get(&c->t, view->folder, &c->src);
    r = rc == 1 ? folder_get_in(mb, &c->t, destination, &c->dst) : STORE_FAILED;
    bool same = r == STORE_OK && c->src.id == c->dst.id;
    if (same && move)
        r = STORE_INVALID;
    if (r == STORE_OK && maildir_exists(mb->fd, c->dst.name) != 1)
        r = STORE_ABSENT;
    if (r == STORE_OK && index_keywords_get(&c->t, c->src.id, &c->src_keywords) < 0)
        r = STORE_FAILED;
    if (r != STORE_OK)
        goto out;
    out->uidvalidity = c->dst.uidvalidity;
    out->from = mem_alloc(((size_t)n + 1) * sizeof(*out->from));
    out->to = mem_alloc(((size_t)n + 1) * sizeof(*out->to));
    c->undo = mem_alloc(((size_t)n + 1) * 2 * sizeof(*c->undo));
    r = copy_all(c, uids, n, same);
    if (r == STORE_OK)
        r = mailbox_commit(mb, &c->t, true);
    end_undo(c, r != STORE_OK);
out:
    mailbox_abort(mb, &c->t);
    free(c);
    if (r != STORE_OK)
        copy_result_free(out);
    return r;
}

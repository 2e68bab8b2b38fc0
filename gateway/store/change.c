/* Flags, keywords, and removing messages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/store/private.h"

enum store_result keywords_resolve(struct index_txn *t, uint32_t folder, const char *const *names,
                                   unsigned n, bool add, struct index_keywords *k, uint64_t *bits,
                                   bool *added)
{
    *bits = 0;
    *added = false;
    if (index_keywords_get(t, folder, k) < 0)
        return STORE_FAILED;
    for (unsigned i = 0; i < n; i++) {
        unsigned j = 0;
        while (j < k->n && !str_ieq(k->name[j], names[i]))
            j++;
        if (j == k->n && !add)
            continue;
        if (j == k->n) {
            size_t len = strlen(names[i]);
            if (k->n == INDEX_KEYWORDS_MAX || len >= INDEX_KEYWORD_LEN_MAX)
                return STORE_LIMIT;
            memcpy(k->name[k->n++], names[i], len + 1);
            *added = true;
        }
        *bits |= (uint64_t)1 << j;
    }
    return *added && index_keywords_put(t, folder, k) != 0 ? STORE_FAILED : STORE_OK;
}

/* What a message's flags and keywords become. */
static void apply(const struct flags_change *change, uint64_t bits, const struct index_msg *m,
                  uint8_t *flags, uint64_t *keywords)
{
    switch (change->op) {
    case FLAGS_ADD:
        *flags = m->flags | change->flags;
        *keywords = m->keywords | bits;
        break;
    case FLAGS_REMOVE:
        *flags = m->flags & (uint8_t)~change->flags;
        *keywords = m->keywords & ~bits;
        break;
    case FLAGS_REPLACE:
        *flags = change->flags;
        *keywords = bits;
        break;
    }
}

/* Changes one message's file name and record. 1: changed, 0: nothing to do, -1 with errno. */
static int change_one(struct mailbox *mb, struct index_txn *t, struct index_folder *f,
                      struct index_msg *m, uint8_t flags, uint64_t keywords)
{
    char from[MAILDIR_PATH_MAX], to[MAILDIR_PATH_MAX];
    struct index_msg before = *m;
    if (m->flags == flags && m->keywords == keywords)
        return 0;
    if (m->flags != flags) {
        maildir_path(f->name, m, from);
        m->flags = flags;
        m->where = INDEX_CUR;
        if (renameat(mb->fd, from, mb->fd, maildir_path(f->name, m, to)) != 0) {
            /* Somebody else renamed or removed it: the next look at the folder tells. */
            f->cur_mtime = f->new_mtime = 0;
            return errno == ENOENT ? 0 : -1;
        }
    }
    folder_count(f, &before, -1);
    folder_count(f, m, 1);
    m->keywords = keywords;
    m->modseq = f->modseq + 1;
    return index_msg_put(t, f->id, m, false) == 0 ? 1 : -1;
}

static enum store_result change_all(struct mailbox *mb, struct index_txn *t, struct index_folder *f,
                                    const uint32_t *uids, uint32_t n,
                                    const struct flags_change *change, uint64_t bits,
                                    bool *keywords_changed)
{
    bool changed = false;
    struct index_msg m;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t flags = 0;
        uint64_t keywords = 0;
        int rc = index_msg_get(t, f->id, uids[i], &m);
        if (rc == 0)
            continue;
        if (rc < 0)
            return STORE_FAILED;
        apply(change, bits, &m, &flags, &keywords);
        *keywords_changed = *keywords_changed || m.keywords != keywords;
        rc = change_one(mb, t, f, &m, flags, keywords);
        if (rc < 0)
            return mailbox_failed(mb, "cannot change flags", m.base);
        changed = changed || rc == 1;
    }
    if (changed)
        f->flags_modseq = ++f->modseq;
    return STORE_OK;
}

static void view_take_keywords(struct view *view, const struct index_keywords *k)
{
    if (k->n <= view->keyword_n)
        return;
    view->keywords = mem_realloc(view->keywords, k->n, sizeof(*view->keywords));
    while (view->keyword_n < k->n) {
        view->keywords[view->keyword_n] = mem_strdup(k->name[view->keyword_n]);
        view->keyword_n++;
    }
}

enum store_result mailbox_change_flags(struct mailbox *mb, struct view *view, const uint32_t *uids,
                                       uint32_t n, const struct flags_change *change)
{
    struct index_txn t;
    struct index_folder f;
    struct index_keywords k;
    struct own_change own;
    uint64_t bits, before = 0;
    bool durable = false;
    enum store_result r = mailbox_begin(mb, true, &t);
    if (r != STORE_OK)
        return r;
    int rc = index_folder_get(&t, view->folder, &f);
    r = rc == 1 ? STORE_OK : rc == 0 ? STORE_ABSENT : STORE_FAILED;
    if (r == STORE_OK)
        r = keywords_resolve(&t, f.id, change->keywords, change->keyword_n,
                             change->op != FLAGS_REMOVE, &k, &bits, &durable);
    if (r == STORE_OK) {
        before = f.modseq;
        own_change_begin(mb, &f, &own);
        r = change_all(mb, &t, &f, uids, n, change, bits, &durable);
        own_change_end(mb, &f, &own);
        if (f.modseq == before && !durable && r == STORE_OK)
            goto out; /* nothing to write */
    }
    if (r == STORE_OK && index_folder_put(&t, &f) != 0)
        r = STORE_FAILED;
    /* System flags are in the file names; keywords are nowhere else. */
    if (r == STORE_OK)
        r = mailbox_commit(mb, &t, durable);
    if (r == STORE_OK) {
        view_take_keywords(view, &k);
        /* The client knows what it did itself, unless others changed something before. */
        if (view->modseq == before)
            view->modseq = f.modseq;
    }
out:
    mailbox_abort(mb, &t);
    return r;
}

/* ---- removing ---- */

void name_list_free(struct name_list *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->v[i]);
    free(names->v);
    *names = (struct name_list){0};
}

static void add_name(struct name_list *names, const char *name)
{
    if ((names->n & (names->n - 1)) == 0)
        names->v = mem_realloc(names->v, names->n ? names->n * 2 : 1, sizeof(*names->v));
    names->v[names->n++] = mem_strdup(name);
}

enum store_result mailbox_names(struct mailbox *mb, const struct view *view, const uint32_t *uids,
                                uint32_t n, uint8_t need_flags, struct name_list *names,
                                uint32_t **out_uids)
{
    struct mail_read *read = mail_read_begin(mb, view);
    struct message m;
    *names = (struct name_list){0};
    *out_uids = NULL;
    if (read == NULL)
        return STORE_FAILED;
    if (uids == NULL) {
        uids = view->uids;
        n = view->n;
    }
    uint32_t *found = mem_alloc(((size_t)n + 1) * sizeof(*found));
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < n; i++) {
        rc = mail_read_get(read, uids[i], &m);
        if (rc == 1 && (m.flags & need_flags) == need_flags) {
            found[names->n] = m.uid;
            add_name(names, m.base);
        }
    }
    mail_read_end(&read);
    if (rc >= 0) {
        *out_uids = found;
        return STORE_OK;
    }
    free(found);
    name_list_free(names);
    return STORE_FAILED;
}

enum store_result mailbox_folder_names(struct mailbox *mb, const char *folder,
                                       struct name_list *names)
{
    struct index_folder f;
    struct index_txn t;
    struct index_scan scan;
    struct index_msg m;
    uint32_t recent;
    *names = (struct name_list){0};
    enum store_result r = folder_sync(mb, 0, folder, false, &f, &recent);
    if (r != STORE_OK || (r = mailbox_begin(mb, false, &t)) != STORE_OK)
        return r;
    int rc = index_scan_begin(&t, f.id, 1, &scan);
    while (rc >= 0 && (rc = index_scan_next(&scan, &m, true)) == 1)
        add_name(names, m.base);
    index_scan_end(&scan);
    mailbox_abort(mb, &t);
    if (rc < 0)
        name_list_free(names);
    return rc < 0 ? STORE_FAILED : STORE_OK;
}

static enum store_result expunge_all(struct mailbox *mb, struct index_txn *t,
                                     struct index_folder *f, const uint32_t *uids, uint32_t n,
                                     uint8_t need_flags)
{
    bool changed = false;
    struct index_msg m;
    char path[MAILDIR_PATH_MAX];
    for (uint32_t i = 0; i < n; i++) {
        int rc = index_msg_get(t, f->id, uids[i], &m);
        if (rc < 0)
            return STORE_FAILED;
        if (rc == 0 || (m.flags & need_flags) != need_flags)
            continue;
        if (unlinkat(mb->fd, maildir_path(f->name, &m, path), 0) != 0) {
            if (errno != ENOENT)
                return mailbox_failed(mb, "cannot remove a message", m.base);
            f->cur_mtime = f->new_mtime = 0; /* under another name now: look again */
            continue;
        }
        folder_count(f, &m, -1);
        changed = true;
        if (index_msg_delete(t, f->id, &m) != 0)
            return STORE_FAILED;
    }
    if (changed)
        f->expunge_modseq = ++f->modseq;
    return STORE_OK;
}

enum store_result mailbox_expunge(struct mailbox *mb, const struct view *view, const uint32_t *uids,
                                  uint32_t n, uint8_t need_flags)
{
    struct index_txn t;
    struct index_folder f;
    struct own_change own;
    enum store_result r = mailbox_begin(mb, true, &t);
    if (r != STORE_OK)
        return r;
    int rc = index_folder_get(&t, view->folder, &f);
    r = rc == 1 ? STORE_OK : rc == 0 ? STORE_ABSENT : STORE_FAILED;
    if (r == STORE_OK) {
        own_change_begin(mb, &f, &own);
        r = expunge_all(mb, &t, &f, uids, n, need_flags);
        own_change_end(mb, &f, &own);
    }
    /* What was unlinked stays so: the index follows even where a later message failed. */
    if (r != STORE_ABSENT && index_folder_put(&t, &f) == 0) {
        enum store_result c = mailbox_commit(mb, &t, false);
        r = r == STORE_OK ? c : r;
    }
    mailbox_abort(mb, &t);
    return r;
}

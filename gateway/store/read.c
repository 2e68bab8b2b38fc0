/* Reading messages through a snapshot of the index. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/store/private.h"

struct mail_read {
    struct mailbox *mb;
    struct index_txn t;
    struct index_folder f;
    struct index_scan scan;
    uint32_t last; /* UID that the scan gave last; 0: no scan is open */
};

struct mail_read *mail_read_begin(struct mailbox *mb, const struct view *view)
{
    struct mail_read *r = mem_zalloc(sizeof(*r));
    r->mb = mb;
    if (mailbox_begin(mb, false, &r->t) != STORE_OK) {
        free(r);
        return NULL;
    }
    if (index_folder_get(&r->t, view->folder, &r->f) != 1)
        mail_read_end(&r);
    return r;
}

void mail_read_end(struct mail_read **rp)
{
    struct mail_read *r = *rp;
    if (r == NULL)
        return;
    *rp = NULL;
    index_scan_end(&r->scan);
    mailbox_abort(r->mb, &r->t);
    free(r);
}

static void fill(struct message *m, const struct index_msg *im)
{
    m->uid = im->uid;
    m->size = im->size;
    m->modseq = im->modseq;
    m->date = im->date;
    m->keywords = im->keywords;
    m->flags = im->flags;
    memcpy(m->base, im->base, sizeof(m->base));
}

int mail_read_get(struct mail_read *r, uint32_t uid, struct message *m)
{
    struct index_msg im;
    /* The next few records by the cursor; further away a look-up is cheaper. */
    if (r->scan.cursor == NULL || uid <= r->last || uid - r->last > 16) {
        index_scan_end(&r->scan);
        if (index_scan_begin(&r->t, r->f.id, uid, &r->scan) != 0)
            return -1;
        r->last = uid - 1;
    }
    int rc = 1;
    while (rc == 1 && r->last < uid) {
        rc = index_scan_next(&r->scan, &im, true);
        r->last = rc == 1 ? im.uid : UINT32_MAX;
    }
    if (rc != 1)
        return rc;
    if (im.uid == uid) {
        fill(m, &im);
        return 1;
    }
    /* Removed: the cursor is past it, so the next look-up starts anew. */
    index_scan_end(&r->scan);
    return 0;
}

int mail_read_structure(struct mail_read *r, uint32_t uid, struct message_structure *s)
{
    struct index_cached c;
    int rc = index_cache_get(&r->t, r->f.id, uid, &c);
    if (rc == 1)
        *s = (struct message_structure){.envelope = c.envelope,
                                        .envelope_len = c.envelope_len,
                                        .body = c.body,
                                        .body_len = c.body_len,
                                        .bodystructure = c.bodystructure,
                                        .bodystructure_len = c.bodystructure_len};
    return rc;
}

int mailbox_open_file(struct mailbox *mb, const char *folder, const struct index_msg *m)
{
    char path[MAILDIR_PATH_MAX];
    return openat(mb->fd, maildir_path(folder, m, path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

int mail_read_open(struct mail_read *r, uint32_t uid)
{
    struct index_msg m;
    if (index_msg_get(&r->t, r->f.id, uid, &m) != 1)
        return -1;
    int fd = mailbox_open_file(r->mb, r->f.name, &m);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    /* Renamed since the snapshot: look at the files again, outside of it. */
    struct index_folder f;
    struct index_txn t;
    uint32_t recent;
    if (folder_sync(r->mb, r->f.id, NULL, false, &f, &recent) != STORE_OK ||
        mailbox_begin(r->mb, false, &t) != STORE_OK)
        return -1;
    if (index_msg_get(&t, f.id, uid, &m) == 1)
        fd = mailbox_open_file(r->mb, f.name, &m);
    mailbox_abort(r->mb, &t);
    return fd;
}

enum store_result mailbox_keep_structures(struct mailbox *mb, const struct view *view,
                                          const uint32_t *uids, const struct message_structure *s,
                                          size_t n)
{
    struct index_txn t;
    struct index_msg m;
    enum store_result r = mailbox_begin(mb, true, &t);
    for (size_t i = 0; r == STORE_OK && i < n; i++) {
        struct index_cached c = {s[i].envelope,     s[i].body,     s[i].bodystructure,
                                 s[i].envelope_len, s[i].body_len, s[i].bodystructure_len};
        int rc = index_msg_get(&t, view->folder, uids[i], &m);
        if (rc < 0 || (rc == 1 && index_cache_put(&t, view->folder, uids[i], &c) != 0))
            r = STORE_FAILED;
    }
    if (r == STORE_OK)
        r = mailbox_commit(mb, &t, false);
    mailbox_abort(mb, &t);
    return r;
}

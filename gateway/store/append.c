/* APPEND: written to tmp/, flushed, renamed into cur/, the directory flushed, then the answer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/store/names.h"
#include "gateway/store/private.h"

struct append {
    struct mailbox *mb;
    int fd;
    uint64_t size;
    char last; /* byte written last */
    char base[STORE_NAME_MAX];
    char folder[MAILBOX_NAME_MAX];
};

static const char *tmp_path(const struct append *a, char dst[STORE_NAME_MAX + 8])
{
    snprintf(dst, STORE_NAME_MAX + 8, "tmp/%s", a->base);
    return dst;
}

enum store_result append_begin(struct mailbox *mb, const char *folder, struct append **out)
{
    char id[ID_STRLEN], path[STORE_NAME_MAX + 8];
    *out = NULL;
    if (strlen(folder) >= MAILBOX_NAME_MAX)
        return STORE_INVALID;
    int exists = maildir_exists(mb->fd, folder);
    if (exists != 1)
        return exists == 0 ? STORE_ABSENT : mailbox_failed(mb, "cannot look at a folder", folder);
    struct append *a = mem_zalloc(sizeof(*a));
    a->mb = mb;
    memcpy(a->folder, folder, strlen(folder) + 1);
    store_base_name(clock_wall(), id_new(id), 0, a->base, sizeof(a->base));
    a->fd = openat(mb->fd, tmp_path(a, path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (a->fd < 0) {
        enum store_result r = mailbox_failed(mb, "cannot write a message", path);
        free(a);
        return r;
    }
    *out = a;
    return STORE_OK;
}

static int write_all(struct append *a, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(a->fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        a->size += (size_t)n;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Message files have CRLF line ends: a bare LF gets its CR. */
enum store_result append_write(struct append *a, const void *data, size_t len)
{
    const char *p = data, *end = p + len, *from = p;
    int rc = 0;
    for (const char *lf = p; rc == 0 && (lf = memchr(lf, '\n', (size_t)(end - lf))) != NULL; lf++) {
        if ((lf > p ? lf[-1] : a->last) == '\r')
            continue;
        rc = write_all(a, from, (size_t)(lf - from));
        if (rc == 0)
            rc = write_all(a, "\r", 1);
        from = lf;
    }
    if (rc == 0)
        rc = write_all(a, from, (size_t)(end - from));
    if (rc != 0)
        return mailbox_failed(a->mb, "cannot write a message", a->base);
    if (len > 0)
        a->last = end[-1];
    return STORE_OK;
}

static enum store_result flush(struct append *a, int64_t date, struct index_msg *m)
{
    struct stat st;
    if (date >= 0) {
        struct timespec times[2] = {{.tv_sec = date}, {.tv_sec = date}};
        if (futimens(a->fd, times) != 0)
            return mailbox_failed(a->mb, "cannot date a message", a->base);
    }
    if (fsync(a->fd) != 0 || fstat(a->fd, &st) != 0)
        return mailbox_failed(a->mb, "cannot flush a message", a->base);
    m->size = (uint32_t)st.st_size;
    m->date = st.st_mtim.tv_sec;
    memcpy(m->base, a->base, strlen(a->base) + 1);
    return STORE_OK;
}

static enum store_result place(struct append *a, struct index_txn *t, struct index_folder *f,
                               struct index_msg *m)
{
    char tmp[STORE_NAME_MAX + 8], path[MAILDIR_PATH_MAX], dir[MAILDIR_PATH_MAX];
    char cur[MAILDIR_PATH_MAX + 8];
    struct own_change own;
    own_change_begin(a->mb, f, &own);
    maildir_path(f->name, m, path);
    if (renameat(a->mb->fd, tmp_path(a, tmp), a->mb->fd, path) != 0)
        return mailbox_failed(a->mb, "cannot place a message", path);
    close(a->fd);
    a->fd = -1;
    snprintf(cur, sizeof(cur), "%scur", maildir_dir(f->name, dir));
    if (maildir_sync_dir(a->mb->fd, cur) != 0) {
        enum store_result r = mailbox_failed(a->mb, "cannot flush a folder", cur);
        unlinkat(a->mb->fd, path, 0);
        return r;
    }
    own_change_end(a->mb, f, &own);
    m->uid = f->uidnext++;
    m->modseq = ++f->modseq;
    folder_count(f, m, 1);
    if (index_msg_put(t, f->id, m, true) != 0 || index_folder_put(t, f) != 0)
        return STORE_FAILED; /* the file is there: the next look at the folder finds it */
    return STORE_OK;
}

enum store_result append_commit(struct append **ap, const struct flags_change *flags, int64_t date,
                                uint32_t *uidvalidity, uint32_t *uid)
{
    struct append *a = *ap;
    struct index_txn t = {0};
    struct index_folder f;
    struct index_keywords k;
    struct index_msg m = {.where = INDEX_CUR, .flags = flags->flags};
    bool added;
    enum store_result r = flush(a, date, &m);
    if (r == STORE_OK)
        r = mailbox_begin(a->mb, true, &t);
    if (r == STORE_OK)
        r = folder_get_in(a->mb, &t, a->folder, &f);
    if (r == STORE_OK)
        r = keywords_resolve(&t, f.id, flags->keywords, flags->keyword_n, true, &k, &m.keywords,
                             &added);
    if (r == STORE_OK)
        r = place(a, &t, &f, &m);
    if (r == STORE_OK)
        r = mailbox_commit(a->mb, &t, true);
    mailbox_abort(a->mb, &t);
    if (r == STORE_OK && uid != NULL)
        *uid = m.uid;
    if (r == STORE_OK && uidvalidity != NULL)
        *uidvalidity = f.uidvalidity;
    append_abort(ap);
    return r;
}

void append_abort(struct append **ap)
{
    struct append *a = *ap;
    char path[STORE_NAME_MAX + 8];
    if (a == NULL)
        return;
    *ap = NULL;
    if (a->fd >= 0) {
        close(a->fd);
        unlinkat(a->mb->fd, tmp_path(a, path), 0);
    }
    free(a);
}

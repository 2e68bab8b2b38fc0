/* Folders: the directories of a Maildir++, with the index following them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/buf.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/store/private.h"

/* ---- lists ---- */

void folder_list_free(struct folder_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->v[i].name);
    free(list->v);
    *list = (struct folder_list){0};
}

static void add(struct folder_list *list, const char *name, size_t len, bool selectable)
{
    if ((list->n & (list->n - 1)) == 0)
        list->v = mem_realloc(list->v, list->n ? list->n * 2 : 1, sizeof(*list->v));
    list->v[list->n++] = (struct folder_entry){mem_strndup(name, len), selectable, false};
}

static bool is_below(const char *name, const char *parent)
{
    size_t len = strlen(parent);
    return strncmp(name, parent, len) == 0 && name[len] == MAILBOX_DELIMITER;
}

/* INBOX and what is below it first; a level's children follow it at once. */
static int by_name(const void *a, const void *b)
{
    const char *x = ((const struct folder_entry *)a)->name;
    const char *y = ((const struct folder_entry *)b)->name;
    bool xi = strcmp(x, "INBOX") == 0 || is_below(x, "INBOX");
    bool yi = strcmp(y, "INBOX") == 0 || is_below(y, "INBOX");
    if (xi != yi)
        return xi ? -1 : 1;
    while (*x != '\0' && *x == *y)
        x++, y++;
    int cx = *x == MAILBOX_DELIMITER ? 1 : (unsigned char)*x;
    int cy = *y == MAILBOX_DELIMITER ? 1 : (unsigned char)*y;
    return cx - cy;
}

/* Adds the levels above name that are no folders themselves; list is sorted up to n. */
static void add_levels(struct folder_list *list, size_t n, const char *name)
{
    for (const char *dot = strchr(name, MAILBOX_DELIMITER); dot != NULL;
         dot = strchr(dot + 1, MAILBOX_DELIMITER)) {
        struct folder_entry key = {mem_strndup(name, (size_t)(dot - name)), false, false};
        bool known = bsearch(&key, list->v, n, sizeof(key), by_name) != NULL;
        /* Siblings imply the same levels one after the other. */
        for (size_t j = list->n; !known && j > n && j + 32 > list->n; j--)
            known = strcmp(list->v[j - 1].name, key.name) == 0;
        if (!known)
            add(list, key.name, strlen(key.name), false);
        free(key.name);
    }
}

/* Sorts, adds the levels that only their children imply, and finds out who has children. */
static void complete(struct folder_list *list)
{
    size_t n = list->n, kept = 0;
    qsort(list->v, n, sizeof(*list->v), by_name);
    for (size_t i = 0; i < n; i++)
        add_levels(list, n, list->v[i].name);
    if (list->n > n)
        qsort(list->v, list->n, sizeof(*list->v), by_name);
    for (size_t i = 0; i < list->n; i++) {
        if (kept > 0 && strcmp(list->v[kept - 1].name, list->v[i].name) == 0)
            free(list->v[i].name);
        else
            list->v[kept++] = list->v[i];
    }
    list->n = kept;
    for (size_t i = 0; i + 1 < list->n; i++)
        list->v[i].has_children = is_below(list->v[i + 1].name, list->v[i].name);
}

enum store_result mailbox_list(struct mailbox *mb, struct folder_list *out)
{
    *out = (struct folder_list){0};
    int fd = openat(mb->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        enum store_result r = mailbox_failed(mb, "cannot list folders", NULL);
        if (fd >= 0)
            close(fd);
        return r;
    }
    add(out, "INBOX", 5, true);
    struct dirent *e;
    while ((e = readdir(d)) != NULL && out->n < mb->store->config.folder_limit) {
        const char *name = e->d_name + 1;
        if (e->d_name[0] == '.' && folder_name_valid(name) && !str_ieq(name, "INBOX") &&
            maildir_exists(mb->fd, name) == 1)
            add(out, name, strlen(name), true);
    }
    closedir(d);
    complete(out);
    return STORE_OK;
}

/* ---- subscriptions: a file of names, one a line, replaced as a whole ---- */

#define SUBSCRIPTIONS     "subscriptions"
#define SUBSCRIPTIONS_MAX ((size_t)4 << 20)

enum store_result mailbox_subscriptions(struct mailbox *mb, struct folder_list *out)
{
    *out = (struct folder_list){0};
    int fd = openat(mb->fd, SUBSCRIPTIONS, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return STORE_OK;
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (f == NULL) {
        enum store_result r = mailbox_failed(mb, "cannot read subscriptions", SUBSCRIPTIONS);
        if (fd >= 0)
            close(fd);
        return r;
    }
    char line[MAILBOX_NAME_MAX + 2];
    while (fgets(line, sizeof(line), f) != NULL && out->n < mb->store->config.folder_limit) {
        size_t len = strcspn(line, "\r\n");
        line[len] = '\0';
        if (folder_name_valid(line))
            add(out, line, len, true);
    }
    fclose(f);
    if (out->n > 0)
        qsort(out->v, out->n, sizeof(*out->v), by_name);
    return STORE_OK;
}

static int write_subscriptions(struct mailbox *mb, const struct folder_list *list)
{
    struct buf text = {.max = SUBSCRIPTIONS_MAX};
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].name[0] != '\0')
            buf_printf(&text, "%s\n", list->v[i].name);
    int fd = openat(mb->fd, "tmp/subscriptions", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = -1;
    if (fd >= 0) {
        ssize_t n = write(fd, buf_str(&text), text.len);
        if (n >= 0 && (size_t)n != text.len)
            errno = ENOSPC;
        if (n == (ssize_t)text.len && fsync(fd) == 0 &&
            renameat(mb->fd, "tmp/subscriptions", mb->fd, SUBSCRIPTIONS) == 0 &&
            maildir_sync_dir(mb->fd, "") == 0)
            rc = 0;
        int saved = errno;
        close(fd);
        errno = saved;
    }
    buf_free(&text);
    return rc;
}

enum store_result mailbox_subscribe(struct mailbox *mb, const char *name, bool on)
{
    struct index_txn t;
    struct folder_list list = {0};
    /* The write transaction is the lock against another session's change. */
    enum store_result r = mailbox_begin(mb, true, &t);
    if (r != STORE_OK)
        return r;
    if ((r = mailbox_subscriptions(mb, &list)) != STORE_OK)
        goto out;
    size_t i = 0;
    while (i < list.n && strcmp(list.v[i].name, name) != 0)
        i++;
    if ((i < list.n) == on)
        goto out;
    if (on && list.n >= mb->store->config.folder_limit) {
        r = STORE_LIMIT;
        goto out;
    }
    if (on)
        add(&list, name, strlen(name), true);
    else
        list.v[i].name[0] = '\0';
    if (write_subscriptions(mb, &list) != 0)
        r = mailbox_failed(mb, "cannot write subscriptions", SUBSCRIPTIONS);
out:
    mailbox_abort(mb, &t);
    folder_list_free(&list);
    return r;
}

/* ---- changes ---- */

enum store_result mailbox_create(struct mailbox *mb, const char *name)
{
    if (!folder_name_valid(name))
        return STORE_INVALID;
    struct folder_list list;
    enum store_result r = mailbox_list(mb, &list);
    size_t n = list.n;
    folder_list_free(&list);
    if (r != STORE_OK)
        return r;
    if (n >= mb->store->config.folder_limit)
        return STORE_LIMIT;
    int rc = maildir_make(mb->fd, name);
    if (rc < 0)
        return mailbox_failed(mb, "cannot make a folder", name);
    return rc == 1 ? STORE_EXISTS : STORE_OK;
}

enum store_result mailbox_delete(struct mailbox *mb, const char *name)
{
    struct index_txn t;
    struct index_folder f;
    if (strcmp(name, "INBOX") == 0)
        return STORE_INVALID;
    enum store_result r = mailbox_begin(mb, true, &t);
    if (r != STORE_OK)
        return r;
    r = folder_get_in(mb, &t, name, &f);
    if (r == STORE_OK && index_folder_delete(&t, &f) != 0)
        r = STORE_FAILED;
    if (r == STORE_OK && maildir_remove(mb->fd, name) != 0)
        r = mailbox_failed(mb, "cannot remove a folder", name);
    if (r == STORE_OK && maildir_sync_dir(mb->fd, "") != 0)
        r = mailbox_failed(mb, "cannot remove a folder", name);
    if (r == STORE_OK)
        r = mailbox_commit(mb, &t, true);
    mailbox_abort(mb, &t);
    return r;
}

/* Renames one directory and what the index calls it. */
static enum store_result rename_one(struct mailbox *mb, struct index_txn *t, const char *from,
                                    const char *to)
{
    char old_dir[MAILDIR_PATH_MAX], new_dir[MAILDIR_PATH_MAX];
    struct index_folder f;
    int found = index_folder_find(t, from, &f);
    if (found < 0 || (found == 1 && index_folder_rename(t, &f, to) != 0))
        return STORE_FAILED;
    maildir_dir(from, old_dir);
    maildir_dir(to, new_dir);
    if (renameat2(mb->fd, old_dir, mb->fd, new_dir, RENAME_NOREPLACE) != 0)
        return errno == EEXIST ? STORE_EXISTS : mailbox_failed(mb, "cannot rename a folder", from);
    return STORE_OK;
}

/* Looks (or renames, with do_it) at every folder of the tree: all targets must be possible before
 * the first one changes. */
static enum store_result rename_tree(struct mailbox *mb, struct index_txn *t,
                                     const struct folder_list *list, const char *from,
                                     const char *to, bool do_it)
{
    bool any = false;
    for (size_t i = 0; i < list->n; i++) {
        const struct folder_entry *e = &list->v[i];
        enum store_result r = STORE_OK;
        if (!e->selectable || (strcmp(e->name, from) != 0 && !is_below(e->name, from)))
            continue;
        char *name = mem_printf("%s%s", to, e->name + strlen(from));
        if (do_it)
            r = rename_one(mb, t, e->name, name);
        else if (!folder_name_valid(name))
            r = STORE_INVALID;
        else if (maildir_exists(mb->fd, name) != 0)
            r = STORE_EXISTS;
        free(name);
        if (r != STORE_OK)
            return r;
        any = true;
    }
    return any ? STORE_OK : STORE_ABSENT;
}

/* RFC 3501 6.3.5: the messages of INBOX move to the new folder; INBOX stays, empty. */
static enum store_result rename_inbox(struct mailbox *mb, const char *to)
{
    struct view *view = NULL;
    struct copy_result result = {0};
    enum store_result r = mailbox_create(mb, to);
    if (r == STORE_OK)
        r = view_open(mb, "INBOX", false, &view);
    if (r == STORE_OK && view->n > 0)
        r = mailbox_copy(mb, view, view->uids, view->n, to, true, &result);
    copy_result_free(&result);
    view_free(&view);
    return r;
}

enum store_result mailbox_rename(struct mailbox *mb, const char *from, const char *to)
{
    struct index_txn t;
    struct folder_list list;
    if (!folder_name_valid(to) || strcmp(to, "INBOX") == 0 || is_below(to, from))
        return strcmp(to, "INBOX") == 0 ? STORE_EXISTS : STORE_INVALID;
    int exists = maildir_exists(mb->fd, to);
    if (exists != 0)
        return exists == 1 ? STORE_EXISTS : mailbox_failed(mb, "cannot look at a folder", to);
    if (strcmp(from, "INBOX") == 0)
        return rename_inbox(mb, to);
    enum store_result r = mailbox_list(mb, &list);
    if (r == STORE_OK)
        r = mailbox_begin(mb, true, &t);
    if (r != STORE_OK) {
        folder_list_free(&list);
        return r;
    }
    r = rename_tree(mb, &t, &list, from, to, false);
    if (r == STORE_OK)
        r = rename_tree(mb, &t, &list, from, to, true);
    if (r == STORE_OK && maildir_sync_dir(mb->fd, "") != 0)
        r = mailbox_failed(mb, "cannot rename a folder", from);
    if (r == STORE_OK)
        r = mailbox_commit(mb, &t, true);
    mailbox_abort(mb, &t);
    folder_list_free(&list);
    return r;
}

enum store_result mailbox_status(struct mailbox *mb, const char *name, struct folder_status *out)
{
    struct index_folder f;
    struct index_txn t;
    uint32_t recent_from;
    enum store_result r = folder_sync(mb, 0, name, false, &f, &recent_from);
    if (r != STORE_OK)
        return r;
    *out = (struct folder_status){.uidvalidity = f.uidvalidity,
                                  .uidnext = f.uidnext,
                                  .messages = f.messages,
                                  .unseen = f.unseen,
                                  .bytes = f.bytes,
                                  .modseq = f.modseq};
    if (recent_from >= f.uidnext)
        return STORE_OK;
    struct index_scan scan;
    struct index_msg m;
    if ((r = mailbox_begin(mb, false, &t)) != STORE_OK)
        return r;
    int rc = index_scan_begin(&t, f.id, recent_from, &scan);
    while (rc >= 0 && (rc = index_scan_next(&scan, &m, false)) == 1)
        out->recent++;
    index_scan_end(&scan);
    mailbox_abort(mb, &t);
    return rc < 0 ? STORE_FAILED : STORE_OK;
}

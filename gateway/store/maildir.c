#include "gateway/store/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/store/mailbox.h"

/* In the order in which a name has them: alphabetical. */
static const struct {
    char letter;
    uint8_t flag;
} letter_flags[] = {{'D', MESSAGE_DRAFT},    {'F', MESSAGE_FLAGGED}, {'P', 0},
                    {'R', MESSAGE_ANSWERED}, {'S', MESSAGE_SEEN},    {'T', MESSAGE_DELETED}};
#define LETTER_PASSED ((uint32_t)1 << 26)

int maildir_parse(const char *name, struct maildir_file *out)
{
    const char *info = strchr(name, ':');
    *out = (struct maildir_file){.where = INDEX_CUR_PLAIN};
    if (name[0] == '.' || name[0] == '\0')
        return -1;
    out->base_len = info == NULL ? strlen(name) : (size_t)(info - name);
    if (out->base_len == 0 || out->base_len >= INDEX_BASE_MAX)
        return -1;
    if (info == NULL)
        return 0;
    if (strncmp(info, ":2,", 3) != 0)
        return -1;
    out->where = INDEX_CUR;
    for (const char *p = info + 3; *p != '\0'; p++) {
        if (*p >= 'a' && *p <= 'z')
            out->letters |= (uint32_t)1 << (*p - 'a');
        else if (*p == 'P')
            out->letters |= LETTER_PASSED;
        for (size_t i = 0; i < sizeof(letter_flags) / sizeof(letter_flags[0]); i++)
            if (letter_flags[i].letter == *p)
                out->flags |= letter_flags[i].flag;
    }
    return 0;
}

const char *maildir_dir(const char *folder, char dst[MAILDIR_PATH_MAX])
{
    if (strcmp(folder, "INBOX") == 0)
        dst[0] = '\0';
    else
        snprintf(dst, MAILDIR_PATH_MAX, ".%s/", folder);
    return dst;
}

const char *maildir_path(const char *folder, const struct index_msg *m, char dst[MAILDIR_PATH_MAX])
{
    char dir[MAILDIR_PATH_MAX], info[48] = "";
    size_t n = 0;
    if (m->where == INDEX_CUR) {
        memcpy(info, ":2,", 3);
        n = 3;
        for (size_t i = 0; i < sizeof(letter_flags) / sizeof(letter_flags[0]); i++)
            if ((m->flags & letter_flags[i].flag) ||
                (letter_flags[i].letter == 'P' && (m->letters & LETTER_PASSED)))
                info[n++] = letter_flags[i].letter;
        for (int i = 0; i < 26; i++)
            if (m->letters & ((uint32_t)1 << i))
                info[n++] = (char)('a' + i);
        info[n] = '\0';
    }
    int len =
        snprintf(dst, MAILDIR_PATH_MAX, "%.*s%s/%s%s", INDEX_FOLDER_NAME_MAX + 2,
                 maildir_dir(folder, dir), m->where == INDEX_NEW ? "new" : "cur", m->base, info);
    if (len >= MAILDIR_PATH_MAX) /* cannot be: every part is bounded */
        dst[0] = '\0';
    return dst;
}

int maildir_sync_dir(int owner_fd, const char *dir)
{
    int fd = openat(owner_fd, dir[0] == '\0' ? "." : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd), saved = errno;
    close(fd);
    errno = saved;
    return rc;
}

static int make_sub(int owner_fd, const char *dir, const char *sub)
{
    char path[MAILDIR_PATH_MAX + 8];
    snprintf(path, sizeof(path), "%s%s", dir, sub);
    return mkdirat(owner_fd, path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

int maildir_exists(int owner_fd, const char *folder)
{
    char dir[MAILDIR_PATH_MAX], path[MAILDIR_PATH_MAX + 8];
    struct stat st;
    snprintf(path, sizeof(path), "%scur", maildir_dir(folder, dir));
    if (fstatat(owner_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISDIR(st.st_mode) ? 1 : 0;
    return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
}

int maildir_make(int owner_fd, const char *folder)
{
    int exists = maildir_exists(owner_fd, folder);
    if (exists != 0)
        return exists;
    char dir[MAILDIR_PATH_MAX], path[MAILDIR_PATH_MAX + 16];
    maildir_dir(folder, dir);
    if (dir[0] != '\0' && mkdirat(owner_fd, dir, 0700) != 0 && errno != EEXIST)
        return -1;
    /* cur last: with it, the folder is there. */
    if (make_sub(owner_fd, dir, "tmp") != 0 || make_sub(owner_fd, dir, "new") != 0 ||
        make_sub(owner_fd, dir, "cur") != 0)
        return -1;
    snprintf(path, sizeof(path), "%smaildirfolder", dir);
    int fd = dir[0] == '\0' ? -1 : openat(owner_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return maildir_sync_dir(owner_fd, dir) != 0 || maildir_sync_dir(owner_fd, "") != 0 ? -1 : 0;
}

/* Removes the plain files of one directory, then the directory. */
static int remove_dir(int owner_fd, const char *path)
{
    int fd = openat(owner_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        close(fd);
        return -1;
    }
    struct dirent *e;
    while ((e = readdir(d)) != NULL)
        if (e->d_type != DT_DIR)
            unlinkat(fd, e->d_name, 0);
    closedir(d);
    return unlinkat(owner_fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

int maildir_remove(int owner_fd, const char *folder)
{
    static const char *const subs[] = {"cur", "new", "tmp"};
    char dir[MAILDIR_PATH_MAX], path[MAILDIR_PATH_MAX + 8];
    maildir_dir(folder, dir);
    if (dir[0] == '\0') {
        errno = EINVAL;
        return -1;
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s%s", dir, subs[i]);
        if (remove_dir(owner_fd, path) != 0)
            return -1;
    }
    return remove_dir(owner_fd, dir);
}

int64_t maildir_mtime(int owner_fd, const char *folder, const char *sub)
{
    char dir[MAILDIR_PATH_MAX], path[MAILDIR_PATH_MAX + 8];
    struct stat st;
    snprintf(path, sizeof(path), "%s%s", maildir_dir(folder, dir), sub);
    if (fstatat(owner_fd, path, &st, 0) != 0)
        return -1;
    return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

int maildir_each(int owner_fd, const char *folder, const char *sub,
                 int (*fn)(const char *name, void *arg), void *arg)
{
    char dir[MAILDIR_PATH_MAX], path[MAILDIR_PATH_MAX + 8];
    snprintf(path, sizeof(path), "%s%s", maildir_dir(folder, dir), sub);
    int fd = openat(owner_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        errno = saved;
        return -1;
    }
    struct dirent *e;
    int rc = 0;
    errno = 0;
    while (rc == 0 && (e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.' && e->d_type != DT_DIR)
            rc = fn(e->d_name, arg);
        errno = 0;
    }
    if (rc == 0 && errno != 0)
        rc = -1;
    int saved = errno;
    closedir(d);
    errno = saved;
    return rc;
}

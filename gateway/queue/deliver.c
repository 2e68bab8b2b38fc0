#include "gateway/queue/deliver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int deliver_link(int mail_fd, const struct uuid *owner, const char *base, int fd)
{
    char from[32], mailbox[64], to[64 + STORE_NAME_MAX];
    snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
    store_owner_path(owner, mailbox, sizeof(mailbox));
    snprintf(to, sizeof(to), "%s/new/%s", mailbox, base);
    for (int tries = 0;; tries++) {
        if (linkat(AT_FDCWD, from, mail_fd, to, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST)
            return 0;
        if (errno != ENOENT || tries > 0)
            return -1;
        int dir = store_open_owner(mail_fd, owner);
        if (dir < 0)
            return -1;
        close(dir);
    }
}

static int sync_folder(int mail_fd, const char *path)
{
    int fd = openat(mail_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int r = fsync(fd);
    int error = errno;
    close(fd);
    errno = error;
    return r;
}

int deliver_sync(int mail_fd, const struct uuid *owner, int fd)
{
    char mailbox[64], folder[64 + sizeof("/new")];
    store_owner_path(owner, mailbox, sizeof(mailbox));
    snprintf(folder, sizeof(folder), "%s/new", mailbox);
    if (fsync(fd) < 0 || sync_folder(mail_fd, folder) < 0 || sync_folder(mail_fd, mailbox) < 0)
        return -1;
    return 0;
}

static int deliver_compare(const void *a, const void *b)
{
    return strcmp(((const struct deliver_name *)a)->base, ((const struct deliver_name *)b)->base);
}

/* new/ or cur/ of one folder. */
static int find_in(int owner_fd, const char *folder, const char *sub, struct deliver_name *names,
                   size_t n)
{
    char path[DELIVER_PATH_MAX];
    snprintf(path, sizeof(path), "%s%s%s", folder, *folder == '\0' ? "" : "/", sub);
    int fd = openat(owner_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    }
    struct dirent *d;
    while (errno = 0, (d = readdir(dir)) != NULL) {
        struct deliver_name key;
        size_t len = strcspn(d->d_name, ":");
        if (len >= sizeof(key.base))
            continue;
        memcpy(key.base, d->d_name, len);
        key.base[len] = '\0';
        struct deliver_name *hit = bsearch(&key, names, n, sizeof(*names), deliver_compare);
        if (hit != NULL && !hit->found)
            hit->found = (size_t)snprintf(hit->path, sizeof(hit->path), "%s/%s", path, d->d_name) <
                         sizeof(hit->path);
    }
    int error = errno;
    closedir(dir);
    errno = error;
    return error == 0 ? 0 : -1;
}

static int find_in_folder(int owner_fd, const char *folder, struct deliver_name *names, size_t n)
{
    /* Mail moves from new to cur: looked at in that order, it is not missed. */
    return find_in(owner_fd, folder, "new", names, n) < 0 ||
                   find_in(owner_fd, folder, "cur", names, n) < 0
               ? -1
               : 0;
}

static int find_everywhere(int owner_fd, struct deliver_name *names, size_t n)
{
    if (find_in_folder(owner_fd, "", names, n) < 0)
        return -1;
    int fd = openat(owner_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    struct dirent *d;
    int r = 0;
    while (r == 0 && (errno = 0, (d = readdir(dir)) != NULL))
        if (d->d_name[0] == '.' && strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            r = find_in_folder(owner_fd, d->d_name, names, n);
    int error = errno;
    closedir(dir);
    errno = error;
    return r < 0 || error != 0 ? -1 : 0;
}

int deliver_find(int mail_fd, const struct uuid *owner, struct deliver_name *names, size_t n)
{
    char path[64], file[64 + STORE_NAME_MAX];
    bool all = true;
    qsort(names, n, sizeof(*names), deliver_compare);
    store_owner_path(owner, path, sizeof(path));
    int fd = openat(mail_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    /* Most are where they were put; the folders are read only for the others. */
    for (size_t i = 0; i < n; i++) {
        snprintf(file, sizeof(file), "new/%s", names[i].base);
        names[i].found = faccessat(fd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
        if (names[i].found)
            snprintf(names[i].path, sizeof(names[i].path), "%s", file);
        else
            all = false;
    }
    int r = 0;
    /* Twice, because the owner may move a message to a folder that was read before. */
    for (int pass = 0; pass < 2 && r == 0 && !all; pass++) {
        r = find_everywhere(fd, names, n);
        all = true;
        for (size_t i = 0; i < n; i++)
            all = all && names[i].found;
    }
    int error = errno;
    close(fd);
    errno = error;
    return r;
}

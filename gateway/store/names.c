#include "gateway/store/names.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_DIR_MODE 0700

const char *store_owner_path(const struct uuid *owner, char *dst, size_t size)
{
    char text[UUID_STRLEN];
    uuid_str(owner, text);
    snprintf(dst, size, "users/%.2s/%s", text, text);
    return dst;
}

const char *store_base_name(int64_t wall, const char *message_id, unsigned recipient, char *dst,
                            size_t size)
{
    snprintf(dst, size, "%" PRId64 ".%sR%u", wall, message_id, recipient);
    return dst;
}

static int store_mkdir(int dir_fd, const char *path)
{
    return mkdirat(dir_fd, path, STORE_DIR_MODE) == 0 || errno == EEXIST ? 0 : -1;
}

static int store_open_dir(int dir_fd, const char *path)
{
    return openat(dir_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* new is made last: where it is, the rest is too, whoever was interrupted. */
static int store_make_owner(int mail_directory_fd, const char *path)
{
    char parent[16];
    snprintf(parent, sizeof(parent), "%.8s", path); /* users/XX */
    if (store_mkdir(mail_directory_fd, "users") < 0 || store_mkdir(mail_directory_fd, parent) < 0 ||
        store_mkdir(mail_directory_fd, path) < 0)
        return -1;
    int fd = store_open_dir(mail_directory_fd, path);
    if (fd < 0)
        return -1;
    if (store_mkdir(fd, "tmp") < 0 || store_mkdir(fd, "cur") < 0 || store_mkdir(fd, "new") < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int store_open_owner(int mail_directory_fd, const struct uuid *owner)
{
    char path[64];
    store_owner_path(owner, path, sizeof(path));
    int fd = store_open_dir(mail_directory_fd, path);
    if (fd >= 0) {
        if (faccessat(fd, "new", F_OK, 0) == 0)
            return fd;
        close(fd);
    } else if (errno != ENOENT) {
        return -1;
    }
    return store_make_owner(mail_directory_fd, path);
}

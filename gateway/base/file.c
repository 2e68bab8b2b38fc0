#include "gateway/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int file_allocate(const char *path, off_t size, mode_t mode)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -1;
    int rc;
    do
        rc = fallocate(fd, 0, 0, size);
    while (rc < 0 && errno == EINTR);
    int error = errno;
    close(fd);
    errno = error;
    return rc == 0 || error == EOPNOTSUPP || error == ENOSYS ? 0 : -1;
}

int file_read(const char *path, size_t max, struct buf *out)
{
    enum {
        PIECE = 8192
    };
    size_t before = out->len;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    for (;;) {
        void *p = buf_reserve(out, PIECE);
        n = p == NULL ? -1 : read(fd, p, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        buf_commit(out, (size_t)n);
        if (out->len - before > max) {
            errno = EFBIG;
            n = -1;
            break;
        }
    }
    int error = errno;
    close(fd);
    errno = error;
    (void)buf_str(out);
    return n == 0 ? 0 : -1;
}

int file_replace(const char *path, const char *new, const struct buf *content, mode_t mode)
{
    int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    int rc = -1, error;
    if (fd < 0)
        return -1;
    size_t done = 0;
    while (done < content->len) {
        ssize_t n = write(fd, content->data + done, content->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        done += (size_t)n;
    }
    if (done == content->len && fdatasync(fd) == 0 && rename(new, path) == 0)
        rc = 0;
    error = errno;
    close(fd);
    errno = error;
    return rc;
}

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

int file_pwrite(int fd, const void *data, size_t len, uint64_t offset)
{
    const unsigned char *p = data;
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

ssize_t file_pread(int fd, void *data, size_t len, uint64_t offset)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, (unsigned char *)data + got, len - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

int file_replace(const char *path, const char *new, const struct buf *content, mode_t mode)
{
    int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    int rc = -1, error;
    if (fd < 0)
        return -1;
    if (file_pwrite(fd, content->data, content->len, 0) == 0 && fdatasync(fd) == 0 &&
        rename(new, path) == 0)
        rc = 0;
    error = errno;
    close(fd);
    errno = error;
    return rc;
}

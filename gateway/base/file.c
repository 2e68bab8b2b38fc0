#include "gateway/base/file.h"

#include <errno.h>
#include <fcntl.h>
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

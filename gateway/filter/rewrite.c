#include "gateway/filter/rewrite.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/mem.h"

enum {
    PIECE = 1 << 18
};

static int read_at(int fd, char *dst, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pread(fd, dst, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : EIO;
            return -1;
        }
        dst += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

static int write_at(int fd, const char *src, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, src, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : EIO;
            return -1;
        }
        src += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

/* Moves [from, size) so that it starts at to: from the end where it grows, from its start else. */
static int move(int fd, uint64_t from, uint64_t size, uint64_t to)
{
    char *piece = mem_alloc(PIECE);
    uint64_t left = size - from, done = 0;
    int rc = 0;

    while (rc == 0 && done < left) {
        size_t n = left - done < PIECE ? (size_t)(left - done) : PIECE;
        uint64_t at = to > from ? left - done - n : done;
        rc = read_at(fd, piece, n, from + at);
        if (rc == 0)
            rc = write_at(fd, piece, n, to + at);
        done += n;
    }
    free(piece);
    return rc;
}

int rewrite_head(int fd, uint64_t *size, uint64_t old_len, const void *head, size_t head_len)
{
    uint64_t new_size = *size - old_len + head_len;

    if (head_len != old_len && move(fd, old_len, *size, head_len) != 0)
        return -1;
    if (write_at(fd, head, head_len, 0) != 0)
        return -1;
    if (new_size < *size && ftruncate(fd, (off_t)new_size) != 0)
        return -1;
    *size = new_size;
    return 0;
}

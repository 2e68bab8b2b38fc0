/* Files, below what the C library offers. */
#ifndef DIRIGO_BASE_FILE_H
#define DIRIGO_BASE_FILE_H

#include <stdint.h>
#include <sys/types.h>

#include "gateway/base/buf.h"

/*
 * Makes the file where it is missing, and sees that its first size bytes have room on the disk: a
 * hole in a file that is mapped and written to ends the process (SIGBUS) when the disk is full. 0,
 * or -1 with errno (ENOSPC, EDQUOT); a file system that cannot promise room is no failure.
 */
int file_allocate(const char *path, off_t size, mode_t mode);

/*
 * Appends the content of a file to out, NUL-terminated behind its length. 0, or -1 with errno
 * (EFBIG: more than max bytes).
 */
int file_read(const char *path, size_t max, struct buf *out);

/* Writes all of data at offset; 0, or -1 with errno and some of it written. */
int file_pwrite(int fd, const void *data, size_t len, uint64_t offset);
/* Bytes read at offset: fewer than len only at the end of the file; -1 with errno. */
ssize_t file_pread(int fd, void *data, size_t len, uint64_t offset);

/*
 * Makes the file's content what content holds, whole or not at all, and on the disk: through the
 * file new beside it, which is renamed. 0, or -1 with errno.
 */
int file_replace(const char *path, const char *new, const struct buf *content, mode_t mode);

#endif

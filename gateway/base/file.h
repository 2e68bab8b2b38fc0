/* Files, below what the C library offers. */
#ifndef DIRIGO_BASE_FILE_H
#define DIRIGO_BASE_FILE_H

#include <sys/types.h>

/*
 * Makes the file where it is missing, and sees that its first size bytes have room on the disk: a
 * hole in a file that is mapped and written to ends the process (SIGBUS) when the disk is full. 0,
 * or -1 with errno (ENOSPC, EDQUOT); a file system that cannot promise room is no failure.
 */
int file_allocate(const char *path, off_t size, mode_t mode);

#endif

/* A message's file with another header. */
#ifndef DIRIGO_FILTER_REWRITE_H
#define DIRIGO_FILTER_REWRITE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Replaces the first old_len bytes of the file, whose size is *size, by head. Moves the rest, in
 * pieces. 0 with the new size in *size, or -1 with errno: then the file is of no use any more.
 * Blocks.
 */
int rewrite_head(int fd, uint64_t *size, uint64_t old_len, const void *head, size_t head_len);

#endif

/*
 * A byte buffer that grows up to a bound: appended at the end, consumed at the front.
 *
 * data and len may be read; only the functions below change them. data is valid until the next call
 * that appends, reserves or frees. A buffer of zeros, {.max = N}, is an empty one.
 */
#ifndef DIRIGO_BASE_BUF_H
#define DIRIGO_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    unsigned char *data;
    size_t len;
    size_t max;   /* bound on len in bytes; 0: BUF_MAX_DEFAULT */
    size_t cap;   /* private */
    size_t start; /* private */
};

#define BUF_MAX_DEFAULT ((size_t)64 << 20)

void buf_init(struct buf *b, size_t max);
/* Frees the memory; the buffer is empty and usable again. */
void buf_free(struct buf *b);
/* The same, overwriting the content first. */
void buf_wipe_free(struct buf *b);
/* Empties the buffer and keeps its memory. */
void buf_clear(struct buf *b);
/* Each appends whole or not at all: 0, or -1 where the bound would be passed. */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_append_str(struct buf *b, const char *s);
int buf_append_byte(struct buf *b, unsigned char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Room for len more bytes at the end, or NULL past the bound; buf_commit says how many were
 * written. */
void *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len);
/* Drops len bytes (at most all) from the front. */
void buf_consume(struct buf *b, size_t len);
/* Shortens to len bytes. */
void buf_truncate(struct buf *b, size_t len);
/* The content as a C string (a NUL is kept behind it, not counted); never NULL. */
const char *buf_str(struct buf *b);
/* Hands the content over as an allocated C string that the caller frees; the buffer is empty then.
 */
char *buf_steal_str(struct buf *b);

#endif

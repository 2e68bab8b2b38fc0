/*
 * Allocation that cannot fail, and memory tied to one task.
 *
 * Every limit in Dirigo is checked before memory is asked for, so running out of it is an
 * environment failure: the process says so and ends, and dirigod starts a new one.
 */
#ifndef DIRIGO_BASE_MEM_H
#define DIRIGO_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

/* Like malloc, calloc, reallocarray and strdup, but never NULL. The caller frees with free(). */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *p, size_t n, size_t size);
char *mem_strdup(const char *s);
/* A NUL-terminated copy of len bytes. */
char *mem_strndup(const void *s, size_t len);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Overwrites and frees; for passwords and keys. p may be NULL. */
void mem_wipe_free(void *p, size_t size);
/* The same for a NUL-terminated string. */
void mem_wipe_free_str(char *s);

/*
 * An arena: allocations freed all at once, when the query, command or message they belong to ends.
 * Not for secrets (use mem_wipe_free).
 */
struct arena;

/* A new, empty arena that refuses to grow past max bytes (0: no bound). */
struct arena *arena_new(size_t max);
void arena_free(struct arena **arena);
/* Forgets every allocation and keeps the first block for the next use. */
void arena_reset(struct arena *arena);
/* Zeroed memory, aligned for any type, valid until arena_reset or arena_free; NULL past the bound.
 */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *s);
char *arena_strndup(struct arena *arena, const void *s, size_t len);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Bytes handed out since the last reset. */
size_t arena_used(const struct arena *arena);

#endif

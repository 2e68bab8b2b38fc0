#include "gateway/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"

#define ARENA_FIRST_BLOCK 1024
#define ARENA_MAX_BLOCK   65536

struct arena_block {
    struct arena_block *next;
    size_t size, used;
    max_align_t data[];
};

struct arena {
    struct arena_block *blocks; /* newest first; the last is the first block */
    size_t used, max, next_size;
};

static _Noreturn void mem_exhausted(size_t size)
{
    log_fatal("out of memory", LOG_UINT("bytes", size));
}

void *mem_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (p == NULL)
        mem_exhausted(size);
    return p;
}

void *mem_zalloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (p == NULL)
        mem_exhausted(size);
    return p;
}

void *mem_realloc(void *p, size_t n, size_t size)
{
    void *q = reallocarray(p, n ? n : 1, size ? size : 1);
    if (q == NULL)
        mem_exhausted(size);
    return q;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const void *s, size_t len)
{
    char *p = mem_alloc(len + 1);
    if (len > 0)
        memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *mem_printf(const char *fmt, ...)
{
    char *out;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&out, fmt, ap);
    va_end(ap);
    if (n < 0)
        mem_exhausted(0);
    return out;
}

void mem_wipe_free(void *p, size_t size)
{
    if (p != NULL)
        explicit_bzero(p, size);
    free(p);
}

void mem_wipe_free_str(char *s)
{
    if (s != NULL)
        mem_wipe_free(s, strlen(s));
}

struct arena *arena_new(size_t max)
{
    struct arena *a = mem_zalloc(sizeof(*a));
    a->max = max;
    a->next_size = ARENA_FIRST_BLOCK;
    return a;
}

static void arena_free_blocks(struct arena *a, struct arena_block *keep)
{
    struct arena_block *b = a->blocks;
    while (b != keep) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
    a->blocks = keep;
}

void arena_free(struct arena **arena)
{
    if (*arena == NULL)
        return;
    arena_free_blocks(*arena, NULL);
    free(*arena);
    *arena = NULL;
}

void arena_reset(struct arena *a)
{
    struct arena_block *first = a->blocks;
    while (first != NULL && first->next != NULL)
        first = first->next;
    arena_free_blocks(a, first);
    if (first != NULL)
        first->used = 0;
    a->used = 0;
    a->next_size = ARENA_FIRST_BLOCK;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t align = _Alignof(max_align_t);
    if (size > SIZE_MAX - align)
        return NULL;
    size = (size + align - 1) / align * align;
    if (a->max != 0 && (size > a->max || a->used > a->max - size))
        return NULL;
    struct arena_block *b = a->blocks;
    if (b == NULL || b->size - b->used < size) {
        size_t want = size > a->next_size ? size : a->next_size;
        b = mem_alloc(sizeof(*b) + want);
        b->next = a->blocks;
        b->size = want;
        b->used = 0;
        a->blocks = b;
        if (a->next_size < ARENA_MAX_BLOCK)
            a->next_size *= 2;
    }
    void *p = (char *)b->data + b->used;
    b->used += size;
    a->used += size;
    return memset(p, 0, size);
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_strndup(struct arena *a, const void *s, size_t len)
{
    char *p = arena_alloc(a, len + 1);
    if (p != NULL && len > 0)
        memcpy(p, s, len);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p != NULL)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}

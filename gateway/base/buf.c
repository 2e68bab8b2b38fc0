#include "gateway/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"

/* data points start bytes into the allocation, so consuming moves no bytes. */
static unsigned char *buf_base(const struct buf *b)
{
    return b->data == NULL ? NULL : b->data - b->start;
}

void buf_init(struct buf *b, size_t max)
{
    memset(b, 0, sizeof(*b));
    b->max = max;
}

void buf_free(struct buf *b)
{
    free(buf_base(b));
    buf_init(b, b->max);
}

void buf_wipe_free(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(buf_base(b), b->cap);
    buf_free(b);
}

void buf_clear(struct buf *b)
{
    b->data = buf_base(b);
    b->start = 0;
    b->len = 0;
}

void *buf_reserve(struct buf *b, size_t len)
{
    size_t max = b->max ? b->max : BUF_MAX_DEFAULT;
    if (len > max || b->len > max - len)
        return NULL;
    /* One more byte than asked for, so that buf_str always has room for its NUL. */
    size_t need = b->len + len + 1;
    if (b->cap - b->start >= need)
        return b->data + b->len;
    if (b->cap >= need && b->start >= b->len) {
        memcpy(buf_base(b), b->data, b->len);
        b->data = buf_base(b);
        b->start = 0;
        return b->data + b->len;
    }
    size_t cap = b->cap < 128 ? 128 : b->cap;
    while (cap < need)
        cap *= 2;
    unsigned char *p = mem_alloc(cap);
    if (b->len > 0)
        memcpy(p, b->data, b->len);
    free(buf_base(b));
    b->data = p;
    b->start = 0;
    b->cap = cap;
    return p + b->len;
}

void buf_commit(struct buf *b, size_t len)
{
    b->len += len;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
    void *p = buf_reserve(b, len);
    if (p == NULL)
        return -1;
    if (len > 0)
        memcpy(p, data, len);
    b->len += len;
    return 0;
}

int buf_append_str(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_append_byte(struct buf *b, unsigned char c)
{
    return buf_append(b, &c, 1);
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n < 0 ? NULL : buf_reserve(b, (size_t)n);
    if (p != NULL) {
        vsnprintf(p, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return p == NULL ? -1 : 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return rc;
}

void buf_consume(struct buf *b, size_t len)
{
    if (len >= b->len) {
        buf_clear(b);
        return;
    }
    b->data += len;
    b->start += len;
    b->len -= len;
}

void buf_truncate(struct buf *b, size_t len)
{
    if (len < b->len)
        b->len = len;
}

const char *buf_str(struct buf *b)
{
    if (b->data == NULL)
        return "";
    b->data[b->len] = '\0';
    return (const char *)b->data;
}

char *buf_steal_str(struct buf *b)
{
    char *s = mem_strndup(b->data, b->len);
    buf_free(b);
    return s;
}

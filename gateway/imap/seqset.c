#include "gateway/imap/seqset.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"

void seqset_free(struct seqset *set)
{
    free(set->v);
    *set = (struct seqset){0};
}

/* A number of 1 to 2^32 - 1, or "*"; moves *p. */
static int take_number(const char **p, uint32_t *out)
{
    uint64_t n;
    size_t len = strspn(*p, "0123456789");
    if (len == 0 && **p == '*') {
        *out = SEQSET_STAR;
        (*p)++;
        return 0;
    }
    if (str_uint(*p, len, UINT32_MAX, &n) != 0 || n == 0)
        return -1;
    *out = (uint32_t)n;
    *p += len;
    return 0;
}

int seqset_parse(struct seqset *out, const char *text, size_t max_ranges)
{
    size_t cap = 0;
    *out = (struct seqset){0};
    for (const char *p = text;; p++) {
        struct seq_range r;
        if (out->n == max_ranges || take_number(&p, &r.first) != 0)
            goto bad;
        r.last = r.first;
        if (*p == ':') {
            p++;
            if (take_number(&p, &r.last) != 0)
                goto bad;
        }
        if (out->n == cap) {
            cap = cap ? cap * 2 : 4;
            out->v = mem_realloc(out->v, cap, sizeof(*out->v));
        }
        out->v[out->n++] = r;
        if (*p == '\0')
            return 0;
        if (*p != ',')
            goto bad;
    }
bad:
    seqset_free(out);
    return -1;
}

static int by_first(const void *a, const void *b)
{
    const struct seq_range *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

void seqset_resolve(struct seqset *set, uint32_t highest)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->n; i++) {
        struct seq_range r = set->v[i];
        bool star = r.first == SEQSET_STAR || r.last == SEQSET_STAR;
        if (star && highest == 0)
            continue;
        if (r.first == SEQSET_STAR)
            r.first = highest;
        if (r.last == SEQSET_STAR)
            r.last = highest;
        if (r.first > r.last)
            r = (struct seq_range){r.last, r.first};
        set->v[kept++] = r;
    }
    set->n = kept;
    if (kept == 0)
        return;
    qsort(set->v, set->n, sizeof(*set->v), by_first);
    kept = 1;
    for (size_t i = 1; i < set->n; i++) {
        struct seq_range *last = &set->v[kept - 1];
        if (set->v[i].first <= last->last || set->v[i].first - last->last == 1) {
            if (set->v[i].last > last->last)
                last->last = set->v[i].last;
        } else {
            set->v[kept++] = set->v[i];
        }
    }
    set->n = kept;
}

bool seqset_has(const struct seqset *set, uint32_t number)
{
    size_t lo = 0, hi = set->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (number < set->v[mid].first)
            hi = mid;
        else if (number > set->v[mid].last)
            lo = mid + 1;
        else
            return true;
    }
    return false;
}

void seqset_put(struct buf *out, const uint32_t *numbers, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t j = i;
        while (j + 1 < n && numbers[j + 1] == numbers[j] + 1)
            j++;
        buf_printf(out, "%s%u", i == 0 ? "" : ",", numbers[i]);
        if (j > i)
            buf_printf(out, ":%u", numbers[j]);
        i = j + 1;
    }
}

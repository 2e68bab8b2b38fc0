#include "gateway/filter/bodyhash.h"

#include <stdlib.h>

#include "gateway/base/mem.h"

struct form {
    struct canon_body body;
    uint64_t limit, size;
    struct digest *digest;
    uint8_t value[DIGEST_LEN];
};

struct bodyhash {
    size_t max, count;
    struct form forms[];
};

struct bodyhash *bodyhash_new(size_t forms)
{
    struct bodyhash *b = mem_zalloc(sizeof(*b) + forms * sizeof(b->forms[0]));

    b->max = forms;
    return b;
}

void bodyhash_free(struct bodyhash **b)
{
    if (*b == NULL)
        return;
    for (size_t i = 0; i < (*b)->count; i++)
        digest_free(&(*b)->forms[i].digest);
    free(*b);
    *b = NULL;
}

static void take(const void *data, size_t len, void *arg)
{
    struct form *f = arg;
    uint64_t room = f->size < f->limit ? f->limit - f->size : 0;

    digest_update(f->digest, data, len < room ? len : (size_t)room);
    f->size += len;
}

int bodyhash_want(struct bodyhash *b, enum canon canon, uint64_t limit)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->forms[i].body.canon == canon && b->forms[i].limit == limit)
            return (int)i;
    }
    if (b->count == b->max)
        return -1;
    struct form *f = &b->forms[b->count];
    f->body = (struct canon_body){.canon = canon, .sink = take, .arg = f};
    f->limit = limit;
    f->digest = digest_new();
    return (int)b->count++;
}

void bodyhash_push(struct bodyhash *b, const void *data, size_t len)
{
    for (size_t i = 0; i < b->count; i++)
        canon_body_push(&b->forms[i].body, data, len);
}

void bodyhash_finish(struct bodyhash *b)
{
    for (size_t i = 0; i < b->count; i++) {
        canon_body_finish(&b->forms[i].body);
        digest_final(b->forms[i].digest, b->forms[i].value);
    }
}

const uint8_t *bodyhash_value(const struct bodyhash *b, int form)
{
    return b->forms[form].value;
}

uint64_t bodyhash_size(const struct bodyhash *b, int form)
{
    return b->forms[form].size;
}

#include "gateway/queue/ids.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/queue/envelope.h"

static int id_compare(const struct id_entry *a, const struct id_entry *b)
{
    return memcmp(a->id, b->id, ID_STRLEN);
}

RB_GENERATE_INTERNAL(id_tree, id_entry, link, id_compare, __attribute__((unused)) static)

void ids_init(struct ids *t)
{
    RB_INIT(&t->tree);
    TAILQ_INIT(&t->ages);
    t->count = 0;
}

void ids_free(struct ids *t)
{
    while (!TAILQ_EMPTY(&t->ages))
        ids_remove(t, TAILQ_FIRST(&t->ages));
}

struct id_entry *ids_find(struct ids *t, const char *id)
{
    struct id_entry key;
    memset(key.id, 0, sizeof(key.id));
    strlcpy(key.id, id, sizeof(key.id));
    return RB_FIND(id_tree, &t->tree, &key);
}

struct id_entry *ids_add(struct ids *t, const char *id, int64_t now)
{
    struct id_entry *e = mem_zalloc(sizeof(*e));
    strlcpy(e->id, id, sizeof(e->id));
    e->since = now;
    RB_INSERT(id_tree, &t->tree, e);
    TAILQ_INSERT_TAIL(&t->ages, e, age);
    t->count++;
    return e;
}

void ids_remove(struct ids *t, struct id_entry *e)
{
    RB_REMOVE(id_tree, &t->tree, e);
    TAILQ_REMOVE(&t->ages, e, age);
    t->count--;
    free(e);
}

void ids_expire(struct ids *t, int64_t now, int64_t age_ms, size_t max,
                int (*keep)(const struct id_entry *e, void *arg), void *arg)
{
    struct id_entry *e, *next;
    TAILQ_FOREACH_SAFE (e, &t->ages, age, next) {
        if (t->count <= max && now - e->since < age_ms)
            return;
        if (!keep(e, arg))
            ids_remove(t, e);
    }
}

void ids_write(const struct ids *t, int64_t now, int64_t wall, int64_t age_ms, struct buf *out)
{
    const struct id_entry *e, *first = NULL;
    for (e = TAILQ_LAST(&t->ages, id_ages); e != NULL && now - e->since <= age_ms;
         e = TAILQ_PREV(e, id_ages, age))
        first = e;
    for (e = first; e != NULL; e = TAILQ_NEXT(e, age))
        if (e->message == NULL || e->generation != 0)
            buf_printf(out, "%s %" PRId64 "\n", e->id, wall - (now - e->since) / 1000);
}

void ids_read(struct ids *t, const char *text, size_t len, int64_t now, int64_t wall,
              int64_t age_ms)
{
    const char *p = text, *end = text + len;
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        char id[ID_STRLEN];
        uint64_t seconds;
        if (nl == NULL || nl - p < ID_STRLEN + 1 || p[ID_STRLEN - 1] != ' ' ||
            str_uint(p + ID_STRLEN, (size_t)(nl - p) - ID_STRLEN, INT64_MAX / 1000, &seconds) < 0)
            return;
        memcpy(id, p, ID_STRLEN - 1);
        id[ID_STRLEN - 1] = '\0';
        /* A clock that went back makes an id young, which is harmless. */
        int64_t age = seconds < (uint64_t)wall ? (wall - (int64_t)seconds) * 1000 : 0;
        if (envelope_id_valid(id) && age <= age_ms && ids_find(t, id) == NULL)
            ids_add(t, id, now - age);
        p = nl + 1;
    }
}

int ids_from_name(const char *name, char id[ID_STRLEN])
{
    size_t seconds = strspn(name, "0123456789");
    const char *p = name + seconds + 1;
    if (seconds == 0 || name[seconds] != '.' || strnlen(p, ID_STRLEN) < ID_STRLEN ||
        p[ID_STRLEN - 1] != 'R')
        return -1;
    memcpy(id, p, ID_STRLEN - 1);
    id[ID_STRLEN - 1] = '\0';
    p += ID_STRLEN;
    size_t digits = strspn(p, "0123456789");
    return digits > 0 && p[digits] == '\0' && envelope_id_valid(id) ? 0 : -1;
}

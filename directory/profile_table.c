/* The profiles that apply, as one table that entries are read by. */
#include <stdlib.h>
#include <string.h>

#include "directory/profile_private.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

static size_t hash(const char *name, size_t len)
{
    uint32_t h = 5381;
    for (size_t i = 0; i < len; i++)
        h = h * 33 + (uint8_t)str_lower_char(name[i]);
    return h;
}

static size_t slots_for(size_t count)
{
    size_t n = 8;
    while (n < count * 2)
        n *= 2;
    return n;
}

static struct profile_slot *attribute_slot(const struct profile_table *t, const char *name,
                                           size_t len)
{
    size_t i = hash(name, len) & (t->attribute_slots - 1);
    while (t->attributes[i].name != NULL && !str_is(name, len, t->attributes[i].name))
        i = (i + 1) & (t->attribute_slots - 1);
    return &t->attributes[i];
}

const struct profile_slot *profile_table_find(const struct profile_table *t, const char *name,
                                              size_t len)
{
    const struct profile_slot *slot = attribute_slot(t, name, len);
    return slot->name != NULL ? slot : NULL;
}

static const struct profile_class **class_slot(const struct profile_table *t, const char *name,
                                               size_t len)
{
    size_t i = hash(name, len) & (t->class_slots - 1);
    while (t->classes[i] != NULL && !str_is(name, len, t->classes[i]->name))
        i = (i + 1) & (t->class_slots - 1);
    return &t->classes[i];
}

unsigned profile_table_classes(const struct profile_table *t, const char *name, size_t len)
{
    const struct profile_class *class = *class_slot(t, name, len);
    return class != NULL ? class->classes : 0;
}

static void add_row(struct profile_table *t, const struct profile_row *row, unsigned owner)
{
    struct profile_slot *slot = attribute_slot(t, row->name, strlen(row->name));
    size_t n = slot->count + 1;
    unsigned *owners = mem_realloc((void *)slot->owner, n, sizeof *owners);
    slot->rows = mem_realloc(slot->rows, n, sizeof *slot->rows);
    slot->name = row->name;
    slot->rows[slot->count] = row;
    owners[slot->count] = owner;
    slot->owner = owners;
    slot->count = n;
    slot->conditional = slot->conditional || row->object_class != NULL;
}

/* The first profile that knows a class decides what it means. */
static void add_class(struct profile_table *t, const struct profile_class *class)
{
    const struct profile_class **slot = class_slot(t, class->name, strlen(class->name));
    if (*slot == NULL)
        *slot = class;
}

static void list_names(struct profile_table *t)
{
    size_t n = 0;
    t->names = mem_zalloc((t->attribute_slots + 2) * sizeof *t->names);
    t->names[n++] = "objectClass";
    for (size_t i = 0; i < t->attribute_slots; i++)
        if (t->attributes[i].name != NULL)
            t->names[n++] = t->attributes[i].name;
}

/* What a table does to entries: the names of its profiles, and a sum of what they say. */
static char *sign(const struct profile_table *t)
{
    struct buf names = {0};
    uint32_t sum = 0;
#define ADD(text) (sum = str_crc32c(sum, (text), strlen(text) + 1))
    for (size_t k = 0; k < t->profile_count; k++) {
        const struct profile *p = t->profiles[k];
        buf_printf(&names, "%s%s", k > 0 ? " " : "", p->name);
        for (size_t i = 0; i < p->class_count; i++) {
            ADD(p->classes[i].name);
            sum = str_crc32c(sum, &p->classes[i].classes, sizeof p->classes[i].classes);
        }
        for (size_t i = 0; i < p->row_count; i++) {
            const struct profile_row *row = &p->rows[i];
            ADD(row->name);
            sum = str_crc32c(sum, &row->attr, sizeof row->attr);
            sum = str_crc32c(sum, &row->take, sizeof row->take);
            sum = str_crc32c(sum, &row->unit, sizeof row->unit);
            ADD(row->prefix != NULL ? row->prefix : "");
            ADD(row->object_class != NULL ? row->object_class : "");
            for (size_t j = 0; j < row->meaning_count; j++) {
                sum = str_crc32c(sum, &row->meanings[j].test, sizeof row->meanings[j].test);
                ADD(row->meanings[j].text);
                ADD(row->meanings[j].meaning);
            }
        }
    }
#undef ADD
    buf_printf(&names, "#%08x", sum);
    return buf_steal_str(&names);
}

struct profile_table *profile_table_build(const struct profile *const *profiles, size_t count)
{
    struct profile_table *t = mem_zalloc(sizeof *t);
    size_t rows = 0, classes = 0;
    t->profiles = mem_zalloc((count + 1) * sizeof *t->profiles);
    t->profile_count = count;
    for (size_t k = 0; k < count; k++) {
        t->profiles[k] = profiles[k];
        rows += profiles[k]->row_count;
        classes += profiles[k]->class_count;
    }
    t->attribute_slots = slots_for(rows);
    t->class_slots = slots_for(classes);
    t->attributes = mem_zalloc(t->attribute_slots * sizeof *t->attributes);
    t->classes = mem_zalloc(t->class_slots * sizeof *t->classes);
    for (unsigned k = 0; k < count; k++) {
        for (size_t i = 0; i < profiles[k]->row_count; i++)
            add_row(t, &profiles[k]->rows[i], k);
        for (size_t i = 0; i < profiles[k]->class_count; i++)
            add_class(t, &profiles[k]->classes[i]);
    }
    list_names(t);
    t->signature = sign(t);
    return t;
}

void profile_table_free(struct profile_table **table)
{
    struct profile_table *t = *table;
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->attribute_slots; i++) {
        free(t->attributes[i].rows);
        free((void *)t->attributes[i].owner);
    }
    free(t->attributes);
    free(t->classes);
    free(t->names);
    free(t->profiles);
    free(t->signature);
    free(t);
    *table = NULL;
}

const char *profile_table_signature(const struct profile_table *t)
{
    return t->signature;
}

const char *const *profile_attributes(const struct profile_table *t)
{
    return t->names;
}

void profile_filter(const struct profile_table *t, struct buf *out)
{
    buf_append_str(out, "(|");
    for (size_t i = 0; i < t->class_slots; i++)
        if (t->classes[i] != NULL && (t->classes[i]->classes & CLASS_NOTHING) == 0)
            buf_printf(out, "(objectClass=%s)", t->classes[i]->name);
    buf_append_str(out, ")");
}

/* A profile in two portions, the server's schema, and an entry that is read by it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "directory/profile_private.h"
#include "gateway/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(struct profile *p, struct profile_parser *parser)
{
    struct profile_statement st;
    while (profile_parser_next(parser, &st) > 0) {
        struct buf fault = {0};
        (void)profile_rule(p, &st, &fault);
        buf_free(&fault);
    }
}

/* Every attribute that the profile names, with a piece of the input for a value. */
static void read_entry(const struct profile_table *t, const uint8_t *data, size_t size)
{
    struct entry_draft draft = {0};
    struct buf secrets = {0}, encoded = {0};
    struct profile_entry p;
    const struct uuid uuid = {{1}};
    size_t at = 0;
    profile_begin(&p, t, &draft, &secrets, &uuid, "cn=x");
    for (const char *const *name = profile_attributes(t); *name != NULL && at < size; name++) {
        size_t len = (size - at) / 2;
        profile_value(&p, *name, strlen(*name), data + at, len);
        at += len / 2 + 1;
    }
    for (size_t i = 0; i < t->class_slots; i++)
        if (t->classes[i] != NULL)
            profile_value(&p, "objectClass", 11, t->classes[i]->name, strlen(t->classes[i]->name));
    if (profile_end(&p) && entry_encode(&draft, &encoded) == 0 &&
        !entry_valid(encoded.data, encoded.len))
        abort();
    entry_draft_free(&draft);
    buf_free(&secrets);
    buf_free(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct profile *p = profile_new("fuzz");
    struct profile_parser *parser = profile_parser_new();
    size_t half = size / 2;
    profile_parser_push(parser, data, half);
    take(p, parser);
    profile_parser_push(parser, data + half, size - half);
    profile_parser_end(parser);
    take(p, parser);
    profile_parser_free(&parser);

    const struct profile *const list[] = {p};
    struct profile *own[] = {p};
    struct profile_set set = {.profiles = own, .count = 1};
    profile_set_tell(&set, "objectClasses", (const char *)data, size);
    profile_set_tell(&set, "attributeTypes", (const char *)data + half, size - half);
    struct profile_table *t = profile_table_build(list, 1);
    struct buf filter = {0};
    profile_filter(t, &filter);
    read_entry(t, data, size);
    buf_free(&filter);
    profile_table_free(&t);
    profile_free(p);
    return 0;
}

/* entryUUID (RFC 4530) as 16 bytes: the key of everything that outlives a rename. */
#ifndef DIRIGO_BASE_UUID_H
#define DIRIGO_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define UUID_STRLEN 37

struct uuid {
    uint8_t bytes[16];
};

/* Text form 8-4-4-4-12, either case; -1 for anything else. */
int uuid_parse(struct uuid *out, const char *text);
/* Lower-case text in dst[UUID_STRLEN]; returns dst. */
const char *uuid_str(const struct uuid *u, char *dst);
bool uuid_eq(const struct uuid *a, const struct uuid *b);
bool uuid_is_zero(const struct uuid *u);

#define ID_STRLEN 17
/* A new session or message id of 16 characters [0-9a-z] that sorts by time and is unique on this
 * host. */
const char *id_new(char dst[ID_STRLEN]);

#endif

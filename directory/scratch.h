/*
 * A directory made up for a question: entries from LDIF, or copied from the replica, changed as
 * LDIF says, and a replica of them that answers like the real one. For the tools.
 *
 * A copy knows of an entry what the replica knows: logical attributes. Changes of LDAP attributes
 * are applied to those, and a change of objectClass is a guess where several classes mean the same.
 */
#ifndef DIRIGO_DIRECTORY_SCRATCH_H
#define DIRIGO_DIRECTORY_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "directory/client.h"
#include "gateway/proto/ldif.h"

struct scratch;

enum scratch_result {
    SCRATCH_OK,
    SCRATCH_BAD_DN,   /* malformed, or too long */
    SCRATCH_EXISTS,   /* an entry of this name is there already */
    SCRATCH_ABSENT,   /* no such entry */
    SCRATCH_CHILDREN, /* it cannot be deleted: others are below it */
    SCRATCH_NO_VALUE, /* a value that is to be deleted is not there */
    SCRATCH_FULL      /* past directory_map_size */
};
/* In words. */
const char *scratch_text(enum scratch_result result);

/*
 * Empty; conf outlives it. Where directory_profiles leaves open which profiles apply, the classes
 * and attributes of the entries themselves decide, and for a copy the directory that it is of. NULL
 * with an allocated text in error where the profiles cannot be read.
 */
struct scratch *scratch_new(const struct conf *conf, char **error);
void scratch_free(struct scratch **s);
/* Applies a record. What a server would refuse changes nothing, as far as names go: no schema is
 * checked. Entries without entryUUID get one that is made up. */
enum scratch_result scratch_apply(struct scratch *s, const struct ldif_record *r);
/* Copies every entry; 0, or -1 where from cannot be read or it would get too large. */
int scratch_copy(struct scratch *s, struct directory *from);
/*
 * The directory of what is there now, in sync; owned by s, and for the next call to bring up to
 * date. It stays in sync for a few seconds: call again during long work, without a snapshot taken.
 * NULL with an allocated text in error.
 */
struct directory *scratch_directory(struct scratch *s, char **error);

size_t scratch_count(const struct scratch *s);
/* Whether there is an entry of this name, also one that means nothing to mail. */
bool scratch_has(const struct scratch *s, const char *dn);
/* Value i of an attribute of an entry, as it was given, until the next change; NULL: no such value.
 */
const char *scratch_value(const struct scratch *s, const char *dn, const char *attr, size_t i);
/* The line that the entry, or this value of it (NULL: any), came from; 0 where there is none. */
size_t scratch_line(const struct scratch *s, const char *dn, const char *value);

#endif

/*
 * Names that front ends need from a directory that is asked for each of them (source_lookup.c).
 * Private to dirigo-directory.
 *
 * A name is prepared by looking it up in the replica as a front end will, asking the server for
 * what the look missed, and so on until nothing is missing: an alias shows the next address only
 * when it is there.
 */
#ifndef DIRIGO_DIRECTORY_WANT_H
#define DIRIGO_DIRECTORY_WANT_H

#include "directory/client.h"
#include "directory/source.h"

struct wants;
/* All outlive it. */
struct wants *wants_new(const struct conf *conf, struct directory *directory,
                        struct source *source);
void wants_free(struct wants **w);
/*
 * fn(known, arg) is called once, perhaps at once: known says that the server answered for all of
 * it. owner is for wants_owner_gone alone. Requests for one name share their questions.
 */
void wants_ask(struct wants *w, enum directory_wanted what, const char *name, const char *second,
               const void *owner, void (*fn)(bool known, void *arg), void *arg);
/* The owner is gone: what it asked for is not answered, and each arg is freed (free). */
void wants_owner_gone(struct wants *w, const void *owner);

#endif

/* A replica in a temporary folder, for the tests of directory/. */
#ifndef DIRIGO_TESTS_DIRECTORY_FIXTURE_H
#define DIRIGO_TESTS_DIRECTORY_FIXTURE_H

#include "directory/client.h"
#include "directory/replica.h"

struct fixture {
    char state[64]; /* the state directory */
    char dir[80];   /* its replica */
    struct conf conf;
    struct replica *replica;
    struct directory *directory;
    struct entry_draft draft;
};

/* An empty replica that is in sync, and a reader of it; clocks stand still. */
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
/* Opens the reader anew, with the link gone. */
void fixture_reader(struct fixture *f);

struct fixture_value {
    enum entry_attr attr;
    const char *text;
};
/* Puts one entry, its uuid made of the number n, in a change of its own. values end with NULL. */
void fixture_put(struct fixture *f, unsigned n, unsigned kinds, const char *dn,
                 const struct fixture_value *values);
#define PUT(f, n, kinds, dn, ...)                                                                  \
    fixture_put(f, n, kinds, dn, (const struct fixture_value[]){__VA_ARGS__ __VA_OPT__(, ){0}})
void fixture_delete(struct fixture *f, unsigned n);
/* Sets what the writer says of itself; wall times. */
void fixture_sync(struct fixture *f, bool in_sync, int64_t last_sync, int64_t heartbeat);
struct uuid fixture_uuid(unsigned n);

#define FIXTURE_NOW 1700000000

#endif

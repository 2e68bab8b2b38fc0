/* An alias file and what it includes, read into memory. Blocks: for a worker. */
#ifndef DIRIGO_DIRECTORY_ALIASREAD_H
#define DIRIGO_DIRECTORY_ALIASREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <time.h>

#include "gateway/base/buf.h"

/* Files that one alias file may include, at any depth, and bytes in all. */
#define ALIASREAD_FILES_MAX 256
#define ALIASREAD_BYTES_MAX ((size_t)256 << 20)

struct aliasread_name {
    STAILQ_ENTRY(aliasread_name) link;
    size_t line;
    struct buf targets; /* each with its NUL; "\\name" for an account itself */
    char *refused;      /* why mail for it has to wait; NULL: it has not */
    char name[];
};

/* How a file was when it was read. */
struct aliasread_stamp {
    char *path;
    bool there;
    unsigned long long device, inode, size;
    struct timespec modified;
};

struct aliasread {
    STAILQ_HEAD(, aliasread_name) names; /* of the first ones where a name comes twice */
    size_t count;
    struct aliasread_stamp stamps[ALIASREAD_FILES_MAX];
    size_t stamp_count;
    size_t bytes;
    char *error; /* the file itself cannot be read */
};

/* Zeros, and then this, make an empty one. Faults of single entries are logged. */
void aliasread_file(struct aliasread *r, const char *path);
/* Whether any of the files is another one than was read. */
bool aliasread_changed(const struct aliasread *r);
/* The names alone; the stamps stay. */
void aliasread_free_names(struct aliasread *r);
void aliasread_free(struct aliasread *r);

#endif

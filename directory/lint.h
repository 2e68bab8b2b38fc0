/*
 * What is wrong with a directory as mail sees it: duplicate owners, dangling names, loops, and what
 * can never be reached. It asks with the code that routes mail.
 */
#ifndef DIRIGO_DIRECTORY_LINT_H
#define DIRIGO_DIRECTORY_LINT_H

#include <stdbool.h>
#include <stddef.h>

#include "directory/client.h"

struct lint_finding {
    bool error;        /* mail is refused or put off; else it may be meant so */
    const char *code;  /* "duplicate-address" and its like; static */
    const char *dn;    /* of the entry at fault */
    const char *value; /* the value at fault, or NULL */
    const char *text;  /* in words */
};

/* Who asks. */
struct lint {
    struct directory *directory; /* in sync */
    void *arg;
    void (*report)(void *arg, const struct lint_finding *finding);
    /* Whether an entry that means nothing to mail has this name; NULL where that is not known. */
    bool (*exists)(void *arg, const char *dn);
    /* Value i of an attribute that the replica does not keep; NULL: no such value. NULL where none
     * can be had. */
    const char *(*value)(void *arg, const char *dn, const char *attr, size_t i);
    /* What is wrong with a restriction list: an allocated text, or NULL. */
    char *(*check_list)(void *arg, struct snapshot *snap, enum entry_attr attr, const char *text);
    /* Called now and then, without a snapshot taken; 0 to go on. May be NULL. */
    int (*pause)(void *arg);
};

/* Looks at every entry. 0, or -1 where the directory cannot be read, or pause said stop. */
int lint_run(const struct lint *lint);

#endif

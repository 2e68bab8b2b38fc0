/*
 * /etc/aliases (aliases(5) of Sendmail and Postfix): a push/next parser without I/O.
 *
 *     name: target, "target with spaces", \name, :include:/path, |command, /file
 *
 * A line that begins with white space continues the one before; empty lines and those that begin
 * with '#' are skipped, also between the two. aliases_push takes bytes up to the end of one entry,
 * aliases_next says whether there is one; at the end of the input aliases_end closes the last one.
 * An entry that is no entry is reported once, with its line, and the parser goes on behind it.
 *
 * What commands and files mean is not judged here.
 */
#ifndef DIRIGO_PROTO_ALIASES_H
#define DIRIGO_PROTO_ALIASES_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buf.h"

#define ALIASES_LINE_MAX ((size_t)4 << 20) /* bytes of one entry; a longer one is a fault */
#define ALIASES_NAME_MAX 250

enum alias_kind {
    ALIAS_ADDRESS, /* an address, or a name without a domain */
    ALIAS_ACCOUNT, /* \name: the account itself, whatever aliases say */
    ALIAS_INCLUDE, /* :include:/path */
    ALIAS_COMMAND, /* |command */
    ALIAS_FILE     /* /file */
};

struct alias_target {
    enum alias_kind kind;
    const char *text; /* without what tells the kind, but for ALIAS_FILE, and without quotes */
};

/* Valid until the next call of aliases_push or aliases_end. */
struct alias_entry {
    const char *name; /* lower case (ASCII); "" in a list */
    size_t line;      /* where it begins, from 1 */
    const struct alias_target *targets;
    size_t count;
};

/* Zeros are a parser at the start of a file. The fields are private. */
struct aliases_parser {
    bool list; /* set by who reads an :include: file: targets alone, as many as it likes a line */
    struct buf line, text, targets;
    size_t number, first; /* of physical lines, from 0; where the entry begins */
    enum {
        ALIASES_AT_START,
        ALIASES_IN_TEXT,
        ALIASES_IN_COMMENT
    } state;
    bool spaces; /* the physical line begins with white space */
    bool open;   /* an entry has begun */
    bool done;   /* and has ended */
    bool fetched;
    bool overlong;
};

struct aliases_fault {
    size_t line;
    const char *text; /* static */
};

void aliases_free(struct aliases_parser *p);
/* Takes bytes and returns how many: all, or up to the end of an entry, which has to be fetched with
 * aliases_next before the next call takes more. */
size_t aliases_push(struct aliases_parser *p, const void *data, size_t len);
/* No more bytes come. */
void aliases_end(struct aliases_parser *p);
/* 1: an entry, in *out, once. 0: more bytes are needed. -1: no entry, once: see *fault. */
int aliases_next(struct aliases_parser *p, struct alias_entry *out, struct aliases_fault *fault);

#endif

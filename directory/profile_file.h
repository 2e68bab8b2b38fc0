/*
 * The lines of a profile (dirigo-profiles(5)): a push/next parser that does no I/O.
 *
 * A statement is a line of words; a line that begins with white space goes on with the one before.
 * '#' at the beginning of a word starts a comment. Push the bytes in any portions, call
 * profile_parser_end, and profile_parser_next between and after them.
 */
#ifndef DIRIGO_DIRECTORY_PROFILE_FILE_H
#define DIRIGO_DIRECTORY_PROFILE_FILE_H

#include <stddef.h>

/* A statement with more bytes or words is a fault and is skipped. */
#define PROFILE_STATEMENT_MAX 4096
#define PROFILE_WORDS_MAX     64

struct profile_parser;

struct profile_statement {
    unsigned line; /* of its first word, from 1 */
    size_t count;  /* 0 with a fault */
    const char *words[PROFILE_WORDS_MAX];
    const char *fault; /* NULL, or why this is no statement: "what; what would be right" */
};

struct profile_parser *profile_parser_new(void);
void profile_parser_free(struct profile_parser **p);
void profile_parser_push(struct profile_parser *p, const void *data, size_t len);
void profile_parser_end(struct profile_parser *p);
/* 1 with a statement, valid until the next call; 0: push more, or done after the end. */
int profile_parser_next(struct profile_parser *p, struct profile_statement *out);

#endif

/*
 * POP3 commands (RFC 1939 and 2449) as a server reads them: a push/next parser without I/O.
 *
 * pop3_parser_push takes bytes up to the end of one line and no further, pop3_parser_next says what
 * it was. Lines may end in LF alone. What a command points to is valid until the next push or next;
 * it is wiped then, for it may be a password.
 */
#ifndef DIRIGO_PROTO_POP3_PARSER_H
#define DIRIGO_PROTO_POP3_PARSER_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buf.h"

#define POP3_NAME_MAX 16

enum pop3_event {
    POP3_MORE,    /* push more bytes */
    POP3_COMMAND, /* a command */
    POP3_LINE,    /* the line that pop3_parser_want_line asked for: args has it */
    POP3_BAD      /* a line that is no command or is too long; it was skipped */
};

struct pop3_command {
    char name[POP3_NAME_MAX]; /* upper case */
    const char *args;         /* what follows the first space, as it stands; "" for nothing */
    size_t args_len;          /* without NUL bytes */
    const char *error;        /* POP3_BAD: static text */
};

/* Private but for its size: {.line = {.max = 0}, .limit = N} is a new one. */
struct pop3_parser {
    size_t limit; /* bytes of a line, without its end */
    struct buf line;
    bool want_line, too_long, whole, done;
    struct pop3_command cmd;
};

void pop3_parser_init(struct pop3_parser *p, size_t limit);
/* Wipes what it holds; it can be used again. */
void pop3_parser_free(struct pop3_parser *p);
size_t pop3_parser_push(struct pop3_parser *p, const void *data, size_t len);
enum pop3_event pop3_parser_next(struct pop3_parser *p, const struct pop3_command **cmd);
/* The next line is no command but an answer (AUTH). */
void pop3_parser_want_line(struct pop3_parser *p);

#endif

/*
 * IMAP commands (RFC 3501 and 9051, section 9) as a server reads them: a push/next parser without
 * I/O, bounded, the same for the login front end and for sessions after login.
 *
 * The life of a command: imap_parser_push takes bytes up to the next event and no further (what
 * stands behind a command stays with the caller: for STARTTLS and for handing a connection over);
 * imap_parser_next says what there is. A literal is an event of its own, because the caller decides
 * what becomes of it, and sends the continuation that a synchronising one waits for:
 *
 *     IMAP_LITERAL  -> imap_literal_keep    its bytes become an argument (within the bound)
 *                      imap_literal_stream  the caller takes them past the parser (APPEND)
 *                      imap_literal_refuse  the command is over, and was answered
 *
 * A malformed command is an IMAP_BAD event; the parser then goes on behind it, non-synchronising
 * literals included, so that no byte of a literal is ever read as a command.
 *
 * Everything a command points to is valid until the next call of imap_parser_push or
 * imap_parser_next (a partial command of IMAP_LITERAL: until its literal is decided); it is wiped
 * then, for it may be a password.
 */
#ifndef DIRIGO_PROTO_IMAP_PARSER_H
#define DIRIGO_PROTO_IMAP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum imap_event {
    IMAP_MORE,    /* push more bytes */
    IMAP_COMMAND, /* a whole command */
    IMAP_LITERAL, /* the size of a literal; cmd has the arguments before it */
    IMAP_LINE,    /* the line that imap_parser_want_line asked for */
    IMAP_BAD      /* a malformed command: answer BAD with cmd->tag and cmd->error */
};

enum imap_type {
    IMAP_ATOM,   /* any run of bytes without space, quote or parenthesis: atoms, flags, sequence
                    sets, list patterns; in FETCH also BODY[...]<...>, as it stands */
    IMAP_STRING, /* a quoted string, unquoted, or a literal that was kept */
    IMAP_LIST,
    IMAP_STREAMED /* a literal that the caller took itself: len bytes */
};

struct imap_arg {
    enum imap_type type;
    bool literal8;         /* the literal was ~{n}, and may have NUL bytes (RFC 3516) */
    const char *str;       /* ATOM and STRING: NUL-terminated */
    size_t len;            /* of str, or of what was streamed */
    struct imap_arg *list; /* LIST: its first member, or NULL */
    struct imap_arg *next; /* the argument behind it, or NULL */
};

struct imap_literal {
    uint64_t size;
    bool sync;    /* the client waits for "+" before it sends the bytes */
    bool binary;  /* ~{n} */
    bool in_list; /* it stands inside a parenthesised list */
};

struct imap_command {
    const char *tag;       /* "*" where none could be read */
    const char *name;      /* upper case, "" where none could be read; "UID FETCH" and its like are
                              one name */
    struct imap_arg *args; /* the first argument, or NULL */
    size_t argc;           /* of the outermost level */
    struct imap_literal literal; /* IMAP_LITERAL */
    const char *line;            /* IMAP_LINE: without its end, NUL-terminated */
    size_t line_len;
    const char *error; /* IMAP_BAD: static text */
};

struct imap_limits {
    size_t line;     /* bytes of one command, kept literals apart */
    size_t literals; /* bytes of kept literals of one command; more is refused with IMAP_BAD */
    unsigned args;   /* arguments of one command, members of lists counted */
    unsigned depth;  /* of nested lists */
};

struct imap_parser;
struct imap_parser *imap_parser_new(const struct imap_limits *limits);
/* Wipes what it holds. *p may be NULL. */
void imap_parser_free(struct imap_parser **p);
/* Takes bytes and returns how many: all, or up to an event that has not been fetched, or none while
 * a literal waits for its decision or is streamed. */
size_t imap_parser_push(struct imap_parser *p, const void *data, size_t len);
/* What there is, each event once. */
enum imap_event imap_parser_next(struct imap_parser *p, const struct imap_command **cmd);
/* Whether a command has begun and not ended: part of it was taken. */
bool imap_parser_busy(const struct imap_parser *p);
/* After an IMAP_COMMAND (which is wiped): the next line is no command but an answer: of
 * AUTHENTICATE, or DONE. max: bytes, without the end; a longer one is IMAP_BAD. */
void imap_parser_want_line(struct imap_parser *p, size_t max);

/*
 * After IMAP_LITERAL, one of three, before the next push. 0: a client that waits gets its "+ " now;
 * -1: it cannot be taken, IMAP_BAD follows and nothing else is to be answered.
 */
int imap_literal_keep(struct imap_parser *p);
/* From now on the caller takes bytes of its input itself, at most imap_literal_left, and says how
 * many; at 0 the parser goes on. */
int imap_literal_stream(struct imap_parser *p);
uint64_t imap_literal_left(const struct imap_parser *p);
void imap_literal_took(struct imap_parser *p, size_t len);
/* The caller has answered: the rest of the command is skipped; where the literal does not wait, its
 * bytes too. */
void imap_literal_refuse(struct imap_parser *p);

/* Whether an argument is the atom word, ASCII case ignored. NULL is no argument. */
bool imap_arg_is(const struct imap_arg *arg, const char *word);
/* An astring (atom without wildcards and backslash, or string; no NUL byte), or NULL for anything
 * else. */
const char *imap_arg_astring(const struct imap_arg *arg);
/* A mailbox pattern of LIST: an astring that may have * and %. */
const char *imap_arg_pattern(const struct imap_arg *arg);
/* A string or the atom NIL (*out is NULL then): 0, or -1. */
int imap_arg_nstring(const struct imap_arg *arg, const char **out);
/* An atom that is a number from 0 to max: 0, or -1. */
int imap_arg_number(const struct imap_arg *arg, uint64_t max, uint64_t *out);

#endif

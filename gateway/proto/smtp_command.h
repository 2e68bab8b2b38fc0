/*
 * SMTP command lines (RFC 5321 section 4.1): framing, verbs, MAIL and RCPT arguments, xtext.
 *
 * A line ends with CRLF and nothing else. A bare LF, a bare CR or a NUL makes the whole line bad;
 * none of them is ever taken for a line end, so what a front end in another place took for one line
 * is one line here, too.
 */
#ifndef DIRIGO_PROTO_SMTP_COMMAND_H
#define DIRIGO_PROTO_SMTP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/mem.h"
#include "gateway/proto/smtp_address.h"

enum smtp_line_status {
    SMTP_LINE_MORE,     /* all input is consumed and no line is complete */
    SMTP_LINE_READY,    /* a line, without its CRLF */
    SMTP_LINE_TOO_LONG, /* a line that passed the bound has ended; it is dropped */
    SMTP_LINE_BARE_LF,  /* a bare LF came: said at once for each, and the line stays bad */
    SMTP_LINE_BAD,      /* a line with a bare CR or a NUL has ended; it is dropped */
    SMTP_LINE_DROPPED   /* the end of a line whose bare LF was reported: nothing more to say */
};

/* A push/next object; its fields are private. */
struct smtp_lines {
    struct buf held; /* the start of a line whose end has not come */
    size_t max;
    bool last_cr, has_cr, has_nul, has_lf, too_long;
    bool given; /* held was handed out and goes at the next call */
};

/* max: bytes that a line may have, CRLF not counted. */
void smtp_lines_init(struct smtp_lines *l, size_t max);
/* Another bound, from the next byte on. */
void smtp_lines_set_max(struct smtp_lines *l, size_t max);
/* Frees memory and overwrites it: a line may have been a password. */
void smtp_lines_free(struct smtp_lines *l);
/*
 * Looks at len bytes and takes *used of them: at most up to the end of one line. The line is valid
 * until the next call, or until data is.
 */
enum smtp_line_status smtp_lines_next(struct smtp_lines *l, const void *data, size_t len,
                                      size_t *used, const char **line, size_t *line_len);

/* Divides a line into its verb and what follows it, without the spaces around that. */
void smtp_command_split(const char *line, size_t len, const char **verb, size_t *verb_len,
                        const char **arg, size_t *arg_len);

#define SMTP_PARAMS_MAX 16

/* An ESMTP parameter; both strings live in the arena. value is NULL where there is no '='. */
struct smtp_param {
    const char *name; /* upper-case */
    const char *value;
};

struct smtp_path_args {
    struct smtp_address address;
    struct smtp_param params[SMTP_PARAMS_MAX];
    size_t param_count;
};

/* The argument of MAIL (keyword "FROM") and RCPT ("TO"). *error is a static text where it fails.
 * utf8: as in smtp_path_scan. */
enum smtp_syntax smtp_path_args_parse(const char *arg, size_t len, const char *keyword, bool utf8,
                                      struct arena *arena, struct smtp_path_args *out,
                                      const char **error);

/* A date and time of RFC 3339, such as 2026-11-24T23:00:00Z, as wall seconds; -1 for anything else.
 */
int smtp_datetime_parse(const char *s, int64_t *out);

/* RFC 3461 section 4. Decoding appends raw bytes; -1 for a malformed value or past out's bound. */
int smtp_xtext_decode(struct buf *out, const char *s, size_t len);
int smtp_xtext_encode(struct buf *out, const void *data, size_t len);

#endif

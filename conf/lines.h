/*
 * The lines of dirigo.conf: a push/next parser of main.cf's syntax that does no I/O.
 *
 * Push the file's bytes in any portions, call conf_lines_end, and conf_lines_next between and
 * after them. A setting that continues over several lines comes as one.
 */
#ifndef DIRIGO_CONF_LINES_H
#define DIRIGO_CONF_LINES_H

#include <stddef.h>

/* Bounds in bytes; a longer line is a fault and is skipped. */
#define CONF_LINE_MAX ((size_t)64 << 10)

struct conf_lines;

struct conf_line {
    unsigned number;   /* of its first line, from 1 */
    const char *name;  /* what stands before '='; with a fault it may be "" */
    const char *value; /* without white space around it; lines are joined by one space */
    const char *fault; /* NULL, or why this is no setting: "what; what would be right" */
};

struct conf_lines *conf_lines_new(void);
void conf_lines_free(struct conf_lines **p);
void conf_lines_push(struct conf_lines *p, const void *data, size_t len);
void conf_lines_end(struct conf_lines *p);
/* 1 with a line, whose strings are valid until the next call; 0: push more, or done after end. */
int conf_lines_next(struct conf_lines *p, struct conf_line *out);

#endif

/* Texts of parameters into typed values; private to conf/. */
#ifndef DIRIGO_CONF_VALUE_H
#define DIRIGO_CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

/* What conf.c knows of a parameter besides struct conf_param. */
enum conf_type {
    CONF_TYPE_STRING,
    CONF_TYPE_PATH,
    CONF_TYPE_SECRET,
    CONF_TYPE_LIST,
    CONF_TYPE_BOOL,
    CONF_TYPE_INT,
    CONF_TYPE_SIZE,
    CONF_TYPE_TIME,
    CONF_TYPE_ENUM
};

struct conf_desc {
    enum conf_type type;
    size_t offset; /* of the field in struct conf */
    int64_t min, max;
    const char *words; /* CONF_TYPE_ENUM */
};

/*
 * Parses text and stores the value in its field of conf. Strings of the field are text itself,
 * which must live as long; lists are allocated and freed by conf_value_free. 0, or -1 with "what is
 * wrong; what would be right" appended to why.
 */
int conf_value_parse(struct conf *conf, const struct conf_desc *desc, const char *text,
                     struct buf *why);
int conf_value_bool(bool *field, const char *text, struct buf *why);
void conf_value_free(struct conf *conf, const struct conf_desc *desc);

/* The parameter whose name is nearest to a mistyped one, or NULL. */
const char *conf_nearest(const char *name);

/*
 * Replaces $name, ${name} and $(name) by value(name, arg), and $$ by $. 0, or -1 with the fault
 * appended to why. value returns NULL after appending its own fault.
 */
int conf_expand(const char *text, struct buf *out,
                const char *(*value)(const char *name, void *arg, struct buf *why), void *arg,
                struct buf *why);

#endif

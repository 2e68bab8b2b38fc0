/*
 * LDIF (RFC 2849): a push/next parser without I/O, for entries and for changes.
 *
 * ldif_push takes bytes up to the end of one record, ldif_next says whether there is one; at the
 * end of the input ldif_end closes the last record. A faulty record is reported once, with its
 * line, and the parser goes on behind it. Lines may end in LF alone. Values given by URL are
 * refused: nothing is read on behalf of a file.
 */
#ifndef DIRIGO_PROTO_LDIF_H
#define DIRIGO_PROTO_LDIF_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buf.h"

#define LDIF_RECORD_MAX                                                                            \
    ((size_t)16 << 20) /* bytes of names and values; a longer one is a fault                       \
                        */
#define LDIF_NAME_MAX 256

enum ldif_change {
    LDIF_CONTENT, /* an entry: no changetype */
    LDIF_ADD,
    LDIF_DELETE,
    LDIF_MODIFY,
    LDIF_MODRDN
};

enum ldif_op {
    LDIF_OP_VALUE, /* a value: of the entry, or of the modification before it */
    LDIF_OP_ADD,   /* begins a modification of the attribute; no value itself */
    LDIF_OP_DELETE,
    LDIF_OP_REPLACE
};

struct ldif_item {
    enum ldif_op op;
    const char *name; /* with its options, as written */
    const char *value;
    size_t value_len; /* a NUL stands behind it, and may stand inside */
    size_t line;      /* of the first line of the value, from 1 */
};

/* Valid until the next call of ldif_push or ldif_end. */
struct ldif_record {
    const char *dn;
    size_t line; /* where it begins */
    enum ldif_change change;
    const struct ldif_item *items;
    size_t count;
    const char *new_rdn;      /* LDIF_MODRDN */
    const char *new_superior; /* or NULL */
    bool delete_old_rdn;
};

/* Private but for its size: zeros are a parser at the start of a file. */
struct ldif_parser {
    struct buf line;                         /* the logical line at hand */
    struct buf text;                         /* names and values of the record */
    struct buf items;                        /* with offsets, then with pointers */
    size_t number, line_number, record_line; /* of physical lines, from 0 */
    size_t physical;                         /* where the physical line at hand begins in line */
    size_t op_name;                          /* of the modification that is open */
    size_t dn, new_rdn, new_superior;        /* offsets in text, plus 1; 0: none */
    enum ldif_change change;
    bool inside;     /* a physical line has begun */
    bool has_line;   /* a logical line waits for its end */
    bool has_change; /* a changetype was read */
    bool has_version, after_first, has_delete_old, delete_old, op_open;
    bool done;    /* a record has ended */
    bool fetched; /* and was given out */
    const char *fault;
    size_t fault_line;
};

struct ldif_fault {
    size_t line;
    const char *text; /* static */
};

void ldif_free(struct ldif_parser *p);
/* Takes bytes and returns how many: all, or up to the end of a record, which has to be fetched with
 * ldif_next before the next call takes more. */
size_t ldif_push(struct ldif_parser *p, const void *data, size_t len);
/* No more bytes come. */
void ldif_end(struct ldif_parser *p);
/* 1: a record, in *out, once. 0: more bytes are needed. -1: a faulty record, once: see *fault. */
int ldif_next(struct ldif_parser *p, struct ldif_record *out, struct ldif_fault *fault);

#endif

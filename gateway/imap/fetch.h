/* What FETCH asks for: RFC 3501 section 6.4.5. */
#ifndef DIRIGO_IMAP_FETCH_H
#define DIRIGO_IMAP_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/proto/imap_parser.h"

#define FETCH_NUMBERS_MAX 32  /* of one section: as deep as messages are parsed */
#define FETCH_FIELDS_MAX  200 /* of one HEADER.FIELDS */
#define FETCH_ITEMS_MAX   200

enum fetch_type {
    FETCH_FLAGS,
    FETCH_UID,
    FETCH_INTERNALDATE,
    FETCH_SIZE,
    FETCH_ENVELOPE,
    FETCH_BODY, /* BODY without a section */
    FETCH_BODYSTRUCTURE,
    FETCH_SECTION /* BODY[…], and RFC822 and its like under their own names */
};

enum fetch_part {
    PART_ALL,
    PART_HEADER,
    PART_FIELDS,
    PART_FIELDS_NOT,
    PART_TEXT,
    PART_MIME
};

struct fetch_item {
    enum fetch_type type;
    char *label; /* FETCH_SECTION: how the answer names it, "BODY[1.MIME]<0>" */
    bool peek;   /* does not set \Seen */
    enum fetch_part part;
    uint32_t numbers[FETCH_NUMBERS_MAX];
    unsigned number_n;
    char **fields;
    unsigned field_n;
    bool partial;
    uint64_t offset, length;
};

struct fetch_items {
    struct fetch_item *v;
    size_t n;
};

/* arg: the argument behind the sequence set. 0, or -1; freed by fetch_items_free either way. */
int fetch_items_parse(struct fetch_items *out, const struct imap_arg *arg);
void fetch_items_free(struct fetch_items *items);
bool fetch_items_have(const struct fetch_items *items, enum fetch_type type);
void fetch_items_add(struct fetch_items *items, enum fetch_type type);

/* Appends those fields of a header that a HEADER.FIELDS or HEADER.FIELDS.NOT asks for, and the
 * blank line. -1 where out is full. */
int fetch_header_fields(struct buf *out, const struct fetch_item *item, const char *header,
                        size_t len);
/* The size of a message's header, blank line included; len where it has no end. */
size_t fetch_header_size(const char *message, size_t len);

#endif

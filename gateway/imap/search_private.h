/* The program that search_parse.c makes and search_match.c carries out. */
#ifndef DIRIGO_IMAP_SEARCH_PRIVATE_H
#define DIRIGO_IMAP_SEARCH_PRIVATE_H

#include "gateway/imap/search.h"
#include "gateway/imap/seqset.h"

enum search_type {
    SEARCH_AND, /* of list */
    SEARCH_OR,
    SEARCH_ALL,
    SEARCH_FLAGS, /* flags are set */
    SEARCH_RECENT,
    SEARCH_KEYWORD,
    SEARCH_SEQ,
    SEARCH_UID,
    SEARCH_LARGER,
    SEARCH_SMALLER,
    SEARCH_BEFORE, /* number: day */
    SEARCH_ON,
    SEARCH_SINCE,
    /* From here on the message itself is looked at. */
    SEARCH_SENTBEFORE,
    SEARCH_SENTON,
    SEARCH_SENTSINCE,
    SEARCH_HEADER, /* field, needle */
    SEARCH_BODY,
    SEARCH_TEXT
};

struct search_key {
    enum search_type type;
    bool negate;
    bool costly; /* it, or one below it, looks at the message */
    uint8_t flags;
    uint64_t number;
    struct seqset set;
    char *field, *needle;
    struct search_key *list; /* AND, OR */
    struct search_key *next;
};

struct search {
    struct search_key root; /* AND */
};

#endif

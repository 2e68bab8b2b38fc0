/* Shared by profile.c (entries), profile_rules.c (files), profile_set.c (which profiles apply) and
 * profile_table.c (the profiles that apply, as one table). */
#ifndef DIRIGO_DIRECTORY_PROFILE_PRIVATE_H
#define DIRIGO_DIRECTORY_PROFILE_PRIVATE_H

#include "directory/profile.h"
#include "directory/profile_file.h"

/* What an object class says of an entry. */
enum {
    CLASS_PERSON = 1,    /* a user, if it has an address or a login name */
    CLASS_RECIPIENT = 2, /* an alias where it routes, else a user; nothing beside another kind */
    CLASS_GROUP = 4,
    CLASS_DOMAIN = 8,
    CLASS_POLICY = 16,
    CLASS_ALIAS = 32,
    CLASS_CN_ALIAS = 64, /* cn is the name that it answers to */
    CLASS_ACCESS = 128,
    CLASS_RESTRICTIONS = 256,
    CLASS_CONTAINER = 512, /* holds others; kept for its DN where it is nothing else */
    CLASS_PARTNER = 2048,
    CLASS_CONFIG = 4096,
    CLASS_APP_PASSWORD = 8192,
    CLASS_NOTHING = 1024 /* means nothing to mail, whatever the other classes say */
};

/* How a value is taken. */
enum profile_take {
    TAKE_VALUE,
    TAKE_ADDRESS, /* counts as an address of the entry */
    TAKE_NAME,    /* a login name */
    TAKE_CN,
    TAKE_ROUTE,   /* forwards, without a copy unless the delivery mode says "keep" */
    TAKE_FORWARD, /* forwards, with a copy unless the delivery mode says otherwise */
    TAKE_MODE,
    TAKE_STATUS,
    TAKE_QUOTA,
    TAKE_GLOBAL,
    TAKE_SECRET,
    TAKE_CLEAR,       /* a password: kept where it is no hash */
    TAKE_TOTP,        /* a secret; says that there is one */
    TAKE_ONE_TIME,    /* says that there is one, whatever the value */
    TAKE_CERTIFICATE, /* DER, of which the hash is kept */
    TAKE_NOTHING      /* the attribute means something else here */
};

/* What a word of an account's status, or a bit of it, says. */
enum profile_test {
    TEST_WORD,   /* the value is this word (case ignored); "*": any that no other test names */
    TEST_BIT,    /* this bit of a number is set */
    TEST_LETTER, /* this letter is in it */
    TEST_LACKS   /* the attribute has values, and this one is not among them */
};

struct profile_meaning {
    enum profile_test test;
    char *text;
    uint64_t bit;
    const char *meaning; /* "active", "keep" …: a constant */
};

struct profile_row {
    char *name;
    enum entry_attr attr;
    enum profile_take take;
    char *prefix;       /* NULL, or what the value must begin with; it is taken off */
    char *object_class; /* NULL, or the class that the entry must have */
    uint64_t unit;      /* of a quota, in bytes */
    struct profile_meaning *meanings;
    size_t meaning_count;
};

struct profile_class {
    char *name;
    unsigned classes;
};

enum profile_fact {
    FACT_CLASS,      /* the subschema has this object class */
    FACT_ATTRIBUTE,  /* the subschema has this attribute */
    FACT_CAPABILITY, /* the root DSE names this control, extension, feature or capability */
    FACT_COUNT
};

/* One condition of a "detect" statement; all of a statement must hold, and one statement is enough.
 */
struct profile_condition {
    enum profile_fact fact;
    char *name;
    unsigned statement;
    bool met;
};

struct profile {
    char *name;
    unsigned rank;
    struct profile_row *rows;
    size_t row_count;
    struct profile_class *classes;
    size_t class_count;
    struct profile_condition *conditions;
    size_t condition_count;
};

struct profile_set {
    struct profile **profiles; /* by rank, then by name */
    size_t count;
    bool told; /* the server showed something of its schema */
};

/*
 * Reads one statement into p. 0, or -1 with what is wrong and what would be right in fault.
 */
int profile_rule(struct profile *p, const struct profile_statement *st, struct buf *fault);
struct profile *profile_new(const char *name);
void profile_free(struct profile *p);

/* The classes that a word such as "user" stands for; 0: none. */
unsigned profile_class_word(const char *word);
/* The attribute and the way that a logical name stands for; -1: none. */
int profile_logical(const char *name, size_t len, enum entry_attr *attr, enum profile_take *take);

/* ---- the table ---- */

struct profile_slot {
    const char *name;
    const struct profile_row **rows; /* in the order of the profiles; those of one together */
    const unsigned *owner;           /* which profile each one is from */
    size_t count;
    bool conditional; /* one of them depends on the entry's classes */
};

struct profile_table {
    const struct profile **profiles;
    size_t profile_count;
    struct profile_slot *attributes; /* a hash table by name; slots are a power of two */
    size_t attribute_slots;
    const struct profile_class **classes; /* the same */
    size_t class_slots;
    const char **names; /* ended by NULL: "objectClass" and every attribute */
    char *signature;
};

struct profile_table *profile_table_build(const struct profile *const *profiles, size_t count);
const struct profile_slot *profile_table_find(const struct profile_table *t, const char *name,
                                              size_t len);
unsigned profile_table_classes(const struct profile_table *t, const char *name, size_t len);

#endif

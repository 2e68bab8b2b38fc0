/*
 * What a server says of itself: its root DSE, and what stands at search_base. The choice of a
 * source follows from it alone, so it is read without any connection.
 */
#ifndef DIRIGO_DIRECTORY_ROOTDSE_H
#define DIRIGO_DIRECTORY_ROOTDSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/uuid.h"

/* The attribute that names an entry for ever. */
enum entry_key {
    KEY_NONE,
    KEY_ENTRY_UUID,   /* RFC 4530 */
    KEY_NS_UNIQUE_ID, /* 389 Directory Server and its relatives */
    KEY_OBJECT_GUID   /* Active Directory */
};

enum source_choice {
    CHOICE_SYNC,
    CHOICE_POLL,
    CHOICE_LOOKUP,
    CHOICE_NONE /* the server does not have what the source that is named needs */
};

struct rootdse {
    bool sync_control, paged_control, show_deleted_control;
    bool active_directory;
    bool ns_vendor; /* 389 Directory Server: its sync names entries by nsUniqueId */
    uint64_t usn;   /* highestCommittedUSN */
    char vendor[128];
    char ds_service[512];     /* DN of an Active Directory server's settings */
    char naming_context[512]; /* defaultNamingContext */
    /* Of the entry at search_base. */
    bool has_entry_uuid, has_ns_unique_id, has_object_guid, has_timestamp;
};

/* The attributes to ask the root DSE and search_base for; ended by NULL. */
extern const char *const rootdse_attributes[];
extern const char *const rootdse_base_attributes[];
/* A value of the root DSE; what is not known is ignored. */
void rootdse_value(struct rootdse *d, const char *name, size_t name_len, const char *value,
                   size_t len);
/* That the entry at search_base has an attribute. */
void rootdse_base_value(struct rootdse *d, const char *name, size_t name_len);

/* directory_source = word ("auto", "sync", "poll", "lookup"); no_sync: the server refused the
 * control. */
enum source_choice rootdse_choose(const struct rootdse *d, const char *word, bool no_sync);
/* How that source names entries. */
enum entry_key rootdse_key(const struct rootdse *d);

const char *entry_key_attribute(enum entry_key key);
/*
 * A value of the key attribute. objectGUID is 16 bytes whose first three fields have the least byte
 * first; they are turned round, so that the text is what the directory's own tools show.
 * nsUniqueId is four groups of eight hexadecimal digits. -1: malformed.
 */
int entry_key_parse(enum entry_key key, const char *value, size_t len, struct uuid *out);
/* Appends to a filter (RFC 4515) the assertion that an entry has the key. */
struct buf;
void entry_key_filter(enum entry_key key, const struct uuid *u, struct buf *out);

#endif

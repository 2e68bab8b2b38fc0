/*
 * The values of RFC 4533's controls and messages: BER from the server, read strictly and without
 * any connection. Strings point into the value that was read.
 */
#ifndef DIRIGO_DIRECTORY_SYNCMSG_H
#define DIRIGO_DIRECTORY_SYNCMSG_H

#include <lber.h>
#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buf.h"
#include "gateway/base/uuid.h"

/* A cookie longer than this is no cookie of a server that means well. */
#define SYNC_COOKIE_MAX 65536

/* Section 2.2: the sync request value (mode refreshAndPersist) for a cookie that may be empty. */
int sync_request_encode(const struct buf *cookie, struct buf *out);

/*
 * Takes a newer cookie into the one at hand. Where several providers write one directory, OpenLDAP
 * tells with a change the CSN of its own provider alone ("rid=…,sid=…,csn=…"), and a cookie without
 * the others' would bring everything again: so each provider's newest CSN is kept. A cookie of any
 * other form replaces what is there.
 */
void sync_cookie_merge(struct buf *cookie, const struct berval *newer);

enum sync_state {
    SYNC_PRESENT,
    SYNC_ADD,
    SYNC_MODIFY,
    SYNC_DELETE
};
/* Section 2.3, of an entry. */
struct sync_entry {
    enum sync_state state;
    struct uuid uuid;
    struct berval cookie; /* empty: none */
};
int sync_entry_parse(const struct berval *value, struct sync_entry *out);

enum sync_info_kind {
    SYNC_NEW_COOKIE,
    SYNC_REFRESH_DELETE,  /* the delete phase ends */
    SYNC_REFRESH_PRESENT, /* the present phase ends: what was not shown is gone */
    SYNC_ID_SET
};
/* Section 2.5, the intermediate message. */
struct sync_info {
    enum sync_info_kind kind;
    struct berval cookie; /* empty: none */
    bool refresh_done;    /* of the two refresh kinds */
    bool deletes;         /* SYNC_ID_SET: these were deleted, else they are present */
    struct berval set;    /* SYNC_ID_SET: for sync_info_uuids */
};
int sync_info_parse(const struct berval *value, struct sync_info *out);
/* Calls fn for each uuid of an id set; -1 where it is malformed. */
int sync_info_uuids(const struct sync_info *info, void (*fn)(const struct uuid *u, void *arg),
                    void *arg);

#endif

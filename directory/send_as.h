/*
 * Who may send as whom: one pure function on a snapshot, for envelope and header senders alike.
 */
#ifndef DIRIGO_DIRECTORY_SEND_AS_H
#define DIRIGO_DIRECTORY_SEND_AS_H

#include "directory/client.h"
#include "gateway/base/mem.h"

struct send_right {
    bool owned;      /* somebody here has the address: a user, an alias or a group */
    const char *how; /* found: by what right; else why not; in words for a log line */
    const char *dn;  /* the entry that has the address, or that nobody can tell of; or NULL */
    const char *via; /* found: the value of dn that grants it (a DN or an address), or NULL */
};

/*
 * Whether login may send as address (local@domain without angle brackets, in $myorigin without a
 * domain). login NULL: nobody has logged in, and nothing is ever found.
 *
 * FOUND: the address is login's own, with or without +detail, also one in a foreign domain that its
 * entry names; or an alias leads to login by address; or the entry that has the address (a person
 * who delegates, or a group) names login, or a group that login is a member of, as one who may send
 * as it (dirigoSendAs, publicDelegates, kolabDelegate). ABSENT: it may not; out->owned says whether
 * anybody here could. UNKNOWN: nobody can tell now, a temporary failure. Granted rights are known
 * as long as logins are (directory_stale_login_time). Membership in a group or being its catch-all
 * is no right by itself.
 *
 * Texts in *out live in arena or the snapshot.
 */
enum answer may_send_as(struct snapshot *snap, const struct uuid *login, const char *address,
                        struct arena *arena, struct send_right *out);

#endif

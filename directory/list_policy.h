/*
 * Who may send to a group that is a list, by the attributes that Netscape's messaging server made
 * known (mgrp*): one pure function of an entry, a sender and a snapshot.
 */
#ifndef DIRIGO_DIRECTORY_LIST_POLICY_H
#define DIRIGO_DIRECTORY_LIST_POLICY_H

#include "directory/client.h"
#include "gateway/base/mem.h"

struct list_sender {
    const char *address;      /* of the envelope, with a domain; "" for <> */
    const struct uuid *login; /* who has logged in, or NULL */
    uint64_t size;            /* of the message as far as it is known; 0: not at all */
};

enum list_verdict {
    LIST_ACCEPTS,
    LIST_REFUSES,
    LIST_MODERATES, /* the moderators decide */
    LIST_UNKNOWN    /* nobody can tell now: a temporary failure */
};

struct list_decision {
    enum list_verdict verdict;
    unsigned code; /* of the reply, where it refuses */
    const char *status;
    const char *text;
    const char *rule;      /* the attribute that decided, or NULL */
    const char *dn;        /* the group */
    uint64_t max_size;     /* of a message for it, in bytes; 0: any */
    const char *errors_to; /* the envelope sender of what goes to the members; NULL: as it is */
};

/* Whether the entry has anything to say about who may send to it, how much, or what becomes of
 * it. */
bool list_has_policy(const struct entry *group);

/*
 * In this order: mgrpMsgMaxSize; mgrpBroadcasterPolicy; a moderator may always send;
 * mgrpDisallowedBroadcaster and mgrpDisallowedDomain; mgrpAllowedBroadcaster, mgrpAllowedDomain and
 * dirigoListAccess (accessPolicy), one of which is enough; then, where there are moderators, theirs
 * is the decision; else whoever is not allowed is refused if somebody is. What is refused for its
 * sender goes to the moderators where mgrpMsgRejectAction says so. A message from <> is never
 * moderated. Texts in *out live in arena or the snapshot.
 */
void list_policy(struct snapshot *snap, const struct entry *group, const struct list_sender *from,
                 struct arena *arena, struct list_decision *out);

#endif

/* Membership seen from the member: no group is expanded. */
#ifndef DIRIGO_DIRECTORY_MEMBER_H
#define DIRIGO_DIRECTORY_MEMBER_H

#include "directory/client.h"

/* Groups of one entry that are looked at, nested ones included; past it the answer is unknown. */
#define MEMBER_GROUPS_MAX 256

/* The groups of one entry, nearest first, as they are found. */
struct member_groups {
    struct uuid list[MEMBER_GROUPS_MAX];
    size_t count;
    bool cut; /* there were more */
};

/*
 * Appends the groups that name e as a member, by its DN or by an address of its own, and are not in
 * the list. 0, or -1 where they cannot be read.
 */
int member_groups_of(struct snapshot *snap, const struct entry *e, struct member_groups *groups);

/* Whether group names e as a member, directly or through groups in it. */
enum answer member_of(struct snapshot *snap, const struct entry *e, const struct entry *group);

#endif

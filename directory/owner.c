#include <string.h>

#include "directory/locate.h"
#include "directory/replica.h"
#include "directory/resolve.h"

/* An alias belongs to those whose mailboxes it leads to. */
static enum answer alias_owner(struct snapshot *snap, const char *address, const struct uuid *login,
                               struct arena *arena, bool *owns)
{
    struct resolution res;
    resolve_address(snap, address, false, arena, &res);
    if (res.answer == ANSWER_UNKNOWN)
        return ANSWER_UNKNOWN;
    for (size_t i = 0; res.answer == ANSWER_FOUND && login != NULL && i < res.count; i++)
        if (res.deliveries[i].kind != DELIVERY_REMOTE && uuid_eq(&res.deliveries[i].owner, login))
            *owns = true;
    return ANSWER_FOUND;
}

enum answer address_owner(struct snapshot *snap, const char *address, const struct uuid *login,
                          struct arena *arena, bool *owns)
{
    struct address a;
    struct located at;
    *owns = false;
    if (address_parse(&a, address) < 0)
        return ANSWER_ABSENT;
    if (a.domain[0] == '\0' && address_domain(a.domain, snapshot_conf(snap)->myorigin) < 0)
        return ANSWER_ABSENT;
    enum answer answer = locate(snap, &a, arena, &at);
    if (answer != ANSWER_FOUND)
        return answer;
    if (at.as != LOCATED_ENTRY)
        return ANSWER_ABSENT;
    unsigned kinds = entry_kinds(at.entry);
    if ((kinds & ENTRY_USER) != 0)
        *owns = login != NULL && uuid_eq(entry_uuid(at.entry), login);
    else if ((kinds & ENTRY_GROUP) == 0)
        return alias_owner(snap, address, login, arena, owns);
    return ANSWER_FOUND;
}

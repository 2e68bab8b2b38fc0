#include "directory/member.h"

#include <string.h>

#include "directory/address.h"
#include "directory/replica.h"

static bool listed(const struct member_groups *groups, const struct uuid *u)
{
    for (size_t i = 0; i < groups->count; i++)
        if (uuid_eq(&groups->list[i], u))
            return true;
    return false;
}

static int add_by_key(struct snapshot *snap, const struct index_key *key,
                      struct member_groups *groups)
{
    struct uuid found[MEMBER_GROUPS_MAX];
    int n = snapshot_list(snap, key, found, MEMBER_GROUPS_MAX);
    groups->cut = groups->cut || n == MEMBER_GROUPS_MAX;
    for (int i = 0; i < n; i++) {
        if (listed(groups, &found[i]))
            continue;
        if (groups->count == MEMBER_GROUPS_MAX) {
            groups->cut = true;
            break;
        }
        groups->list[groups->count++] = found[i];
    }
    return n < 0 ? -1 : 0;
}

int member_groups_of(struct snapshot *snap, const struct entry *e, struct member_groups *groups)
{
    static const enum entry_attr attrs[] = {ATTR_MAIL, ATTR_MAIL_ALTERNATE};
    struct index_key key;
    const char *value;
    if (index_key_dn(&key, INDEX_MEMBER, entry_dn(e)) == 0 && add_by_key(snap, &key, groups) < 0)
        return -1;
    for (size_t k = 0; k < sizeof attrs / sizeof attrs[0]; k++) {
        for (size_t i = 0; (value = entry_value(e, attrs[k], i)) != NULL; i++) {
            struct address address;
            char fold[ADDRESS_STRLEN];
            if (address_parse(&address, value) < 0 || address.domain[0] == '\0')
                continue;
            index_key(&key, INDEX_MEMBER_ADDRESS, fold, address_fold(&address, fold));
            if (add_by_key(snap, &key, groups) < 0)
                return -1;
        }
    }
    return 0;
}

enum answer member_of(struct snapshot *snap, const struct entry *e, const struct entry *group)
{
    struct member_groups groups = {.count = 0};
    if (!snapshot_fresh_for_lookup(snap) || member_groups_of(snap, e, &groups) < 0)
        return ANSWER_UNKNOWN;
    for (size_t i = 0; i < groups.count; i++) {
        const struct entry *up;
        if (uuid_eq(&groups.list[i], entry_uuid(group)))
            return ANSWER_FOUND;
        if (entry_by_uuid(snap, &groups.list[i], &up) != ANSWER_FOUND ||
            member_groups_of(snap, up, &groups) < 0)
            return ANSWER_UNKNOWN;
    }
    return groups.cut ? ANSWER_UNKNOWN : snapshot_absent(snap);
}

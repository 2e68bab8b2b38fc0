#include "directory/send_as.h"

#include <string.h>

#include "directory/locate.h"
#include "directory/member.h"
#include "directory/replica.h"
#include "gateway/base/str.h"

/* Targets of aliases that one question looks at. */
#define TARGETS_MAX 1000

struct question {
    struct snapshot *snap;
    struct arena *arena;
    const struct entry *login;
    unsigned targets;
};

/* An address as text to the entry that owns it: ABSENT also where it is foreign or a catch-all's.
 */
static enum answer owner_of(struct snapshot *snap, const char *text, struct arena *arena,
                            struct located *at)
{
    struct address a;
    memset(at, 0, sizeof *at);
    if (address_parse(&a, text) < 0 ||
        (a.domain[0] == '\0' && address_domain(a.domain, snapshot_conf(snap)->myorigin) < 0))
        return ANSWER_ABSENT;
    enum answer answer = locate(snap, &a, arena, at);
    return answer == ANSWER_FOUND && at->as != LOCATED_ENTRY ? ANSWER_ABSENT : answer;
}

static bool is_login(const struct question *q, const struct entry *e)
{
    return uuid_eq(entry_uuid(e), entry_uuid(q->login));
}

/* FOUND beats UNKNOWN beats ABSENT: one way is enough, and no way is certain only when all are. */
static enum answer either(enum answer a, enum answer b)
{
    if (a == ANSWER_FOUND || b == ANSWER_FOUND)
        return ANSWER_FOUND;
    return a == ANSWER_UNKNOWN ? a : b;
}

/* Whether an alias leads to login, through other aliases but through no group. */
static enum answer leads_to_login(struct question *q, const struct entry *alias, int64_t depth)
{
    static const enum entry_attr attrs[] = {ATTR_ROUTING_ADDRESS, ATTR_MEMBER_ADDRESS};
    enum answer answer = ANSWER_ABSENT;
    const char *value;
    if (depth > snapshot_conf(q->snap)->alias_depth_limit)
        return ANSWER_UNKNOWN;
    for (size_t k = 0; k < sizeof attrs / sizeof attrs[0]; k++) {
        for (size_t i = 0; (value = entry_value(alias, attrs[k], i)) != NULL; i++) {
            struct located at;
            if (q->targets++ == TARGETS_MAX)
                return ANSWER_UNKNOWN;
            enum answer one = owner_of(q->snap, value, q->arena, &at);
            if (one == ANSWER_FOUND && (entry_kinds(at.entry) & ENTRY_USER) != 0)
                one = is_login(q, at.entry) ? ANSWER_FOUND : ANSWER_ABSENT;
            else if (one == ANSWER_FOUND && (entry_kinds(at.entry) & ENTRY_GROUP) == 0)
                one = leads_to_login(q, at.entry, depth + 1);
            else if (one == ANSWER_FOUND)
                one = ANSWER_ABSENT;
            answer = either(answer, one);
            if (answer == ANSWER_FOUND)
                return answer;
        }
    }
    return answer;
}

/* Whether an entry that a right is given to is login, or a group that holds it. */
static enum answer includes_login(struct question *q, const struct entry *grantee)
{
    if (is_login(q, grantee))
        return ANSWER_FOUND;
    if ((entry_kinds(grantee) & ENTRY_GROUP) == 0)
        return ANSWER_ABSENT;
    return member_of(q->snap, q->login, grantee);
}

/* The rights that the owner of the address has given. */
static enum answer granted(struct question *q, const struct entry *owner, struct send_right *out)
{
    static const enum entry_attr attrs[] = {ATTR_SEND_AS, ATTR_SEND_AS_ADDRESS};
    enum answer answer = ANSWER_ABSENT;
    const char *value;
    for (size_t k = 0; k < sizeof attrs / sizeof attrs[0]; k++) {
        for (size_t i = 0; (value = entry_value(owner, attrs[k], i)) != NULL; i++) {
            struct located at = {.entry = NULL};
            enum answer one = attrs[k] == ATTR_SEND_AS ? entry_by_dn(q->snap, value, &at.entry)
                                                       : owner_of(q->snap, value, q->arena, &at);
            if (one == ANSWER_FOUND)
                one = includes_login(q, at.entry);
            /* A right that may have been taken away since is nobody's to use. */
            if (one == ANSWER_FOUND && !snapshot_fresh_for_login(q->snap))
                one = ANSWER_UNKNOWN;
            answer = either(answer, one);
            if (answer == ANSWER_FOUND) {
                out->via = value;
                return answer;
            }
        }
    }
    return answer;
}

/* An address that no domain of ours has may still be one that the user's own entry names. */
static bool names_foreign(const struct entry *login, const char *text)
{
    static const enum entry_attr attrs[] = {ATTR_MAIL, ATTR_MAIL_ALTERNATE};
    char wanted[ADDRESS_STRLEN], fold[ADDRESS_STRLEN];
    struct address a;
    const char *value;
    if (address_parse(&a, text) < 0 || a.domain[0] == '\0')
        return false;
    size_t len = address_fold(&a, wanted);
    for (size_t k = 0; k < sizeof attrs / sizeof attrs[0]; k++)
        for (size_t i = 0; (value = entry_value(login, attrs[k], i)) != NULL; i++)
            if (address_parse(&a, value) == 0 && address_fold(&a, fold) == len &&
                memcmp(fold, wanted, len) == 0)
                return true;
    return false;
}

static enum answer say(struct send_right *out, enum answer answer, const char *how, const char *dn)
{
    out->how = how;
    out->dn = dn;
    return answer;
}

/* The address has an owner, and login is somebody. */
static enum answer judge(struct question *q, const struct entry *owner, struct send_right *out)
{
    unsigned kinds = entry_kinds(owner);
    const char *dn = entry_dn(owner);
    enum answer by_alias = ANSWER_ABSENT;
    if (is_login(q, owner))
        return say(out, ANSWER_FOUND, "the user's own address", dn);
    if ((kinds & (ENTRY_USER | ENTRY_GROUP)) == 0)
        by_alias = leads_to_login(q, owner, 0);
    if (by_alias == ANSWER_FOUND)
        return say(out, ANSWER_FOUND, "an alias that leads to the user", dn);
    switch (either(granted(q, owner, out), by_alias)) {
    case ANSWER_FOUND:
        return say(out, ANSWER_FOUND, "a right to send as it", dn);
    case ANSWER_UNKNOWN:
        return say(out, ANSWER_UNKNOWN, "whether there is a right to send as it is not known now",
                   dn);
    default:
        return say(out, ANSWER_ABSENT, "the address is not the user's, nor a right to send as it",
                   dn);
    }
}

enum answer may_send_as(struct snapshot *snap, const struct uuid *login, const char *address,
                        struct arena *arena, struct send_right *out)
{
    struct question q = {.snap = snap, .arena = arena};
    struct located at;
    *out = (struct send_right){.owned = false};
    enum answer answer = owner_of(snap, address, arena, &at);
    if (answer == ANSWER_UNKNOWN)
        return say(out, ANSWER_UNKNOWN, at.reason, at.dn);
    out->owned = answer == ANSWER_FOUND;
    const char *dn = out->owned ? entry_dn(at.entry) : at.dn;
    if (login == NULL)
        return say(out, ANSWER_ABSENT, "nobody has logged in", dn);
    if (out->owned && uuid_eq(entry_uuid(at.entry), login))
        return say(out, ANSWER_FOUND, "the user's own address", dn);
    answer = entry_by_uuid(snap, login, &q.login);
    if (answer == ANSWER_UNKNOWN)
        return say(out, ANSWER_UNKNOWN, "the user is not known now", dn);
    if (answer == ANSWER_ABSENT)
        return say(out, ANSWER_ABSENT, "the user is not in the directory", dn);
    if (out->owned)
        return judge(&q, at.entry, out);
    if (!at.local_domain && names_foreign(q.login, address))
        return say(out, ANSWER_FOUND, "the user's own address", entry_dn(q.login));
    return say(out, ANSWER_ABSENT, "nobody here has this address", dn);
}

/*
 * Acting for others (the authorisation identity of RFC 4422 section 2): who logs in as himself may
 * ask to be somebody else. Two ways lead there, both in the directory: the other entry names him,
 * or a group that he is in, as its dirigoDelegate; or he is in auth_admin_group.
 */
#include "directory/member.h"
#include "sasl/auth.h"

/* Whether a DN is the actor's, or that of a group that he is in. */
static enum answer is_or_holds(struct snapshot *snap, const char *dn, const struct entry *actor)
{
    const struct entry *e;
    enum answer answer = entry_by_dn(snap, dn, &e);
    if (answer != ANSWER_FOUND || uuid_eq(entry_uuid(e), entry_uuid(actor)))
        return answer;
    if ((entry_kinds(e) & (ENTRY_GROUP | ENTRY_DISABLED)) != ENTRY_GROUP)
        return ANSWER_ABSENT;
    return member_of(snap, actor, e);
}

static enum answer may_act(struct auth_process *p, struct snapshot *snap, const struct login *actor,
                           const struct login *target, const char **by)
{
    const struct entry *who, *whom;
    const char *dn;
    enum answer answer = entry_by_uuid(snap, &actor->owner, &who);
    if (answer == ANSWER_FOUND)
        answer = entry_by_uuid(snap, &target->owner, &whom);
    if (answer != ANSWER_FOUND)
        return ANSWER_UNKNOWN; /* it was there a moment ago */
    *by = "dirigoDelegate";
    for (size_t i = 0; (dn = entry_value(whom, ATTR_DELEGATE, i)) != NULL; i++)
        if ((answer = is_or_holds(snap, dn, who)) != ANSWER_ABSENT)
            return answer;
    *by = "auth_admin_group";
    dn = p->conf->auth_admin_group;
    return *dn == '\0' ? ANSWER_ABSENT : is_or_holds(snap, dn, who);
}

enum login_answer act_for(struct auth_process *p, const struct login *actor,
                          const struct login *target, const char **by, const char **why)
{
    struct snapshot *snap = snapshot_take(p->directory);
    enum answer answer = snap == NULL ? ANSWER_UNKNOWN : may_act(p, snap, actor, target, by);
    snapshot_release(&snap);
    switch (answer) {
    case ANSWER_FOUND:
        return LOGIN_FOUND;
    case ANSWER_ABSENT:
        *why = "may not act for the other";
        return LOGIN_REFUSED;
    case ANSWER_UNKNOWN:
        break;
    }
    *why = "the directory cannot say who may act for whom";
    return LOGIN_UNKNOWN;
}

#include <string.h>

#include "directory/locate.h"
#include "directory/member.h"
#include "directory/replica.h"
#include "directory/resolve.h"

struct search {
    struct snapshot *snap;
    enum entry_attr attr;
    const char **text;
    const char **dn;
};

/* A list of the policy: FOUND; ABSENT: it leaves this stage to the next level. */
static enum answer use_policy(struct search *s, const struct entry *policy)
{
    const char *text = entry_value(policy, s->attr, 0);
    if (text == NULL)
        return ANSWER_ABSENT;
    *s->text = text;
    *s->dn = entry_dn(policy);
    return ANSWER_FOUND;
}

/* The policy that an entry names. One that is named and not there is unknown, not nothing: mail is
 * put off until the directory is mended, rather than let through by a weaker level. */
static enum answer policy_of(struct search *s, const struct entry *e)
{
    const char *name = e == NULL ? NULL : entry_value(e, ATTR_POLICY, 0);
    const struct entry *policy;
    if (name == NULL)
        return ANSWER_ABSENT;
    *s->dn = name;
    if (entry_by_dn(s->snap, name, &policy) != ANSWER_FOUND ||
        (entry_kinds(policy) & ENTRY_POLICY) == 0)
        return ANSWER_UNKNOWN;
    return use_policy(s, policy);
}

/* Of the groups [from, to) the one whose DN sorts first decides, so that the choice is always one.
 */
static enum answer policy_of_level(struct search *s, const struct uuid *list, size_t from,
                                   size_t to)
{
    const struct entry *best = NULL, *e;
    for (size_t i = from; i < to; i++) {
        if (entry_by_uuid(s->snap, &list[i], &e) != ANSWER_FOUND)
            return ANSWER_UNKNOWN;
        if (entry_count(e, ATTR_POLICY) > 0 &&
            (best == NULL || strcmp(entry_dn(e), entry_dn(best)) < 0))
            best = e;
    }
    return policy_of(s, best);
}

/* Groups that hold the entry, then groups that hold those, nearest first. */
static enum answer policy_of_groups(struct search *s, const struct entry *e)
{
    struct member_groups groups = {.count = 0};
    size_t from = 0;
    if (member_groups_of(s->snap, e, &groups) < 0)
        return ANSWER_UNKNOWN;
    while (from < groups.count) {
        size_t to = groups.count;
        enum answer answer = policy_of_level(s, groups.list, from, to);
        if (answer != ANSWER_ABSENT)
            return answer;
        for (; from < to; from++) {
            const struct entry *group;
            if (entry_by_uuid(s->snap, &groups.list[from], &group) != ANSWER_FOUND ||
                member_groups_of(s->snap, group, &groups) < 0)
                return ANSWER_UNKNOWN;
        }
    }
    return ANSWER_ABSENT;
}

static enum answer policy_of_address(struct search *s, const char *address, struct arena *arena)
{
    struct address a;
    struct located at;
    if (address_parse(&a, address) < 0)
        return ANSWER_ABSENT;
    if (a.domain[0] == '\0' && address_domain(a.domain, snapshot_conf(s->snap)->myorigin) < 0)
        a.domain[0] = '\0';
    enum answer answer = locate(s->snap, &a, arena, &at);
    if (answer == ANSWER_UNKNOWN) {
        *s->dn = at.dn;
        return ANSWER_UNKNOWN;
    }
    if (!at.local_domain)
        return ANSWER_ABSENT;
    if (answer == ANSWER_FOUND && at.as == LOCATED_ENTRY) {
        answer = policy_of(s, at.entry);
        if (answer == ANSWER_ABSENT)
            answer = policy_of_groups(s, at.entry);
        if (answer != ANSWER_ABSENT)
            return answer;
    }
    return policy_of(s, at.domain);
}

static enum answer policy_of_all(struct search *s)
{
    const struct entry *policy[2];
    struct index_key key;
    index_key(&key, INDEX_GLOBAL, NULL, 0);
    int n = snapshot_find(s->snap, &key, ENTRY_POLICY, policy);
    if (n == 0)
        return ANSWER_ABSENT;
    *s->dn = n > 0 ? entry_dn(policy[0]) : NULL;
    return n == 1 ? use_policy(s, policy[0]) : ANSWER_UNKNOWN;
}

static const struct conf_list *list_of(const struct conf *conf, enum entry_attr attr)
{
    switch (attr) {
    case ATTR_CLIENT_RESTRICTIONS:
        return &conf->smtpd_client_restrictions;
    case ATTR_HELO_RESTRICTIONS:
        return &conf->smtpd_helo_restrictions;
    case ATTR_SENDER_RESTRICTIONS:
        return &conf->smtpd_sender_restrictions;
    case ATTR_RELAY_RESTRICTIONS:
        return &conf->smtpd_relay_restrictions;
    case ATTR_RECIPIENT_RESTRICTIONS:
        return &conf->smtpd_recipient_restrictions;
    case ATTR_END_OF_DATA_RESTRICTIONS:
        return &conf->smtpd_end_of_data_restrictions;
    case ATTR_ETRN_RESTRICTIONS:
        return &conf->smtpd_etrn_restrictions;
    default:
        return &conf->smtpd_data_restrictions;
    }
}

static enum answer policy_of_conf(struct search *s, struct arena *arena)
{
    const struct conf_list *list = list_of(snapshot_conf(s->snap), s->attr);
    const char *text = list->n > 0 ? list->v[0] : "";
    for (size_t i = 1; i < list->n && text != NULL; i++)
        text = arena_printf(arena, "%s, %s", text, list->v[i]);
    *s->text = text;
    *s->dn = NULL;
    return text != NULL ? ANSWER_FOUND : ANSWER_UNKNOWN;
}

enum answer policy_restrictions(struct snapshot *snap, const char *address, enum entry_attr attr,
                                struct arena *arena, const char **text, const char **dn)
{
    struct search s = {.snap = snap, .attr = attr, .text = text, .dn = dn};
    *text = NULL;
    *dn = NULL;
    if (!snapshot_fresh_for_lookup(snap))
        return ANSWER_UNKNOWN;
    enum answer answer = address == NULL ? ANSWER_ABSENT : policy_of_address(&s, address, arena);
    if (answer == ANSWER_ABSENT)
        answer = policy_of_all(&s);
    return answer == ANSWER_ABSENT ? policy_of_conf(&s, arena) : answer;
}

bool policy_anywhere(struct snapshot *snap, enum entry_attr attr)
{
    const struct entry *e[2];
    char byte = (char)attr;
    struct index_key key;
    if (list_of(snapshot_conf(snap), attr)->n > 0 || !snapshot_fresh_for_lookup(snap))
        return true;
    index_key(&key, INDEX_STAGE, &byte, 1);
    return snapshot_find(snap, &key, ENTRY_POLICY, e) != 0;
}

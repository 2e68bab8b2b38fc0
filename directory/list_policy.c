#include "directory/list_policy.h"

#include <stdlib.h>
#include <string.h>

#include "directory/locate.h"
#include "directory/member.h"
#include "directory/memberurl.h"
#include "directory/replica.h"
#include "gateway/base/str.h"

/* What attributes of the group ask of one sender. */
struct posting {
    struct snapshot *snap;
    const struct entry *group;
    const struct list_sender *from;
    struct arena *arena;
    const struct entry *who[2]; /* the entries of the login and of the sender's address, or NULL */
    size_t who_count;
};

bool list_has_policy(const struct entry *group)
{
    for (enum entry_attr a = ATTR_LIST_ALLOWED; a <= ATTR_LIST_ERRORS_TO; a++)
        if (entry_count(group, a) > 0)
            return true;
    return false;
}

/* FOUND beats UNKNOWN beats ABSENT. */
static enum answer either(enum answer a, enum answer b)
{
    if (a == ANSWER_FOUND || b == ANSWER_FOUND)
        return ANSWER_FOUND;
    return a == ANSWER_UNKNOWN ? a : b;
}

/* The entry that an address belongs to; ABSENT also for a foreign one and a catch-all's. */
static enum answer owner_of(const struct posting *p, const char *text, const struct entry **e)
{
    struct address a;
    struct located at;
    if (address_parse(&a, text) < 0 || a.domain[0] == '\0')
        return ANSWER_ABSENT;
    enum answer answer = locate(p->snap, &a, p->arena, &at);
    if (answer == ANSWER_FOUND && at.as != LOCATED_ENTRY)
        return ANSWER_ABSENT;
    *e = at.entry;
    return answer;
}

/* Whether the sender is that entry, or a member of it. */
static enum answer is_sender(const struct posting *p, const struct entry *e)
{
    enum answer answer = ANSWER_ABSENT;
    for (size_t i = 0; i < p->who_count; i++) {
        if (uuid_eq(entry_uuid(e), entry_uuid(p->who[i])))
            return ANSWER_FOUND;
        if ((entry_kinds(e) & ENTRY_GROUP) != 0)
            answer = either(answer, member_of(p->snap, p->who[i], e));
    }
    return answer;
}

/* A member by address may be somebody without an entry. */
static enum answer is_member_address(const struct posting *p, const struct entry *group)
{
    char wanted[ADDRESS_STRLEN];
    struct index_key key;
    struct address a;
    struct uuid groups[MEMBER_GROUPS_MAX];
    if (address_parse(&a, p->from->address) < 0)
        return ANSWER_ABSENT;
    index_key(&key, INDEX_MEMBER_ADDRESS, wanted, address_fold(&a, wanted));
    int n = snapshot_list(p->snap, &key, groups, MEMBER_GROUPS_MAX);
    for (int i = 0; i < n; i++)
        if (uuid_eq(&groups[i], entry_uuid(group)))
            return ANSWER_FOUND;
    return n < 0 || n == MEMBER_GROUPS_MAX ? ANSWER_UNKNOWN : ANSWER_ABSENT;
}

static enum answer is_member(const struct posting *p, const struct entry *group)
{
    return either(is_member_address(p, group), is_sender(p, group));
}

static bool same_address(const char *a, const char *b)
{
    struct address x, y;
    char fold[2][ADDRESS_STRLEN];
    return address_parse(&x, a) == 0 && address_parse(&y, b) == 0 &&
           address_fold(&x, fold[0]) == address_fold(&y, fold[1]) &&
           memcmp(fold[0], fold[1], address_fold(&x, fold[0])) == 0;
}

static enum answer matches_address(const struct posting *p, const char *address)
{
    const struct entry *e;
    if (same_address(address, p->from->address))
        return ANSWER_FOUND;
    enum answer answer = owner_of(p, address, &e);
    if (answer != ANSWER_FOUND)
        return answer;
    return (entry_kinds(e) & ENTRY_GROUP) != 0 ? is_member(p, e) : is_sender(p, e);
}

static enum answer matches_dn(const struct posting *p, const char *dn)
{
    const struct entry *e;
    enum answer answer = entry_by_dn(p->snap, dn, &e);
    if (answer != ANSWER_FOUND)
        return answer;
    return (entry_kinds(e) & ENTRY_GROUP) != 0 ? is_member(p, e) : is_sender(p, e);
}

/* Whether the sender's entry stands below a name, at any depth. */
static bool is_below(const struct posting *p, const char *base)
{
    char wanted[DN_MAX], dn[DN_MAX];
    int len = dn_normalize(base, wanted);
    for (size_t i = 0; len > 0 && i < p->who_count; i++) {
        int n = dn_normalize(entry_dn(p->who[i]), dn);
        if (n > len && dn[n - len - 1] == ',' && strcmp(dn + n - len, wanted) == 0)
            return true;
    }
    return false;
}

/* "ldap:///DN" is that entry, with the scope "sub" whatever stands below it. A search for more is
 * not made for each message: nobody can tell. */
static enum answer matches_url(const struct posting *p, const char *text)
{
    struct memberurl *url = arena_alloc(p->arena, sizeof *url);
    if (url == NULL)
        return ANSWER_UNKNOWN;
    if (memberurl_parse(url, text) != NULL) /* as the first servers had it: ldap://DN */
        return strchr(text + 7, '=') != NULL ? matches_dn(p, text + 7) : ANSWER_UNKNOWN;
    if (url->scope == MEMBERURL_BASE)
        return matches_dn(p, url->base);
    if (!str_ieq(url->filter, "(objectClass=*)"))
        return ANSWER_UNKNOWN;
    return is_below(p, url->base) ? ANSWER_FOUND : ANSWER_ABSENT;
}

/* A value of mgrpAllowedBroadcaster and its like: an address, "mailto:" before it or not, an LDAP
 * URL or a DN. */
static enum answer matches(const struct posting *p, const char *value)
{
    if (str_istarts(value, "ldap://"))
        return matches_url(p, value);
    if (str_istarts(value, "mailto:"))
        return matches_address(p, value + 7);
    const char *at = strchr(value, '@'), *equals = strchr(value, '=');
    return at != NULL && (equals == NULL || at < equals) ? matches_address(p, value)
                                                         : matches_dn(p, value);
}

static enum answer matches_any(const struct posting *p, enum entry_attr attr)
{
    enum answer answer = ANSWER_ABSENT;
    const char *value;
    for (size_t i = 0; (value = entry_value(p->group, attr, i)) != NULL; i++) {
        answer = either(answer, matches(p, value));
        if (answer == ANSWER_FOUND)
            break;
    }
    return answer;
}

/* Domains stand for their subdomains as well. */
static enum answer in_domain(const struct posting *p, const char *value)
{
    char domain[ADDRESS_DOMAIN_MAX + 1];
    struct address a;
    if (address_parse(&a, p->from->address) < 0 ||
        address_domain(domain, *value == '@' || *value == '.' ? value + 1 : value) < 0)
        return ANSWER_ABSENT;
    size_t n = strlen(a.domain), len = strlen(domain);
    bool in = n >= len && strcmp(a.domain + n - len, domain) == 0 &&
              (n == len || a.domain[n - len - 1] == '.');
    return in ? ANSWER_FOUND : ANSWER_ABSENT;
}

static enum answer in_any_domain(const struct posting *p, enum entry_attr attr)
{
    const char *value;
    for (size_t i = 0; (value = entry_value(p->group, attr, i)) != NULL; i++)
        if (in_domain(p, value) == ANSWER_FOUND)
            return ANSWER_FOUND;
    return ANSWER_ABSENT;
}

/* The domain of one of the group's own addresses; subdomains: or one below it. */
static enum answer in_own_domain(const struct posting *p, bool subdomains)
{
    struct address own, from;
    const char *value;
    for (size_t i = 0; (value = entry_value(p->group, ATTR_MAIL, i)) != NULL; i++) {
        if (address_parse(&own, value) < 0 || own.domain[0] == '\0' ||
            in_domain(p, own.domain) != ANSWER_FOUND)
            continue;
        if (subdomains ||
            (address_parse(&from, p->from->address) == 0 && strcmp(from.domain, own.domain) == 0))
            return ANSWER_FOUND;
    }
    return ANSWER_ABSENT;
}

/* The words of dirigoListAccess, as other provisioning systems have them; one that is not known may
 * mean anything. */
static enum answer has_access(const struct posting *p, const char *word)
{
    if (str_ieq(word, "public"))
        return ANSWER_FOUND;
    if (str_ieq(word, "domain") || str_ieq(word, "subdomain"))
        return in_own_domain(p, str_ieq(word, "subdomain"));
    if (str_ieq(word, "membersOnly"))
        return is_member(p, p->group);
    if (str_ieq(word, "moderatorsOnly") || str_ieq(word, "allowedOnly"))
        return ANSWER_ABSENT; /* who they are was asked before */
    if (str_ieq(word, "membersAndModeratorsOnly"))
        return is_member(p, p->group);
    return ANSWER_UNKNOWN;
}

/* 0: none; what is no number is none either. */
static uint64_t max_size(const struct entry *group)
{
    const char *value = entry_value(group, ATTR_LIST_MAX_SIZE, 0);
    char *end;
    if (value == NULL || *value < '0' || *value > '9')
        return 0;
    unsigned long long max = strtoull(value, &end, 10);
    return *end == '\0' ? max : 0;
}

static bool needs_login(const struct posting *p)
{
    static const char *const words[] = {"AUTH_REQ", "AUTHENTICATION_REQUIRED", "SMTP_AUTH_REQUIRED",
                                        "PASSWORD_REQUIRED", "PASSWORD_REQ"};
    const char *value;
    for (size_t i = 0; (value = entry_value(p->group, ATTR_LIST_BROADCASTER_POLICY, i)) != NULL;
         i++)
        for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
            if (str_ieq(value, words[k]))
                return true;
    return false;
}

static void decide(struct list_decision *out, enum list_verdict verdict, const char *rule)
{
    out->verdict = verdict;
    out->rule = rule;
}

/* For its sender: the moderators may see it otherwise. */
static void refuse(const struct posting *p, struct list_decision *out, const char *rule,
                   const char *text)
{
    const char *action = entry_value(p->group, ATTR_LIST_REJECT_ACTION, 0);
    const char *own = entry_value(p->group, ATTR_LIST_REJECT_TEXT, 0);
    bool moderated = entry_count(p->group, ATTR_LIST_MODERATOR) > 0 &&
                     p->from->address[0] != '\0' && action != NULL &&
                     str_ieq(action, "toModerator");
    decide(out, moderated ? LIST_MODERATES : LIST_REFUSES, rule);
    out->code = 550;
    out->status = "5.7.2";
    out->text = own != NULL ? own : text;
}

/* The entries behind the sender: of the login, and of the envelope's address where that is allowed
 * to count. */
static enum answer find_sender(struct posting *p, bool login_only)
{
    const struct entry *e;
    if (p->from->login != NULL) {
        enum answer answer = entry_by_uuid(p->snap, p->from->login, &e);
        if (answer == ANSWER_UNKNOWN)
            return answer;
        if (answer == ANSWER_FOUND)
            p->who[p->who_count++] = e;
    }
    if (login_only || p->from->address[0] == '\0')
        return ANSWER_FOUND;
    enum answer answer = owner_of(p, p->from->address, &e);
    if (answer == ANSWER_FOUND)
        p->who[p->who_count++] = e;
    return answer;
}

/* Whether the group lets the sender in by one of its rules; *rule says which, or that there are
 * some. */
static enum answer allowed(const struct posting *p, const char **rule)
{
    const char *access = entry_value(p->group, ATTR_LIST_ACCESS, 0);
    enum answer answer = ANSWER_ABSENT;
    if (entry_count(p->group, ATTR_LIST_ALLOWED) > 0) {
        *rule = "mgrpAllowedBroadcaster";
        answer = matches_any(p, ATTR_LIST_ALLOWED);
    }
    if (answer != ANSWER_FOUND && entry_count(p->group, ATTR_LIST_ALLOWED_DOMAIN) > 0) {
        *rule = "mgrpAllowedDomain";
        answer = either(answer, in_any_domain(p, ATTR_LIST_ALLOWED_DOMAIN));
    }
    if (answer != ANSWER_FOUND && access != NULL) {
        *rule = "dirigoListAccess";
        answer = either(answer, has_access(p, access));
    }
    return answer;
}

/* Behind the bounds that hold for everybody. */
static void judge(struct posting *p, struct list_decision *out)
{
    const char *rule = NULL;
    enum answer moderator = matches_any(p, ATTR_LIST_MODERATOR);
    enum answer denied = ANSWER_ABSENT, let_in = ANSWER_ABSENT;
    if (moderator != ANSWER_FOUND)
        denied =
            either(matches_any(p, ATTR_LIST_DENIED), in_any_domain(p, ATTR_LIST_DENIED_DOMAIN));
    if (moderator != ANSWER_FOUND && denied != ANSWER_FOUND)
        let_in = allowed(p, &rule);
    if (moderator == ANSWER_FOUND)
        decide(out, LIST_ACCEPTS, "mgrpModerator");
    else if (denied == ANSWER_FOUND)
        refuse(p, out, "mgrpDisallowedBroadcaster", "This sender may not send to this list");
    else if (moderator == ANSWER_UNKNOWN || denied == ANSWER_UNKNOWN || let_in == ANSWER_UNKNOWN)
        decide(out, LIST_UNKNOWN, rule != NULL ? rule : "mgrpModerator");
    else if (let_in == ANSWER_FOUND)
        decide(out, LIST_ACCEPTS, rule);
    else if (rule != NULL)
        refuse(p, out, rule, "Only some may send to this list, and this sender is none of them");
    else if (entry_count(p->group, ATTR_LIST_MODERATOR) == 0)
        decide(out, LIST_ACCEPTS, NULL);
    else if (p->from->address[0] == '\0')
        refuse(p, out, "mgrpModerator", "This list takes no notifications");
    else
        decide(out, LIST_MODERATES, "mgrpModerator");
}

/* The address that a value of mgrpErrorsTo and its like stands for; NULL: none. */
static const char *address_of(struct posting *p, const char *value)
{
    struct memberurl *url;
    struct address a;
    const struct entry *e;
    if (str_istarts(value, "mailto:"))
        value += 7;
    if (address_parse(&a, value) == 0 && a.domain[0] != '\0')
        return value;
    if (str_istarts(value, "ldap://")) {
        url = arena_alloc(p->arena, sizeof *url);
        if (url == NULL || memberurl_parse(url, value) != NULL)
            return NULL;
        value = url->base;
    }
    return entry_by_dn(p->snap, value, &e) == ANSWER_FOUND ? entry_value(e, ATTR_MAIL, 0) : NULL;
}

void list_policy(struct snapshot *snap, const struct entry *group, const struct list_sender *from,
                 struct arena *arena, struct list_decision *out)
{
    struct posting p = {.snap = snap, .group = group, .from = from, .arena = arena};
    bool login_only = needs_login(&p);
    const char *errors = entry_value(group, ATTR_LIST_ERRORS_TO, 0);
    *out = (struct list_decision){.verdict = LIST_ACCEPTS, .dn = entry_dn(group)};
    out->max_size = max_size(group);
    if (errors != NULL && from->address[0] != '\0')
        out->errors_to = address_of(&p, errors);
    if (out->max_size > 0 && from->size > out->max_size) {
        decide(out, LIST_REFUSES, "mgrpMsgMaxSize");
        out->code = 552;
        out->status = "5.2.3";
        out->text = "The message is larger than this list takes";
    } else if (login_only && from->login == NULL) {
        refuse(&p, out, "mgrpBroadcasterPolicy", "Only who has logged in may send to this list");
    } else if (find_sender(&p, login_only) == ANSWER_UNKNOWN) {
        decide(out, LIST_UNKNOWN, "the sender");
    } else {
        judge(&p, out);
    }
}

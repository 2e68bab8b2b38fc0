#include "directory/lint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>

#include "conf/conf.h"
#include "directory/address.h"
#include "directory/dn.h"
#include "directory/replica.h"
#include "directory/resolve.h"
#include "gateway/base/str.h"

#define ARENA_MAX  ((size_t)64 << 20)
#define PAUSE_EACH 1000 /* entries */
#define TEXT_MAX   1024
#define CONFIG_MAX 1000 /* dirigoConfig entries */
#define RECIPIENTS (ENTRY_USER | ENTRY_ALIAS | ENTRY_GROUP)

/* A policy that some entry names. */
struct named {
    RB_ENTRY(named) link;
    char *key;
};

static int named_cmp(const struct named *a, const struct named *b)
{
    return strcmp(a->key, b->key);
}

RB_HEAD(named_tree, named);
RB_GENERATE_INTERNAL(named_tree, named, link, named_cmp, static __attribute__((unused)));

struct run {
    const struct lint *lint;
    struct snapshot *snap;
    struct arena *arena;
    struct named_tree policies;
};

static void report(struct run *run, bool error, const char *code, const struct entry *e,
                   const char *value, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

static void report(struct run *run, bool error, const char *code, const struct entry *e,
                   const char *value, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const struct lint_finding f = {
        .error = error, .code = code, .dn = entry_dn(e), .value = value, .text = text};
    run->lint->report(run->lint->arg, &f);
}

/* The other owner of a key, or NULL. */
static const struct entry *other_owner(struct run *run, const struct index_key *key, unsigned mask,
                                       const struct entry *e)
{
    const struct entry *found[2];
    int n = snapshot_find(run->snap, key, mask, found);
    for (int i = 0; i < n; i++)
        if (!uuid_eq(entry_uuid(found[i]), entry_uuid(e)))
            return found[i];
    return NULL;
}

/* ---- addresses and names ---- */

/* One address that the entry owns. Whether mail for it can come here. */
static bool check_owned(struct run *run, const struct entry *e, const char *value)
{
    const struct entry *other, *domain;
    struct address a;
    struct index_key key;
    char fold[ADDRESS_STRLEN];
    if (address_parse(&a, value) < 0 || a.domain[0] == '\0') {
        report(run, true, "bad-address", e, value, "%s is no address", value);
        return false;
    }
    index_key(&key, INDEX_ADDRESS, fold, address_fold(&a, fold));
    other = other_owner(run, &key, RECIPIENTS, e);
    if (other != NULL)
        report(run, true, "duplicate-address", e, value, "%s also belongs to %s", value,
               entry_dn(other));
    if (directory_domain(run->snap, a.domain, &domain) != ANSWER_ABSENT)
        return true;
    report(run, false, "unowned-domain", e, value, "%s: nobody owns the domain %s", value,
           a.domain);
    return false;
}

/* A domain that stands for a name without one. */
static bool has_own_host(const struct run *run)
{
    return snapshot_conf(run->snap)->mydestination.n > 0;
}

static void check_names(struct run *run, const struct entry *e)
{
    unsigned mask = (entry_kinds(e) & ENTRY_USER) != 0 ? ENTRY_USER : ENTRY_ALIAS;
    const char *value;
    for (size_t i = 0; (value = entry_value(e, ATTR_UID, i)) != NULL; i++) {
        struct index_key key;
        if (index_key_name(&key, value) < 0)
            continue;
        const struct entry *other = other_owner(run, &key, mask, e);
        if (other != NULL)
            report(run, true, mask == ENTRY_USER ? "duplicate-login" : "duplicate-name", e, value,
                   "the name %s also belongs to %s", value, entry_dn(other));
    }
}

/* Where an own address leads; the entry's first one stands for all of them. */
static void check_route(struct run *run, const struct entry *e, const char *address)
{
    struct resolution res;
    arena_reset(run->arena);
    resolve_address(run->snap, address, true, run->arena, &res);
    for (size_t i = 0; i < res.step_count; i++) {
        if (strcmp(res.steps[i].what, "loop") == 0) {
            report(run, true, "loop", e, NULL, "%s comes back to %s", address,
                   res.steps[i].dn != NULL ? res.steps[i].dn : "itself");
            return;
        }
    }
    bool twice = res.answer == ANSWER_UNKNOWN && res.reason != NULL &&
                 str_istarts(res.reason, "two entries own");
    if (res.answer == ANSWER_FOUND || res.disabled || twice)
        return;
    report(run, true, res.answer == ANSWER_UNKNOWN ? "unresolvable" : "leads-nowhere", e, NULL,
           "%s: %s", address, res.reason != NULL ? res.reason : "no recipient");
}

/* An address that the entry passes mail on to. */
static void check_target(struct run *run, const struct entry *e, enum entry_attr attr,
                         const char *value)
{
    struct resolution res;
    struct address a;
    if (address_parse(&a, value) < 0) {
        report(run, true, "bad-address", e, value, "%s is no address", value);
        return;
    }
    arena_reset(run->arena);
    resolve_address(run->snap, value, false, run->arena, &res);
    if (res.answer == ANSWER_ABSENT && !res.disabled && res.local_domain &&
        (res.dn == NULL || attr == ATTR_CATCHALL))
        report(run, true, "dead-address", e, value, "%s leads to nobody", value);
}

static void check_targets(struct run *run, const struct entry *e)
{
    static const enum entry_attr attrs[] = {ATTR_ROUTING_ADDRESS, ATTR_MEMBER_ADDRESS,
                                            ATTR_CATCHALL};
    const char *value;
    for (size_t k = 0; k < sizeof attrs / sizeof attrs[0]; k++)
        for (size_t i = 0; (value = entry_value(e, attrs[k], i)) != NULL; i++)
            check_target(run, e, attrs[k], value);
}

/* ---- names of entries ---- */

static void remember_policy(struct run *run, const char *dn)
{
    char normal[DN_MAX];
    struct named key = {.key = normal};
    if (dn_normalize(dn, normal) < 0 || RB_FIND(named_tree, &run->policies, &key) != NULL)
        return;
    struct named *n = mem_zalloc(sizeof *n);
    n->key = mem_strdup(normal);
    RB_INSERT(named_tree, &run->policies, n);
}

static bool exists(const struct run *run, const char *dn)
{
    return run->lint->exists != NULL && run->lint->exists(run->lint->arg, dn);
}

static void check_dns(struct run *run, const struct entry *e)
{
    const struct entry *found;
    const char *dn;
    for (size_t i = 0; (dn = entry_value(e, ATTR_MEMBER, i)) != NULL; i++) {
        if (entry_by_dn(run->snap, dn, &found) != ANSWER_ABSENT)
            continue;
        if (exists(run, dn))
            report(run, false, "member-without-mail", e, dn, "the member %s gets no mail", dn);
        else
            report(run, true, "dangling-dn", e, dn, "the member %s does not exist", dn);
    }
    if ((dn = entry_value(e, ATTR_POLICY, 0)) == NULL)
        return;
    remember_policy(run, dn);
    enum answer answer = entry_by_dn(run->snap, dn, &found);
    if (answer == ANSWER_ABSENT && !exists(run, dn))
        report(run, true, "dangling-dn", e, dn, "the policy %s does not exist", dn);
    else if (answer == ANSWER_ABSENT ||
             (answer == ANSWER_FOUND && (entry_kinds(found) & ENTRY_POLICY) == 0))
        report(run, true, "no-policy", e, dn, "%s is no dirigoPolicy", dn);
}

/* ---- words ---- */

static bool is_quota(const char *s)
{
    size_t digits = strspn(s, "0123456789");
    if (digits == 0 || digits > 18)
        return false;
    s += digits;
    if (*s == '\0' || (strchr("kKmMgGtT", *s) != NULL && s[1] == '\0'))
        return true;
    /* As qmail-LDAP has it: 10000000S,1000C */
    if (*s != 'S' && *s != 'C')
        return false;
    return s[1] == '\0' || (s[1] == ',' && is_quota(s + 2));
}

static void check_words(struct run *run, const struct entry *e)
{
    static const char *const known[] = {"active",  "enabled", "noaccess", "disabled",
                                        "deleted", "removed", "inactive", "nopop"};
    const char *value;
    for (size_t i = 0; (value = entry_value(e, ATTR_QUOTA, i)) != NULL; i++)
        if (!is_quota(value))
            report(run, true, "bad-quota", e, value,
                   "the quota %s is not a number of bytes, or one with k, M, G or T", value);
    for (size_t i = 0; (value = entry_value(e, ATTR_ACCOUNT_STATUS, i)) != NULL; i++) {
        bool good = false;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            good = good || str_ieq(value, known[k]);
        if (!good)
            report(run, false, "unknown-status", e, value,
                   "the status %s is not known and allows no login", value);
    }
}

/* ---- kinds of entries ---- */

static bool is_member(struct run *run, const struct entry *e)
{
    struct index_key key;
    struct uuid group;
    return index_key_dn(&key, INDEX_MEMBER, entry_dn(e)) == 0 &&
           snapshot_list(run->snap, &key, &group, 1) == 1;
}

static void check_recipient(struct run *run, const struct entry *e)
{
    static const enum entry_attr attrs[] = {ATTR_MAIL, ATTR_MAIL_ALTERNATE};
    const char *value, *own = NULL;
    size_t addresses = 0;
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; (value = entry_value(e, attrs[k], i)) != NULL; i++) {
            addresses++;
            if (check_owned(run, e, value) && own == NULL)
                own = value;
        }
    }
    check_names(run, e);
    bool named = entry_count(e, ATTR_UID) > 0;
    bool user = (entry_kinds(e) & ENTRY_USER) != 0;
    if (own != NULL)
        check_route(run, e, own);
    else if (user ? addresses > 0 && !is_member(run, e)
                  : !(named && has_own_host(run)) && !is_member(run, e))
        report(run, false, "unreachable", e, NULL,
               "it has no address in a domain of ours, and no group holds it");
}

static void check_domain(struct run *run, const struct entry *e)
{
    const struct entry *other;
    const char *value, *target = entry_value(e, ATTR_DOMAIN_TARGET, 0);
    char normal[ADDRESS_DOMAIN_MAX + 1];
    struct index_key key;
    if (entry_count(e, ATTR_DOMAIN) == 0)
        report(run, true, "bad-domain", e, NULL, "a domain without a name");
    for (size_t i = 0; (value = entry_value(e, ATTR_DOMAIN, i)) != NULL; i++) {
        if (address_domain(normal, value) < 0) {
            report(run, true, "bad-domain", e, value, "%s is no domain name", value);
            continue;
        }
        index_key(&key, INDEX_DOMAIN, normal, strlen(normal));
        if ((other = other_owner(run, &key, ENTRY_DOMAIN, e)) != NULL)
            report(run, true, "duplicate-domain", e, value, "%s also belongs to %s", value,
                   entry_dn(other));
        if (target == NULL)
            continue;
        struct resolution res;
        char probe[ADDRESS_STRLEN];
        snprintf(probe, sizeof probe, "postmaster@%s", normal);
        arena_reset(run->arena);
        resolve_address(run->snap, probe, false, run->arena, &res);
        if (res.answer == ANSWER_UNKNOWN)
            report(run, true, "loop", e, target, "%s: %s", value, res.reason);
    }
    if (target != NULL && directory_domain(run->snap, target, &other) == ANSWER_ABSENT)
        report(run, true, "unowned-domain", e, target,
               "it stands for %s, which is no domain of ours", target);
}

static bool is_list(enum entry_attr attr)
{
    return (attr >= ATTR_CLIENT_RESTRICTIONS && attr <= ATTR_DATA_RESTRICTIONS) ||
           attr == ATTR_END_OF_DATA_RESTRICTIONS || attr == ATTR_ETRN_RESTRICTIONS ||
           attr == ATTR_RESTRICTIONS;
}

static void check_policy(struct run *run, const struct entry *e)
{
    const char *value;
    for (enum entry_attr attr = 0; attr < ATTR_COUNT; attr++) {
        if (!is_list(attr))
            continue;
        for (size_t i = 0; (value = entry_value(e, attr, i)) != NULL; i++) {
            char *error = run->lint->check_list(run->lint->arg, run->snap, attr, value);
            if (error != NULL)
                report(run, true, "bad-restrictions", e, value, "%s: %s", entry_attr_name(attr),
                       error);
            free(error);
        }
    }
    if ((entry_all_kinds(e) & ENTRY_GLOBAL) == 0)
        return;
    struct index_key key;
    index_key(&key, INDEX_GLOBAL, NULL, 0);
    const struct entry *other = other_owner(run, &key, ENTRY_POLICY, e);
    if (other != NULL)
        report(run, true, "duplicate-global-policy", e, NULL,
               "%s also says that it governs everything", entry_dn(other));
}

static void check_partner(struct run *run, const struct entry *e)
{
    static const char *const levels[] = {"none", "may", "encrypt", "verify", "fingerprint"};
    const char *value;
    for (size_t i = 0; (value = entry_value(e, ATTR_PARTNER_KEY, i)) != NULL; i++)
        if (!partner_key_valid(value))
            report(run, true, "bad-partner", e, value, "%s is neither a domain nor a network",
                   value);
    for (size_t i = 0; (value = entry_value(e, ATTR_PARTNER_TLS, i)) != NULL; i++) {
        bool good = false;
        for (size_t k = 0; k < sizeof levels / sizeof levels[0]; k++)
            good = good || str_ieq(value, levels[k]);
        if (!good)
            report(run, true, "bad-partner", e, value,
                   "%s is none of none, may, encrypt, verify and fingerprint", value);
        else if (str_ieq(value, "fingerprint") && entry_count(e, ATTR_PARTNER_CERTIFICATE) == 0)
            report(run, true, "bad-partner", e, value, "there is no fingerprint to compare with");
    }
}

/* Whether a list has a word, which is len bytes. */
static bool has_word(const char *list, const char *word, size_t len)
{
    static const char separators[] = " \t\r\n,=";
    for (list += strspn(list, separators); *list != '\0'; list += strspn(list, separators)) {
        size_t n = strcspn(list, separators);
        if (n == len && memcmp(list, word, len) == 0)
            return true;
        list += n;
    }
    return false;
}

/* Whether a setting's name is a class that some entry makes known. */
static bool is_declared_class(struct run *run, const char *setting)
{
    static const char declares[] = "smtpd_restriction_classes";
    struct uuid uuids[CONFIG_MAX];
    struct index_key key;
    const struct entry *e;
    const char *value;
    size_t len = strcspn(setting, " \t=");
    index_key(&key, INDEX_CONFIG, NULL, 0);
    int n = snapshot_list(run->snap, &key, uuids, CONFIG_MAX);
    for (int k = 0; k < n; k++) {
        if (entry_by_uuid(run->snap, &uuids[k], &e) != ANSWER_FOUND)
            continue;
        for (size_t i = 0; (value = entry_value(e, ATTR_PARAMETER, i)) != NULL; i++)
            if (strncmp(value, declares, strlen(declares)) == 0 &&
                has_word(value + strlen(declares), setting, len))
                return true;
    }
    return false;
}

static void check_config(struct run *run, const struct entry *e)
{
    const char *value;
    for (size_t i = 0; (value = entry_value(e, ATTR_PARAMETER, i)) != NULL; i++) {
        char *fault = conf_setting_fault(snapshot_conf(run->snap), value);
        if (fault != NULL && !is_declared_class(run, value))
            report(run, true, "bad-setting", e, value, "%s", fault);
        free(fault);
    }
}

/* SHA256$SALT$HASH (RFC 3112), both in base64. */
static bool is_app_password(const char *value)
{
    static const char scheme[] = "SHA256$";
    struct buf salt = {.max = TEXT_MAX}, hash = {.max = TEXT_MAX};
    const char *dollar;
    if (!str_istarts(value, scheme) || (dollar = strchr(value + strlen(scheme), '$')) == NULL)
        return false;
    value += strlen(scheme);
    bool good = str_base64_decode(&salt, value, (size_t)(dollar - value)) == 0 && salt.len > 0 &&
                str_base64_decode(&hash, dollar + 1, strlen(dollar + 1)) == 0 && hash.len == 32;
    buf_free(&salt);
    buf_wipe_free(&hash);
    return good;
}

static void check_app_password(struct run *run, const struct entry *e)
{
    const struct entry *found[2];
    struct index_key key;
    int head = dn_head(entry_dn(e), 1);
    const char *parent = entry_dn(e) + (head < 0 ? 0 : head);
    if (index_key_dn(&key, INDEX_DN, parent + strspn(parent, " ,;")) < 0 ||
        snapshot_find(run->snap, &key, ENTRY_USER, found) == 0)
        report(run, true, "bad-app-password", e, NULL, "it is not directly below a user");
    if (run->lint->value == NULL)
        return;
    const char *value = NULL;
    bool good = false;
    for (size_t i = 0; !good && (value = run->lint->value(run->lint->arg, entry_dn(e),
                                                          "authPassword", i)) != NULL;
         i++)
        good = is_app_password(value);
    if (!good) /* what it has is never shown */
        report(run, true, "bad-app-password", e, NULL,
               "it has no authPassword in the form SHA256$salt$hash");
}

static void check_entry(struct run *run, const struct entry *e)
{
    unsigned kinds = entry_kinds(e);
    if ((kinds & RECIPIENTS) != 0)
        check_recipient(run, e);
    if ((kinds & ENTRY_DOMAIN) != 0)
        check_domain(run, e);
    if ((kinds & (ENTRY_POLICY | ENTRY_CLASS)) != 0)
        check_policy(run, e);
    if ((kinds & ENTRY_PARTNER) != 0)
        check_partner(run, e);
    if ((kinds & ENTRY_CONFIG) != 0)
        check_config(run, e);
    if ((kinds & ENTRY_APP_PASSWORD) != 0)
        check_app_password(run, e);
    check_targets(run, e);
    check_dns(run, e);
    check_words(run, e);
}

/* When every name of a policy is known: those that nobody names. */
static void check_unnamed(struct run *run, const struct entry *e)
{
    char normal[DN_MAX];
    struct named key = {.key = normal};
    unsigned kinds = entry_all_kinds(e);
    if ((kinds & ENTRY_POLICY) == 0 || (kinds & ENTRY_GLOBAL) != 0 ||
        dn_normalize(entry_dn(e), normal) < 0)
        return;
    if (RB_FIND(named_tree, &run->policies, &key) == NULL)
        report(run, false, "unreachable", e, NULL, "no entry names this policy");
}

/* ---- the run ---- */

static int each(struct run *run, void (*check)(struct run *run, const struct entry *e))
{
    struct uuid uuid = {{0}};
    enum answer more = ANSWER_FOUND;
    while (more == ANSWER_FOUND) {
        const struct entry *e;
        if (run->lint->pause != NULL && run->lint->pause(run->lint->arg) != 0)
            return -1;
        run->snap = snapshot_take(run->lint->directory);
        if (run->snap == NULL || !snapshot_in_sync(run->snap)) {
            snapshot_release(&run->snap);
            return -1;
        }
        for (size_t i = 0; i < PAUSE_EACH; i++) {
            more = entry_next(run->snap, &uuid, &e);
            if (more != ANSWER_FOUND)
                break;
            check(run, e);
        }
        snapshot_release(&run->snap);
    }
    return more == ANSWER_ABSENT ? 0 : -1;
}

int lint_run(const struct lint *lint)
{
    struct run run = {.lint = lint, .arena = arena_new(ARENA_MAX)};
    struct named *n;
    RB_INIT(&run.policies);
    int rc = each(&run, check_entry);
    if (rc == 0)
        rc = each(&run, check_unnamed);
    while ((n = RB_MIN(named_tree, &run.policies)) != NULL) {
        RB_REMOVE(named_tree, &run.policies, n);
        free(n->key);
        free(n);
    }
    arena_free(&run.arena);
    return rc;
}

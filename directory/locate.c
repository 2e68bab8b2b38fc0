#include "directory/locate.h"

#include <string.h>

#include "directory/maps.h"
#include "directory/replica.h"
#include "gateway/base/str.h"

/* Domain aliases that may follow one another. */
#define DOMAIN_HOPS_MAX 8
#define ANY_RECIPIENT   (ENTRY_USER | ENTRY_ALIAS | ENTRY_GROUP)

static const char away[] = "the directory cannot be asked now";

const char *locate_two_owners(struct arena *arena, const struct entry *const e[2])
{
    const char *text =
        arena_printf(arena, "two entries own this address: %s; %s", entry_dn(e[0]), entry_dn(e[1]));
    return text != NULL ? text : "two entries own this address";
}

/* One key: FOUND and out->entry, ABSENT (no matter whether in sync), or UNKNOWN with a reason. */
static enum answer find(struct snapshot *snap, const struct index_key *key, struct arena *arena,
                        struct located *out)
{
    const struct entry *e[2];
    int n = snapshot_find(snap, key, ANY_RECIPIENT, e);
    if (n == 0)
        return ANSWER_ABSENT;
    if (n == 1 && snapshot_fresh_for_lookup(snap)) {
        out->as = LOCATED_ENTRY;
        out->entry = e[0];
        return ANSWER_FOUND;
    }
    out->reason = n == 2 ? locate_two_owners(arena, e) : away;
    out->dn = n > 0 ? entry_dn(e[0]) : NULL;
    return ANSWER_UNKNOWN;
}

/* What is looked for, and where. */
struct look {
    struct snapshot *snap;
    const struct locate_how *how;
    struct arena *arena;
    bool by_name; /* the directory's names without a domain count, too */
    bool by_maps; /* and those of the maps */
};

static enum answer find_entry(const struct look *l, const struct address *a, struct located *out)
{
    char fold[ADDRESS_STRLEN];
    struct index_key key;
    index_key(&key, INDEX_ADDRESS, fold, address_fold(a, fold));
    enum answer answer = find(l->snap, &key, l->arena, out);
    /* A domain that only mydestination names is this machine's own: names without a domain. */
    if (answer == ANSWER_ABSENT && l->by_name && index_key_name(&key, a->local) == 0)
        answer = find(l->snap, &key, l->arena, out);
    return answer;
}

static enum answer find_in_map(const struct look *l, const char *word, const struct address *a,
                               struct located *out)
{
    char name[ADDRESS_LOCAL_MAX + 1];
    const struct entry *e;
    bool ask;
    strcpy(name, a->local);
    str_lower(name);
    enum answer answer = map_find(l->snap, word, name, &e, &ask);
    if (answer == ANSWER_ABSENT ||
        (answer == ANSWER_FOUND && l->how->passed != NULL && l->how->passed(l->how->arg, e)))
        return ANSWER_ABSENT;
    if (answer == ANSWER_FOUND) {
        out->as = LOCATED_ENTRY;
        out->entry = e;
        return ANSWER_FOUND;
    }
    out->dn = e != NULL ? entry_dn(e) : word;
    out->reason = e != NULL ? "the alias cannot be followed" : "a map of alias_maps cannot be read";
    if (ask) {
        out->map = word;
        out->map_key = arena_strdup(l->arena, name);
    }
    return ANSWER_UNKNOWN;
}

/* In the order of alias_maps, the directory last where it is not named. */
static enum answer find_local(const struct look *l, const struct address *a, struct located *out)
{
    const struct conf *conf = snapshot_conf(l->snap);
    enum answer answer = ANSWER_ABSENT;
    bool directory = false;
    if (!l->by_maps)
        return find_entry(l, a, out);
    for (size_t i = 0; i < conf->alias_maps.n && answer == ANSWER_ABSENT; i++) {
        const char *word = conf->alias_maps.v[i], *path;
        if (map_kind(word, &path) == MAP_DIRECTORY) {
            directory = true;
            answer = find_entry(l, a, out);
        } else if (!l->how->account) {
            answer = find_in_map(l, word, a, out);
        }
    }
    if (answer == ANSWER_ABSENT && !directory)
        answer = find_entry(l, a, out);
    return answer;
}

static bool is_own_domain(const struct conf *conf, const char *domain)
{
    for (size_t i = 0; i < conf->mydestination.n; i++)
        if (address_same_domain(domain, conf->mydestination.v[i]))
            return true;
    return false;
}

/* Exact, then without detail. */
static enum answer find_user(struct snapshot *snap, const struct address *a,
                             const struct locate_how *how, struct arena *arena, struct located *out)
{
    const struct conf *conf = snapshot_conf(snap);
    const char *delimiters = conf->recipient_delimiter;
    const struct look look = {.snap = snap,
                              .how = how,
                              .arena = arena,
                              .by_name =
                                  out->domain == NULL && !snapshot_domain_listed(snap, a->domain),
                              .by_maps = maps_in_use(conf) && is_own_domain(conf, a->domain)};
    enum answer answer = find_local(&look, a, out);
    size_t len = strcspn(a->local, delimiters);
    if (answer != ANSWER_ABSENT || len == 0 || a->local[len] == '\0')
        return answer;
    struct address base;
    memcpy(base.local, a->local, len);
    base.local[len] = '\0';
    strcpy(base.domain, a->domain);
    answer = find_local(&look, &base, out);
    if (answer == ANSWER_FOUND)
        out->detail = arena_strdup(arena, a->local + len + 1);
    return answer;
}

/* Where the domain stands for another one, replaces it: FOUND; ABSENT where it does not. */
static enum answer rewrite_domain(struct address *a, struct located *out)
{
    const char *target =
        out->domain == NULL ? NULL : entry_value(out->domain, ATTR_DOMAIN_TARGET, 0);
    char domain[ADDRESS_DOMAIN_MAX + 1];
    if (target == NULL)
        return ANSWER_ABSENT;
    /* An entry may name the domain itself beside those that stand for it. */
    if (address_domain(domain, target) == 0 && strcmp(domain, a->domain) == 0)
        return ANSWER_ABSENT;
    out->rewrite = out->domain;
    out->dn = entry_dn(out->domain);
    if (address_domain(a->domain, target) == 0)
        return ANSWER_FOUND;
    out->reason = "the domain is an alias of something that is no domain";
    return ANSWER_UNKNOWN;
}

static enum answer nobody(const struct snapshot *snap, const char *domain, struct located *out)
{
    bool in_sync = snapshot_domain_in_sync(snap, domain);
    out->dn = out->domain == NULL ? NULL : entry_dn(out->domain);
    out->reason = in_sync ? "no such address" : away;
    if (!in_sync)
        return ANSWER_UNKNOWN;
    if (out->domain == NULL || entry_count(out->domain, ATTR_CATCHALL) == 0)
        return ANSWER_ABSENT;
    out->as = LOCATED_CATCH_ALL;
    return ANSWER_FOUND;
}

enum answer locate(struct snapshot *snap, struct address *a, struct arena *arena,
                   struct located *out)
{
    static const struct locate_how plain = {0};
    return locate_target(snap, a, &plain, arena, out);
}

enum answer locate_target(struct snapshot *snap, struct address *a, const struct locate_how *how,
                          struct arena *arena, struct located *out)
{
    memset(out, 0, sizeof *out);
    for (int hops = 0; hops < DOMAIN_HOPS_MAX; hops++) {
        enum answer answer = directory_domain(snap, a->domain, &out->domain);
        out->as = LOCATED_REMOTE;
        if (answer == ANSWER_ABSENT)
            return ANSWER_FOUND;
        out->reason = away;
        if (answer == ANSWER_UNKNOWN)
            return ANSWER_UNKNOWN;
        out->local_domain = true;
        answer = find_user(snap, a, how, arena, out);
        if (answer != ANSWER_ABSENT)
            return answer;
        answer = rewrite_domain(a, out);
        if (answer == ANSWER_ABSENT)
            return nobody(snap, a->domain, out);
        if (answer == ANSWER_UNKNOWN)
            return ANSWER_UNKNOWN;
    }
    out->reason = "domain aliases lead to one another";
    return ANSWER_UNKNOWN;
}

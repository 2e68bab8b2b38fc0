#include "directory/resolve.h"

#include <stdlib.h>
#include <string.h>

#include "directory/list_policy.h"
#include "directory/locate.h"
#include "directory/replica.h"
#include "gateway/base/str.h"

/* The entries between the address that was asked for and the one at hand. */
struct frame {
    const struct frame *up;
    const struct entry *entry;
};

/* A set of things seen, by a hash of what makes two the same; slots are a power of two. */
struct seen {
    const void **slot;
    size_t slots, count;
};

struct walk {
    struct snapshot *snap;
    const struct conf *conf;
    struct arena *arena;
    bool with_steps;
    size_t large;       /* groups with more members are lists; 0: none is */
    bool unknown;       /* the whole is; reason and dn say why, and the walk ends */
    const char *reason; /* of the first refusal, or why it is unknown */
    const char *dn;
    const char *map, *map_key; /* unknown until dirigo-directory has looked this up */
    bool local_domain, disabled;
    struct delivery *deliveries;
    size_t count, capacity;
    struct resolve_step *steps;
    size_t step_count, step_capacity;
    const struct entry **lists;
    size_t list_count, list_capacity;
    struct seen entries;    /* uuids of entries that were expanded */
    struct seen recipients; /* deliveries, to leave out doubles */
};

static void walk_address(struct walk *w, const char *text, unsigned depth, const struct frame *up);

static void give_up(struct walk *w, const char *reason, const char *dn)
{
    if (w->unknown)
        return;
    w->unknown = true;
    w->reason = reason;
    w->dn = dn;
}

/* The first refusal is the one that is told. */
static void refuse(struct walk *w, const char *reason, const char *dn)
{
    if (w->reason == NULL) {
        w->reason = reason != NULL ? reason : "no such address";
        w->dn = dn;
    }
}

/* Room for one more element; the array moves. NULL (and the walk is unknown) past the arena's
 * bound. */
static void *grow(struct walk *w, void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    size_t wanted = *capacity == 0 ? 4 : *capacity * 2;
    void *bigger = arena_alloc(w->arena, wanted * size);
    if (bigger == NULL) {
        give_up(w, "the expansion needs too much memory", NULL);
        return NULL;
    }
    if (count > 0)
        memcpy(bigger, array, count * size);
    *capacity = wanted;
    return bigger;
}

static void step(struct walk *w, unsigned depth, const char *address, const struct entry *e,
                 const char *what)
{
    if (!w->with_steps)
        return;
    struct resolve_step *steps =
        grow(w, w->steps, w->step_count, &w->step_capacity, sizeof *w->steps);
    if (steps == NULL)
        return;
    const char *directory = e == NULL ? "" : snapshot_directory_of(w->snap, e);
    w->steps = steps;
    w->steps[w->step_count++] =
        (struct resolve_step){.depth = depth,
                              .address = arena_strdup(w->arena, address),
                              .dn = e == NULL ? NULL : entry_dn(e),
                              .directory = directory[0] == '\0' ? NULL : directory,
                              .what = what};
}

/* ---- sets ---- */

static bool same_delivery(const struct delivery *a, const struct delivery *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind == DELIVERY_REMOTE ? str_ieq(a->address, b->address)
                                      : uuid_eq(&a->owner, &b->owner);
}

static bool same_uuid(const void *a, const void *b)
{
    return uuid_eq(a, b);
}

static bool same_recipient(const void *a, const void *b)
{
    return same_delivery(a, b);
}

static uint32_t hash_uuid(const void *uuid)
{
    return str_crc32c(0, uuid, sizeof(struct uuid));
}

static uint32_t hash_recipient(const void *delivery)
{
    const struct delivery *d = delivery;
    if (d->kind != DELIVERY_REMOTE)
        return hash_uuid(&d->owner);
    uint32_t hash = 5381;
    for (const char *s = d->address; *s != '\0'; s++)
        hash = hash * 33 + (uint8_t)str_lower_char(*s);
    return hash;
}

typedef uint32_t hash_fn(const void *item);
typedef bool same_fn(const void *a, const void *b);

static void seen_insert(struct seen *set, const void *item, hash_fn *hash)
{
    size_t i = hash(item) & (set->slots - 1);
    while (set->slot[i] != NULL)
        i = (i + 1) & (set->slots - 1);
    set->slot[i] = item;
}

static const void *seen_find(const struct seen *set, const void *item, hash_fn *hash, same_fn *same)
{
    if (set->slots == 0)
        return NULL;
    for (size_t i = hash(item) & (set->slots - 1); set->slot[i] != NULL;
         i = (i + 1) & (set->slots - 1))
        if (same(set->slot[i], item))
            return set->slot[i];
    return NULL;
}

/* item lives as long as the arena or the snapshot, and is not in the set. */
static void seen_add(struct walk *w, struct seen *set, const void *item, hash_fn *hash)
{
    if (set->count * 2 >= set->slots) {
        struct seen bigger = {.slots = set->slots == 0 ? 8 : set->slots * 2, .count = set->count};
        bigger.slot = arena_alloc(w->arena, bigger.slots * sizeof *bigger.slot);
        if (bigger.slot == NULL) {
            give_up(w, "the expansion needs too much memory", NULL);
            return;
        }
        for (size_t i = 0; i < set->slots; i++)
            if (set->slot[i] != NULL)
                seen_insert(&bigger, set->slot[i], hash);
        *set = bigger;
    }
    seen_insert(set, item, hash);
    set->count++;
}

/* ---- deliveries ---- */

static void deliver(struct walk *w, const struct delivery *d)
{
    if (w->unknown || seen_find(&w->recipients, d, hash_recipient, same_recipient) != NULL)
        return;
    if (w->count == (size_t)w->conf->alias_expansion_limit) {
        give_up(w, "more recipients than alias_expansion_limit allows", d->dn);
        return;
    }
    struct delivery *all = grow(w, w->deliveries, w->count, &w->capacity, sizeof *all);
    struct delivery *copy = arena_alloc(w->arena, sizeof *copy); /* stays where it is */
    if (all == NULL || copy == NULL)
        return;
    *copy = *d;
    w->deliveries = all;
    w->deliveries[w->count++] = *d;
    seen_add(w, &w->recipients, copy, hash_recipient);
}

static const char *keep_address(struct walk *w, const struct address *a)
{
    char text[ADDRESS_STRLEN];
    const char *kept = arena_strdup(w->arena, address_format(a, text));
    if (kept == NULL)
        give_up(w, "the expansion needs too much memory", NULL);
    return kept != NULL ? kept : "";
}

static void deliver_remote(struct walk *w, const struct address *a, const struct entry *e)
{
    struct delivery d = {.kind = DELIVERY_REMOTE, .address = keep_address(w, a)};
    if (e != NULL) {
        d.owner = *entry_uuid(e);
        d.dn = entry_dn(e);
    }
    deliver(w, &d);
}

static void deliver_mailbox(struct walk *w, const struct entry *e, const struct address *a,
                            const char *detail)
{
    const char *host = entry_value(e, ATTR_MAIL_HOST, 0);
    struct delivery d = {.kind = DELIVERY_MAILBOX,
                         .owner = *entry_uuid(e),
                         .address = keep_address(w, a),
                         .detail = detail,
                         .dn = entry_dn(e)};
    if (host != NULL && !str_ieq(host, w->conf->myhostname)) {
        d.kind = DELIVERY_HOST;
        d.host = host;
    }
    deliver(w, &d);
}

/* ---- large groups ---- */

static const enum entry_attr member_attrs[] = {ATTR_ROUTING_ADDRESS, ATTR_MEMBER_ADDRESS,
                                               ATTR_MEMBER};
#define MEMBER_ATTRS (sizeof member_attrs / sizeof member_attrs[0])

static size_t member_count(const struct entry *e)
{
    size_t n = 0;
    for (size_t k = 0; k < MEMBER_ATTRS; k++)
        n += entry_count(e, member_attrs[k]);
    return n;
}

static void deliver_list(struct walk *w, const struct entry *e, const struct address *a,
                         unsigned depth, const struct frame *up)
{
    struct resolve_list *list = arena_alloc(w->arena, sizeof *list);
    if (list == NULL) {
        give_up(w, "the expansion needs too much memory", entry_dn(e));
        return;
    }
    list->group = *entry_uuid(e);
    list->depth = depth;
    for (; up != NULL && list->path_count < RESOLVE_PATH_MAX; up = up->up)
        list->path[list->path_count++] = *entry_uuid(up->entry);
    struct delivery d = {.kind = DELIVERY_LIST,
                         .owner = *entry_uuid(e),
                         .address = a->local[0] != '\0' ? keep_address(w, a) : "",
                         .dn = entry_dn(e),
                         .list = list};
    deliver(w, &d);
}

/* ---- entries ---- */

/*
 * Whether e is being expanded already. *self: only groups and aliases lie between, so e is somebody
 * who forwards to a list that they are on themselves, and wants a copy; another user between the
 * two makes it a loop.
 */
static bool on_path(const struct frame *up, const struct entry *e, bool *self)
{
    *self = (entry_kinds(e) & ENTRY_USER) != 0;
    for (; up != NULL; up = up->up) {
        if (uuid_eq(entry_uuid(up->entry), entry_uuid(e)))
            return true;
        if ((entry_kinds(up->entry) & ENTRY_USER) != 0)
            *self = false;
    }
    return false;
}

static void refuse_loop(struct walk *w, const struct frame *up, const struct entry *e)
{
    const char *text = entry_dn(e);
    for (; up != NULL; up = up->up) {
        text = arena_printf(w->arena, "%s -> %s", entry_dn(up->entry), text);
        if (text == NULL || uuid_eq(entry_uuid(up->entry), entry_uuid(e)))
            break;
    }
    text = text == NULL ? NULL : arena_printf(w->arena, "entries forward in a loop: %s", text);
    refuse(w, text != NULL ? text : "entries forward in a loop", entry_dn(e));
}

static const char *kind_name(const struct entry *e)
{
    unsigned kinds = entry_kinds(e);
    return (kinds & ENTRY_GROUP) != 0 ? "group" : (kinds & ENTRY_USER) != 0 ? "user" : "alias";
}

/* The address that mail to an entry reached by its DN has: its first one of a domain of ours. */
static enum answer own_address(struct walk *w, const struct entry *e, struct address *a)
{
    static const enum entry_attr attrs[] = {ATTR_MAIL, ATTR_MAIL_ALTERNATE};
    struct address first = {.local = ""};
    const struct entry *domain;
    const char *value;
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; (value = entry_value(e, attrs[k], i)) != NULL; i++) {
            if (address_parse(a, value) < 0 || a->domain[0] == '\0')
                continue;
            enum answer answer = directory_domain(w->snap, a->domain, &domain);
            if (answer != ANSWER_ABSENT)
                return answer;
            if (first.local[0] == '\0')
                first = *a;
        }
    }
    *a = first;
    return ANSWER_ABSENT;
}

static void expand(struct walk *w, const struct entry *e, const struct address *a,
                   const char *detail, unsigned depth, const struct frame *up);

static void expand_entry(struct walk *w, const struct entry *e, unsigned depth,
                         const struct frame *up)
{
    struct address a = {.local = ""};
    if ((entry_kinds(e) & ENTRY_USER) != 0) {
        enum answer answer = own_address(w, e, &a);
        if (answer == ANSWER_UNKNOWN) {
            give_up(w, "a member's domain is not known now", entry_dn(e));
            return;
        }
        if (answer == ANSWER_ABSENT && a.local[0] == '\0') {
            step(w, depth, entry_dn(e), e, "member without an address");
            return;
        }
        if (answer == ANSWER_ABSENT) {
            step(w, depth, entry_dn(e), e, "remote");
            deliver_remote(w, &a, e);
            return;
        }
    }
    expand(w, e, &a, NULL, depth, up);
}

static void expand_member(struct walk *w, const char *dn, unsigned depth, const struct frame *up)
{
    const struct entry *e;
    enum answer answer = entry_by_dn(w->snap, dn, &e);
    if (answer == ANSWER_UNKNOWN)
        give_up(w, "a member of the group is not known now", entry_dn(up->entry));
    else if (answer == ANSWER_ABSENT)
        step(w, depth, dn, NULL, "dangling member");
    else
        expand_entry(w, e, depth, up);
}

/* Member number i of all, in the order of member_attrs. */
static void expand_target(struct walk *w, size_t i, unsigned depth, const struct frame *frame)
{
    for (size_t k = 0; k < MEMBER_ATTRS; k++) {
        size_t n = entry_count(frame->entry, member_attrs[k]);
        if (i >= n) {
            i -= n;
            continue;
        }
        const char *value = entry_value(frame->entry, member_attrs[k], i);
        if (member_attrs[k] == ATTR_MEMBER)
            expand_member(w, value, depth, frame);
        else
            walk_address(w, value, depth, frame);
        return;
    }
}

/* Members who say so themselves, by the list's address. */
static void expand_listed(struct walk *w, const char *address, unsigned depth,
                          const struct frame *up)
{
    char fold[ADDRESS_STRLEN];
    struct address a;
    struct index_key key;
    size_t max = (size_t)w->conf->alias_expansion_limit + 1;
    const struct entry *e[2];
    if (address_parse(&a, address) < 0)
        return;
    index_key(&key, INDEX_LISTED, fold, address_fold(&a, fold));
    if (snapshot_find(w->snap, &key, ~0U, e) == 0)
        return;
    struct uuid *members = arena_alloc(w->arena, max * sizeof *members);
    int n = members == NULL ? -1 : snapshot_list(w->snap, &key, members, max);
    if (n < 0 || (size_t)n == max)
        give_up(w, "the members of the list cannot be read, or are too many", entry_dn(up->entry));
    for (int i = 0; i < n && !w->unknown; i++)
        if (entry_by_uuid(w->snap, &members[i], &e[0]) == ANSWER_FOUND)
            expand_member(w, entry_dn(e[0]), depth, up);
}

static void expand_targets(struct walk *w, const struct entry *e, unsigned depth,
                           const struct frame *up)
{
    const struct frame frame = {.up = up, .entry = e};
    const char *value;
    size_t n = member_count(e);
    for (size_t i = 0; !w->unknown && i < n; i++)
        expand_target(w, i, depth + 1, &frame);
    if ((entry_kinds(e) & ENTRY_GROUP) == 0)
        return;
    for (size_t i = 0; !w->unknown && (value = entry_value(e, ATTR_MAIL, i)) != NULL; i++)
        expand_listed(w, value, depth + 1, &frame);
}

static bool keeps_copy(const struct entry *e)
{
    const char *mode;
    /* A user with a member forwards to the entry of that name (Exchange). */
    if ((entry_kinds(e) & ENTRY_GROUP) != 0 && entry_count(e, ATTR_ROUTING_ADDRESS) == 0)
        return false;
    if (entry_count(e, ATTR_ROUTING_ADDRESS) + entry_count(e, ATTR_MEMBER) == 0)
        return true;
    for (size_t i = 0; (mode = entry_value(e, ATTR_DELIVERY_MODE, i)) != NULL; i++)
        if (str_ieq(mode, "keep"))
            return true;
    return false;
}

/* Who sends to the address sends to this group, and not to one that holds it. */
static void keep_list(struct walk *w, const struct entry *e, const struct frame *up)
{
    for (; up != NULL; up = up->up)
        if ((entry_kinds(up->entry) & ENTRY_GROUP) != 0)
            return;
    if (!list_has_policy(e))
        return;
    const struct entry **lists =
        grow(w, w->lists, w->list_count, &w->list_capacity, sizeof *w->lists);
    if (lists == NULL)
        return;
    w->lists = lists;
    w->lists[w->list_count++] = e;
}

static void expand(struct walk *w, const struct entry *e, const struct address *a,
                   const char *detail, unsigned depth, const struct frame *up)
{
    char text[ADDRESS_STRLEN];
    /* A group that is a member of another has no address on this way. */
    const char *shown = w->with_steps && a->local[0] != '\0' ? address_format(a, text) : "";
    unsigned kinds = entry_kinds(e);
    bool self;
    if (depth > (unsigned)w->conf->alias_depth_limit) {
        give_up(w, "nested deeper than alias_depth_limit allows", entry_dn(e));
        return;
    }
    if (on_path(up, e, &self)) {
        step(w, depth, shown, e, self ? "own mailbox" : "loop");
        if (self)
            deliver_mailbox(w, e, a, detail);
        else
            refuse_loop(w, up, e);
        return;
    }
    if (seen_find(&w->entries, entry_uuid(e), hash_uuid, same_uuid) != NULL) {
        step(w, depth, shown, e, "already expanded");
        return;
    }
    seen_add(w, &w->entries, entry_uuid(e), hash_uuid);
    if ((kinds & ENTRY_DISABLED) != 0) {
        step(w, depth, shown, e, "disabled");
        w->disabled = w->disabled || w->reason == NULL;
        refuse(w, "the recipient is disabled", entry_dn(e));
        return;
    }
    if ((kinds & ENTRY_GROUP) != 0)
        keep_list(w, e, up);
    bool dynamic = entry_count(e, ATTR_MEMBER_URL) > 0;
    if ((kinds & ENTRY_GROUP) != 0 && (dynamic || (w->large > 0 && member_count(e) > w->large))) {
        step(w, depth, shown, e, dynamic ? "dynamic group" : "large group");
        deliver_list(w, e, a, depth, up);
        return;
    }
    step(w, depth, shown, e, kind_name(e));
    if ((kinds & ENTRY_USER) != 0 && keeps_copy(e))
        deliver_mailbox(w, e, a, detail);
    expand_targets(w, e, depth, up);
    if (w->count == 0 && !w->unknown)
        refuse(w, "the entry leads to no recipient", entry_dn(e));
}

/* ---- addresses ---- */

static void walk_catch_all(struct walk *w, const struct entry *domain, const char *address,
                           unsigned depth, const struct frame *up)
{
    const char *value;
    step(w, depth, address, domain, "catch-all");
    if (depth + 1 > (unsigned)w->conf->alias_depth_limit) {
        give_up(w, "nested deeper than alias_depth_limit allows", entry_dn(domain));
        return;
    }
    /* A catch-all that nobody owns would catch itself: that is a loop, and found by its frame. */
    for (const struct frame *f = up; f != NULL; f = f->up) {
        if (uuid_eq(entry_uuid(f->entry), entry_uuid(domain))) {
            refuse_loop(w, up, domain);
            return;
        }
    }
    const struct frame frame = {.up = up, .entry = domain};
    for (size_t i = 0; !w->unknown && (value = entry_value(domain, ATTR_CATCHALL, i)) != NULL; i++)
        walk_address(w, value, depth + 1, &frame);
}

static bool is_passed(const void *arg, const struct entry *e)
{
    const struct frame *up = arg;
    bool self;
    return on_path(up, e, &self);
}

static void walk_address(struct walk *w, const char *text, unsigned depth, const struct frame *up)
{
    struct locate_how how = {.passed = is_passed, .arg = up};
    struct located at;
    struct address a;
    /* No address begins so: an alias file means the account itself. */
    how.account = up != NULL && text[0] == '\\';
    if (address_parse(&a, text + how.account) < 0) {
        step(w, depth, text, NULL, "malformed");
        refuse(w, "malformed address", up == NULL ? NULL : entry_dn(up->entry));
        return;
    }
    if (a.domain[0] == '\0' && address_domain(a.domain, w->conf->myorigin) < 0)
        a.domain[0] = '\0';
    enum answer answer = locate_target(w->snap, &a, &how, w->arena, &at);
    if (up == NULL)
        w->local_domain = at.local_domain;
    if (at.rewrite != NULL)
        step(w, depth, text, at.rewrite, "domain alias");
    if (answer == ANSWER_UNKNOWN) {
        step(w, depth, text, NULL, "unknown");
        if (!w->unknown) {
            w->map = at.map;
            w->map_key = at.map_key;
        }
        give_up(w, at.reason, at.dn);
    } else if (answer == ANSWER_ABSENT) {
        step(w, depth, text, NULL, "absent");
        refuse(w, at.reason, at.dn);
    } else if (at.as == LOCATED_REMOTE) {
        step(w, depth, text, NULL, "remote");
        deliver_remote(w, &a, up == NULL ? NULL : up->entry);
    } else if (at.as == LOCATED_CATCH_ALL) {
        walk_catch_all(w, at.domain, text, depth, up);
    } else {
        expand(w, at.entry, &a, at.detail, depth, up);
    }
}

static void tell(struct walk *w, bool absent, struct resolution *out)
{
    memset(out, 0, sizeof *out);
    out->local_domain = w->local_domain;
    out->steps = w->steps;
    out->step_count = w->step_count;
    out->reason = w->reason;
    out->dn = w->dn;
    if (w->unknown) {
        out->answer = ANSWER_UNKNOWN;
        out->map = w->map;
        out->map_key = w->map_key;
    } else if (!absent) {
        out->answer = ANSWER_FOUND;
        out->deliveries = w->deliveries;
        out->count = w->count;
        out->lists = w->lists;
        out->list_count = w->list_count;
        out->reason = out->dn = NULL;
    } else {
        out->answer = ANSWER_ABSENT;
        out->disabled = w->disabled;
    }
}

static void resolve(struct walk *w, const char *address, struct resolution *out)
{
    struct address probe;
    walk_address(w, address, 0, NULL);
    /* What is no address can never be found; anything else is absent only in sync. */
    if (w->count == 0 && address_parse(&probe, address) == 0 &&
        !snapshot_domain_in_sync(w->snap,
                                 probe.domain[0] != '\0' ? probe.domain : w->conf->myorigin))
        w->unknown = true;
    tell(w, w->count == 0, out);
}

void resolve_address(struct snapshot *snap, const char *address, bool with_steps,
                     struct arena *arena, struct resolution *out)
{
    struct walk w = {
        .snap = snap, .conf = snapshot_conf(snap), .arena = arena, .with_steps = with_steps};
    resolve(&w, address, out);
}

void resolve_recipient(struct snapshot *snap, const char *address, bool with_steps,
                       struct arena *arena, struct resolution *out)
{
    struct walk w = {
        .snap = snap, .conf = snapshot_conf(snap), .arena = arena, .with_steps = with_steps};
    w.large = (size_t)w.conf->alias_expansion_step;
    resolve(&w, address, out);
}

/* ---- large groups, step by step ---- */

#define LIST_RESTARTS_MAX 10

/* The path to the group, from the frames' bottom; what is gone by now leads nowhere any more. */
static const struct frame *list_frames(struct walk *w, const struct resolve_list *list,
                                       struct frame *frames)
{
    const struct frame *up = NULL;
    size_t n = 0;
    for (size_t i = list->path_count; i-- > 0;) {
        if (entry_by_uuid(w->snap, &list->path[i], &frames[n].entry) != ANSWER_FOUND)
            continue;
        frames[n].up = up;
        up = &frames[n++];
    }
    return up;
}

/* Members have numbers only as long as the entry stays as it is. */
static void list_continue(struct walk *w, struct resolve_list *list, const struct entry *e)
{
    uint64_t generation = snapshot_generation(w->snap);
    if (list->next > 0 && generation == list->generation)
        return;
    uint32_t digest = entry_digest(e);
    list->generation = generation;
    if (list->next > 0 && digest != list->digest) {
        list->next = 0;
        if (list->restarts++ == LIST_RESTARTS_MAX)
            give_up(w, "the group changes faster than it can be expanded", entry_dn(e));
    }
    list->digest = digest;
}

void resolve_members(struct snapshot *snap, struct resolve_list *list, struct arena *arena,
                     struct resolution *out)
{
    struct walk w = {.snap = snap, .conf = snapshot_conf(snap), .arena = arena};
    struct frame frames[RESOLVE_PATH_MAX], frame;
    w.large = (size_t)w.conf->alias_expansion_step;
    switch (entry_by_uuid(snap, &list->group, &frame.entry)) {
    case ANSWER_UNKNOWN:
        give_up(&w, "the group is not known now", NULL);
        break;
    case ANSWER_ABSENT:
        list->done = true;
        break;
    default:
        frame.up = list_frames(&w, list, frames);
        list_continue(&w, list, frame.entry);
        size_t n = member_count(frame.entry), end = list->next + w.large;
        for (; !w.unknown && list->next < n && list->next < end; list->next++)
            expand_target(&w, list->next, list->depth + 1, &frame);
        list->done = list->next >= n;
        list->dynamic = entry_count(frame.entry, ATTR_MEMBER_URL) > 0;
    }
    tell(&w, false, out);
}

void resolve_entries(struct snapshot *snap, const struct resolve_list *list,
                     const struct uuid *uuids, size_t n, struct arena *arena,
                     struct resolution *out)
{
    struct walk w = {.snap = snap, .conf = snapshot_conf(snap), .arena = arena};
    struct frame frames[RESOLVE_PATH_MAX], frame;
    w.large = (size_t)w.conf->alias_expansion_step;
    enum answer answer = entry_by_uuid(snap, &list->group, &frame.entry);
    frame.up = list_frames(&w, list, frames);
    for (size_t i = 0; answer == ANSWER_FOUND && !w.unknown && i < n; i++) {
        const struct entry *e;
        enum answer one = entry_by_uuid(snap, &uuids[i], &e);
        if (one == ANSWER_UNKNOWN)
            give_up(&w, "a member of the group is not known now", entry_dn(frame.entry));
        else if (one == ANSWER_FOUND &&
                 (entry_kinds(e) & (ENTRY_USER | ENTRY_ALIAS | ENTRY_GROUP)) != 0)
            expand_entry(&w, e, list->depth + 1, &frame);
    }
    if (answer == ANSWER_UNKNOWN)
        give_up(&w, "the group is not known now", NULL);
    tell(&w, false, out);
}

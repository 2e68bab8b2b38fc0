#include "directory/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <unistd.h>

#include "directory/dn.h"
#include "directory/profile.h"
#include "directory/rdn.h"
#include "directory/replica.h"
#include "gateway/base/clock.h"
#include "gateway/base/str.h"

struct value {
    STAILQ_ENTRY(value) link;
    size_t name_len, len, line;
    char data[]; /* name NUL value NUL */
};

struct node {
    RB_ENTRY(node) tree;
    char *key; /* dn_normalize */
    char *dn;
    size_t line;
    struct uuid uuid;
    STAILQ_HEAD(, value) values;
    bool copied; /* from a replica: names are those that profile_unmap gives */
    bool dirty;  /* the replica has another state */
};

RB_HEAD(node_tree, node);

struct scratch {
    const struct conf *conf;
    struct node_tree tree;
    size_t count, bytes;
    uint64_t serial; /* of made-up uuids */
    struct buf gone; /* uuids to be deleted from the replica */
    struct replica *replica;
    struct directory *directory;
    struct profile_set *profiles;
    struct profile_table *table;
    char *before; /* signature of the directory that was copied; NULL: none was */
};

static int node_cmp(const struct node *a, const struct node *b)
{
    return strcmp(a->key, b->key);
}

RB_GENERATE_INTERNAL(node_tree, node, tree, node_cmp, static __attribute__((unused)));

const char *scratch_text(enum scratch_result result)
{
    static const char *const texts[] = {
        [SCRATCH_OK] = "done",
        [SCRATCH_BAD_DN] = "the DN is malformed",
        [SCRATCH_EXISTS] = "an entry of this name is there already",
        [SCRATCH_ABSENT] = "there is no such entry",
        [SCRATCH_CHILDREN] = "there are entries below it",
        [SCRATCH_NO_VALUE] = "a value that is to be deleted is not there",
        [SCRATCH_FULL] = "it is larger than directory_map_size",
    };
    return texts[result];
}

/* Entries are written anew where other profiles apply now. */
static void choose_table(struct scratch *s)
{
    struct node *n;
    struct profile_table *t = profile_set_choose(s->profiles, s->conf, s->before);
    bool same = s->table != NULL &&
                strcmp(profile_table_signature(t), profile_table_signature(s->table)) == 0;
    RB_FOREACH (n, node_tree, &s->tree)
        n->dirty = n->dirty || !same;
    profile_table_free(&s->table);
    s->table = t;
}

struct scratch *scratch_new(const struct conf *conf, char **error)
{
    struct scratch *s = mem_zalloc(sizeof *s);
    struct buf errors = {0};
    s->conf = conf;
    s->profiles = profile_set_load(conf, &errors);
    if (s->profiles == NULL) {
        *error = buf_steal_str(&errors);
        free(s);
        return NULL;
    }
    s->gone.max = SIZE_MAX / 2;
    RB_INIT(&s->tree);
    choose_table(s);
    return s;
}

static void node_free(struct node *n)
{
    struct value *v;
    while ((v = STAILQ_FIRST(&n->values)) != NULL) {
        STAILQ_REMOVE_HEAD(&n->values, link);
        mem_wipe_free(v, sizeof *v + v->name_len + v->len + 2); /* a password may be among them */
    }
    free(n->key);
    free(n->dn);
    free(n);
}

void scratch_free(struct scratch **ps)
{
    struct scratch *s = *ps;
    struct node *n;
    *ps = NULL;
    if (s == NULL)
        return;
    while ((n = RB_MIN(node_tree, &s->tree)) != NULL) {
        RB_REMOVE(node_tree, &s->tree, n);
        node_free(n);
    }
    directory_close(&s->directory);
    replica_close(&s->replica);
    buf_free(&s->gone);
    profile_table_free(&s->table);
    profile_set_free(&s->profiles);
    free(s->before);
    free(s);
}

/* ---- entries and their values ---- */

static struct node *find(const struct scratch *s, const char *dn)
{
    char normal[DN_MAX];
    struct node key = {.key = normal};
    if (dn_normalize(dn, normal) < 0)
        return NULL;
    return RB_FIND(node_tree, (struct node_tree *)(uintptr_t)&s->tree, &key);
}

static void make_uuid(struct scratch *s, struct uuid *out)
{
    static const uint8_t base[16] = {0xd1, 0x71, 0x60, 0, 0, 0, 0x80, 0, 0x80};
    memcpy(out->bytes, base, sizeof base);
    s->serial++;
    for (size_t i = 0; i < 7; i++)
        out->bytes[15 - i] = (uint8_t)(s->serial >> (8 * i));
}

static enum scratch_result node_new(struct scratch *s, const char *dn, size_t line,
                                    struct node **out)
{
    char normal[DN_MAX];
    if (dn_normalize(dn, normal) < 0)
        return SCRATCH_BAD_DN;
    struct node key = {.key = normal};
    if (RB_FIND(node_tree, &s->tree, &key) != NULL)
        return SCRATCH_EXISTS;
    struct node *n = mem_zalloc(sizeof *n);
    n->key = mem_strdup(normal);
    n->dn = mem_strdup(dn);
    n->line = line;
    n->dirty = true;
    STAILQ_INIT(&n->values);
    make_uuid(s, &n->uuid);
    RB_INSERT(node_tree, &s->tree, n);
    s->count++;
    *out = n;
    return SCRATCH_OK;
}

static void drop(struct scratch *s, struct node *n)
{
    buf_append(&s->gone, &n->uuid, sizeof n->uuid);
    RB_REMOVE(node_tree, &s->tree, n);
    s->count--;
    node_free(n);
}

static enum scratch_result add_value(struct scratch *s, struct node *n, const char *name,
                                     const char *text, size_t len, size_t line)
{
    size_t name_len = strlen(name), size = sizeof(struct value) + name_len + len + 2;
    if (s->bytes + size > s->conf->directory_map_size)
        return SCRATCH_FULL;
    s->bytes += size;
    struct value *v = mem_alloc(size);
    v->name_len = name_len;
    v->len = len;
    v->line = line;
    memcpy(v->data, name, name_len + 1);
    memcpy(v->data + name_len + 1, text, len);
    v->data[name_len + 1 + len] = '\0';
    STAILQ_INSERT_TAIL(&n->values, v, link);
    n->dirty = true;
    if (s->before == NULL) {
        bool class = str_ieq(name, "objectClass");
        profile_set_saw(s->profiles, class, class ? text : name, class ? len : name_len);
    }
    if (str_ieq(name, "entryUUID") && !n->copied) {
        struct uuid uuid;
        if (uuid_parse(&uuid, v->data + name_len + 1) == 0 && !uuid_is_zero(&uuid))
            n->uuid = uuid;
    }
    return SCRATCH_OK;
}

static const char *value_text(const struct value *v)
{
    return v->data + v->name_len + 1;
}

/* Whether a change of the attribute name is about this value. */
static bool same_attribute(const struct scratch *s, const struct node *n, const struct value *v,
                           const char *name)
{
    size_t len = strlen(name);
    return str_is(name, len, v->data) ||
           (n->copied && profile_same(s->table, name, len, v->data, v->name_len));
}

/* Removes the values of an attribute that are text (NULL: all); their number. */
static size_t remove_values(const struct scratch *s, struct node *n, const char *name,
                            const char *text, size_t len)
{
    struct value *v, *next;
    size_t removed = 0;
    STAILQ_FOREACH_SAFE(v, &n->values, link, next)
    {
        if (!same_attribute(s, n, v, name) ||
            (text != NULL && (v->len != len || !str_ieq_n(value_text(v), text, len))))
            continue;
        STAILQ_REMOVE(&n->values, v, value, link);
        mem_wipe_free(v, sizeof *v + v->name_len + v->len + 2);
        removed++;
        n->dirty = true;
    }
    return removed;
}

static bool has_value(const struct scratch *s, const struct node *n, const char *name,
                      const char *text, size_t len)
{
    const struct value *v;
    STAILQ_FOREACH (v, &n->values, link)
        if (same_attribute(s, n, v, name) && v->len == len && str_ieq_n(value_text(v), text, len))
            return true;
    return false;
}

/* ---- changes ---- */

static enum scratch_result apply_add(struct scratch *s, const struct ldif_record *r)
{
    struct node *n;
    enum scratch_result rc = node_new(s, r->dn, r->line, &n);
    for (size_t i = 0; rc == SCRATCH_OK && i < r->count; i++)
        rc = add_value(s, n, r->items[i].name, r->items[i].value, r->items[i].value_len,
                       r->items[i].line);
    return rc;
}

/* Whether the first name lies below the second; both are normal forms. */
static bool is_below(const char *key, const char *base)
{
    size_t n = strlen(key), m = strlen(base);
    return n > m + 1 && key[n - m - 1] == ',' && strcmp(key + n - m, base) == 0;
}

static enum scratch_result apply_delete(struct scratch *s, const struct ldif_record *r)
{
    struct node *n = find(s, r->dn), *other;
    if (n == NULL)
        return SCRATCH_ABSENT;
    RB_FOREACH (other, node_tree, &s->tree)
        if (is_below(other->key, n->key))
            return SCRATCH_CHILDREN;
    drop(s, n);
    return SCRATCH_OK;
}

/* Whether a copy can know of the attribute at all. */
static bool is_known(const struct scratch *s, const struct node *n, const char *name)
{
    size_t len = strlen(name);
    return !n->copied || profile_same(s->table, name, len, name, len);
}

static enum scratch_result apply_modify(struct scratch *s, const struct ldif_record *r)
{
    struct node *n = find(s, r->dn);
    enum ldif_op op = LDIF_OP_VALUE;
    if (n == NULL)
        return SCRATCH_ABSENT;
    for (size_t i = 0; i < r->count; i++) {
        const struct ldif_item *item = &r->items[i];
        bool known = is_known(s, n, item->name);
        enum scratch_result rc = SCRATCH_OK;
        if (item->op != LDIF_OP_VALUE) {
            op = item->op;
            bool bare = i + 1 == r->count || r->items[i + 1].op != LDIF_OP_VALUE;
            if (op == LDIF_OP_REPLACE)
                remove_values(s, n, item->name, NULL, 0);
            else if (op == LDIF_OP_DELETE && bare &&
                     remove_values(s, n, item->name, NULL, 0) == 0 && known)
                rc = SCRATCH_NO_VALUE;
        } else if (op == LDIF_OP_DELETE) {
            if (remove_values(s, n, item->name, item->value, item->value_len) == 0 && known)
                rc = SCRATCH_NO_VALUE;
        } else if (!has_value(s, n, item->name, item->value, item->value_len)) {
            rc = add_value(s, n, item->name, item->value, item->value_len, item->line);
        }
        if (rc != SCRATCH_OK)
            return rc;
    }
    return SCRATCH_OK;
}

struct rename {
    struct scratch *s;
    struct node *node;
    bool remove;
};

static void rdn_value(void *arg, const char *type, const char *value)
{
    struct rename *r = arg;
    if (r->remove)
        remove_values(r->s, r->node, type, value, strlen(value));
    else if (!has_value(r->s, r->node, type, value, strlen(value)))
        add_value(r->s, r->node, type, value, strlen(value), 0);
}

/* Gives a node, which is out of the tree, its new name. */
static enum scratch_result set_name(struct scratch *s, struct node *n, const char *dn)
{
    char normal[DN_MAX];
    if (dn_normalize(dn, normal) < 0)
        return SCRATCH_BAD_DN;
    free(n->key);
    free(n->dn);
    n->key = mem_strdup(normal);
    n->dn = mem_strdup(dn);
    n->dirty = true;
    struct node *there = RB_INSERT(node_tree, &s->tree, n);
    if (there == NULL)
        return SCRATCH_OK;
    s->count--;
    buf_append(&s->gone, &n->uuid, sizeof n->uuid);
    node_free(n);
    return SCRATCH_EXISTS;
}

/* The entries below a renamed one: their names end in its new one. */
static enum scratch_result rename_children(struct scratch *s, const char *old_key, const char *dn)
{
    STAILQ_HEAD(, child) list = STAILQ_HEAD_INITIALIZER(list);
    struct child {
        STAILQ_ENTRY(child) link;
        struct node *node;
    } * c;
    struct node *n;
    enum scratch_result rc = SCRATCH_OK;
    RB_FOREACH (n, node_tree, &s->tree) {
        if (is_below(n->key, old_key)) {
            c = mem_zalloc(sizeof *c);
            c->node = n;
            STAILQ_INSERT_TAIL(&list, c, link);
        }
    }
    size_t depth = dn_depth(old_key);
    while ((c = STAILQ_FIRST(&list)) != NULL) {
        STAILQ_REMOVE_HEAD(&list, link);
        int head = dn_head(c->node->dn, dn_depth(c->node->key) - depth);
        char *name = mem_printf("%.*s,%s", head < 0 ? 0 : head, c->node->dn, dn);
        RB_REMOVE(node_tree, &s->tree, c->node);
        enum scratch_result one = set_name(s, c->node, name);
        rc = rc == SCRATCH_OK ? one : rc;
        free(name);
        free(c);
    }
    return rc;
}

/* What stands behind the first RDN; "" behind the last. */
static const char *parent_of(const char *dn)
{
    int head = dn_head(dn, 1);
    const char *parent = dn + (head < 0 ? 0 : head);
    parent += strcspn(parent, ",;");
    return *parent == '\0' ? parent : parent + 1 + strspn(parent + 1, " ");
}

static enum scratch_result apply_rename(struct scratch *s, const struct ldif_record *r)
{
    struct node *n = find(s, r->dn);
    if (n == NULL)
        return SCRATCH_ABSENT;
    const char *parent = r->new_superior != NULL ? r->new_superior : parent_of(n->dn);
    char *dn = mem_printf("%s%s%s", r->new_rdn, *parent != '\0' ? "," : "", parent);
    char *old_key = mem_strdup(n->key);
    char normal[DN_MAX];
    enum scratch_result rc = SCRATCH_OK;
    struct node *there = find(s, dn);
    if (dn_normalize(dn, normal) < 0)
        rc = SCRATCH_BAD_DN;
    else if (there != NULL && there != n)
        rc = SCRATCH_EXISTS;
    if (rc == SCRATCH_OK) {
        struct rename change = {.s = s, .node = n, .remove = true};
        if (r->delete_old_rdn)
            rdn_each(n->dn, rdn_value, &change);
        change.remove = false;
        rdn_each(r->new_rdn, rdn_value, &change);
        RB_REMOVE(node_tree, &s->tree, n);
        rc = set_name(s, n, dn);
    }
    if (rc == SCRATCH_OK && strcmp(old_key, normal) != 0)
        rc = rename_children(s, old_key, dn);
    free(old_key);
    free(dn);
    return rc;
}

enum scratch_result scratch_apply(struct scratch *s, const struct ldif_record *r)
{
    switch (r->change) {
    case LDIF_DELETE:
        return apply_delete(s, r);
    case LDIF_MODIFY:
        return apply_modify(s, r);
    case LDIF_MODRDN:
        return apply_rename(s, r);
    default:
        return apply_add(s, r);
    }
}

/* ---- the copy ---- */

struct copying {
    struct scratch *s;
    struct node *node;
    enum scratch_result result;
};

static void copy_value(void *arg, const char *name, const char *value)
{
    struct copying *c = arg;
    if (c->result == SCRATCH_OK)
        c->result = add_value(c->s, c->node, name, value, strlen(value), 0);
}

int scratch_copy(struct scratch *s, struct directory *from)
{
    struct snapshot *snap = snapshot_take(from);
    struct uuid uuid = {{0}};
    const struct entry *e;
    enum answer more = ANSWER_UNKNOWN;
    struct directory_state state;
    directory_state(from, &state);
    free(s->before);
    s->before = mem_strdup(state.profiles);
    choose_table(s);
    while (snap != NULL && (more = entry_next(snap, &uuid, &e)) == ANSWER_FOUND) {
        struct copying c = {.s = s};
        c.result = node_new(s, entry_dn(e), 0, &c.node);
        if (c.result != SCRATCH_OK)
            continue; /* a name that the replica has twice for the moment */
        c.node->copied = true;
        c.node->uuid = uuid;
        profile_unmap(e, copy_value, &c);
        if (c.result != SCRATCH_OK)
            break;
    }
    snapshot_release(&snap);
    return more == ANSWER_ABSENT ? 0 : -1;
}

/* ---- the replica ---- */

/* The files have no names any more once they are open, so nothing is left behind. */
static struct replica *open_unnamed(const struct conf *conf, char **error)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "boot"};
    const char *const places[] = {getenv("TMPDIR"), "/dev/shm", "/tmp"};
    char *dir = NULL;
    for (size_t i = 0; dir == NULL && i < 3; i++) {
        if (places[i] == NULL || *places[i] == '\0')
            continue;
        dir = mem_printf("%s/dirigo-XXXXXX", places[i]);
        if (mkdtemp(dir) == NULL) {
            free(dir);
            dir = NULL;
        }
    }
    if (dir == NULL) {
        *error = mem_strdup("no folder for temporary files can be made");
        return NULL;
    }
    struct replica *r = replica_open(dir, conf->directory_map_size, error);
    for (size_t i = 0; i < 3; i++) {
        char *path = mem_printf("%s/%s", dir, files[i]);
        unlink(path);
        free(path);
    }
    rmdir(dir);
    free(dir);
    return r;
}

static int put_node(struct scratch *s, struct node *n, struct entry_draft *draft,
                    struct buf *secrets)
{
    struct profile_entry p;
    const struct value *v;
    profile_begin(&p, s->table, draft, secrets, &n->uuid, n->dn);
    STAILQ_FOREACH (v, &n->values, link)
        profile_value(&p, v->data, v->name_len, value_text(v), v->len);
    n->dirty = false;
    return profile_end(&p) ? replica_put_one(s->replica, draft)
                           : replica_delete(s->replica, &n->uuid);
}

static int write_all(struct scratch *s)
{
    struct entry_draft draft = {0};
    struct buf secrets = {0};
    struct node *n;
    int rc = replica_begin(s->replica);
    for (size_t i = 0; rc == 0 && i < s->gone.len / sizeof(struct uuid); i++) {
        struct uuid uuid;
        memcpy(&uuid, s->gone.data + i * sizeof uuid, sizeof uuid);
        rc = replica_delete(s->replica, &uuid);
    }
    RB_FOREACH (n, node_tree, &s->tree) {
        if (rc != 0)
            break;
        if (n->dirty)
            rc = put_node(s, n, &draft, &secrets);
    }
    entry_draft_free(&draft);
    buf_wipe_free(&secrets);
    buf_clear(&s->gone);
    struct replica_state *state = replica_state(s->replica);
    state->in_sync = 1;
    state->last_sync = clock_wall();
    snprintf(state->source, sizeof state->source, "scratch");
    return rc == 0 ? replica_commit(s->replica) : -1;
}

struct directory *scratch_directory(struct scratch *s, char **error)
{
    if (s->replica == NULL) {
        s->replica = open_unnamed(s->conf, error);
        if (s->replica == NULL)
            return NULL;
        s->directory = directory_on(s->conf, replica_db(s->replica));
    }
    choose_table(s);
    if (write_all(s) == 0)
        return s->directory;
    *error = mem_printf("the temporary replica: %s", replica_error(s->replica));
    return NULL;
}

/* ---- looking ---- */

size_t scratch_count(const struct scratch *s)
{
    return s->count;
}

bool scratch_has(const struct scratch *s, const char *dn)
{
    return find(s, dn) != NULL;
}

const char *scratch_value(const struct scratch *s, const char *dn, const char *attr, size_t i)
{
    const struct node *n = find(s, dn);
    const struct value *v;
    if (n == NULL)
        return NULL;
    STAILQ_FOREACH (v, &n->values, link)
        if (str_ieq(v->data, attr) && i-- == 0)
            return value_text(v);
    return NULL;
}

size_t scratch_line(const struct scratch *s, const char *dn, const char *value)
{
    const struct node *n = find(s, dn);
    const struct value *v;
    if (n == NULL || value == NULL)
        return n == NULL ? 0 : n->line;
    STAILQ_FOREACH (v, &n->values, link)
        if (strcmp(value_text(v), value) == 0)
            return v->line;
    return n->line;
}

/*
 * Subtrees of the replica. When an entry with others below it is renamed, a server tells of that
 * entry alone (RFC 4533 section 1.3.1): the DNs of the rest follow from it.
 *
 * The keys of INDEX_DN run from the root down, so a subtree is one range of keys; those of very
 * long DNs are cut and hashed at their end, so what a key promises is checked with the DN itself.
 */
#include <string.h>

#include "directory/dn.h"
#include "directory/replica.h"

/* What is left of a key in front of the digest that ends a cut one. */
#define PREFIX_MAX (DB_KEY_MAX - 17)
/* Bytes of memory for the uuids of a subtree that moves. */
#define UUIDS_MAX ((size_t)1 << 32)

struct subtree {
    char normal[DN_MAX]; /* of its root, from the root of the tree down, and a comma */
    size_t len;
    struct index_key first; /* what all keys below it begin with */
};

static int subtree_init(struct subtree *t, const char *dn)
{
    int len = dn_normalize(dn, t->normal);
    if (len <= 0 || len + 1 >= DN_MAX)
        return -1;
    dn_reverse(t->normal, (size_t)len);
    t->normal[len] = ',';
    t->len = (size_t)len + 1;
    t->first.data[0] = INDEX_DN;
    size_t n = t->len < PREFIX_MAX ? t->len : PREFIX_MAX;
    memcpy(t->first.data + 1, t->normal, n);
    t->first.len = n + 1;
    return 0;
}

/* Whether dn lies below the root; its depth in *depth. */
static bool subtree_has(const struct subtree *t, const char *dn, size_t *depth)
{
    char normal[DN_MAX];
    int len = dn_normalize(dn, normal);
    if (len < 0)
        return false;
    *depth = dn_depth(normal);
    dn_reverse(normal, (size_t)len);
    return (size_t)len > t->len && memcmp(normal, t->normal, t->len) == 0;
}

struct walk {
    struct replica *r;
    const struct subtree *tree;
    struct index_key at; /* the last key that was looked at; empty: none yet */
};

/* The next key in the range: its first value into *uuid. */
static enum db_result next_key(struct walk *w)
{
    const void *key;
    size_t len;
    struct db *db = replica_db(w->r);
    if (w->at.len > 0) { /* the least key that is greater */
        if (w->at.len < DB_KEY_MAX) {
            w->at.data[w->at.len++] = '\0';
        } else {
            while (w->at.len > 1 && (unsigned char)w->at.data[w->at.len - 1] == 0xff)
                w->at.len--;
            w->at.data[w->at.len - 1]++;
        }
    } else {
        w->at = w->tree->first;
    }
    enum db_result rc = db_seek(db, TABLE_INDEX, w->at.data, w->at.len, &key, &len);
    if (rc != DB_OK)
        return rc;
    if (len > DB_KEY_MAX || len < w->tree->first.len ||
        memcmp(key, w->tree->first.data, w->tree->first.len) != 0)
        return DB_NONE;
    memcpy(w->at.data, key, len);
    w->at.len = len;
    return DB_OK;
}

/* Appends the uuids of what stands below the root, at most max of them. 0 or -1. */
static int collect(struct replica *r, const struct subtree *t, size_t max, struct buf *out)
{
    struct walk w = {.r = r, .tree = t};
    struct db *db = replica_db(r);
    enum db_result rc = DB_OK;
    while (out->len / sizeof(struct uuid) < max && (rc = next_key(&w)) == DB_OK) {
        const void *value;
        rc = db_dup_first(db, TABLE_INDEX, w.at.data, w.at.len, &value);
        for (; rc == DB_OK; rc = db_dup_next(db, TABLE_INDEX, &value)) {
            const struct entry *e;
            size_t depth;
            enum db_result got = replica_get(r, value, &e);
            if (got == DB_FAIL)
                return -1;
            if (got == DB_OK && subtree_has(t, entry_dn(e), &depth) &&
                buf_append(out, value, sizeof(struct uuid)) < 0)
                return -1;
        }
        if (rc == DB_FAIL)
            return -1;
    }
    return rc == DB_FAIL ? -1 : 0;
}

static int move_one(struct replica *r, const struct subtree *t, size_t root_depth,
                    const struct uuid *uuid, const char *new_dn, struct entry_draft *d)
{
    const struct entry *e;
    struct buf dn = {0};
    size_t depth = 0;
    enum db_result rc = replica_get(r, uuid, &e);
    if (rc != DB_OK) /* one that was moved before took its DN and put it out */
        return rc == DB_NONE ? 0 : -1;
    if (!subtree_has(t, entry_dn(e), &depth))
        return 0;
    int len = dn_head(entry_dn(e), depth - root_depth);
    int result = len < 0 ? -1 : buf_append(&dn, entry_dn(e), (size_t)len);
    if (result == 0)
        result = buf_printf(&dn, ",%s", new_dn);
    if (result == 0)
        result = entry_draft_copy(d, e, buf_str(&dn));
    if (result == 0)
        result = replica_put_one(r, d);
    buf_free(&dn);
    return result;
}

int replica_move_subtree(struct replica *r, const char *old_dn, const char *new_dn)
{
    struct subtree t;
    struct buf uuids = {0};
    struct entry_draft d = {0};
    char normal[DN_MAX];
    if (dn_normalize(old_dn, normal) <= 0 || subtree_init(&t, old_dn) < 0)
        return 0; /* nothing can stand below what is no DN */
    buf_init(&uuids, UUIDS_MAX);
    int rc = collect(r, &t, SIZE_MAX, &uuids);
    size_t depth = dn_depth(normal);
    for (size_t i = 0; rc == 0 && i < uuids.len / sizeof(struct uuid); i++)
        rc = move_one(r, &t, depth, (const struct uuid *)uuids.data + i, new_dn, &d);
    entry_draft_free(&d);
    buf_free(&uuids);
    return rc;
}

enum db_result replica_has_children(struct replica *r, const struct uuid *uuid)
{
    struct subtree t;
    struct buf uuids = {0};
    const struct entry *e;
    enum db_result rc = replica_get(r, uuid, &e);
    if (rc != DB_OK)
        return rc;
    if (subtree_init(&t, entry_dn(e)) < 0)
        return DB_NONE;
    int result = collect(r, &t, 1, &uuids);
    bool any = uuids.len > 0;
    buf_free(&uuids);
    return result < 0 ? DB_FAIL : any ? DB_OK : DB_NONE;
}

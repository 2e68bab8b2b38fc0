/* What the answers to a poll's questions mean for replica and stamps. */
#include <string.h>

#include "directory/poll_private.h"
#include "gateway/base/clock.h"
#include "gateway/base/str.h"

/* What of an entry is of interest before it is put. */
struct glance {
    struct uuid uuid;
    bool named; /* uuid is known */
    bool pieces;
    uint64_t change;
    uint32_t digest;
    struct buf dn;
};

const char *poll_stamp_attribute(const struct poll *p)
{
    return p->by_usn ? "uSNChanged" : p->active_directory ? "whenChanged" : "modifyTimestamp";
}

const char *poll_created_attribute(const struct poll *p)
{
    return p->by_usn ? "uSNCreated" : p->active_directory ? "whenCreated" : "createTimestamp";
}

static uint64_t number(const struct berval *v)
{
    uint64_t n = 0;
    for (size_t i = 0; i < v->bv_len && v->bv_val[i] >= '0' && v->bv_val[i] <= '9'; i++)
        n = n * 10 + (uint64_t)(v->bv_val[i] - '0');
    return n;
}

static uint64_t stamp_of(const struct poll *p, const struct berval *v)
{
    if (p->by_usn)
        return number(v);
    int64_t seconds = generalized_time_parse(v->bv_val, v->bv_len);
    return seconds > 0 ? (uint64_t)seconds : 0;
}

/* "member;range=0-1499" says that there is more; "member;range=1500-*" that there is not. */
static const char *range_option(const struct berval *name)
{
    static const char option[] = ";range=";
    for (size_t i = 0; i + sizeof option - 1 < name->bv_len; i++)
        if (strncasecmp(name->bv_val + i, option, sizeof option - 1) == 0)
            return name->bv_val + i + sizeof option - 1;
    return NULL;
}

/* Where the next piece begins; 0: this was the last one, or there are no pieces. */
static uint64_t next_piece(const struct berval *name)
{
    const char *at = range_option(name), *end = name->bv_val + name->bv_len;
    if (at == NULL || end[-1] == '*')
        return 0;
    at = memchr(at, '-', (size_t)(end - at));
    if (at == NULL)
        return 0;
    struct berval last = {.bv_val = (char *)at + 1, .bv_len = (ber_len_t)(end - at - 1)};
    return number(&last) + 1;
}

static void look_at(const struct poll *p, struct glance *g, const struct berval *name,
                    BerVarray values)
{
    if (next_piece(name) > 0)
        g->pieces = true;
    if (values == NULL || values[0].bv_val == NULL)
        return;
    if (str_is(name->bv_val, name->bv_len, entry_key_attribute(p->key))) {
        g->named = entry_key_parse(p->key, values[0].bv_val, values[0].bv_len, &g->uuid) == 0;
    } else if (str_is(name->bv_val, name->bv_len, poll_stamp_attribute(p)) ||
               str_is(name->bv_val, name->bv_len, poll_created_attribute(p))) {
        uint64_t change = stamp_of(p, &values[0]);
        g->change = change > g->change ? change : g->change;
    } else {
        /* The order of values is the server's, and need not be the same each time. */
        for (; values->bv_val != NULL; values++)
            g->digest ^= str_crc32c(str_crc32c(0, name->bv_val, name->bv_len), values->bv_val,
                                    values->bv_len);
    }
}

static int glance(struct source *s, LDAPMessage *msg, struct glance *g)
{
    LDAP *ld = ldapconn_ld(s->conn);
    BerElement *ber = NULL;
    struct berval dn;
    int rc = ldap_get_dn_ber(ld, msg, &ber, &dn);
    memset(g, 0, sizeof *g);
    if (rc == LDAP_SUCCESS)
        buf_append(&g->dn, dn.bv_val, dn.bv_len);
    while (rc == LDAP_SUCCESS) {
        struct berval name;
        BerVarray values = NULL;
        rc = ldap_get_attribute_ber(ld, msg, ber, &name, &values);
        if (rc != LDAP_SUCCESS || name.bv_val == NULL)
            break;
        look_at(poll_of(s), g, &name, values);
        ber_memfree(values);
    }
    ber_free(ber, 0);
    return rc == LDAP_SUCCESS ? 0 : -1;
}

static void saw_stamp(struct source *s, uint64_t change)
{
    struct poll *p = poll_of(s);
    if (!p->by_usn)
        poll_clock_saw(&p->clock, (int64_t)change, clock_now_ms(),
                       s->env->conf->directory_poll_overlap);
}

/*
 * An entry with all its attributes. Where nothing but the stamp is new (a domain controller counts
 * logins in the entry), a password that was verified stays so.
 */
static void put(struct source *s, LDAPMessage *msg, const struct glance *g)
{
    struct poll *p = poll_of(s);
    struct stamp *stamp = stamp_map_put(&p->stamps, &g->uuid);
    bool first = stamp->change == 0;
    bool same = !first && stamp->digest == g->digest;
    if (!same || !p->by_usn) /* by seconds a password may have changed twice */
        source_touch(s, &g->uuid);
    if (same && stamp->change == g->change && p->step == STEP_ENTRIES && !p->everything)
        return; /* the overlap brought it again */
    p->seen++;
    stamp->change = g->change;
    stamp->digest = g->digest;
    if (!g->pieces) {
        if (source_put_entry(s, msg, &g->uuid) == 0)
            stamp->use = s->draft.kinds == 0 ? STAMP_NO_MAIL : STAMP_MAIL;
        return;
    }
    buf_append(&p->ranged, &g->uuid, sizeof g->uuid);
    buf_append(&p->ranged, g->dn.data, g->dn.len);
    buf_append_byte(&p->ranged, '\0');
}

/* A key of the reconciling scan: whether the entry is here as the server has it. */
static void compare(struct source *s, const struct glance *g)
{
    struct poll *p = poll_of(s);
    struct buf dn = {0}, shown = {0};
    uuid_set_add(&s->seen, &g->uuid);
    enum db_result rc = replica_dn(s->replica, &g->uuid, &dn);
    buf_append(&shown, g->dn.data, g->dn.len);
    bool elsewhere = rc == DB_OK && strcmp(buf_str(&dn), buf_str(&shown)) != 0;
    const struct stamp *known = stamp_map_get(&p->stamps, &g->uuid);
    bool expected = known == NULL || known->use == STAMP_MAIL;
    bool missed = (known != NULL && known->change != g->change) || (rc == DB_NONE && expected);
    if (rc != DB_FAIL && known == NULL && !missed && !elsewhere)
        stamp_map_put(&p->stamps, &g->uuid)->change = g->change;
    else if (missed || elsewhere)
        buf_append(&p->fetch, &g->uuid, sizeof g->uuid);
    buf_free(&dn);
    buf_free(&shown);
    if (rc == DB_FAIL)
        source_disk_failed(s);
}

/* One piece after another, until none is left. */
static void take_pieces(struct source *s, LDAPMessage *msg)
{
    struct poll *p = poll_of(s);
    LDAP *ld = ldapconn_ld(s->conn);
    BerElement *ber = NULL;
    struct berval dn;
    buf_clear(&p->names);
    int rc = ldap_get_dn_ber(ld, msg, &ber, &dn);
    while (rc == LDAP_SUCCESS) {
        struct berval name;
        BerVarray values = NULL;
        rc = ldap_get_attribute_ber(ld, msg, ber, &name, &values);
        if (rc != LDAP_SUCCESS || name.bv_val == NULL)
            break;
        source_entry_values(s, &name, values);
        uint64_t next = next_piece(&name);
        if (next > 0)
            buf_printf(&p->names, "%.*s%llu-*%c", (int)(range_option(&name) - name.bv_val),
                       name.bv_val, (unsigned long long)next, '\0');
        ber_memfree(values);
    }
    ber_free(ber, 0);
    if (rc != LDAP_SUCCESS)
        source_fail(s, "an entry is malformed");
}

void poll_take_entry(struct source *s, LDAPMessage *msg)
{
    struct poll *p = poll_of(s);
    struct glance g;
    if (p->step == STEP_RANGES) {
        take_pieces(s, msg);
        return;
    }
    if (glance(s, msg, &g) < 0) {
        source_fail(s, "an entry is malformed");
    } else if (g.named && p->step == STEP_TOMBSTONES) {
        source_delete(s, &g.uuid);
    } else if (g.named && p->step == STEP_KEYS) {
        compare(s, &g);
    } else if (g.named) {
        saw_stamp(s, g.change);
        if (p->everything || p->confirms)
            uuid_set_add(&s->seen, &g.uuid);
        put(s, msg, &g);
    } else if (p->step != STEP_TOMBSTONES) {
        source_fail(s, "an entry has no attribute that names it for ever (entryUUID, nsUniqueId, "
                       "objectGUID), or we may not read it");
    }
    buf_free(&g.dn);
}

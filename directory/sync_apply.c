#include <string.h>

#include "directory/sync_private.h"
#include "gateway/base/log.h"

/* Attributes of one entry that are looked at; a server sends those that it was asked for. */
#define ATTRIBUTES_MAX 256

int sync_begin(struct sync *s)
{
    if (s->open)
        return 0;
    if (replica_begin(s->replica) == 0) {
        if (secrets_store_begin(s->secrets) == 0) {
            s->open = true;
            return 0;
        }
        replica_abort(s->replica);
    }
    s->disk_failed = true;
    sync_fail(s, replica_error(s->replica));
    return -1;
}

void sync_abort(struct sync *s)
{
    if (!s->open)
        return;
    s->open = false;
    replica_abort(s->replica);
    secrets_store_abort(s->secrets);
}

/* The keys first, so that an entry never stands with older ones. */
int sync_commit(struct sync *s)
{
    if (!s->open)
        return 0;
    if (replica_lost(s->replica) && s->phase == PHASE_PERSIST) {
        sync_start_afresh(s, "entries have changed places; asking again for everything");
        return -1;
    }
    s->lost = s->lost || replica_lost(s->replica);
    s->open = false;
    if (secrets_store_commit(s->secrets) < 0)
        replica_abort(s->replica);
    else if (replica_commit(s->replica) == 0) {
        if (s->committed != NULL)
            s->committed(s->arg);
        return 0;
    }
    s->disk_failed = true;
    sync_fail(s, replica_error(s->replica));
    return -1;
}

static void write_failed(struct sync *s)
{
    s->disk_failed = true;
    sync_fail(s, replica_error(s->replica));
}

int sync_apply_delete(struct sync *s, const struct uuid *uuid)
{
    if (s->touched != NULL)
        s->touched(uuid, s->touched_arg);
    if (sync_begin(s) < 0)
        return -1;
    if (secrets_store_put(s->secrets, uuid, NULL, 0) == 0 && replica_delete(s->replica, uuid) == 0)
        return 0;
    write_failed(s);
    return -1;
}

int sync_apply_gone(struct sync *s, const struct uuid *uuid)
{
    if (sync_begin(s) < 0)
        return -1;
    enum db_result rc =
        s->phase == PHASE_PERSIST ? replica_has_children(s->replica, uuid) : DB_NONE;
    if (rc == DB_OK) {
        sync_start_afresh(s, "a subtree left search_base; asking again for everything");
        return -1;
    }
    return sync_apply_delete(s, uuid);
}

/*
 * A cookie covers what came before it and what it came with. While a refresh is under way it is
 * only kept in mind: stored too early, it would tell the server that we know of deletions we were
 * not yet told of. An empty one is none.
 */
static void take_cookie(struct sync *s, const struct berval *cookie)
{
    if (cookie->bv_len == 0)
        return;
    sync_cookie_merge(&s->cookie, cookie);
    if (s->phase == PHASE_PERSIST && sync_begin(s) == 0 &&
        replica_set_cookie(s->replica, s->cookie.data, s->cookie.len) < 0)
        write_failed(s);
}

/* ---- entries ---- */

struct attribute {
    struct berval name;
    BerVarray values;
};

static void read_values(struct profile_entry *p, const struct attribute *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; a[i].values != NULL && a[i].values[j].bv_val != NULL; j++)
            profile_value(p, a[i].name.bv_val, a[i].name.bv_len, a[i].values[j].bv_val,
                          a[i].values[j].bv_len);
}

/* Fills the draft from a message: 1, 0 where the entry means nothing to mail, -1 malformed. */
static int read_entry(struct sync *s, LDAPMessage *msg, const struct uuid *uuid)
{
    LDAP *ld = ldapconn_ld(s->conn);
    struct attribute a[ATTRIBUTES_MAX];
    struct profile_entry p;
    BerElement *ber = NULL;
    struct berval dn;
    size_t n = 0;
    int rc = ldap_get_dn_ber(ld, msg, &ber, &dn);
    if (rc == LDAP_SUCCESS) {
        /* The berval is not terminated by contract, so it is copied. */
        struct buf text = {0};
        buf_append(&text, dn.bv_val, dn.bv_len);
        profile_begin(&p, &s->draft, &s->values, uuid, buf_str(&text));
        buf_free(&text);
        for (; n < ATTRIBUTES_MAX; n++) {
            rc = ldap_get_attribute_ber(ld, msg, ber, &a[n].name, &a[n].values);
            if (rc != LDAP_SUCCESS || a[n].name.bv_val == NULL)
                break;
        }
        read_values(&p, a, n);
        for (size_t i = 0; i < n; i++)
            ber_memfree(a[i].values);
    }
    ber_free(ber, 0);
    if (rc != LDAP_SUCCESS)
        return -1;
    return profile_end(&p) ? 1 : 0;
}

static int put_entry(struct sync *s, LDAPMessage *msg, const struct uuid *uuid)
{
    int rc = read_entry(s, msg, uuid);
    if (rc == 0)
        return sync_apply_delete(s, uuid);
    if (rc < 0) {
        sync_fail(s, "an entry is malformed");
        return -1;
    }
    if (sync_begin(s) < 0)
        return -1;
    rc = secrets_store_put(s->secrets, uuid, s->values.data, s->values.len);
    if (s->values.len > 0)
        explicit_bzero(s->values.data, s->values.len);
    buf_clear(&s->values);
    if (rc == 0 && replica_put(s->replica, &s->draft) == 0)
        return 0;
    write_failed(s);
    return -1;
}

static int entry_control(struct sync *s, LDAPMessage *msg, struct sync_entry *out)
{
    LDAPControl **controls = NULL, *control;
    int rc = -1;
    if (ldap_get_entry_controls(ldapconn_ld(s->conn), msg, &controls) != LDAP_SUCCESS)
        return -1;
    control = ldap_control_find(LDAP_CONTROL_SYNC_STATE, controls, NULL);
    if (control != NULL && sync_entry_parse(&control->ldctl_value, out) == 0) {
        rc = 0;
        take_cookie(s, &out->cookie);
    }
    ldap_controls_free(controls);
    out->cookie.bv_val = NULL; /* it went with the controls */
    return rc;
}

void sync_apply_entry(struct sync *s, LDAPMessage *msg)
{
    struct sync_entry e;
    if (entry_control(s, msg, &e) < 0) {
        sync_fail(s, "an entry came without a sync state");
        return;
    }
    if (s->conn == NULL) /* its cookie could not be stored */
        return;
    if (s->phase != PHASE_PERSIST && e.state != SYNC_DELETE)
        uuid_set_add(&s->seen, &e.uuid);
    if (e.state != SYNC_PRESENT && s->touched != NULL)
        s->touched(&e.uuid, s->touched_arg);
    if (e.state == SYNC_DELETE)
        sync_apply_gone(s, &e.uuid);
    else if (e.state != SYNC_PRESENT)
        put_entry(s, msg, &e.uuid);
}

/* ---- intermediate messages ---- */

static void apply_present(const struct uuid *u, void *arg)
{
    struct sync *s = arg;
    uuid_set_add(&s->seen, u);
}

static void apply_deleted(const struct uuid *u, void *arg)
{
    struct sync *s = arg;
    if (s->conn != NULL) /* an earlier one of the set may have failed */
        sync_apply_gone(s, u);
}

static void apply_info(struct sync *s, const struct sync_info *info)
{
    bool refreshing = s->phase != PHASE_PERSIST;
    if (info->kind == SYNC_ID_SET &&
        sync_info_uuids(info, info->deletes ? apply_deleted : apply_present, s) < 0) {
        sync_fail(s, "an id set is malformed");
        return;
    }
    if (s->conn == NULL)
        return;
    take_cookie(s, &info->cookie);
    if (!refreshing || s->conn == NULL)
        return;
    if (info->kind == SYNC_REFRESH_PRESENT)
        s->sweep_needed = true;
    if ((info->kind == SYNC_REFRESH_PRESENT || info->kind == SYNC_REFRESH_DELETE) &&
        info->refresh_done && s->phase == PHASE_REFRESH)
        sync_refreshed(s);
}

void sync_apply_info(struct sync *s, LDAPMessage *msg)
{
    char *oid = NULL;
    struct berval *value = NULL;
    struct sync_info info;
    int rc = ldap_parse_intermediate(ldapconn_ld(s->conn), msg, &oid, &value, NULL, 0);
    if (rc == LDAP_SUCCESS && oid != NULL && strcmp(oid, LDAP_SYNC_INFO) == 0) {
        if (value == NULL || sync_info_parse(value, &info) < 0)
            sync_fail(s, "a sync message is malformed");
        else
            apply_info(s, &info);
    }
    ldap_memfree(oid);
    ber_bvfree(value);
}

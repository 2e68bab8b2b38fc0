#include <string.h>

#include "directory/source_private.h"

/* Attributes of one entry that are looked at; a server sends those that it was asked for. */
#define ATTRIBUTES_MAX 256

void source_disk_failed(struct source *s)
{
    s->disk_failed = true;
    source_fail(s, replica_error(s->replica));
}

int source_tx_begin(struct source *s)
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
    source_disk_failed(s);
    return -1;
}

void source_tx_abort(struct source *s)
{
    if (!s->open)
        return;
    s->open = false;
    replica_abort(s->replica);
    secrets_store_abort(s->secrets);
}

/* The keys first, so that an entry never stands with older ones. */
int source_tx_commit(struct source *s)
{
    if (!s->open)
        return 0;
    if (replica_lost(s->replica) && s->phase == PHASE_PERSIST) {
        source_start_afresh(s, "entries have changed places; asking again for everything");
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
    source_disk_failed(s);
    return -1;
}

void source_touch(struct source *s, const struct uuid *uuid)
{
    if (s->touched != NULL)
        s->touched(uuid, s->touched_arg);
}

int source_delete(struct source *s, const struct uuid *uuid)
{
    source_touch(s, uuid);
    if (source_tx_begin(s) < 0)
        return -1;
    if (secrets_store_put(s->secrets, uuid, NULL, 0) == 0 && replica_delete(s->replica, uuid) == 0)
        return 0;
    source_disk_failed(s);
    return -1;
}

int source_delete_gone(struct source *s, const struct uuid *uuid)
{
    if (source_tx_begin(s) < 0)
        return -1;
    enum db_result rc =
        s->phase == PHASE_PERSIST ? replica_has_children(s->replica, uuid) : DB_NONE;
    if (rc == DB_OK) {
        source_start_afresh(s, "a subtree left search_base; asking again for everything");
        return -1;
    }
    return source_delete(s, uuid);
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
static int read_entry(struct source *s, LDAPMessage *msg, const struct uuid *uuid)
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

int source_put_entry(struct source *s, LDAPMessage *msg, const struct uuid *uuid)
{
    int rc = read_entry(s, msg, uuid);
    if (rc == 0)
        return source_delete(s, uuid);
    if (rc < 0) {
        source_fail(s, "an entry is malformed");
        return -1;
    }
    if (source_tx_begin(s) < 0)
        return -1;
    rc = secrets_store_put(s->secrets, uuid, s->values.data, s->values.len);
    if (s->values.len > 0)
        explicit_bzero(s->values.data, s->values.len);
    buf_clear(&s->values);
    if (rc == 0 && replica_put(s->replica, &s->draft) == 0)
        return 0;
    source_disk_failed(s);
    return -1;
}

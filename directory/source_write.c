#include <string.h>

#include "directory/source_private.h"

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

const char *const *source_attributes(const struct source *s)
{
    return profile_attributes(s->table);
}

void source_filter(const struct source *s, struct buf *out)
{
    profile_filter(s->table, out);
}

void source_entry_begin(struct source *s, const struct uuid *uuid, const char *dn)
{
    source_entry_drop(s);
    profile_begin(&s->entry, s->table, &s->draft, &s->values, uuid, dn);
    s->entry_open = true;
}

void source_entry_values(struct source *s, const struct berval *name, BerVarray values)
{
    for (; values != NULL && values->bv_val != NULL; values++)
        profile_value(&s->entry, name->bv_val, name->bv_len, values->bv_val, values->bv_len);
}

void source_entry_drop(struct source *s)
{
    if (s->entry_open)
        profile_end(&s->entry);
    s->entry_open = false;
    if (s->values.len > 0)
        explicit_bzero(s->values.data, s->values.len);
    buf_clear(&s->values);
}

int source_entry_put(struct source *s)
{
    bool means_something = s->entry_open && profile_end(&s->entry);
    struct uuid uuid = s->draft.uuid;
    s->entry_open = false;
    if (!means_something)
        return source_delete(s, &uuid);
    if (source_tx_begin(s) < 0)
        return -1;
    int rc = secrets_store_put(s->secrets, &uuid, s->values.data, s->values.len);
    source_entry_drop(s);
    if (rc == 0 && replica_put(s->replica, &s->draft) == 0)
        return 0;
    source_disk_failed(s);
    return -1;
}

/* 0, or -1 where the message is malformed. */
static int read_entry(struct source *s, LDAPMessage *msg, const struct uuid *uuid)
{
    LDAP *ld = ldapconn_ld(s->conn);
    struct buf text = {0};
    BerElement *ber = NULL;
    struct berval dn, name;
    int rc = ldap_get_dn_ber(ld, msg, &ber, &dn);
    if (rc == LDAP_SUCCESS) {
        /* The berval is not terminated by contract, so it is copied. */
        buf_append(&text, dn.bv_val, dn.bv_len);
        source_entry_begin(s, uuid, buf_str(&text));
    }
    while (rc == LDAP_SUCCESS) {
        BerVarray values = NULL;
        rc = ldap_get_attribute_ber(ld, msg, ber, &name, &values);
        if (rc != LDAP_SUCCESS || name.bv_val == NULL)
            break;
        source_entry_values(s, &name, values);
        ber_memfree(values);
    }
    ber_free(ber, 0);
    buf_free(&text);
    return rc == LDAP_SUCCESS ? 0 : -1;
}

int source_put_entry(struct source *s, LDAPMessage *msg, const struct uuid *uuid)
{
    if (read_entry(s, msg, uuid) == 0)
        return source_entry_put(s);
    source_fail(s, "an entry is malformed");
    return -1;
}

size_t source_attribute_list(const struct source *s, const char *names[SOURCE_ATTRIBUTES_MAX])
{
    const char *const *wanted = source_attributes(s);
    size_t n = 0;
    while (wanted[n] != NULL && n < SOURCE_ATTRIBUTES_MAX - 9) {
        names[n] = wanted[n];
        n++;
    }
    return n;
}

bool source_entry_matters(struct source *s, LDAPMessage *msg, const struct uuid *uuid)
{
    bool matters = false;
    if (read_entry(s, msg, uuid) == 0) {
        matters = profile_end(&s->entry);
        s->entry_open = false;
    }
    source_entry_drop(s);
    return matters;
}

/* The method sync: the consumer of RFC 4533 (refreshAndPersist). */
#include <stdlib.h>
#include <string.h>

#include "directory/source_private.h"
#include "directory/syncmsg.h"
#include "gateway/base/mem.h"

/* Rounds of the list in which every server is behind the replica, before that is believed. */
#define BEHIND_TRIES 10

struct search {
    int id;
};

/*
 * A cookie covers what came before it and what it came with. While a refresh is under way it is
 * only kept in mind: stored too early, it would tell the server that we know of deletions we were
 * not yet told of. An empty one is none.
 */
static void take_cookie(struct source *s, const struct berval *cookie)
{
    if (cookie->bv_len == 0)
        return;
    sync_cookie_merge(&s->cookie, cookie);
    if (s->phase == PHASE_PERSIST && source_tx_begin(s) == 0 &&
        replica_set_cookie(s->replica, s->cookie.data, s->cookie.len) < 0)
        source_disk_failed(s);
}

static int entry_control(struct source *s, LDAPMessage *msg, struct sync_entry *out)
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

/* What is no recipient may hold others, and have come with them. */
static void put(struct source *s, LDAPMessage *msg, const struct uuid *uuid)
{
    unsigned kinds = 0;
    if (source_tx_begin(s) < 0)
        return;
    bool is_new = s->phase == PHASE_PERSIST && replica_kinds(s->replica, uuid, &kinds) == DB_NONE;
    if (source_put_entry(s, msg, uuid) == 0 && is_new && s->draft.kinds != 0 &&
        (s->draft.kinds & (ENTRY_USER | ENTRY_ALIAS | ENTRY_GROUP)) == 0)
        source_arrived(s, uuid);
}

static void apply_entry(struct source *s, LDAPMessage *msg)
{
    struct sync_entry e;
    if (entry_control(s, msg, &e) < 0) {
        source_fail(s, "an entry came without a sync state");
        return;
    }
    if (s->conn == NULL) /* its cookie could not be stored */
        return;
    if (s->phase != PHASE_PERSIST && e.state != SYNC_DELETE)
        uuid_set_add(&s->seen, &e.uuid);
    if (e.state != SYNC_PRESENT)
        source_touch(s, &e.uuid);
    if (e.state == SYNC_DELETE)
        source_delete_gone(s, &e.uuid);
    else if (e.state != SYNC_PRESENT)
        put(s, msg, &e.uuid);
}

/* ---- intermediate messages ---- */

static void apply_present(const struct uuid *u, void *arg)
{
    struct source *s = arg;
    uuid_set_add(&s->seen, u);
}

static void apply_deleted(const struct uuid *u, void *arg)
{
    struct source *s = arg;
    if (s->conn != NULL) /* an earlier one of the set may have failed */
        source_delete_gone(s, u);
}

static void apply_info(struct source *s, const struct sync_info *info)
{
    bool refreshing = s->phase != PHASE_PERSIST;
    if (info->kind == SYNC_ID_SET &&
        sync_info_uuids(info, info->deletes ? apply_deleted : apply_present, s) < 0) {
        source_fail(s, "an id set is malformed");
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
        source_refreshed(s);
}

static void take_info(struct source *s, LDAPMessage *msg)
{
    char *oid = NULL;
    struct berval *value = NULL;
    struct sync_info info;
    int rc = ldap_parse_intermediate(ldapconn_ld(s->conn), msg, &oid, &value, NULL, 0);
    if (rc == LDAP_SUCCESS && oid != NULL && strcmp(oid, LDAP_SYNC_INFO) == 0) {
        if (value == NULL || sync_info_parse(value, &info) < 0)
            source_fail(s, "a sync message is malformed");
        else
            apply_info(s, &info);
    }
    ldap_memfree(oid);
    ber_bvfree(value);
}
/* ---- the search ---- */

/*
 * The server has not yet got what another one told us (OpenLDAP refuses then). It will get it;
 * only where every server stays behind is what they have the truth.
 */
static void server_is_behind(struct source *s)
{
    if (++s->newer > BEHIND_TRIES * s->env->target_count)
        source_start_afresh(s, "every server is behind the replica; asking for everything");
    else
        source_fail(s, "the server is behind the replica");
}

/*
 * OpenLDAP lists the control for all databases as soon as one of them has the overlay, and 389
 * Directory Server where nobody is allowed to use it.
 */
static void no_control(struct source *s)
{
    s->no_sync = true;
    s->same_target = rootdse_choose(&s->dse, s->env->conf->directory_source, true) != CHOICE_NONE;
    source_fail(s, "the server has no content synchronization (RFC 4533) for search_base, "
                   "or not for bind_dn; on OpenLDAP load the overlay syncprov");
}

static void search_ended(struct source *s, LDAPMessage *msg)
{
    int code = source_result_code(s, msg);
    if (code == LDAP_SYNC_REFRESH_REQUIRED)
        source_start_afresh(s, "the server asks for a full refresh");
    else if (code == LDAP_UNAVAILABLE_CRITICAL_EXTENSION || code == LDAP_INSUFFICIENT_ACCESS)
        no_control(s);
    else if (code == LDAP_UNWILLING_TO_PERFORM && s->resumed)
        server_is_behind(s);
    else if (code == LDAP_NO_SUCH_OBJECT)
        source_fail(s, "search_base does not exist on the server, or may not be read");
    else
        source_fail(s,
                    code == LDAP_SUCCESS ? "the server ended the search" : ldap_err2string(code));
}

static int send_search(struct source *s, struct search *search)
{
    struct buf value = {0}, filter = {0};
    LDAPControl control = {.ldctl_oid = (char *)LDAP_CONTROL_SYNC, .ldctl_iscritical = 1};
    LDAPControl *controls[] = {&control, NULL};
    int rc = LDAP_OTHER;
    /*
     * 389 Directory Server leaves changes out, and says nothing, where its Retro Changelog does not
     * record nsUniqueId, and where the cookie was given before the first change: it is never taken
     * at its word.
     */
    if (replica_cookie(s->replica, &s->cookie) < 0 || source_cookie_is_own(&s->cookie) ||
        s->dse.ns_vendor)
        buf_clear(&s->cookie);
    s->resumed = s->cookie.len > 0;
    source_filter(s, &filter);
    if (sync_request_encode(&s->cookie, &value) == 0) {
        control.ldctl_value.bv_val = (char *)value.data;
        control.ldctl_value.bv_len = value.len;
        rc = ldap_search_ext(ldapconn_ld(s->conn), s->env->conf->search_base, LDAP_SCOPE_SUBTREE,
                             buf_str(&filter), (char **)source_attributes(s), 0, controls, NULL,
                             NULL, 0, &search->id);
    }
    buf_clear(&s->cookie); /* from here on: what the refresh ends with */
    buf_free(&value);
    buf_free(&filter);
    return rc;
}

static void begin(struct source *s)
{
    struct search *search = mem_zalloc(sizeof *search);
    s->method_state = search;
    int rc = send_search(s, search);
    if (rc != LDAP_SUCCESS)
        source_fail(s, ldap_err2string(rc));
}

static void on_message(struct source *s, LDAPMessage *msg)
{
    const struct search *search = s->method_state;
    if (ldap_msgid(msg) != search->id)
        return;
    switch (ldap_msgtype(msg)) {
    case LDAP_RES_SEARCH_ENTRY:
        apply_entry(s, msg);
        break;
    case LDAP_RES_INTERMEDIATE:
        take_info(s, msg);
        break;
    case LDAP_RES_SEARCH_RESULT:
        search_ended(s, msg);
        break;
    default: /* a referral to another server's part of the tree */
        break;
    }
}

static void end(struct source *s)
{
    free(s->method_state);
}

const struct source_method source_method_sync = {
    .name = "sync", .begin = begin, .message = on_message, .end = end};

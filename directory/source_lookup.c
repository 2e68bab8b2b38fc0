/*
 * The method lookup: a server that can neither tell of changes nor be polled is asked for each name
 * when somebody needs it.
 *
 * What is no recipient (domains, policies, access entries, restriction classes) is little, and read
 * as a whole every directory_lookup_ttl. What was asked for stands in the replica with the time
 * until which it is known; past it, or where nobody asked yet, a look is unsure and nothing is
 * absent.
 */
#include <stdlib.h>
#include <string.h>

#include "directory/dn.h"
#include "directory/source_private.h"
#include "gateway/base/clock.h"
#include "gateway/base/hmac.h"
#include "gateway/base/mem.h"

/* Entries that one name may lead to. */
#define ENTRIES_MAX 1000
#define FRAME_KINDS                                                                                \
    (ENTRY_DOMAIN | ENTRY_POLICY | ENTRY_ACCESS | ENTRY_PARTNER | ENTRY_CLASS | ENTRY_CONFIG)

struct query {
    TAILQ_ENTRY(query) link;
    struct index_key key;
    int msgid;
    int64_t deadline;
    struct buf found; /* struct uuid each */
    bool keyless;     /* an entry came that cannot be kept */
    void (*fn)(bool known, void *arg);
    void *arg;
};

struct lookup {
    int frame_id; /* 0: it is not being read */
    int64_t heard_at;
    struct buf page;
    struct timer *next, *watchdog;
};

static struct lookup *lookup_of(struct source *s)
{
    return s->method_state;
}

static void watch(struct source *s)
{
    struct lookup *l = lookup_of(s);
    if (!timer_pending(l->watchdog))
        timer_set(l->watchdog, s->env->conf->timeout);
}

static void query_end(struct source *s, struct query *q, bool known)
{
    TAILQ_REMOVE(&s->queries, q, link);
    if (q->fn != NULL)
        q->fn(known, q->arg);
    buf_free(&q->found);
    free(q);
}

/* The attributes, and those that an entry is named by. */
static void all_attributes(const struct source *s, const char *names[SOURCE_ATTRIBUTES_MAX])
{
    size_t n = source_attribute_list(s, names);
    names[n++] = entry_key_attribute(rootdse_key(&s->dse));
    names[n] = NULL;
}

/* ---- entries ---- */

/* The key of an entry; one that the server does not name for ever has that of its DN. */
static int entry_uuid_of(struct source *s, LDAPMessage *msg, struct uuid *out)
{
    LDAP *ld = ldapconn_ld(s->conn);
    enum entry_key key = rootdse_key(&s->dse);
    char normal[DN_MAX];
    uint8_t digest[HMAC_LEN];
    int rc = -1;
    if (key != KEY_NONE) {
        struct berval **values = ldap_get_values_len(ld, msg, entry_key_attribute(key));
        if (values != NULL && values[0] != NULL)
            rc = entry_key_parse(key, values[0]->bv_val, values[0]->bv_len, out);
        ldap_value_free_len(values);
        return rc;
    }
    char *dn = ldap_get_dn(ld, msg);
    int len = dn == NULL ? -1 : dn_normalize(dn, normal);
    if (len > 0) {
        hash_sha256(normal, (size_t)len, digest);
        memcpy(out->bytes, digest, sizeof out->bytes);
        rc = 0;
    }
    ldap_memfree(dn);
    return rc;
}

/* 0 with the key in *uuid; -1 where the source has failed, or the entry has no name. */
static int put(struct source *s, LDAPMessage *msg, struct uuid *uuid)
{
    if (entry_uuid_of(s, msg, uuid) < 0)
        return -1;
    source_touch(s, uuid);
    return source_put_entry(s, msg, uuid);
}

/* ---- names ---- */

static bool has(const struct buf *uuids, const struct uuid *u)
{
    const struct uuid *list = (const struct uuid *)uuids->data;
    for (size_t i = 0; i < uuids->len / sizeof *u; i++)
        if (uuid_eq(&list[i], u))
            return true;
    return false;
}

/* What stood under the key and was not found is not there any more. */
static int settle(struct source *s, const struct query *q)
{
    const struct conf *conf = s->env->conf;
    int64_t ttl =
        q->found.len > 0 ? conf->directory_lookup_ttl : conf->directory_lookup_negative_ttl;
    struct buf old = {0};
    int rc = source_tx_begin(s);
    if (rc == 0 && replica_list(s->replica, &q->key, &old) < 0)
        rc = -1;
    for (size_t i = 0; rc == 0 && i < old.len / sizeof(struct uuid); i++) {
        struct uuid u = ((const struct uuid *)old.data)[i];
        if (!has(&q->found, &u))
            rc = source_delete(s, &u);
    }
    buf_free(&old);
    if (rc == 0 && replica_set_asked(s->replica, &q->key, clock_wall_us() / 1000 + ttl,
                                     (uint64_t)conf->directory_lookup_entries) < 0)
        rc = -1;
    if (rc < 0) {
        if (s->conn != NULL) /* else it has failed by itself */
            source_disk_failed(s);
        return -1;
    }
    return source_tx_commit(s);
}

/* Whether a key is a DN, or what is right below one; the others are looked for everywhere. */
static bool by_place(const struct index_key *key)
{
    return key->data[0] == INDEX_DN || key->data[0] == INDEX_APP_PASSWORD;
}

static void query_result(struct source *s, struct query *q, LDAPMessage *msg)
{
    int code = source_result_code(s, msg);
    /* Below search_base "no such object" says that the tree is gone or hidden, of no entry. */
    bool known = code == LDAP_SUCCESS || (code == LDAP_NO_SUCH_OBJECT && by_place(&q->key));
    if (!known || q->keyless)
        query_end(s, q, false);
    else if (settle(s, q) == 0) /* else all queries have ended with the connection */
        query_end(s, q, true);
}

bool source_query(struct source *s, const struct index_key *key, void (*fn)(bool known, void *arg),
                  void *arg)
{
    const char *names[SOURCE_ATTRIBUTES_MAX];
    struct buf filter = {0};
    char dn[DB_KEY_MAX + 1];
    bool by_dn = key->data[0] == INDEX_DN;
    int scope = by_dn ? LDAP_SCOPE_BASE : by_place(key) ? LDAP_SCOPE_ONELEVEL : LDAP_SCOPE_SUBTREE;
    if (s->method != &source_method_lookup || s->method_state == NULL ||
        (s->phase != PHASE_PERSIST && s->phase != PHASE_SWEEP) || key->len >= DB_KEY_MAX ||
        (!by_dn && profile_key_filter(s->table, key, &filter) < 0)) {
        buf_free(&filter);
        return false;
    }
    memcpy(dn, key->data + 1, key->len - 1);
    dn[key->len - 1] = '\0';
    if (by_dn)
        dn_reverse(dn, key->len - 1);
    struct query *q = mem_zalloc(sizeof *q);
    q->key = *key;
    q->fn = fn;
    q->arg = arg;
    q->deadline = clock_now_ms() + s->env->conf->timeout;
    all_attributes(s, names);
    int rc = ldap_search_ext(ldapconn_ld(s->conn), by_place(key) ? dn : s->env->conf->search_base,
                             scope, by_dn ? "(objectClass=*)" : buf_str(&filter), (char **)names, 0,
                             NULL, NULL, NULL, ENTRIES_MAX, &q->msgid);
    buf_free(&filter);
    if (rc != LDAP_SUCCESS) {
        free(q);
        return false;
    }
    TAILQ_INSERT_TAIL(&s->queries, q, link);
    watch(s);
    return true;
}

void source_queries_forget(struct source *s)
{
    struct query *q;
    TAILQ_FOREACH (q, &s->queries, link)
        q->fn = NULL;
}

/* ---- what is no recipient ---- */

static void ask_frame(struct source *s)
{
    struct lookup *l = lookup_of(s);
    const char *names[SOURCE_ATTRIBUTES_MAX];
    struct buf filter = {0};
    LDAPControl *controls[2] = {source_page_control(s, &l->page), NULL};
    profile_frame_filter(s->table, &filter);
    all_attributes(s, names);
    int rc = ldap_search_ext(ldapconn_ld(s->conn), s->env->conf->search_base, LDAP_SCOPE_SUBTREE,
                             buf_str(&filter), (char **)names, 0, controls, NULL, NULL,
                             LDAP_NO_LIMIT, &l->frame_id);
    if (controls[0] != NULL)
        ldap_control_free(controls[0]);
    buf_free(&filter);
    l->heard_at = clock_now_ms();
    if (rc != LDAP_SUCCESS)
        source_fail(s, ldap_err2string(rc));
    else
        watch(s);
}

static void frame_result(struct source *s, LDAPMessage *msg)
{
    struct lookup *l = lookup_of(s);
    int code = source_take_page(s, msg, &l->page);
    if (code != LDAP_SUCCESS) {
        source_fail(s, ldap_err2string(code));
        return;
    }
    if (l->page.len > 0) {
        ask_frame(s);
        return;
    }
    l->frame_id = 0;
    buf_clear(&s->cookie);
    buf_append_str(&s->cookie, SOURCE_COOKIE_OWN SOURCE_LOOKUP);
    /* Recipients stay, unless there are too many. */
    const struct conf *conf = s->env->conf;
    bool full = replica_state(s->replica)->entries > (uint64_t)conf->directory_lookup_entries;
    s->sweep_kinds = full ? ~0U : FRAME_KINDS;
    s->sweep_needed = true;
    if (full && source_tx_begin(s) == 0 && replica_forget_asked(s->replica) < 0)
        source_disk_failed(s);
    else if (s->conn != NULL)
        source_refreshed(s);
}

static void current(struct source *s)
{
    timer_set(lookup_of(s)->next, s->env->conf->directory_lookup_ttl);
}

static void on_next(void *arg)
{
    struct source *s = arg;
    uuid_set_free(&s->seen);
    ask_frame(s);
}

/* ---- the method ---- */

static void on_watchdog(void *arg)
{
    struct source *s = arg;
    struct lookup *l = lookup_of(s);
    const struct query *q = TAILQ_FIRST(&s->queries);
    int64_t now = clock_now_ms(), until = INT64_MAX;
    if (q != NULL)
        until = q->deadline;
    if (l->frame_id != 0 && l->heard_at + s->env->conf->timeout < until)
        until = l->heard_at + s->env->conf->timeout;
    if (until <= now)
        source_fail(s, "the server does not answer");
    else if (until != INT64_MAX)
        timer_set(l->watchdog, until - now);
}

static void on_message(struct source *s, LDAPMessage *msg)
{
    struct lookup *l = lookup_of(s);
    bool entry = ldap_msgtype(msg) == LDAP_RES_SEARCH_ENTRY;
    struct query *q;
    struct uuid uuid;
    if (!entry && ldap_msgtype(msg) != LDAP_RES_SEARCH_RESULT)
        return;
    if (ldap_msgid(msg) == l->frame_id) {
        l->heard_at = clock_now_ms();
        if (!entry)
            frame_result(s, msg);
        else if (put(s, msg, &uuid) == 0)
            uuid_set_add(&s->seen, &uuid);
        else if (s->conn != NULL)
            source_fail(s, "an entry has no key that it is kept under");
        return;
    }
    TAILQ_FOREACH (q, &s->queries, link)
        if (q->msgid == ldap_msgid(msg))
            break;
    if (q != NULL && !entry)
        query_result(s, q, msg);
    else if (q != NULL && put(s, msg, &uuid) == 0)
        buf_append(&q->found, &uuid, sizeof uuid);
    else if (q != NULL && s->conn != NULL) /* else all queries have ended with the connection */
        q->keyless = true;
}

static void begin(struct source *s)
{
    struct lookup *l = mem_zalloc(sizeof *l);
    s->method_state = l;
    s->resumed = false;
    l->next = timer_new(s->env->loop, on_next, s);
    l->watchdog = timer_new(s->env->loop, on_watchdog, s);
    ask_frame(s);
}

static void end(struct source *s)
{
    struct lookup *l = lookup_of(s);
    timer_free(&l->next);
    timer_free(&l->watchdog);
    buf_free(&l->page);
    free(l);
    s->method_state = NULL;
    while (!TAILQ_EMPTY(&s->queries))
        query_end(s, TAILQ_FIRST(&s->queries), false);
}

const struct source_method source_method_lookup = {
    .name = SOURCE_LOOKUP, .begin = begin, .message = on_message, .current = current, .end = end};

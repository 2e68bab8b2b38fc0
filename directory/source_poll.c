/*
 * The method poll: asks from time to time what changed.
 *
 * A round begins on the timer. Active Directory numbers each change of a server (uSNChanged): the
 * server's greatest number is read first (STEP_MARK), and only where it grew are the entries asked
 * for whose number is greater than the one before. Other servers are asked by their time stamps
 * (pollclock.h). A poll does not see what is deleted or leaves search_base, except for tombstones;
 * so every directory_reconcile_interval the keys of all entries are read, and what is missing here,
 * has another name or another stamp is fetched, what is not there is deleted.
 *
 * The cookie names the server (Active Directory: its invocationId, which changes when it is
 * restored from a backup) and the number or time up to which its changes are here. Numbers of
 * another server say nothing, so then everything is read.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "directory/poll_private.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"

/* Keys in one question. */
#define FETCH_KEYS 50

static const char deleted_rdn[] = "CN=Deleted Objects,";

/* ---- the place in the server's history ---- */

bool source_cookie_is_own(struct buf *cookie)
{
    return strncmp(buf_str(cookie), SOURCE_COOKIE_OWN, strlen(SOURCE_COOKIE_OWN)) == 0;
}

/* Everything of the cookie but the place itself. */
static void cookie_head(struct source *s, struct buf *out)
{
    const struct poll *p = poll_of(s);
    char text[UUID_STRLEN];
    const struct target *t = &s->env->targets[s->env->target_in_use];
    buf_printf(out, SOURCE_COOKIE_OWN "%s %s ", entry_key_attribute(p->key),
               poll_stamp_attribute(p));
    buf_printf(out, "%s ", p->by_usn ? uuid_str(&p->invocation, text) : t->uri);
}

static void make_cookie(struct source *s)
{
    const struct poll *p = poll_of(s);
    buf_clear(&s->cookie);
    cookie_head(s, &s->cookie);
    buf_printf(&s->cookie, "%llu",
               (unsigned long long)(p->by_usn ? p->usn : (uint64_t)p->clock.since));
}

/* Whether the replica holds what this server said up to a place that it knows. */
static bool resume(struct source *s)
{
    struct poll *p = poll_of(s);
    struct buf cookie = {0}, head = {0};
    unsigned long long place = 0;
    cookie_head(s, &head);
    bool ours = replica_cookie(s->replica, &cookie) == 0 && cookie.len > head.len &&
                memcmp(cookie.data, head.data, head.len) == 0;
    if (ours)
        place = strtoull(buf_str(&cookie) + head.len, NULL, 10);
    buf_free(&cookie);
    buf_free(&head);
    if (!ours || place == 0 || place > INT64_MAX)
        return false;
    /* A server whose numbers were set back is another one, whatever it calls itself. */
    if (p->by_usn && place > s->dse.usn)
        return false;
    p->usn = place;
    p->clock.since = (int64_t)place;
    return true;
}

/* ---- questions ---- */

static void failed(struct source *s, int rc)
{
    source_fail(s, ldap_err2string(rc));
}

/* Sends a search; paged ones go on from p->page. */
static void search(struct source *s, const char *base, int scope, const char *filter,
                   const char *const *attributes, bool paged)
{
    struct poll *p = poll_of(s);
    LDAPControl *controls[3] = {NULL}, *page = NULL;
    LDAPControl deleted = {.ldctl_oid = (char *)"1.2.840.113556.1.4.417", .ldctl_iscritical = 1};
    size_t n = 0;
    int rc = LDAP_SUCCESS;
    if (paged && s->dse.paged_control) {
        page = source_page_control(s, &p->page);
        controls[n++] = page;
        rc = page == NULL ? LDAP_NO_MEMORY : LDAP_SUCCESS;
    }
    if (p->step == STEP_TOMBSTONES)
        controls[n++] = &deleted;
    if (rc == LDAP_SUCCESS)
        rc = ldap_search_ext(ldapconn_ld(s->conn), base, scope, filter, (char **)attributes, 0,
                             n > 0 ? controls : NULL, NULL, NULL, LDAP_NO_LIMIT, &p->msgid);
    if (page != NULL)
        ldap_control_free(page);
    p->heard_at = clock_now_ms();
    timer_set(p->watchdog, s->env->conf->timeout);
    if (rc != LDAP_SUCCESS)
        failed(s, rc);
}

/* What mail wants to know, and what the poll does. names has SOURCE_ATTRIBUTES_MAX elements. */
static void all_attributes(struct source *s, const char **names)
{
    const struct poll *p = poll_of(s);
    size_t n = source_attribute_list(s, names);
    names[n++] = entry_key_attribute(p->key);
    names[n++] = poll_stamp_attribute(p);
    names[n++] = poll_created_attribute(p);
    if (p->active_directory) { /* these tell whether a password that was verified still counts */
        names[n++] = "pwdLastSet";
        names[n++] = "userAccountControl";
    }
    names[n] = NULL;
}

/* The filter of what changed. */
static void changed_filter(const struct poll *p, struct buf *out)
{
    char since[GENERALIZED_TIME_SIZE];
    if (p->by_usn) {
        buf_printf(out, "(uSNChanged>=%llu)", (unsigned long long)p->usn + 1);
        return;
    }
    generalized_time_format(p->clock.since, since);
    buf_printf(out, "(|(%s>=%s)(%s>=%s))", poll_stamp_attribute(p), since,
               poll_created_attribute(p), since);
}

static void ask_entries(struct source *s)
{
    struct poll *p = poll_of(s);
    const char *names[SOURCE_ATTRIBUTES_MAX];
    struct buf filter = {0};
    if (p->everything)
        source_filter(s, &filter);
    else
        changed_filter(p, &filter);
    all_attributes(s, names);
    search(s, s->env->conf->search_base, LDAP_SCOPE_SUBTREE, buf_str(&filter), names, true);
    buf_free(&filter);
}

static void ask_keys(struct source *s)
{
    const struct poll *p = poll_of(s);
    const char *names[] = {entry_key_attribute(p->key), poll_stamp_attribute(p),
                           poll_created_attribute(p), NULL};
    struct buf filter = {0};
    source_filter(s, &filter);
    search(s, s->env->conf->search_base, LDAP_SCOPE_SUBTREE, buf_str(&filter), names, true);
    buf_free(&filter);
}

static void ask_tombstones(struct source *s)
{
    struct poll *p = poll_of(s);
    const char *names[] = {entry_key_attribute(p->key), NULL};
    struct buf filter = {0}, base = {0};
    buf_printf(&filter, "(&(isDeleted=TRUE)(uSNChanged>=%llu))", (unsigned long long)p->usn + 1);
    buf_printf(&base, "%s%s", deleted_rdn, s->dse.naming_context);
    search(s, buf_str(&base), LDAP_SCOPE_ONELEVEL, buf_str(&filter), names, true);
    buf_free(&filter);
    buf_free(&base);
}

/* The first keys of the list, which are taken off it. */
static void ask_fetch(struct source *s)
{
    struct poll *p = poll_of(s);
    const char *names[SOURCE_ATTRIBUTES_MAX];
    const struct uuid *u = (const struct uuid *)p->fetch.data;
    size_t n = p->fetch.len / sizeof *u;
    struct buf filter = {0};
    n = n < FETCH_KEYS ? n : FETCH_KEYS;
    buf_append_str(&filter, "(|");
    for (size_t i = 0; i < n; i++)
        entry_key_filter(p->key, &u[i], &filter);
    buf_append_str(&filter, ")");
    buf_consume(&p->fetch, n * sizeof *u);
    all_attributes(s, names);
    search(s, s->env->conf->search_base, LDAP_SCOPE_SUBTREE, buf_str(&filter), names, true);
    buf_free(&filter);
}

/* The first entry of the list as a whole, or the next pieces of the one at hand. */
static void ask_ranges(struct source *s)
{
    struct poll *p = poll_of(s);
    const char *names[SOURCE_ATTRIBUTES_MAX];
    const char *dn = (const char *)p->ranged.data + sizeof(struct uuid);
    if (p->names.len == 0) {
        struct uuid uuid;
        memcpy(&uuid, p->ranged.data, sizeof uuid);
        source_entry_begin(s, &uuid, dn);
        all_attributes(s, names);
    } else {
        size_t n = 0;
        for (size_t at = 0; at < p->names.len && n < SOURCE_ATTRIBUTES_MAX - 1;
             at += strlen(names[n++]) + 1)
            names[n] = (const char *)p->names.data + at;
        names[n] = NULL;
    }
    search(s, dn, LDAP_SCOPE_BASE, "(objectClass=*)", names, false);
}

static void ask(struct source *s)
{
    static const char *const mark[] = {"highestCommittedUSN", NULL};
    static const char *const invocation[] = {"invocationId", NULL};
    struct poll *p = poll_of(s);
    switch (p->step) {
    case STEP_IDLE:
        break;
    case STEP_INVOCATION:
        search(s, s->dse.ds_service, LDAP_SCOPE_BASE, "(objectClass=*)", invocation, false);
        break;
    case STEP_MARK:
        search(s, "", LDAP_SCOPE_BASE, "(objectClass=*)", mark, false);
        break;
    case STEP_ENTRIES:
        ask_entries(s);
        break;
    case STEP_TOMBSTONES:
        ask_tombstones(s);
        break;
    case STEP_KEYS:
        ask_keys(s);
        break;
    case STEP_FETCH:
        ask_fetch(s);
        break;
    case STEP_RANGES:
        ask_ranges(s);
        break;
    }
}

static void go(struct source *s, enum poll_step step)
{
    struct poll *p = poll_of(s);
    p->step = step;
    buf_clear(&p->page);
    ask(s);
}

/* ---- rounds ---- */

static void begin_round(struct source *s)
{
    struct poll *p = poll_of(s);
    p->round_began = clock_now_ms();
    p->seen = 0;
    poll_clock_ask(&p->clock, p->round_began, s->env->conf->directory_poll_overlap);
    go(s, p->by_usn ? STEP_MARK : STEP_ENTRIES);
}

static void plan(struct source *s)
{
    struct poll *p = poll_of(s);
    p->step = STEP_IDLE;
    timer_stop(p->watchdog);
    timer_set(p->next, s->env->conf->directory_poll_interval);
}

/* The entries and tombstones of a round are here: so is its place. */
static void changes_done(struct source *s)
{
    struct poll *p = poll_of(s);
    int64_t now = clock_now_ms();
    if (p->everything)
        poll_clock_read_all(&p->clock, p->round_began, now, s->env->conf->directory_poll_overlap);
    p->usn = p->usn_now;
    make_cookie(s);
    if (p->everything || s->phase == PHASE_REFRESH || now >= p->reconcile_at) {
        p->reconcile_at = now + s->env->conf->directory_reconcile_interval;
        if (p->everything) {
            p->everything = false;
            source_refreshed(s);
        } else if (source_tx_commit(s) == 0) {
            uuid_set_free(&s->seen);
            go(s, STEP_KEYS);
        }
        return;
    }
    if (p->seen > 0 && source_tx_begin(s) == 0 &&
        replica_set_cookie(s->replica, s->cookie.data, s->cookie.len) < 0)
        source_disk_failed(s);
    if (s->conn == NULL || source_tx_commit(s) < 0)
        return;
    source_still_current(s);
    plan(s);
}

/* The reconciling scan is whole. What no key told of is gone. */
static void keys_done(struct source *s)
{
    struct poll *p = poll_of(s);
    if (p->fetch.len > 0) {
        go(s, STEP_FETCH);
        return;
    }
    if (source_tx_commit(s) < 0)
        return;
    p->step = STEP_IDLE;
    timer_stop(p->watchdog);
    if (p->confirms) {
        p->confirms = false;
        source_confirmed(s);
        return;
    }
    s->sweep_needed = true;
    source_refreshed(s);
}

/* A list in pages can leave out what moves while it is read; who is told "no such user" for that
 * would be told wrong. */
static void confirm(struct source *s)
{
    struct poll *p = poll_of(s);
    p->confirms = true;
    buf_clear(&p->fetch);
    buf_append(&p->fetch, s->doubtful.data, s->doubtful.len);
    go(s, STEP_FETCH);
}

static void finished(struct source *s)
{
    struct poll *p = poll_of(s);
    if (p->step == STEP_KEYS || p->step == STEP_FETCH)
        keys_done(s);
    else if (p->step == STEP_ENTRIES && p->tombstones && !p->everything)
        go(s, STEP_TOMBSTONES);
    else
        changes_done(s);
}

static void page_done(struct source *s)
{
    struct poll *p = poll_of(s);
    if (p->ranged.len > 0) {
        p->back = p->step;
        p->step = STEP_RANGES;
        ask(s);
    } else if (p->page.len > 0) {
        ask(s);
    } else {
        finished(s);
    }
}

/* A piece of the entry at hand has come, or the last one. */
static void ranges_done(struct source *s)
{
    struct poll *p = poll_of(s);
    if (p->names.len > 0) {
        ask(s);
        return;
    }
    size_t len = sizeof(struct uuid);
    len += strlen((const char *)p->ranged.data + len) + 1;
    buf_consume(&p->ranged, len);
    if (source_entry_put(s) < 0)
        return;
    p->step = p->back;
    page_done(s);
}

static void mark_done(struct source *s)
{
    struct poll *p = poll_of(s);
    bool idle = s->phase == PHASE_PERSIST && clock_now_ms() < p->reconcile_at;
    if (p->usn_now != p->usn || !idle) {
        go(s, STEP_ENTRIES);
        return;
    }
    source_still_current(s); /* nothing was changed at all */
    plan(s);
}

static void start(struct source *s)
{
    struct poll *p = poll_of(s);
    s->resumed = resume(s);
    p->everything = !s->resumed;
    begin_round(s);
}

static void invocation_done(struct source *s)
{
    struct poll *p = poll_of(s);
    if (uuid_is_zero(&p->invocation)) {
        log_notice("the server's invocationId cannot be read; it is asked by time stamps",
                   LOG_STR("dn", s->dse.ds_service));
        p->by_usn = p->tombstones = false;
    }
    start(s);
}

/* ---- answers ---- */

static void take_mark(struct source *s, LDAPMessage *msg)
{
    struct poll *p = poll_of(s);
    struct berval **v = ldap_get_values_len(ldapconn_ld(s->conn), msg, "highestCommittedUSN");
    if (v != NULL && v[0] != NULL && v[0]->bv_len > 0 && v[0]->bv_len < 20)
        p->usn_now = strtoull(v[0]->bv_val, NULL, 10);
    ldap_value_free_len(v);
}

static void take_invocation(struct source *s, LDAPMessage *msg)
{
    struct poll *p = poll_of(s);
    struct berval **v = ldap_get_values_len(ldapconn_ld(s->conn), msg, "invocationId");
    if (v != NULL && v[0] != NULL)
        entry_key_parse(KEY_OBJECT_GUID, v[0]->bv_val, v[0]->bv_len, &p->invocation);
    ldap_value_free_len(v);
}

static void paged_result(struct source *s, LDAPMessage *msg)
{
    struct poll *p = poll_of(s);
    int code = source_take_page(s, msg, &p->page);
    if (code == LDAP_SUCCESS) {
        page_done(s);
    } else if (p->step == STEP_TOMBSTONES) {
        log_notice("deleted objects cannot be read; they are found by the reconciling scan alone",
                   LOG_STR("reason", ldap_err2string(code)));
        p->tombstones = false;
        buf_clear(&p->page);
        finished(s);
    } else if (code == LDAP_SIZELIMIT_EXCEEDED || code == LDAP_ADMINLIMIT_EXCEEDED) {
        source_fail(s, "the server ends the search early: raise its limits for bind_dn");
    } else {
        failed(s, code);
    }
}

static void on_result(struct source *s, LDAPMessage *msg)
{
    struct poll *p = poll_of(s);
    int code = source_result_code(s, msg);
    switch (p->step) {
    case STEP_IDLE:
        break;
    case STEP_INVOCATION:
        invocation_done(s);
        break;
    case STEP_MARK:
        if (code == LDAP_SUCCESS && p->usn_now > 0)
            mark_done(s);
        else
            source_fail(s, "the server does not tell its highestCommittedUSN any more");
        break;
    case STEP_RANGES:
        if (code == LDAP_SUCCESS || code == LDAP_NO_SUCH_OBJECT)
            ranges_done(s);
        else
            failed(s, code);
        break;
    default:
        paged_result(s, msg);
    }
}

static void on_message(struct source *s, LDAPMessage *msg)
{
    struct poll *p = poll_of(s);
    if (ldap_msgid(msg) != p->msgid || p->step == STEP_IDLE)
        return;
    p->heard_at = clock_now_ms();
    if (ldap_msgtype(msg) == LDAP_RES_SEARCH_RESULT)
        on_result(s, msg);
    else if (ldap_msgtype(msg) != LDAP_RES_SEARCH_ENTRY)
        ;
    else if (p->step == STEP_MARK)
        take_mark(s, msg);
    else if (p->step == STEP_INVOCATION)
        take_invocation(s, msg);
    else
        poll_take_entry(s, msg);
}

/* ---- the method ---- */

static void on_next(void *arg)
{
    struct source *s = arg;
    if (s->phase == PHASE_PERSIST)
        begin_round(s);
}

static void on_watchdog(void *arg)
{
    struct source *s = arg;
    struct poll *p = poll_of(s);
    int64_t left = p->heard_at + s->env->conf->timeout - clock_now_ms();
    if (left > 0)
        timer_set(p->watchdog, left);
    else
        source_fail(s, "the server does not answer");
}

static void begin(struct source *s)
{
    struct poll *p = mem_zalloc(sizeof *p);
    s->method_state = p;
    p->key = rootdse_key(&s->dse);
    p->active_directory = s->dse.active_directory;
    p->by_usn = p->active_directory && s->dse.usn > 0 && s->dse.ds_service[0] != '\0';
    p->tombstones = p->by_usn && s->dse.show_deleted_control && s->dse.naming_context[0] != '\0';
    p->next = timer_new(s->env->loop, on_next, s);
    p->watchdog = timer_new(s->env->loop, on_watchdog, s);
    if (p->by_usn)
        go(s, STEP_INVOCATION);
    else
        start(s);
}

static void end(struct source *s)
{
    struct poll *p = poll_of(s);
    timer_free(&p->next);
    timer_free(&p->watchdog);
    stamp_map_free(&p->stamps);
    buf_free(&p->page);
    buf_free(&p->fetch);
    buf_free(&p->ranged);
    buf_free(&p->names);
    free(p);
}

const struct source_method source_method_poll = {.name = "poll",
                                                 .begin = begin,
                                                 .message = on_message,
                                                 .current = plan,
                                                 .confirm = confirm,
                                                 .end = end};

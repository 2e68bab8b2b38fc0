#include "directory/source.h"

#include <stdlib.h>
#include <string.h>

#include "directory/source_private.h"
#include "directory/syncmsg.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"

/* How often a silent server is asked whether it lives. */
#define PROBE_INTERVAL 5000
/* How often what the state says of time is written, and dead readers are looked for. */
#define HOUSEKEEPING 3000
/* Pauses between tries once every server of the list has failed. */
#define RETRY_FIRST 200
#define RETRY_MOST  2000
/* Entries looked at in one turn of a sweep. */
#define SWEEP_SLICE 2048
/* A replica that ran out of room is not tried at the pace of a server that is away. */
#define RETRY_DISK 10000
/* Between two full refreshes that were asked for because an entry is not where it should be. */
#define FORCED_PAUSE 60000

static const struct ldapconn_ops conn_ops;

static const struct target *target(const struct source *s)
{
    return &s->env->targets[s->env->target_in_use];
}

const char *source_phase(const struct source *s)
{
    static const char *const names[] = {"waiting", "connecting", "asking",
                                        "refresh", "sweep",      "persist"};
    return names[s->phase];
}

const char *source_kind(const struct source *s)
{
    return s->method != NULL ? s->method->name : "";
}

void source_on_touched(struct source *s, void (*fn)(const struct uuid *uuid, void *arg), void *arg)
{
    s->touched = fn;
    s->touched_arg = arg;
}

const char *source_last_error(const struct source *s)
{
    return s->error != NULL ? s->error : "";
}

/* Writes the state alone; a failure is told and left to the next time. */
static void write_state(struct source *s)
{
    if (replica_begin(s->replica) < 0 || replica_commit(s->replica) < 0)
        log_error("the replica cannot be written", LOG_STR("error", replica_error(s->replica)));
}

/* ---- connections ---- */

static void connect_now(void *arg)
{
    struct source *s = arg;
    s->phase = PHASE_CONNECTING;
    s->connected_at = clock_now_ms();
    s->conn = ldapconn_new(s->env, target(s), LDAPCONN_SERVICE, &conn_ops, s);
}

/* Whatever was asked on this connection is of no more interest. */
static void end_method(struct source *s)
{
    if (s->method != NULL && s->method_state != NULL)
        s->method->end(s);
    s->method_state = NULL;
    detect_free(&s->detect);
}

static void leave_sync(struct source *s)
{
    struct replica_state *state = replica_state(s->replica);
    if (state->in_sync == 0)
        return;
    state->in_sync = 0;
    write_state(s);
    s->changed(false, s->arg);
}

/*
 * The order of the list: after a server that served, its first one; from there one after another.
 * One that was returned to and did not serve leaves the place to those behind it.
 */
static void next_target(struct source *s)
{
    size_t *i = &s->env->target_in_use;
    *i = s->was_in_sync && *i != 0 ? 0 : (*i + 1) % s->env->target_count;
    if (s->returned)
        failback_failed(s->failback);
    s->returned = false;
}

static int64_t next_pause(const struct source *s)
{
    int64_t pause = RETRY_FIRST;
    if (s->disk_failed)
        return RETRY_DISK;
    if (s->failed < s->env->target_count)
        return 0; /* there is another server to try */
    for (unsigned i = (unsigned)s->env->target_count; i < s->failed && pause < RETRY_MOST; i++)
        pause *= 2;
    return pause < RETRY_MOST ? pause : RETRY_MOST;
}

void source_fail(struct source *s, const char *why)
{
    if (s->conn == NULL)
        return;
    char *text = mem_strdup(why);
    /* The same failure over and over is told once for each thirty, about once a minute. */
    bool again = s->error != NULL && strcmp(s->error, text) == 0 && s->failed % 30 != 0;
    free(s->error);
    s->error = text;
    source_tx_abort(s);
    if (!again)
        log_warning("the directory is away", LOG_STR("server", target(s)->uri),
                    LOG_STR("phase", source_phase(s)), LOG_STR("reason", text),
                    LOG_UINT("failures", s->failed + 1));
    end_method(s);
    source_arrivals_end(s);
    source_entry_drop(s);
    ldapconn_free(&s->conn);
    timer_stop(s->probe);
    timer_stop(s->sweep);
    uuid_set_free(&s->seen);
    s->probe_sent = 0;
    s->phase = PHASE_WAITING;
    source_check_end_all(s);
    source_search_end_all(s);
    if (!s->disk_failed && !s->same_target) {
        next_target(s);
        s->no_sync = s->referred = false;
    }
    s->was_in_sync = false;
    s->failed++;
    if (s->disk_failed && replica_damaged(s->replica)) {
        log_error("the replica is damaged and will be made anew",
                  LOG_STR("error", replica_error(s->replica)));
        loop_stop(s->env->loop); /* dirigod starts another process, which opens it so */
        return;
    }
    leave_sync(s);
    timer_set(s->retry, s->same_target ? 0 : next_pause(s));
    s->disk_failed = s->same_target = false;
}

void source_start_afresh(struct source *s, const char *why)
{
    source_tx_abort(s);
    if (source_tx_begin(s) == 0 && replica_set_cookie(s->replica, NULL, 0) < 0)
        s->disk_failed = true;
    if (s->open)
        source_tx_commit(s);
    s->same_target = true;
    source_fail(s, why);
}

bool source_refresh(struct source *s, const char *why)
{
    int64_t now = clock_now_ms();
    if (s->phase != PHASE_PERSIST || (s->forced_at != 0 && now - s->forced_at < FORCED_PAUSE))
        return false;
    s->forced_at = now;
    source_start_afresh(s, why);
    return true;
}

void source_begin(struct source *s)
{
    struct replica_state *state = replica_state(s->replica);
    end_method(s);
    s->sweep_needed = s->lost = false;
    s->sweep_kinds = 0;
    uuid_set_free(&s->seen);
    strlcpy(state->server, target(s)->uri, sizeof state->server);
    timer_repeat(s->probe, PROBE_INTERVAL);
    source_ask(s);
}

static void on_ready(struct ldapconn *c, void *arg)
{
    (void)c;
    source_begin(arg);
}

/*
 * Until the refresh is whole the replica is what the server before said last, and stays in sync:
 * nothing is deleted before the new server has shown all that it has. The replica has one cookie,
 * whoever gave it, because it says what the replica holds: one kept for each server would leave
 * out what another server overwrote meanwhile. Providers of one directory understand each other's;
 * one that does not asks for a full refresh.
 */
void source_adopt(struct source *s, struct ldapconn *c, size_t i)
{
    if (source_tx_commit(s) < 0) {
        ldapconn_free(&c);
        return;
    }
    source_check_end_all(s);
    source_search_end_all(s);
    source_arrivals_end(s);
    end_method(s);
    ldapconn_free(&s->conn);
    s->env->target_in_use = i;
    s->no_sync = s->referred = false;
    s->conn = c;
    ldapconn_set_ops(c, &conn_ops, s);
    s->probe_sent = 0;
    s->was_in_sync = false;
    s->returned = true;
    s->connected_at = clock_now_ms();
    source_begin(s);
}

static void on_conn_closed(struct ldapconn *c, const char *why, void *arg)
{
    (void)c;
    source_fail(arg, why);
}

/* ---- the end of a refresh ---- */

/* Everything that the server has is here: with the cookie, in one transaction, in sync. */
static void go_persist(struct source *s)
{
    struct replica_state *state = replica_state(s->replica);
    if (s->lost && s->resumed) {
        source_start_afresh(s, "entries have changed places; asking again for everything");
        return;
    }
    if (source_tx_begin(s) < 0)
        return;
    if (replica_set_cookie(s->replica, s->cookie.data, s->cookie.len) < 0 ||
        secrets_store_set_complete(s->secrets, true) < 0) {
        source_disk_failed(s);
        return;
    }
    int64_t before = state->last_sync;
    state->in_sync = 1;
    state->last_sync = clock_wall();
    if (source_tx_commit(s) < 0) {
        state->in_sync = 0;
        state->last_sync = before;
        return;
    }
    s->phase = PHASE_PERSIST;
    s->failed = s->newer = 0;
    s->returned = false;
    uuid_set_free(&s->seen);
    if (!s->was_in_sync) {
        s->was_in_sync = true;
        log_notice("the directory is in sync", LOG_STR("server", target(s)->uri),
                   LOG_STR("source", s->method->name), LOG_UINT("entries", state->entries),
                   LOG_INT("ms", clock_now_ms() - s->connected_at));
        s->changed(true, s->arg);
    }
    failback_watch(s->failback);
    if (s->method->current != NULL)
        s->method->current(s);
}

void source_still_current(struct source *s)
{
    if (s->phase == PHASE_PERSIST)
        replica_state(s->replica)->last_sync = clock_wall(); /* written from time to time */
}

/* The slice is done with. */
static void slice_done(struct source *s)
{
    if (s->last_slice)
        go_persist(s);
    else if (source_tx_commit(s) == 0)
        timer_set(s->sweep, 0);
}

void source_confirmed(struct source *s)
{
    const struct uuid *u = (const struct uuid *)s->doubtful.data;
    size_t n = s->doubtful.len / sizeof *u;
    for (size_t i = 0; i < n; i++)
        if (!uuid_set_has(&s->seen, &u[i]) && source_delete(s, &u[i]) < 0)
            return;
    buf_clear(&s->doubtful);
    slice_done(s);
}

/* Whether an entry that the server did not show may be swept; DB_FAIL: the replica cannot be read.
 */
static enum db_result is_swept(struct source *s, const struct uuid *uuid, bool *swept)
{
    unsigned kinds = ~0U;
    enum db_result rc = DB_OK;
    if (s->sweep_kinds != 0)
        rc = replica_kinds(s->replica, uuid, &kinds);
    *swept = s->sweep_kinds == 0 || (kinds & s->sweep_kinds) != 0;
    return rc;
}

static void sweep_slice(void *arg)
{
    struct source *s = arg;
    enum db_result rc = DB_OK;
    buf_clear(&s->doubtful);
    if (source_tx_begin(s) < 0)
        return;
    for (int i = 0; i < SWEEP_SLICE; i++) {
        struct uuid at = s->sweep_at;
        bool swept;
        rc = replica_next(s->replica, &at);
        if (rc != DB_OK)
            break;
        s->sweep_at = at;
        if (uuid_set_has(&s->seen, &at))
            continue;
        if (is_swept(s, &at, &swept) != DB_OK ||
            (swept && buf_append(&s->doubtful, &at, sizeof at) < 0)) {
            rc = DB_FAIL;
            break;
        }
    }
    s->last_slice = rc == DB_NONE;
    if (rc == DB_FAIL)
        source_disk_failed(s);
    else if (s->method->confirm == NULL || s->doubtful.len == 0)
        source_confirmed(s);
    else if (source_tx_commit(s) == 0)
        s->method->confirm(s);
}

/*
 * The server showed nothing at all, and there is something here. That may be the truth, but more
 * often it is a server that was emptied, or that hides its entries from us by mistake; believing it
 * would turn every address into "no such user". So nothing is deleted and nothing is in sync.
 */
static void doubt(struct source *s)
{
    if (s->resumed) {
        source_start_afresh(s, "the server shows no entry; asking again for everything");
        return;
    }
    log_error("the directory shows no entry under search_base: check its access rules; to begin "
              "with an empty directory, delete the replica",
              LOG_STR("server", target(s)->uri),
              LOG_UINT("entries", replica_state(s->replica)->entries));
    source_fail(s, "the server shows no entry");
}

/*
 * Whether the refresh showed something that means anything to mail, or nothing of the kind was here
 * before. -1: the replica cannot be read.
 */
static int shows_mail(struct source *s)
{
    struct uuid at = {{0}};
    enum db_result rc;
    bool any = false;
    if (replica_begin(s->replica) < 0)
        return -1;
    while ((rc = replica_next(s->replica, &at)) == DB_OK) {
        unsigned kinds = 0;
        if ((rc = replica_kinds(s->replica, &at, &kinds)) != DB_OK)
            break;
        any = any || kinds != ENTRY_CONTAINER;
        if (kinds != ENTRY_CONTAINER && uuid_set_has(&s->seen, &at))
            break;
    }
    replica_abort(s->replica);
    return rc == DB_FAIL ? -1 : rc == DB_OK || !any;
}

void source_refreshed(struct source *s)
{
    /* Without a cookie the server knows of no deletion: what it did not show is not there. */
    bool sweep = s->sweep_needed || !s->resumed;
    if (source_tx_commit(s) < 0)
        return;
    int shows = sweep && s->sweep_kinds == 0 ? shows_mail(s) : 1;
    if (!sweep) {
        go_persist(s);
    } else if (shows < 0) {
        source_disk_failed(s);
    } else if (shows == 0) {
        doubt(s);
    } else {
        s->phase = PHASE_SWEEP;
        memset(&s->sweep_at, 0, sizeof s->sweep_at);
        timer_set(s->sweep, 0);
    }
}

/* ---- messages ---- */

/* Parts of the tree that other servers have are not followed; that is said once for each server. */
static void tell_of_referral(struct source *s, LDAPMessage *msg)
{
    char **uris = NULL;
    if (s->referred ||
        ldap_parse_reference(ldapconn_ld(s->conn), msg, &uris, NULL, 0) != LDAP_SUCCESS)
        return;
    s->referred = true;
    log_notice("the server refers to another one, which is not asked",
               LOG_STR("server", target(s)->uri),
               LOG_STR("referral", uris != NULL && uris[0] != NULL ? uris[0] : ""));
    ldap_memvfree((void **)uris);
}

static void on_message(struct ldapconn *c, LDAPMessage *msg, void *arg)
{
    struct source *s = arg;
    (void)c;
    if (s->probe_sent != 0 && ldap_msgid(msg) == s->probe_id) {
        if (ldap_msgtype(msg) == LDAP_RES_SEARCH_RESULT) {
            s->probe_sent = 0;
            if (s->method == &source_method_sync)
                source_still_current(s);
        }
        return;
    }
    if (source_check_message(s, msg) || source_search_message(s, msg) ||
        source_arrival_message(s, msg))
        return;
    if (ldap_msgtype(msg) == LDAP_RES_SEARCH_REFERENCE) {
        tell_of_referral(s, msg);
        return;
    }
    if (s->phase == PHASE_ASKING)
        source_ask_message(s, msg);
    else
        s->method->message(s, msg);
}

static void on_batch(struct ldapconn *c, void *arg)
{
    struct source *s = arg;
    (void)c;
    if (s->phase == PHASE_PERSIST && s->open)
        replica_state(s->replica)->last_sync = clock_wall();
    source_tx_commit(s);
}

static const struct ldapconn_ops conn_ops = {
    .ready = on_ready, .message = on_message, .batch = on_batch, .closed = on_conn_closed};

/* ---- timers ---- */

/* Reads the root DSE on the same connection: an answer proves that the server still serves it. */
static void on_probe(void *arg)
{
    struct source *s = arg;
    char *attrs[] = {(char *)LDAP_NO_ATTRS, NULL};
    int64_t now = clock_now_ms();
    if (s->probe_sent != 0) {
        if (now - s->probe_sent >= s->env->conf->timeout)
            source_fail(s, "the server does not answer");
        return;
    }
    int rc = ldap_search_ext(ldapconn_ld(s->conn), "", LDAP_SCOPE_BASE, "(objectClass=*)", attrs, 0,
                             NULL, NULL, NULL, 0, &s->probe_id);
    if (rc != LDAP_SUCCESS)
        source_fail(s, ldap_err2string(rc));
    else
        s->probe_sent = now;
}

static void on_housekeeping(void *arg)
{
    struct source *s = arg;
    replica_reap_readers(s->replica);
    write_state(s);
}

void source_on_commit(struct source *s, void (*fn)(void *arg))
{
    s->committed = fn;
}

struct source *source_new(struct ldap_env *env, struct replica *replica,
                          struct secrets_store *secrets, void (*changed)(bool in_sync, void *arg),
                          void *arg)
{
    struct source *s = mem_zalloc(sizeof *s);
    s->env = env;
    s->replica = replica;
    s->secrets = secrets;
    s->changed = changed;
    s->arg = arg;
    s->retry = timer_new(env->loop, connect_now, s);
    s->housekeeping = timer_new(env->loop, on_housekeeping, s);
    s->probe = timer_new(env->loop, on_probe, s);
    s->sweep = timer_new(env->loop, sweep_slice, s);
    s->failback = failback_new(s);
    TAILQ_INIT(&s->queries);
    buf_init(&s->cookie, SYNC_COOKIE_MAX);
    timer_repeat(s->housekeeping, HOUSEKEEPING);
    timer_set(s->retry, 0);
    return s;
}

void source_free(struct source **sync)
{
    struct source *s = *sync;
    if (s == NULL)
        return;
    *sync = NULL;
    failback_free(&s->failback);
    source_check_end_all(s);
    source_search_end_all(s);
    source_tx_abort(s);
    source_arrivals_end(s);
    end_method(s);
    ldapconn_free(&s->conn);
    source_entry_drop(s);
    profile_table_free(&s->table);
    replica_state(s->replica)->in_sync = 0;
    write_state(s);
    timer_free(&s->retry);
    timer_free(&s->housekeeping);
    timer_free(&s->probe);
    timer_free(&s->sweep);
    uuid_set_free(&s->seen);
    entry_draft_free(&s->draft);
    buf_free(&s->cookie);
    buf_free(&s->doubtful);
    buf_wipe_free(&s->values);
    free(s->error);
    free(s);
}

#include "directory/serve.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "directory/dynamic.h"
#include "directory/resolve.h"
#include "directory/verified.h"
#include "directory/want.h"
#include "gateway/base/clock.h"
#include "gateway/base/guesses.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/ipc/channel.h"

/* Memory that one resolution may use. */
#define RESOLVE_ARENA ((size_t)16 << 20)

/* A bind under way for a peer. */
struct verification {
    LIST_ENTRY(verification) link;
    struct ipc_peer *peer;
    uint32_t id;
    struct serve *serve;
    const struct serve_part *part; /* the directory that has the entry */
    struct uuid uuid;
    char *dn;
    char *password; /* for the cache */
    uint64_t epoch;
    struct bind_request *request; /* under way, or NULL */
    struct source_check *check;   /* the same */
};

struct serve {
    struct service *service;
    struct serve_part parts[1 + CONF_DIRECTORIES_MAX];
    size_t count;
    struct verified *verified;
    struct guesses *guesses;
    struct ipc_server *server;
    struct directory *directory; /* a reader on the writer's environment */
    struct arena *arena;
    struct dynamic *dynamic;
    struct wants *wants;
    LIST_HEAD(, verification) verifications;
};

/* ---- binds ---- */

static const struct password_end unsaid;

static void send_bind_result(struct ipc_peer *peer, uint32_t id, enum directory_bind result,
                             const char *text, const struct password_end *end)
{
    struct msg *m = msg_new(DIRECTORY_MSG_BIND_RESULT);
    msg_put_u8(m, (uint8_t)result);
    msg_put_str(m, text);
    msg_put_u8(m, (uint8_t)end->kind);
    msg_put_u32(m, end->value);
    ipc_reply(peer, id, &m);
}

static void drop(struct verification *v)
{
    LIST_REMOVE(v, link);
    free(v->dn);
    mem_wipe_free_str(v->password);
    free(v);
}

static void finish(struct verification *v, enum directory_bind result, const char *text)
{
    send_bind_result(v->peer, v->id, result, text, &unsaid);
    drop(v);
}

static const char moved[] = "the entry has another name by now; the directory is being read again";

/* Refused, and the server has or has not the entry that the password was meant for. */
static void on_checked(enum answer answer, void *arg)
{
    struct verification *v = arg;
    struct source *source = v->part->source;
    bool stale = answer == ANSWER_ABSENT;
    finish(v, stale ? DIRECTORY_BIND_UNAVAILABLE : DIRECTORY_BIND_INVALID,
           stale ? moved : "the server refused the password");
    if (stale)
        source_refresh(source, moved);
}

/*
 * Most servers say "invalid credentials" for a name that they do not have, too. Before somebody is
 * told that their password is wrong, the name is looked at.
 */
static void on_verified(const struct bind_answer *a, void *arg)
{
    struct verification *v = arg;
    struct serve *s = v->serve;
    v->request = NULL;
    guesses_end(s->guesses, &v->uuid, v->password,
                a->result == DIRECTORY_BIND_UNAVAILABLE || a->no_entry ? GUESS_UNKNOWN
                : a->result == DIRECTORY_BIND_INVALID                  ? GUESS_WRONG
                                                                       : GUESS_RIGHT);
    /* Of a password that ends soon the server is asked each time: it counts the logins that are
     * left, and the user hears of it each time. */
    if (a->result == DIRECTORY_BIND_OK && a->end.kind == PASSWORD_END_UNSAID &&
        !replica_is_one_time(v->part->replica, &v->uuid))
        verified_put(s->verified, &v->uuid, v->password, v->epoch);
    if (a->no_entry) {
        source_refresh(v->part->source, moved);
        finish(v, DIRECTORY_BIND_UNAVAILABLE, moved);
        return;
    }
    if (a->result == DIRECTORY_BIND_INVALID)
        v->check = source_check_dn(v->part->source, &v->uuid, v->dn, on_checked, v);
    if (v->check != NULL)
        return;
    send_bind_result(v->peer, v->id, a->result, a->text, &a->end);
    drop(v);
}

/* The directory that has an entry, and the entry's DN there. */
static enum db_result find_owner(struct serve *s, const struct uuid *uuid, struct buf *dn,
                                 const struct serve_part **part)
{
    enum db_result rc = DB_NONE;
    for (size_t i = 0; i < s->count && rc == DB_NONE; i++) {
        *part = &s->parts[i];
        rc = replica_dn((*part)->replica, uuid, dn);
    }
    return rc;
}

/* Whether an entry that none of them has is known not to exist. */
static bool all_in_sync(const struct serve *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (replica_state(s->parts[i].replica)->in_sync == 0 ||
            strcmp(source_kind(s->parts[i].source), SOURCE_LOOKUP) == 0)
            return false;
    return true;
}

static int serve_bind(struct serve *s, struct ipc_peer *peer, struct msg *m)
{
    struct buf dn = {0};
    struct uuid uuid = msg_get_uuid(m);
    const char *password = msg_get_str(m);
    if (msg_end(m) < 0 || password == NULL || ipc_peer_uid(peer) != geteuid())
        return -1;
    const struct serve_part *part;
    enum db_result rc = find_owner(s, &uuid, &dn, &part);
    if (rc == DB_OK && replica_state(part->replica)->in_sync != 0 &&
        verified_has(s->verified, &uuid, password)) {
        send_bind_result(peer, msg_id(m), DIRECTORY_BIND_OK, "verified before", &unsaid);
    } else if (rc == DB_OK && !guesses_begin(s->guesses, &uuid)) {
        send_bind_result(peer, msg_id(m), DIRECTORY_BIND_HELD, "auth_bind_failure_limit", &unsaid);
    } else if (rc == DB_OK) {
        struct verification *v = mem_zalloc(sizeof *v);
        v->peer = peer;
        v->id = msg_id(m);
        v->serve = s;
        v->part = part;
        v->uuid = uuid;
        v->dn = mem_strdup(buf_str(&dn));
        LIST_INSERT_HEAD(&s->verifications, v, link);
        v->password = mem_strdup(password);
        v->epoch = verified_epoch(s->verified);
        v->request = bindpool_verify(part->pool, v->dn, password, on_verified, v);
    } else {
        bool gone = rc == DB_NONE && all_in_sync(s);
        send_bind_result(peer, msg_id(m),
                         gone ? DIRECTORY_BIND_INVALID : DIRECTORY_BIND_UNAVAILABLE,
                         gone ? "the entry is gone" : "the entry cannot be read", &unsaid);
    }
    buf_free(&dn);
    return 0;
}

static void on_gone(struct ipc_peer *peer, void *arg)
{
    struct serve *s = arg;
    struct verification *v, *next;
    dynamic_peer_gone(s->dynamic, peer);
    wants_owner_gone(s->wants, peer);
    LIST_FOREACH_SAFE (v, &s->verifications, link, next) {
        if (v->peer != peer)
            continue;
        if (v->request != NULL)
            bindpool_cancel(v->request);
        source_check_cancel(v->check);
        drop(v);
    }
}

/* ---- resolution ---- */

static void put_delivery(struct msg *m, const struct delivery *d)
{
    msg_put_u8(m, (uint8_t)d->kind);
    msg_put_uuid(m, &d->owner);
    msg_put_str(m, d->address);
    msg_put_str(m, d->detail);
    msg_put_str(m, d->host);
    msg_put_str(m, d->dn);
}

static struct msg *resolution_msg(enum answer answer, const char *reason,
                                  const struct resolution *res)
{
    struct msg *m = msg_new(DIRECTORY_MSG_RESOLVE_RESULT);
    size_t count = answer == ANSWER_FOUND ? res->count : 0;
    msg_put_u8(m, (uint8_t)answer);
    msg_put_str(m, reason);
    msg_put_u32(m, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        put_delivery(m, &res->deliveries[i]);
    return m;
}

/* A request that waits for what it needs to be in the replica. */
struct pending {
    struct serve *serve;
    struct ipc_peer *peer;
    uint32_t id;
    char address[];
};

static struct pending *pending_new(struct serve *s, struct ipc_peer *peer, uint32_t id,
                                   const char *address)
{
    size_t len = strlen(address) + 1;
    struct pending *p = mem_zalloc(sizeof *p + len);
    p->serve = s;
    p->peer = peer;
    p->id = id;
    memcpy(p->address, address, len);
    return p;
}

static void on_prepared(bool known, void *arg)
{
    struct pending *p = arg;
    struct serve *s = p->serve;
    const char *address = p->address;
    struct resolution res = {.answer = ANSWER_UNKNOWN, .reason = "the replica cannot be read"};
    (void)known; /* what is missing is unknown */
    struct snapshot *snap = snapshot_take(s->directory);
    if (snap != NULL)
        resolve_address(snap, address, false, s->arena, &res);
    for (size_t i = 0; i < res.count; i++) {
        if (res.deliveries[i].kind != DELIVERY_LIST)
            continue;
        res = (struct resolution){.answer = ANSWER_UNKNOWN,
                                  .reason = "a dynamic group is not expanded for a notification"};
    }
    struct msg *reply = resolution_msg(res.answer, res.reason, &res);
    if (msg_full(reply)) {
        msg_free(&reply);
        reply = resolution_msg(ANSWER_UNKNOWN, "more recipients than one answer holds", &res);
    }
    snapshot_release(&snap);
    arena_reset(s->arena);
    ipc_reply(p->peer, p->id, &reply);
    free(p);
}

static int serve_resolve(struct serve *s, struct ipc_peer *peer, struct msg *m)
{
    const char *address = msg_get_str(m);
    if (msg_end(m) < 0 || address == NULL)
        return -1;
    wants_ask(s->wants, WANTED_ADDRESS, address, "", peer, on_prepared,
              pending_new(s, peer, msg_id(m), address));
    return 0;
}

static void on_wanted(bool known, void *arg)
{
    struct pending *p = arg;
    struct msg *reply = msg_new(DIRECTORY_MSG_WANT_RESULT);
    msg_put_bool(reply, known);
    ipc_reply(p->peer, p->id, &reply);
    free(p);
}

static int serve_want(struct serve *s, struct ipc_peer *peer, struct msg *m)
{
    unsigned what = msg_get_u8(m);
    const char *name = msg_get_str(m), *second = msg_get_str(m);
    if (msg_end(m) < 0 || name == NULL || second == NULL || what > WANTED_LOGIN)
        return -1;
    wants_ask(s->wants, (enum directory_wanted)what, name, second, peer, on_wanted,
              pending_new(s, peer, msg_id(m), ""));
    return 0;
}

/* ---- status ---- */

/* The fields of a further directory have its name before them. */
static void put_status(struct serve *s, const struct serve_part *part, struct buf *out)
{
    struct replica_state *state = replica_state(part->replica);
    struct buf text = {0};
    log_format(
        &text, "",
        LOG_FIELDS(LOG_STR("phase", source_phase(part->source)),
                   LOG_UINT("in_sync", state->in_sync), LOG_STR("server", state->server),
                   LOG_STR("source", state->source), LOG_STR("profiles", state->profiles),
                   LOG_UINT("entries", state->entries), LOG_UINT("generation", state->generation),
                   LOG_INT("age", state->last_sync == 0 ? -1 : clock_wall() - state->last_sync),
                   LOG_UINT("binds", bindpool_pending(part->pool)),
                   LOG_UINT("remembered", verified_hits(s->verified)),
                   LOG_STR("last_error", source_last_error(part->source))));
    const char *line = buf_str(&text);
    if (part->name[0] != '\0')
        buf_printf(out, " directory=%s", part->name);
    buf_printf(out, " %s", line + strspn(line, " "));
    buf_free(&text);
}

static int serve_status(struct serve *s, struct ipc_peer *peer, struct msg *m)
{
    struct buf text = {0};
    if (msg_end(m) < 0)
        return -1;
    for (size_t i = 0; i < s->count; i++)
        put_status(s, &s->parts[i], &text);
    struct msg *reply = msg_new(DIRECTORY_MSG_STATUS_RESULT);
    msg_put_str(reply, buf_str(&text) + 1);
    buf_free(&text);
    ipc_reply(peer, msg_id(m), &reply);
    return 0;
}

static int serve_rebuild(struct serve *s, struct ipc_peer *peer, struct msg *m)
{
    uid_t uid = ipc_peer_uid(peer);
    if (msg_end(m) < 0 || (uid != geteuid() && uid != 0))
        return -1;
    bool begun = false;
    for (size_t i = 0; i < s->count; i++)
        if (source_refresh(s->parts[i].source, "the administrator asked for everything"))
            begun = true;
    struct msg *reply = msg_new(DIRECTORY_MSG_REBUILD_RESULT);
    msg_put_bool(reply, begun);
    ipc_reply(peer, msg_id(m), &reply);
    return 0;
}

static int serve_members(struct serve *s, struct ipc_peer *peer, struct msg *m)
{
    return dynamic_request(s->dynamic, peer, m);
}

static const struct {
    uint16_t type;
    int (*serve)(struct serve *s, struct ipc_peer *peer, struct msg *m);
} requests[] = {
    {DIRECTORY_MSG_BIND, serve_bind},       {DIRECTORY_MSG_RESOLVE, serve_resolve},
    {DIRECTORY_MSG_MEMBERS, serve_members}, {DIRECTORY_MSG_STATUS, serve_status},
    {DIRECTORY_MSG_WANT, serve_want},       {DIRECTORY_MSG_REBUILD, serve_rebuild},
};

static int on_request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        if (requests[i].type == msg_type(m))
            return requests[i].serve(arg, peer, m);
    return -1;
}

static void report(struct serve *s)
{
    struct buf text = {0};
    for (size_t i = 0; i < s->count; i++) {
        const struct replica_state *state = replica_state(s->parts[i].replica);
        const char *name = s->parts[i].name, *dash = *name == '\0' ? "" : "_";
        buf_printf(&text, "%s%s%sin_sync=%d %s%sentries=%" PRIu64, i > 0 ? " " : "", name, dash,
                   state->in_sync != 0, name, dash, state->entries);
    }
    service_report(s->service, buf_str(&text));
    buf_free(&text);
}

/* Of several directories the others go on where one is away, which each replica says itself. */
void serve_sync_state(struct serve *s, bool in_sync)
{
    struct msg *m = msg_new(DIRECTORY_MSG_SYNC_STATE);
    msg_put_bool(m, in_sync || s->count > 1);
    ipc_broadcast(s->server, &m);
    report(s);
}

void serve_replica_changed(struct serve *s)
{
    report(s);
}

void serve_ended(struct serve *s, const struct uuid *uuids, size_t n)
{
    while (n > 0) {
        size_t now = n < DIRECTORY_ENDED_MAX ? n : DIRECTORY_ENDED_MAX;
        struct msg *m = msg_new(DIRECTORY_MSG_ENDED);
        msg_put_u32(m, (uint32_t)now);
        for (size_t i = 0; i < now; i++)
            msg_put_uuid(m, &uuids[i]);
        ipc_broadcast(s->server, &m);
        uuids += now;
        n -= now;
    }
}

static void on_touched(const struct uuid *uuid, void *arg)
{
    struct serve *s = arg;
    verified_forget(s->verified, uuid);
}

/* The source of the directory that a group is of, or NULL. */
static struct source *source_of(void *arg, const struct uuid *group)
{
    const struct serve_part *part;
    struct buf dn = {0};
    enum db_result rc = find_owner(arg, group, &dn, &part);
    buf_free(&dn);
    return rc == DB_OK ? part->source : NULL;
}

struct serve *serve_new(struct service *service, const struct serve_part *parts, size_t count)
{
    static const struct ipc_server_ops ops = {.request = on_request, .gone = on_gone};
    const struct conf *conf = service_conf(service);
    struct serve *s = mem_zalloc(sizeof *s);
    s->service = service;
    s->count = count;
    memcpy(s->parts, parts, count * sizeof *parts);
    s->directory = directory_on(conf, replica_db(parts[0].replica));
    for (size_t i = 1; i < count; i++)
        directory_add(s->directory, replica_db(parts[i].replica));
    s->arena = arena_new(RESOLVE_ARENA);
    s->verified = verified_new((size_t)conf->auth_cache_entries, conf->auth_cache_ttl);
    s->guesses = guesses_new((size_t)conf->auth_failure_entries,
                             (unsigned)conf->auth_bind_failure_limit, conf->auth_bind_failure_time);
    for (size_t i = 0; i < count; i++)
        source_on_touched(parts[i].source, on_touched, s);
    LIST_INIT(&s->verifications);
    s->wants = wants_new(conf, s->directory, parts[0].source);
    s->dynamic = dynamic_new(conf, s->directory, source_of, s);
    s->server = ipc_server_new(service_loop(service), service_take_ipc_listener(service),
                               DIRECTORY_SERVICE, DIRECTORY_VERSION, &ops, s);
    report(s);
    return s;
}

void serve_free(struct serve **serve)
{
    struct serve *s = *serve;
    if (s == NULL)
        return;
    *serve = NULL;
    ipc_server_free(&s->server);
    dynamic_free(&s->dynamic);
    wants_free(&s->wants);
    directory_close(&s->directory);
    arena_free(&s->arena);
    while (!LIST_EMPTY(&s->verifications)) {
        struct verification *v = LIST_FIRST(&s->verifications);
        source_check_cancel(v->check);
        drop(v);
    }
    for (size_t i = 0; i < s->count; i++)
        source_on_touched(s->parts[i].source, NULL, NULL);
    verified_free(&s->verified);
    guesses_free(&s->guesses);
    free(s);
}

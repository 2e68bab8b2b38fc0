#include "directory/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "directory/address.h"
#include "directory/pulse.h"
#include "directory/replica.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/str.h"

struct snapshot {
    struct directory *directory;
    struct replica_state state;
    bool in_sync, fresh_for_lookup, fresh_for_login;
    bool by_query; /* the replica holds only what was asked for */
    bool unsure;   /* something was looked for that was not asked for lately */
};

struct directory {
    const struct conf *conf;
    struct db *db;
    struct directory_link *link; /* NULL: the replica alone decides */
    struct snapshot snapshot;
    bool taken;
    void (*trace)(void *arg, const char *by, const struct entry *e);
    void *trace_arg;
    void (*missed)(const struct index_key *key, void *arg);
    void *missed_arg;
    bool borrowed;       /* db is somebody else's */
    struct pulse *pulse; /* of the writer; NULL: it is this process */
};

struct directory *directory_on(const struct conf *conf, struct db *db)
{
    struct directory *d = mem_zalloc(sizeof *d);
    d->conf = conf;
    d->db = db;
    d->borrowed = true;
    return d;
}

struct directory *directory_open(const struct conf *conf, char **error)
{
    const struct db_options options = {.map_size = conf->directory_map_size,
                                       .tables = replica_tables};
    char *dir = mem_printf("%s/replica", conf->state_directory);
    struct db *db = db_open(dir, &options, error);
    struct pulse *pulse = db == NULL ? NULL : pulse_open(dir, false, error);
    free(dir);
    if (pulse == NULL) {
        db_close(&db);
        return NULL;
    }
    struct directory *d = mem_zalloc(sizeof *d);
    d->conf = conf;
    d->db = db;
    d->pulse = pulse;
    return d;
}

void directory_set_link(struct directory *d, struct directory_link *link)
{
    if (d->link != NULL)
        d->link->close(d->link);
    d->link = link;
}

void directory_on_ended(struct directory *d, void (*fn)(const struct uuid *owner, void *arg),
                        void *arg)
{
    if (d->link == NULL)
        return;
    d->link->ended = fn;
    d->link->ended_arg = arg;
}

/* A query begins with the link that it went over. */
struct directory_query {
    struct directory_link *link;
};

struct directory_query *directory_members(struct directory *d, const struct uuid *group,
                                          directory_members_fn *fn, void *arg)
{
    return d->link == NULL ? NULL : d->link->members(d->link, group, fn, arg);
}

struct directory_query *directory_want(struct directory *d, enum directory_wanted what,
                                       const char *name, const char *second, void (*fn)(void *arg),
                                       void *arg)
{
    struct snapshot *s;
    if (d->link == NULL)
        return NULL;
    if (d->snapshot.directory == NULL && (s = snapshot_take(d)) != NULL)
        snapshot_release(&s);
    /* What the last snapshot showed: the source of a directory rarely changes. */
    return d->snapshot.by_query ? d->link->want(d->link, what, name, second, fn, arg) : NULL;
}

void directory_query_cancel(struct directory_query **q)
{
    if (*q != NULL)
        (*q)->link->cancel(*q);
    *q = NULL;
}

void directory_close(struct directory **d)
{
    if (*d == NULL)
        return;
    directory_set_link(*d, NULL);
    if (!(*d)->borrowed)
        db_close(&(*d)->db);
    pulse_close(&(*d)->pulse);
    free(*d);
    *d = NULL;
}

void directory_trace(struct directory *d,
                     void (*fn)(void *arg, const char *by, const struct entry *e), void *arg)
{
    d->trace = fn;
    d->trace_arg = arg;
}

static void trace(const struct directory *d, const struct index_key *key, const struct entry *e)
{
    static const struct {
        enum index_kind kind;
        const char *name;
    } kinds[] = {{INDEX_ADDRESS, "address"},
                 {INDEX_NAME, "name"},
                 {INDEX_DN, "DN"},
                 {INDEX_DOMAIN, "domain"},
                 {INDEX_MEMBER, "member"},
                 {INDEX_MEMBER_ADDRESS, "member"},
                 {INDEX_GLOBAL, "global policy"},
                 {INDEX_CERTIFICATE, "certificate"},
                 {INDEX_PRINCIPAL, "principal"}};
    char by[DB_KEY_MAX + 32];
    if (d->trace == NULL)
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (key->data[0] == (char)kinds[i].kind)
            snprintf(by, sizeof by, "%s%s%.*s", kinds[i].name, key->len > 1 ? " " : "",
                     (int)key->len - 1, key->data + 1);
    d->trace(d->trace_arg, by, e);
}

static int read_state(struct directory *d, struct replica_state *state)
{
    const void *data;
    size_t len;
    if (db_get(d->db, TABLE_META, "state", strlen("state"), &data, &len) != DB_OK ||
        len != sizeof *state)
        return -1;
    memcpy(state, data, sizeof *state);
    return state->format == REPLICA_FORMAT ? 0 : -1;
}

/* The age in seconds of something written at a wall time; a clock set back makes it look older. */
static int64_t age(int64_t then, int64_t now)
{
    return then > now ? then - now : now - then;
}

static void judge(struct snapshot *s)
{
    const struct directory *d = s->directory;
    int64_t now = clock_wall();
    int64_t since = age(s->state.last_sync, now) * 1000;
    bool alive = d->pulse == NULL || pulse_age(d->pulse) <= d->conf->directory_heartbeat_limit;
    s->by_query = strcmp(s->state.source, SOURCE_LOOKUP) == 0;
    s->unsure = false;
    s->in_sync = s->state.in_sync != 0 && alive && (d->link == NULL || d->link->up);
    s->fresh_for_lookup =
        s->state.last_sync > 0 && (s->in_sync || since <= d->conf->directory_stale_lookup_time);
    s->fresh_for_login =
        s->state.last_sync > 0 && (s->in_sync || since <= d->conf->directory_stale_login_time);
}

struct snapshot *snapshot_take(struct directory *d)
{
    struct snapshot *s = &d->snapshot;
    if (d->taken) {
        log_error("a second snapshot was taken before the first was released");
        return NULL;
    }
    if (db_read_begin(d->db) < 0) {
        log_error("the replica cannot be read", LOG_STR("error", db_error(d->db)));
        return NULL;
    }
    s->directory = d;
    if (read_state(d, &s->state) < 0) {
        db_read_end(d->db);
        return NULL;
    }
    judge(s);
    d->taken = true;
    return s;
}

void snapshot_release(struct snapshot **snap)
{
    if (*snap == NULL)
        return;
    db_read_end((*snap)->directory->db);
    (*snap)->directory->taken = false;
    *snap = NULL;
}

void directory_state(struct directory *d, struct directory_state *out)
{
    memset(out, 0, sizeof *out);
    bool mine = !d->taken;
    struct snapshot *s = mine ? snapshot_take(d) : &d->snapshot;
    if (s == NULL)
        return;
    out->in_sync = s->in_sync;
    out->last_sync = s->state.last_sync;
    out->entries = s->state.entries;
    out->generation = s->state.generation;
    strlcpy(out->server, s->state.server, sizeof out->server);
    strlcpy(out->source, s->state.source, sizeof out->source);
    strlcpy(out->profiles, s->state.profiles, sizeof out->profiles);
    if (mine)
        snapshot_release(&s);
}

bool snapshot_in_sync(const struct snapshot *snap)
{
    return snap->in_sync && !snap->unsure;
}

bool snapshot_fresh_for_lookup(const struct snapshot *snap)
{
    return snap->fresh_for_lookup;
}

bool snapshot_fresh_for_login(const struct snapshot *snap)
{
    return snap->fresh_for_login;
}

const struct conf *snapshot_conf(const struct snapshot *snap)
{
    return snap->directory->conf;
}

uint64_t snapshot_generation(const struct snapshot *snap)
{
    return snap->state.generation;
}

enum answer snapshot_absent(const struct snapshot *snap)
{
    return snapshot_in_sync(snap) ? ANSWER_ABSENT : ANSWER_UNKNOWN;
}

/* An entry by its key; DB_FAIL also where it is damaged. */
static enum db_result fetch(struct snapshot *snap, const void *uuid, const struct entry **out)
{
    const void *data;
    size_t len;
    enum db_result rc =
        db_get(snap->directory->db, TABLE_ENTRY, uuid, sizeof(struct uuid), &data, &len);
    if (rc == DB_OK && !entry_valid(data, len))
        rc = DB_FAIL;
    if (rc == DB_OK)
        *out = data;
    return rc;
}

/*
 * Whether what is under a key is known. All domains, policies, access entries and restriction
 * classes are; the rest is what was asked for. Until is not believed where the clock was set back.
 */
static bool is_known(struct snapshot *snap, const struct index_key *key)
{
    static const char always[] = {INDEX_DOMAIN, INDEX_GLOBAL, INDEX_STAGE, INDEX_CLASS,
                                  INDEX_ACCESS};
    const struct conf *conf = snap->directory->conf;
    int64_t now = clock_wall_us() / 1000, until, most;
    const void *data;
    size_t len;
    if (memchr(always, key->data[0], sizeof always) != NULL)
        return true;
    if (db_get(snap->directory->db, TABLE_ASKED, key->data, key->len, &data, &len) != DB_OK ||
        len != sizeof until)
        return false;
    memcpy(&until, data, sizeof until);
    most = conf->directory_lookup_ttl > conf->directory_lookup_negative_ttl
               ? conf->directory_lookup_ttl
               : conf->directory_lookup_negative_ttl;
    return until >= now && until - now <= most;
}

static void look(struct snapshot *snap, const struct index_key *key)
{
    const struct directory *d = snap->directory;
    if (is_known(snap, key))
        return;
    snap->unsure = true;
    if (d->missed != NULL)
        d->missed(key, d->missed_arg);
}

void directory_on_missed(struct directory *d, void (*fn)(const struct index_key *key, void *arg),
                         void *arg)
{
    d->missed = fn;
    d->missed_arg = arg;
}

int snapshot_find(struct snapshot *snap, const struct index_key *key, unsigned mask,
                  const struct entry *out[2])
{
    if (snap->by_query)
        look(snap, key);
    struct db *db = snap->directory->db;
    const void *uuid;
    int n = 0;
    enum db_result rc = db_dup_first(db, TABLE_INDEX, key->data, key->len, &uuid);
    for (; rc == DB_OK && n < 2; rc = db_dup_next(db, TABLE_INDEX, &uuid)) {
        if (fetch(snap, uuid, &out[n]) != DB_OK)
            return -1;
        if ((entry_kinds(out[n]) & mask) == 0)
            continue;
        trace(snap->directory, key, out[n]);
        n++;
    }
    return rc == DB_FAIL ? -1 : n;
}

int snapshot_list(struct snapshot *snap, const struct index_key *key, struct uuid *out, size_t max)
{
    if (snap->by_query)
        look(snap, key);
    struct db *db = snap->directory->db;
    const void *uuid;
    size_t n = 0;
    enum db_result rc = db_dup_first(db, TABLE_INDEX, key->data, key->len, &uuid);
    for (; rc == DB_OK && n < max; rc = db_dup_next(db, TABLE_INDEX, &uuid))
        memcpy(&out[n++], uuid, sizeof *out);
    return rc == DB_FAIL ? -1 : (int)n;
}

enum db_result snapshot_map(struct snapshot *snap, const struct index_key *key, const void **data,
                            size_t *len)
{
    return db_get(snap->directory->db, TABLE_MAP, key->data, key->len, data, len);
}

/* What a lookup says: n entries were found, or n is -1. */
static enum answer answer(const struct snapshot *snap, int n, bool fresh)
{
    if (n == 0)
        return snapshot_absent(snap);
    return n == 1 && fresh ? ANSWER_FOUND : ANSWER_UNKNOWN;
}

enum answer entry_by_uuid(struct snapshot *snap, const struct uuid *uuid, const struct entry **out)
{
    const struct directory *d = snap->directory;
    enum db_result rc = fetch(snap, uuid, out);
    snap->unsure = snap->unsure || (snap->by_query && rc == DB_NONE);
    if (rc == DB_OK && d->trace != NULL)
        d->trace(d->trace_arg, "entryUUID", *out);
    return answer(snap, rc == DB_OK ? 1 : rc == DB_NONE ? 0 : -1, snap->fresh_for_lookup);
}

enum answer entry_next(struct snapshot *snap, struct uuid *uuid, const struct entry **out)
{
    const void *key;
    size_t len;
    struct uuid from = *uuid;
    bool start = uuid_is_zero(uuid);
    for (size_t i = sizeof from.bytes; !start && i-- > 0 && ++from.bytes[i] == 0;)
        ;
    if (!start && uuid_is_zero(&from)) /* it was the greatest there can be */
        return ANSWER_ABSENT;
    enum db_result rc = db_seek(snap->directory->db, TABLE_ENTRY, start ? NULL : &from,
                                start ? 0 : sizeof from, &key, &len);
    if (rc == DB_NONE)
        return ANSWER_ABSENT;
    if (rc == DB_FAIL || len != sizeof *uuid)
        return ANSWER_UNKNOWN;
    memcpy(uuid, key, sizeof *uuid);
    return fetch(snap, uuid, out) == DB_OK ? ANSWER_FOUND : ANSWER_UNKNOWN;
}

enum answer entry_by_dn(struct snapshot *snap, const char *dn, const struct entry **out)
{
    const struct entry *found[2];
    struct index_key key;
    if (index_key_dn(&key, INDEX_DN, dn) < 0)
        return snapshot_absent(snap);
    int n = snapshot_find(snap, &key, ~0U, found);
    if (n > 0)
        *out = found[0];
    return answer(snap, n, snap->fresh_for_lookup);
}

enum answer entry_by_login(struct snapshot *snap, const char *login, const struct entry **out)
{
    const struct entry *by_name[2], *by_address[2];
    struct address address;
    struct index_key key;
    int names = 0, addresses = 0;
    if (index_key_name(&key, login) == 0)
        names = snapshot_find(snap, &key, ENTRY_USER, by_name);
    if (address_parse(&address, login) == 0 && address.domain[0] != '\0') {
        char fold[ADDRESS_STRLEN];
        index_key(&key, INDEX_ADDRESS, fold, address_fold(&address, fold));
        addresses = snapshot_find(snap, &key, ENTRY_USER, by_address);
    }
    if (names < 0 || addresses < 0)
        return ANSWER_UNKNOWN;
    if (names > 0)
        *out = by_name[0];
    else if (addresses > 0)
        *out = by_address[0];
    if (names == 1 && addresses == 1 && uuid_eq(entry_uuid(by_name[0]), entry_uuid(by_address[0])))
        addresses = 0;
    return answer(snap, names + addresses, snap->fresh_for_login);
}

static enum answer entry_by_credential(struct snapshot *snap, enum index_kind kind,
                                       const char *text, const struct entry **out)
{
    const struct entry *found[2];
    struct index_key key;
    if (index_key_folded(&key, kind, text) < 0)
        return ANSWER_ABSENT; /* nobody's can be as long */
    int n = snapshot_find(snap, &key, ENTRY_USER, found);
    if (n > 0)
        *out = found[0];
    return answer(snap, n, snap->fresh_for_login);
}

enum answer entry_by_certificate(struct snapshot *snap, const char *hash, const struct entry **out)
{
    return entry_by_credential(snap, INDEX_CERTIFICATE, hash, out);
}

enum answer entry_by_principal(struct snapshot *snap, const char *principal,
                               const struct entry **out)
{
    return entry_by_credential(snap, INDEX_PRINCIPAL, principal, out);
}

enum answer directory_domain(struct snapshot *snap, const char *domain, const struct entry **out)
{
    const struct entry *found[2];
    const struct conf *conf = snap->directory->conf;
    char normal[ADDRESS_DOMAIN_MAX + 1];
    struct index_key key;
    *out = NULL;
    if (address_domain(normal, domain) < 0)
        return ANSWER_ABSENT; /* what is no domain name cannot be ours */
    index_key(&key, INDEX_DOMAIN, normal, strlen(normal));
    int n = snapshot_find(snap, &key, ENTRY_DOMAIN, found);
    if (n != 0) {
        if (n > 0)
            *out = found[0];
        return answer(snap, n, snap->fresh_for_lookup);
    }
    for (size_t i = 0; i < conf->mydestination.n; i++)
        if (address_same_domain(normal, conf->mydestination.v[i]))
            return ANSWER_FOUND;
    return snapshot_absent(snap);
}

#include "directory/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "directory/address.h"
#include "directory/pulse.h"
#include "directory/replica.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/str.h"

/* One directory's replica. */
struct part {
    const char *name;         /* "": the one that is not named */
    struct conf_list domains; /* directory_domains; conf's in part 0 */
    struct db *db;
    bool borrowed;       /* db is somebody else's */
    struct pulse *pulse; /* of the writer; NULL: it is this process */
    struct replica_state state;
    bool in_sync, fresh_for_lookup, fresh_for_login;
    bool by_query; /* the replica holds only what was asked for */
    bool unsure;   /* something was looked for that was not asked for lately */
};

/* What is asked of the whole: in sync where every directory is, fresh where one of them is. */
struct snapshot {
    struct directory *directory;
    bool in_sync, fresh_for_lookup, fresh_for_login;
    size_t found[2]; /* which part the last snapshot_find found each entry in */
};

struct directory {
    const struct conf *conf;
    struct part parts[1 + CONF_DIRECTORIES_MAX];
    size_t count;
    struct directory_link *link; /* NULL: the replica alone decides */
    struct snapshot snapshot;
    bool taken;
    void (*trace)(void *arg, const char *by, const struct entry *e);
    void *trace_arg;
    void (*missed)(const struct index_key *key, void *arg);
    void *missed_arg;
};

/* The words of a further directory's NAME_directory_domains. */
static void read_domains(struct part *part, const struct conf *conf)
{
    char *setting = mem_printf("%s_directory_domains", part->name);
    const char *text = conf_class(conf, setting), *token;
    size_t len;
    free(setting);
    while (text != NULL && str_token(&text, " \t,", &token, &len)) {
        part->domains.v = mem_realloc(part->domains.v, part->domains.n + 1, sizeof(char *));
        part->domains.v[part->domains.n++] = mem_strndup(token, len);
    }
}

/* Part number 0 is the directory without a name. */
static struct part *add_part(struct directory *d)
{
    struct part *part = &d->parts[d->count];
    part->name = d->count == 0 ? "" : d->conf->directories.v[d->count - 1];
    if (d->count == 0)
        part->domains = d->conf->directory_domains;
    else
        read_domains(part, d->conf);
    d->count++;
    return part;
}

static void free_part(struct part *part)
{
    if (!part->borrowed)
        db_close(&part->db);
    pulse_close(&part->pulse);
    for (size_t i = 0; part->name[0] != '\0' && i < part->domains.n; i++)
        free(part->domains.v[i]);
    if (part->name[0] != '\0')
        free(part->domains.v);
}

struct directory *directory_on(const struct conf *conf, struct db *db)
{
    struct directory *d = mem_zalloc(sizeof *d);
    d->conf = conf;
    directory_add(d, db);
    return d;
}

void directory_add(struct directory *d, struct db *db)
{
    struct part *part = add_part(d);
    part->db = db;
    part->borrowed = true;
}

char *directory_path(const struct conf *conf, const char *what, const char *name)
{
    return mem_printf("%s/%s%s%s", conf->state_directory, what, *name == '\0' ? "" : "-", name);
}

uint64_t directory_disk_bytes(const struct conf *conf)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i <= conf->directories.n && i <= CONF_DIRECTORIES_MAX; i++) {
        struct stat st;
        char *dir = directory_path(conf, "replica", i == 0 ? "" : conf->directories.v[i - 1]);
        char *data = mem_printf("%s/data.mdb", dir);
        if (stat(data, &st) == 0)
            bytes += (uint64_t)st.st_blocks * 512;
        free(data);
        free(dir);
    }
    return bytes;
}

static int open_part(struct directory *d, char **error)
{
    const struct db_options options = {.map_size = d->conf->directory_map_size,
                                       .tables = replica_tables};
    struct part *part = add_part(d);
    char *dir = directory_path(d->conf, "replica", part->name);
    part->db = db_open(dir, &options, error);
    if (part->db != NULL)
        part->pulse = pulse_open(dir, false, error);
    free(dir);
    return part->pulse == NULL ? -1 : 0;
}

struct directory *directory_open(const struct conf *conf, char **error)
{
    struct directory *d = mem_zalloc(sizeof *d);
    d->conf = conf;
    for (size_t i = 0; i <= conf->directories.n && i <= CONF_DIRECTORIES_MAX; i++) {
        if (open_part(d, error) == 0)
            continue;
        directory_close(&d);
        return NULL;
    }
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
    return d->parts[0].by_query ? d->link->want(d->link, what, name, second, fn, arg) : NULL;
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
    for (size_t i = 0; i < (*d)->count; i++)
        free_part(&(*d)->parts[i]);
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

static int read_state(struct part *part)
{
    const void *data;
    size_t len;
    if (db_get(part->db, TABLE_META, "state", strlen("state"), &data, &len) != DB_OK ||
        len != sizeof part->state)
        return -1;
    memcpy(&part->state, data, sizeof part->state);
    return part->state.format == REPLICA_FORMAT ? 0 : -1;
}

/* The age in seconds of something written at a wall time; a clock set back makes it look older. */
static int64_t age(int64_t then, int64_t now)
{
    return then > now ? then - now : now - then;
}

static void judge(const struct directory *d, struct part *part)
{
    int64_t now = clock_wall();
    int64_t since = age(part->state.last_sync, now) * 1000;
    bool alive =
        part->pulse == NULL || pulse_age(part->pulse) <= d->conf->directory_heartbeat_limit;
    part->by_query = strcmp(part->state.source, SOURCE_LOOKUP) == 0;
    part->unsure = false;
    part->in_sync = part->state.in_sync != 0 && alive && (d->link == NULL || d->link->up);
    part->fresh_for_lookup = part->state.last_sync > 0 &&
                             (part->in_sync || since <= d->conf->directory_stale_lookup_time);
    part->fresh_for_login = part->state.last_sync > 0 &&
                            (part->in_sync || since <= d->conf->directory_stale_login_time);
}

/* Begins a read view of each part; ends those that were begun where one cannot be read. */
static int begin_all(struct directory *d)
{
    for (size_t i = 0; i < d->count; i++) {
        struct part *part = &d->parts[i];
        bool begun = db_read_begin(part->db) == 0;
        if (!begun)
            log_error("the replica cannot be read", LOG_STR("error", db_error(part->db)));
        if (begun && read_state(part) == 0) {
            judge(d, part);
            continue;
        }
        for (size_t k = 0; k < i + begun; k++)
            db_read_end(d->parts[k].db);
        return -1;
    }
    return 0;
}

struct snapshot *snapshot_take(struct directory *d)
{
    struct snapshot *s = &d->snapshot;
    if (d->taken) {
        log_error("a second snapshot was taken before the first was released");
        return NULL;
    }
    if (begin_all(d) < 0)
        return NULL;
    *s = (struct snapshot){.directory = d, .in_sync = true};
    for (size_t i = 0; i < d->count; i++) {
        s->in_sync = s->in_sync && d->parts[i].in_sync;
        s->fresh_for_lookup = s->fresh_for_lookup || d->parts[i].fresh_for_lookup;
        s->fresh_for_login = s->fresh_for_login || d->parts[i].fresh_for_login;
    }
    d->taken = true;
    return s;
}

void snapshot_release(struct snapshot **snap)
{
    if (*snap == NULL)
        return;
    for (size_t i = 0; i < (*snap)->directory->count; i++)
        db_read_end((*snap)->directory->parts[i].db);
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
    const struct replica_state *first = &d->parts[0].state;
    out->in_sync = s->in_sync;
    out->last_sync = first->last_sync;
    out->generation = snapshot_generation(s);
    for (size_t i = 0; i < d->count; i++) {
        const struct replica_state *state = &d->parts[i].state;
        out->entries += state->entries;
        if (state->last_sync < out->last_sync)
            out->last_sync = state->last_sync;
    }
    strlcpy(out->server, first->server, sizeof out->server);
    strlcpy(out->source, first->source, sizeof out->source);
    strlcpy(out->profiles, first->profiles, sizeof out->profiles);
    if (mine)
        snapshot_release(&s);
}

bool snapshot_in_sync(const struct snapshot *snap)
{
    for (size_t i = 0; i < snap->directory->count; i++)
        if (snap->directory->parts[i].unsure)
            return false;
    return snap->in_sync;
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
    uint64_t sum = 0;
    for (size_t i = 0; i < snap->directory->count; i++)
        sum += snap->directory->parts[i].state.generation;
    return sum;
}

/* Which directory a domain is of: the one whose entry it is, that lists it, or the first. */
static size_t domain_owner(const struct snapshot *snap, const char *domain)
{
    const struct directory *d = snap->directory;
    const void *uuid;
    struct index_key key;
    for (size_t i = 0; i < d->count; i++)
        for (size_t k = 0; k < d->parts[i].domains.n; k++)
            if (address_same_domain(domain, d->parts[i].domains.v[k]))
                return i;
    index_key(&key, INDEX_DOMAIN, domain, strlen(domain));
    for (size_t i = 0; i < d->count; i++)
        if (db_dup_first(d->parts[i].db, TABLE_INDEX, key.data, key.len, &uuid) == DB_OK)
            return i;
    return 0;
}

bool snapshot_domain_listed(const struct snapshot *snap, const char *domain)
{
    const struct directory *d = snap->directory;
    for (size_t i = 0; i < d->count; i++)
        for (size_t k = 0; k < d->parts[i].domains.n; k++)
            if (address_same_domain(domain, d->parts[i].domains.v[k]))
                return true;
    return false;
}

bool snapshot_domain_in_sync(const struct snapshot *snap, const char *domain)
{
    const struct directory *d = snap->directory;
    const struct part *part = &d->parts[d->count == 1 ? 0 : domain_owner(snap, domain)];
    return part->in_sync && !part->unsure;
}

/* Which part an entry was found in; of one that was in none, the first. */
static size_t part_of(const struct snapshot *snap, const struct entry *e)
{
    const struct directory *d = snap->directory;
    const void *data;
    size_t len;
    for (size_t i = 0; d->count > 1 && i < d->count; i++)
        if (db_get(d->parts[i].db, TABLE_ENTRY, entry_uuid(e), sizeof(struct uuid), &data, &len) ==
                DB_OK &&
            data == (const void *)e)
            return i;
    return 0;
}

const char *snapshot_directory_of(const struct snapshot *snap, const struct entry *e)
{
    return snap->directory->parts[part_of(snap, e)].name;
}

enum answer snapshot_absent(const struct snapshot *snap)
{
    return snapshot_in_sync(snap) ? ANSWER_ABSENT : ANSWER_UNKNOWN;
}

/* An entry by its key; DB_FAIL also where it is damaged. */
static enum db_result fetch_from(const struct part *part, const void *uuid,
                                 const struct entry **out)
{
    const void *data;
    size_t len;
    enum db_result rc = db_get(part->db, TABLE_ENTRY, uuid, sizeof(struct uuid), &data, &len);
    if (rc == DB_OK && !entry_valid(data, len))
        rc = DB_FAIL;
    if (rc == DB_OK)
        *out = data;
    return rc;
}

/* The same from whichever directory has it; *in is its number. */
static enum db_result fetch(const struct snapshot *snap, const void *uuid, const struct entry **out,
                            size_t *in)
{
    const struct directory *d = snap->directory;
    enum db_result rc = DB_NONE;
    for (*in = 0; *in < d->count; ++*in)
        if ((rc = fetch_from(&d->parts[*in], uuid, out)) != DB_NONE)
            break;
    return rc;
}

/*
 * Whether what is under a key is known. All domains, policies, access entries and restriction
 * classes are; the rest is what was asked for. Until is not believed where the clock was set back.
 */
static bool is_known(const struct conf *conf, const struct part *part, const struct index_key *key)
{
    static const char always[] = {INDEX_DOMAIN, INDEX_GLOBAL, INDEX_STAGE,
                                  INDEX_CLASS,  INDEX_ACCESS, INDEX_CONFIG};
    int64_t now = clock_wall_us() / 1000, until, most;
    const void *data;
    size_t len;
    if (memchr(always, key->data[0], sizeof always) != NULL)
        return true;
    if (db_get(part->db, TABLE_ASKED, key->data, key->len, &data, &len) != DB_OK ||
        len != sizeof until)
        return false;
    memcpy(&until, data, sizeof until);
    most = conf->directory_lookup_ttl > conf->directory_lookup_negative_ttl
               ? conf->directory_lookup_ttl
               : conf->directory_lookup_negative_ttl;
    return until >= now && until - now <= most;
}

/* Only the first directory is asked for what is not known: the others tell of their changes. */
static void look(const struct directory *d, struct part *part, const struct index_key *key)
{
    if (!part->by_query || is_known(d->conf, part, key))
        return;
    part->unsure = true;
    if (d->missed != NULL && part == &d->parts[0])
        d->missed(key, d->missed_arg);
}

void directory_on_missed(struct directory *d, void (*fn)(const struct index_key *key, void *arg),
                         void *arg)
{
    d->missed = fn;
    d->missed_arg = arg;
}

/*
 * Whether an earlier directory has an entry of this entryUUID, too. Mailboxes and keys are their
 * owner's by it: whoever keeps a later directory shall not be somebody of an earlier one.
 */
static bool is_taken(const struct directory *d, size_t at, const struct entry *e)
{
    const void *data;
    size_t len;
    for (size_t i = 0; i < at; i++) {
        if (db_get(d->parts[i].db, TABLE_ENTRY, entry_uuid(e), sizeof(struct uuid), &data, &len) ==
            DB_NONE)
            continue;
        log_warning("two directories have an entry with one entryUUID: the later one is not used",
                    LOG_STR("dn", entry_dn(e)), LOG_STR("directory", d->parts[at].name));
        return true;
    }
    return false;
}

/* Goes on with count n in one part; the new count, or -1. */
static int find_in(struct snapshot *snap, size_t at, const struct index_key *key, unsigned mask,
                   const struct entry *out[2], int n)
{
    struct part *part = &snap->directory->parts[at];
    const void *uuid;
    look(snap->directory, part, key);
    enum db_result rc = db_dup_first(part->db, TABLE_INDEX, key->data, key->len, &uuid);
    for (; rc == DB_OK && n < 2; rc = db_dup_next(part->db, TABLE_INDEX, &uuid)) {
        if (fetch_from(part, uuid, &out[n]) != DB_OK)
            return -1;
        if ((entry_kinds(out[n]) & mask) == 0)
            continue;
        /* Beside others, one whose directory is away for too long is as good as unreadable. */
        if (snap->directory->count > 1 && !part->fresh_for_lookup)
            return -1;
        if (is_taken(snap->directory, at, out[n]))
            return -1;
        trace(snap->directory, key, out[n]);
        snap->found[n++] = at;
    }
    return rc == DB_FAIL ? -1 : n;
}

/*
 * How many directories a key is looked for in: what governs the whole gateway stands in the first
 * one, so that whoever keeps another one governs no more than its own people.
 */
static size_t reach(const struct directory *d, const struct index_key *key)
{
    static const char first_only[] = {INDEX_GLOBAL, INDEX_CLASS, INDEX_ACCESS, INDEX_CONFIG};
    return memchr(first_only, key->data[0], sizeof first_only) != NULL ? 1 : d->count;
}

int snapshot_find(struct snapshot *snap, const struct index_key *key, unsigned mask,
                  const struct entry *out[2])
{
    int n = 0;
    for (size_t i = 0; i < reach(snap->directory, key) && n >= 0 && n < 2; i++)
        n = find_in(snap, i, key, mask, out, n);
    return n;
}

/* What is under a key in the parts from the one to before the other: see snapshot_list. */
static int list_in(struct snapshot *snap, size_t from, size_t to, const struct index_key *key,
                   struct uuid *out, size_t max)
{
    size_t n = 0;
    for (size_t i = from; i < to; i++) {
        struct db *db = snap->directory->parts[i].db;
        const void *uuid;
        look(snap->directory, &snap->directory->parts[i], key);
        enum db_result rc = db_dup_first(db, TABLE_INDEX, key->data, key->len, &uuid);
        for (; rc == DB_OK && n < max; rc = db_dup_next(db, TABLE_INDEX, &uuid))
            memcpy(&out[n++], uuid, sizeof *out);
        if (rc == DB_FAIL)
            return -1;
    }
    return (int)n;
}

int snapshot_list(struct snapshot *snap, const struct index_key *key, struct uuid *out, size_t max)
{
    return list_in(snap, 0, reach(snap->directory, key), key, out, max);
}

enum db_result snapshot_map(struct snapshot *snap, const struct index_key *key, const void **data,
                            size_t *len)
{
    return db_get(snap->directory->parts[0].db, TABLE_MAP, key->data, key->len, data, len);
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
    size_t in;
    enum db_result rc = fetch(snap, uuid, out, &in);
    for (size_t i = 0; rc == DB_NONE && i < d->count; i++)
        snap->directory->parts[i].unsure = d->parts[i].unsure || d->parts[i].by_query;
    if (rc == DB_OK && d->trace != NULL)
        d->trace(d->trace_arg, "entryUUID", *out);
    return answer(snap,
                  rc == DB_OK     ? 1
                  : rc == DB_NONE ? 0
                                  : -1,
                  rc == DB_OK && d->parts[in].fresh_for_lookup);
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
    struct uuid least = {{0}};
    bool any = false;
    for (size_t i = 0; i < snap->directory->count; i++) {
        enum db_result rc = db_seek(snap->directory->parts[i].db, TABLE_ENTRY, start ? NULL : &from,
                                    start ? 0 : sizeof from, &key, &len);
        if (rc == DB_NONE)
            continue;
        if (rc == DB_FAIL || len != sizeof *uuid)
            return ANSWER_UNKNOWN;
        if (!any || memcmp(key, &least, sizeof least) < 0)
            memcpy(&least, key, sizeof least);
        any = true;
    }
    if (!any)
        return ANSWER_ABSENT;
    size_t in;
    *uuid = least;
    return fetch(snap, uuid, out, &in) == DB_OK ? ANSWER_FOUND : ANSWER_UNKNOWN;
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

int entry_app_passwords(struct snapshot *snap, const struct entry *user,
                        struct uuid out[ENTRY_APP_PASSWORDS_MAX])
{
    struct index_key key;
    if (index_key_dn(&key, INDEX_APP_PASSWORD, entry_dn(user)) < 0)
        return 0;
    /* Another directory's entries speak for none of this one's people, whatever their DNs. */
    size_t part = part_of(snap, user);
    return list_in(snap, part, part + 1, &key, out, ENTRY_APP_PASSWORDS_MAX);
}

enum answer entry_by_login(struct snapshot *snap, const char *login, const struct entry **out)
{
    const struct entry *by_name[2], *by_address[2];
    struct address address;
    struct index_key key;
    int names = 0, addresses = 0;
    bool fresh = true;
    if (index_key_name(&key, login) == 0)
        names = snapshot_find(snap, &key, ENTRY_USER, by_name);
    if (names > 0)
        fresh = snap->directory->parts[snap->found[0]].fresh_for_login;
    if (address_parse(&address, login) == 0 && address.domain[0] != '\0') {
        char fold[ADDRESS_STRLEN];
        index_key(&key, INDEX_ADDRESS, fold, address_fold(&address, fold));
        addresses = snapshot_find(snap, &key, ENTRY_USER, by_address);
        if (addresses > 0)
            fresh = fresh && snap->directory->parts[snap->found[0]].fresh_for_login;
    }
    if (names < 0 || addresses < 0)
        return ANSWER_UNKNOWN;
    if (names > 0)
        *out = by_name[0];
    else if (addresses > 0)
        *out = by_address[0];
    if (names == 1 && addresses == 1 && uuid_eq(entry_uuid(by_name[0]), entry_uuid(by_address[0])))
        addresses = 0;
    return answer(snap, names + addresses, fresh);
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
    return answer(snap, n, n > 0 && snap->directory->parts[snap->found[0]].fresh_for_login);
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
    if (snapshot_domain_listed(snap, normal))
        return ANSWER_FOUND;
    /* A directory that is away may own what nobody else does, unless it says that it does not. */
    for (size_t i = 0; i < snap->directory->count; i++)
        if (!snap->directory->parts[i].in_sync && snap->directory->parts[i].domains.n == 0)
            return ANSWER_UNKNOWN;
    return ANSWER_ABSENT;
}

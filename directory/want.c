#include "directory/want.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "directory/replica.h"
#include "directory/resolve.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"

/* Keys that one look may miss, and looks that one name may take. */
#define MISSES_MAX  256
#define LOOKS_MAX   64
#define WANT_MEMORY ((size_t)8 << 20)

struct waiter {
    TAILQ_ENTRY(waiter) link;
    const void *owner;
    void (*fn)(bool known, void *arg);
    void *arg;
};

struct want_job {
    LIST_ENTRY(want_job) link;
    struct wants *wants;
    enum directory_wanted what;
    char *name, *second;
    TAILQ_HEAD(, waiter) waiters;
    unsigned looks, outstanding;
    bool failed;
    struct buf missed; /* struct index_key each, of the look at hand */
};

struct wants {
    const struct conf *conf;
    struct directory *directory;
    struct source *source;
    struct arena *arena;
    LIST_HEAD(, want_job) jobs;
    size_t count;
};

static void go_on(struct want_job *j);

static void finish(struct want_job *j, bool known)
{
    struct waiter *w;
    LIST_REMOVE(j, link);
    j->wants->count--;
    while ((w = TAILQ_FIRST(&j->waiters)) != NULL) {
        TAILQ_REMOVE(&j->waiters, w, link);
        w->fn(known, w->arg);
        free(w);
    }
    buf_free(&j->missed);
    free(j->name);
    free(j->second);
    free(j);
}

static void add_missed(const struct index_key *key, void *arg)
{
    struct want_job *j = arg;
    const struct index_key *list = (const struct index_key *)j->missed.data;
    size_t n = j->missed.len / sizeof *key;
    for (size_t i = 0; i < n; i++)
        if (list[i].len == key->len && memcmp(list[i].data, key->data, key->len) == 0)
            return;
    if (n == MISSES_MAX || buf_append(&j->missed, key, sizeof *key) < 0)
        j->failed = true;
}

/* What RCPT looks at: where the address leads, and whose policies hold. */
static void look_at_recipient(struct want_job *j, struct snapshot *snap)
{
    static const enum entry_attr stages[] = {ATTR_CLIENT_RESTRICTIONS,     ATTR_HELO_RESTRICTIONS,
                                             ATTR_SENDER_RESTRICTIONS,     ATTR_RELAY_RESTRICTIONS,
                                             ATTR_RECIPIENT_RESTRICTIONS,  ATTR_DATA_RESTRICTIONS,
                                             ATTR_END_OF_DATA_RESTRICTIONS};
    struct arena *arena = j->wants->arena;
    struct resolution res;
    const char *text, *dn;
    resolve_recipient(snap, j->name, false, arena, &res);
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        policy_restrictions(snap, j->name, stages[i], arena, &text, &dn);
    if (j->second[0] != '\0')
        resolve_address(snap, j->second, false, arena, &res);
}

/* false: the replica cannot be read. */
static bool look(struct want_job *j)
{
    struct wants *w = j->wants;
    struct uuid passwords[ENTRY_APP_PASSWORDS_MAX];
    const struct entry *e;
    struct snapshot *snap = snapshot_take(w->directory);
    if (snap == NULL)
        return false;
    buf_clear(&j->missed);
    directory_on_missed(w->directory, add_missed, j);
    if (j->what == WANTED_ADDRESS)
        look_at_recipient(j, snap);
    else if (entry_by_login(snap, j->name, &e) == ANSWER_FOUND)
        (void)entry_app_passwords(snap, e, passwords);
    directory_on_missed(w->directory, NULL, NULL);
    snapshot_release(&snap);
    arena_reset(w->arena);
    return true;
}

static void answered(bool known, void *arg)
{
    struct want_job *j = arg;
    j->failed = j->failed || !known;
    if (--j->outstanding == 0)
        go_on(j);
}

static void go_on(struct want_job *j)
{
    if (j->failed || ++j->looks > LOOKS_MAX || !look(j)) {
        finish(j, false);
        return;
    }
    size_t n = j->missed.len / sizeof(struct index_key);
    if (n == 0) {
        finish(j, true);
        return;
    }
    j->outstanding = 1; /* until all are asked */
    for (size_t i = 0; i < n; i++) {
        const struct index_key *key = (const struct index_key *)j->missed.data + i;
        if (source_query(j->wants->source, key, answered, j))
            j->outstanding++;
        else
            j->failed = true;
    }
    answered(true, j);
}

static struct want_job *job_for(struct wants *w, enum directory_wanted what, const char *name,
                                const char *second, bool *is_new)
{
    struct want_job *j;
    *is_new = false;
    LIST_FOREACH (j, &w->jobs, link)
        if (j->what == what && strcmp(j->name, name) == 0 && strcmp(j->second, second) == 0)
            return j;
    if (w->count >= (size_t)w->conf->directory_lookup_limit)
        return NULL;
    j = mem_zalloc(sizeof *j);
    j->wants = w;
    j->what = what;
    j->name = mem_strdup(name);
    j->second = mem_strdup(second);
    TAILQ_INIT(&j->waiters);
    LIST_INSERT_HEAD(&w->jobs, j, link);
    w->count++;
    *is_new = true;
    return j;
}

void wants_ask(struct wants *w, enum directory_wanted what, const char *name, const char *second,
               const void *owner, void (*fn)(bool known, void *arg), void *arg)
{
    bool is_new, by_query = strcmp(source_kind(w->source), SOURCE_LOOKUP) == 0;
    struct want_job *j = by_query ? job_for(w, what, name, second, &is_new) : NULL;
    if (j == NULL) {
        fn(!by_query, arg);
        return;
    }
    struct waiter *waiter = mem_zalloc(sizeof *waiter);
    waiter->owner = owner;
    waiter->fn = fn;
    waiter->arg = arg;
    TAILQ_INSERT_TAIL(&j->waiters, waiter, link);
    if (is_new)
        go_on(j);
}

void wants_owner_gone(struct wants *w, const void *owner)
{
    struct want_job *j;
    struct waiter *waiter, *next;
    LIST_FOREACH (j, &w->jobs, link) {
        TAILQ_FOREACH_SAFE (waiter, &j->waiters, link, next) {
            if (waiter->owner != owner)
                continue;
            TAILQ_REMOVE(&j->waiters, waiter, link);
            free(waiter->arg);
            free(waiter);
        }
    }
}

struct wants *wants_new(const struct conf *conf, struct directory *directory, struct source *source)
{
    struct wants *w = mem_zalloc(sizeof *w);
    w->conf = conf;
    w->directory = directory;
    w->source = source;
    w->arena = arena_new(WANT_MEMORY);
    LIST_INIT(&w->jobs);
    return w;
}

void wants_free(struct wants **wants)
{
    struct wants *w = *wants;
    struct want_job *j;
    struct waiter *waiter;
    if (w == NULL)
        return;
    *wants = NULL;
    source_queries_forget(w->source);
    while ((j = LIST_FIRST(&w->jobs)) != NULL) {
        while ((waiter = TAILQ_FIRST(&j->waiters)) != NULL) {
            TAILQ_REMOVE(&j->waiters, waiter, link);
            free(waiter->arg);
            free(waiter);
        }
        finish(j, false);
    }
    arena_free(&w->arena);
    free(w);
}

#include "directory/aliasfile.h"

#include <stdlib.h>
#include <string.h>

#include "directory/aliasread.h"
#include "directory/maps.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

/* How soon a replica that could not be written is tried again. */
#define RETRY_PAUSE 1000

struct aliasfile {
    struct aliasfiles *all;
    const char *word, *path;
    struct aliasread seen; /* its stamps: what the replica has */
    struct aliasread read; /* by the worker */
    bool busy, changed, told;
};

struct aliasfiles {
    const struct conf *conf;
    struct worker_pool *workers;
    struct replica *replica;
    struct timer *timer;
    struct aliasfile *files;
    size_t count;
};

static int put_name(struct replica *r, const struct aliasfile *f, const struct aliasread_name *n,
                    struct entry_draft *draft)
{
    const struct map_record record = {.good_until = MAP_FOREVER,
                                      .stale_until = MAP_FOREVER,
                                      .answer = n->refused != NULL ? ANSWER_UNKNOWN : ANSWER_FOUND};
    struct map_record before;
    enum db_result rc = map_get(r, f->word, n->name, &before);
    if (rc == DB_OK)
        log_warning("alias left out", LOG_STR("file", f->path), LOG_UINT("line", n->line),
                    LOG_STR("reason", "the name stands in the file before"),
                    LOG_STR("alias", n->name));
    if (rc != DB_NONE)
        return rc == DB_OK ? 0 : -1;
    entry_draft_reset(draft);
    map_uuid(&draft->uuid, f->word, n->name);
    draft->kinds = ENTRY_ALIAS;
    if (n->refused != NULL)
        buf_append_str(&draft->dn, n->refused);
    else
        buf_printf(&draft->dn, "%s: %s", f->path, n->name);
    for (size_t at = 0; n->refused == NULL && at < n->targets.len;) {
        const char *target = (const char *)n->targets.data + at;
        at += strlen(target) + 1;
        if (entry_draft_add(draft, ATTR_ROUTING_ADDRESS, target, strlen(target)) < 0)
            return -1;
    }
    return map_put(r, f->word, n->name, &record, draft);
}

/* Replaces what the replica has of the file; 0 or -1. */
static int store(struct aliasfile *f)
{
    struct replica *r = f->all->replica;
    const struct aliasread_name *n;
    struct entry_draft draft = {0};
    if (replica_begin(r) < 0)
        return -1;
    int rc = map_clear(r, f->word);
    STAILQ_FOREACH (n, &f->read.names, link)
        rc = rc == 0 ? put_name(r, f, n, &draft) : rc;
    if (rc == 0)
        rc = map_mark_whole(r, f->word);
    entry_draft_free(&draft);
    if (rc == 0)
        return replica_commit(r);
    replica_abort(r);
    return -1;
}

static void take(struct aliasfile *f)
{
    if (f->read.error != NULL) {
        if (!f->told)
            log_error("alias file cannot be read; what it said before holds",
                      LOG_STR("file", f->path), LOG_STR("error", f->read.error));
        f->told = true;
    } else if (store(f) == 0) {
        f->told = false;
        log_notice("aliases read", LOG_STR("file", f->path), LOG_UINT("names", f->read.count));
    } else {
        log_error("aliases cannot be kept", LOG_STR("file", f->path),
                  LOG_STR("error", replica_error(f->all->replica)));
        aliasread_free(&f->read);
        timer_set(f->all->timer, RETRY_PAUSE);
        return;
    }
    aliasread_free_names(
        &f->read); /* the stamps stay, without the list, whose end has an address */
    aliasread_free(&f->seen);
    f->seen = f->read;
    STAILQ_INIT(&f->seen.names);
    f->read = (struct aliasread){0};
}

static void run(void *arg)
{
    struct aliasfile *f = arg;
    f->changed = aliasread_changed(&f->seen);
    if (f->changed)
        aliasread_file(&f->read, f->path);
}

static void done(void *arg)
{
    struct aliasfile *f = arg;
    f->busy = false;
    if (f->changed)
        take(f);
}

static void on_timer(void *arg)
{
    struct aliasfiles *all = arg;
    for (size_t i = 0; i < all->count; i++) {
        struct aliasfile *f = &all->files[i];
        if (f->busy)
            continue;
        f->busy = true;
        worker_run(all->workers, run, done, f);
    }
    timer_set(all->timer, all->conf->alias_maps_check_time);
}

struct aliasfiles *aliasfiles_new(const struct conf *conf, struct loop *loop,
                                  struct worker_pool *workers, struct replica *replica)
{
    struct aliasfiles *all = mem_zalloc(sizeof *all);
    const struct conf_list *list = &conf->alias_maps;
    all->files = mem_zalloc((list->n + 1) * sizeof *all->files);
    for (size_t i = 0; i < list->n; i++) {
        struct aliasfile *f = &all->files[all->count];
        if (map_kind(list->v[i], &f->path) != MAP_FILE)
            continue;
        f->all = all;
        f->word = list->v[i];
        all->count++;
    }
    all->conf = conf;
    all->workers = workers;
    all->replica = replica;
    all->timer = timer_new(loop, on_timer, all);
    if (all->count == 0) {
        aliasfiles_free(&all);
        return NULL;
    }
    for (size_t i = 0; i < all->count; i++) {
        aliasread_file(&all->files[i].read, all->files[i].path);
        take(&all->files[i]);
    }
    timer_set(all->timer, conf->alias_maps_check_time);
    return all;
}

void aliasfiles_free(struct aliasfiles **files)
{
    struct aliasfiles *all = *files;
    *files = NULL;
    if (all == NULL)
        return;
    timer_free(&all->timer);
    for (size_t i = 0; i < all->count; i++) {
        aliasread_free(&all->files[i].read);
        aliasread_free(&all->files[i].seen);
    }
    free(all->files);
    free(all);
}

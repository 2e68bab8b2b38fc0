/* What the directory sets: when it is put in force, and where it is kept. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/file.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/master/master.h"

struct settings {
    struct master *master;
    struct buf in_force; /* kept in state_directory */
    struct buf wanted;   /* what the directory has now */
    struct buf applied;  /* what the reload under way, or the last one, brought */
    struct buf refused;  /* did not fit, and that has been said */
    bool any_refused;
    bool reloading; /* by applied */
};

static bool same(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void copy(struct buf *to, const struct buf *from)
{
    buf_clear(to);
    if (from->len > 0)
        buf_append(to, from->data, from->len);
}

static void keep(struct settings *s)
{
    char *path = conf_settings_path(s->master->generation->conf->state_directory);
    char *fresh = mem_printf("%s.new", path);
    copy(&s->in_force, &s->applied);
    if (file_replace(path, fresh, &s->in_force, 0644) < 0)
        log_warning("the directory's settings cannot be kept for the next start",
                    LOG_STR("file", path), LOG_ERRNO(errno));
    free(fresh);
    free(path);
}

static void refuse(struct settings *s, const char *text)
{
    const char *token;
    size_t len;
    copy(&s->refused, &s->applied);
    s->any_refused = true;
    while (str_token(&text, "\n", &token, &len))
        log_error("settings of the directory refused, the old ones go on",
                  LOG_BYTES("fault", token, len));
}

void settings_apply(struct settings *s)
{
    struct master *m = s->master;
    struct buf errors = {0};
    if (m->phase != MASTER_RUNNING || same(&s->wanted, &s->in_force) ||
        (s->any_refused && same(&s->wanted, &s->refused)))
        return;
    copy(&s->applied, &s->wanted);
    if (master_reload_with(m, s->applied.data, s->applied.len, &errors))
        s->reloading = true;
    else if (errors.len > 0)
        refuse(s, buf_str(&errors));
    else
        keep(s); /* other words for the same, or dirigo.conf has its own */
    buf_free(&errors);
}

void settings_arrived(struct settings *s, const void *data, size_t len)
{
    buf_clear(&s->wanted);
    if (len > 0)
        buf_append(&s->wanted, data, len);
    settings_apply(s);
}

void settings_reloaded(struct settings *s, bool ok, const char *text)
{
    if (!s->reloading)
        return;
    s->reloading = false;
    if (ok)
        keep(s);
    else
        refuse(s, text);
}

void settings_try_again(struct settings *s)
{
    s->any_refused = false;
}

struct settings *settings_new(struct master *m)
{
    struct settings *s = mem_zalloc(sizeof(*s));
    s->master = m;
    if (conf_settings_read(m->generation->conf->state_directory, &s->in_force) < 0)
        buf_clear(&s->in_force);
    copy(&s->wanted, &s->in_force); /* until the directory says otherwise */
    return s;
}

void settings_free(struct settings **s)
{
    if (*s == NULL)
        return;
    buf_free(&(*s)->in_force);
    buf_free(&(*s)->wanted);
    buf_free(&(*s)->applied);
    buf_free(&(*s)->refused);
    free(*s);
    *s = NULL;
}

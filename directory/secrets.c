#include "directory/secrets.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "directory/replica.h"
#include "directory/secrets_store.h"
#include "gateway/base/mem.h"

const struct db_table secrets_tables[] = {{.name = "secret"}, {0}};

struct secrets {
    const struct conf *conf;
    struct db *db[1 + CONF_DIRECTORIES_MAX]; /* of each directory */
    size_t count;
    pthread_mutex_t lock; /* one read view at a time, and SASL steps run on worker threads */
};

struct secrets *secrets_open(const struct conf *conf, char **error)
{
    const struct db_options options = {.map_size = conf->directory_map_size,
                                       .tables = secrets_tables};
    struct secrets *s = mem_zalloc(sizeof *s);
    s->conf = conf;
    pthread_mutex_init(&s->lock, NULL);
    for (; s->count <= conf->directories.n && s->count <= CONF_DIRECTORIES_MAX; s->count++) {
        char *dir =
            directory_path(conf, "secrets", s->count == 0 ? "" : conf->directories.v[s->count - 1]);
        s->db[s->count] = db_open(dir, &options, error);
        free(dir);
        if (s->db[s->count] != NULL)
            continue;
        secrets_close(&s);
        return NULL;
    }
    return s;
}

void secrets_close(struct secrets **s)
{
    if (*s == NULL)
        return;
    for (size_t i = 0; i < (*s)->count; i++)
        db_close(&(*s)->db[i]);
    pthread_mutex_destroy(&(*s)->lock);
    free(*s);
    *s = NULL;
}

static enum answer split(const char *data, size_t len, struct secrets_list *out)
{
    for (size_t pos = 0; pos < len && out->count < SECRETS_MAX;) {
        size_t n = strnlen(data + pos, len - pos);
        if (pos + n == len) { /* no NUL: damaged */
            secrets_list_wipe(out);
            return ANSWER_UNKNOWN;
        }
        out->value[out->count++] = mem_strndup(data + pos, n);
        pos += n + 1;
    }
    return out->count > 0 ? ANSWER_FOUND : ANSWER_UNKNOWN;
}

static enum answer look(struct db *db, const struct uuid *owner, struct secrets_list *out)
{
    const void *data;
    size_t len;
    if (db_get(db, 0, SECRETS_COMPLETE, strlen(SECRETS_COMPLETE), &data, &len) != DB_OK)
        return ANSWER_UNKNOWN;
    enum db_result rc = db_get(db, 0, owner, sizeof *owner, &data, &len);
    if (rc == DB_OK)
        return split(data, len, out);
    return rc == DB_NONE ? ANSWER_ABSENT : ANSWER_UNKNOWN;
}

/* NULL: there is no such directory. */
static struct db *db_of(const struct secrets *s, const char *directory)
{
    if (*directory == '\0')
        return s->db[0];
    for (size_t i = 1; i < s->count; i++)
        if (strcmp(directory, s->conf->directories.v[i - 1]) == 0)
            return s->db[i];
    return NULL;
}

enum answer secrets_lookup(struct secrets *s, const char *directory, const struct uuid *owner,
                           struct secrets_list *out)
{
    struct db *db = db_of(s, directory);
    enum answer answer = ANSWER_UNKNOWN;
    out->count = 0;
    pthread_mutex_lock(&s->lock);
    if (db != NULL && db_read_begin(db) == 0) {
        answer = look(db, owner, out);
        db_read_end(db);
    }
    pthread_mutex_unlock(&s->lock);
    return answer;
}

void secrets_list_wipe(struct secrets_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_wipe_free_str(list->value[i]);
    list->count = 0;
}

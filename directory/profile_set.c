/* Which profiles there are, and which of them apply to a server. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "directory/profile_private.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

#define SUFFIX ".profile"
/* Always there: what is Dirigo's own, and what every directory has. */
#define BASE_PROFILE "dirigo"
/* For servers that show no schema. */
static const char *const usual[] = {"lachman", "netscape", "qmail"};

/* ---- files ---- */

static void take_statements(struct profile *p, struct profile_parser *parser, const char *path,
                            struct buf *errors)
{
    struct profile_statement st;
    while (profile_parser_next(parser, &st) > 0) {
        struct buf fault = {0};
        if (profile_rule(p, &st, &fault) < 0)
            buf_printf(errors, "%s:%u: %s\n", path, st.line, buf_str(&fault));
        buf_free(&fault);
    }
}

static struct profile *load_file(const char *name, const char *path, struct buf *errors)
{
    struct profile *p = profile_new(name);
    struct profile_parser *parser = profile_parser_new();
    char bytes[4096];
    size_t before = errors->len;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0) {
        profile_parser_push(parser, bytes, (size_t)n);
        take_statements(p, parser, path, errors);
    }
    if (n < 0)
        buf_printf(errors, "%s: %s; make it a profile that can be read\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    profile_parser_end(parser);
    take_statements(p, parser, path, errors);
    profile_parser_free(&parser);
    if (errors->len == before)
        return p;
    profile_free(p);
    return NULL;
}

static struct profile *find(const struct profile_set *set, const char *name, size_t len)
{
    for (size_t i = 0; i < set->count; i++)
        if (str_is(name, len, set->profiles[i]->name))
            return set->profiles[i];
    return NULL;
}

static void add(struct profile_set *set, struct profile *p)
{
    set->profiles = mem_realloc(set->profiles, set->count + 1, sizeof(struct profile *));
    set->profiles[set->count++] = p;
}

static void load_folder(struct profile_set *set, const char *dir, struct buf *errors)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    if (d == NULL)
        buf_printf(errors, "%s: %s; set schema_directory to where the profiles are\n", dir,
                   strerror(errno));
    while (d != NULL && (entry = readdir(d)) != NULL) {
        size_t len = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || len <= strlen(SUFFIX) || !str_iends(entry->d_name, SUFFIX))
            continue;
        char *name = mem_strndup(entry->d_name, len - strlen(SUFFIX));
        char *path = mem_printf("%s/%s", dir, entry->d_name);
        struct profile *p = load_file(name, path, errors);
        if (p != NULL)
            add(set, p);
        free(name);
        free(path);
    }
    if (d != NULL)
        closedir(d);
}

/* A path names a profile of its own, which is called like the file. */
static const char *name_of(const char *word)
{
    const char *slash = strrchr(word, '/');
    return slash == NULL ? word : slash + 1;
}

static size_t name_len(const char *name)
{
    size_t len = strlen(name);
    return str_iends(name, SUFFIX) ? len - strlen(SUFFIX) : len;
}

static void load_named(struct profile_set *set, const struct conf_list *list, struct buf *errors)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *word = list->v[i], *name = name_of(word);
        struct profile *p = NULL, *old = find(set, name, name_len(name));
        if (str_ieq(word, "auto") || (word[0] != '/' && old != NULL))
            continue;
        if (word[0] != '/') {
            buf_printf(errors,
                       "directory_profiles: there is no profile \"%s\"; write auto, the name of a "
                       "file in schema_directory/profiles, or a path\n",
                       word);
            continue;
        }
        char *called = mem_strndup(name, name_len(name));
        p = load_file(called, word, errors);
        free(called);
        if (p == NULL)
            continue;
        /* A file of the administrator's stands for the one of its name. */
        for (size_t k = 0; k < set->count && old != NULL; k++) {
            if (set->profiles[k] == old) {
                set->profiles[k] = p;
                profile_free(old);
                break;
            }
        }
        if (old == NULL)
            add(set, p);
    }
}

static int by_rank(const void *a, const void *b)
{
    const struct profile *x = *(struct profile *const *)a, *y = *(struct profile *const *)b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return strcmp(x->name, y->name);
}

struct profile_set *profile_set_load(const struct conf *conf, struct buf *errors)
{
    struct profile_set *set = mem_zalloc(sizeof *set);
    size_t before = errors->len;
    char *dir = mem_printf("%s/profiles", conf->schema_directory);
    load_folder(set, dir, errors);
    if (errors->len == before && find(set, BASE_PROFILE, strlen(BASE_PROFILE)) == NULL)
        buf_printf(errors, "%s: has no %s%s; set schema_directory to where the profiles are\n", dir,
                   BASE_PROFILE, SUFFIX);
    free(dir);
    load_named(set, &conf->directory_profiles, errors);
    if (errors->len > before) {
        profile_set_free(&set);
        return NULL;
    }
    qsort(set->profiles, set->count, sizeof *set->profiles, by_rank);
    return set;
}

void profile_set_free(struct profile_set **set)
{
    if (*set == NULL)
        return;
    for (size_t i = 0; i < (*set)->count; i++)
        profile_free((*set)->profiles[i]);
    free((*set)->profiles);
    free(*set);
    *set = NULL;
}

/* ---- what a server shows ---- */

void profile_set_forget(struct profile_set *set)
{
    set->told = false;
    for (size_t i = 0; i < set->count; i++)
        for (size_t k = 0; k < set->profiles[i]->condition_count; k++)
            set->profiles[i]->conditions[k].met = false;
}

static void met(struct profile_set *set, enum profile_fact fact, const char *name, size_t len)
{
    for (size_t i = 0; i < set->count; i++) {
        struct profile *p = set->profiles[i];
        for (size_t k = 0; k < p->condition_count; k++)
            if (p->conditions[k].fact == fact && str_is(name, len, p->conditions[k].name))
                p->conditions[k].met = true;
    }
}

/*
 * The names in a description: NAME 'one' or NAME ( 'one' 'two' ). Nothing else has NAME as a word
 * of its own outside quotes before them.
 */
static void read_names(struct profile_set *set, enum profile_fact fact, const char *s, size_t len)
{
    const char *end = s + len, *name = NULL;
    for (const char *p = s; p + 6 < end && name == NULL; p++)
        if (p > s && p[-1] == ' ' && memcmp(p, "NAME ", 5) == 0)
            name = p + 5;
    while (name != NULL && name < end && (*name == ' ' || *name == '(' || *name == '\'')) {
        if (*name++ != '\'')
            continue;
        const char *close = memchr(name, '\'', (size_t)(end - name));
        if (close == NULL)
            return;
        met(set, fact, name, (size_t)(close - name));
        name = close + 1;
    }
}

void profile_set_tell(struct profile_set *set, const char *attr, const char *value, size_t len)
{
    static const char *const capabilities[] = {"supportedControl", "supportedExtension",
                                               "supportedFeatures", "supportedCapabilities"};
    bool class = str_ieq(attr, "objectClasses");
    if (class || str_ieq(attr, "attributeTypes")) {
        set->told = true;
        read_names(set, class ? FACT_CLASS : FACT_ATTRIBUTE, value, len);
        return;
    }
    for (size_t i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++)
        if (str_ieq(attr, capabilities[i]))
            met(set, FACT_CAPABILITY, value, len);
}

void profile_set_saw(struct profile_set *set, bool object_class, const char *name, size_t len)
{
    met(set, object_class ? FACT_CLASS : FACT_ATTRIBUTE, name, len);
}

static bool is_shown(const struct profile *p)
{
    size_t i = 0;
    while (i < p->condition_count) {
        unsigned statement = p->conditions[i].statement;
        bool all = true;
        for (; i < p->condition_count && p->conditions[i].statement == statement; i++)
            all = all && p->conditions[i].met;
        if (all)
            return true;
    }
    return false;
}

/* ---- the choice ---- */

struct choice {
    const struct profile **profiles;
    size_t count;
};

static void choose(struct choice *c, const struct profile *p)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->profiles[i] == p)
            return;
    c->profiles[c->count++] = p;
}

/* Nothing is known of the server: what was known of it before, or what fits most. */
static bool is_likely(const struct profile *p, const char *before)
{
    if (p->condition_count == 0) /* it has to be named */
        return false;
    if (before != NULL && *before != '\0') {
        size_t len = strcspn(before, "#");
        const char *cursor = before, *word;
        size_t word_len;
        while (str_token(&cursor, " #", &word, &word_len) && (size_t)(word - before) < len)
            if (str_is(word, word_len, p->name))
                return true;
        return false;
    }
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (str_ieq(p->name, usual[i]))
            return true;
    return false;
}

static void choose_detected(struct choice *c, const struct profile_set *set, const char *before)
{
    bool any = set->told;
    for (size_t i = 0; i < set->count && !any; i++)
        any = is_shown(set->profiles[i]);
    for (size_t i = 0; i < set->count; i++)
        if (any ? is_shown(set->profiles[i]) : is_likely(set->profiles[i], before))
            choose(c, set->profiles[i]);
}

struct profile_table *profile_set_choose(const struct profile_set *set, const struct conf *conf,
                                         const char *before)
{
    const struct conf_list *list = &conf->directory_profiles;
    struct choice c = {.profiles = mem_zalloc((set->count + 1) * sizeof *c.profiles)};
    for (size_t i = 0; i < list->n; i++) {
        const char *name = name_of(list->v[i]);
        if (str_ieq(list->v[i], "auto"))
            choose_detected(&c, set, before);
        else
            choose(&c, find(set, name, name_len(name)));
    }
    choose(&c, find(set, BASE_PROFILE, strlen(BASE_PROFILE)));
    struct profile_table *t = profile_table_build(c.profiles, c.count);
    free(c.profiles);
    return t;
}

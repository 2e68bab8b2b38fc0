#include "conf/conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/lines.h"
#include "conf/value.h"
#include "gateway/base/file.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

#define CONF_FILE_MAX  ((size_t)4 << 20)
#define CONF_VALUE_MAX CONF_LINE_MAX
#define CONF_CLASS_MAX 256

/* The three readings of the one list: what the world sees, what the parser needs, an index. */
static const struct conf_param conf_table[] = {
#define CONF_STRING(name, def, flags, help)         {#name, "string", def, help, flags},
#define CONF_PATH(name, def, flags, help)           {#name, "path", def, help, flags},
#define CONF_SECRET(name, def, flags, help)         {#name, "secret", def, help, flags},
#define CONF_LIST(name, def, flags, help)           {#name, "list", def, help, flags},
#define CONF_BOOL(name, def, flags, help)           {#name, "bool", (def) ? "yes" : "no", help, flags},
#define CONF_INT(name, def, min, max, flags, help)  {#name, "int", #def, help, flags},
#define CONF_SIZE(name, def, min, max, flags, help) {#name, "size", def, help, flags},
#define CONF_TIME(name, def, min, max, flags, help) {#name, "time", def, help, flags},
#define CONF_ENUM(name, def, values, flags, help)   {#name, "enum", def, help, flags},
#include "conf/parameters.def"
};

#define AT(name) offsetof(struct conf, name)
static const struct conf_desc conf_descs[] = {
#define CONF_STRING(name, def, flags, help)         {CONF_TYPE_STRING, AT(name), 0, 0, NULL},
#define CONF_PATH(name, def, flags, help)           {CONF_TYPE_PATH, AT(name), 0, 0, NULL},
#define CONF_SECRET(name, def, flags, help)         {CONF_TYPE_SECRET, AT(name), 0, 0, NULL},
#define CONF_LIST(name, def, flags, help)           {CONF_TYPE_LIST, AT(name), 0, 0, NULL},
#define CONF_BOOL(name, def, flags, help)           {CONF_TYPE_BOOL, AT(name), 0, 0, NULL},
#define CONF_INT(name, def, min, max, flags, help)  {CONF_TYPE_INT, AT(name), min, max, NULL},
#define CONF_SIZE(name, def, min, max, flags, help) {CONF_TYPE_SIZE, AT(name), min, max, NULL},
#define CONF_TIME(name, def, min, max, flags, help) {CONF_TYPE_TIME, AT(name), min, max, NULL},
#define CONF_ENUM(name, def, values, flags, help)   {CONF_TYPE_ENUM, AT(name), 0, 0, values},
#include "conf/parameters.def"
};

enum conf_index {
#define CONF_STRING(name, def, flags, help)         CONF_AT_##name,
#define CONF_PATH(name, def, flags, help)           CONF_AT_##name,
#define CONF_SECRET(name, def, flags, help)         CONF_AT_##name,
#define CONF_LIST(name, def, flags, help)           CONF_AT_##name,
#define CONF_BOOL(name, def, flags, help)           CONF_AT_##name,
#define CONF_INT(name, def, min, max, flags, help)  CONF_AT_##name,
#define CONF_SIZE(name, def, min, max, flags, help) CONF_AT_##name,
#define CONF_TIME(name, def, min, max, flags, help) CONF_AT_##name,
#define CONF_ENUM(name, def, values, flags, help)   CONF_AT_##name,
#include "conf/parameters.def"
    CONF_COUNT
};

/* A setting that is no parameter: a class, if smtpd_restriction_classes names it. */
struct conf_class {
    char *name, *raw, *text, *origin;
    bool remote; /* the directory's */
};

/* A configuration with what each value was made of; conf is first, so that one is the other. */
struct conf_full {
    struct conf conf;
    char *raw[CONF_COUNT];    /* as set, before expansion; NULL: not set */
    char *text[CONF_COUNT];   /* expanded; the fields of conf point here */
    char *origin[CONF_COUNT]; /* "FILE:LINE", "command line"; NULL: default */
    char *path;               /* the file, for messages */
    struct conf_class *classes;
    size_t class_count;
    bool expanding[CONF_COUNT];
    bool faulty[CONF_COUNT]; /* its expansion failed, and that has been said */
    char level[CONF_COUNT];  /* of a setting of the directory's; 0: not from there */
};

/* What one load carries along. */
struct conf_loading {
    struct conf_full *full;
    const char *path;
    struct buf *errors;
    unsigned faults;
};

static struct conf_full *conf_full(const struct conf *conf)
{
    return (struct conf_full *)(uintptr_t)conf;
}

const struct conf_param *conf_params(size_t *n)
{
    *n = CONF_COUNT;
    return conf_table;
}

static int conf_find(const char *name)
{
    for (int i = 0; i < CONF_COUNT; i++) {
        if (strcmp(conf_table[i].name, name) == 0)
            return i;
    }
    return -1;
}

static void conf_fault(struct conf_loading *l, const char *origin, const char *name,
                       const char *what)
{
    buf_printf(l->errors, "%s: %s%s%s\n", origin == NULL ? l->path : origin, name,
               *name == '\0' ? "" : ": ", what);
    l->faults++;
}

/* There is neither a parameter nor a class of this name. */
static void conf_unknown(struct conf_loading *l, const char *origin, const char *name)
{
    const char *nearest = conf_nearest(name);
    char *what = nearest == NULL
                     ? mem_strdup("there is no such parameter; `dirigo config` lists them")
                     : mem_printf("there is no such parameter; did you mean %s?", nearest);
    conf_fault(l, origin, name, what);
    free(what);
}

static struct conf_class *conf_class_find(const struct conf_full *full, const char *name)
{
    for (size_t i = 0; i < full->class_count; i++) {
        if (strcmp(full->classes[i].name, name) == 0)
            return &full->classes[i];
    }
    return NULL;
}

/* Kept until all is read, for smtpd_restriction_classes may come later; origin is taken over. */
static void conf_set_class(struct conf_loading *l, const char *name, const char *value,
                           char *origin)
{
    struct conf_full *full = l->full;
    struct conf_class *c = conf_class_find(full, name);
    if (c == NULL && full->class_count == CONF_CLASS_MAX) {
        conf_unknown(l, origin, name);
        free(origin);
        return;
    }
    if (c == NULL) {
        full->classes = mem_realloc(full->classes, full->class_count + 1, sizeof(full->classes[0]));
        c = &full->classes[full->class_count++];
        *c = (struct conf_class){.name = mem_strdup(name)};
    }
    mem_wipe_free_str(c->raw); /* it may be a password with its name misspelled */
    free(c->origin);
    c->raw = mem_strdup(value);
    c->origin = origin;
}

/* A setting of the file or the command line; origin is taken over. */
static void conf_set(struct conf_loading *l, const char *name, const char *value, char *origin)
{
    struct conf_full *full = l->full;
    int i = conf_find(name);
    if (i < 0) {
        conf_set_class(l, name, value, origin);
        return;
    }
    if (full->origin[i] != NULL && strcmp(origin, "command line") != 0)
        log_warning("parameter is set twice, the last one counts", LOG_STR("parameter", name),
                    LOG_STR("at", origin), LOG_STR("before", full->origin[i]));
    mem_wipe_free_str(full->raw[i]);
    free(full->origin[i]);
    full->raw[i] = mem_strdup(value);
    full->origin[i] = origin;
}

/* "NAME.localdomain" where the machine's name has no domain: SMTP wants a dot in it. */
static char *conf_machine_name(void)
{
    char name[256];
    if (gethostname(name, sizeof(name)) < 0 || name[0] == '\0')
        strlcpy(name, "localhost", sizeof(name));
    name[sizeof(name) - 1] = '\0';
    return strchr(name, '.') != NULL ? mem_strdup(name) : mem_printf("%s.localdomain", name);
}

static const char *conf_expanded(struct conf_loading *l, int i);

static const char *conf_reference(const char *name, void *arg, struct buf *why)
{
    struct conf_loading *l = arg;
    int i = conf_find(name);
    if (i < 0) {
        const char *nearest = conf_nearest(name);
        buf_printf(why, "refers to $%s, which is no parameter; ", name);
        if (nearest != NULL)
            buf_printf(why, "did you mean $%s? Write $$ for a dollar sign", nearest);
        else
            buf_append_str(why, "write $$ for a dollar sign");
        return NULL;
    }
    if (conf_table[i].flags & CONF_FOR_DIRECTORY) {
        buf_printf(why, "refers to $%s, which other values may not contain; write it out", name);
        return NULL;
    }
    if (l->full->expanding[i]) {
        buf_printf(why, "refers to itself through $%s; break the circle", name);
        return NULL;
    }
    return conf_expanded(l, i);
}

void conf_put_embedded_url(const char *state_directory, struct buf *out)
{
    const char *parts[] = {state_directory, "/slapd/ldapi"};
    buf_append_str(out, "ldapi://");
    for (size_t i = 0; i < 2; i++) {
        for (const unsigned char *c = (const unsigned char *)parts[i]; *c != '\0'; c++) {
            if (isalnum(*c) || strchr("._-", *c) != NULL)
                buf_append_byte(out, *c);
            else
                buf_printf(out, "%%%02X", *c);
        }
    }
}

/* The computed defaults: what parameters.def cannot say in a text. */
static char *conf_computed(struct conf_loading *l, int i)
{
    if (i == CONF_AT_myhostname)
        return conf_machine_name();
    bool embedded = false;
    struct buf why = {0};
    if (i == CONF_AT_server_host)
        conf_value_bool(&embedded, conf_expanded(l, CONF_AT_embedded_directory), &why);
    buf_free(&why);
    if (embedded) {
        struct buf url = {0};
        conf_put_embedded_url(conf_expanded(l, CONF_AT_state_directory), &url);
        return buf_steal_str(&url);
    }
    if (i == CONF_AT_mydomain && !l->full->expanding[CONF_AT_myhostname]) {
        const char *dot = strchr(conf_expanded(l, CONF_AT_myhostname), '.');
        return mem_strdup(dot == NULL || dot[1] == '\0' ? "localdomain" : dot + 1);
    }
    return NULL;
}

/* The expanded text of parameter i; never NULL. Faults are reported once, where they are. */
static const char *conf_expanded(struct conf_loading *l, int i)
{
    struct conf_full *full = l->full;
    if (full->text[i] != NULL)
        return full->text[i];
    const char *raw = full->raw[i] != NULL ? full->raw[i] : conf_table[i].default_text;
    struct buf out = {.max = CONF_VALUE_MAX}, why = {0};
    char *text = NULL;
    full->expanding[i] = true;
    if (*raw == '\0')
        text = conf_computed(l, i);
    else if (conf_descs[i].type == CONF_TYPE_SECRET)
        text = mem_strdup(raw); /* passwords are taken as they are */
    else if (conf_expand(raw, &out, conf_reference, l, &why) < 0)
        full->faulty[i] = true;
    if (full->faulty[i])
        conf_fault(l, full->origin[i], conf_table[i].name, buf_str(&why));
    full->expanding[i] = false;
    full->text[i] = text != NULL ? text : buf_steal_str(&out);
    buf_free(&out);
    buf_free(&why);
    return full->text[i];
}

/* Texts into fields. */
static void conf_type(struct conf_loading *l, int i)
{
    struct buf why = {0};
    const char *text = conf_expanded(l, i);
    if (conf_value_parse(&l->full->conf, &conf_descs[i], text, &why) < 0 && !l->full->faulty[i])
        conf_fault(l, l->full->origin[i], conf_table[i].name, buf_str(&why));
    buf_free(&why);
}

static void conf_line(struct conf_loading *l, const struct conf_line *line)
{
    char *origin = mem_printf("%s:%u", l->path, line->number);
    if (line->fault != NULL) {
        conf_fault(l, origin, line->name, line->fault);
        free(origin);
        return;
    }
    conf_set(l, line->name, line->value, origin);
}

static void conf_drain(struct conf_loading *l, struct conf_lines *lines)
{
    struct conf_line line;
    while (conf_lines_next(lines, &line) > 0)
        conf_line(l, &line);
}

static void conf_read_file(struct conf_loading *l)
{
    char block[8192];
    size_t total = 0;
    ssize_t n = -1;
    struct conf_lines *lines = conf_lines_new();
    int fd = open(l->path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        while ((n = read(fd, block, sizeof(block))) > 0 && total <= CONF_FILE_MAX) {
            total += (size_t)n;
            conf_lines_push(lines, block, (size_t)n);
            conf_drain(l, lines);
        }
    }
    if (fd < 0 || n < 0) {
        char *what = mem_printf("cannot be read: %s; give the file with -c", strerror(errno));
        conf_fault(l, NULL, "", what);
        free(what);
    } else if (total > CONF_FILE_MAX) {
        conf_fault(l, NULL, "", "is larger than 4 MiB; is it the right file?");
    }
    conf_lines_end(lines);
    conf_drain(l, lines);
    conf_lines_free(&lines);
    explicit_bzero(block, sizeof(block));
    if (fd >= 0)
        close(fd);
}

static void conf_read_overrides(struct conf_loading *l, const char *const *overrides)
{
    for (; overrides != NULL && *overrides != NULL; overrides++) {
        struct conf_lines *lines = conf_lines_new();
        struct conf_line line;
        conf_lines_push(lines, *overrides, strlen(*overrides));
        conf_lines_end(lines);
        while (conf_lines_next(lines, &line) > 0) {
            if (line.fault != NULL)
                conf_fault(l, "command line", line.name, line.fault);
            else
                conf_set(l, line.name, line.value, mem_strdup("command line"));
        }
        conf_lines_free(&lines);
    }
}

/* ---- settings of the directory ---- */

static bool conf_is_local(int i)
{
    return (conf_table[i].flags & CONF_LOCAL) != 0 || conf_descs[i].type == CONF_TYPE_PATH ||
           conf_descs[i].type == CONF_TYPE_SECRET;
}

static void conf_set_remote(struct conf_loading *l, char level, const char *dn, const char *name,
                            const char *value)
{
    struct conf_full *full = l->full;
    int i = conf_find(name);
    char *what = NULL;
    if (i < 0) {
        const struct conf_class *c = conf_class_find(full, name);
        if (c != NULL && !c->remote)
            return;
        conf_set_class(l, name, value, mem_strdup(dn));
        struct conf_class *set = conf_class_find(full, name);
        if (set != NULL)
            set->remote = true;
        return;
    }
    if (conf_is_local(i)) {
        what = mem_printf("may only stand in %s; write it there, and delete it here", l->path);
    } else if (full->level[i] == level && strcmp(full->raw[i], value) != 0) {
        what = mem_printf("is set to something else by %s; keep one of the two", full->origin[i]);
    } else if (full->raw[i] == NULL || full->level[i] != 0) {
        free(full->raw[i]);
        free(full->origin[i]);
        full->raw[i] = mem_strdup(value);
        full->origin[i] = mem_strdup(dn);
        full->level[i] = level;
    }
    if (what != NULL)
        conf_fault(l, dn, name, what);
    free(what);
}

static void conf_read_setting(struct conf_loading *l, char level, const char *dn, const char *text)
{
    struct conf_lines *lines = conf_lines_new();
    struct conf_line line;
    bool any = false;
    conf_lines_push(lines, text, strlen(text));
    conf_lines_end(lines);
    while (conf_lines_next(lines, &line) > 0) {
        if (line.fault != NULL || any)
            conf_fault(l, dn, line.name, any ? "a value is one setting" : line.fault);
        else
            conf_set_remote(l, level, dn, line.name, line.value);
        any = true;
    }
    if (!any)
        conf_fault(l, dn, "", "a value is no setting; write \"name = value\"");
    conf_lines_free(&lines);
}

/* Those for all before those for this host, whatever their order. */
static void conf_read_settings(struct conf_loading *l, const char *settings, size_t len)
{
    static const char levels[] = {CONF_SETTING_ALL, CONF_SETTING_HOST};
    if (len > 0 && settings[len - 1] != '\0') {
        conf_fault(l, NULL, "", "the settings of the directory are damaged");
        return;
    }
    for (size_t k = 0; k < sizeof(levels); k++) {
        for (size_t pos = 0; pos < len;) {
            const char *dn = settings + pos + 1;
            const char *text = settings[pos] == '\0' ? dn : dn + strlen(dn) + 1;
            if (text >= settings + len)
                break;
            if (settings[pos] == levels[k])
                conf_read_setting(l, levels[k], dn, text);
            pos = (size_t)(text - settings) + strlen(text) + 1;
        }
    }
}

char *conf_settings_path(const char *state_directory)
{
    return mem_printf("%s/directory.settings", state_directory);
}

int conf_settings_read(const char *state_directory, struct buf *out)
{
    char *path = conf_settings_path(state_directory);
    int rc = file_read(path, CONF_SETTINGS_LIMIT, out);
    free(path);
    return rc < 0 && errno == ENOENT ? 0 : rc;
}

/* Where they are kept follows from the file alone; what was expanded for that is forgotten. */
static void conf_read_kept(struct conf_loading *l, struct buf *out)
{
    struct buf ignored = {0};
    struct conf_loading probe = {.full = l->full, .path = l->path, .errors = &ignored};
    const char *state_directory = conf_expanded(&probe, CONF_AT_state_directory);
    if (conf_settings_read(state_directory, out) < 0)
        log_warning("the directory's settings cannot be read", LOG_STR("folder", state_directory),
                    LOG_ERRNO(errno));
    for (int i = 0; i < CONF_COUNT; i++) {
        mem_wipe_free_str(l->full->text[i]);
        l->full->text[i] = NULL;
        l->full->faulty[i] = false;
    }
    buf_free(&ignored);
}

static bool conf_is_class(const struct conf *conf, const char *name)
{
    const struct conf_list *list = &conf->smtpd_restriction_classes;
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->v[i], name) == 0)
            return true;
    }
    return false;
}

/* A further directory's own value: of the type that the common parameter has. */
static bool conf_expand_own(struct conf_loading *l, struct conf_class *c)
{
    const char *param = conf_directory_param(&l->full->conf.directories, c->name);
    struct buf out = {.max = CONF_VALUE_MAX}, why = {0};
    struct conf scratch;
    if (param == NULL)
        return false;
    int i = conf_find(param);
    memset(&scratch, 0, sizeof(scratch));
    if (c->text == NULL && conf_descs[i].type == CONF_TYPE_SECRET)
        c->text = mem_strdup(c->raw);
    else if (c->text == NULL && conf_expand(c->raw, &out, conf_reference, l, &why) == 0)
        c->text = buf_steal_str(&out);
    if (c->remote)
        buf_append_str(&why, "may only stand in the file; write it there, and delete it here");
    else if (c->text != NULL)
        (void)conf_value_parse(&scratch, &conf_descs[i], c->text, &why);
    if (why.len > 0)
        conf_fault(l, c->origin, c->name, buf_str(&why));
    conf_value_free(&scratch, &conf_descs[i]);
    buf_free(&out);
    buf_free(&why);
    return true;
}

static void conf_expand_class(struct conf_loading *l, struct conf_class *c)
{
    struct buf out = {.max = CONF_VALUE_MAX}, why = {0};
    if (conf_expand_own(l, c))
        return;
    if (!conf_is_class(&l->full->conf, c->name)) {
        conf_unknown(l, c->origin, c->name);
    } else if (c->text == NULL) {
        if (conf_expand(c->raw, &out, conf_reference, l, &why) < 0)
            conf_fault(l, c->origin, c->name, buf_str(&why));
        c->text = buf_steal_str(&out);
    }
    buf_free(&out);
    buf_free(&why);
}

/* What is set and is no parameter must be a class, and each class must be set. */
static void conf_finish_classes(struct conf_loading *l)
{
    const struct conf_list *list = &l->full->conf.smtpd_restriction_classes;
    const char *origin = l->full->origin[CONF_AT_smtpd_restriction_classes];
    for (size_t i = 0; i < l->full->class_count; i++)
        conf_expand_class(l, &l->full->classes[i]);
    for (size_t i = 0; i < list->n; i++) {
        const char *name = list->v[i];
        if (conf_class_find(l->full, name) != NULL)
            continue;
        char *what =
            conf_find(name) >= 0
                ? mem_printf("%s is the name of a parameter; give the class another", name)
                : mem_printf("the class %s is not set; write \"%s = RESTRICTIONS\"", name, name);
        conf_fault(l, origin, "smtpd_restriction_classes", what);
        free(what);
    }
}

static struct conf *conf_finish(struct conf_loading *l)
{
    for (int i = 0; i < CONF_COUNT; i++)
        conf_type(l, i);
    conf_finish_classes(l);
    struct conf *conf = &l->full->conf;
    if (l->faults > 0)
        conf_free(&conf);
    return conf;
}

static struct conf_full *conf_new(const char *path)
{
    struct conf_full *full = mem_zalloc(sizeof(*full));
    full->path = mem_strdup(path);
    return full;
}

const char *conf_file(const struct conf *conf)
{
    return conf_full(conf)->path;
}

struct conf *conf_load_with(const char *path, const char *const *overrides, const void *settings,
                            size_t len, struct buf *errors)
{
    struct conf_loading l = {.full = conf_new(path), .path = path, .errors = errors};
    conf_read_file(&l);
    conf_read_overrides(&l, overrides);
    conf_read_settings(&l, settings, len);
    return conf_finish(&l);
}

/* What is set in conf is there to be referred to, but wins over nothing. */
static void conf_copy_below(struct conf_loading *l, const struct conf_full *from)
{
    for (int i = 0; i < CONF_COUNT; i++) {
        if (from->raw[i] == NULL)
            continue;
        l->full->raw[i] = mem_strdup(from->raw[i]);
        l->full->origin[i] = mem_strdup(l->path);
        l->full->level[i] = CONF_SETTING_ALL;
    }
    for (size_t i = 0; i < from->class_count; i++) {
        const char *name = from->classes[i].name;
        conf_set_class(l, name, from->classes[i].raw, mem_strdup(l->path));
        conf_class_find(l->full, name)->remote = true;
    }
}

char *conf_setting_fault(const struct conf *conf, const char *setting)
{
    static const char origin[] = "setting";
    struct buf errors = {0};
    struct conf_loading l = {
        .full = conf_new(conf_file(conf)), .path = conf_file(conf), .errors = &errors};
    conf_copy_below(&l, conf_full(conf));
    conf_read_setting(&l, CONF_SETTING_HOST, origin, setting);
    for (int i = 0; i < CONF_COUNT; i++)
        if (l.full->level[i] == CONF_SETTING_HOST || i == CONF_AT_directories ||
            i == CONF_AT_smtpd_restriction_classes)
            conf_type(&l, i);
    for (size_t i = 0; i < l.full->class_count; i++)
        if (strcmp(l.full->classes[i].origin, origin) == 0)
            conf_expand_class(&l, &l.full->classes[i]);
    char *text = NULL;
    if (l.faults > 0) {
        const char *first = buf_str(&errors) + strlen(origin) + strlen(": ");
        text = mem_printf("%.*s", (int)strcspn(first, "\n"), first);
    }
    struct conf *made = &l.full->conf;
    conf_free(&made);
    buf_free(&errors);
    return text;
}

struct conf *conf_load(const char *path, const char *const *overrides, struct buf *errors)
{
    struct conf_loading l = {.full = conf_new(path), .path = path, .errors = errors};
    struct buf kept = {0};
    size_t before = errors->len;
    conf_read_file(&l);
    conf_read_overrides(&l, overrides);
    conf_read_kept(&l, &kept);
    conf_read_settings(&l, (const char *)kept.data, kept.len);
    struct conf *conf = conf_finish(&l);
    if (conf == NULL && kept.len > 0) {
        struct buf again = {0};
        conf = conf_load_with(path, overrides, NULL, 0, &again);
        if (conf != NULL) {
            log_warning("the directory's settings do not fit and are left out",
                        LOG_STR("fault", buf_str(errors) + before));
            buf_truncate(errors, before);
        }
        buf_free(&again);
    }
    buf_free(&kept);
    return conf;
}

struct conf *conf_defaults(void)
{
    struct buf errors = {0};
    struct conf_loading l = {.full = conf_new("default"), .path = "default", .errors = &errors};
    struct conf *conf = conf_finish(&l);
    if (conf == NULL)
        log_fatal("a default of parameters.def is wrong", LOG_STR("fault", buf_str(&errors)));
    buf_free(&errors);
    return conf;
}

void conf_free(struct conf **conf)
{
    if (*conf == NULL)
        return;
    struct conf_full *full = conf_full(*conf);
    for (int i = 0; i < CONF_COUNT; i++) {
        conf_value_free(&full->conf, &conf_descs[i]);
        mem_wipe_free_str(full->raw[i]);
        mem_wipe_free_str(full->text[i]);
        free(full->origin[i]);
    }
    for (size_t i = 0; i < full->class_count; i++) {
        struct conf_class *c = &full->classes[i];
        free(c->name);
        mem_wipe_free_str(c->raw);
        mem_wipe_free_str(c->text);
        free(c->origin);
    }
    free(full->classes);
    free(full->path);
    free(full);
    *conf = NULL;
}

const char *conf_text(const struct conf *conf, const char *name)
{
    int i = conf_find(name);
    return i < 0 ? conf_class(conf, name) : conf_full(conf)->text[i];
}

const char *conf_class(const struct conf *conf, const char *name)
{
    const struct conf_class *c = conf_class_find(conf_full(conf), name);
    return c == NULL ? NULL : c->text;
}

const char *conf_origin(const struct conf *conf, const char *name)
{
    int i = conf_find(name);
    const struct conf_class *c = conf_class_find(conf_full(conf), name);
    if (i < 0)
        return c == NULL ? NULL : c->origin;
    const char *origin = conf_full(conf)->origin[i];
    return origin == NULL ? "default" : origin;
}

void conf_encode(const struct conf *conf, bool directory, struct buf *out)
{
    const struct conf_full *full = conf_full(conf);
    for (int i = 0; i < CONF_COUNT; i++) {
        if ((conf_table[i].flags & CONF_FOR_DIRECTORY) && !directory)
            continue;
        buf_append(out, conf_table[i].name, strlen(conf_table[i].name) + 1);
        buf_append(out, full->text[i], strlen(full->text[i]) + 1);
    }
    for (size_t i = 0; i < full->class_count; i++) {
        const struct conf_class *c = &full->classes[i];
        const char *param = conf_directory_param(&conf->directories, c->name);
        if (param != NULL && !directory &&
            (conf_table[conf_find(param)].flags & CONF_FOR_DIRECTORY))
            continue;
        buf_append(out, c->name, strlen(c->name) + 1);
        buf_append(out, c->text, strlen(c->text) + 1);
    }
}

struct conf *conf_decode(const void *data, size_t len)
{
    struct buf errors = {0};
    struct conf_loading l = {.full = conf_new("dirigod"), .path = "dirigod", .errors = &errors};
    const char *s = data, *end = s + len;
    while (s < end) {
        const char *name = s;
        const char *value = memchr(name, '\0', (size_t)(end - name));
        const char *stop =
            value == NULL ? NULL : memchr(value + 1, '\0', (size_t)(end - value - 1));
        int i = stop == NULL ? -1 : conf_find(name);
        if (stop == NULL || (i >= 0 && l.full->text[i] != NULL)) {
            conf_fault(&l, NULL, "", "malformed");
            break;
        }
        /* Already expanded: it goes in behind the expansion. */
        if (i < 0) {
            conf_set_class(&l, name, "", mem_strdup("dirigod"));
            struct conf_class *c = conf_class_find(l.full, name);
            if (c != NULL && c->text == NULL)
                c->text = mem_strdup(value + 1);
            s = stop + 1;
            continue;
        }
        l.full->text[i] = mem_strdup(value + 1);
        l.full->origin[i] = mem_strdup("dirigod");
        s = stop + 1;
    }
    struct conf *conf = conf_finish(&l);
    if (conf == NULL)
        log_error("configuration from dirigod cannot be read", LOG_STR("fault", buf_str(&errors)));
    buf_free(&errors);
    return conf;
}

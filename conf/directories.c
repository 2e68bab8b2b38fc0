/* Further directories: parameters NAME_server_host and so on of the names in `directories`. */
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

/* What a directory may have of its own. Identity and place are never those of another one. */
static const struct {
    const char *name;
    bool own; /* not inherited */
} directory_params[] = {
    {"server_host", true},
    {"search_base", true},
    {"bind_dn", true},
    {"bind_pw", true},
    {"bind_pw_file", true},
    {"directory_domains", true},
    {"tls_cert", true},
    {"tls_key", true},
    {"start_tls", false},
    {"tls_ca_cert_file", false},
    {"tls_require_cert", false},
    {"directory_source", false},
    {"directory_profiles", false},
    {"timeout", false},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_name(const char *s)
{
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");
    return len > 0 && len <= 32 && s[len] == '\0';
}

const char *conf_directory_param(const struct conf_list *names, const char *setting)
{
    for (size_t i = 0; i < names->n; i++) {
        size_t len = strlen(names->v[i]);
        if (!is_name(names->v[i]) || strncmp(setting, names->v[i], len) != 0 || setting[len] != '_')
            continue;
        for (size_t k = 0; k < COUNT(directory_params); k++)
            if (strcmp(setting + len + 1, directory_params[k].name) == 0)
                return directory_params[k].name;
    }
    return NULL;
}

static void put(struct buf *out, const char *name, const char *value)
{
    buf_append(out, name, strlen(name) + 1);
    buf_append(out, value, strlen(value) + 1);
}

/* The value for a directory; NULL: the one that all have. */
static const char *value_of(const struct conf *conf, const char *directory, const char *param)
{
    for (size_t k = 0; k < COUNT(directory_params); k++) {
        if (strcmp(param, directory_params[k].name) != 0)
            continue;
        char *setting = mem_printf("%s_%s", directory, param);
        const char *value = conf_class(conf, setting);
        free(setting);
        return value != NULL || !directory_params[k].own ? value : "";
    }
    return NULL;
}

struct conf *conf_for_directory(const struct conf *conf, const char *directory)
{
    struct buf all = {0}, own = {0};
    conf_encode(conf, true, &all);
    const char *s = (const char *)all.data, *end = s + all.len;
    while (s < end) {
        const char *value = s + strlen(s) + 1;
        const char *special = value_of(conf, directory, s);
        put(&own, s, special != NULL ? special : value);
        s = value + strlen(value) + 1;
    }
    struct conf *made = conf_decode(own.data, own.len);
    buf_wipe_free(&all);
    buf_wipe_free(&own);
    return made;
}

int conf_directories_check(const struct conf *conf, struct buf *errors)
{
    static const char *const needed[] = {"server_host", "search_base"};
    int rc = 0;
    for (size_t i = 0; i < conf->directories.n; i++) {
        const char *name = conf->directories.v[i];
        const char *origin = conf_origin(conf, "directories");
        bool twice = false;
        for (size_t k = 0; k < i; k++)
            twice = twice || strcmp(conf->directories.v[k], name) == 0;
        if (!is_name(name) || twice) {
            buf_printf(errors, "%s: directories: \"%s\" %s\n", origin, name,
                       twice ? "stands there twice; name each directory once"
                             : "is no name; write lower-case letters and digits, such as partner");
            rc = -1;
            continue;
        }
        for (size_t k = 0; k < COUNT(needed); k++) {
            const char *value = value_of(conf, name, needed[k]);
            if (*value != '\0')
                continue;
            buf_printf(errors, "%s: directories: %s_%s is not set; write it beside the name\n",
                       origin, name, needed[k]);
            rc = -1;
        }
        if (i + 1 == CONF_DIRECTORIES_MAX && conf->directories.n > CONF_DIRECTORIES_MAX) {
            buf_printf(errors, "%s: directories: more than %d; name fewer\n", origin,
                       CONF_DIRECTORIES_MAX);
            return -1;
        }
    }
    return rc;
}

/*
 * Configuration: main.cf syntax, one list of parameters (parameters.def), typed values.
 *
 * dirigod reads the file, checks every value and hands each process the values it may see; a
 * process gets them from its control channel. A configuration never changes once it is made: a
 * reload starts new processes, so pointers into it are valid for as long as the process lives.
 */
#ifndef DIRIGO_CONF_CONF_H
#define DIRIGO_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"

struct conf_list {
    size_t n;
    char **v; /* never NULL; v[n] is NULL */
};

/* One field per line of parameters.def. Strings are never NULL. */
struct conf {
#define CONF_STRING(name, def, flags, help)         const char *name;
#define CONF_PATH(name, def, flags, help)           const char *name;
#define CONF_SECRET(name, def, flags, help)         const char *name;
#define CONF_LIST(name, def, flags, help)           struct conf_list name;
#define CONF_BOOL(name, def, flags, help)           bool name;
#define CONF_INT(name, def, min, max, flags, help)  int64_t name;
#define CONF_SIZE(name, def, min, max, flags, help) uint64_t name; /* bytes; suffixes k M G */
#define CONF_TIME(name, def, min, max, flags, help)                                                \
    int64_t name; /* milliseconds; suffixes ms s m h d w */
#define CONF_ENUM(name, def, values, flags, help)                                                  \
    const char *name; /* one of the words in values                                                \
                       */
#include "conf/parameters.def"
};

/* Who may see a value, and where it may stand. */
enum {
    CONF_FOR_ALL = 0,
    CONF_FOR_DIRECTORY = 1, /* sent to dirigo-directory alone */
    CONF_LOCAL =
        2 /* must stand in the local file: needed before the directory is found, or by root */
};

/*
 * Reads path ("name = value", '#' comments, a line that starts with white space continues the one
 * before, $name and ${name} expand; the last of two settings wins, with a warning). overrides:
 * NULL, or "name=value" strings ended by NULL that win over the file (dirigod -o). Every fault is
 * appended to errors, a line each: "FILE:LINE: PARAMETER: what is wrong; what would be right". NULL
 * where there was one. Syntax, types and ranges are checked here; what else there is to check is
 * conf_check's, so that a tool without root's rights can still read the file.
 */
struct conf *conf_load(const char *path, const char *const *overrides, struct buf *errors);
/*
 * Settings that the directory holds (dirigo-schema(5), dirigoConfig), as dirigo-directory collects
 * them: CONF_SETTING_ALL or CONF_SETTING_HOST, DN, NUL, "name = value", NUL, and so on. The file
 * and the overrides win over them, and those for this host over those for all; two of one level
 * must not contradict each other. What is marked CONF_LOCAL may not be among them. Faults name the
 * DN.
 *
 * conf_load itself takes the settings that dirigod has kept (conf_settings_path), so that a start
 * needs no directory; where they do not fit any more it goes on without them, with a warning.
 */
#define CONF_SETTING_ALL    'a'
#define CONF_SETTING_HOST   'h'
#define CONF_SETTINGS_LIMIT ((size_t)512 << 10) /* bytes of all together */
struct conf *conf_load_with(const char *path, const char *const *overrides, const void *settings,
                            size_t len, struct buf *errors);
/*
 * What is wrong with one such setting ("name = value") on a host with this configuration, whatever
 * else is set: "name: what is wrong", allocated, or NULL.
 */
char *conf_setting_fault(const struct conf *conf, const char *setting);
/* Where settings are kept; allocated. */
char *conf_settings_path(const char *state_directory);
/* Reads them into out; 0 also where there are none, -1 with errno. */
int conf_settings_read(const char *state_directory, struct buf *out);
/* Defaults alone, for tests. */
struct conf *conf_defaults(void);
void conf_free(struct conf **conf);

/*
 * What parameters must be together, and what only this host can tell: required ones that are not
 * set, words of lists, addresses, ports used twice, files that must be readable. (That certificate
 * and key match is for those to check that link OpenSSL.) Appends faults to errors as conf_load
 * does; 0 or -1.
 */
int conf_check(const struct conf *conf, struct buf *errors);

/* One parameter as `dirigo config` prints it. */
struct conf_param {
    const char *name;
    const char
        *type; /* "string", "list", "bool", "int", "size", "time", "path", "secret", "enum" */
    const char *default_text;
    const char *help;
    int flags;
};
/* All of them, in the order of parameters.def. */
const struct conf_param *conf_params(size_t *n);
/* The text of a value as set or by default, expanded; NULL for an unknown name. A class of
 * smtpd_restriction_classes has its list here, too. */
const char *conf_text(const struct conf *conf, const char *name);
/* The list of a class that smtpd_restriction_classes names, or NULL. */
const char *conf_class(const struct conf *conf, const char *name);

/*
 * Further directories (`directories`). A setting NAME_PARAMETER is one directory's own; the
 * parameter that it stands for, or NULL where it is no such setting.
 */
#define CONF_DIRECTORIES_MAX 8
const char *conf_directory_param(const struct conf_list *names, const char *setting);
/* The configuration as one directory has it: its own settings in the place of the common ones. The
 * caller frees it. NULL where they cannot be read together; that is logged. */
struct conf *conf_for_directory(const struct conf *conf, const char *directory);
/* Whether the names are names, and have what each needs; faults as conf_check appends them. */
int conf_directories_check(const struct conf *conf, struct buf *errors);

/* Where it came from: "default", "command line", "FILE:LINE", the DN of an entry, or in a process
 * "dirigod". */
const char *conf_origin(const struct conf *conf, const char *name);
/* The file a configuration was read from, for messages about what is not set in it. */
const char *conf_file(const struct conf *conf);

/* Appends the ldapi URI of the embedded directory: the default of server_host with
 * embedded_directory. */
void conf_put_embedded_url(const char *state_directory, struct buf *out);

/* For the control channel: appends name NUL value NUL pairs that a process with these rights may
 * see, and back. */
void conf_encode(const struct conf *conf, bool directory, struct buf *out);
struct conf *conf_decode(const void *data, size_t len);

#endif

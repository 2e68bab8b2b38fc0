#include "gateway/ctl/log_addresses.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/ctl/command.h"
#include "gateway/proto/smtp_address.h"

#define DAY           (24 * 60 * 60)
#define SLACK         60 /* of a clock that a log's host is ahead */
#define ADDRESS_ARENA ((size_t)64 << 10)
#define COUNT_MAX     10000 /* each is asked twice, and all answers are kept */

/* ---- a line's time ---- */

/* ±hh:mm, ±hhmm or nothing (Z), in seconds east. */
static int64_t zone(const char *s)
{
    int hours = 0, minutes = 0;
    if ((*s != '+' && *s != '-') || sscanf(s + 1, "%2d%*[:]%2d", &hours, &minutes) < 1)
        return 0;
    if (minutes == 0)
        (void)sscanf(s + 1, "%2d%2d", &hours, &minutes);
    return (*s == '-' ? -60 : 60) * (hours * 60 + minutes);
}

/* Wall seconds, or -1 where the line does not begin with a time. */
static int64_t line_time(const char *line, int64_t now)
{
    struct tm tm = {0};
    const char *end = strptime(line, "%Y-%m-%dT%H:%M:%S", &tm);
    if (end != NULL) {
        end += *end == '.' ? 1 + strspn(end + 1, "0123456789") : 0;
        return (int64_t)timegm(&tm) - zone(end);
    }
    time_t t = (time_t)now;
    localtime_r(&t, &tm);
    end = strptime(line, "%b %e %H:%M:%S", &tm);
    if (end == NULL)
        return -1;
    tm.tm_isdst = -1;
    t = mktime(&tm);
    if (t > now + DAY) { /* a December line in January */
        tm.tm_year--;
        tm.tm_isdst = -1;
        t = mktime(&tm);
    }
    return t;
}

/* ---- its recipients ---- */

/* Copies a value of log.h's form to dst without quotes and escapes; false where it does not fit. */
static bool value(char *dst, size_t size, const char *s)
{
    bool quoted = *s == '"';
    size_t len = 0;
    for (s += quoted; *s != '\0' && *s != (quoted ? '"' : ' ') && *s != '\n'; s++) {
        char c = *s;
        if (quoted && c == '\\' && s[1] == 'x' && str_unhex(&c, 1, (char[3]){s[2], s[3], 0}) == 0)
            s += 3;
        else if (quoted && c == '\\' && s[1] != '\0')
            c = *++s;
        if (len + 1 == size)
            return false;
        dst[len++] = c;
    }
    dst[len] = '\0';
    return true;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_address(const char *text)
{
    struct arena *arena = arena_new(ADDRESS_ARENA);
    struct smtp_address a;
    const char *why;
    bool good =
        *text != '\0' && smtp_address_parse(text, strlen(text), arena, &a, &why) == SMTP_SYNTAX_OK;
    arena_free(&arena);
    return good;
}

/* 0, or -1 where there are too many. */
static int add(struct log_addresses *list, void **tree, const char *text)
{
    if (tfind(text, tree, compare) != NULL || !is_address(text))
        return 0;
    if (list->count == COUNT_MAX)
        return -1;
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->all = mem_realloc(list->all, list->capacity, sizeof *list->all);
    }
    list->all[list->count] = mem_strdup(text);
    if (tsearch(list->all[list->count], tree, compare) == NULL)
        abort();
    list->count++;
    return 0;
}

static int take_line(struct log_addresses *list, void **tree, const char *line)
{
    static const char *const events[] = {": message accepted id=", ": recipient refused id="};
    char to[2048], *rest = to, *one;
    bool ours = false;
    for (size_t i = 0; i < 2; i++)
        ours = ours || strstr(line, events[i]) != NULL;
    const char *field = ours ? strstr(line, " to=") : NULL;
    if (field == NULL || !value(to, sizeof to, field + 4))
        return 0;
    while ((one = strsep(&rest, ",")) != NULL)
        if (add(list, tree, one) != 0)
            return -1;
    return 0;
}

static void keep(void *node)
{
    (void)node; /* the list owns it */
}

int log_addresses_read(struct log_addresses *list, const char *path)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "re");
    int64_t now = clock_wall();
    void *tree = NULL;
    char *line = NULL;
    size_t size = 0;
    int rc = 0;
    if (f == NULL) {
        command_error("%s: %s", path, strerror(errno));
        return -1;
    }
    while (rc == 0 && getline(&line, &size, f) > 0) {
        int64_t at = line_time(line, now);
        if (at >= 0 && (at < now - DAY || at > now + SLACK))
            continue;
        if (take_line(list, &tree, line) != 0)
            rc = command_error("%s: more than %d addresses; give part of it", path, COUNT_MAX);
    }
    if (ferror(f))
        rc = command_error("%s: %s", path, strerror(errno));
    tdestroy(tree, keep);
    free(line);
    if (!standard)
        fclose(f);
    return rc == 0 ? 0 : -1;
}

void log_addresses_free(struct log_addresses *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->all[i]);
    free(list->all);
    *list = (struct log_addresses){0};
}

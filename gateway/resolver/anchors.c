/* Trust anchors: the administrator's file, and the files that follow it by RFC 5011. */
#include "gateway/resolver/anchors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <unbound.h>

#include "gateway/base/buf.h"
#include "gateway/base/file.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/resolver/settings.h"

/* Which anchors the files were made from: all lines, as they were given. */
#define SEED       "seed"
#define ANCHOR     "anchor."
#define ANCHOR_NEW "new"

enum {
    ANCHOR_FILE_MAX = 1 << 18,
    ZONES_MAX = 64, /* that have anchors */
    ZONE_NAME_MAX = 200
};

struct zone {
    STAILQ_ENTRY(zone) link;
    struct buf lines;
    char name[]; /* lower case, without the last dot; "root" for the root */
};

STAILQ_HEAD(zones, zone);

static void zones_free(struct zones *zones)
{
    struct zone *z;

    while ((z = STAILQ_FIRST(zones)) != NULL) {
        STAILQ_REMOVE_HEAD(zones, link);
        buf_free(&z->lines);
        free(z);
    }
}

/* The zone that an anchor's line belongs to; NULL where it has no usable name. */
static struct zone *zone_of(struct zones *zones, const char *line)
{
    size_t len = strcspn(line, " \t"), n = 0;
    struct zone *z;

    if (len == 1 && *line == '.') {
        line = "root";
        len = 4;
    } else if (len > 1 && line[len - 1] == '.') {
        len--;
    }
    if (!settings_is_zone(line, len) || len > ZONE_NAME_MAX)
        return NULL;
    STAILQ_FOREACH (z, zones, link) {
        if (strlen(z->name) == len && str_ieq_n(z->name, line, len))
            return z;
        n++;
    }
    if (n == ZONES_MAX)
        return NULL;
    z = mem_zalloc(sizeof(*z) + len + 1);
    for (size_t i = 0; i < len; i++)
        z->name[i] = str_lower_char(line[i]);
    STAILQ_INSERT_TAIL(zones, z, link);
    return z;
}

/* Takes the lines of the administrator's file, all of them into seed as well. */
static int zones_read(struct zones *zones, const char *path, struct buf *seed)
{
    struct buf text = {0}, line = {0};
    int rc = -1;

    if (file_read(path, ANCHOR_FILE_MAX, &text) == -1) {
        log_error("cannot read the DNSSEC trust anchors: install dns-root-data, name another file, "
                  "or set resolver_trust_anchor_file to nothing to go without validation",
                  LOG_STR("resolver_trust_anchor_file", path), LOG_ERRNO(errno));
        goto out;
    }
    const char *cursor = buf_str(&text);
    while (settings_anchor(&cursor, &line)) {
        struct zone *z = zone_of(zones, buf_str(&line));
        if (z == NULL) {
            log_error("bad trust anchor: its line begins with the name of its zone, of at most 64 "
                      "zones",
                      LOG_STR("file", path), LOG_STR("line", buf_str(&line)));
            goto out;
        }
        (void)buf_printf(&z->lines, "%s\n", buf_str(&line));
        (void)buf_printf(seed, "%s\n", buf_str(&line));
    }
    if (STAILQ_EMPTY(zones)) {
        log_error("no DS or DNSKEY record in the file of trust anchors", LOG_STR("file", path));
        goto out;
    }
    rc = 0;
out:
    buf_free(&text);
    buf_free(&line);
    return rc;
}

static void anchor_name(char *out, size_t size, const struct zone *z)
{
    (void)snprintf(out, size, ANCHOR "%s", z->name);
}

/* Whether the files of an earlier run come from these anchors. */
static bool are_kept(const struct zones *zones, const struct buf *seed)
{
    struct buf before = {0};
    struct zone *z;
    char name[ZONE_NAME_MAX + sizeof(ANCHOR)];
    bool same = file_read(SEED, ANCHOR_FILE_MAX, &before) == 0 && before.len == seed->len &&
                memcmp(before.data, seed->data, seed->len) == 0;

    buf_free(&before);
    STAILQ_FOREACH (z, zones, link) {
        anchor_name(name, sizeof(name), z);
        same = same && access(name, R_OK) == 0;
    }
    return same;
}

/* The seed comes last: without it a start that was cut off begins anew. */
static int begin_anew(const struct zones *zones, const struct buf *seed)
{
    char name[ZONE_NAME_MAX + sizeof(ANCHOR)];
    struct zone *z;

    if (unlink(SEED) == -1 && errno != ENOENT)
        return -1;
    STAILQ_FOREACH (z, zones, link) {
        anchor_name(name, sizeof(name), z);
        if (file_replace(name, ANCHOR_NEW, &z->lines, 0644) == -1)
            return -1;
    }
    return file_replace(SEED, ANCHOR_NEW, seed, 0644);
}

static int add_fixed(struct ub_ctx *ub, const char *path, const char *lines)
{
    struct buf line = {0};
    int err = 0;

    while (err == 0 && settings_anchor(&lines, &line)) {
        err = ub_ctx_add_ta(ub, buf_str(&line));
        if (err != 0)
            log_error("bad trust anchor", LOG_STR("file", path), LOG_STR("line", buf_str(&line)),
                      LOG_STR("error", ub_strerror(err)));
    }
    buf_free(&line);
    return err == 0 ? 0 : -1;
}

static int add_followed(struct ub_ctx *ub, const struct zones *zones)
{
    char name[ZONE_NAME_MAX + sizeof(ANCHOR)];
    struct zone *z;

    STAILQ_FOREACH (z, zones, link) {
        anchor_name(name, sizeof(name), z);
        int err = ub_ctx_add_ta_autr(ub, name);
        if (err != 0) {
            log_error("bad trust anchor", LOG_STR("zone", z->name),
                      LOG_STR("error", ub_strerror(err)));
            return -1;
        }
    }
    return 0;
}

int anchors_add(struct ub_ctx *ub, const struct conf *conf, bool afresh, bool *kept)
{
    const char *path = conf->resolver_trust_anchor_file;
    struct zones zones = STAILQ_HEAD_INITIALIZER(zones);
    struct buf seed = {0};
    int rc = -1;

    *kept = false;
    if (zones_read(&zones, path, &seed) == -1)
        goto out;
    if (!conf->resolver_trust_anchor_update) {
        rc = add_fixed(ub, path, buf_str(&seed));
        goto out;
    }
    *kept = !afresh && are_kept(&zones, &seed);
    if (!*kept && begin_anew(&zones, &seed) == -1) {
        log_error("cannot keep the DNSSEC trust anchors: make the folder writable for dirigod, or "
                  "set resolver_trust_anchor_update = no",
                  LOG_ERRNO(errno));
        goto out;
    }
    rc = add_followed(ub, &zones);
out:
    zones_free(&zones);
    buf_free(&seed);
    return rc;
}

#include "directory/config.h"

#include <string.h>

#include "conf/conf.h"
#include "directory/replica.h"
#include "gateway/base/log.h"
#include "gateway/base/str.h"

/* Entries that are looked at. */
#define CONFIG_MAX 1000

/* The level of an entry for a host; 0: it is for others. */
static char level_for(const struct entry *e, const char *host)
{
    const char *value;
    for (size_t i = 0; (value = entry_value(e, ATTR_CONFIG_HOST, i)) != NULL; i++)
        if (str_ieq(value, host))
            return CONF_SETTING_HOST;
    return entry_count(e, ATTR_CONFIG_HOST) == 0 ? CONF_SETTING_ALL : 0;
}

static void put(struct buf *out, char level, const struct entry *e)
{
    static const char nul;
    const char *value;
    for (size_t i = 0; (value = entry_value(e, ATTR_PARAMETER, i)) != NULL; i++) {
        buf_append(out, &level, 1);
        buf_append(out, entry_dn(e), strlen(entry_dn(e)) + 1);
        buf_append(out, value, strlen(value));
        buf_append(out, &nul, 1);
    }
}

int config_collect(struct snapshot *snap, const char *host, struct buf *out)
{
    struct uuid uuids[CONFIG_MAX];
    struct index_key key;
    const struct entry *e;
    buf_clear(out);
    index_key(&key, INDEX_CONFIG, NULL, 0);
    int n = snapshot_list(snap, &key, uuids, CONFIG_MAX);
    for (int i = 0; i < n; i++) {
        if (entry_by_uuid(snap, &uuids[i], &e) != ANSWER_FOUND)
            return -1;
        char level = level_for(e, host);
        if (level != 0)
            put(out, level, e);
    }
    if (n < CONFIG_MAX && out->len <= CONF_SETTINGS_LIMIT)
        return n < 0 ? -1 : 0;
    log_error("the directory has too many parameters: none is taken", LOG_UINT("bytes", out->len),
              LOG_INT("entries", n));
    return -1;
}

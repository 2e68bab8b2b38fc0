/* Parameters that the directory sets (dirigoConfig). */
#ifndef DIRIGO_DIRECTORY_CONFIG_H
#define DIRIGO_DIRECTORY_CONFIG_H

#include "directory/client.h"
#include "gateway/base/buf.h"

/*
 * Replaces out's content with the settings for this host and for all, as conf_load_with takes them,
 * in an order that only changes with the entries. -1 where they cannot be read, or are more than
 * CONF_SETTINGS_LIMIT.
 */
int config_collect(struct snapshot *snap, const char *host, struct buf *out);

#endif

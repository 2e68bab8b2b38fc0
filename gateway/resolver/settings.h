/* What the configuration means for libunbound, as text; without libunbound itself. */
#ifndef DIRIGO_RESOLVER_SETTINGS_H
#define DIRIGO_RESOLVER_SETTINGS_H

#include "conf/conf.h"
#include "gateway/base/buf.h"

/*
 * Appends unbound.conf(5) text for conf. root_hints: the path of a file with the root's name
 * servers, or NULL for those that the library knows. 0, or -1 with what is wrong in error (a zone
 * or address that is none), which the caller frees.
 */
int settings_text(const struct conf *conf, const char *root_hints, struct buf *out, char **error);

/*
 * The next trust anchor of a file's text: a DS or DNSKEY record on one line of its own, without its
 * comment. *cursor moves on; lines of other kinds are skipped. False at the end.
 */
bool settings_anchor(const char **cursor, struct buf *line);

#endif

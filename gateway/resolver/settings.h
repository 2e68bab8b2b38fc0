/* What the configuration means for libunbound, as text; without libunbound itself. */
#ifndef DIRIGO_RESOLVER_SETTINGS_H
#define DIRIGO_RESOLVER_SETTINGS_H

#include "conf/conf.h"
#include "gateway/base/buf.h"
#include "gateway/base/netaddr.h"

/*
 * Appends unbound.conf(5) text for conf. root_hints: the path of a file with the root's name
 * servers, or NULL for those that the library knows. ports: for each of resolver_forward_zones the
 * port of its tunnel, where settings_tls_server says that it has one. 0, or -1 with what is wrong
 * in error (a zone or address that is none), which the caller frees.
 */
int settings_text(const struct conf *conf, const char *root_hints, const uint16_t *ports,
                  struct buf *out, char **error);

/* Whether an entry of resolver_forward_zones, "ZONE=ADDRESS[@PORT]#NAME", is of a server that is
 * reached by TLS: its address and port, and the name of its certificate, inside entry. */
bool settings_tls_server(const char *entry, struct netaddr *addr, const char **name);

/*
 * The next trust anchor of a file's text: a DS or DNSKEY record on one line of its own, without its
 * comment. *cursor moves on; lines of other kinds are skipped. False at the end.
 */
bool settings_anchor(const char **cursor, struct buf *line);

/* Whether it is made only of what a zone's name is made of: it goes between quotes into another
 * program's language, and into names of files. */
bool settings_is_zone(const char *s, size_t len);

#endif

/* The trust anchors that validation starts from, and how they follow their zones' new keys. Private
 * to dirigo-resolver. */
#ifndef DIRIGO_RESOLVER_ANCHORS_H
#define DIRIGO_RESOLVER_ANCHORS_H

#include <stdbool.h>

#include "conf/conf.h"

struct ub_ctx;

/*
 * Gives libunbound the anchors of resolver_trust_anchor_file. With resolver_trust_anchor_update
 * they are kept in files of the working folder, one for each zone, which libunbound reads and
 * renews as RFC 5011 says; they begin anew where the administrator's file has changed, and where
 * afresh is set. *kept says whether files of an earlier run were taken. 0; -1 where it was logged
 * why.
 */
int anchors_add(struct ub_ctx *ub, const struct conf *conf, bool afresh, bool *kept);

#endif

/* The embedded directory's configuration as LDIF, apart from starting programs; private to master.
 */
#ifndef DIRIGO_MASTER_EMBEDDED_H
#define DIRIGO_MASTER_EMBEDDED_H

#include "gateway/master/master.h"

/*
 * Appends slapd's configuration (cn=config) to out: stock schema, Dirigo's, one database for
 * search_base whose administrators are root, the directory's user and whoever started dirigod.
 * 0, or -1 with faults in errors.
 */
int embedded_config_ldif(const struct conf *conf, const struct owners *owners, struct buf *out,
                         struct buf *errors);
/* Appends the entry search_base itself. 0, or -1 where its form is not one that can be made. */
int embedded_base_ldif(const struct conf *conf, struct buf *out, struct buf *errors);

#endif

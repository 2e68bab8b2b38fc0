/* Records that the administrator gives and no name server is asked for. Private to dirigo-resolver.
 */
#ifndef DIRIGO_RESOLVER_LOCAL_DATA_H
#define DIRIGO_RESOLVER_LOCAL_DATA_H

struct ub_ctx;

/*
 * Gives libunbound the records of a file: "NAME [TTL] TYPE DATA", one a line as in a master file
 * (RFC 1035 section 5), with comments after a semicolon that no quotes enclose. Anchors and
 * settings have to be there before. 0; -1 where it was logged what is wrong, with the line.
 */
int local_data_add(struct ub_ctx *ub, const char *path);

#endif

/* Reading LDIF files into a made-up directory. */
#ifndef DIRIGO_CTL_LDIF_FILE_H
#define DIRIGO_CTL_LDIF_FILE_H

#include "directory/scratch.h"

/* A record that cannot be read or applied; the caller's text is used at once. */
typedef void ldif_file_report(void *arg, size_t line, const char *dn, const char *text);

/*
 * Applies every record of a file ("-": standard input). Faults are reported, and reading goes on.
 * 0, or -1 after a message where the file cannot be read.
 */
int ldif_file_apply(const char *path, struct scratch *s, ldif_file_report *report, void *arg);

#endif

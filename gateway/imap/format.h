/* Strings, dates and patterns as IMAP writes them (RFC 3501 sections 4, 6.3.8 and 9). */
#ifndef DIRIGO_IMAP_FORMAT_H
#define DIRIGO_IMAP_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"

/* A string: quoted where that is possible, else a literal. */
void imap_put_string(struct buf *out, const void *data, size_t len);
/* The same, NIL for NULL. */
void imap_put_nstring(struct buf *out, const char *s);
/* A folder name: an atom where it can be one, else a quoted string. */
void imap_put_astring(struct buf *out, const char *s);

/* INTERNALDATE: "17-Jul-1996 02:44:25 +0000" with its quotes. */
void imap_put_date(struct buf *out, int64_t wall);
/* The date-time of APPEND, without quotes: wall seconds, or -1 (no date is before 1970 here). */
int64_t imap_parse_date_time(const char *s);
/* The date of SEARCH, "1-Feb-1994": days since 1970 in *day; 0 or -1. */
int imap_parse_date(const char *s, int64_t *day);

/* Whether a folder name matches a pattern of LIST: '*' any run, '%' a run without '.'. INBOX in any
 * case is INBOX. */
bool imap_pattern_matches(const char *pattern, const char *name);

#endif

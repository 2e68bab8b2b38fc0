/* Distinguished names (RFC 4514), as they are compared and looked up. */
#ifndef DIRIGO_DIRECTORY_DN_H
#define DIRIGO_DIRECTORY_DN_H

#include <stddef.h>

/* The longest normal form; a longer name is no key and never found. */
#define DN_MAX 4096

/*
 * Writes the form that two spellings of one name share: types and values in lower case (ASCII), no
 * space around separators, inner runs of spaces as one, escapes and quotes in one way, the parts of
 * a multi-valued RDN sorted. It compares values as caseIgnoreMatch does, which naming attributes
 * use. Returns the length, or -1 where dn is malformed or longer than DN_MAX - 1.
 */
int dn_normalize(const char *dn, char dst[DN_MAX]);

/* Turns a normal form (len bytes) around, RDN by RDN: "dc=org,dc=example,uid=a". In place. */
void dn_reverse(char *normal, size_t len);
/* How many RDNs a normal form has. */
size_t dn_depth(const char *normal);
/*
 * The length of the first n RDNs of a DN as written, without the separator behind them; -1 where it
 * has fewer.
 */
int dn_head(const char *dn, size_t n);

#endif

/* Mail addresses (RFC 5321 section 4.1.2, RFC 6531), as they are compared and looked up. */
#ifndef DIRIGO_DIRECTORY_ADDRESS_H
#define DIRIGO_DIRECTORY_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Longer than the 64 of RFC 5321, because rewriting schemes (VERP, SRS) pass that, and short enough
 * that local@domain is a key of the replica.
 */
#define ADDRESS_LOCAL_MAX  250
#define ADDRESS_DOMAIN_MAX 255
/* The longest text of an address: every octet of the local part escaped, quotes, '@', domain, NUL.
 */
#define ADDRESS_STRLEN (2 * ADDRESS_LOCAL_MAX + 2 + 1 + ADDRESS_DOMAIN_MAX + 1)

struct address {
    char local[ADDRESS_LOCAL_MAX + 1]; /* without quotes and escapes; case as given */
    char domain[ADDRESS_DOMAIN_MAX +
                1]; /* lower case A-labels, without a final dot; "" where there is none */
};

/*
 * Reads local@domain, or a local part alone; no angle brackets, comments or source routes. The
 * local part may be a quoted string. -1 for anything else: control characters, broken UTF-8, too
 * long.
 */
int address_parse(struct address *out, const char *text);
/*
 * Reads a domain name or an address literal into dst[ADDRESS_DOMAIN_MAX + 1]; -1 as above.
 * Internationalised names may be given as U-labels or as A-labels, and become A-labels.
 */
int address_domain(char *dst, const char *text);
/* Whether text is another spelling of a domain that address_domain gave. */
bool address_same_domain(const char *normal, const char *text);
/* The address as text, quoted where RFC 5321 requires it; returns dst. */
const char *address_format(const struct address *a, char dst[ADDRESS_STRLEN]);
/*
 * What two addresses that mean the same share: the local part in lower case (ASCII), '@' and the
 * domain. Not for the wire: it is not quoted. Returns its length, at most
 * ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX.
 */
size_t address_fold(const struct address *a, char dst[ADDRESS_STRLEN]);

#endif

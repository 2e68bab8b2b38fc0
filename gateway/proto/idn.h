/* Internationalised domain names (RFC 5891), as DNS has them. */
#ifndef DIRIGO_PROTO_IDN_H
#define DIRIGO_PROTO_IDN_H

#include <stddef.h>

/*
 * Writes domain with its U-labels as A-labels into dst of size bytes; one that has none is copied.
 * 0, or -1 where it is no domain name or does not fit.
 */
int idn_to_ascii(char *dst, size_t size, const char *domain);

#endif

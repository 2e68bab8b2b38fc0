/* The LDAP URLs of dynamic groups (RFC 4516), as memberURL holds them. */
#ifndef DIRIGO_DIRECTORY_MEMBERURL_H
#define DIRIGO_DIRECTORY_MEMBERURL_H

#include "directory/dn.h"

#define MEMBERURL_FILTER_MAX 4096

enum memberurl_scope { /* as LDAP numbers them */
    MEMBERURL_BASE,
    MEMBERURL_ONE,
    MEMBERURL_SUB
};

struct memberurl {
    char base[DN_MAX];
    enum memberurl_scope scope;
    char filter[MEMBERURL_FILTER_MAX]; /* RFC 4515; "(objectClass=*)" where the URL has none */
};

/*
 * Reads "ldap:///BASE?ATTRIBUTES?SCOPE?FILTER", percent-decoded; attributes are passed over. NULL,
 * or why it cannot be used: it names a host of its own or a critical extension, is malformed or too
 * long, or holds control characters.
 */
const char *memberurl_parse(struct memberurl *out, const char *text);

#endif

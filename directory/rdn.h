/* What the first part of a distinguished name says (RFC 4514). Private to directory/. */
#ifndef DIRIGO_DIRECTORY_RDN_H
#define DIRIGO_DIRECTORY_RDN_H

/* Calls fn with each attribute and value of the first part, escapes resolved. */
void rdn_each(const char *dn, void (*fn)(void *arg, const char *type, const char *value),
              void *arg);

#endif

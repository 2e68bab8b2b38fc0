/* LDAP servers as server_host names them. */
#ifndef DIRIGO_DIRECTORY_TARGET_H
#define DIRIGO_DIRECTORY_TARGET_H

#include <stdbool.h>
#include <stdint.h>

enum target_kind {
    TARGET_PLAIN, /* ldap:// */
    TARGET_TLS,   /* ldaps:// */
    TARGET_UNIX   /* ldapi:// */
};

struct target {
    enum target_kind kind;
    char *uri; /* as it was given, for logs */
    char *host;
    uint16_t port;
    char *path; /* TARGET_UNIX */
};

/* A URI (RFC 4516: scheme and host alone) or a host name with an optional :port. 0, or -1. */
int target_parse(struct target *out, const char *text);
void target_free(struct target *t);

#endif

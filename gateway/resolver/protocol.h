/* The service of dirigo-resolver on resolver.sock; field order as listed. */
#ifndef DIRIGO_RESOLVER_PROTOCOL_H
#define DIRIGO_RESOLVER_PROTOCOL_H

#define RESOLVER_SERVICE "resolver"
#define RESOLVER_VERSION 1

enum {
    RESOLVER_MSG_QUERY = 1, /* str name, u32 type */
    RESOLVER_MSG_ANSWER, /* u8 security (enum dns_security), bool failed, str why, bytes DNS packet
                            (RFC 1035) */
};

#endif

/* DNS messages (RFC 1035) as answers: a bounded parser without I/O. */
#ifndef DIRIGO_PROTO_DNS_H
#define DIRIGO_PROTO_DNS_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/mem.h"

#define DNS_NAME_MAX    1025 /* presentation form of 255 octets, escaped, and the NUL */
#define DNS_RECORDS_MAX 256

enum {
    DNS_TYPE_A = 1,
    DNS_TYPE_NS = 2,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_MX = 15,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_TLSA = 52
};

struct dns_record {
    uint16_t type;
    uint32_t ttl;
    uint16_t preference; /* MX */
    const char *name; /* MX, PTR, NS, CNAME: target, lower-case, no trailing dot ("" is the root: a
                         null MX); NULL for other types */
    const uint8_t *data; /* A (4), AAAA (16), TLSA and types not listed here (whole rdata), TXT
                            (strings joined); NULL where name is set */
    size_t len;
};

struct dns_message {
    unsigned rcode;
    uint16_t qtype;
    const char *qname; /* the name asked for, as dns_record.name */
    const struct dns_record
        *records; /* answers of the type asked for at the end of the CNAME chain */
    size_t count;
};

/*
 * Parses a response to (its own) question; a name is shown with "\." and "\\" for these characters
 * inside a label and \DDD for what is not printable ASCII (RFC 4343 section 2.1). Everything lives
 * in arena. 0, or -1: malformed, truncated (TC), or past a bound.
 */
int dns_parse(const void *packet, size_t len, struct arena *arena, struct dns_message *out);

#endif

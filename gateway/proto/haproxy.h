/*
 * The PROXY protocol, versions 1 and 2, as HAProxy's proxy-protocol.txt defines it: what a proxy
 * says of the connection that it passes on, before the first byte of the connection itself.
 *
 * A push parser without I/O: it takes bytes until the header is whole, and never one byte more.
 */
#ifndef DIRIGO_PROTO_HAPROXY_H
#define DIRIGO_PROTO_HAPROXY_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/netaddr.h"

/* A line of version 1 with its CRLF (107 bytes, says the text), or version 2's fixed part and its
 * two IPv6 addresses. */
#define HAPROXY_HEAD_MAX 108

enum haproxy_status {
    HAPROXY_MORE,  /* the header is not whole */
    HAPROXY_PROXY, /* client and server are known */
    HAPROXY_LOCAL, /* the proxy speaks for itself (a health check), or cannot tell: the addresses of
                      the connection count */
    HAPROXY_BAD
};

struct haproxy {
    enum haproxy_status status;
    size_t len, skip; /* bytes in head; bytes of version 2 still to be passed over */
    unsigned char head[HAPROXY_HEAD_MAX];
    struct netaddr client, server; /* with ports; of HAPROXY_PROXY */
};

/* An empty header. Of version 2 (addresses and whatever else it carries) at most length_max bytes
 * are taken. */
void haproxy_init(struct haproxy *h);
/* Takes what belongs to the header from data; returns how many bytes that were. h->status says what
 * came of it; once it is not HAPROXY_MORE nothing more is taken. */
size_t haproxy_push(struct haproxy *h, const void *data, size_t len, size_t length_max);

#endif

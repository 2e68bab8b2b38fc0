/*
 * DNS over TLS (RFC 7858) for a libunbound that was built without it, as Debian's is: libunbound
 * speaks TCP to a socket on loopback, and what it says goes on over a verified TLS connection.
 * Private to dirigo-resolver.
 */
#ifndef DIRIGO_RESOLVER_TUNNEL_H
#define DIRIGO_RESOLVER_TUNNEL_H

#include <stdint.h>

#include "gateway/base/netaddr.h"
#include "gateway/event/loop.h"
#include "gateway/event/tls.h"

/* The loopback address of all tunnels: one that nothing else uses, so that asking name servers on
 * the others can stay forbidden. */
#define TUNNEL_ADDRESS "127.83.53.1"

struct tunnel;

/*
 * Listens on TUNNEL_ADDRESS, on a port of the system's choice. server and its port are where the
 * connections go; its certificate must have this name, which is copied. tls outlives the tunnel. A
 * connection that cannot be made or verified within timeout_ms is closed. NULL with errno.
 */
struct tunnel *tunnel_new(struct loop *loop, struct tls_context *tls, const struct netaddr *server,
                          const char *name, int64_t timeout_ms);
uint16_t tunnel_port(const struct tunnel *t);
/* Closes its connections as well. *t may be NULL. */
void tunnel_free(struct tunnel **t);

#endif

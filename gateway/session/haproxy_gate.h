/* Connections that a proxy passes on: the client's address comes before the first byte. */
#ifndef DIRIGO_SESSION_HAPROXY_GATE_H
#define DIRIGO_SESSION_HAPROXY_GATE_H

#include "conf/conf.h"
#include "gateway/base/netaddr.h"
#include "gateway/event/loop.h"

struct haproxy_gate;

/*
 * For the listeners named in haproxy_protocols: a connection from haproxy_trusted_networks has to
 * begin with a PROXY header (version 1 or 2) within haproxy_timeout, or it is closed; any other is
 * its own client. Which of the two it is depends on the address alone, so nobody else can lie. fn
 * gets each connection, whose descriptor it owns, with the client's address, at once or later.
 */
struct haproxy_gate *haproxy_gate_new(struct loop *loop, const struct conf *conf,
                                      void (*fn)(const char *protocol, int fd,
                                                 const struct netaddr *client, void *arg),
                                      void *arg);
/* protocol: the listener's, which lives as long as the gate. */
void haproxy_gate_accept(struct haproxy_gate *g, const char *protocol, int fd,
                         const struct netaddr *peer);
/* Closes what still waits for its header. *g may be NULL. */
void haproxy_gate_free(struct haproxy_gate **g);

#endif

/*
 * The delivery of one job: a kept session to its next hop, or its hosts one after the other, until
 * every recipient has a final decision or there is no host left.
 */
#ifndef DIRIGO_RELAY_DELIVERY_H
#define DIRIGO_RELAY_DELIVERY_H

#include "gateway/relay/job.h"
#include "gateway/relay/nexthop.h"
#include "gateway/relay/pool.h"
#include "gateway/relay/route.h"
#include "gateway/relay/smtp_client.h"

struct delivery;

/* What all deliveries of a process share; outlives them. */
struct delivery_env {
    struct loop *loop;
    struct smtp_client_settings smtp;
    struct route_settings route;
    struct pool *pool;
    enum smtp_client_tls tls;
    const char *relayhost; /* "": none */
    uint16_t port;         /* where a next hop names none */
    unsigned address_limit;
};

/* Takes the job over. done is called once, from the loop, when every recipient has been decided;
 * it reads the job with delivery_job and frees the delivery. */
struct delivery *delivery_new(const struct delivery_env *env, struct relay_job *job,
                              void (*done)(struct delivery *d, void *arg), void *arg);
const struct relay_job *delivery_job(const struct delivery *d);
/* Ends it where it is; a message under way is not delivered then, but where the server has all of
 * it. *d may be NULL. */
void delivery_free(struct delivery **d);

#endif

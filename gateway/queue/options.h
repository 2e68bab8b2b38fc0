/*
 * What a client asked for with a message beyond RFC 5321, from the front end through the queue to
 * the relay: DSN (RFC 3461), SMTPUTF8 (RFC 6531), REQUIRETLS (RFC 8689), FUTURERELEASE (RFC 4865),
 * DELIVERBY (RFC 2852), MT-PRIORITY (RFC 6710). Zeros: nothing.
 */
#ifndef DIRIGO_QUEUE_OPTIONS_H
#define DIRIGO_QUEUE_OPTIONS_H

#include <stdint.h>

struct msg;

enum {
    QUEUE_UTF8 = 1,         /* addresses or header fields are UTF-8 */
    QUEUE_REQUIRE_TLS = 2,  /* never to a host without verified TLS and REQUIRETLS */
    QUEUE_TLS_OPTIONAL = 4, /* TLS-Required: No: delivery goes before TLS policy */
    QUEUE_BY_RETURN = 8,    /* BY=...;R: returned when its time is over; else its sender is told */
    QUEUE_BY_TRACE = 16,    /* BY=...;*T: each hop is reported */
    QUEUE_FLAGS = 31
};

/* RET */
enum queue_ret {
    QUEUE_RET_NONE,
    QUEUE_RET_FULL,
    QUEUE_RET_HDRS
};

/* NOTIFY, bits; 0 where it was not given */
enum {
    QUEUE_NOTIFY_NEVER = 1,
    QUEUE_NOTIFY_SUCCESS = 2,
    QUEUE_NOTIFY_FAILURE = 4,
    QUEUE_NOTIFY_DELAY = 8,
    QUEUE_NOTIFY_ALL = 15
};

/* MT-PRIORITY, of which zero is one */
#define QUEUE_PRIORITY_NONE 0
#define QUEUE_PRIORITY(n)   ((uint64_t)((n) + 10)) /* of -9 to 9 */
#define QUEUE_PRIORITY_MAX  QUEUE_PRIORITY(9)

struct queue_options {
    uint64_t flags;       /* QUEUE_UTF8 ... */
    uint64_t ret;         /* enum queue_ret */
    uint64_t priority;    /* QUEUE_PRIORITY(n), or none */
    uint64_t hold_until;  /* wall seconds before which nothing is delivered; 0: none */
    uint64_t deliver_by;  /* wall seconds; 0: none */
    uint64_t decide_by;   /* of a held message: wall seconds at which it is returned; 0: none */
    const char *envelope; /* ENVID, as xtext; NULL: none */
};

/* Writes them as fields of a message, and reads them: strings live as long as the message. What is
 * out of range makes a bad message of it: -1. */
void queue_options_put(struct msg *m, const struct queue_options *o);
int queue_options_get(struct msg *m, struct queue_options *o);

#endif

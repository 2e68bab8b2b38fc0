/*
 * Asking dirigo-filter about a message: who vouches for it, what its author's domain wants done
 * where nobody does, and signatures for mail that goes out. The filter changes the header in the
 * message's file itself.
 */
#ifndef DIRIGO_FILTER_CLIENT_H
#define DIRIGO_FILTER_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/netaddr.h"
#include "gateway/event/loop.h"

enum {
    FILTER_VERIFY = 1,  /* it comes from outside: conf's authentication_checks */
    FILTER_SIGN = 2,    /* it comes from our own: sign for the author's domain */
    FILTER_FORWARD = 8, /* it is forwarded to other hosts: by which sender? (SRS) */
    FILTER_SEAL = 4     /* with FILTER_VERIFY: it leaves again, so the chain goes on */
};

enum filter_verdict {
    FILTER_ACCEPT,
    FILTER_HOLD,   /* accept, and hold it back for an administrator */
    FILTER_REJECT, /* 550 5.7.1 */
    FILTER_DEFER   /* 451: the message's file may be of no use any more */
};

#define FILTER_DOMAINS_MAX 64

struct filter_request {
    const char *id; /* the message's */
    unsigned flags;
    struct netaddr peer;
    const char *helo, *sender;
    uint64_t size;       /* of the file */
    uint32_t insert_at;  /* where fields are put: behind Return-Path */
    uint32_t message_at; /* where the message begins as it came: behind our own fields */
    const char *domains[FILTER_DOMAINS_MAX]; /* of the recipients */
    size_t domain_count;
};

struct filter_result {
    enum filter_verdict verdict;
    const char *text;   /* for the reply, or why it is held; "" with FILTER_ACCEPT */
    uint64_t size;      /* of the file now */
    const char *sender; /* with FILTER_FORWARD: the sender of what is forwarded; "": as it is */
};

struct filter_client;
struct filter_client *filter_client_new(struct loop *loop, const char *socket_path,
                                        int64_t timeout_ms);
/* Outstanding requests are dropped without a call of their fn. *c may be NULL. */
void filter_client_free(struct filter_client **c);
/* Takes fd over (a duplicate of the message's). fn is called once, from the loop; what cannot be
 * asked now is FILTER_DEFER. Returns an id for filter_cancel, never 0. */
uint32_t filter_ask(struct filter_client *c, const struct filter_request *request, int fd,
                    void (*fn)(const struct filter_result *result, void *arg), void *arg);
/* The way back from an address of srs_domain: FILTER_ACCEPT with it as text, FILTER_REJECT with why
 * not, or FILTER_DEFER. As filter_ask else. */
uint32_t filter_reverse(struct filter_client *c, const char *address,
                        void (*fn)(const struct filter_result *result, void *arg), void *arg);
void filter_cancel(struct filter_client *c, uint32_t id);

#endif

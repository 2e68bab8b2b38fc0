/*
 * Policy services: Postfix's policy delegation protocol, asked without blocking.
 *
 * A request is lines NAME=VALUE and an empty line; the answer is "action=ACTION" and an empty line.
 * Connections to one service are pooled and bounded; what does not get one waits, bounded as well.
 * A connection that breaks before its answer is tried again on another one.
 */
#ifndef DIRIGO_SMTP_POLICY_CLIENT_H
#define DIRIGO_SMTP_POLICY_CLIENT_H

#include <stddef.h>

#include "conf/conf.h"
#include "gateway/base/netaddr.h"
#include "gateway/event/loop.h"

/* ---- without I/O (policy_endpoint.c) ---- */

#define POLICY_PATH_MAX  96
#define POLICY_REPLY_MAX 8192

struct policy_endpoint {
    struct netaddr addr;            /* family 0: a Unix socket */
    char path[POLICY_PATH_MAX + 1]; /* inside the run directory */
};

/* "inet:ADDRESS:PORT" (localhost counts as one), "unix:PATH"; -1 for anything else. */
int policy_endpoint_parse(struct policy_endpoint *out, const char *text);
/*
 * The answer in len bytes: 1 with the action (not NUL-terminated) and the bytes used, 0 where more
 * has to come, -1 where it is none.
 */
int policy_reply_parse(const char *data, size_t len, size_t *used, const char **action,
                       size_t *action_len);

/* ---- the pool, one per process ---- */

struct policy_client;
/* folder is what paths of Unix sockets are relative to; it and conf outlive the client. */
struct policy_client *policy_client_new(struct loop *loop, const struct conf *conf,
                                        const char *folder);
/* What is under way is dropped without a call. *c may be NULL. */
void policy_client_free(struct policy_client **c);

struct policy_query;
/*
 * Asks service (its text as configured); request is copied. fn is called once, from the loop, with
 * the action or with NULL where there is none in time.
 */
struct policy_query *policy_ask(struct policy_client *c, const char *service, const void *request,
                                size_t len, void (*fn)(const char *action, void *arg), void *arg);
/* Forgets a query; fn is not called. */
void policy_cancel(struct policy_query *q);

#endif

/* Idle SMTP sessions, kept a short while for the next message to the same next hop. */
#ifndef DIRIGO_RELAY_POOL_H
#define DIRIGO_RELAY_POOL_H

#include "gateway/relay/smtp_client.h"

struct pool;

/* limit: sessions kept at one time. idle_ms: how long each; reuse_ms: how old it may become. */
struct pool *pool_new(struct loop *loop, size_t limit, int64_t idle_ms, int64_t reuse_ms);
/* Ends the sessions. *p may be NULL. */
void pool_free(struct pool **p);
/* Takes a session over (*c is NULL then): kept under key, or ended where it is not fit for it. */
void pool_put(struct pool *p, const char *key, struct smtp_client **c);
/* A session kept under key, which the caller owns and gives ops; or NULL. */
struct smtp_client *pool_take(struct pool *p, const char *key);
/* Ends those that are idle. */
void pool_clear(struct pool *p);

#endif

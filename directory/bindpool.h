/*
 * Passwords verified by bind, on a fixed number of connections.
 *
 * A connection has one bind outstanding: servers give up what is under way when a new one comes. So
 * requests wait in one queue, in order, for a connection that is free, each for `timeout` in all.
 */
#ifndef DIRIGO_DIRECTORY_BINDPOOL_H
#define DIRIGO_DIRECTORY_BINDPOOL_H

#include "directory/ldapconn.h"
#include "directory/protocol.h"
#include "gateway/base/password_end.h"

struct bindpool;
struct bind_request;

/* What became of a verification. */
struct bind_answer {
    enum directory_bind result;
    bool no_entry;           /* the server says that there is no entry of this name */
    struct password_end end; /* said of a password that is right */
    const char *text;        /* the server's, or why there is none; for the log */
};
typedef void bind_fn(const struct bind_answer *answer, void *arg);

/* env outlives it. Connections are made when they are needed, and kept. */
struct bindpool *bindpool_new(struct ldap_env *env);
/* Requests under way are dropped without an answer. */
void bindpool_free(struct bindpool **pool);
/*
 * Verifies password for dn; both are copied, and the password is wiped. fn is called once, from the
 * loop. Returns a handle for bindpool_cancel.
 */
struct bind_request *bindpool_verify(struct bindpool *pool, const char *dn, const char *password,
                                     bind_fn *fn, void *arg);
/* fn will not be called any more. */
void bindpool_cancel(struct bind_request *r);
/* Requests that wait or are under way. */
size_t bindpool_pending(const struct bindpool *pool);

#endif

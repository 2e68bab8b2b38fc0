/*
 * One connection to an LDAP server, made without blocking: the name is looked up on a worker, the
 * socket is connected and TLS is run by a stream on the loop, and libldap gets one end of a
 * socketpair that is joined to it. So libldap never connects or shakes hands, and every step until
 * ready() is under one deadline.
 *
 * The life of one: ldapconn_new; ready() when it is connected, protected and bound; message() for
 * everything the server sends, then batch() when no more is at hand; closed() once, when it is of
 * no more use, whereupon the owner frees it. Callbacks never run from inside ldapconn_* calls, and
 * the connection may be freed inside any of them.
 */
#ifndef DIRIGO_DIRECTORY_LDAPCONN_H
#define DIRIGO_DIRECTORY_LDAPCONN_H

#include <ldap.h>

#include "conf/conf.h"
#include "directory/target.h"
#include "gateway/event/loop.h"
#include "gateway/event/tls.h"
#include "gateway/event/worker.h"

/* What all connections share; outlives them. */
struct ldap_env {
    struct loop *loop;
    const struct conf *conf;
    struct worker_pool *workers;
    struct tls_context *tls; /* NULL where no server needs it */
    const char *bind_pw;
    struct target *targets;
    size_t target_count;
    size_t target_in_use; /* where the sync goes, and logins with it */
    struct profile_set *profiles;
    bool further; /* a directory beside the first one, which must tell of its changes */
};

enum ldapconn_identity {
    LDAPCONN_SERVICE, /* bind_dn, EXTERNAL on ldapi or by certificate, or anonymous */
    LDAPCONN_NOBODY   /* not bound: for verifying passwords */
};

struct ldapconn;

struct ldapconn_ops {
    void (*ready)(struct ldapconn *c, void *arg);
    /* msg is freed after it returns. */
    void (*message)(struct ldapconn *c, LDAPMessage *msg, void *arg);
    void (*batch)(struct ldapconn *c, void *arg); /* may be NULL */
    void (*closed)(struct ldapconn *c, const char *why, void *arg);
};

struct ldapconn *ldapconn_new(struct ldap_env *env, const struct target *target,
                              enum ldapconn_identity identity, const struct ldapconn_ops *ops,
                              void *arg);
/* Another owner's callbacks from now on; the connection is ready. */
void ldapconn_set_ops(struct ldapconn *c, const struct ldapconn_ops *ops, void *arg);
/* Drops the connection. *c may be NULL. */
void ldapconn_free(struct ldapconn **c);
/* For requests, once ready; only its asynchronous functions. */
LDAP *ldapconn_ld(struct ldapconn *c);

#endif

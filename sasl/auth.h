/* What the files of dirigo-auth share. Private to the process. */
#ifndef DIRIGO_SASL_AUTH_H
#define DIRIGO_SASL_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "directory/client.h"
#include "directory/secrets.h"
#include "gateway/base/guesses.h"
#include "gateway/event/loop.h"
#include "gateway/ipc/channel.h"
#include "sasl/conversation.h"
#include "sasl/fake.h"
#include "sasl/oauth.h"
#include "sasl/throttle.h"

/* What exchanges want of the service around them. */
struct auth_hooks {
    bool (*session_begin)(void *arg); /* false: there are too many */
    void (*session_end)(void *arg);
    void (*report)(const char *text, void *arg); /* counters changed */
    void *arg;
};

/* The process' own context; everything is used on its loop alone. */
struct auth_process {
    struct auth_hooks hooks;
    const struct conf *conf;
    struct loop *loop;
    struct directory *directory;
    struct secrets *secrets;
    struct ipc_client *binder; /* dirigo-directory, which verifies passwords */
    struct ipc_server *server;
    struct cyrus *cyrus;
    struct oauth *oauth;
    struct throttle *throttle;
    struct guesses *guesses; /* at names that nobody has; dirigo-directory counts for entries */
    struct used_codes *used_codes;
    uint8_t fake_secret[FAKE_SECRET_LEN]; /* of made-up keys */
    const uint8_t *ticket_key;            /* NULL: there are no tickets */
    struct netaddr_prefix *trusted;       /* mynetworks */
    size_t trusted_count;
    size_t exchanges; /* under way */
    uint64_t succeeded, failed, undecided;
};

/* ---- login.c: names and entries ---- */

enum login_answer {
    LOGIN_FOUND,
    LOGIN_REFUSED, /* absent, disabled, or no user: the client hears the same of all */
    LOGIN_UNKNOWN
};

struct login {
    struct uuid owner;
    const char *directory; /* that the entry is of: "" or a name of conf's */
    unsigned kinds;        /* ENTRY_* */
    char *name;            /* to log: the entry's first uid, or what was given */
    char *address;         /* NULL: none */
    char *dn;
    char *mail_host; /* NULL: here */
};

/* The entry that may log in under name. Found: *out is filled, and login_clear ends it. *why gets a
 * static text for the log otherwise. */
enum login_answer login_lookup(struct auth_process *p, const char *name, struct login *out,
                               const char **why);
void login_clear(struct login *l);
/* The same of an entry that was looked up in some other way, with that lookup's answer. name: it
 * was called by, or NULL. */
enum login_answer login_of(struct auth_process *p, struct snapshot *snap, enum answer answer,
                           const struct entry *e, const char *name, struct login *out,
                           const char **why);
/*
 * The keys that SCRAM is to be served with for a name: those of its entry for mechanism, or one
 * made up. *owner is whose they are; zeros for a made-up one. 0, or -1 where it cannot be told now.
 */
int login_keys(struct auth_process *p, const char *name, const char *mechanism, struct uuid *owner,
               struct secrets_list *out);

/* ---- principal.c: Kerberos ---- */

/* As login_lookup, for a principal as Cyrus gives it. Found: *by says by what. */
enum login_answer principal_login(struct auth_process *p, const char *text, struct login *out,
                                  const char **by, const char **why);

/* ---- act.c: acting for others ---- */

/* Whether who has proved to be actor may act for another entry. Yes: LOGIN_FOUND; *by gets a static
 * text for the log. */
enum login_answer act_for(struct auth_process *p, const struct login *actor,
                          const struct login *target, const char **by, const char **why);

/* ---- exchange_serve.c: the messages of protocol.h ---- */

extern const struct ipc_server_ops exchange_ops; /* arg: struct auth_process */

#endif

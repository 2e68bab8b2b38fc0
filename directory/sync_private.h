/* Shared by sync.c (connection, phases) and sync_apply.c (messages into transactions). */
#ifndef DIRIGO_DIRECTORY_SYNC_PRIVATE_H
#define DIRIGO_DIRECTORY_SYNC_PRIVATE_H

#include <sys/queue.h>

#include "directory/profile.h"
#include "directory/sync.h"
#include "directory/syncmsg.h"
#include "directory/uuidset.h"

enum sync_phase {
    PHASE_WAITING,    /* no connection; a timer brings the next try */
    PHASE_CONNECTING, /* until the connection is ready */
    PHASE_REFRESH,    /* the server shows what differs */
    PHASE_SWEEP,      /* what it did not show is deleted, in slices */
    PHASE_PERSIST     /* in sync */
};

struct sync {
    struct ldap_env *env;
    struct replica *replica;
    struct secrets_store *secrets;
    void (*changed)(bool in_sync, void *arg);
    void (*committed)(void *arg); /* NULL: nobody wants to know */
    void *arg;
    void (*touched)(const struct uuid *uuid, void *arg); /* or NULL */
    void *touched_arg;

    struct ldapconn *conn;
    enum sync_phase phase;
    unsigned failed; /* in a row */
    unsigned newer;  /* servers in a row that were behind the replica */
    int search_id, probe_id;
    int64_t probe_sent, connected_at; /* monotonic; probe_sent 0: none outstanding */
    struct failback *failback;
    bool returned;    /* to an earlier server, which has yet to bring the sync about */
    bool was_in_sync; /* with the server in use, on this connection */
    LIST_HEAD(, sync_check) checks;
    int64_t forced_at; /* monotonic: when a full refresh was last asked for; 0: never */
    struct timer *retry, *heartbeat, *probe, *sweep;
    char *error;
    bool disk_failed; /* the error is ours, not the server's */
    bool same_target; /* the next try is for the same server, at once */

    /* One refresh. */
    struct uuid_set seen;
    struct buf cookie;    /* what has come of one: stored when the refresh is whole, and then with
                             each change */
    bool cookie_sent;     /* the server knew where we were */
    bool sweep_needed;    /* the server shows what is there, not what is gone */
    struct uuid sweep_at; /* the last entry that was looked at */
    bool lost;            /* something was thrown away that does not come again */

    /* One turn of the loop. */
    bool open; /* a transaction */
    struct entry_draft draft;
    struct buf values; /* authPassword of the entry at hand */
};

/* Ends the connection and plans the next. */
void sync_fail(struct sync *s, const char *why);
/* Asks anew and for everything: the cookie is worth nothing. */
void sync_start_afresh(struct sync *s, const char *why);
/* The refresh is whole: sweeps, or goes over to persist. */
void sync_refreshed(struct sync *s);

/* Opens the transaction of this turn; 0 or -1 (the sync has failed then). */
int sync_begin(struct sync *s);
/* Commits what is open; 0 or -1 (failed). */
int sync_commit(struct sync *s);
void sync_abort(struct sync *s);
/* One message of the search. */
void sync_apply_entry(struct sync *s, LDAPMessage *msg);
void sync_apply_info(struct sync *s, LDAPMessage *msg);
int sync_apply_delete(struct sync *s, const struct uuid *uuid);
/* The same for an entry that the server tells is gone: what stands below it went unseen. */
int sync_apply_gone(struct sync *s, const struct uuid *uuid);

/*
 * failback.c: while a later server of the list is in use, the earlier ones are tried from time to
 * time; the first that serves search_base takes over by sync_adopt.
 */
struct failback *failback_new(struct sync *s);
void failback_free(struct failback **f);
/* In sync with the server in use: begins, or goes on, trying earlier ones. */
void failback_watch(struct failback *f);
/* The server that took over did not bring the sync about: longer pauses. */
void failback_failed(struct failback *f);
/* Goes on with a connection that is ready, to target number i, from the cookie of the replica. */
void sync_adopt(struct sync *s, struct ldapconn *c, size_t i);

/* check.c: whether the message belongs to a check; and the end of all of them with the connection.
 */
bool sync_check_message(struct sync *s, LDAPMessage *msg);
void sync_check_end_all(struct sync *s);

#endif

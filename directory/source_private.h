/*
 * Shared by the parts of a source: source.c (connection, phases, failover), source_ask.c (what the
 * server can do), source_write.c (entries into transactions), and one file for each method.
 */
#ifndef DIRIGO_DIRECTORY_SOURCE_PRIVATE_H
#define DIRIGO_DIRECTORY_SOURCE_PRIVATE_H

#include <sys/queue.h>

#include "directory/detect.h"
#include "directory/profile.h"
#include "directory/rootdse.h"
#include "directory/source.h"
#include "directory/uuidset.h"

enum source_phase {
    PHASE_WAITING,    /* no connection; a timer brings the next try */
    PHASE_CONNECTING, /* until the connection is ready */
    PHASE_ASKING,     /* the server tells what it can do */
    PHASE_REFRESH,    /* the server shows what differs */
    PHASE_SWEEP,      /* what it did not show is deleted, in slices */
    PHASE_PERSIST     /* in sync */
};

/* A way to learn of changes. A method keeps its own state in s->method_state. */
struct source_method {
    const char *name;
    /* The server is known: begins the refresh. A failure is told by source_fail. */
    void (*begin)(struct source *s);
    /* Every message that belongs neither to a probe nor to a check. */
    void (*message)(struct source *s, LDAPMessage *msg);
    /* The refresh is whole and in sync, whatever was swept is gone. NULL: nothing to do. */
    void (*current)(struct source *s);
    /*
     * The server did not show what is in s->doubtful: asks for it by its keys, adds to s->seen what
     * is there all the same, and calls source_confirmed. NULL: what was not shown is gone.
     */
    void (*confirm)(struct source *s);
    /* The connection is gone, or is about to be: frees the state. */
    void (*end)(struct source *s);
};
extern const struct source_method source_method_sync, source_method_poll, source_method_lookup;
/* Whether a cookie is one of ours (it begins so), which is no server's. */
#define SOURCE_COOKIE_OWN "dirigo-poll "
bool source_cookie_is_own(struct buf *cookie);

struct source {
    struct ldap_env *env;
    struct replica *replica;
    struct secrets_store *secrets;
    void (*changed)(bool in_sync, void *arg);
    void (*committed)(void *arg); /* NULL: nobody wants to know */
    void *arg;
    void (*touched)(const struct uuid *uuid, void *arg); /* or NULL */
    void *touched_arg;

    struct ldapconn *conn;
    enum source_phase phase;
    struct detect *detect;       /* of profiles, under way; or NULL */
    struct profile_table *table; /* that entries are read by; NULL before the first detection */
    struct rootdse dse;          /* of the server in use; zeros before PHASE_REFRESH */
    const struct source_method *method;
    void *method_state;
    bool referred;   /* a referral of the server in use was told of */
    bool no_sync;    /* the server in use lists the sync control, and does not have it for us */
    unsigned failed; /* in a row */
    unsigned newer;  /* servers in a row that were behind the replica */
    int ask_id, probe_id;
    bool asking_base;                 /* the root DSE is known, and search_base is asked for */
    int64_t probe_sent, connected_at; /* monotonic; probe_sent 0: none outstanding */
    struct failback *failback;
    bool returned;    /* to an earlier server, which has yet to bring the source in sync */
    bool was_in_sync; /* with the server in use, on this connection */
    LIST_HEAD(, source_check) checks;
    LIST_HEAD(, source_search) searches;
    int64_t forced_at;           /* monotonic: when a full refresh was last asked for; 0: never */
    TAILQ_HEAD(, query) queries; /* source_lookup.c */
    struct arrivals *arrivals;   /* or NULL */
    struct timer *retry, *housekeeping, *probe, *sweep;
    char *error;
    bool disk_failed; /* the error is ours, not the server's */
    bool same_target; /* the next try is for the same server, at once */

    /* One refresh. */
    struct uuid_set seen;
    struct buf cookie;    /* what has come of one: stored when the refresh is whole, and then with
                             each change */
    bool resumed;         /* the server knew where we were */
    bool sweep_needed;    /* the server shows what is there, not what is gone */
    unsigned sweep_kinds; /* not 0: entries of these kinds alone are swept, and none is fine, too */
    struct uuid sweep_at; /* the last entry that was looked at */
    struct buf doubtful;  /* struct uuid each: of this slice of a sweep, not shown */
    bool last_slice;
    bool lost; /* something was thrown away that does not come again */

    /* One turn of the loop. */
    bool open; /* a transaction */
    struct profile_entry entry;
    bool entry_open;
    struct entry_draft draft;
    struct buf values; /* authPassword of the entry at hand */
};

/* ---- source.c ---- */

/* Ends the connection and plans the next. */
void source_fail(struct source *s, const char *why);
/* Asks anew and for everything: the cookie is worth nothing. */
void source_start_afresh(struct source *s, const char *why);
/* The refresh is whole: sweeps, or goes over to persist. */
void source_refreshed(struct source *s);
/* What is in s->doubtful and still not in s->seen is gone. */
void source_confirmed(struct source *s);
/* Everything that the server has is here as of now. */
void source_still_current(struct source *s);
/* A connection that is ready goes on from here. */
void source_begin(struct source *s);

/* ---- source_ask.c ---- */

/* Asks the server what it can do, then begins with the method that fits. */
void source_ask(struct source *s);
/* A message in PHASE_ASKING. */
void source_ask_message(struct source *s, LDAPMessage *msg);
/* The code of a search's result message. */
int source_result_code(struct source *s, LDAPMessage *msg);

/* A control for the page after the one that page is the cookie of; NULL where there are no pages.
 * The caller frees it. */
LDAPControl *source_page_control(struct source *s, const struct buf *page);
/* The code of the result of a page, and the cookie for the next one; empty after the last. */
int source_take_page(struct source *s, LDAPMessage *msg, struct buf *page);

/* ---- source_write.c ---- */

/* Opens the transaction of this turn; 0 or -1 (the source has failed then). */
int source_tx_begin(struct source *s);
/* Commits what is open; 0 or -1 (failed). */
int source_tx_commit(struct source *s);
void source_tx_abort(struct source *s);
/* The replica or the secrets could not be read or written. */
void source_disk_failed(struct source *s);
/* An entry as the server sends it, under the key that it has; one that means nothing to mail is
 * deleted. 0 or -1 (failed). */
int source_put_entry(struct source *s, LDAPMessage *msg, const struct uuid *uuid);
/*
 * The same bit by bit, where the values of one entry come in several messages: begin, values, put;
 * or drop. One entry at a time, and none between begin and put by other means.
 */
void source_entry_begin(struct source *s, const struct uuid *uuid, const char *dn);
void source_entry_values(struct source *s, const struct berval *name, BerVarray values);
int source_entry_put(struct source *s);
void source_entry_drop(struct source *s);
/* What to ask the server for: attributes (ended by NULL), and a filter (RFC 4515). */
const char *const *source_attributes(const struct source *s);
void source_filter(const struct source *s, struct buf *out);
/* The attributes, copied into names, for who wants to add up to eight; their number. */
#define SOURCE_ATTRIBUTES_MAX 512
size_t source_attribute_list(const struct source *s, const char *names[SOURCE_ATTRIBUTES_MAX]);
/* Whether an entry means anything to mail; it is not put. */
bool source_entry_matters(struct source *s, LDAPMessage *msg, const struct uuid *uuid);
int source_delete(struct source *s, const struct uuid *uuid);
/* The same for an entry that the server tells is gone: what stands below it went unseen. */
int source_delete_gone(struct source *s, const struct uuid *uuid);
/* Tells who listens that the server says something of the entry. */
void source_touch(struct source *s, const struct uuid *uuid);

/*
 * failback.c: while a later server of the list is in use, the earlier ones are tried from time to
 * time; the first that serves search_base takes over by source_adopt.
 */
struct failback *failback_new(struct source *s);
void failback_free(struct failback **f);
/* In sync with the server in use: begins, or goes on, trying earlier ones. */
void failback_watch(struct failback *f);
/* The server that took over did not bring the source in sync: longer pauses. */
void failback_failed(struct failback *f);
/* Goes on with a connection that is ready, to target number i, from the cookie of the replica. */
void source_adopt(struct source *s, struct ldapconn *c, size_t i);

/* arrival.c: a container is new here, which may have brought others along; a message; the end. */
void source_arrived(struct source *s, const struct uuid *uuid);
bool source_arrival_message(struct source *s, LDAPMessage *msg);
void source_arrivals_end(struct source *s);

/* check.c: whether the message belongs to a check; and the end of all of them with the connection.
 */
bool source_check_message(struct source *s, LDAPMessage *msg);
void source_check_end_all(struct source *s);
/* search.c: the same. */
bool source_search_message(struct source *s, LDAPMessage *msg);
void source_search_end_all(struct source *s);

#endif

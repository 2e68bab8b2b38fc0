/* Shared by source_poll.c (what is asked when) and poll_entry.c (what the answers mean). */
#ifndef DIRIGO_DIRECTORY_POLL_PRIVATE_H
#define DIRIGO_DIRECTORY_POLL_PRIVATE_H

#include "directory/pollclock.h"
#include "directory/source_private.h"
#include "directory/stampmap.h"

/* What is being asked. One question at a time. */
enum poll_step {
    STEP_IDLE,       /* a timer brings the next round */
    STEP_INVOCATION, /* Active Directory: which server this is */
    STEP_MARK,       /* Active Directory: how far it is */
    STEP_ENTRIES,    /* what changed, or everything */
    STEP_TOMBSTONES, /* Active Directory: what was deleted */
    STEP_KEYS,       /* the keys of everything there is */
    STEP_FETCH,      /* entries of which only the keys told */
    STEP_RANGES      /* the rest of values that come in pieces */
};

struct poll {
    enum entry_key key;
    bool active_directory, by_usn;
    enum poll_step step;
    bool everything; /* the round reads all entries */
    bool confirms;   /* what the server did not show is being asked for by its keys */
    bool tombstones; /* they can be read */
    int msgid;
    int64_t heard_at, round_began; /* monotonic */
    int64_t reconcile_at;          /* monotonic: when the next one is due */
    struct timer *next, *watchdog;

    struct uuid invocation; /* of the server in use */
    uint64_t usn, usn_now;  /* what is known, and how far the server is */
    struct poll_clock clock;
    struct stamp_map stamps;
    size_t seen; /* entries of this round that were new */

    struct buf page;   /* the server's cookie between two pages */
    struct buf fetch;  /* struct uuid each */
    struct buf ranged; /* struct uuid, DN, NUL: entries with values in pieces */
    struct buf names; /* attributes and their next piece, each with its NUL, of the entry at hand */
    enum poll_step back; /* where STEP_RANGES came from */
};

static inline struct poll *poll_of(struct source *s)
{
    return s->method_state;
}

/* An entry that a question brought; the source may have failed afterwards. */
void poll_take_entry(struct source *s, LDAPMessage *msg);
/* The attribute that tells when an entry was changed. */
const char *poll_stamp_attribute(const struct poll *p);
/* And when it was made: some servers stamp only what is changed after that. */
const char *poll_created_attribute(const struct poll *p);

#endif

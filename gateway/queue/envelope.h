/*
 * A message's envelope as dirigo-queue keeps it: in memory, in the journal and in the spool, there
 * as the same text.
 *
 *     dirigo-envelope 2       the version; 1, which knew less, is read, too
 *     id 0mg3k2...            sixteen of [0-9a-z]
 *     arrived 1732480000      wall seconds, part of mailbox file names
 *     ...
 *     hold word%20word        lines such as this one only where there is something to say
 *     rcpt remote pending 0 00000000-... user@example.org - - - -
 *     dsn 2 rfc822;user...    of the recipient above: NOTIFY and ORCPT, the same
 *     end 1                   the number of recipients: a cut file is seen
 *
 * A value is one word: bytes that are not printable ASCII, and % and <, are %XX; "-" is NULL and
 * "<>" is empty.
 */
#ifndef DIRIGO_QUEUE_ENVELOPE_H
#define DIRIGO_QUEUE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/uuid.h"
#include "gateway/queue/client.h"

/* A report (RFC 3464) is owed in each state but PENDING and WARNED. */
enum envelope_state {
    ENVELOPE_PENDING,
    ENVELOPE_BOUNCED,   /* given up */
    ENVELOPE_DELIVERED, /* in the mailbox, and the sender wants to know */
    ENVELOPE_RELAYED,   /* taken by a host that makes no such reports */
    ENVELOPE_EXPANDED,  /* several others stand in its place */
    ENVELOPE_DELAYED,   /* pending for so long that the sender is told */
    ENVELOPE_WARNED     /* pending, and the sender was told */
};

struct envelope_rcpt {
    enum queue_rcpt_kind kind;
    enum envelope_state state;
    uint64_t number; /* its place in the first envelope, part of its mailbox file's name */
    struct uuid owner;
    char *address;
    char *original; /* or NULL */
    char *host;     /* or NULL */
    char *remote;   /* the host that answered the last try, or NULL */
    char *status;   /* what it said, or NULL before the first */
    uint64_t notify;
    char *orcpt;                   /* or NULL */
    bool busy;                     /* being worked on just now; not kept */
    bool done;                     /* delivered, to be removed; not kept */
    enum envelope_state reporting; /* what the report under way says of it; not kept */
};

/* Strings are allocated, one by one; envelope_free frees them. */
struct envelope {
    char *id;
    uint64_t arrived;
    uint64_t next;  /* wall seconds of the next try */
    uint64_t tries; /* so far */
    char *bounce;   /* the id that the bounce under way is committed with, or NULL */
    char *sender;   /* "" for <> */
    char *client;
    char *login; /* or NULL */
    uint64_t size;
    uint64_t trace; /* bytes of Return-Path at the start that a relay leaves out */
    uint64_t body_8bit;
    char *hold;        /* why it is held: nothing is tried until it is released; or NULL */
    uint64_t released; /* wall seconds, or 0: maximal_queue_lifetime counts from here then */
    struct queue_options options; /* its string is allocated as well */
    struct envelope_rcpt *rcpts;  /* those not done with */
    size_t rcpt_count;
};

struct envelope *envelope_new(void);
void envelope_free(struct envelope **e);
/* Appends a zeroed recipient; the pointer is valid until the next call. */
struct envelope_rcpt *envelope_add(struct envelope *e);
/* Removes the i-th one, freeing it; the order of the others stays. */
void envelope_remove(struct envelope *e, size_t i);
/* Whether a recipient of this kind is left. */
bool envelope_has(const struct envelope *e, enum queue_rcpt_kind kind);
/* Sixteen of [0-9a-z]: nothing else becomes part of a path. */
bool envelope_id_valid(const char *id);
/* Whether it still has to be delivered. */
bool envelope_rcpt_pending(const struct envelope_rcpt *r);
/* Whether a report is owed for it. */
bool envelope_rcpt_owed(const struct envelope_rcpt *r);
/* Whether the sender wants to hear of this (one of QUEUE_NOTIFY_*): failures, where he said
 * nothing; never, where he is <>. */
bool envelope_rcpt_wants(const struct envelope *e, const struct envelope_rcpt *r, unsigned what);
/* It has come to this end (BOUNCED, DELIVERED or RELAYED): a report is owed, or it is done with. */
void envelope_rcpt_end(const struct envelope *e, struct envelope_rcpt *r, enum envelope_state end);
/* Whether a report is owed for any. */
bool envelope_owed(const struct envelope *e);
/* Takes copies of what came with a commit. */
void envelope_set_options(struct envelope *e, const struct queue_options *o);
/* Replaces an allocated string by a copy of value (NULL: none). */
void envelope_set(char **field, const char *value);

/* Appends the text; 0, or -1 past the buffer's bound. */
int envelope_write(const struct envelope *e, struct buf *out);
/* The envelope in a text; NULL where it is not one, or cut, or of another version. */
struct envelope *envelope_read(const void *text, size_t len);

#endif

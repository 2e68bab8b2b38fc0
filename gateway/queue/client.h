/*
 * Handing a message to dirigo-queue: a descriptor to write it to, then one commit.
 *
 * A message's file begins with the trace headers that the front end writes (Return-Path first, then
 * Received), then the message with CRLF line ends, unstuffed. Its content crosses no socket.
 *
 * A commit is idempotent by message id: where the channel breaks before the answer, the client
 * commits again to the restarted queue, which knows the ids it has made durable. So the front end
 * hears ACCEPTED exactly for what will be delivered, once.
 */
#ifndef DIRIGO_QUEUE_CLIENT_H
#define DIRIGO_QUEUE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/uuid.h"
#include "gateway/event/loop.h"
#include "gateway/queue/options.h"

struct queue_client;
struct queue_client *queue_client_new(struct loop *loop, const char *socket_path);
void queue_client_free(struct queue_client **c);

/*
 * An unnamed file on the mailboxes' file system, open for writing and reading: from a small stock
 * that is refilled in the background, or asked for now. fn gets the descriptor (owned by the
 * caller) or -1: the queue is away or its disk is too full (*full), a temporary failure (452 or
 * 451). May call fn at once. Returns an id for queue_cancel, or 0 where fn has been called already.
 */
uint32_t queue_open_file(struct queue_client *c, void (*fn)(int fd, bool full, void *arg),
                         void *arg);
void queue_cancel(struct queue_client *c, uint32_t id);

#define QUEUE_HOST_SMTP "smtp:"

enum queue_rcpt_kind {
    QUEUE_RCPT_MAILBOX, /* link into the mailbox of owner */
    QUEUE_RCPT_REMOTE,  /* relay to address; host, if not NULL, is the next hop: a host
                           (mailHost), or "smtp:HOP" (FILTER) */
    QUEUE_RCPT_EXPANDED /* nothing but the report that address stands for several others */
};

struct queue_rcpt {
    enum queue_rcpt_kind kind;
    struct uuid owner;
    const char *address;  /* where it goes */
    const char *original; /* the address given in RCPT TO, for DSNs and the log */
    const char *host;
    unsigned notify;   /* QUEUE_NOTIFY_*; 0: not given */
    const char *orcpt; /* ORCPT, "type;xtext"; NULL: not given */
};

struct queue_envelope {
    const char *id;        /* the message's id (id_new) */
    const char *sender;    /* reverse path, "" for <> */
    const char *client;    /* "name [address]", for the log and `dirigo queue` */
    const char *login;     /* who submitted it, or NULL */
    const char *hold;      /* not NULL: it waits until it is released, and this is why */
    uint64_t size;         /* of the whole file */
    uint32_t trace_offset; /* bytes of Return-Path that a relay leaves out */
    bool body_8bit;        /* BODY=8BITMIME, or 8-bit bytes seen */
    struct queue_options options;
    const struct queue_rcpt *rcpts;
    size_t rcpt_count;
};

enum queue_result {
    QUEUE_ACCEPTED,   /* durable */
    QUEUE_FULL,       /* no space: 452 */
    QUEUE_UNAVAILABLE /* not durable, or not known to be: 451 */
};

/* Commits the file written to fd (taken over) with its envelope (copied). fn is called once, from
 * the loop. There is no cancel: a front end that lost its client lets the commit end and drops the
 * answer. */
void queue_commit(struct queue_client *c, int fd, const struct queue_envelope *envelope,
                  void (*fn)(enum queue_result result, void *arg), void *arg);

/* What waits for addresses in domain is tried now (ETRN). False: the queue is away. */
bool queue_flush_domain(struct queue_client *c, const char *domain);

/*
 * For dirigo-mailbox: the message with this file base name in owner's mailbox is about to be
 * removed. fn(true) once a replay of the journal will not bring it back; then the file may go.
 * Names that the journal does not cover any more are answered at once.
 */
void queue_forget(struct queue_client *c, const struct uuid *owner, const char *const *names,
                  size_t count, void (*fn)(bool ok, void *arg), void *arg);

#endif

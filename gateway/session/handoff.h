/*
 * From the login front ends to dirigo-mailbox: a connection after login changes process.
 *
 * Without TLS the client's own socket travels; with TLS the front end keeps the TLS side, travels
 * one end of a socketpair and splices. Mailboxes of one owner are always served by the same process
 * of the kind (handoff_index), on the socket mailbox-N.sock.
 */
#ifndef DIRIGO_SESSION_HANDOFF_H
#define DIRIGO_SESSION_HANDOFF_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/netaddr.h"
#include "gateway/base/uuid.h"
#include "gateway/event/loop.h"
#include "gateway/event/stream.h"

#define MAILBOX_SERVICE "mailbox"
#define MAILBOX_VERSION 3

/* Bytes of a notice: it fits into one line of any protocol (POP3's has 512, RFC 2449 section 4). */
#define HANDOFF_NOTICE_MAX 200

enum {
    MAILBOX_MSG_SESSION = 1,    /* str protocol, str session id, str tag, uuid owner, str login, str
                                   address, addr peer, bytes ticket, str notice or NULL, bool tls,
                                   bytes unread input, str capabilities the client has enabled;
                                   fd */
    MAILBOX_MSG_SESSION_RESULT, /* bool taken */
    MAILBOX_MSG_STATUS,         /* - */
    MAILBOX_MSG_STATUS_RESULT   /* str key=value text */
};

struct handoff_session {
    const char *protocol; /* "imap" or "pop3" */
    const char *id;
    const char *tag; /* IMAP: of the command that logged in, for the tagged OK that dirigo-mailbox
                        sends; "" */
    struct uuid owner;
    const char *login;
    const char *address;
    struct netaddr peer;
    const void *ticket; /* of auth_identity */
    size_t ticket_len;
    const char *notice; /* a sentence for the user beside the login's answer; NULL: none */
};

struct handoff;
/* run_path: the run directory as this process sees it; count: how many dirigo-mailbox processes
 * there are. */
struct handoff *handoff_new(struct loop *loop, const char *run_path, unsigned count);
/* Sessions behind TLS end now: ended() is called for each. */
void handoff_free(struct handoff **h);
/* Whether a notice can be said as it is: at most HANDOFF_NOTICE_MAX bytes of printable ASCII. */
bool handoff_notice_valid(const char *notice);
unsigned handoff_index(const struct uuid *owner, unsigned count);
/*
 * Gives the stream (with its unread input) away; *s is NULL then. fn is called once, from the loop:
 * true where dirigo-mailbox has it (with TLS, ended(arg) follows when the session ends); false
 * where it could not: then back is the stream again, for which the caller sets its callbacks at
 * once and tells the client that it is temporary, or NULL where the client is gone.
 */
void handoff_give(struct handoff *h, struct stream **s, const struct handoff_session *session,
                  void (*fn)(bool taken, struct stream *back, void *arg), void (*ended)(void *arg),
                  void *arg);

#endif

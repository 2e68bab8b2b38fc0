/* The service of dirigo-queue on queue.sock; field order as listed. */
#ifndef DIRIGO_QUEUE_PROTOCOL_H
#define DIRIGO_QUEUE_PROTOCOL_H

#define QUEUE_SERVICE    "queue"
#define QUEUE_VERSION    5
#define QUEUE_ROLE_RELAY "relay" /* gateway/base/role.h */

enum {
    QUEUE_MSG_OPEN = 1,    /* u32 how many files (1 to MSG_FDS_MAX) */
    QUEUE_MSG_OPEN_RESULT, /* u8 enum queue_result, u32 n, n fds */
    QUEUE_MSG_RCPTS,       /* event before COMMIT, for long lists: str id, u32 n, n x rcpt */
    QUEUE_MSG_COMMIT, /* str id, str sender, str client, str login, str hold, u64 size, u32 trace
                         offset, bool 8bit, options, u32 rcpts in all, u32 n here, n x rcpt, fd.
                         rcpt: u8 kind, uuid owner, str address, str original, str host, u8 notify,
                         str orcpt.  options: u8 flags, u8 ret, u8 priority, u64 hold until, u64
                         deliver by, u64 decide by, str envid */
    QUEUE_MSG_COMMIT_RESULT, /* u8 enum queue_result */
    QUEUE_MSG_FORGET,        /* uuid owner, u32 n, n x str base name */
    QUEUE_MSG_FORGET_RESULT, /* bool ok */
    /*
     * dirigo-relay: offers to work, gets jobs as events, reports on them. READY says how many jobs
     * it takes at one time; a later one replaces the number. All addresses of a job have one next
     * hop:
     * "[host]" where the directory names the host (no MX lookup), else the domain of the addresses
     * (relayhost, or its MX). DONE names the outcomes in the order of the job's addresses: remote
     * host "name[address]:port", or "" where the relay decided by itself; text "[NNN ]X.Y.Z words"
     * (NNN where the remote host said it; the class of X.Y.Z is that of the status), one bounded
     * line of printable ASCII. The jobs
     * of a relay that goes away are tried again.
     */
    QUEUE_MSG_RELAY_READY, /* event: u32 slots, bytes proof of QUEUE_ROLE_RELAY */
    QUEUE_MSG_RELAY_JOB,   /* event to relay: str job, str message id, str sender, u64 size, u32
                              offset, bool 8bit, options, str next hop, u32 n, n x (str address,
                              u8 notify, str orcpt); fd */
    QUEUE_MSG_RELAY_DONE,  /* event: str job, u32 n, n x (u8 enum relay_status, str remote host, str
                              reply text, bool the host was told of NOTIFY) */
    /* dirigo tool */
    QUEUE_MSG_LIST,        /* str after this id ("": from the start) */
    QUEUE_MSG_LIST_RESULT, /* u32 n, n x (str id, str sender, u64 size, u64 arrived, u64 next try,
                              str hold, u32 r, r x (str   address, str last status)), bool more */
    QUEUE_MSG_ACTION,      /* str id or "" for all, u8 enum queue_action, str why (HOLD, REJECT) */
    QUEUE_MSG_ACTION_RESULT, /* u32 messages it touched */
    QUEUE_MSG_STATUS,        /* - */
    QUEUE_MSG_STATUS_RESULT, /* str key=value text */
    /* dirigo-smtpd: ETRN */
    QUEUE_MSG_FLUSH_DOMAIN /* event: str domain, whose waiting mail is tried now */
};

enum relay_status {
    RELAY_SENT,
    RELAY_DEFERRED,
    RELAY_BOUNCED
};

enum queue_action {
    QUEUE_ACTION_FLUSH, /* try now */
    QUEUE_ACTION_DELETE,
    QUEUE_ACTION_HOLD,    /* nothing is tried until it is released */
    QUEUE_ACTION_RELEASE, /* and tried now; its life in the queue begins anew */
    QUEUE_ACTION_REJECT   /* a held message is returned to its sender */
};

#endif

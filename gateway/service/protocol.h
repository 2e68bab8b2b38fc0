/* The control channel between dirigod and a process; field order as listed. No hello: the end is
 * inherited. */
#ifndef DIRIGO_SERVICE_PROTOCOL_H
#define DIRIGO_SERVICE_PROTOCOL_H

#define SERVICE_CONTROL_FD 3

enum {
    /* dirigod to process */
    SERVICE_MSG_CONFIG =
        1, /* u32 index, u32 count, bool root, str log target, bytes conf_encode, bytes role
            key (dirigo-auth and dirigo-mailbox: of tickets; dirigo-queue and dirigo-relay: of
            relays; else empty); then listeners */
    SERVICE_MSG_LISTENER, /* str protocol, or "ipc"; fd */
    SERVICE_MSG_BEGIN,    /* all listeners sent: open, drop, start */
    SERVICE_MSG_DRAIN, /* bool stopping: take no new work, end with the last session. Sent a second
                          time where a drain for a reload becomes one for a stop */
    SERVICE_MSG_STOP,  /* end now, cleanly */
    SERVICE_MSG_TLS_KEYS, /* bytes keys of TLS session tickets (gateway/event/tls.h); before BEGIN,
                             and whenever they are replaced */
    /* process to dirigod */
    SERVICE_MSG_READY,    /* - */
    SERVICE_MSG_REPORT,   /* u32 open sessions, str counters */
    SERVICE_MSG_RENEWED,  /* str what: a file that other processes hold open was made anew */
    SERVICE_MSG_SETTINGS, /* bytes, as conf_load_with takes them: what the directory sets now
 (dirigo-directory) */
    SERVICE_MSG_FAILED, /* str parameter at fault or null, str why with the remedy: it cannot start
                           and a restart will not help */
    /* dirigod to process again */
    SERVICE_MSG_SHARED /* fd: what the processes of a kind count together (base/shtable.h); before
                          BEGIN, and not where dirigod could not make it */
};

#endif

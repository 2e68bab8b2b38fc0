/*
 * What every process of Dirigo has in common: the control channel to dirigod, configuration, log,
 * privileges, sandbox, listeners, draining, exit.
 *
 * The story of a process: dirigod forks and executes it with the control channel as descriptor 3.
 * It reads the configuration and its listening sockets from there (protocol.h), calls open() while
 * it still has the privileges it was started with, drops to its user, confines itself, calls
 * start(), tells dirigod that it is ready, and runs the loop. When dirigod says drain (reload,
 * shutdown) it stops accepting and ends when its last session has, or when told to stop; only for a
 * shutdown does it end idle sessions by itself. When the
 * control channel closes, dirigod is gone and the process ends as if told to stop.
 */
#ifndef DIRIGO_SERVICE_SERVICE_H
#define DIRIGO_SERVICE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "gateway/base/netaddr.h"
#include "gateway/event/loop.h"

struct service;

enum service_user {
    SERVICE_USER_DIRIGO,    /* conf: dirigo_user */
    SERVICE_USER_DIRECTORY, /* conf: directory_user */
    SERVICE_USER_MAIL       /* conf: mail_user */
};

enum {
    SERVICE_CONFINED =
        1, /* chroot to the run directory (root) or Landlock to it; no files, no exec */
    SERVICE_NO_EXEC = 2 /* keeps its files, but may start no program (seccomp) */
};

struct service_def {
    const char *name; /* "dirigo-smtpd": for logs and ps */
    enum service_user user;
    unsigned flags;
    /* The folder under state_directory that is the process' own: the working folder from open() on,
     * and when confined all that it sees of the file system, to read and to write. It reaches no
     * socket of the others then. NULL: none. */
    const char *folder;
    /* Before privileges are dropped: certificates, the replica. 0, or -1 after logging why. May be
     * NULL. */
    int (*open)(struct service *s);
    /* After it: clients, timers, IPC server. 0, or -1 after logging why. */
    int (*start)(struct service *s);
    /* A connection on the listener of this protocol ("smtp", "imaps" …). NULL where there are none.
     */
    void (*accept)(struct service *s, const char *protocol, int fd, const struct netaddr *peer);
    /* The keys of TLS session tickets, after start and whenever dirigod has replaced them. NULL
     * where there is no TLS. */
    void (*tls_keys)(struct service *s, const void *keys, size_t len);
    /* Stop taking work (the listeners are closed already). After a reload sessions go on to their
     * own end; where service_stopping() says so, idle ones end now, and this may be called for the
     * second time. May be NULL. */
    void (*drain)(struct service *s);
    /* The loop has ended: free everything, so that leak checkers see what was forgotten. May be
     * NULL. */
    void (*stop)(struct service *s);
};

/* The whole main() of a process. */
int service_main(const struct service_def *def, int argc, char **argv);

struct loop *service_loop(struct service *s);
const struct conf *service_conf(const struct service *s);
/* Which of the processes of its kind this is, from 0, and how many there are. */
unsigned service_index(const struct service *s);
unsigned service_count(const struct service *s);
/* The key that the process shares with those of one other kind, ROLE_KEY_LEN bytes: of tickets
 * (base/ticket.h) or of relays (base/role.h). NULL in processes that have none. */
const uint8_t *service_role_key(const struct service *s);
/* The process' own state. */
void service_set_data(struct service *s, void *data);
void *service_data(const struct service *s);
/* The path of a file in the run directory as this process sees it (a chroot shortens it), e.g.
 * "queue.sock". Valid as long as the service. */
const char *service_run_path(struct service *s, const char *name);
/* The listening socket of the process' own IPC service, bound by dirigod (-1: none); the caller
 * owns it then. */
int service_take_ipc_listener(struct service *s);
/* The file that the processes of this kind share (base/shtable.h), -1: none; the caller owns it
 * then. */
int service_take_shared(struct service *s);
/*
 * Counts what draining waits for: a session (or a job that must end). service_session_begin returns
 * false when default_process_limit sessions are open: the caller says so to its client and closes.
 */
bool service_session_begin(struct service *s);
void service_session_end(struct service *s);
/* Draining: no new work is taken. Stopping: dirigod stops too, so that idle sessions should end. */
/*
 * From open: the value of a parameter is what stops the start. text says what is wrong and what
 * would be right; dirigod adds the file and the line. The first fault is the one that is told.
 */
void service_fault(struct service *s, const char *parameter, const char *text);
/* The same for a certificate that cannot be used with its key; error is the TLS library's. */
void service_fault_pair(struct service *s, const char *parameter, const char *error);
bool service_draining(const struct service *s);
bool service_stopping(const struct service *s);
/* A file that other processes hold open was made anew (what: in words, for the log): dirigod starts
 * all that read files anew, as for a reload, and no session is dropped. */
void service_renewed(struct service *s, const char *what);
/* What the directory sets, as conf_load_with takes it: dirigod puts it in force where it is another
 * than before. */
void service_settings(struct service *s, const void *settings, size_t len);
/* A line for `dirigo status`, sent to dirigod: counters as key=value text. */
void service_report(struct service *s, const char *text);

#endif

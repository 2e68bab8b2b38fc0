/*
 * dirigod: what its parts share.
 *
 * The story: main.c reads the configuration, makes folders and sockets (folders.c, sockets.c) and
 * the embedded directory where there is one (embedded.c). supervise.c then starts the processes of
 * kinds.c stage by stage; process.c forks each one and talks to it over its control channel. What
 * dies comes back after a pause that grows. A reload makes a new generation: sockets stay, session
 * processes of the new generation start beside the old ones, which drain; services are replaced
 * one after the other while their clients wait in the backlog of a socket that dirigod holds.
 */
#ifndef DIRIGO_MASTER_MASTER_H
#define DIRIGO_MASTER_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "gateway/base/buf.h"
#include "gateway/base/log.h"
#include "gateway/base/netaddr.h"
#include "gateway/base/ticket.h"
#include "gateway/event/loop.h"
#include "gateway/ipc/channel.h"

struct master;
struct process;

/* ---- kinds of process (kinds.c) ---- */

/* A stage starts when everything in the one before is ready, and stops after the ones behind it. */
enum stage {
    STAGE_EMBEDDED,  /* the private slapd */
    STAGE_DIRECTORY, /* makes the replica that others open */
    STAGE_SERVICES,  /* one of each, replaced in place by a reload */
    STAGE_SESSIONS,  /* have sessions: a reload starts new ones beside the old */
    STAGE_END
};

enum {
    KIND_MANY = 1,    /* service_processes of them; else one */
    KIND_SECRETS = 2, /* gets the values that are for dirigo-directory alone */
    KIND_TICKETS = 8, /* makes or checks the proof that a login succeeded, and gets the key */
    KIND_TLS = 16,    /* serves TLS: gets keys of session tickets, is renewed with certificates */
    KIND_RELAYS = 32, /* is a relay or gives mail to them, and gets the key that proves it */
    KIND_SHARED = 64, /* its processes count together in a file (base/shtable.h) */
    KIND_KEEP = 4     /* reads no files: a reload that changes no parameter leaves it running */
};

struct kind {
    const char *name; /* as `dirigo status` prints it, and of the binary where that is NULL */
    enum stage stage;
    unsigned flags;
    const char *socket; /* in run_directory: NAME.sock, of many NAME-INDEX.sock; NULL: none */
    bool (*wanted)(const struct conf *conf); /* NULL: always */
    const char *const *protocols; /* services with TCP ports, ended by NULL; NULL: none */
    /* Not ours: executes the program in the child, and returns where it cannot. NULL: the binary in
     * daemon_directory, with a control channel. */
    void (*exec)(const struct master *m);
    /* With exec: whether the program answers now. */
    bool (*ready)(const struct master *m);
};

extern const struct kind kinds[];
extern const size_t kinds_count;
/* How many processes of the kind this configuration asks for. */
unsigned kind_count(const struct kind *kind, const struct conf *conf);
bool kind_serves(const struct kind *kind, const char *protocol);
/* Appends a fault for each program that is needed and not there; 0 or -1. */
int kinds_check(const struct conf *conf, struct buf *errors);
/* The port parameter of a service, with its number. */
int64_t protocol_port(const struct conf *conf, const char *protocol);

/* ---- users and folders (folders.c) ---- */

struct owner {
    uid_t uid;
    gid_t gid;
};

struct owners {
    struct owner dirigo, directory, mail; /* all the starting user's where that is not root */
    bool root;
};

/* Each appends faults to errors; 0 or -1. */
int owners_lookup(struct owners *out, const struct conf *conf, struct buf *errors);
int folders_make(const struct conf *conf, const struct owners *owners, struct buf *errors);
/* Makes the folder and its parents (0755); mode and owner are set on the folder itself. */
int folder_make(const char *path, mode_t mode, const struct owners *owners,
                const struct owner *owner, struct buf *errors);
/* Locks run_directory/dirigod.pid; *fd is kept open for as long as dirigod lives. */
int pid_lock(const struct conf *conf, int *fd, struct buf *errors);
void pid_write(int fd);

/* ---- listening sockets (sockets.c) ---- */

struct socket {
    TAILQ_ENTRY(socket) link;
    const struct kind *kind; /* NULL: control.sock, dirigod's own */
    char *protocol;          /* "smtp" …, "ipc" */
    unsigned index;          /* "ipc": of the process it is for */
    bool shared;             /* Unix: for all processes of its kind, as TCP is */
    struct netaddr addr;     /* TCP */
    char *path;              /* Unix */
    int fd;
    bool wanted, fresh;
};
TAILQ_HEAD(sockets, socket);

/*
 * Binds what conf wants and is not bound yet. On a fault what was bound by this call is closed
 * again, -1. What is bound and not wanted any more stays until sockets_sweep.
 */
int sockets_bind(struct sockets *sockets, const struct conf *conf, const struct owners *owners,
                 struct buf *errors);
void sockets_sweep(struct sockets *sockets);
void sockets_close(struct sockets *sockets);

/* ---- the embedded directory (embedded.c) ---- */

/* Builds state_directory/slapd at the first start; -1 with faults in errors. Blocks. */
int embedded_prepare(const struct conf *conf, const struct owners *owners, struct buf *errors);
void embedded_exec(const struct master *m);
bool embedded_ready(const struct master *m);

/* ---- one process (process.c) ---- */

/* A configuration and the processes that run with it. */
struct generation {
    unsigned number;
    unsigned refs;
    struct conf *conf;
};

enum process_state {
    PROCESS_WAITING,  /* died; starts again when its pause is over */
    PROCESS_STARTING, /* executed, not ready yet */
    PROCESS_READY,
    PROCESS_DRAINING, /* takes no new work, ends by itself */
    PROCESS_STOPPING  /* told to end; killed when it takes too long */
};

struct process {
    TAILQ_ENTRY(process) link;
    struct master *master;
    const struct kind *kind;
    unsigned index, count;
    struct generation *generation;
    enum process_state state;
    int64_t since; /* clock_now_ms of the last change of state */
    pid_t pid;     /* 0: none */
    struct ipc_pair *control;
    struct timer *timer;
    int64_t pause; /* before the next start */
    unsigned restarts;
    unsigned early_deaths; /* since it was last ready */
    int64_t ready_at;      /* when it was last ready; 0: not since it started */
    bool retiring;         /* not started again */
    bool replacing;        /* started again at once when it has ended */
    bool lost;             /* its control channel is closed */
    bool failed;           /* said itself that it cannot start */
    char *why;             /* what it said */
    uint32_t sessions;
    char *report;
};

struct process *process_new(struct master *m, const struct kind *kind, unsigned index,
                            unsigned count, struct generation *generation);
/* Not for a process that runs. */
void process_free(struct process *p);
void process_set_generation(struct process *p, struct generation *generation);
void process_start(struct process *p);
/* Takes no new work and ends with its last session; stopping: idle sessions end too. */
void process_drain(struct process *p, bool stopping);
/* Drained, and started again with what its generation is now. */
void process_replace(struct process *p);
/* Sends it the keys of session tickets, where it is of a kind that uses them. */
void process_send_tls_keys(struct process *p);
/* Told to end now; killed after ms. */
void process_stop(struct process *p, int64_t ms);
/* The child has ended. process.c schedules a restart unless it retires. */
void process_ended(struct process *p, int status);
const char *process_state_name(enum process_state state);

struct generation *generation_new(unsigned number, struct conf *conf);
void generation_drop(struct generation **g);

/* ---- all processes (supervise.c) ---- */

enum master_phase {
    MASTER_STARTING, /* stage after stage */
    MASTER_RUNNING,
    MASTER_RELOAD_SESSIONS, /* new session processes start beside the old */
    MASTER_RELOAD_SERVICES, /* services are replaced one stage after the other */
    MASTER_STOPPING
};

struct master {
    const char *conf_path;
    const char *const *overrides;
    struct loop *loop;
    struct owners owners;
    enum log_target log_target;
    const char *log_target_name;
    struct sockets sockets;
    TAILQ_HEAD(, process) processes;
    struct generation *generation; /* in force */
    struct generation *next;       /* being brought up by a reload */
    enum master_phase phase;
    enum stage stage;       /* that is starting, being replaced, or stopping */
    int64_t started;        /* clock_now_ms */
    struct timer *timer;    /* bound of a drain */
    struct timer *progress; /* runs master_progress soon */
    bool reload_wanted;
    bool keep;                          /* the reload changes no parameter: KIND_KEEP goes on */
    uint8_t ticket_key[TICKET_KEY_LEN]; /* as long as dirigod runs: old processes go on with it */
    uint8_t relay_key[ROLE_KEY_LEN];    /* as long */
    bool renew; /* the reload is for certificates alone: only KIND_TLS does not go on */
    struct tls_keys *tls_keys;
    struct files *files;
    struct settings *settings;
    int exit_code;
    int ready_fd; /* tells the parent of a daemon how the start went; -1: nobody waits */
    struct control *control;
};

/* Starts everything; the loop does the rest. */
void master_start(struct master *m);
/* Asked for by signal or control.sock. */
void master_reload(struct master *m);
/* Puts settings of the directory in force. False where they are faulty, with text in errors, or
 * change nothing (errors is empty then). */
bool master_reload_with(struct master *m, const void *settings, size_t len, struct buf *errors);
/* Files of TLS have changed: front ends with the new ones take over, with the configuration in
 * force. False where it has to wait. */
bool master_renew(struct master *m);
void master_stop(struct master *m, int exit_code);
/* A process changed its state: what comes next follows from the loop. */
void master_changed(struct master *m);
/* A child ended (SIGCHLD). */
void master_reap(struct master *m);
const char *master_phase_name(enum master_phase phase);

/* ---- what TLS needs (tls_keys.c, files.c) ---- */

/* Keys of TLS session tickets: made here, the same for all front ends, replaced every
 * tls_ticket_lifetime. They are never written to a file. */
struct tls_keys *tls_keys_new(struct master *m);
void tls_keys_free(struct tls_keys **t);
const void *tls_keys_get(const struct tls_keys *t, size_t *len);

/* Watches the files that front ends read before they are confined. */
struct files *files_new(struct master *m);
void files_free(struct files **f);
/* Front ends are about to read them: what they are now is what is in force. */
void files_used(struct files *f, const struct conf *conf);

/* ---- what the directory sets (settings.c) ---- */

/*
 * The settings that dirigo-directory found, those in force, and those that were refused. What is in
 * force is kept in state_directory, so that the next start has it without a directory.
 */
struct settings *settings_new(struct master *m);
void settings_free(struct settings **s);
void settings_arrived(struct settings *s, const void *data, size_t len);
/* dirigod runs, and no reload is under way: puts in force what has arrived. */
void settings_apply(struct settings *s);
/* A reload by them has ended; text has its faults. Also called for other reloads. */
void settings_reloaded(struct settings *s, bool ok, const char *text);
/* dirigo.conf is read again: what did not fit it before may fit now. */
void settings_try_again(struct settings *s);

/* ---- the outside (control.c, notify.c) ---- */

/* Serves control.sock, whose descriptor is taken over. */
struct control *control_new(struct master *m, int listen_fd);
void control_free(struct control **c);
/* A reload has ended; ok, or text with its faults. Answers who asked for it. */
void control_reloaded(struct control *c, bool ok, const char *text);

/* systemd's notification socket, where the environment names one; e.g. "READY=1". */
void notify_systemd(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif

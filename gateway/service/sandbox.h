/* Giving up what a process does not need: user, file system, system calls. Private to service. */
#ifndef DIRIGO_SERVICE_SANDBOX_H
#define DIRIGO_SERVICE_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf/conf.h"

/* The ids that a process drops to, looked up while /etc can be read. */
struct sandbox_user {
    uid_t uid;
    gid_t gid;
    gid_t shared; /* the group of dirigo_user, which may connect to Dirigo's sockets */
};

/* Logs and returns -1 where one of the users does not exist. */
int sandbox_lookup(struct sandbox_user *out, const char *user, const char *shared_user);

/*
 * Gives privileges up, for good: no core dumps (secrets), chroot to folder (root and confined), the
 * user's ids (root), no_new_privs, Landlock, seccomp. user: NULL where the process was not started
 * by root. *chrooted says whether paths changed. What the kernel does not have is left out, and
 * said at debug level; what fails is logged, -1.
 *
 * Builds with AddressSanitizer keep file system and system calls, which its reports need.
 */
struct sandbox_plan {
    const struct sandbox_user *user;
    const char *folder; /* what a confined process keeps of the file system */
    bool writable;      /* and may change */
    bool enabled;       /* conf: sandbox */
    bool confined;      /* no files besides */
    bool no_exec;
    bool secrets; /* memory that must not be written to a core file */
};
int sandbox_enter(const struct sandbox_plan *plan, bool *chrooted);

#endif

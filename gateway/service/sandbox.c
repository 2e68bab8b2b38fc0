#include "config.h"

#include "gateway/service/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_LINUX_LANDLOCK_H
#include <linux/landlock.h>
#endif

#include "gateway/base/log.h"

int sandbox_lookup(struct sandbox_user *out, const char *user, const char *shared_user)
{
    const struct passwd *pw = getpwnam(shared_user);
    if (pw == NULL) {
        log_error("user does not exist", LOG_STR("user", shared_user));
        return -1;
    }
    out->shared = pw->pw_gid;
    pw = getpwnam(user);
    if (pw == NULL) {
        log_error("user does not exist", LOG_STR("user", user));
        return -1;
    }
    out->uid = pw->pw_uid;
    out->gid = pw->pw_gid;
    return 0;
}

static int sandbox_drop_user(const struct sandbox_user *user)
{
    gid_t groups[2] = {user->gid, user->shared};
    if (setgroups(user->gid == user->shared ? 1 : 2, groups) < 0 ||
        setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0) {
        log_error("privileges cannot be dropped", LOG_ERRNO(errno));
        return -1;
    }
    if (user->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0)) {
        log_error("privileges came back after they were dropped");
        return -1;
    }
    return 0;
}

#ifndef SANITIZED

static int sandbox_chroot(const char *folder)
{
    tzset(); /* localtime would look for /etc/localtime later */
    if (chroot(folder) < 0 || chdir("/") < 0) {
        log_error("chroot failed", LOG_STR("folder", folder), LOG_ERRNO(errno));
        return -1;
    }
    return 0;
}

#ifdef HAVE_LINUX_LANDLOCK_H

/* Rights that later kernels added; each version of the interface knows those up to its own. */
#define SANDBOX_FS_REFER     (1ULL << 13)
#define SANDBOX_FS_TRUNCATE  (1ULL << 14)
#define SANDBOX_FS_IOCTL_DEV (1ULL << 15)
#define SANDBOX_FS_VERSION_1 ((1ULL << 13) - 1)

static uint64_t sandbox_landlock_rights(int version)
{
    uint64_t rights = SANDBOX_FS_VERSION_1;
    if (version >= 2)
        rights |= SANDBOX_FS_REFER;
    if (version >= 3)
        rights |= SANDBOX_FS_TRUNCATE;
    if (version >= 5)
        rights |= SANDBOX_FS_IOCTL_DEV;
    return rights;
}

/* Nothing of the file system but folder: of its files, all or only reading. */
static int sandbox_landlock(const char *folder, bool writable)
{
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) {
        log_debug("the kernel has no Landlock", LOG_ERRNO(errno));
        return 0;
    }
    struct landlock_ruleset_attr attr = {.handled_access_fs = sandbox_landlock_rights(version)};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
    int path = open(folder, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr beneath = {
        .allowed_access =
            LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
            (writable ? attr.handled_access_fs &
                            (LANDLOCK_ACCESS_FS_WRITE_FILE | SANDBOX_FS_TRUNCATE |
                             LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
                      : 0),
        .parent_fd = path,
    };
    int rc = -1;
    if (rules >= 0 && path >= 0 &&
        syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0 &&
        syscall(SYS_landlock_restrict_self, rules, 0) == 0)
        rc = 0;
    else
        log_error("Landlock failed", LOG_STR("folder", folder), LOG_ERRNO(errno));
    if (path >= 0)
        close(path);
    if (rules >= 0)
        close(rules);
    return rc;
}

#else

static int sandbox_landlock(const char *folder, bool writable)
{
    (void)folder, (void)writable;
    return 0;
}

#endif

/* What no process of Dirigo calls: starting programs, looking into others, changing the system. */
static const int sandbox_denied[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsmount),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(reboot),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(syslog),
    SCMP_SYS(personality),
};

/* Refused calls fail with EPERM, so a library that only tries one goes on. */
static int sandbox_seccomp(bool confined)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int rc = filter == NULL ? -ENOMEM : seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    for (size_t i = 0; rc == 0 && i < sizeof(sandbox_denied) / sizeof(*sandbox_denied); i++) {
        /* Calls that this architecture does not have get a negative number of libseccomp's own. */
        rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), sandbox_denied[i], 0);
        if (rc == -EDOM || rc == -EOPNOTSUPP)
            rc = 0;
    }
    /* A front end speaks TCP and Unix sockets, and no other family with a rich past of holes. */
    const struct scmp_arg_cmp other_family = {.arg = 0, .op = SCMP_CMP_GT, .datum_a = AF_INET6};
    if (rc == 0 && confined)
        rc = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
                                    &other_family);
    if (rc == 0)
        rc = seccomp_load(filter);
    if (filter != NULL)
        seccomp_release(filter);
    if (rc == -EINVAL || rc == -ENOSYS) {
        log_debug("the kernel has no seccomp", LOG_ERRNO(-rc));
        return 0;
    }
    if (rc != 0)
        log_error("seccomp failed", LOG_ERRNO(-rc));
    return rc == 0 ? 0 : -1;
}

#endif

int sandbox_enter(const struct sandbox_plan *plan, bool *chrooted)
{
    *chrooted = false;
#ifndef SANITIZED
    bool confined = plan->enabled && plan->confined;
    if (confined && plan->user != NULL) {
        if (sandbox_chroot(plan->folder) < 0)
            return -1;
        *chrooted = true;
    }
#endif
    if (plan->user != NULL && sandbox_drop_user(plan->user) < 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        log_error("no_new_privs failed", LOG_ERRNO(errno));
        return -1;
    }
#ifndef SANITIZED
    if (plan->secrets) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    if (confined && sandbox_landlock(*chrooted ? "/" : plan->folder, plan->writable) < 0)
        return -1;
    if (plan->enabled && (plan->confined || plan->no_exec) && sandbox_seccomp(plan->confined) < 0)
        return -1;
#endif
    return 0;
}

/* Users, folders and the pid file: what needs root before anything runs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/master/master.h"

static int owner_lookup(struct owner *out, const char *parameter, const char *user,
                        struct buf *errors)
{
    const struct passwd *pw = getpwnam(user);
    if (pw == NULL) {
        buf_printf(errors,
                   "%s: there is no user %s; make Dirigo's users with systemd-sysusers "
                   "dirigo-users.conf\n",
                   parameter, user);
        return -1;
    }
    *out = (struct owner){pw->pw_uid, pw->pw_gid};
    return 0;
}

int owners_lookup(struct owners *out, const struct conf *conf, struct buf *errors)
{
    out->root = geteuid() == 0;
    out->dirigo = out->directory = out->mail = (struct owner){geteuid(), getegid()};
    if (!out->root)
        return 0;
    int rc = owner_lookup(&out->dirigo, "dirigo_user", conf->dirigo_user, errors);
    rc |= owner_lookup(&out->directory, "directory_user", conf->directory_user, errors);
    rc |= owner_lookup(&out->mail, "mail_user", conf->mail_user, errors);
    return rc;
}

static int folder_fault(const char *path, const char *what, struct buf *errors)
{
    buf_printf(errors, "%s: %s: %s; make the folder, or choose another one\n", path, what,
               strerror(errno));
    return -1;
}

/* Whether the owner may pass through every folder above path; the process will run as the owner. */
static int folder_reachable(const char *path, const struct owner *owner, struct buf *errors)
{
    char *copy = mem_strdup(path);
    int rc = 0;
    for (char *slash = strchr(copy + 1, '/'); slash != NULL && rc == 0;
         slash = strchr(slash + 1, '/')) {
        struct stat st;
        *slash = '\0';
        if (stat(copy, &st) == 0) {
            mode_t need = st.st_uid == owner->uid   ? S_IXUSR
                          : st.st_gid == owner->gid ? S_IXGRP
                                                    : S_IXOTH;
            if (owner->uid != 0 && (st.st_mode & need) == 0) {
                buf_printf(errors,
                           "%s: the user with id %u may not pass through %s; open it with chmod "
                           "o+x, or choose another folder\n",
                           path, (unsigned)owner->uid, copy);
                rc = -1;
            }
        }
        *slash = '/';
    }
    free(copy);
    return rc;
}

/* The folders above path, as far as they are missing. */
static int folder_make_parents(const char *path, struct buf *errors)
{
    char *copy = mem_strdup(path);
    int rc = 0;
    for (char *slash = strchr(copy + 1, '/'); slash != NULL && rc == 0;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            rc = folder_fault(copy, "cannot be made", errors);
        *slash = '/';
    }
    free(copy);
    return rc;
}

/*
 * A folder that was there before is given a mode and an owner only where nobody else uses it: else
 * mail_directory = /var/mail, or run_directory = /tmp, would take it from the whole machine.
 */
static bool folder_is_shared(int fd, const struct stat *st, const struct owners *owners,
                             const struct owner *owner)
{
    if (!owners->root && st->st_uid != geteuid())
        return false; /* nothing of it can be changed anyhow */
    if ((st->st_mode & S_ISVTX) != 0)
        return true;
    if (st->st_uid == owner->uid)
        return false;
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return true;
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    bool empty = true;
    if (dir == NULL) {
        if (copy >= 0)
            close(copy);
        return true;
    }
    for (struct dirent *d; empty && (d = readdir(dir)) != NULL;)
        empty = strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0;
    closedir(dir);
    return !empty;
}

int folder_make(const char *path, mode_t mode, const struct owners *owners,
                const struct owner *owner, struct buf *errors)
{
    struct stat st;
    int rc = -1;
    if (folder_make_parents(path, errors) < 0)
        return -1;
    bool made = mkdir(path, mode) == 0;
    if (!made && errno != EEXIST)
        return folder_fault(path, "cannot be made", errors);
    /* By descriptor, so that nobody exchanges the folder for a link between the steps. */
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        folder_fault(path, "is not a usable folder", errors);
    else if (!made && folder_is_shared(fd, &st, owners, owner))
        buf_printf(errors,
                   "%s: is not Dirigo's alone: others own it or may write to it; choose a folder "
                   "of its own, or give it to the user with id %u\n",
                   path, (unsigned)owner->uid);
    else if (owners->root && (st.st_uid != owner->uid || st.st_gid != owner->gid) &&
             fchown(fd, owner->uid, owner->gid) < 0)
        folder_fault(path, "cannot be given to its user", errors);
    else if (!owners->root && st.st_uid != geteuid() && access(path, W_OK) < 0)
        folder_fault(path, "is not writable", errors);
    else if (st.st_uid == geteuid() || owners->root)
        rc = (st.st_mode & 07777) == mode || fchmod(fd, mode) == 0
                 ? 0
                 : folder_fault(path, "cannot get its mode", errors);
    else
        rc = 0;
    if (fd >= 0)
        close(fd);
    return rc == 0 && owners->root ? folder_reachable(path, owner, errors) : rc;
}

int folders_make(const struct conf *conf, const struct owners *owners, struct buf *errors)
{
    const struct owner starter = {geteuid(), getegid()};
    const struct {
        const char *base, *name;
        mode_t mode;
        const struct owner *owner;
    } folders[] = {
        {conf->state_directory, "", 0755, &starter},
        {conf->state_directory, "/replica", 0750, &owners->directory},
        {conf->state_directory, "/secrets", 0700, &owners->directory},
        {conf->state_directory, "/resolver", 0700, &owners->dirigo},
        {conf->mail_directory, "", 0700, &owners->mail},
        {conf->run_directory, "", 0755, &starter},
    };
    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
        char *path = mem_printf("%s%s", folders[i].base, folders[i].name);
        int rc = folder_make(path, folders[i].mode, owners, folders[i].owner, errors);
        free(path);
        if (rc < 0)
            return -1;
    }
    for (size_t i = 0; i < conf->directories.n; i++) {
        const char *name = conf->directories.v[i];
        char *replica = mem_printf("%s/replica-%s", conf->state_directory, name);
        char *secrets = mem_printf("%s/secrets-%s", conf->state_directory, name);
        int rc = folder_make(replica, 0750, owners, &owners->directory, errors);
        if (rc == 0)
            rc = folder_make(secrets, 0700, owners, &owners->directory, errors);
        free(replica);
        free(secrets);
        if (rc < 0)
            return -1;
    }
    return 0;
}

int pid_lock(const struct conf *conf, int *fd, struct buf *errors)
{
    char *path = mem_printf("%s/dirigod.pid", conf->run_directory);
    char pid[16] = "";
    int rc = -1;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (*fd < 0) {
        buf_printf(errors, "%s: cannot be made: %s; set run_directory to a folder of its own\n",
                   path, strerror(errno));
    } else if (flock(*fd, LOCK_EX | LOCK_NB) < 0) {
        if (read(*fd, pid, sizeof(pid) - 1) < 0)
            pid[0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        buf_printf(errors,
                   "%s: dirigod runs already (process %s); stop it with dirigo stop, or give this "
                   "one a run_directory of its own\n",
                   path, pid);
        close(*fd);
        *fd = -1;
    } else {
        rc = 0;
    }
    free(path);
    return rc;
}

void pid_write(int fd)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        log_warning("the pid file cannot be written", LOG_ERRNO(errno));
}

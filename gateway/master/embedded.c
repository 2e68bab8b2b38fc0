/*
 * The embedded directory: a private slapd under state_directory/slapd.
 *
 * slapd/config and slapd/db are built once, beside their places, and moved there when they are
 * whole; slapd/suffix says what they were built for. slapd runs as directory_user, listens on
 * slapd/ldapi alone, and dies with dirigod.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/master/embedded.h"

#define EMBEDDED_SLAPD   "/usr/sbin/slapd"
#define EMBEDDED_SLAPADD "/usr/sbin/slapadd"
/* slapd sizes tables by this limit. */
#define EMBEDDED_FILES 4096

static char *embedded_path(const struct conf *conf, const char *name)
{
    return mem_printf("%s/slapd/%s", conf->state_directory, name);
}

static int embedded_drop(const struct owners *owners)
{
    const struct owner *o = &owners->directory;
    if (!owners->root)
        return 0;
    return setgroups(1, &o->gid) == 0 && setresgid(o->gid, o->gid, o->gid) == 0 &&
                   setresuid(o->uid, o->uid, o->uid) == 0
               ? 0
               : -1;
}

/* ---- building it ---- */

static int embedded_fault(const char *path, const char *what, struct buf *errors)
{
    buf_printf(errors, "embedded_directory: %s: %s: %s\n", path, what, strerror(errno));
    return -1;
}

static int embedded_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* What an interrupted first start left. */
static void embedded_remove(const char *path)
{
    nftw(path, embedded_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int embedded_write(int fd, struct buf *b)
{
    size_t at = 0;
    while (at < b->len) {
        ssize_t n = write(fd, b->data + at, b->len - at);
        if (n < 0 && errno != EINTR)
            return -1;
        at += n < 0 ? 0 : (size_t)n;
    }
    return lseek(fd, 0, SEEK_SET) < 0 ? -1 : 0;
}

/* slapadd with the LDIF as its input; what it complains of goes into errors. */
static int embedded_slapadd(const struct owners *owners, const char *config, const char *database,
                            struct buf *ldif, struct buf *errors)
{
    char text[2048];
    int status = -1;
    int in = memfd_create("ldif", MFD_CLOEXEC), out = memfd_create("slapadd", MFD_CLOEXEC);
    if (in < 0 || out < 0 || embedded_write(in, ldif) < 0) {
        embedded_fault(EMBEDDED_SLAPADD, "cannot be given its input", errors);
        goto done;
    }
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {
            "slapadd", "-n", (char *)(uintptr_t)database, "-F", (char *)(uintptr_t)config, NULL};
        if (embedded_drop(owners) < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
            _exit(126);
        umask(077);
        execv(EMBEDDED_SLAPADD, argv);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (status != 0) {
        ssize_t n = pread(out, text, sizeof(text) - 1, 0);
        text[n < 0 ? 0 : n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        buf_printf(errors, "embedded_directory: %s ended with status %d: %s\n", EMBEDDED_SLAPADD,
                   WIFEXITED(status) ? WEXITSTATUS(status) : -1, text);
    }
done:
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return status == 0 ? 0 : -1;
}

/* 1: built for this search_base; 0: not built yet; -1: built for another one. */
static int embedded_built(const struct conf *conf, struct buf *errors)
{
    char *path = embedded_path(conf, "suffix");
    char text[1024] = "";
    int rc = 0;
    FILE *f = fopen(path, "re");
    if (f != NULL) {
        if (fgets(text, sizeof(text), f) == NULL)
            text[0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        fclose(f);
        rc = strcmp(text, conf->search_base) == 0 ? 1 : -1;
        if (rc < 0)
            buf_printf(errors,
                       "%s: search_base: the embedded directory was made for %s; set that again, "
                       "or move %s/slapd away to begin an empty one\n",
                       conf_origin(conf, "search_base"), text, conf->state_directory);
    }
    free(path);
    return rc;
}

/* The mark that all before it is whole: it is made durable before it gets its name. */
static int embedded_mark(const struct conf *conf, struct buf *errors)
{
    char *temporary = embedded_path(conf, "suffix.new"), *path = embedded_path(conf, "suffix");
    struct buf text = {0};
    buf_printf(&text, "%s\n", conf->search_base);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int rc =
        fd >= 0 && embedded_write(fd, &text) == 0 && syncfs(fd) == 0 && rename(temporary, path) == 0
            ? 0
            : embedded_fault(path, "cannot be made", errors);
    if (fd >= 0)
        close(fd);
    buf_free(&text);
    free(temporary);
    free(path);
    return rc;
}

static int embedded_build(const struct conf *conf, const struct owners *owners, struct buf *errors)
{
    char *config = embedded_path(conf, "config"), *db = embedded_path(conf, "db");
    struct buf ldif = {0}, base = {0};
    int rc = -1;
    embedded_remove(config);
    embedded_remove(db);
    if (embedded_config_ldif(conf, owners, &ldif, errors) == 0 &&
        embedded_base_ldif(conf, &base, errors) == 0 &&
        folder_make(config, 0700, owners, &owners->directory, errors) == 0 &&
        folder_make(db, 0700, owners, &owners->directory, errors) == 0 &&
        embedded_slapadd(owners, config, "0", &ldif, errors) == 0 &&
        embedded_slapadd(owners, config, "1", &base, errors) == 0)
        rc = embedded_mark(conf, errors);
    buf_free(&ldif);
    buf_free(&base);
    free(config);
    free(db);
    return rc;
}

int embedded_prepare(const struct conf *conf, const struct owners *owners, struct buf *errors)
{
    if (!conf->embedded_directory)
        return 0;
    if (access(EMBEDDED_SLAPD, X_OK) < 0) {
        buf_printf(errors,
                   "%s: embedded_directory: %s cannot be executed: %s; install the package "
                   "slapd\n",
                   conf_origin(conf, "embedded_directory"), EMBEDDED_SLAPD, strerror(errno));
        return -1;
    }
    char *folder = mem_printf("%s/slapd", conf->state_directory);
    int rc = folder_make(folder, 0700, owners, &owners->directory, errors);
    free(folder);
    if (rc < 0)
        return -1;
    int built = embedded_built(conf, errors);
    return built != 0 ? (built > 0 ? 0 : -1) : embedded_build(conf, owners, errors);
}

/* ---- running it ---- */

void embedded_exec(const struct master *m)
{
    const struct conf *conf = m->generation->conf;
    const struct rlimit files = {EMBEDDED_FILES, EMBEDDED_FILES};
    struct buf url = {0};
    conf_put_embedded_url(conf->state_directory, &url);
    char *argv[] = {"slapd",
                    "-d",
                    "0",
                    "-F",
                    embedded_path(conf, "config"),
                    "-h",
                    (char *)(uintptr_t)buf_str(&url),
                    NULL};
    setrlimit(RLIMIT_NOFILE, &files);
    umask(077);
    if (embedded_drop(&m->owners) < 0)
        return;
    /* slapd watches no control channel. Set after the ids, whose change clears it. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execv(EMBEDDED_SLAPD, argv);
}

bool embedded_ready(const struct master *m)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    char *path = embedded_path(m->generation->conf, "ldapi");
    bool fits = strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) < sizeof(sun.sun_path);
    free(path);
    int fd = fits ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    bool ready = fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0;
    if (fd >= 0)
        close(fd);
    return ready;
}

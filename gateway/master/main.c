/* dirigod: options, the checks before a start, the daemon, and the loop. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/master/master.h"

/* Descriptors that root asks the kernel for: two for each session of the default limit, and more.
 */
#define MAIN_FILES 131072

struct options {
    const char *conf_path;
    const char **overrides;
    bool foreground, check;
};

static int main_usage(void)
{
    fputs("usage: dirigod [-FtV] [-c file] [-o name=value]\n", stderr);
    return 64;
}

/* Faults of the start go to stderr as they are: an administrator reads them there. */
static int main_refuse(struct buf *errors)
{
    fputs(buf_str(errors), stderr);
    buf_free(errors);
    return 1;
}

static void main_choose_log(struct master *m, const struct conf *conf, bool foreground)
{
    static const char *const levels[] = {"error", "warning", "notice", "info", "debug"};
    enum log_level level = LOG_LEVEL_INFO;
    const char *target = conf->log_target;
    if (strcmp(target, "auto") == 0)
        target = getenv("JOURNAL_STREAM") != NULL ? "journal" : foreground ? "stderr" : "syslog";
    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
        if (strcmp(conf->log_level, levels[i]) == 0)
            level = (enum log_level)i;
    }
    m->log_target = strcmp(target, "journal") == 0  ? LOG_TARGET_JOURNAL
                    : strcmp(target, "syslog") == 0 ? LOG_TARGET_SYSLOG
                                                    : LOG_TARGET_STDERR;
    /* No pointer into conf: the name outlives the generation that it was chosen from. */
    m->log_target_name = m->log_target == LOG_TARGET_JOURNAL  ? "journal"
                         : m->log_target == LOG_TARGET_SYSLOG ? "syslog"
                                                              : "stderr";
    log_open("dirigod", m->log_target, level);
}

static void main_raise_files(void)
{
    struct rlimit files, more = {MAIN_FILES, MAIN_FILES};
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    /* Raising the hard limit is for root, and in a container not even for root. */
    if (files.rlim_max < MAIN_FILES && setrlimit(RLIMIT_NOFILE, &more) == 0)
        return;
    files.rlim_cur = files.rlim_max > MAIN_FILES ? MAIN_FILES : files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        log_warning("limit on open files cannot be raised", LOG_ERRNO(errno));
}

/* Descriptors 0 to 2 are always open, so that none of ours lands there. */
static void main_fill_stdio(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

/*
 * Into the background. The parent waits until the start has succeeded or failed and exits
 * accordingly, so that a script knows. Returns in the child alone.
 */
static int main_daemonize(void)
{
    int pair[2];
    char how = 'F';
    if (pipe2(pair, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid > 0) {
        close(pair[1]);
        bool ok = read(pair[0], &how, 1) == 1 && how == 'R';
        if (!ok)
            fputs("dirigod: the start failed; the log says why\n", stderr);
        _exit(ok ? 0 : 1);
    }
    close(pair[0]);
    setsid();
    return pair[1];
}

static void main_close_terminal(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
    if (chdir("/") < 0)
        log_warning("chdir failed", LOG_ERRNO(errno));
}

static void main_signal(int signum, void *arg)
{
    struct master *m = arg;
    if (signum == SIGCHLD)
        master_reap(m);
    else if (signum == SIGHUP)
        master_reload(m);
    else
        master_stop(m, 0);
}

/* The loop, from the first process to the last. */
static int main_run(struct master *m)
{
    static const int signals[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT};
    struct signal_watch *watches[4];
    struct socket *s;
    m->loop = loop_new();
    for (size_t i = 0; i < 4; i++)
        watches[i] = signal_watch_new(m->loop, signals[i], main_signal, m);
    TAILQ_FOREACH (s, &m->sockets, link) {
        if (s->kind == NULL)
            m->control = control_new(m, fcntl(s->fd, F_DUPFD_CLOEXEC, 3));
    }
    m->tls_keys = tls_keys_new(m);
    m->files = files_new(m);
    m->settings = settings_new(m);
    log_notice("dirigod starts", LOG_STR("version", PACKAGE_VERSION),
               LOG_STR("config", m->conf_path));
    master_start(m);
    loop_run(m->loop);

    struct process *p;
    while ((p = TAILQ_FIRST(&m->processes)) != NULL)
        process_free(p);
    control_free(&m->control);
    files_free(&m->files);
    settings_free(&m->settings);
    tls_keys_free(&m->tls_keys);
    timer_free(&m->timer);
    timer_free(&m->progress);
    for (size_t i = 0; i < 4; i++)
        signal_watch_free(&watches[i]);
    loop_free(&m->loop);
    log_notice("dirigod has stopped");
    return m->exit_code;
}

static int main_prepare(struct master *m, const struct conf *conf, int *pidfile, struct buf *errors)
{
    if (folders_make(conf, &m->owners, errors) < 0 || pid_lock(conf, pidfile, errors) < 0)
        return -1;
    return sockets_bind(&m->sockets, conf, &m->owners, errors) < 0 ||
                   embedded_prepare(conf, &m->owners, errors) < 0
               ? -1
               : 0;
}

static int main_start(const struct options *o)
{
    struct master m = {.conf_path = o->conf_path, .overrides = o->overrides, .ready_fd = -1};
    struct buf errors = {0};
    int pidfile = -1, rc;
    TAILQ_INIT(&m.sockets);
    TAILQ_INIT(&m.processes);
    struct conf *conf = conf_load(o->conf_path, o->overrides, &errors);
    if (conf == NULL)
        return main_refuse(&errors);
    rc = conf_check(conf, &errors) | kinds_check(conf, &errors) |
         owners_lookup(&m.owners, conf, &errors);
    if (rc == 0 && o->check)
        printf("%s: no faults\n", o->conf_path);
    if (rc != 0 || o->check) {
        conf_free(&conf);
        return rc != 0 ? main_refuse(&errors) : 0;
    }
    main_raise_files();
    if (main_prepare(&m, conf, &pidfile, &errors) < 0) {
        sockets_close(&m.sockets);
        conf_free(&conf);
        return main_refuse(&errors);
    }
    if (!o->foreground) {
        m.ready_fd = main_daemonize();
        main_close_terminal();
    }
    main_choose_log(&m, conf, o->foreground);
    pid_write(pidfile);
    arc4random_buf(m.ticket_key, sizeof(m.ticket_key));
    arc4random_buf(m.relay_key, sizeof(m.relay_key));
    m.generation = generation_new(1, conf);
    rc = main_run(&m);
    explicit_bzero(m.ticket_key, sizeof(m.ticket_key));
    explicit_bzero(m.relay_key, sizeof(m.relay_key));
    sockets_close(&m.sockets);
    generation_drop(&m.generation);
    if (ftruncate(pidfile, 0) < 0)
        log_warning("the pid file cannot be emptied", LOG_ERRNO(errno));
    close(pidfile);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.conf_path = DIRIGO_SYSCONFDIR "/dirigo/dirigo.conf"};
    size_t n = 0;
    int option, rc = -1;
    /* What the caller left open is not for our processes. */
    closefrom(3);
    main_fill_stdio();
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    o.overrides = mem_zalloc(((size_t)argc + 1) * sizeof(*o.overrides));
    while (rc < 0 && (option = getopt(argc, argv, "c:o:FtV")) != -1) {
        switch (option) {
        case 'c':
            o.conf_path = optarg;
            break;
        case 'o':
            o.overrides[n++] = optarg;
            break;
        case 'F':
            o.foreground = true;
            break;
        case 't':
            o.check = true;
            break;
        case 'V':
            printf("dirigod %s\n", PACKAGE_VERSION);
            rc = 0;
            break;
        default:
            rc = main_usage();
        }
    }
    /* A daemon changes its folder, and a reload reads the file again. */
    char *absolute = realpath(o.conf_path, NULL);
    if (absolute != NULL)
        o.conf_path = absolute;
    if (rc < 0)
        rc = optind < argc ? main_usage() : main_start(&o);
    free(absolute);
    free(o.overrides);
    return rc;
}

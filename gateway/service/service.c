#include "gateway/service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/role.h"
#include "gateway/event/listener.h"
#include "gateway/ipc/channel.h"
#include "gateway/service/protocol.h"
#include "gateway/service/sandbox.h"

/* dirigod sends everything at once; it is hung where that takes longer. */
#define SERVICE_SETUP_TIMEOUT 30000
/* Counters go to dirigod at most this often, and only after a change. */
#define SERVICE_REPORT_INTERVAL 1000

struct service_listener {
    STAILQ_ENTRY(service_listener) link;
    struct service *service;
    struct listener *listener;
    char *protocol;
    int fd; /* until it is listened on */
};

struct service_path {
    STAILQ_ENTRY(service_path) link;
    char *path;
    char name[];
};

struct service {
    const struct service_def *def;
    struct conf *conf;
    struct loop *loop;
    struct ipc_pair *control;
    struct timer *report_timer;
    char *report;
    struct buf tls_keys; /* until they are handed on */
    void *data;
    unsigned index, count;
    bool root, chrooted;
    bool has_role_key;
    char *fault_parameter, *fault_text;
    char *folder; /* NULL: the process has none of its own */
    uint8_t role_key[ROLE_KEY_LEN];
    bool draining; /* no new work */
    bool stopping; /* idle sessions end; or the end itself */
    int ipc_fd, shared_fd;
    int64_t sessions;
    STAILQ_HEAD(, service_listener) listeners;
    STAILQ_HEAD(, service_path) paths;
};

struct loop *service_loop(struct service *s)
{
    return s->loop;
}

const struct conf *service_conf(const struct service *s)
{
    return s->conf;
}

unsigned service_index(const struct service *s)
{
    return s->index;
}

unsigned service_count(const struct service *s)
{
    return s->count;
}

const uint8_t *service_role_key(const struct service *s)
{
    return s->has_role_key ? s->role_key : NULL;
}

void service_set_data(struct service *s, void *data)
{
    s->data = data;
}

void *service_data(const struct service *s)
{
    return s->data;
}

const char *service_run_path(struct service *s, const char *name)
{
    struct service_path *p;
    STAILQ_FOREACH (p, &s->paths, link) {
        if (strcmp(p->name, name) == 0)
            return p->path;
    }
    p = mem_zalloc(sizeof(*p) + strlen(name) + 1);
    memcpy(p->name, name, strlen(name) + 1);
    p->path = mem_printf("%s/%s", s->chrooted ? "" : s->conf->run_directory, name);
    STAILQ_INSERT_TAIL(&s->paths, p, link);
    return p->path;
}

int service_take_shared(struct service *s)
{
    int fd = s->shared_fd;
    s->shared_fd = -1;
    return fd;
}

int service_take_ipc_listener(struct service *s)
{
    int fd = s->ipc_fd;
    s->ipc_fd = -1;
    return fd;
}

/* ---- sessions and counters ---- */

static void service_send_report(void *arg)
{
    struct service *s = arg;
    if (s->control == NULL)
        return;
    struct msg *m = msg_new(SERVICE_MSG_REPORT);
    msg_put_u32(m, (uint32_t)s->sessions);
    msg_put_str(m, s->report == NULL ? "" : s->report);
    ipc_pair_send(s->control, &m);
}

static void service_changed(struct service *s)
{
    if (s->report_timer != NULL && !timer_pending(s->report_timer))
        timer_set(s->report_timer, SERVICE_REPORT_INTERVAL);
}

bool service_session_begin(struct service *s)
{
    if (s->sessions >= s->conf->default_process_limit)
        return false;
    s->sessions++;
    service_changed(s);
    return true;
}

void service_session_end(struct service *s)
{
    s->sessions--;
    service_changed(s);
    if (s->draining && s->sessions == 0)
        loop_stop(s->loop);
}

bool service_draining(const struct service *s)
{
    return s->draining;
}

bool service_stopping(const struct service *s)
{
    return s->stopping;
}

void service_report(struct service *s, const char *text)
{
    free(s->report);
    s->report = mem_strdup(text);
    service_changed(s);
}

void service_renewed(struct service *s, const char *what)
{
    if (s->control == NULL)
        return;
    struct msg *m = msg_new(SERVICE_MSG_RENEWED);
    msg_put_str(m, what);
    ipc_pair_send(s->control, &m);
}

void service_settings(struct service *s, const void *settings, size_t len)
{
    if (s->control == NULL)
        return;
    struct msg *m = msg_new(SERVICE_MSG_SETTINGS);
    msg_put_bytes(m, settings, len);
    ipc_pair_send(s->control, &m);
}

/* ---- the control channel ---- */

static void service_close_listeners(struct service *s)
{
    struct service_listener *l;
    while ((l = STAILQ_FIRST(&s->listeners)) != NULL) {
        STAILQ_REMOVE_HEAD(&s->listeners, link);
        listener_free(&l->listener);
        if (l->fd >= 0)
            close(l->fd);
        free(l->protocol);
        free(l);
    }
}

static void service_drain(struct service *s, bool stopping)
{
    if (s->draining && (s->stopping || !stopping))
        return;
    s->draining = true;
    s->stopping = stopping;
    log_notice("draining", LOG_INT("sessions", s->sessions));
    service_close_listeners(s);
    if (s->def->drain != NULL)
        s->def->drain(s);
    if (s->sessions == 0)
        loop_stop(s->loop);
}

static int service_read_tls_keys(struct service *s, struct msg *m)
{
    size_t len;
    const void *keys = msg_get_bytes(m, &len);
    if (msg_end(m) < 0)
        return -1;
    buf_wipe_free(&s->tls_keys);
    return buf_append(&s->tls_keys, keys, len);
}

static void service_hand_tls_keys(struct service *s)
{
    if (s->def->tls_keys != NULL && s->tls_keys.len > 0)
        s->def->tls_keys(s, s->tls_keys.data, s->tls_keys.len);
    buf_wipe_free(&s->tls_keys);
}

static int service_control(struct msg *m, void *arg)
{
    struct service *s = arg;
    if (msg_type(m) == SERVICE_MSG_TLS_KEYS) {
        if (service_read_tls_keys(s, m) < 0)
            return -1;
        service_hand_tls_keys(s);
        return 0;
    }
    bool stopping = msg_type(m) == SERVICE_MSG_DRAIN && msg_get_bool(m);
    if (msg_end(m) < 0)
        return -1;
    switch (msg_type(m)) {
    case SERVICE_MSG_DRAIN:
        service_drain(s, stopping);
        return 0;
    case SERVICE_MSG_STOP:
        s->stopping = true;
        loop_stop(s->loop);
        return 0;
    default:
        return -1;
    }
}

static void service_control_closed(void *arg)
{
    struct service *s = arg;
    if (!s->stopping)
        log_notice("dirigod is gone, stopping");
    s->stopping = true;
    loop_stop(s->loop);
}

/* ---- start ---- */

static enum log_level service_log_level(const struct conf *conf)
{
    static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(conf->log_level, names[i]) == 0)
            return (enum log_level)i;
    }
    return LOG_LEVEL_INFO;
}

static int service_read_config(struct service *s, struct msg *m)
{
    size_t len, key_len;
    s->index = msg_get_u32(m);
    s->count = msg_get_u32(m);
    s->root = msg_get_bool(m);
    const char *target = msg_get_str(m);
    const void *data = msg_get_bytes(m, &len);
    const void *key = msg_get_bytes(m, &key_len);
    if (msg_end(m) < 0 || target == NULL || s->conf != NULL ||
        (key_len != 0 && key_len != sizeof(s->role_key)))
        return -1;
    memcpy(s->role_key, key, key_len);
    s->has_role_key = key_len > 0;
    s->conf = conf_decode(data, len);
    if (s->conf == NULL)
        return -1;
    log_open(s->def->name,
             strcmp(target, "journal") == 0  ? LOG_TARGET_JOURNAL
             : strcmp(target, "syslog") == 0 ? LOG_TARGET_SYSLOG
                                             : LOG_TARGET_STDERR,
             service_log_level(s->conf));
    return 0;
}

static int service_read_listener(struct service *s, struct msg *m)
{
    const char *protocol = msg_get_str(m);
    int fd = msg_get_fd(m);
    if (msg_end(m) < 0 || protocol == NULL) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (strcmp(protocol, "ipc") == 0) {
        if (s->ipc_fd >= 0)
            close(s->ipc_fd);
        s->ipc_fd = fd;
        return 0;
    }
    struct service_listener *l = mem_zalloc(sizeof(*l));
    l->service = s;
    l->protocol = mem_strdup(protocol);
    l->fd = fd;
    STAILQ_INSERT_TAIL(&s->listeners, l, link);
    return 0;
}

static int service_read_shared(struct service *s, struct msg *m)
{
    int fd = msg_get_fd(m);
    if (s->shared_fd >= 0)
        close(s->shared_fd);
    s->shared_fd = fd;
    return msg_end(m) < 0 ? -1 : 0;
}

/* Everything up to SERVICE_MSG_BEGIN. 0, 1 where dirigod went away first, -1 logged. */
static int service_setup(struct service *s)
{
    for (;;) {
        struct msg *m = ipc_read_blocking(SERVICE_CONTROL_FD, SERVICE_SETUP_TIMEOUT);
        if (m == NULL)
            return 1;
        uint16_t type = msg_type(m);
        int rc = -1;
        if (type == SERVICE_MSG_CONFIG)
            rc = service_read_config(s, m);
        else if (type == SERVICE_MSG_LISTENER)
            rc = service_read_listener(s, m);
        else if (type == SERVICE_MSG_TLS_KEYS)
            rc = service_read_tls_keys(s, m);
        else if (type == SERVICE_MSG_SHARED)
            rc = service_read_shared(s, m);
        else if (type == SERVICE_MSG_STOP)
            rc = 1;
        else if (type == SERVICE_MSG_BEGIN && s->conf != NULL)
            rc = msg_end(m);
        msg_free(&m);
        if (rc < 0)
            log_error("message from dirigod is malformed", LOG_UINT("type", type));
        if (rc != 0 || type == SERVICE_MSG_BEGIN)
            return rc;
    }
}

static const char *service_user_name(const struct service *s)
{
    switch (s->def->user) {
    case SERVICE_USER_DIRECTORY:
        return s->conf->directory_user;
    case SERVICE_USER_MAIL:
        return s->conf->mail_user;
    case SERVICE_USER_DIRIGO:
        break;
    }
    return s->conf->dirigo_user;
}

static int service_confine(struct service *s, const struct sandbox_user *user)
{
    struct sandbox_plan plan = {
        .user = user,
        .folder = s->folder != NULL ? s->folder : s->conf->run_directory,
        .writable = s->folder != NULL,
        .enabled = s->conf->sandbox,
        .confined = (s->def->flags & SERVICE_CONFINED) != 0,
        .no_exec = (s->def->flags & SERVICE_NO_EXEC) != 0,
        /* bind_pw and SCRAM keys; private keys of TLS and passwords in flight. */
        .secrets =
            s->def->user == SERVICE_USER_DIRECTORY || (s->def->flags & SERVICE_CONFINED) != 0,
    };
    return sandbox_enter(&plan, &s->chrooted);
}

static void service_accept(int fd, const struct netaddr *peer, void *arg)
{
    struct service_listener *l = arg;
    l->service->def->accept(l->service, l->protocol, fd, peer);
}

static void service_listen(struct service *s)
{
    struct service_listener *l;
    STAILQ_FOREACH (l, &s->listeners, link) {
        if (s->def->accept == NULL)
            continue;
        l->listener = listener_new(s->loop, l->fd, service_accept, l);
        l->fd = -1;
    }
}

/* `kill PID` by hand ends a process as dirigod would have; dirigod then starts another. */
static void service_terminated(int signum, void *arg)
{
    struct service *s = arg;
    (void)signum;
    s->stopping = true;
    loop_stop(s->loop);
}

static void service_give_up(void *arg)
{
    loop_stop(arg);
}

void service_fault(struct service *s, const char *parameter, const char *text)
{
    if (s->fault_text != NULL)
        return;
    s->fault_parameter = mem_strdup(parameter);
    s->fault_text = mem_strdup(text);
}

void service_fault_pair(struct service *s, const char *parameter, const char *error)
{
    char *text =
        mem_printf("%s; give the certificate chain and the private key that belongs to it", error);
    service_fault(s, parameter, text);
    free(text);
}

/* Tells dirigod that there is no point in trying again, and lets the message leave. */
static void service_failed(struct service *s, const char *why)
{
    struct msg *m = msg_new(SERVICE_MSG_FAILED);
    msg_put_str(m, s->fault_parameter);
    msg_put_str(m, s->fault_text != NULL ? s->fault_text : why);
    ipc_pair_send(s->control, &m);
    struct timer *timer = timer_new(s->loop, service_give_up, s->loop);
    timer_set(timer, 100);
    loop_run(s->loop);
    timer_free(&timer);
}

static int service_enter_folder(struct service *s)
{
    if (s->def->folder == NULL)
        return 0;
    s->folder = mem_printf("%s/%s", s->conf->state_directory, s->def->folder);
    if (chdir(s->folder) == 0)
        return 0;
    log_error("the process' own folder cannot be entered", LOG_STR("folder", s->folder),
              LOG_ERRNO(errno));
    return -1;
}

/* open, drop, confine, start, as service.h tells it. */
static int service_start(struct service *s)
{
    struct sandbox_user user;
    const char *why = NULL;
    if (service_enter_folder(s) < 0)
        why = "it cannot enter its folder under state_directory";
    else if (s->def->open != NULL && s->def->open(s) < 0)
        why = "it cannot open what it needs; its log lines say why";
    else if (s->root && sandbox_lookup(&user, service_user_name(s), s->conf->dirigo_user) < 0)
        why = "its user does not exist";
    else if (service_confine(s, s->root ? &user : NULL) < 0)
        why = "it cannot be confined";
    else if (s->def->start != NULL && s->def->start(s) < 0)
        why = "it cannot start its service";
    if (why == NULL) {
        service_hand_tls_keys(s);
        return 0;
    }
    service_failed(s, why);
    return -1;
}

static void service_run(struct service *s)
{
    struct signal_watch *terminated = signal_watch_new(s->loop, SIGTERM, service_terminated, s);
    service_listen(s);
    struct msg *m = msg_new(SERVICE_MSG_READY);
    ipc_pair_send(s->control, &m);
    loop_run(s->loop);
    log_debug("stopping", LOG_INT("sessions", s->sessions));
    signal_watch_free(&terminated);
}

static void service_free(struct service *s)
{
    struct service_path *p;
    service_close_listeners(s);
    if (s->ipc_fd >= 0)
        close(s->ipc_fd);
    if (s->shared_fd >= 0)
        close(s->shared_fd);
    timer_free(&s->report_timer);
    ipc_pair_free(&s->control);
    while ((p = STAILQ_FIRST(&s->paths)) != NULL) {
        STAILQ_REMOVE_HEAD(&s->paths, link);
        free(p->path);
        free(p);
    }
    if (s->loop != NULL)
        loop_free(&s->loop);
    conf_free(&s->conf);
    buf_wipe_free(&s->tls_keys);
    free(s->report);
    free(s->fault_parameter);
    free(s->fault_text);
    free(s->folder);
    explicit_bzero(s->role_key, sizeof(s->role_key));
    free(s);
}

static bool service_has_control_fd(void)
{
    struct stat st;
    return fstat(SERVICE_CONTROL_FD, &st) == 0 && S_ISSOCK(st.st_mode);
}

int service_main(const struct service_def *def, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    if (!service_has_control_fd()) {
        fprintf(stderr, "%s is started by dirigod, not by hand.\n", def->name);
        return 64;
    }
    log_open(def->name, LOG_TARGET_STDERR, LOG_LEVEL_INFO);
    fcntl(SERVICE_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    /* The terminal's and the administrator's signals are for dirigod, which passes on what is
     * meant. */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    umask(077);

    struct service *s = mem_zalloc(sizeof(*s));
    s->def = def;
    s->ipc_fd = s->shared_fd = -1;
    STAILQ_INIT(&s->listeners);
    STAILQ_INIT(&s->paths);
    int rc = service_setup(s);
    if (rc == 0) {
        s->loop = loop_new();
        s->report_timer = timer_new(s->loop, service_send_report, s);
        s->control =
            ipc_pair_new(s->loop, SERVICE_CONTROL_FD, service_control, service_control_closed, s);
        rc = service_start(s);
        if (rc == 0)
            service_run(s);
        if (def->stop != NULL)
            def->stop(s);
    }
    service_free(s);
    return rc < 0 ? 1 : 0;
}

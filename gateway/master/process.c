/* One process: fork and execute it, talk to it, start it again. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/base/shtable.h"
#include "gateway/master/master.h"
#include "gateway/service/protocol.h"

/* The pause before a restart, in ms: the first, the longest, and how long a process must have been
 * ready to be given the first one again. */
#define PROCESS_PAUSE_MIN  100
#define PROCESS_PAUSE_MAX  30000
#define PROCESS_LIVED      10000
#define PROCESS_START_TIME 120000 /* until it must be ready: opening a large replica takes long */
#define PROCESS_POLL       50     /* between looks at a program without a control channel */
#define PROCESS_DRAIN_TIME 5000   /* of a service that is replaced, until it is told to stop */
#define PROCESS_KILL_TIME  5000   /* from a closed control channel to SIGKILL */

struct generation *generation_new(unsigned number, struct conf *conf)
{
    struct generation *g = mem_zalloc(sizeof(*g));
    g->number = number;
    g->refs = 1;
    g->conf = conf;
    return g;
}

void generation_drop(struct generation **g)
{
    if (*g == NULL)
        return;
    if (--(*g)->refs == 0) {
        conf_free(&(*g)->conf);
        free(*g);
    }
    *g = NULL;
}

const char *process_state_name(enum process_state state)
{
    static const char *const names[] = {"waiting", "starting", "ready", "draining", "stopping"};
    return names[state];
}

static void process_set_state(struct process *p, enum process_state state)
{
    p->state = state;
    p->since = clock_now_ms();
    master_changed(p->master);
}

static void process_kill(struct process *p, int signum)
{
    if (p->pid > 0 && kill(p->pid, signum) < 0)
        log_warning("process cannot be signalled", LOG_STR("process", p->kind->name),
                    LOG_INT("pid", p->pid), LOG_ERRNO(errno));
}

static void process_is_ready(struct process *p)
{
    p->early_deaths = 0;
    p->ready_at = clock_now_ms();
    timer_stop(p->timer);
    log_debug("process is ready", LOG_STR("process", p->kind->name), LOG_UINT("index", p->index),
              LOG_INT("pid", p->pid));
    process_set_state(p, PROCESS_READY);
}

/* The timer's meaning follows from the state. */
static void process_timer(void *arg)
{
    struct process *p = arg;
    if (p->state == PROCESS_WAITING) {
        process_start(p);
        return;
    }
    if (p->state == PROCESS_STARTING && p->kind->ready != NULL) {
        if (p->kind->ready(p->master)) {
            process_is_ready(p);
            return;
        }
        if (clock_now_ms() - p->since < PROCESS_START_TIME) {
            timer_set(p->timer, PROCESS_POLL);
            return;
        }
    }
    if (p->state == PROCESS_DRAINING && !p->lost) {
        process_stop(p, PROCESS_KILL_TIME);
        return;
    }
    log_warning("process is killed", LOG_STR("process", p->kind->name), LOG_UINT("index", p->index),
                LOG_INT("pid", p->pid), LOG_STR("state", process_state_name(p->state)));
    process_kill(p, SIGKILL);
}

struct process *process_new(struct master *m, const struct kind *kind, unsigned index,
                            unsigned count, struct generation *generation)
{
    struct process *p = mem_zalloc(sizeof(*p));
    p->master = m;
    p->kind = kind;
    p->index = index;
    p->count = count;
    p->generation = generation;
    generation->refs++;
    p->state = PROCESS_WAITING;
    p->since = clock_now_ms();
    p->pause = PROCESS_PAUSE_MIN;
    p->timer = timer_new(m->loop, process_timer, p);
    TAILQ_INSERT_TAIL(&m->processes, p, link);
    return p;
}

void process_free(struct process *p)
{
    TAILQ_REMOVE(&p->master->processes, p, link);
    timer_free(&p->timer);
    ipc_pair_free(&p->control);
    generation_drop(&p->generation);
    free(p->report);
    free(p->why);
    free(p);
}

void process_set_generation(struct process *p, struct generation *generation)
{
    generation->refs++;
    generation_drop(&p->generation);
    p->generation = generation;
}

/* ---- the control channel ---- */

/* It cannot start, and says why; a parameter is told with the place that has set it. */
static void process_failed(struct process *p, const char *parameter, const char *text)
{
    const char *origin = parameter == NULL ? NULL : conf_origin(p->generation->conf, parameter);
    if (origin != NULL && strcmp(origin, "default") == 0)
        origin = conf_file(p->generation->conf);
    log_error("process cannot start", LOG_STR("process", p->kind->name), LOG_STR("at", origin),
              LOG_STR("parameter", parameter), LOG_STR("why", text));
    free(p->why);
    p->why =
        parameter == NULL ? mem_strdup(text) : mem_printf("%s: %s: %s", origin, parameter, text);
    p->failed = true;
}

static int process_message(struct msg *m, void *arg)
{
    struct process *p = arg;
    const char *parameter, *text;
    const void *settings;
    size_t len;
    switch (msg_type(m)) {
    case SERVICE_MSG_READY:
        if (msg_end(m) < 0)
            return -1;
        if (p->state == PROCESS_STARTING)
            process_is_ready(p);
        return 0;
    case SERVICE_MSG_REPORT:
        p->sessions = msg_get_u32(m);
        text = msg_get_str(m);
        if (msg_end(m) < 0 || text == NULL)
            return -1;
        free(p->report);
        p->report = mem_strdup(text);
        return 0;
    case SERVICE_MSG_RENEWED:
        text = msg_get_str(m);
        if (msg_end(m) < 0 || text == NULL)
            return -1;
        if (p->master->phase == MASTER_STARTING && p->master->stage <= p->kind->stage)
            return 0; /* who reads it has yet to open it */
        log_notice("processes are started anew, because a file that they read was made anew",
                   LOG_STR("process", p->kind->name), LOG_STR("file", text));
        master_reload(p->master);
        return 0;
    case SERVICE_MSG_SETTINGS:
        settings = msg_get_bytes(m, &len);
        if (msg_end(m) < 0 || settings == NULL || p->kind->stage != STAGE_DIRECTORY)
            return -1;
        settings_arrived(p->master->settings, settings, len);
        return 0;
    case SERVICE_MSG_FAILED:
        parameter = msg_get_str(m);
        text = msg_get_str(m);
        if (msg_end(m) < 0 || text == NULL)
            return -1;
        process_failed(p, parameter, text);
        return 0;
    default:
        return -1;
    }
}

/* The process ends, or has sent what it must not; either way its end follows soon. */
static void process_closed(void *arg)
{
    struct process *p = arg;
    p->lost = true;
    if (p->state != PROCESS_STOPPING)
        timer_set(p->timer, PROCESS_KILL_TIME);
}

static void process_send(struct process *p, uint16_t type)
{
    struct msg *m = msg_new(type);
    ipc_pair_send(p->control, &m);
}

static void process_send_listener(struct process *p, const struct socket *s)
{
    int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        log_error("descriptor cannot be copied", LOG_ERRNO(errno));
        return;
    }
    struct msg *m = msg_new(SERVICE_MSG_LISTENER);
    msg_put_str(m, s->protocol);
    msg_put_fd(m, fd);
    ipc_pair_send(p->control, &m);
}

static void process_send_shared(struct process *p)
{
    const struct conf *conf = p->generation->conf;
    char *path = mem_printf("%s/smtpd.shared", conf->state_directory);
    int fd = shtable_make(path, conf->smtpd_shared_memory_size);
    if (fd >= 0) {
        struct msg *m = msg_new(SERVICE_MSG_SHARED);
        msg_put_fd(m, fd);
        ipc_pair_send(p->control, &m);
    } else {
        log_error("the shared memory cannot be made: each process counts clients alone, and the "
                  "greylist forgets",
                  LOG_STR("path", path), LOG_ERRNO(errno));
    }
    free(path);
}

/* The key that this kind of process shares with one other; NULL: none. */
static const uint8_t *process_role_key(const struct process *p)
{
    if ((p->kind->flags & KIND_TICKETS) != 0)
        return p->master->ticket_key;
    return (p->kind->flags & KIND_RELAYS) != 0 ? p->master->relay_key : NULL;
}

/* Configuration and sockets, as service/protocol.h orders them. */
static void process_configure(struct process *p)
{
    struct master *m = p->master;
    struct socket *s;
    struct buf conf = {0};
    conf_encode(p->generation->conf, (p->kind->flags & KIND_SECRETS) != 0, &conf);
    struct msg *msg = msg_new(SERVICE_MSG_CONFIG);
    msg_put_u32(msg, p->index);
    msg_put_u32(msg, p->count);
    msg_put_bool(msg, m->owners.root);
    msg_put_str(msg, m->log_target_name);
    msg_put_bytes(msg, conf.data, conf.len);
    const uint8_t *key = process_role_key(p);
    msg_put_bytes(msg, key, key == NULL ? 0 : ROLE_KEY_LEN);
    ipc_pair_send(p->control, &msg);
    buf_wipe_free(&conf);

    TAILQ_FOREACH (s, &m->sockets, link) {
        if (s->kind == p->kind && s->wanted &&
            (s->path == NULL || s->shared || s->index == p->index))
            process_send_listener(p, s);
    }
    process_send_tls_keys(p);
    if (p->kind->flags & KIND_SHARED)
        process_send_shared(p);
    process_send(p, SERVICE_MSG_BEGIN);
}

void process_send_tls_keys(struct process *p)
{
    size_t len;
    const void *keys = tls_keys_get(p->master->tls_keys, &len);
    if (!(p->kind->flags & KIND_TLS) || p->control == NULL || p->lost)
        return;
    struct msg *m = msg_new(SERVICE_MSG_TLS_KEYS);
    msg_put_bytes(m, keys, len);
    ipc_pair_send(p->control, &m);
}

/* ---- start ---- */

/* In the child, between fork and exec: only what is safe there. */
_Noreturn static void process_child(const struct process *p, const char *path, int control)
{
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* The terminal's interrupt is for dirigod, which ends the others in their order. */
    setpgid(0, 0);
    if (p->kind->exec != NULL) {
        p->kind->exec(p->master);
        _exit(127);
    }
    if (control == SERVICE_CONTROL_FD)
        fcntl(control, F_SETFD, 0);
    else if (dup2(control, SERVICE_CONTROL_FD) < 0)
        _exit(126);
    char *argv[] = {(char *)(uintptr_t)path, NULL};
    execv(path, argv);
    _exit(127);
}

static void process_schedule(struct process *p)
{
    if (p->failed)
        p->pause = PROCESS_PAUSE_MAX;
    log_notice("process starts again after a pause", LOG_STR("process", p->kind->name),
               LOG_UINT("index", p->index), LOG_INT("ms", p->pause));
    timer_set(p->timer, p->pause);
    p->pause = p->pause * 2 > PROCESS_PAUSE_MAX ? PROCESS_PAUSE_MAX : p->pause * 2;
    p->restarts++;
    process_set_state(p, PROCESS_WAITING);
}

void process_start(struct process *p)
{
    int pair[2] = {-1, -1};
    bool ours = p->kind->exec == NULL;
    p->failed = p->lost = p->replacing = false;
    p->ready_at = 0;
    if (ours && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        log_error("socketpair failed", LOG_ERRNO(errno));
        process_schedule(p);
        return;
    }
    char *path = mem_printf("%s/%s", p->generation->conf->daemon_directory, p->kind->name);
    p->pid = fork();
    if (p->pid == 0)
        process_child(p, path, pair[1]);
    free(path);
    if (pair[1] >= 0)
        close(pair[1]);
    if (p->pid < 0) {
        log_error("fork failed", LOG_ERRNO(errno));
        p->pid = 0;
        if (pair[0] >= 0)
            close(pair[0]);
        process_schedule(p);
        return;
    }
    p->sessions = 0;
    process_set_state(p, PROCESS_STARTING);
    timer_set(p->timer, ours ? PROCESS_START_TIME : PROCESS_POLL);
    if (ours) {
        p->control = ipc_pair_new(p->master->loop, pair[0], process_message, process_closed, p);
        process_configure(p);
    }
}

/* ---- end ---- */

void process_drain(struct process *p, bool stopping)
{
    if (p->state != PROCESS_READY && p->state != PROCESS_DRAINING) {
        process_stop(p, PROCESS_KILL_TIME);
        return;
    }
    struct msg *m = msg_new(SERVICE_MSG_DRAIN);
    msg_put_bool(m, stopping);
    ipc_pair_send(p->control, &m);
    timer_stop(p->timer);
    if (p->state != PROCESS_DRAINING)
        process_set_state(p, PROCESS_DRAINING);
}

void process_replace(struct process *p)
{
    p->replacing = true;
    process_drain(p, false);
    if (p->state == PROCESS_DRAINING)
        timer_set(p->timer, PROCESS_DRAIN_TIME);
}

void process_stop(struct process *p, int64_t ms)
{
    if (p->pid == 0) {
        timer_stop(p->timer);
        master_changed(p->master);
        return;
    }
    if (p->state != PROCESS_STOPPING) {
        if (p->control != NULL)
            process_send(p, SERVICE_MSG_STOP);
        else
            process_kill(p, SIGTERM);
        process_set_state(p, PROCESS_STOPPING);
    }
    timer_set(p->timer, ms);
}

void process_ended(struct process *p, int status)
{
    bool asked = p->state == PROCESS_STOPPING || p->state == PROCESS_DRAINING;
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    const char *event = clean && asked ? "process has ended" : "process died";
    const struct log_field fields[] = {
        LOG_STR("process", p->kind->name),
        LOG_UINT("index", p->index),
        LOG_INT("pid", p->pid),
        WIFSIGNALED(status) ? LOG_INT("signal", WTERMSIG(status))
                            : LOG_INT("status", WEXITSTATUS(status)),
        {0},
    };
    log_write(clean && asked ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, event, fields);
    if (p->ready_at > 0 && clock_now_ms() - p->ready_at >= PROCESS_LIVED)
        p->pause = PROCESS_PAUSE_MIN;
    if (p->state == PROCESS_STARTING || p->failed)
        p->early_deaths++;
    p->pid = 0;
    p->sessions = 0;
    timer_stop(p->timer);
    ipc_pair_free(&p->control);
    if (p->retiring)
        process_set_state(p, PROCESS_WAITING);
    else if (p->replacing)
        process_start(p);
    else
        process_schedule(p);
}

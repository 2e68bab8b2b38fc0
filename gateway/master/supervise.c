/* All processes together: what starts, is replaced, and stops, and in which order. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/str.h"
#include "gateway/master/master.h"

/* At the first start: deaths of one process before it was ready after which dirigod gives up. */
#define MASTER_START_TRIES 3
/* From STOP to SIGKILL: the queue may have a checkpoint to finish. */
#define MASTER_STOP_TIME 30000

const char *master_phase_name(enum master_phase phase)
{
    static const char *const names[] = {"starting", "running", "reloading", "reloading",
                                        "stopping"};
    return names[phase];
}

static void master_next(struct master *m);

static void master_progress(void *arg)
{
    struct master *m = arg;
    struct process *p, *next;
    /* What has ended and does not come back goes here, so that nobody frees below a callback. */
    for (p = TAILQ_FIRST(&m->processes); p != NULL; p = next) {
        next = TAILQ_NEXT(p, link);
        if (p->retiring && p->pid == 0)
            process_free(p);
    }
    master_next(m);
}

void master_changed(struct master *m)
{
    if (m->progress == NULL)
        m->progress = timer_new(m->loop, master_progress, m);
    timer_set(m->progress, 0);
}

/* Processes of a stage that belong to g (NULL: to any) and do not retire. */
static bool stage_has(const struct master *m, enum stage stage, const struct generation *g,
                      bool (*test)(const struct process *p))
{
    const struct process *p;
    TAILQ_FOREACH (p, &m->processes, link) {
        if (p->kind->stage == stage && !p->retiring && (g == NULL || p->generation == g) && test(p))
            return true;
    }
    return false;
}

static bool process_not_ready(const struct process *p)
{
    return p->state != PROCESS_READY;
}

static bool process_gives_up(const struct process *p)
{
    return p->early_deaths >= MASTER_START_TRIES || p->failed;
}

static struct process *master_find(const struct master *m, const struct kind *kind, unsigned index,
                                   const struct generation *g)
{
    struct process *p;
    TAILQ_FOREACH (p, &m->processes, link) {
        if (p->kind == kind && p->index == index && p->generation == g && !p->retiring)
            return p;
    }
    return NULL;
}

/* Starts what the stage needs and does not have in this generation. */
static void stage_start(struct master *m, enum stage stage, struct generation *g)
{
    for (size_t k = 0; k < kinds_count; k++) {
        unsigned count = kinds[k].stage == stage ? kind_count(&kinds[k], g->conf) : 0;
        for (unsigned i = 0; i < count; i++) {
            if (master_find(m, &kinds[k], i, g) == NULL)
                process_start(process_new(m, &kinds[k], i, count, g));
        }
    }
}

/* ---- start ---- */

static void master_tell_parent(struct master *m, char how)
{
    if (m->ready_fd < 0)
        return;
    (void)!write(m->ready_fd, &how, 1);
    close(m->ready_fd);
    m->ready_fd = -1;
}

static void master_run(struct master *m)
{
    m->phase = MASTER_RUNNING;
    notify_systemd("READY=1\nSTATUS=Running");
    if (m->reload_wanted) {
        m->reload_wanted = false;
        master_reload(m);
    }
    settings_apply(m->settings);
}

static void master_next_starting(struct master *m)
{
    if (stage_has(m, m->stage, m->generation, process_gives_up)) {
        log_error("start given up");
        master_stop(m, 1);
        return;
    }
    if (stage_has(m, m->stage, m->generation, process_not_ready))
        return;
    if (++m->stage < STAGE_END) {
        stage_start(m, m->stage, m->generation);
        master_changed(m);
        return;
    }
    log_notice("dirigod is ready", LOG_INT("ms", clock_now_ms() - m->started));
    master_tell_parent(m, 'R');
    master_run(m);
}

void master_start(struct master *m)
{
    m->phase = MASTER_STARTING;
    m->stage = STAGE_EMBEDDED;
    m->started = clock_now_ms();
    stage_start(m, m->stage, m->generation);
    master_changed(m);
}

/* ---- reload ---- */

/* Parameters that folders, locks and the users of running processes hang on. */
static const char *const master_fixed[] = {
    "run_directory", "state_directory",    "mail_directory", "dirigo_user", "directory_user",
    "mail_user",     "embedded_directory", "log_target",     "directories",
};

static int reload_check(struct master *m, const struct conf *conf, struct buf *errors)
{
    int rc = conf_check(conf, errors);
    if (conf->embedded_directory &&
        strcmp(conf->search_base, m->generation->conf->search_base) != 0) {
        buf_printf(errors,
                   "%s: search_base: the embedded directory was made for %s; set that again\n",
                   conf_origin(conf, "search_base"), m->generation->conf->search_base);
        rc = -1;
    }
    for (size_t i = 0; i < sizeof(master_fixed) / sizeof(*master_fixed); i++) {
        if (strcmp(conf_text(conf, master_fixed[i]),
                   conf_text(m->generation->conf, master_fixed[i])) == 0)
            continue;
        buf_printf(errors, "%s: %s: cannot change while dirigod runs; restart it\n",
                   conf_origin(conf, master_fixed[i]), master_fixed[i]);
        rc = -1;
    }
    return rc | kinds_check(conf, errors);
}

static bool reload_same_conf(const struct master *m, const struct conf *conf)
{
    struct buf a = {0}, b = {0};
    conf_encode(m->generation->conf, true, &a);
    conf_encode(conf, true, &b);
    bool same = a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
    buf_wipe_free(&a);
    buf_wipe_free(&b);
    return same;
}

/* Whether processes of the kind go on through the reload as they are. */
static bool kind_goes_on(const struct master *m, const struct kind *kind)
{
    return m->renew ? !(kind->flags & KIND_TLS) : m->keep && (kind->flags & KIND_KEEP);
}

static void reload_end(struct master *m, bool ok, const char *text)
{
    if (m->control != NULL)
        control_reloaded(m->control, ok, text);
    settings_reloaded(m->settings, ok, text);
    master_run(m);
}

static void reload_refuse(struct master *m, struct buf *errors)
{
    const char *text = buf_str(errors), *token;
    size_t len;
    while (str_token(&text, "\n", &token, &len))
        log_error("reload refused", LOG_BYTES("fault", token, len));
    reload_end(m, false, buf_str(errors));
}

/* Brings conf (taken over) up as the next generation. */
static void reload_begin(struct master *m, struct conf *conf)
{
    struct process *p;
    m->next = generation_new(m->generation->number + 1, conf);
    m->phase = MASTER_RELOAD_SESSIONS;
    m->keep = reload_same_conf(m, conf);
    files_used(m->files, conf);
    TAILQ_FOREACH (p, &m->processes, link) {
        if (kind_goes_on(m, p->kind) && !p->retiring)
            process_set_generation(p, m->next);
    }
    stage_start(m, STAGE_SESSIONS, m->next);
    master_changed(m);
}

static void reload_announce(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    notify_systemd("RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=Reloading",
                   (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void master_reload(struct master *m)
{
    struct buf errors = {0};
    if (m->phase != MASTER_RUNNING) {
        m->reload_wanted = m->phase != MASTER_STOPPING;
        return;
    }
    reload_announce();
    log_notice("reloading");
    m->renew = false;
    settings_try_again(m->settings);
    struct conf *conf = conf_load(m->conf_path, m->overrides, &errors);
    if (conf == NULL || reload_check(m, conf, &errors) < 0 ||
        sockets_bind(&m->sockets, conf, &m->owners, &errors) < 0) {
        conf_free(&conf);
        reload_refuse(m, &errors);
        buf_free(&errors);
        return;
    }
    buf_free(&errors);
    reload_begin(m, conf);
}

bool master_reload_with(struct master *m, const void *settings, size_t len, struct buf *errors)
{
    struct conf *conf = conf_load_with(m->conf_path, m->overrides, settings, len, errors);
    if (conf == NULL || reload_check(m, conf, errors) < 0) {
        conf_free(&conf);
        return false;
    }
    if (reload_same_conf(m, conf) || sockets_bind(&m->sockets, conf, &m->owners, errors) < 0) {
        conf_free(&conf);
        return false;
    }
    m->renew = false;
    reload_announce();
    log_notice("the directory has other settings, reloading");
    reload_begin(m, conf);
    return true;
}

bool master_renew(struct master *m)
{
    struct buf copy = {0};
    if (m->phase != MASTER_RUNNING)
        return false;
    reload_announce();
    log_notice("files of TLS have changed, renewing front ends");
    m->renew = true;
    /* Not dirigo.conf as it is now: somebody may be editing it. */
    conf_encode(m->generation->conf, true, &copy);
    reload_begin(m, conf_decode(copy.data, copy.len));
    buf_wipe_free(&copy);
    return true;
}

/* A session process cannot start with the new configuration: all goes on with the old one. */
static void reload_undo(struct master *m)
{
    struct process *p;
    struct buf errors = {0};
    TAILQ_FOREACH (p, &m->processes, link) {
        if (p->generation != m->next || p->retiring)
            continue;
        if (process_gives_up(p))
            buf_printf(&errors, "%s: %s\n", p->kind->name,
                       p->why != NULL ? p->why : "dies before it is ready; see the log");
        if (kind_goes_on(m, p->kind)) {
            process_set_generation(p, m->generation);
            continue;
        }
        p->retiring = true;
        process_stop(p, MASTER_STOP_TIME);
    }
    generation_drop(&m->next);
    struct buf again = {0};
    if (sockets_bind(&m->sockets, m->generation->conf, &m->owners, &again) == 0)
        sockets_sweep(&m->sockets);
    buf_free(&again);
    reload_refuse(m, &errors);
    buf_free(&errors);
}

static void master_next_sessions(struct master *m)
{
    struct process *p;
    if (stage_has(m, STAGE_SESSIONS, m->next, process_gives_up)) {
        reload_undo(m);
        return;
    }
    if (stage_has(m, STAGE_SESSIONS, m->next, process_not_ready))
        return;
    TAILQ_FOREACH (p, &m->processes, link) {
        if (p->kind->stage != STAGE_SESSIONS || p->generation == m->next || p->retiring)
            continue;
        p->retiring = true;
        process_drain(p, false);
    }
    generation_drop(&m->generation);
    m->generation = m->next;
    m->next = NULL;
    sockets_sweep(&m->sockets);
    m->phase = MASTER_RELOAD_SERVICES;
    m->stage = STAGE_EMBEDDED;
    master_changed(m);
}

/* One stage of services: each is drained, and comes back with the new configuration. */
static void master_next_services(struct master *m)
{
    struct process *p;
    if (stage_has(m, m->stage, m->generation, process_not_ready) &&
        !stage_has(m, m->stage, m->generation, process_gives_up))
        return;
    if (++m->stage == STAGE_SESSIONS) {
        log_notice("reloaded", LOG_UINT("generation", m->generation->number));
        reload_end(m, true, "");
        return;
    }
    TAILQ_FOREACH (p, &m->processes, link) {
        if (p->kind->stage != m->stage || p->generation == m->generation || p->retiring)
            continue;
        process_set_generation(p, m->generation);
        if (p->pid > 0)
            process_replace(p);
    }
    master_changed(m);
}

/* ---- stop ---- */

static bool stage_runs(const struct master *m, enum stage stage)
{
    const struct process *p;
    TAILQ_FOREACH (p, &m->processes, link) {
        if (p->kind->stage == stage && p->pid > 0)
            return true;
    }
    return false;
}

static void stage_stop(struct master *m, enum stage stage, bool drain)
{
    struct process *p;
    TAILQ_FOREACH (p, &m->processes, link) {
        if (p->kind->stage != stage)
            continue;
        p->retiring = true;
        if (drain && (p->state == PROCESS_READY || p->state == PROCESS_DRAINING))
            process_drain(p, true);
        else
            process_stop(p, MASTER_STOP_TIME);
    }
    master_changed(m);
}

/* The time for draining is over. */
static void master_drained(void *arg)
{
    struct master *m = arg;
    if (m->phase == MASTER_STOPPING && m->stage == STAGE_SESSIONS)
        stage_stop(m, STAGE_SESSIONS, false);
}

static void master_next_stopping(struct master *m)
{
    while (!stage_runs(m, m->stage)) {
        if (m->stage == STAGE_EMBEDDED) {
            loop_stop(m->loop);
            return;
        }
        m->stage--;
        stage_stop(m, m->stage, false);
    }
}

void master_stop(struct master *m, int exit_code)
{
    if (m->phase == MASTER_STOPPING) {
        /* Asked twice: whoever asks does not want to wait for sessions. */
        master_drained(m);
        return;
    }
    notify_systemd("STOPPING=1\nSTATUS=Stopping");
    log_notice("stopping");
    master_tell_parent(m, 'F');
    bool ran = m->phase != MASTER_STARTING;
    m->phase = MASTER_STOPPING;
    m->exit_code = exit_code;
    m->stage = STAGE_SESSIONS;
    generation_drop(&m->next);
    stage_stop(m, STAGE_SESSIONS, ran);
    m->timer = timer_new(m->loop, master_drained, m);
    timer_set(m->timer, m->generation->conf->shutdown_timeout);
}

static void master_next(struct master *m)
{
    switch (m->phase) {
    case MASTER_STARTING:
        master_next_starting(m);
        break;
    case MASTER_RUNNING:
        break;
    case MASTER_RELOAD_SESSIONS:
        master_next_sessions(m);
        break;
    case MASTER_RELOAD_SERVICES:
        master_next_services(m);
        break;
    case MASTER_STOPPING:
        master_next_stopping(m);
        break;
    }
}

void master_reap(struct master *m)
{
    struct process *p;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        TAILQ_FOREACH (p, &m->processes, link) {
            if (p->pid == pid) {
                process_ended(p, status);
                break;
            }
        }
    }
}

/*
 * dirigo-directory: the only LDAP client. It keeps the replica like the directory (source.h),
 * verifies passwords by bind (bindpool.h), and serves directory.sock (serve.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "directory/aliasfile.h"
#include "directory/bindpool.h"
#include "directory/config.h"
#include "directory/profile.h"
#include "directory/serve.h"
#include "directory/source.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/service/service.h"

/* Threads for name lookups alone. */
#define LOOKUP_THREADS 1
#define PASSWORD_MAX   1024

/* One directory: its servers, its replica, its binds. */
struct instance {
    struct process *process;
    const char *name; /* "": the one without a name */
    struct conf *own; /* NULL: the process' */
    struct ldap_env env;
    char *password; /* from bind_pw_file; NULL: conf's bind_pw */
    struct replica *replica;
    struct secrets_store *secrets;
    struct source *source;
    struct bindpool *pool;
};

struct process {
    struct instance instances[1 + CONF_DIRECTORIES_MAX];
    size_t count;
    struct worker_pool *workers;
    struct aliasfiles *aliases; /* NULL: none */
    struct serve *serve;
    struct timer *beat;
    struct service *service;
    struct directory *directory; /* a reader on the first replica */
    struct buf settings;         /* that dirigod was told */
    bool told;
};

static int read_password(struct instance *p, const struct conf *conf)
{
    const char *path = conf->bind_pw_file;
    p->env.bind_pw = conf->bind_pw;
    if (path[0] == '\0')
        return 0;
    char text[PASSWORD_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n < 0)
        log_error("bind_pw_file cannot be read", LOG_STR("path", path), LOG_ERRNO(errno));
    else {
        text[n] = '\0';
        text[strcspn(text, "\r\n")] = '\0';
        p->password = mem_strdup(text);
        p->env.bind_pw = p->password;
    }
    explicit_bzero(text, sizeof text);
    if (fd >= 0)
        close(fd);
    return n < 0 ? -1 : 0;
}

static int read_targets(struct instance *p, const struct conf *conf)
{
    struct ldap_env *env = &p->env;
    env->targets = mem_zalloc(conf->server_host.n * sizeof *env->targets);
    for (size_t i = 0; i < conf->server_host.n; i++) {
        if (target_parse(&env->targets[env->target_count], conf->server_host.v[i]) == 0) {
            env->target_count++;
            continue;
        }
        log_error("server_host names no LDAP server", LOG_STR("value", conf->server_host.v[i]));
        return -1;
    }
    if (env->target_count == 0)
        log_error("server_host is empty");
    return env->target_count > 0 ? 0 : -1;
}

static int make_tls(struct instance *p, const struct conf *conf)
{
    const char *ca = conf->tls_ca_cert_file, *cert = conf->tls_cert, *key = conf->tls_key;
    char *error = NULL;
    bool needed = conf->start_tls;
    for (size_t i = 0; i < p->env.target_count; i++)
        needed = needed || p->env.targets[i].kind == TARGET_TLS;
    if (!needed)
        return 0;
    p->env.tls = tls_client_new(conf->tls_require_cert ? TLS_VERIFY_PEER : TLS_VERIFY_NONE,
                                ca[0] != '\0' ? ca : NULL, cert[0] != '\0' ? cert : NULL,
                                key[0] != '\0'    ? key
                                : cert[0] != '\0' ? cert
                                                  : NULL,
                                &error);
    if (p->env.tls != NULL)
        return 0;
    log_error("TLS towards the directory cannot be set up", LOG_STR("error", error));
    free(error);
    return -1;
}

static int load_profiles(struct instance *p, const struct conf *conf)
{
    struct buf errors = {0};
    p->env.profiles = profile_set_load(conf, &errors);
    if (p->env.profiles == NULL)
        log_error("the profiles cannot be used", LOG_STR("error", buf_str(&errors)));
    buf_free(&errors);
    return p->env.profiles == NULL ? -1 : 0;
}

static int open_instance(struct process *p, const char *name, const struct conf *conf)
{
    struct instance *in = &p->instances[p->count++];
    in->process = p;
    in->name = name;
    if (*name != '\0' && (conf = in->own = conf_for_directory(conf, name)) == NULL)
        return -1;
    in->env.conf = conf;
    in->env.further = *name != '\0';
    return read_password(in, conf) == 0 && read_targets(in, conf) == 0 && make_tls(in, conf) == 0 &&
                   load_profiles(in, conf) == 0
               ? 0
               : -1;
}

static int process_open(struct service *s)
{
    struct process *p = mem_zalloc(sizeof *p);
    const struct conf *conf = service_conf(s);
    service_set_data(s, p);
    /* libldap takes nothing from ldap.conf, ~/.ldaprc or the environment. */
    setenv("LDAPNOINIT", "1", 1);
    int rc = open_instance(p, "", conf);
    for (size_t i = 0; rc == 0 && i < conf->directories.n && i < CONF_DIRECTORIES_MAX; i++)
        rc = open_instance(p, conf->directories.v[i], conf);
    return rc;
}

/*
 * What the directory sets, wherever it is another than dirigod was told last. Only from a replica
 * that is in sync: what is missing from another one may be missing by chance.
 */
static void tell_settings(struct process *p)
{
    struct buf now = {0};
    const struct instance *first = &p->instances[0];
    if (replica_state(first->replica)->in_sync == 0)
        return;
    struct snapshot *snap = snapshot_take(p->directory);
    if (snap != NULL && config_collect(snap, first->env.conf->myhostname, &now) == 0 &&
        (!p->told || now.len != p->settings.len ||
         (now.len > 0 && memcmp(now.data, p->settings.data, now.len) != 0))) {
        service_settings(p->service, now.data, now.len);
        struct buf before = p->settings;
        p->settings = now;
        now = before;
        p->told = true;
    }
    snapshot_release(&snap);
    buf_free(&now);
}

static void on_source_changed(bool in_sync, void *arg)
{
    struct instance *in = arg;
    struct process *p = in->process;
    if (in == &p->instances[0])
        tell_settings(p);
    if (p->serve != NULL)
        serve_sync_state(p->serve, in_sync);
}

static void on_commit(void *arg)
{
    struct instance *in = arg;
    struct process *p = in->process;
    if (in == &p->instances[0])
        tell_settings(p);
    if (p->serve != NULL)
        serve_replica_changed(p->serve);
}

static void on_ended(const struct uuid *uuids, size_t n, void *arg)
{
    struct process *p = arg;
    if (p->serve != NULL)
        serve_ended(p->serve, uuids, n);
}

static int open_stores(struct instance *p, const struct conf *conf)
{
    char *error = NULL;
    char *dir = directory_path(conf, "replica", p->name);
    p->replica = replica_open(dir, conf->directory_map_size, &error);
    free(dir);
    if (p->replica != NULL) {
        dir = directory_path(conf, "secrets", p->name);
        p->secrets = secrets_store_open(dir, conf->directory_map_size, &error);
        free(dir);
    }
    if (p->secrets != NULL)
        return 0;
    log_error("the directory's cache cannot be opened", LOG_STR("error", error));
    free(error);
    return -1;
}

/* Replica and keys are filled together, so a cookie that covers only one of them covers nothing. */
static int match_stores(struct instance *p)
{
    struct buf cookie = {0};
    int rc = replica_cookie(p->replica, &cookie);
    bool have_cookie = cookie.len > 0;
    buf_free(&cookie);
    if (rc < 0 || secrets_store_complete(p->secrets) == have_cookie)
        return rc;
    if (replica_begin(p->replica) < 0)
        return -1;
    if (replica_set_cookie(p->replica, NULL, 0) < 0) {
        replica_abort(p->replica);
        return -1;
    }
    return replica_commit(p->replica);
}

/* The loop runs: readers see it. */
static void on_beat(void *arg)
{
    struct process *p = arg;
    for (size_t i = 0; i < p->count; i++)
        replica_beat(p->instances[i].replica);
}

static int start_instance(struct instance *in, struct loop *loop)
{
    struct process *p = in->process;
    in->env.loop = loop;
    if (open_stores(in, in->env.conf) < 0)
        return -1;
    if (match_stores(in) < 0) {
        log_error("the replica cannot be read", LOG_STR("error", replica_error(in->replica)));
        return -1;
    }
    if (p->workers == NULL)
        p->workers = worker_pool_new(loop, LOOKUP_THREADS);
    in->env.workers = p->workers;
    if (in == &p->instances[0])
        p->aliases = aliasfiles_new(in->env.conf, loop, p->workers, in->replica);
    in->source = source_new(&in->env, in->replica, in->secrets, on_source_changed, in);
    source_on_commit(in->source, on_commit);
    in->pool = bindpool_new(&in->env);
    return 0;
}

static int process_start(struct service *s)
{
    struct process *p = service_data(s);
    const struct conf *conf = service_conf(s);
    struct serve_part parts[1 + CONF_DIRECTORIES_MAX];
    bool anew = false;
    for (size_t i = 0; i < p->count; i++) {
        struct instance *in = &p->instances[i];
        if (start_instance(in, service_loop(s)) < 0)
            return -1;
        parts[i] = (struct serve_part){
            .name = in->name, .replica = in->replica, .source = in->source, .pool = in->pool};
        anew = anew || replica_made_anew(in->replica) || secrets_store_made_anew(in->secrets);
    }
    p->beat = timer_new(service_loop(s), on_beat, p);
    timer_repeat(p->beat, conf->directory_heartbeat_limit / 4);
    p->service = s;
    p->directory = directory_on(conf, replica_db(p->instances[0].replica));
    p->serve = serve_new(s, parts, p->count);
    for (size_t i = 0; i < p->count; i++)
        replica_on_ended(p->instances[i].replica, on_ended, p);
    if (anew)
        service_renewed(s, "the replica");
    return 0;
}

static void close_instance(struct instance *in)
{
    replica_close(&in->replica);
    secrets_store_close(&in->secrets);
    tls_context_free(&in->env.tls);
    profile_set_free(&in->env.profiles);
    for (size_t i = 0; i < in->env.target_count; i++)
        target_free(&in->env.targets[i]);
    free(in->env.targets);
    mem_wipe_free_str(in->password);
    conf_free(&in->own);
}

static void process_stop(struct service *s)
{
    struct process *p = service_data(s);
    if (p == NULL)
        return;
    timer_free(&p->beat);
    serve_free(&p->serve);
    for (size_t i = 0; i < p->count; i++) {
        bindpool_free(&p->instances[i].pool);
        if (p->instances[i].source != NULL)
            source_free(&p->instances[i].source);
    }
    if (p->workers != NULL)
        worker_pool_free(&p->workers);
    aliasfiles_free(&p->aliases);
    directory_close(&p->directory);
    buf_free(&p->settings);
    for (size_t i = 0; i < p->count; i++)
        close_instance(&p->instances[i]);
    free(p);
}

static const struct service_def def = {
    .name = "dirigo-directory",
    .user = SERVICE_USER_DIRECTORY,
    .flags = SERVICE_NO_EXEC,
    .open = process_open,
    .start = process_start,
    .stop = process_stop,
};

int main(int argc, char **argv)
{
    return service_main(&def, argc, argv);
}

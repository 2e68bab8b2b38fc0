/* The way back to the servers that stand first in server_host. */
#include <stdlib.h>

#include "directory/source_private.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"

/* A server that answers, but with which the sync fails, is tried this many times more rarely. */
#define PAUSE_FACTOR_MAX 64

struct failback {
    struct source *source;
    struct ldapconn *conn; /* on trial, or NULL */
    size_t target;
    int search_id;
    unsigned factor;
    struct timer *timer;
};

static const struct ldapconn_ops trial_ops;

static void plan(struct failback *f)
{
    ldapconn_free(&f->conn);
    timer_set(f->timer, f->source->env->conf->directory_return_time * (int64_t)f->factor);
}

static void try_target(struct failback *f, size_t i)
{
    struct ldap_env *env = f->source->env;
    ldapconn_free(&f->conn);
    f->target = i;
    if (i >= env->target_in_use) {
        plan(f);
        return;
    }
    f->conn = ldapconn_new(env, &env->targets[i], LDAPCONN_SERVICE, &trial_ops, f);
    timer_set(f->timer, env->conf->timeout * 2); /* for the connection and the search */
}

static void on_timer(void *arg)
{
    struct failback *f = arg;
    if (f->source->phase != PHASE_PERSIST || f->source->env->target_in_use == 0)
        ldapconn_free(&f->conn);
    else
        try_target(f, f->conn != NULL ? f->target + 1 : 0);
}

/* A server that takes connections may still have nothing to say: search_base is asked for. */
static void on_ready(struct ldapconn *c, void *arg)
{
    struct failback *f = arg;
    char *attrs[] = {(char *)LDAP_NO_ATTRS, NULL};
    if (ldap_search_ext(ldapconn_ld(c), f->source->env->conf->search_base, LDAP_SCOPE_BASE,
                        "(objectClass=*)", attrs, 0, NULL, NULL, NULL, 0,
                        &f->search_id) != LDAP_SUCCESS)
        try_target(f, f->target + 1);
}

static void on_message(struct ldapconn *c, LDAPMessage *msg, void *arg)
{
    struct failback *f = arg;
    struct source *s = f->source;
    int code = LDAP_OTHER;
    if (ldap_msgid(msg) != f->search_id || ldap_msgtype(msg) != LDAP_RES_SEARCH_RESULT)
        return;
    if (ldap_parse_result(ldapconn_ld(c), msg, &code, NULL, NULL, NULL, NULL, 0) != LDAP_SUCCESS ||
        code != LDAP_SUCCESS) {
        try_target(f, f->target + 1);
    } else if (s->phase == PHASE_PERSIST) {
        f->conn = NULL;
        timer_stop(f->timer);
        log_notice("an earlier server is back", LOG_STR("server", s->env->targets[f->target].uri));
        source_adopt(s, c, f->target);
    } else {
        ldapconn_free(&f->conn);
    }
}

static void on_closed(struct ldapconn *c, const char *why, void *arg)
{
    struct failback *f = arg;
    (void)c;
    (void)why;
    try_target(f, f->target + 1);
}

static const struct ldapconn_ops trial_ops = {
    .ready = on_ready, .message = on_message, .closed = on_closed};

void failback_watch(struct failback *f)
{
    if (f->source->env->target_in_use == 0)
        f->factor = 1;
    else if (f->conn == NULL)
        plan(f);
}

void failback_failed(struct failback *f)
{
    if (f->factor < PAUSE_FACTOR_MAX)
        f->factor *= 2;
}

struct failback *failback_new(struct source *s)
{
    struct failback *f = mem_zalloc(sizeof *f);
    f->source = s;
    f->factor = 1;
    f->timer = timer_new(s->env->loop, on_timer, f);
    return f;
}

void failback_free(struct failback **f)
{
    if (*f == NULL)
        return;
    ldapconn_free(&(*f)->conn);
    timer_free(&(*f)->timer);
    free(*f);
    *f = NULL;
}

#include "directory/bindpool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"

/* More than this many logins at one time are told to come back. */
#define PENDING_MAX 10000

struct bind_request {
    TAILQ_ENTRY(bind_request) link;
    struct bindpool *pool;
    struct slot *slot; /* that works on it; NULL: it waits */
    char *dn, *password;
    bind_fn *fn;
    void *arg;
    int64_t deadline;
    bool retried;
    bool refused; /* answered without asking a server */
};
TAILQ_HEAD(request_list, bind_request);

struct slot {
    struct bindpool *pool;
    struct ldapconn *conn; /* NULL: none */
    bool ready;
    bool used; /* a bind was answered on this connection */
    size_t target;
    struct bind_request *request; /* under way, or NULL */
    int msgid;
};

struct bindpool {
    struct ldap_env *env;
    struct slot *slots;
    size_t count;
    size_t failures; /* connections that failed since one was ready */
    struct request_list waiting;
    size_t pending;
    struct timer *timer; /* deadlines, and work that must not run inside a call */
};

static const struct ldapconn_ops slot_ops;

static void request_free(struct bind_request *r)
{
    free(r->dn);
    mem_wipe_free_str(r->password);
    free(r);
}

/* Takes the request out of the pool and answers it. */
static void answer_with(struct bind_request *r, const struct bind_answer *a)
{
    struct bindpool *pool = r->pool;
    if (r->slot != NULL)
        r->slot->request = NULL;
    else
        TAILQ_REMOVE(&pool->waiting, r, link);
    pool->pending--;
    if (r->fn != NULL)
        r->fn(a, r->arg);
    request_free(r);
}

static void answer(struct bind_request *r, enum directory_bind result, const char *text)
{
    const struct bind_answer a = {.result = result, .text = text};
    answer_with(r, &a);
}

static void answer_waiting(struct bindpool *pool, const char *text)
{
    struct bind_request *r;
    while ((r = TAILQ_FIRST(&pool->waiting)) != NULL)
        answer(r, DIRECTORY_BIND_UNAVAILABLE, text);
}

/* ---- connections ---- */

static void slot_connect(struct slot *slot)
{
    struct bindpool *pool = slot->pool;
    /* The server that the sync uses, and the ones behind it while there is none. */
    slot->target = (pool->env->target_in_use + pool->failures) % pool->env->target_count;
    slot->ready = slot->used = false;
    slot->conn = ldapconn_new(pool->env, &pool->env->targets[slot->target], LDAPCONN_NOBODY,
                              &slot_ops, slot);
}

/*
 * The connection is gone. A bind that was under way is tried once more elsewhere if the connection
 * had lain idle: servers close those, and the request may have crossed with the end. Otherwise a
 * second try could count a wrong password twice.
 */
static void slot_lost(struct slot *slot, const char *why)
{
    struct bindpool *pool = slot->pool;
    struct bind_request *r = slot->request;
    ldapconn_free(&slot->conn);
    slot->ready = false;
    if (r != NULL && slot->used && !r->retried) {
        slot->request = NULL;
        r->slot = NULL;
        r->retried = true;
        TAILQ_INSERT_HEAD(&pool->waiting, r, link);
    } else if (r != NULL) {
        answer(r, DIRECTORY_BIND_UNAVAILABLE, why);
    }
}

static void slot_send(struct slot *slot, struct bind_request *r)
{
    struct berval cred = {.bv_len = strlen(r->password), .bv_val = r->password};
    TAILQ_REMOVE(&slot->pool->waiting, r, link);
    slot->request = r;
    r->slot = slot;
    LDAPControl policy = {.ldctl_oid = (char *)LDAP_CONTROL_PASSWORDPOLICYREQUEST};
    LDAPControl *controls[] = {&policy, NULL};
    int rc = ldap_sasl_bind(ldapconn_ld(slot->conn), r->dn, LDAP_SASL_SIMPLE, &cred, controls, NULL,
                            &slot->msgid);
    if (rc != LDAP_SUCCESS)
        slot_lost(slot, ldap_err2string(rc));
}

/* Gives waiting requests to free connections, and makes connections while more wait. */
static void work(struct bindpool *pool)
{
    size_t coming = 0, waiting = 0;
    struct bind_request *r;
    for (size_t i = 0; i < pool->count; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->ready && slot->request == NULL && pool->failures == 0 &&
            slot->target != pool->env->target_in_use) {
            ldapconn_free(&slot->conn); /* the sync went to another server, and logins follow */
            slot->ready = false;
        }
        coming += slot->conn != NULL && !slot->ready;
        if (slot->ready && slot->request == NULL && (r = TAILQ_FIRST(&pool->waiting)) != NULL)
            slot_send(slot, r);
    }
    TAILQ_FOREACH (r, &pool->waiting, link)
        if (++waiting > pool->count)
            break;
    for (size_t i = 0; i < pool->count && coming < waiting; i++) {
        if (pool->slots[i].conn == NULL) {
            slot_connect(&pool->slots[i]);
            coming++;
        }
    }
}

static void on_ready(struct ldapconn *c, void *arg)
{
    struct slot *slot = arg;
    (void)c;
    slot->ready = true;
    slot->pool->failures = 0;
    work(slot->pool);
}

static void on_closed(struct ldapconn *c, const char *why, void *arg)
{
    struct slot *slot = arg;
    struct bindpool *pool = slot->pool;
    bool was_ready = slot->ready;
    char *text = mem_strdup(why);
    (void)c;
    slot_lost(slot, text);
    if (!was_ready) {
        log_warning("no connection for logins",
                    LOG_STR("server", pool->env->targets[slot->target].uri),
                    LOG_STR("reason", text));
        /* Several slots may fail at one server; that is one failure. Once each server has refused,
         * nobody has to wait for what is not coming. */
        size_t current = (pool->env->target_in_use + pool->failures) % pool->env->target_count;
        if (slot->target == current && ++pool->failures >= pool->env->target_count) {
            pool->failures = 0;
            answer_waiting(pool, text);
        }
    }
    free(text);
    work(pool);
}

static enum directory_bind judge(int code)
{
    switch (code) {
    case LDAP_SUCCESS:
        return DIRECTORY_BIND_OK;
    case LDAP_INVALID_CREDENTIALS:
    case LDAP_INAPPROPRIATE_AUTH:
    case LDAP_CONSTRAINT_VIOLATION: /* locked by the server's password policy */
        return DIRECTORY_BIND_INVALID;
    default:
        return DIRECTORY_BIND_UNAVAILABLE;
    }
}

/* What the policy control (draft-behera-ldap-password-policy) makes of a bind's result. */
static void read_policy(struct ldapconn *c, LDAPControl **controls, struct bind_answer *a,
                        const char *dn)
{
    LDAPControl *control = ldap_control_find(LDAP_CONTROL_PASSWORDPOLICYRESPONSE, controls, NULL);
    ber_int_t expires = -1, grace = -1;
    LDAPPasswordPolicyError error = PP_noError;
    if (control == NULL || ldap_parse_passwordpolicy_control(ldapconn_ld(c), control, &expires,
                                                             &grace, &error) != LDAP_SUCCESS)
        return;
    if (a->result == DIRECTORY_BIND_INVALID && error == PP_passwordExpired)
        a->result = DIRECTORY_BIND_EXPIRED;
    else if (a->result == DIRECTORY_BIND_INVALID && error == PP_accountLocked)
        a->result = DIRECTORY_BIND_LOCKED;
    else if (a->result == DIRECTORY_BIND_OK && error == PP_changeAfterReset)
        a->result = DIRECTORY_BIND_MUST_CHANGE;
    if (a->result != DIRECTORY_BIND_OK)
        return;
    if (grace >= 0)
        a->end = (struct password_end){PASSWORD_GRACE, (uint32_t)grace};
    else if (expires >= 0)
        a->end = (struct password_end){PASSWORD_EXPIRES, (uint32_t)expires};
    if (a->end.kind != PASSWORD_END_UNSAID)
        log_notice("a password ends soon", LOG_STR("dn", dn), LOG_INT("seconds", expires),
                   LOG_INT("grace_logins", grace));
}

static void on_message(struct ldapconn *c, LDAPMessage *msg, void *arg)
{
    struct slot *slot = arg;
    LDAPControl **controls = NULL;
    char *text = NULL;
    int code;
    if (slot->request == NULL || ldap_msgid(msg) != slot->msgid)
        return;
    int rc = ldap_parse_result(ldapconn_ld(c), msg, &code, NULL, &text, NULL, &controls, 0);
    if (rc != LDAP_SUCCESS)
        code = rc;
    slot->used = true;
    struct bind_answer a = {
        .result = judge(code),
        .no_entry = code == LDAP_NO_SUCH_OBJECT || code == LDAP_INVALID_DN_SYNTAX,
        .text = text != NULL && *text != '\0' ? text : ldap_err2string(code),
    };
    read_policy(c, controls, &a, slot->request->dn);
    ldap_controls_free(controls);
    answer_with(slot->request, &a);
    ldap_memfree(text);
    work(slot->pool);
}

static const struct ldapconn_ops slot_ops = {
    .ready = on_ready, .message = on_message, .closed = on_closed};

/* ---- requests ---- */

static void on_timer(void *arg)
{
    struct bindpool *pool = arg;
    int64_t now = clock_now_ms(), next = -1;
    struct bind_request *r, *after;
    for (size_t i = 0; i < pool->count; i++) {
        r = pool->slots[i].request;
        if (r != NULL && now >= r->deadline) {
            r->retried = true; /* the server has the password and says nothing */
            slot_lost(&pool->slots[i], "the server does not answer");
        } else if (r != NULL && (next < 0 || r->deadline < next)) {
            next = r->deadline;
        }
    }
    TAILQ_FOREACH_SAFE (r, &pool->waiting, link, after) {
        if (r->refused)
            answer(r, DIRECTORY_BIND_INVALID, "empty name or password");
        else if (now >= r->deadline)
            answer(r, DIRECTORY_BIND_UNAVAILABLE, "no connection was free in time");
        else if (next < 0 || r->deadline < next)
            next = r->deadline;
    }
    work(pool);
    if (next >= 0)
        timer_set(pool->timer, next > now ? next - now : 1);
}

struct bind_request *bindpool_verify(struct bindpool *pool, const char *dn, const char *password,
                                     bind_fn *fn, void *arg)
{
    struct bind_request *r = mem_zalloc(sizeof *r);
    r->pool = pool;
    r->dn = mem_strdup(dn);
    r->password = mem_strdup(password);
    r->fn = fn;
    r->arg = arg;
    /* An empty password is an unauthenticated bind, which succeeds for anybody (RFC 4513, 5.1.2).
     */
    r->refused = dn[0] == '\0' || password[0] == '\0';
    r->deadline = clock_now_ms() + (pool->pending < PENDING_MAX ? pool->env->conf->timeout : 0);
    TAILQ_INSERT_TAIL(&pool->waiting, r, link);
    pool->pending++;
    timer_set(pool->timer, 0);
    return r;
}

void bindpool_cancel(struct bind_request *r)
{
    r->fn = NULL; /* a bind under way cannot be taken back; its answer is not told */
}

size_t bindpool_pending(const struct bindpool *pool)
{
    return pool->pending;
}

struct bindpool *bindpool_new(struct ldap_env *env)
{
    struct bindpool *pool = mem_zalloc(sizeof *pool);
    pool->env = env;
    pool->count = (size_t)env->conf->directory_bind_connections;
    pool->slots = mem_zalloc(pool->count * sizeof *pool->slots);
    for (size_t i = 0; i < pool->count; i++)
        pool->slots[i].pool = pool;
    TAILQ_INIT(&pool->waiting);
    pool->timer = timer_new(env->loop, on_timer, pool);
    return pool;
}

void bindpool_free(struct bindpool **p)
{
    struct bindpool *pool = *p;
    struct bind_request *r;
    if (pool == NULL)
        return;
    *p = NULL;
    for (size_t i = 0; i < pool->count; i++) {
        ldapconn_free(&pool->slots[i].conn);
        if (pool->slots[i].request != NULL)
            request_free(pool->slots[i].request);
    }
    while ((r = TAILQ_FIRST(&pool->waiting)) != NULL) {
        TAILQ_REMOVE(&pool->waiting, r, link);
        request_free(r);
    }
    timer_free(&pool->timer);
    free(pool->slots);
    free(pool);
}

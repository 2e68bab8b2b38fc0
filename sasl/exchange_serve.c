/* The messages of protocol.h, and how an exchange begins. */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "sasl/certificate.h"
#include "sasl/exchange.h"
#include "sasl/protocol.h"

/* What a client may send in one step; front ends are bounded below that. */
#define EXCHANGE_DATA_MAX ((size_t)64 << 10)

struct start {
    uint32_t exchange;
    const char *service, *session;
    struct netaddr peer, local;
    bool tls;
    uint32_t tls_bits;
    const char *binding_name;
    const void *binding;
    size_t binding_len;
    bool has_certificate;
    struct certificate certificate;
    const char *mechanism;
    bool has_initial;
    const void *initial;
    size_t initial_len;
};

static int start_read(struct msg *m, struct start *s)
{
    s->exchange = msg_get_u32(m);
    s->service = msg_get_str(m);
    s->session = msg_get_str(m);
    s->peer = msg_get_addr(m);
    s->local = msg_get_addr(m);
    s->tls = msg_get_bool(m);
    s->tls_bits = msg_get_u32(m);
    s->binding_name = msg_get_str(m);
    s->binding = msg_get_bytes(m, &s->binding_len);
    if (certificate_read(m, &s->has_certificate, &s->certificate) < 0)
        return -1;
    s->mechanism = msg_get_str(m);
    s->has_initial = msg_get_bool(m);
    s->initial = msg_get_bytes(m, &s->initial_len);
    if (msg_end(m) < 0 || s->service == NULL || s->session == NULL || s->mechanism == NULL)
        return -1;
    return str_ieq(s->service, "smtp") || str_ieq(s->service, "imap") || str_ieq(s->service, "pop3")
               ? 0
               : -1;
}

/* What front ends check as well: the mechanism is one of ours, and clear text only where allowed.
 */
static bool start_allowed(const struct auth_process *p, const struct start *s)
{
    size_t len = strlen(s->mechanism);
    if (!s->tls && (p->conf->disable_plaintext_auth || !netaddr_is_loopback(&s->peer)))
        return false;
    if (str_istarts(s->mechanism, "SCRAM-") && str_iends(s->mechanism, "-PLUS"))
        len -= strlen("-PLUS");
    for (size_t i = 0; i < p->conf->auth_mechanisms.n; i++)
        if (str_is(s->mechanism, len, p->conf->auth_mechanisms.v[i]))
            return true;
    return false;
}

static bool peer_is_trusted(const struct auth_process *p, const struct netaddr *peer)
{
    for (size_t i = 0; i < p->trusted_count; i++)
        if (netaddr_prefix_contains(&p->trusted[i], peer))
            return true;
    return false;
}

static struct exchange *exchange_new(struct auth_process *p, struct ipc_peer *peer,
                                     const struct start *s)
{
    bool trusted = peer_is_trusted(p, &s->peer);
    if (p->exchanges >= (size_t)p->conf->auth_exchange_limit ||
        !p->hooks.session_begin(p->hooks.arg))
        return NULL;
    if (!trusted && !throttle_enter(p->throttle, &s->peer)) {
        p->hooks.session_end(p->hooks.arg);
        return NULL;
    }
    struct exchange *x = mem_zalloc(sizeof(*x));
    p->exchanges++;
    x->process = p;
    x->peer = peer;
    x->tree = ipc_peer_data(peer);
    x->id = s->exchange;
    x->client = s->peer;
    x->trusted = trusted;
    x->service = mem_strdup(s->service);
    x->session = mem_strdup(s->session);
    x->mechanism = mem_strdup(s->mechanism);
    for (char *c = x->mechanism; *c != '\0'; c++)
        if (*c >= 'a' && *c <= 'z')
            *c -= 'a' - 'A';
    x->timer = timer_new(p->loop, exchange_timer, x);
    x->deadline = clock_now_ms() + p->conf->auth_timeout;
    timer_set(x->timer, p->conf->auth_timeout);
    RB_INSERT(exchange_tree, x->tree, x);
    return x;
}

/* Whose the certificate is; false where the exchange has gone on to its end. */
static bool exchange_know_certificate(struct exchange *x, const struct start *s)
{
    const char *why = "the client gave no certificate";
    enum login_answer answer = LOGIN_REFUSED;
    if (s->has_certificate)
        answer = certificate_login(x->process, &s->certificate, &x->login, &x->by, &why);
    if (answer != LOGIN_UNKNOWN &&
        !exchange_claim(x, &x->login.owner, s->has_certificate ? s->certificate.fingerprint : "")) {
        exchange_undecided(x, "too many attempts at this login under way");
        return false;
    }
    x->keys_owner = x->login.owner;
    x->known = answer == LOGIN_FOUND;
    if (answer == LOGIN_UNKNOWN)
        exchange_undecided(x, why);
    else if (answer == LOGIN_REFUSED)
        exchange_refuse(x, why);
    return answer == LOGIN_FOUND;
}

static void exchange_begin(struct exchange *x, const struct start *s)
{
    if (strcmp(x->mechanism, "EXTERNAL") == 0 && !exchange_know_certificate(x, s))
        return;
    const struct conversation_setup setup = {
        .service = x->service,
        .peer = &s->peer,
        .local = &s->local,
        .tls_bits = !s->tls           ? 0
                    : s->tls_bits > 0 ? (int)s->tls_bits
                                      : 1,
        .binding_name = s->binding_name,
        .binding = s->binding,
        .binding_len = s->binding_len,
        .external = x->known ? x->login.name : NULL,
    };
    const char *out;
    size_t len;
    x->conversation = conversation_new(x->process->cyrus, &setup, &exchange_conversation_ops, x);
    if (x->conversation == NULL) {
        exchange_undecided(x, "no SASL conversation");
        return;
    }
    /* An empty first answer is not the same as none. */
    const char *initial = !s->has_initial ? NULL : s->initial_len > 0 ? s->initial : "";
    enum conversation_result r = conversation_start(
        x->conversation, x->mechanism, initial, s->has_initial ? s->initial_len : 0, &out, &len);
    exchange_go_on(x, r, out, len);
}

static struct exchange_tree *peer_tree(struct ipc_peer *peer)
{
    struct exchange_tree *tree = ipc_peer_data(peer);
    if (tree == NULL) {
        tree = mem_zalloc(sizeof(*tree));
        RB_INIT(tree);
        ipc_peer_set_data(peer, tree);
    }
    return tree;
}

static struct exchange *peer_find(struct ipc_peer *peer, uint32_t id)
{
    struct exchange want = {.id = id};
    return RB_FIND(exchange_tree, peer_tree(peer), &want);
}

static void answer(struct ipc_peer *peer, uint32_t reply_id, enum auth_result result)
{
    struct msg *m = result_msg(result, NULL, 0);
    ipc_reply(peer, reply_id, &m);
}

static int handle_start(struct auth_process *p, struct ipc_peer *peer, struct msg *m)
{
    struct start s;
    if (start_read(m, &s) < 0 || msg_id(m) == 0 || peer_find(peer, s.exchange) != NULL)
        return -1;
    if (!start_allowed(p, &s)) {
        answer(peer, msg_id(m), AUTH_BAD_MECH);
        return 0;
    }
    if (s.initial_len > EXCHANGE_DATA_MAX) {
        answer(peer, msg_id(m), AUTH_BAD_SYNTAX);
        return 0;
    }
    struct exchange *x = exchange_new(p, peer, &s);
    if (x == NULL) {
        char text[NETADDR_STRLEN];
        log_warning("too many logins at one time", LOG_STR("id", s.session),
                    LOG_STR("peer", netaddr_str(&s.peer, text)), LOG_UINT("all", p->exchanges));
        answer(peer, msg_id(m), AUTH_TEMPORARY);
        return 0;
    }
    x->reply_id = msg_id(m);
    x->arrived = clock_now_ms();
    exchange_begin(x, &s);
    return 0;
}

static int handle_step(struct ipc_peer *peer, struct msg *m)
{
    size_t len, out_len;
    uint32_t id = msg_get_u32(m);
    const char *data = msg_get_bytes(m, &len), *out;
    if (msg_end(m) < 0 || msg_id(m) == 0)
        return -1;
    struct exchange *x = peer_find(peer, id);
    if (x == NULL) {
        answer(peer, msg_id(m), AUTH_TEMPORARY); /* it took too long */
        return 0;
    }
    if (x->reply_id != 0)
        return -1;
    x->reply_id = msg_id(m);
    x->arrived = clock_now_ms();
    if (len > EXCHANGE_DATA_MAX) {
        exchange_end_at(x, AUTH_BAD_SYNTAX, x->process->conf->auth_failure_delay);
        return 0;
    }
    enum conversation_result r =
        conversation_step(x->conversation, len > 0 ? data : "", len, &out, &out_len);
    exchange_go_on(x, r, out, out_len);
    return 0;
}

/* A client that hangs up while its password is verified has had its guess all the same. */
static void exchange_abandon(struct exchange *x)
{
    char owner[UUID_STRLEN];
    if (x->state == EXCHANGE_BIND) {
        exchange_log(x, "given up", "the client left");
        (void)throttle_failed(x->process->throttle, x->trusted ? NULL : &x->client,
                              uuid_str(&x->login.owner, owner));
    }
    exchange_free(x);
}

static int handle_cancel(struct ipc_peer *peer, struct msg *m)
{
    uint32_t id = msg_get_u32(m);
    if (msg_end(m) < 0)
        return -1;
    struct exchange *x = peer_find(peer, id);
    if (x != NULL)
        exchange_abandon(x);
    return 0;
}

static int exchange_request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    struct auth_process *p = arg;
    switch (msg_type(m)) {
    case AUTH_MSG_START:
        return handle_start(p, peer, m);
    case AUTH_MSG_STEP:
        return handle_step(peer, m);
    case AUTH_MSG_CANCEL:
        return handle_cancel(peer, m);
    default:
        return -1;
    }
}

static void exchange_peer_gone(struct ipc_peer *peer, void *arg)
{
    struct exchange_tree *tree = ipc_peer_data(peer);
    struct exchange *x;
    (void)arg;
    if (tree == NULL)
        return;
    while ((x = RB_MIN(exchange_tree, tree)) != NULL)
        exchange_free(x);
    free(tree);
    ipc_peer_set_data(peer, NULL);
}

const struct ipc_server_ops exchange_ops = {
    .request = exchange_request,
    .gone = exchange_peer_gone,
};

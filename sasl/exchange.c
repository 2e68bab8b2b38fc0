/*
 * Exchanges with front ends. The story of one:
 *
 *   START, STEP  ->  Cyrus steps  ->  RESULT continue ... (the client's turn)
 *                                 ->  proved by key     ->  the entry is looked up  ->  RESULT
 *                                 ->  a password        ->  looked up, BIND at dirigo-directory
 *                                                           ->  RESULT
 *   With EXTERNAL the client's certificate is the proof, and its entry is looked up first. Who asks
 *   to act for another is judged last, when it is known who asks.
 *
 * A refusal waits: it leaves a delay after the client's last bytes came, not after it was decided,
 * so that it tells nothing of how long deciding took and a name that exists looks like one that
 * does not. auth_timeout bounds everything before.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>

#include "directory/protocol.h"
#include "gateway/base/clock.h"
#include "gateway/base/hmac.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/base/ticket.h"
#include "sasl/auth.h"
#include "sasl/certificate.h"
#include "sasl/client.h" /* enum auth_result */
#include "sasl/protocol.h"

/* What a client may send in one step; front ends are bounded below that. */
#define EXCHANGE_DATA_MAX ((size_t)64 << 10)
#define LOG_NAME_MAX      256

enum exchange_state {
    EXCHANGE_CLIENT, /* the client's answer is awaited */
    EXCHANGE_BIND,   /* dirigo-directory verifies the password */
    EXCHANGE_DELAY   /* decided; the answer waits */
};

struct exchange {
    RB_ENTRY(exchange) node;
    struct auth_process *process;
    struct ipc_peer *peer;
    struct exchange_tree *tree; /* of the peer */
    uint32_t id;
    uint32_t reply_id; /* of the request that waits for its answer; 0: none */
    uint32_t bind_id;
    enum exchange_state state;
    struct timer *timer;
    int64_t arrived; /* when the client's last bytes came */
    int64_t deadline;
    struct conversation *conversation;
    char *service, *session, *mechanism;
    struct netaddr client;
    bool trusted; /* the client is in mynetworks */
    bool bound;   /* the password was verified */
    bool wanted;  /* the name was asked for, where each one has to be */
    struct directory_query *want;
    char *claimed;          /* the name or entry that this is an attempt at; NULL: not known yet */
    struct uuid keys_owner; /* whose keys, or whose certificate, is the proof */
    bool external;          /* by certificate: login is known before the conversation */
    struct login login;
    struct login actor; /* who acts for login, where that is another entry */
    const char *by;     /* for the log: what made the entry known, or the acting right; or NULL */
    enum auth_result result; /* EXCHANGE_DELAY */
};

static int exchange_cmp(const struct exchange *a, const struct exchange *b)
{
    return a->id < b->id ? -1 : a->id > b->id;
}

RB_HEAD(exchange_tree, exchange);
RB_GENERATE_INTERNAL(exchange_tree, exchange, node, exchange_cmp, static __attribute__((unused)))

/* ---- life ---- */

static void exchange_free(struct exchange *x)
{
    struct auth_process *p = x->process;
    RB_REMOVE(exchange_tree, x->tree, x);
    directory_query_cancel(&x->want);
    if (x->bind_id != 0)
        ipc_cancel(p->binder, x->bind_id);
    timer_free(&x->timer);
    conversation_free(&x->conversation);
    login_clear(&x->login);
    login_clear(&x->actor);
    if (!x->trusted)
        throttle_leave(p->throttle, &x->client);
    if (x->claimed != NULL)
        throttle_release(p->throttle, x->claimed);
    free(x->claimed);
    free(x->service);
    free(x->session);
    free(x->mechanism);
    free(x);
    p->exchanges--;
    p->hooks.session_end(p->hooks.arg);
}

static struct msg *result_msg(enum auth_result result, const void *challenge, size_t len)
{
    struct msg *m = msg_new(AUTH_MSG_RESULT);
    msg_put_u8(m, (uint8_t)result);
    msg_put_bytes(m, challenge, len);
    return m;
}

static void exchange_reply(struct exchange *x, struct msg *m)
{
    uint32_t id = x->reply_id;
    x->reply_id = 0;
    ipc_reply(x->peer, id, &m);
}

static void process_report(struct auth_process *p)
{
    char text[160];
    (void)snprintf(text, sizeof(text), "exchanges=%zu logins=%llu refused=%llu undecided=%llu",
                   p->exchanges, (unsigned long long)p->succeeded, (unsigned long long)p->failed,
                   (unsigned long long)p->undecided);
    p->hooks.report(text, p->hooks.arg);
}

static void exchange_log(struct exchange *x, const char *result, const char *why)
{
    char peer[NETADDR_STRLEN];
    const char *name = x->login.name;
    if (name == NULL && x->conversation != NULL)
        name = conversation_user(x->conversation);
    struct log_field fields[] = {
        LOG_STR("id", x->session),
        LOG_STR("service", x->service),
        LOG_STR("mechanism", x->mechanism),
        LOG_BYTES("login", name, name == NULL ? 0 : strnlen(name, LOG_NAME_MAX)),
        LOG_STR("peer", netaddr_str(&x->client, peer)),
        LOG_STR("result", result),
        {0},
        {0},
        {0},
        {0},
    };
    size_t n = sizeof(fields) / sizeof(*fields) - 4;
    if (x->by != NULL)
        fields[n++] = LOG_STR("by", x->by);
    if (x->actor.name != NULL)
        fields[n++] = LOG_STR("actor", x->actor.name);
    if (why != NULL)
        fields[n++] = LOG_STR("reason", why);
    log_write(LOG_LEVEL_INFO, "login", fields);
}

/* ---- ends ---- */

/* What opens the mailbox of who has logged in. */
static void exchange_put_ticket(const struct exchange *x, struct msg *m)
{
    uint8_t ticket[TICKET_LEN];
    if (x->process->ticket_key == NULL) {
        msg_put_bytes(m, "", 0);
        return;
    }
    ticket_make(x->process->ticket_key, &x->login.owner, x->session,
                clock_now_ms() + TICKET_LIFETIME_MS, ticket);
    msg_put_bytes(m, ticket, sizeof(ticket));
    explicit_bzero(ticket, sizeof(ticket));
}

/* Answers and ends. */
static void exchange_end(struct exchange *x, enum auth_result result)
{
    struct auth_process *p = x->process;
    struct msg *m = result_msg(result, NULL, 0);
    if (result == AUTH_OK) {
        msg_put_uuid(m, &x->login.owner);
        msg_put_str(m, x->login.name);
        msg_put_str(m, x->login.address);
        msg_put_str(m, x->login.dn);
        msg_put_str(m, x->login.mail_host);
        exchange_put_ticket(x, m);
    }
    exchange_reply(x, m);
    exchange_free(x);
    process_report(p);
}

static void exchange_end_at(struct exchange *x, enum auth_result result, int64_t delay)
{
    int64_t left = x->arrived + delay - clock_now_ms();
    x->state = EXCHANGE_DELAY;
    x->result = result;
    /* Nothing of the conversation is needed any more. */
    conversation_free(&x->conversation);
    timer_set(x->timer, left > 0 ? left : 0);
}

static void exchange_refuse_as(struct exchange *x, enum auth_result result, const char *why)
{
    struct auth_process *p = x->process;
    char owner[UUID_STRLEN];
    const char *name = x->conversation != NULL ? conversation_user(x->conversation) : x->claimed;
    exchange_log(x, "denied", why);
    /* An entry counts as one, by whatever name it is called. */
    if (x->login.name != NULL)
        name = uuid_str(&x->login.owner, owner);
    p->failed++;
    exchange_end_at(
        x, result,
        throttle_failed(p->throttle, x->trusted ? NULL : &x->client, name == NULL ? "" : name));
}

static void exchange_refuse(struct exchange *x, const char *why)
{
    exchange_refuse_as(x, AUTH_DENIED, why);
}

static void exchange_undecided(struct exchange *x, const char *why)
{
    exchange_log(x, "temporary", why);
    x->process->undecided++;
    exchange_end(x, AUTH_TEMPORARY);
}

/* It may not, or that cannot be told now: the refusal tells no more than any other. */
static void exchange_not_for(struct exchange *x, enum login_answer answer, const char *other,
                             const char *why)
{
    log_info("acting for another", LOG_STR("id", x->session), LOG_STR("login", x->login.name),
             LOG_BYTES("other", other, strnlen(other, LOG_NAME_MAX)),
             LOG_STR("result", answer == LOGIN_UNKNOWN ? "temporary" : "denied"));
    if (answer == LOGIN_UNKNOWN)
        exchange_undecided(x, why);
    else
        exchange_refuse(x, why);
}

static void exchange_succeed(struct exchange *x)
{
    struct auth_process *p = x->process;
    const struct login *who = x->actor.name != NULL ? &x->actor : &x->login;
    char owner[UUID_STRLEN];
    throttle_succeeded(p->throttle, uuid_str(&who->owner, owner));
    throttle_succeeded(p->throttle, who->name);
    p->succeeded++;
    exchange_log(x, "ok", NULL);
    exchange_end(x, AUTH_OK);
}

/* The client has proved who it is; may it act for whom it asks to? */
static void exchange_authorise(struct exchange *x)
{
    const char *other = conversation_other(x->conversation), *why = "", *by = NULL;
    struct login target = {0};
    enum login_answer answer = LOGIN_FOUND;
    if (other != NULL)
        answer = login_lookup(x->process, other, &target, &why);
    if (other != NULL && answer == LOGIN_FOUND && !uuid_eq(&target.owner, &x->login.owner)) {
        answer = act_for(x->process, &x->login, &target, &by, &why);
        if (answer == LOGIN_FOUND) {
            x->by = by;
            x->actor = x->login;
            x->login = target;
            memset(&target, 0, sizeof(target));
        }
    }
    if (answer == LOGIN_FOUND)
        exchange_succeed(x);
    else
        exchange_not_for(x, answer, other, why);
    login_clear(&target);
}

static void exchange_timer(void *arg)
{
    struct exchange *x = arg;
    if (x->state == EXCHANGE_DELAY) {
        exchange_end(x, x->result);
    } else if (x->reply_id != 0) {
        exchange_undecided(x, "timed out");
    } else {
        exchange_log(x, "given up", "the client did not answer");
        exchange_free(x);
    }
}

/* ---- deciding ---- */

/* Too many wrong passwords lately: nobody is asked whether this one is right. */
static void exchange_hold(struct exchange *x)
{
    exchange_log(x, "temporary", "too many wrong passwords lately");
    x->process->undecided++;
    exchange_end_at(x, AUTH_TEMPORARY, x->process->conf->auth_failure_delay);
}

/* A password for a name without an entry to log in to: counted as one for an entry is. */
static void exchange_refuse_name(struct exchange *x, const char *name, const char *password,
                                 const char *why)
{
    struct guesses *g = x->process->guesses;
    struct uuid id;
    uint8_t hash[HMAC_LEN];
    char *lower = mem_strdup(name);
    str_lower(lower);
    hash_sha256(lower, strlen(lower), hash);
    free(lower);
    memcpy(id.bytes, hash, sizeof(id.bytes));
    if (!guesses_begin(g, &id)) {
        exchange_hold(x);
        return;
    }
    guesses_end(g, &id, password, GUESS_WRONG);
    exchange_refuse(x, why);
}

static int exchange_bound(enum ipc_status status, struct msg *m, void *arg)
{
    struct exchange *x = arg;
    unsigned result = DIRECTORY_BIND_UNAVAILABLE;
    const char *text = "";

    x->bind_id = 0;
    if (status == IPC_OK) {
        result = msg_get_u8(m);
        text = msg_get_str(m);
        if (msg_type(m) != DIRECTORY_MSG_BIND_RESULT || msg_end(m) < 0 ||
            result > DIRECTORY_BIND_HELD) {
            exchange_undecided(x, "dirigo-directory spoke nonsense");
            return -1;
        }
        log_debug("bind", LOG_STR("id", x->session), LOG_UINT("result", result),
                  LOG_STR("text", text));
    }
    switch ((enum directory_bind)result) {
    case DIRECTORY_BIND_OK:
        x->bound = true;
        exchange_authorise(x);
        break;
    case DIRECTORY_BIND_INVALID:
        exchange_refuse(x, "wrong password");
        break;
    case DIRECTORY_BIND_EXPIRED:
        exchange_refuse_as(x, AUTH_EXPIRED, "the password has expired");
        break;
    case DIRECTORY_BIND_LOCKED:
        exchange_refuse_as(x, AUTH_LOCKED, "the directory has locked the account");
        break;
    case DIRECTORY_BIND_MUST_CHANGE:
        exchange_refuse_as(x, AUTH_MUST_CHANGE, "the password must be changed first");
        break;
    case DIRECTORY_BIND_HELD:
        exchange_hold(x);
        break;
    case DIRECTORY_BIND_UNAVAILABLE:
        exchange_undecided(x, "the directory cannot verify the password");
        break;
    }
    return 0;
}

static void exchange_bind(struct exchange *x, const char *password)
{
    struct auth_process *p = x->process;
    if (*password == '\0') {
        /* A bind without a password succeeds at many servers, as nobody (RFC 4513 section 5.1.2).
         */
        exchange_refuse(x, "empty password");
        return;
    }
    struct msg *m = msg_new(DIRECTORY_MSG_BIND);
    msg_put_uuid(m, &x->login.owner);
    msg_put_str(m, password);
    x->state = EXCHANGE_BIND;
    int64_t left = x->deadline - clock_now_ms();
    x->bind_id = ipc_request(p->binder, &m, left > 1 ? left : 1, exchange_bound, x);
}

/*
 * Counts the exchange as an attempt at an entry, or at a name that nobody has: false where too many
 * are under way. A refused one is, until its delay is over, so that the delay bounds guessing by
 * many connections, too.
 */
static bool exchange_claim(struct exchange *x, const struct uuid *owner, const char *name)
{
    static const struct uuid nobody;
    char text[UUID_STRLEN];
    if (x->claimed != NULL)
        return true;
    if (!uuid_eq(owner, &nobody))
        name = uuid_str(owner, text);
    if (!throttle_claim(x->process->throttle, name))
        return false;
    x->claimed = mem_strdup(name);
    return true;
}

/* The entry of who the client says it is. */
static enum login_answer exchange_look_up(struct exchange *x, const char *name, const char **why)
{
    if (x->external)
        return LOGIN_FOUND;
    if (strcmp(x->mechanism, "GSSAPI") != 0)
        return login_lookup(x->process, name, &x->login, why);
    enum login_answer answer = principal_login(x->process, name, &x->login, &x->by, why);
    x->keys_owner = x->login.owner;
    return answer;
}

static void exchange_decide(struct exchange *x);

static void exchange_wanted(void *arg)
{
    struct exchange *x = arg;
    x->want = NULL;
    exchange_decide(x);
}

/* Whether the name's entry is being asked for; then the decision comes when it is here. */
static bool exchange_wants(struct exchange *x, const char *name)
{
    if (x->external || x->wanted)
        return false;
    x->wanted = true;
    x->want = directory_want(x->process->directory, WANTED_LOGIN, name, NULL, exchange_wanted, x);
    return x->want != NULL;
}

/* The client has said who it is, and has proved it or given a password. */
static void exchange_decide(struct exchange *x)
{
    if (exchange_wants(x, conversation_user(x->conversation)))
        return;
    const char *why = "", *password = conversation_password(x->conversation);
    const char *name = conversation_user(x->conversation);
    enum login_answer answer = exchange_look_up(x, name, &why);
    if (answer != LOGIN_UNKNOWN && !exchange_claim(x, &x->login.owner, name)) {
        exchange_undecided(x, "too many attempts at this login under way");
        return;
    }
    switch (answer) {
    case LOGIN_UNKNOWN:
        exchange_undecided(x, why);
        return;
    case LOGIN_REFUSED:
        if (password != NULL && *password != '\0')
            exchange_refuse_name(x, name, password, why);
        else
            exchange_refuse(x, why);
        return;
    case LOGIN_FOUND:
        break;
    }
    if (password != NULL)
        exchange_bind(x, password);
    else if (!uuid_eq(&x->login.owner, &x->keys_owner))
        exchange_undecided(x, "the name went to another entry meanwhile");
    else
        exchange_authorise(x);
}

static void exchange_go_on(struct exchange *x, enum conversation_result result, const char *out,
                           size_t len)
{
    switch (result) {
    case CONVERSATION_CONTINUE:
        exchange_reply(x, result_msg(AUTH_CONTINUE, out, len));
        break;
    case CONVERSATION_DONE:
        exchange_decide(x);
        break;
    case CONVERSATION_NO_MECHANISM:
        exchange_end(x, AUTH_BAD_MECH);
        break;
    case CONVERSATION_MALFORMED:
        exchange_log(x, "denied", "malformed");
        exchange_end_at(x, AUTH_BAD_SYNTAX, x->process->conf->auth_failure_delay);
        break;
    case CONVERSATION_UNAVAILABLE:
        exchange_undecided(x, "keys cannot be read");
        break;
    case CONVERSATION_DENIED:
        exchange_refuse(x, "not proved");
        break;
    }
}

/* ---- what the conversation asks ---- */

static int exchange_keys(const char *user, struct secrets_list *out, void *arg)
{
    struct exchange *x = arg;
    if (login_keys(x->process, user, x->mechanism, &x->keys_owner, out) < 0)
        return -1;
    if (exchange_claim(x, &x->keys_owner, user))
        return 0;
    secrets_list_wipe(out);
    return -1;
}

static const struct conversation_ops conversation_ops = {
    .keys = exchange_keys,
};

/* ---- messages ---- */

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
    x->external = answer == LOGIN_FOUND;
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
        .external = x->external ? x->login.name : NULL,
    };
    const char *out;
    size_t len;
    x->conversation = conversation_new(x->process->cyrus, &setup, &conversation_ops, x);
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

#include "gateway/session/login.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "gateway/base/buf.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/base/uuid.h"
#include "gateway/session/front_tls.h"
#include "gateway/session/handoff.h"
#include "gateway/session/peers.h"
#include "sasl/client.h"

/* A client that does not read its replies is not served on. */
#define OUTPUT_MAX ((size_t)64 << 10)

enum login_phase {
    LOGIN_COMMAND,   /* takes commands */
    LOGIN_ANSWER,    /* takes the answer to a challenge */
    LOGIN_HANDSHAKE, /* TLS begins */
    LOGIN_AUTH,      /* dirigo-auth decides */
    LOGIN_GIVING,    /* dirigo-mailbox is asked to take the connection */
    LOGIN_GONE,      /* it has it; the TLS side runs here */
    LOGIN_OVER       /* to be freed */
};

struct login {
    TAILQ_ENTRY(login) link;
    struct login_process *process;
    const struct login_protocol *protocol;
    enum login_phase phase;
    struct stream *stream;
    struct timer *timer;
    struct auth *auth;
    char id[ID_STRLEN];
    struct netaddr peer, local;
    bool greeted;
    bool counted;    /* in the table of peers */
    bool behind_tls; /* while the stream is away */
    unsigned bad_commands, failures;
    void *state;
};

struct login_process {
    struct login_setup setup;
    const struct conf *conf;
    struct auth_client *auth;
    struct handoff *handoff;
    struct peers *peers;
    bool draining;
    TAILQ_HEAD(, login) logins;
};

/* ---- small answers ---- */

void *login_state(struct login *l)
{
    return l->state;
}

struct stream *login_stream(struct login *l)
{
    return l->stream;
}

const struct conf *login_conf(const struct login *l)
{
    return l->process->conf;
}

const char *login_id(const struct login *l)
{
    return l->id;
}

bool login_is_tls(const struct login *l)
{
    return stream_is_tls(l->stream);
}

const char *login_mechanisms(const struct login *l)
{
    struct tls_info info = {0};
    bool tls = login_is_tls(l);
    if (tls)
        stream_tls_info(l->stream, &info);
    return auth_mechanisms(l->process->auth, tls, info.peer, &l->peer);
}

bool login_offers(const struct login *l, const char *mechanism)
{
    const char *cursor = login_mechanisms(l), *word;
    size_t len;
    while (str_token(&cursor, " ", &word, &len))
        if (str_is(word, len, mechanism))
            return true;
    return false;
}

bool login_wants_answer(const struct login *l)
{
    return l->phase == LOGIN_ANSWER;
}

/* ---- ends ---- */

static void login_uncount(struct login *l)
{
    if (l->counted)
        peers_leave(l->process->peers, &l->peer);
    l->counted = false;
}

/* What is needed until login only; a session behind TLS may live for days. */
static void login_shed(struct login *l)
{
    timer_free(&l->timer);
    auth_free(&l->auth);
    if (l->state != NULL) {
        l->protocol->end(l);
        mem_wipe_free(l->state, l->protocol->state_size);
        l->state = NULL;
    }
    login_uncount(l);
}

static void login_free(struct login *l)
{
    struct login_process *p = l->process;
    login_shed(l);
    stream_free(&l->stream);
    TAILQ_REMOVE(&p->logins, l, link);
    free(l);
    p->setup.session_end(p->setup.arg);
}

void login_quit(struct login *l)
{
    stream_finish(&l->stream);
    l->phase = LOGIN_OVER;
}

static void login_say_bye(struct login *l, enum login_bye why)
{
    if (l->phase != LOGIN_HANDSHAKE)
        l->protocol->bye(l->stream, why);
    login_quit(l);
}

void login_bad_command(struct login *l)
{
    if (l->phase == LOGIN_OVER || ++l->bad_commands < l->process->conf->login_error_limit)
        return;
    log_info("too many bad commands", LOG_STR("id", l->id));
    login_say_bye(l, LOGIN_BYE_ERRORS);
}

static void login_timed_out(void *arg)
{
    struct login *l = arg;
    log_debug("login timed out", LOG_STR("id", l->id));
    if (l->phase == LOGIN_GIVING)
        return; /* it has a time-out of its own, and the stream */
    login_say_bye(l, LOGIN_BYE_TIMEOUT);
    login_free(l);
}

/* Takes commands as long as there are any; l may be gone afterwards. */
static void login_run(struct login *l)
{
    while ((l->phase == LOGIN_COMMAND || l->phase == LOGIN_ANSWER) &&
           stream_pending(l->stream) < OUTPUT_MAX) {
        if (!l->protocol->next(l))
            break;
    }
    if (l->phase == LOGIN_COMMAND && l->process->draining)
        login_say_bye(l, LOGIN_BYE_SHUTDOWN);
    if (l->phase == LOGIN_OVER)
        login_free(l);
}

/* ---- the stream ---- */

static void login_input(struct stream *s, void *arg)
{
    (void)s;
    login_run(arg);
}

static void login_closed(struct stream *s, enum stream_end why, void *arg)
{
    struct login *l = arg;
    if (why == STREAM_TLS_ERROR) {
        char peer[NETADDR_STRLEN];
        log_info("TLS failed", LOG_STR("id", l->id), LOG_STR("peer", netaddr_str(&l->peer, peer)),
                 LOG_STR("error", stream_error(s)));
    }
    login_free(l);
}

static void login_secured(struct stream *s, void *arg)
{
    struct login *l = arg;
    front_tls_log(s, l->id);
    l->phase = LOGIN_COMMAND;
    if (!l->greeted)
        l->protocol->greet(l);
    l->greeted = true;
    login_run(l);
}

static const struct stream_ops login_ops = {
    .input = login_input, .drained = login_input, .secured = login_secured, .closed = login_closed};

void login_start_tls(struct login *l)
{
    size_t discarded = 0;
    l->phase = LOGIN_HANDSHAKE;
    /* The protocol forgets what it knows from before (RFC 3501 section 6.2.1). */
    auth_free(&l->auth);
    l->protocol->end(l);
    explicit_bzero(l->state, l->protocol->state_size);
    l->protocol->begin(l);
    stream_start_tls_server(l->stream, l->process->setup.tls, &discarded);
    if (discarded > 0) {
        char peer[NETADDR_STRLEN];
        log_warning("commands were sent in clear text behind STARTTLS", LOG_STR("id", l->id),
                    LOG_STR("peer", netaddr_str(&l->peer, peer)), LOG_UINT("bytes", discarded));
    }
}

/* ---- handing over ---- */

static void login_failed(struct login *l, enum login_failure why)
{
    l->phase = LOGIN_COMMAND;
    l->protocol->failed(l, why);
    if (why != LOGIN_CANCELLED && ++l->failures >= l->process->conf->login_failure_limit)
        login_say_bye(l, LOGIN_BYE_ERRORS);
}

static void login_session_ended(void *arg)
{
    struct login *l = arg;
    log_debug("session ended", LOG_STR("id", l->id));
    login_free(l);
}

static void login_given(bool taken, struct stream *back, void *arg)
{
    struct login *l = arg;
    if (!taken) {
        l->stream = back;
        if (back == NULL) {
            login_free(l);
            return;
        }
        stream_set_ops(back, &login_ops, l);
        if (!timer_pending(l->timer))
            timer_set(l->timer, l->process->conf->login_timeout);
        log_warning("dirigo-mailbox did not take a session", LOG_STR("id", l->id));
        login_failed(l, LOGIN_TEMPORARY);
        login_run(l);
        return;
    }
    l->phase = LOGIN_GONE;
    if (l->behind_tls)
        login_shed(l);
    else
        login_free(l);
}

static void login_hand_over(struct login *l, const struct auth_identity *who)
{
    char notice[PASSWORD_END_STRLEN];
    const struct handoff_session session = {
        .protocol = l->protocol->name,
        .id = l->id,
        .tag = l->protocol->tag(l),
        .owner = who->owner,
        .login = who->login,
        .address = who->address,
        .peer = l->peer,
        .ticket = who->ticket,
        .ticket_len = who->ticket_len,
        .notice = password_end_str(&who->password_end, notice),
    };
    l->phase = LOGIN_GIVING;
    l->behind_tls = login_is_tls(l);
    handoff_give(l->process->handoff, &l->stream, &session, login_given, login_session_ended, l);
}

/* Where the mailbox is decides who gets the connection. */
static void login_succeeded(struct login *l, const struct auth_identity *who)
{
    if (who->mail_host != NULL) {
        log_warning("the mailbox is on another host, to which logins are not passed on yet",
                    LOG_STR("id", l->id), LOG_STR("login", who->login),
                    LOG_STR("host", who->mail_host));
        login_failed(l, LOGIN_TEMPORARY);
        return;
    }
    login_hand_over(l, who);
}

/* ---- SASL ---- */

static void login_challenged(struct login *l, const struct auth_reply *reply)
{
    struct buf text = {0};
    (void)str_base64_encode(&text, reply->challenge, reply->challenge_len);
    l->phase = LOGIN_ANSWER;
    l->protocol->challenge(l, buf_str(&text));
    buf_wipe_free(&text);
}

static void login_auth_done(const struct auth_reply *reply, void *arg)
{
    struct login *l = arg;
    switch (reply->result) {
    case AUTH_OK:
        login_succeeded(l, reply->identity);
        break;
    case AUTH_CONTINUE:
        login_challenged(l, reply);
        break;
    case AUTH_DENIED:
        login_failed(l, LOGIN_DENIED);
        break;
    case AUTH_EXPIRED:
        login_failed(l, LOGIN_EXPIRED);
        break;
    case AUTH_LOCKED:
        login_failed(l, LOGIN_LOCKED);
        break;
    case AUTH_MUST_CHANGE:
        login_failed(l, LOGIN_MUST_CHANGE);
        break;
    case AUTH_TEMPORARY:
        login_failed(l, LOGIN_TEMPORARY);
        break;
    case AUTH_BAD_MECH:
        login_failed(l, LOGIN_NO_MECHANISM);
        break;
    case AUTH_BAD_SYNTAX:
        login_failed(l, LOGIN_BAD_SYNTAX);
        break;
    }
    login_run(l);
}

static struct auth *login_make_auth(struct login *l)
{
    struct auth_session session = {
        .service = l->protocol->name, .id = l->id, .peer = l->peer, .local = l->local};
    struct buf binding = {0};
    struct tls_info info;

    if (l->auth != NULL)
        return l->auth;
    session.tls = login_is_tls(l);
    if (session.tls) {
        stream_tls_info(l->stream, &info);
        session.tls_bits = info.bits;
        session.certificate = info.peer;
        if (stream_tls_binding(l->stream, &session.binding_name, &binding) < 0)
            session.binding_name = NULL;
        session.binding = binding.data;
        session.binding_len = binding.len;
    }
    l->auth = auth_new(l->process->auth, &session, login_auth_done, l);
    buf_free(&binding);
    return l->auth;
}

void login_sasl(struct login *l, const char *mechanism, const char *initial)
{
    struct buf data = {0};
    if (initial != NULL && strcmp(initial, "=") != 0 &&
        str_base64_decode(&data, initial, strlen(initial)) < 0) {
        login_failed(l, LOGIN_BAD_SYNTAX);
    } else {
        l->phase = LOGIN_AUTH;
        auth_start(login_make_auth(l), mechanism,
                   initial == NULL ? NULL : (const char *)(data.len > 0 ? data.data : (void *)""),
                   data.len);
    }
    buf_wipe_free(&data);
}

void login_answer(struct login *l, const char *line)
{
    struct buf data = {0};
    if (line != NULL && strcmp(line, "*") == 0) {
        auth_cancel(l->auth);
        login_failed(l, LOGIN_CANCELLED);
    } else if (line == NULL || str_base64_decode(&data, line, strlen(line)) < 0) {
        auth_cancel(l->auth);
        login_failed(l, LOGIN_BAD_SYNTAX);
    } else {
        l->phase = LOGIN_AUTH;
        auth_step(l->auth, data.data, data.len);
    }
    buf_wipe_free(&data);
}

void login_password(struct login *l, const char *user, const char *password)
{
    l->phase = LOGIN_AUTH;
    auth_login(login_make_auth(l), user, password);
}

/* ---- the process ---- */

struct login_process *login_process_new(const struct login_setup *setup)
{
    struct login_process *p = mem_zalloc(sizeof(*p));
    char *path = mem_printf("%s/auth.sock", setup->run_path);
    p->setup = *setup;
    p->conf = setup->conf;
    p->auth = auth_client_new(setup->loop, path, setup->conf);
    p->handoff = handoff_new(setup->loop, setup->run_path, setup->mailbox_count);
    p->peers =
        peers_new(&setup->conf->mynetworks, (unsigned)setup->conf->login_peer_connection_limit);
    TAILQ_INIT(&p->logins);
    free(path);
    return p;
}

void login_process_free(struct login_process **pp)
{
    struct login_process *p = *pp;
    struct login *l, *next;
    if (p == NULL)
        return;
    *pp = NULL;
    /* Streams on their way come back or are gone; what runs behind TLS ends here. */
    handoff_free(&p->handoff);
    TAILQ_FOREACH_SAFE (l, &p->logins, link, next)
        login_free(l);
    auth_client_free(&p->auth);
    peers_free(&p->peers);
    tls_context_free(&p->setup.tls);
    free(p);
}

static void login_too_many(struct login_process *p, int fd, const struct netaddr *peer, bool tls,
                           const char *why)
{
    char text[NETADDR_STRLEN];
    log_warning("a connection was turned away", LOG_STR("peer", netaddr_str(peer, text)),
                LOG_STR("reason", why));
    struct stream *s = stream_new(p->setup.loop, fd, &login_ops, NULL);
    /* A handshake would cost more than the client is worth now. */
    if (!tls)
        p->setup.protocol->bye(s, LOGIN_BYE_BUSY);
    stream_finish(&s);
}

void login_process_accept(struct login_process *p, int fd, const struct netaddr *peer, bool tls)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);

    if (!peers_enter(p->peers, peer)) {
        login_too_many(p, fd, peer, tls, "login_peer_connection_limit");
        return;
    }
    if (!p->setup.session_begin(p->setup.arg)) {
        peers_leave(p->peers, peer);
        login_too_many(p, fd, peer, tls, "default_process_limit");
        return;
    }
    struct login *l = mem_zalloc(sizeof(*l));
    l->process = p;
    l->protocol = p->setup.protocol;
    l->peer = *peer;
    l->counted = true;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
        netaddr_from_sockaddr(&l->local, (struct sockaddr *)&ss);
    id_new(l->id);
    TAILQ_INSERT_TAIL(&p->logins, l, link);
    l->state = mem_zalloc(l->protocol->state_size);
    l->stream = stream_new(p->setup.loop, fd, &login_ops, l);
    l->timer = timer_new(p->setup.loop, login_timed_out, l);
    timer_set(l->timer, p->conf->login_timeout);
    l->protocol->begin(l);
    if (tls) {
        l->phase = LOGIN_HANDSHAKE;
        stream_start_tls_server(l->stream, p->setup.tls, NULL);
    } else {
        l->greeted = true;
        l->protocol->greet(l);
    }
}

void login_process_drain(struct login_process *p)
{
    struct login *l, *next;
    p->draining = true;
    TAILQ_FOREACH_SAFE (l, &p->logins, link, next) {
        if (l->phase != LOGIN_COMMAND)
            continue;
        login_say_bye(l, LOGIN_BYE_SHUTDOWN);
        login_free(l);
    }
}

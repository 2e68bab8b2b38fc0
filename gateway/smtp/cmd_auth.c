/* STARTTLS (RFC 3207) and AUTH (RFC 4954). */
#include <string.h>
#include <sys/socket.h>

#include "gateway/base/str.h"
#include "gateway/smtp/smtpd.h"

#define AUTH_LINE_MAX 12288

void command_starttls(struct session *s, const char *arg, size_t len)
{
    size_t discarded = 0;

    (void)arg;
    (void)len;
    if (s->tls) {
        session_reply(s, 503, "5.5.1", "TLS is active already");
        return;
    }
    if (!limits_client(s->d->evaluator.limits, LIMIT_TLS, &s->peer)) {
        over_limit(s, "TLS sessions");
        return;
    }
    session_reply(s, 220, "2.0.0", "Ready to start TLS");
    session_flush(s);
    /* Nothing that was said in clear text counts any more. */
    session_forget(s);
    s->junk = 0;
    session_wait(s, false);
    stream_start_tls_server(s->stream, s->d->tls, &discarded);
    if (discarded > 0)
        log_warning("input before TLS thrown away", LOG_STR("id", s->id),
                    LOG_UINT("bytes", discarded));
}

const char *command_mechanisms(const struct session *s)
{
    if (s->flavour->lmtp || (!s->flavour->submission && !s->d->conf->smtpd_sasl_auth_enable))
        return "";
    struct tls_info info = {0};
    if (s->tls)
        stream_tls_info(s->stream, &info);
    if (s->named)
        info.peer = NULL;
    return auth_mechanisms(s->d->auth, s->tls, info.peer, &s->peer);
}

/* ---- the exchange ---- */

static void auth_mode(struct session *s, bool on)
{
    s->mode = on ? MODE_AUTH : MODE_COMMAND;
}

static void send_challenge(struct session *s, const void *data, size_t len)
{
    struct buf *out = &s->d->out;

    buf_append_str(out, "334 ");
    str_base64_encode(out, data, len);
    buf_append_str(out, "\r\n");
    auth_mode(s, true);
}

static void logged_in(struct session *s)
{
    log_debug("login", LOG_STR("id", s->id), LOG_STR("login", s->login->login),
              LOG_STR("dn", s->login->dn));
    char text[PASSWORD_END_STRLEN];
    const char *notice = password_end_str(&s->login->password_end, text);
    session_reply(s, 235, "2.7.0", "Authentication successful%s%s", notice != NULL ? ". " : "",
                  notice != NULL ? notice : "");
}

/* The reply for a login that failed; the exchange is over. */
static void auth_failed(struct session *s, enum auth_result result)
{
    const char *denied = "Authentication credentials invalid";

    switch (result) {
    case AUTH_EXPIRED:
    case AUTH_LOCKED:
    case AUTH_MUST_CHANGE:
        denied = result == AUTH_EXPIRED  ? "Your password has expired and must be changed."
                 : result == AUTH_LOCKED ? "This account is locked after too many wrong passwords."
                                         : "Your password must be changed before you can log in.";
        /* fall through */
    case AUTH_DENIED:
        s->d->failed_logins++;
        session_reply(s, 535, "5.7.8", "%s", denied);
        break;
    case AUTH_BAD_MECH:
        session_reply(s, 504, "5.5.4", "Authentication mechanism is not offered");
        break;
    case AUTH_BAD_SYNTAX:
        session_reply(s, 501, "5.5.2", "Malformed authentication data");
        break;
    default:
        session_reply(s, 454, "4.7.0", "Temporary authentication failure");
        break;
    }
    auth_free(&s->auth);
}

static void auth_answered(const struct auth_reply *reply, void *arg)
{
    struct session *s = arg;

    auth_mode(s, false);
    switch (reply->result) {
    case AUTH_CONTINUE:
        send_challenge(s, reply->challenge, reply->challenge_len);
        break;
    case AUTH_OK:
        s->login = reply->identity;
        uuid_str(&s->login->owner, s->login_key);
        /* SMTP has no field for a mechanism's last word: it is a challenge, answered by nothing. */
        s->last_word = reply->challenge_len > 0;
        if (s->last_word)
            send_challenge(s, reply->challenge, reply->challenge_len);
        else
            logged_in(s);
        break;
    default:
        auth_failed(s, reply->result);
        break;
    }
    session_resume(s);
}

void auth_abort(struct session *s)
{
    s->login = NULL;
    s->last_word = false;
    auth_free(&s->auth);
    auth_mode(s, false);
}

static void auth_aborted(struct session *s, const char *status, const char *text)
{
    auth_abort(s);
    session_reply(s, 501, status, "%s", text);
}

void auth_answer(struct session *s, size_t len)
{
    struct buf data = {.max = AUTH_LINE_MAX};
    char *line = s->d->line;

    if (len == 1 && line[0] == '*') {
        auth_aborted(s, "5.7.0", "Authentication aborted");
    } else if (str_base64_decode(&data, line, len) != 0) {
        auth_aborted(s, "5.5.2", "Malformed authentication data");
    } else if (s->last_word) {
        s->last_word = false;
        auth_mode(s, false);
        if (data.len == 0)
            logged_in(s);
        else
            auth_aborted(s, "5.5.2", "Malformed authentication data");
    } else {
        session_wait(s, true);
        auth_step(s->auth, data.data != NULL ? data.data : (const unsigned char *)"", data.len);
    }
    explicit_bzero(line, len);
    buf_wipe_free(&data);
}

static struct auth *new_exchange(struct session *s)
{
    struct buf binding = {.max = 1024};
    struct tls_info info = {0};
    struct sockaddr_storage ss = {0};
    socklen_t size = sizeof(ss);
    struct auth_session session = {.service = "smtp", .id = s->id, .peer = s->peer, .tls = s->tls};

    if (getsockname(stream_fd(s->stream), (struct sockaddr *)&ss, &size) == 0)
        netaddr_from_sockaddr(&session.local, (struct sockaddr *)&ss);
    if (s->tls) {
        stream_tls_info(s->stream, &info);
        session.tls_bits = info.bits;
        session.certificate = s->named ? NULL : info.peer;
        if (stream_tls_binding(s->stream, &session.binding_name, &binding) == 0) {
            session.binding = binding.data;
            session.binding_len = binding.len;
        } else {
            session.binding_name = NULL;
        }
    }
    struct auth *a = auth_new(s->d->auth, &session, auth_answered, s);
    buf_wipe_free(&binding);
    return a;
}

/* Whether a mechanism is among those offered here. */
static bool offered(const struct session *s, const char *mechanism, size_t len)
{
    const char *list = command_mechanisms(s), *word;
    size_t n;

    while (str_token(&list, " ", &word, &n))
        if (n == len && str_ieq_n(word, mechanism, n))
            return true;
    return false;
}

/* False after a reply. */
static bool may_log_in(struct session *s)
{
    if (s->login != NULL)
        session_reply(s, 503, "5.5.1", "Already authenticated");
    else if (s->tx != NULL)
        session_reply(s, 503, "5.5.1", "AUTH is not permitted during a mail transaction");
    else if (command_mechanisms(s)[0] != '\0')
        return true;
    else if (!s->tls && !s->flavour->lmtp)
        session_reply(s, 530, "5.7.0", "Must issue a STARTTLS command first");
    else
        session_reply(s, 502, "5.5.1", "AUTH is not offered");
    return false;
}

void command_auth(struct session *s, const char *arg, size_t len)
{
    struct buf initial = {.max = AUTH_LINE_MAX};
    char name[32];

    if (!may_log_in(s))
        return;
    if (!limits_client(s->d->evaluator.limits, LIMIT_AUTH, &s->peer)) {
        over_limit(s, "AUTH commands");
        return;
    }
    size_t name_len = strcspn(arg, " ");
    const char *rest = arg + name_len + strspn(arg + name_len, " ");
    size_t rest_len = len > (size_t)(rest - arg) ? len - (size_t)(rest - arg) : 0;
    if (name_len > len)
        name_len = len;
    if (name_len == 0 || name_len >= sizeof(name) || !offered(s, arg, name_len)) {
        session_reply(s, 504, "5.5.4", "Authentication mechanism is not offered");
        return;
    }
    /* RFC 4954 section 4: "=" is an initial response of no bytes. */
    bool empty = rest_len == 1 && rest[0] == '=';
    if (rest_len > 0 && !empty && str_base64_decode(&initial, rest, rest_len) != 0) {
        session_reply(s, 501, "5.5.2", "Malformed authentication data");
    } else {
        for (size_t i = 0; i <= name_len; i++)
            name[i] = i == name_len                      ? '\0'
                      : (arg[i] >= 'a' && arg[i] <= 'z') ? (char)(arg[i] - 'a' + 'A')
                                                         : arg[i];
        auth_free(&s->auth);
        s->auth = new_exchange(s);
        session_wait(s, true);
        auth_start(s->auth, name,
                   rest_len == 0          ? NULL
                   : initial.data != NULL ? (const void *)initial.data
                                          : "",
                   initial.len);
    }
    explicit_bzero(s->d->line, strlen(s->d->line));
    buf_wipe_free(&initial);
}

/* A connection: its life, its input, its replies. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/str.h"
#include "gateway/session/front_tls.h"
#include "gateway/smtp/smtpd.h"

/* RFC 5321 section 4.5.3.1.5: a reply line with its code and CRLF. */
#define REPLY_LINE_MAX 512
/* How long the last reply may take to leave. */
#define LAST_REPLY_MS 10000
/* Unsent replies after which no more commands are taken: who pipelines has to read, too. */
#define OUTPUT_MAX ((size_t)64 << 10)

/* ---- replies ---- */

/* One line; whatever is not printable becomes '?', and what is not ASCII, too, but for UTF-8
 * towards a client that speaks it (RFC 6531 section 3.7.4.1). */
static void put_line(struct session *s, unsigned code, char separator, const char *status,
                     const char *fmt, va_list ap)
{
    char line[REPLY_LINE_MAX - 1];
    int n = snprintf(line, sizeof(line), "%03u%c%s%s", code, separator,
                     status != NULL ? status : "", status != NULL ? " " : "");

    vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
    bool utf8 =
        s->tx != NULL && (s->tx->options.flags & QUEUE_UTF8) && str_utf8_valid(line, strlen(line));
    for (char *p = line; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 127 || (!utf8 && (unsigned char)*p > 127))
            *p = '?';
    buf_append_str(&s->d->out, line);
    buf_append(&s->d->out, "\r\n", 2);
}

void session_reply(struct session *s, unsigned code, const char *status, const char *fmt, ...)
{
    va_list ap;

    if (code >= 500)
        s->errors++;
    va_start(ap, fmt);
    put_line(s, code, ' ', status, fmt, ap);
    va_end(ap);
}

void session_reply_more(struct session *s, unsigned code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put_line(s, code, '-', NULL, fmt, ap);
    va_end(ap);
}

void session_bye(struct session *s, unsigned code, const char *status, const char *text)
{
    session_reply(s, code, status, "%s", text);
    s->closing = true;
}

void session_flush(struct session *s)
{
    struct buf *out = &s->d->out;

    if (out->len > 0)
        stream_write(s->stream, out->data, out->len);
    buf_clear(out);
}

/* ---- life ---- */

const char *session_peer_literal(const struct session *s, char *dst)
{
    char text[NETADDR_STRLEN];

    /* A Unix socket has no address. */
    sprintf(dst,
            s->peer.family == 6   ? "[IPv6:%s]"
            : s->peer.family == 4 ? "[%s]"
                                  : "%s",
            netaddr_str(&s->peer, text));
    return dst;
}

void session_forget(struct session *s)
{
    transaction_end(s);
    directory_query_cancel(&s->want);
    evaluation_free(&s->eval);
    free(s->helo);
    s->helo = NULL;
    effects_free(&s->helo_effects);
    s->esmtp = false;
    s->early_input = false;
    s->chunk = (struct chunk){0};
    s->login = NULL;
    auth_free(&s->auth);
}

static void session_gone(struct session *s)
{
    struct smtpd *d = s->d;

    message_orphan(s);
    session_forget(s);
    restriction_client_free(&s->client_name);
    effects_free(&s->client_effects);
    free(s->etrn);
    smtp_lines_free(&s->lines);
    timer_free(&s->greet_timer);
    timer_free(&s->pause_timer);
    if (s->counted.family != 0)
        limits_disconnect(d->evaluator.limits, &s->counted);
    TAILQ_REMOVE(&d->sessions, s, link);
    free(s);
    service_session_end(d->service);
}

void session_free(struct session *s)
{
    stream_free(&s->stream);
    session_gone(s);
}

/* Ends it in order: what was replied is still sent, and draining waits for it. */
static void session_finish(struct session *s)
{
    log_debug("disconnect", LOG_STR("id", s->id), LOG_UINT("messages", s->messages),
              LOG_UINT("errors", s->errors));
    if (stream_pending(s->stream) == 0) {
        stream_finish(&s->stream);
        session_gone(s);
        return;
    }
    session_forget(s);
    s->ending = true;
    stream_pause(s->stream);
    stream_set_timeout(s->stream, LAST_REPLY_MS);
}

static void on_drained(struct stream *stream, void *arg)
{
    struct session *s = arg;

    (void)stream;
    if (s->ending) {
        stream_finish(&s->stream);
        session_gone(s);
    } else if (!s->waiting) {
        session_run(s); /* with the input that had to wait for replies to leave */
    }
}

static void greeting_done(struct session *s, struct restriction_result *r)
{
    if (result_refuses(r)) {
        log_info("connection refused", LOG_STR("id", s->id), LOG_STR("reply", r->text),
                 LOG_STR("restriction", r->restriction),
                 LOG_STR("policy", r->dn != NULL ? r->dn : "dirigo.conf"));
        session_bye(s, r->code < 500 ? 421 : 554, r->status, r->text);
        return;
    }
    effects_keep(&s->client_effects, &s->eval->run);
    session_reply(s, 220, NULL, "%s", s->d->conf->smtpd_banner);
    s->greeted = true;
}

void session_greet(struct session *s)
{
    if (s->d->conf->smtpd_delay_reject || s->flavour->submission) {
        session_reply(s, 220, NULL, "%s", s->d->conf->smtpd_banner);
        s->greeted = true;
    } else {
        evaluate(s, 1u << STAGE_CLIENT, NULL, greeting_done);
    }
}

static void on_input(struct stream *stream, void *arg)
{
    struct session *s = arg;

    (void)stream;
    if (s->greet_timer != NULL)
        pregreet_input(s);
    else
        session_run(s);
}

static void on_secured(struct stream *stream, void *arg)
{
    struct session *s = arg;

    s->tls = true;
    stream_tls_info(stream, &s->tls_info);
    if (s->tls_info.peer != NULL)
        s->certificate = (struct restriction_certificate){
            .verified = s->tls_info.peer->verified,
            .subject = s->tls_info.peer->subject,
            .issuer = s->tls_info.peer->issuer,
            .fingerprint = s->tls_info.peer->fingerprint,
            .key_fingerprint = s->tls_info.peer->key_fingerprint,
            .host_names = s->tls_info.peer->host_names,
        };
    front_tls_log(stream, s->id);
    s->waiting = false;
    if (!s->greeted)
        session_greet(s);
    session_run(s);
}

/* Past the stream, which has ended or was never made. What does not fit at once is not sent. */
static void say_at_once(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_closed(struct stream *stream, enum stream_end why, void *arg)
{
    static const char *const ends[] = {"closed by the client", "error", "time-out", "TLS error"};
    struct session *s = arg;

    if (!s->ending)
        log_info("connection lost", LOG_STR("id", s->id), LOG_STR("why", ends[why]),
                 LOG_STR("error", why == STREAM_ERROR || why == STREAM_TLS_ERROR
                                      ? stream_error(stream)
                                      : ""));
    if (why == STREAM_TIMEOUT && !s->tls && !s->ending)
        say_at_once(stream_fd(stream), "421 4.4.2 Time-out, closing the connection\r\n");
    session_free(s);
}

static const struct stream_ops ops = {
    .input = on_input,
    .drained = on_drained,
    .secured = on_secured,
    .closed = on_closed,
};

static void refuse_connection(const struct flavour *flavour, int fd, const struct netaddr *peer,
                              const char *limit, const char *reply)
{
    char text[NETADDR_STRLEN];

    log_warning("too many connections", LOG_STR("peer", netaddr_str(peer, text)),
                LOG_STR("protocol", flavour->protocol), LOG_STR("limit", limit));
    if (!flavour->tls_first)
        say_at_once(fd, reply);
    close(fd);
}

void session_new(struct smtpd *d, const struct flavour *flavour, int fd, const struct netaddr *peer)
{
    struct session *s;
    char text[NETADDR_STRLEN];

    if (!service_session_begin(d->service)) {
        refuse_connection(flavour, fd, peer, "default_process_limit",
                          "421 4.3.2 Too many connections, try again later\r\n");
        return;
    }
    if (!limits_client(d->evaluator.limits, LIMIT_CONNECTION, peer) ||
        !limits_connect(d->evaluator.limits, peer)) {
        refuse_connection(flavour, fd, peer, "a limit for clients",
                          "421 4.7.0 Too many connections from you, try again later\r\n");
        service_session_end(d->service);
        return;
    }
    s = mem_zalloc(sizeof(*s));
    s->d = d;
    s->flavour = flavour;
    s->peer = s->counted = *peer;
    id_new(s->id);
    smtp_lines_init(&s->lines, d->line_size - 1);
    s->trusted = evaluator_trusts(&d->evaluator, peer);
    s->may_name_client = networks_contain(&d->xclients, peer);
    TAILQ_INSERT_TAIL(&d->sessions, s, link);
    d->connections++;
    log_info("connect", LOG_STR("id", s->id), LOG_STR("peer", netaddr_str(peer, text)),
             LOG_STR("protocol", flavour->protocol));
    s->stream = stream_new(d->loop, fd, &ops, s);
    stream_set_timeout(s->stream, d->conf->smtpd_timeout);
    if (flavour->tls_first) {
        session_wait(s, false);
        stream_start_tls_server(s->stream, d->tls, NULL);
    } else if (!pregreet_begin(s)) {
        session_greet(s);
        session_run(s);
    }
}

static bool idle(const struct session *s)
{
    return !s->waiting && !s->closing && s->tx == NULL && s->mode == MODE_COMMAND && s->greeted;
}

void session_drain(struct session *s)
{
    if (idle(s))
        session_run(s);
}

void session_revoke(struct session *s)
{
    if (s->ending)
        return;
    log_notice("session ended: the account may not be used any more", LOG_STR("id", s->id),
               LOG_STR("login", s->login->login));
    s->revoked = true;
    if (!s->waiting)
        session_run(s); /* else when what is awaited has come, which is bounded by its time-out */
}

/* ---- input ---- */

void session_wait(struct session *s, bool patient)
{
    s->waiting = true;
    if (patient && !s->no_timeout) {
        stream_set_timeout(s->stream, 0);
        s->no_timeout = true;
    }
}

void session_resume(struct session *s)
{
    s->waiting = false;
    if (!s->running)
        session_run(s);
}

/* What a line that is none is answered with. */
static void bad_line(struct session *s, enum smtp_line_status status)
{
    switch (status) {
    case SMTP_LINE_TOO_LONG:
        session_reply(s, 500, "5.5.2", "Line too long");
        break;
    case SMTP_LINE_BARE_LF:
        session_reply(s, 500, "5.5.2", "Bare <LF> received: lines must end with <CR><LF>");
        break;
    case SMTP_LINE_BAD:
        session_reply(s, 500, "5.5.2", "Bare <CR> or NUL in a command line");
        break;
    default:
        return;
    }
    log_info("bad command line", LOG_STR("id", s->id), LOG_INT("kind", status));
}

static void on_pause_over(void *arg)
{
    struct session *s = arg;

    timer_free(&s->pause_timer);
    session_resume(s);
}

/* The reply goes out; what the client says next has to wait. */
static void pause_after_error(struct session *s)
{
    if (s->d->conf->smtpd_error_sleep_time == 0 || s->waiting || s->closing)
        return;
    session_wait(s, false);
    s->pause_timer = timer_new(s->d->loop, on_pause_over, s);
    timer_set(s->pause_timer, s->d->conf->smtpd_error_sleep_time);
}

/* AUTH may bring an access token along, and then has a bound of its own (RFC 4954 section 4). */
static bool may_be_as_long(const struct session *s, size_t len)
{
    return len <= (size_t)s->d->conf->line_length_limit ||
           (s->login == NULL && str_ieq_n(s->d->line, "AUTH ", 5));
}

/* One line of input at most; the line is copied, for commands may touch the stream. */
static void take_line(struct session *s, const void *data, size_t len)
{
    struct smtpd *d = s->d;
    const char *line;
    size_t used, n;
    unsigned errors = s->errors;

    enum smtp_line_status status = smtp_lines_next(&s->lines, data, len, &used, &line, &n);
    if (status == SMTP_LINE_READY) {
        memcpy(d->line, line, n);
        d->line[n] = '\0';
    }
    if (status == SMTP_LINE_READY && s->mode == MODE_COMMAND && !may_be_as_long(s, n))
        status = SMTP_LINE_TOO_LONG;
    stream_consume(s->stream, used);
    if (status == SMTP_LINE_MORE)
        return;
    if (status != SMTP_LINE_READY) {
        bad_line(s, status);
        if (s->mode == MODE_AUTH)
            auth_abort(s);
    } else if (s->mode == MODE_AUTH) {
        auth_answer(s, n);
    } else {
        command_run(s, n, used < len);
    }
    if (s->errors >= (unsigned)d->conf->smtpd_hard_error_limit && !s->closing) {
        log_info("too many errors", LOG_STR("id", s->id), LOG_UINT("errors", s->errors));
        session_bye(s, 421, "4.7.0", "Too many errors");
    }
    if (s->errors > errors && s->errors > (unsigned)d->conf->smtpd_soft_error_limit)
        pause_after_error(s);
}

void session_run(struct session *s)
{
    if (s->revoked && !s->waiting && !s->closing)
        session_bye(s, 421, "4.7.0", "This account may not be used any more");
    s->running = true;
    while (!s->waiting && !s->closing && s->d->out.len + stream_pending(s->stream) < OUTPUT_MAX) {
        size_t len, used;
        const void *data = stream_peek(s->stream, &len);
        if (len == 0)
            break;
        if (s->mode == MODE_DATA) {
            message_feed(s, data, len, &used);
            stream_consume(s->stream, used);
        } else if (s->mode == MODE_CHUNK) {
            message_feed_chunk(s, data, len, &used);
            stream_consume(s->stream, used);
        } else {
            take_line(s, data, len);
        }
    }
    s->running = false;
    if (service_stopping(s->d->service) && idle(s))
        session_bye(s, 421, "4.3.2", "The service is going down, try again later");
    if (s->no_timeout && !s->waiting) {
        stream_set_timeout(s->stream, s->d->conf->smtpd_timeout);
        s->no_timeout = false;
    }
    session_flush(s);
    if (s->closing && !s->waiting)
        session_finish(s);
}

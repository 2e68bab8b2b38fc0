#include "gateway/pop3/session.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"

/* A client that comes back at once may find its last session not yet ended: so long it waits before
 * it hears that the maildrop is in use. */
#define LOCK_RETRY_MS 100
#define LOCK_TRIES    10
/* More errors than this in one session end it. */
#define POP3_ERRORS_MAX 20

static void progress(struct pop3 *s);

static void session_free(struct pop3 *s)
{
    void (*ended)(void *arg) = s->ended;
    void *arg = s->arg;
    log_info("pop3 session ended", LOG_STR("id", s->id), LOG_STR("login", s->login),
             LOG_UINT("retrieved", s->retrieved), LOG_UINT("removed", s->removed),
             LOG_UINT("bytes", s->sent_bytes));
    stream_free(&s->stream);
    timer_free(&s->lock_retry);
    if (s->fd >= 0)
        close(s->fd);
    if (s->locked)
        mailbox_unlock(s->mb);
    view_free(&s->view);
    mailbox_release(&s->mb);
    reply_free(&s->reply);
    pop3_parser_free(&s->parser);
    buf_free(&s->input.early);
    name_list_free(&s->names);
    free(s->uids);
    free(s->sizes);
    free(s->marks);
    free(s->id);
    free(s->login);
    free(s->notice);
    free(s);
    ended(arg);
}

/* The connection is over: at once, or when the job that runs is done. */
static void session_close(struct pop3 *s)
{
    stream_free(&s->stream);
    if (!s->job)
        session_free(s);
}

static void finish(struct pop3 *s)
{
    stream_finish(&s->stream);
    session_close(s);
}

void pop3_say(struct pop3 *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&s->reply.text, fmt, ap);
    va_end(ap);
    buf_append(&s->reply.text, "\r\n", 2);
    if (s->reply.text.data[0] == '-')
        s->errors++;
}

void pop3_hold(struct pop3 *s)
{
    s->job = true;
    s->working = true;
}

bool pop3_unhold(struct pop3 *s)
{
    s->job = false;
    if (s->stream != NULL && !s->stopped)
        return true;
    session_close(s);
    return false;
}

/* ---- jobs ---- */

static void job_run(void *arg)
{
    struct pop3 *s = arg;
    s->more = false;
    s->run(s);
}

/* A piece of the answer is made: send it, then go on, or end the command. */
static void job_done(void *arg)
{
    struct pop3 *s = arg;
    if (!pop3_unhold(s))
        return;
    s->sent_bytes += reply_size(&s->reply);
    if (reply_send(&s->reply, s->stream) != 0) {
        session_close(s);
        return;
    }
    if (!s->more && s->after != NULL) {
        void (*after)(struct pop3 *) = s->after;
        s->after = NULL;
        s->run = NULL;
        after(s);
        if (s->job)
            return;
    }
    if (!s->more)
        s->run = NULL;
    progress(s);
}

void pop3_work(struct pop3 *s, void (*run)(struct pop3 *s), void (*after)(struct pop3 *s))
{
    s->run = run;
    s->after = after;
    pop3_hold(s);
    worker_run(s->env->workers, job_run, job_done, s);
}

/* ---- input ---- */

/* Carries the next command out; false where more input is needed. */
static bool next_command(struct pop3 *s)
{
    const struct pop3_command *cmd;
    enum pop3_event e;
    while ((e = pop3_parser_next(&s->parser, &cmd)) == POP3_MORE) {
        size_t len;
        const void *p = mail_input_peek(&s->input, s->stream, &len);
        if (len == 0)
            return false;
        mail_input_consume(&s->input, s->stream, pop3_parser_push(&s->parser, p, len));
    }
    if (e == POP3_COMMAND)
        pop3_command(s, cmd);
    else
        pop3_say(s, "-ERR %s", cmd->error != NULL ? cmd->error : "Bad command");
    return true;
}

/* Goes on with whatever can: the rest of an answer, then the next lines. */
static void progress(struct pop3 *s)
{
    for (;;) {
        if (s->job)
            return;
        if (s->reply.text.len > 0 && reply_send(&s->reply, s->stream) != 0) {
            session_close(s);
            return;
        }
        if (stream_pending(s->stream) > REPLY_CHUNK)
            return; /* drained() comes back */
        if (s->run != NULL) {
            pop3_work(s, s->run, s->after);
            return;
        }
        s->working = false;
        if (s->closing || s->errors > POP3_ERRORS_MAX) {
            finish(s);
            return;
        }
        if (!next_command(s))
            return;
    }
}

static void on_input(struct stream *stream, void *arg)
{
    struct pop3 *s = arg;
    (void)stream;
    if (!s->working)
        progress(s);
}

static void on_drained(struct stream *stream, void *arg)
{
    struct pop3 *s = arg;
    (void)stream;
    if (!s->job)
        progress(s);
}

static void on_closed(struct stream *stream, enum stream_end why, void *arg)
{
    struct pop3 *s = arg;
    (void)stream;
    if (why == STREAM_TIMEOUT)
        log_info("pop3 session timed out", LOG_STR("id", s->id));
    session_close(s);
}

static const struct stream_ops ops = {
    .input = on_input, .drained = on_drained, .closed = on_closed};

/* ---- beginning and end ---- */

static void opened(struct pop3 *s)
{
    uint64_t bytes = 0;
    if (s->result != STORE_OK) {
        pop3_say(s, "-ERR [SYS/TEMP] Cannot open the mailbox");
        s->closing = true;
        return;
    }
    for (uint32_t i = 0; i < s->view->n; i++)
        bytes += s->sizes[i];
    pop3_say(s, "+OK Logged in, %u messages (%llu octets)%s%s", s->view->n,
             (unsigned long long)bytes, s->notice != NULL ? ". " : "",
             s->notice != NULL ? s->notice : "");
}

/* The answer of a session that cannot be: sent when the loop runs, as every callback must be. */
static void refused(struct pop3 *s)
{
    s->closing = true;
    if (s->mb == NULL)
        pop3_say(s, "-ERR [SYS/TEMP] Cannot open the mailbox");
    else
        pop3_say(s, "-ERR [IN-USE] Another session has this mailbox");
}

static void nothing(struct pop3 *s)
{
    (void)s;
}

static void try_lock(void *arg)
{
    struct pop3 *s = arg;
    s->locked = s->mb != NULL && mailbox_lock(s->mb);
    s->working = true;
    if (s->locked)
        pop3_work(s, pop3_open_run, opened);
    else if (s->mb == NULL || ++s->lock_tries == LOCK_TRIES)
        pop3_work(s, nothing, refused);
    else
        timer_set(s->lock_retry, LOCK_RETRY_MS);
}

static void *start(const struct mail_env *env, const struct mail_start *st,
                   void (*ended)(void *arg), void *arg)
{
    struct pop3 *s = mem_zalloc(sizeof(*s));
    s->env = env;
    s->ended = ended;
    s->arg = arg;
    s->id = mem_strdup(st->id);
    s->login = mem_strdup(st->login);
    s->notice = st->notice == NULL ? NULL : mem_strdup(st->notice);
    s->fd = -1;
    pop3_parser_init(&s->parser, POP3_LINE_MAX);
    buf_append(&s->input.early, st->input, st->input_len);
    s->stream = stream_new(env->loop, st->fd, &ops, s);
    stream_set_timeout(s->stream, env->conf->pop3_idle_timeout);
    s->mb = mailbox_open(env->store, &st->owner);
    s->lock_retry = timer_new(env->loop, try_lock, s);
    try_lock(s);
    return s;
}

static void quit(void *session)
{
    struct pop3 *s = session;
    /* POP3 has no goodbye of the server's own; without QUIT nothing is removed. */
    s->closing = true;
    if (!s->working && s->stream != NULL)
        finish(s);
}

static void end_revoked(void *session)
{
    struct pop3 *s = session;
    if (s->stream == NULL)
        return;
    log_notice("session ended: the account may not be used any more", LOG_STR("id", s->id));
    if (s->working) {
        session_close(s); /* in the middle of an answer nothing can be said */
        return;
    }
    stream_printf(s->stream, "-ERR [AUTH] This account may not be used any more\r\n");
    quit(s);
}

static void stop(void *session)
{
    struct pop3 *s = session;
    s->stopped = true;
    session_close(s);
}

const struct mail_protocol pop3_protocol = {
    .name = "pop3", .start = start, .quit = quit, .revoke = end_revoked, .stop = stop};

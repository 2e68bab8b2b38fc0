#include "gateway/imap/session.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "gateway/base/log.h"

/* More malformed commands than this in a row end the session. */
#define ERRORS_MAX   20
#define ARGS_MAX     4096
#define DEPTH_MAX    20
#define LITERALS_MAX ((size_t)1 << 20) /* of kept literals: search strings, names */

static void progress(struct imap *s);

/* ---- end ---- */

static void session_free(struct imap *s)
{
    void (*ended)(void *arg) = s->ended;
    void *arg = s->arg;
    log_info("imap session ended", LOG_STR("id", s->id), LOG_STR("login", s->login),
             LOG_UINT("commands", s->commands), LOG_UINT("bytes", s->sent_bytes));
    imap_set_work(s, NULL, NULL);
    imap_append_free(s);
    mailbox_watch_free(&s->watch);
    free(s->idle_tag);
    stream_free(&s->stream);
    imap_deselect(s);
    imap_parser_free(&s->parser);
    mailbox_release(&s->mb);
    reply_free(&s->reply);
    buf_free(&s->input.early);
    free(s->id);
    free(s->login);
    free(s);
    ended(arg);
}

/* The connection is over: at once, or when the job that runs is done. */
static void session_close(struct imap *s)
{
    atomic_store(&s->gone, true);
    stream_free(&s->stream);
    mailbox_watch_free(&s->watch);
    if (!s->job)
        session_free(s);
}

static void finish(struct imap *s)
{
    stream_finish(&s->stream);
    session_close(s);
}

void imap_deselect(struct imap *s)
{
    view_free(&s->view);
    free(s->folder);
    s->folder = NULL;
}

/* ---- answers ---- */

void imap_tagged(struct imap *s, const char *fmt, ...)
{
    va_list ap;
    s->answered = true;
    va_start(ap, fmt);
    buf_printf(&s->reply.text, "%s ", s->cmd->tag);
    buf_vprintf(&s->reply.text, fmt, ap);
    buf_append(&s->reply.text, "\r\n", 2);
    va_end(ap);
}

void imap_untagged(struct imap *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_append(&s->reply.text, "* ", 2);
    buf_vprintf(&s->reply.text, fmt, ap);
    buf_append(&s->reply.text, "\r\n", 2);
    va_end(ap);
}

void imap_no(struct imap *s, enum store_result result, const char *what)
{
    static const char *const why[] = {
        [STORE_OK] = "",
        [STORE_ABSENT] = "[NONEXISTENT] No such folder",
        [STORE_EXISTS] = "[ALREADYEXISTS] A folder of that name exists",
        [STORE_INVALID] = "[CANNOT] That name or operation is not possible",
        [STORE_LIMIT] = "[LIMIT] A limit or the disk does not allow it",
        [STORE_FAILED] = "[SERVERBUG] Try again later",
    };
    imap_tagged(s, "NO %s (%s)", why[result], what);
}

void imap_bad_args(struct imap *s)
{
    imap_tagged(s, "BAD Wrong arguments of %s", s->cmd->name);
}

void imap_done(struct imap *s, const char *text)
{
    imap_put_changes(s, true);
    imap_tagged(s, "OK %s", text);
}

/* ---- jobs ---- */

void imap_set_work(struct imap *s, void *work, void (*work_free)(void *work))
{
    if (s->work != NULL && s->work_free != NULL)
        s->work_free(s->work);
    s->work = work;
    s->work_free = work_free;
}

void imap_hold(struct imap *s)
{
    s->job = true;
    s->working = true;
}

bool imap_unhold(struct imap *s)
{
    s->job = false;
    if (s->stream != NULL)
        return true;
    session_close(s);
    return false;
}

static void job_run(void *arg)
{
    struct imap *s = arg;
    s->more = false;
    s->run(s);
}

/* A piece of the answer is made: send it, then go on. */
static void job_done(void *arg)
{
    struct imap *s = arg;
    if (!imap_unhold(s))
        return;
    s->sent_bytes += reply_size(&s->reply);
    if (reply_send(&s->reply, s->stream) != 0) {
        session_close(s);
        return;
    }
    if (!s->more) {
        void (*after)(struct imap *) = s->after;
        s->run = NULL;
        s->after = NULL;
        if (after != NULL)
            after(s);
        if (s->job)
            return;
    }
    progress(s);
}

void imap_work(struct imap *s, void (*run)(struct imap *s), void (*after)(struct imap *s))
{
    s->run = run;
    s->after = after;
    imap_hold(s);
    worker_run(s->env->workers, job_run, job_done, s);
}

void imap_resume(struct imap *s)
{
    progress(s);
}

/* ---- input ---- */

/* Pushes what has come; false where nothing is there to push or the parser takes no more. */
static bool push_input(struct imap *s)
{
    size_t len;
    const void *p = mail_input_peek(&s->input, s->stream, &len);
    if (len == 0)
        return false;
    size_t took = imap_parser_push(s->parser, p, len);
    mail_input_consume(&s->input, s->stream, took);
    return took > 0;
}

static void bad_command(struct imap *s)
{
    s->errors++;
    if (s->idle_tag != NULL) { /* a line that is too long to be DONE */
        imap_idle_end(s, "");
        return;
    }
    imap_append_free(s);
    imap_tagged(s, "BAD %s", s->cmd->error);
}

static void good_command(struct imap *s)
{
    s->errors = 0;
    s->commands++;
    s->working = true;
    s->answered = false;
    imap_command(s);
}

/* Takes the next event; false where more input is needed. */
static bool next_event(struct imap *s)
{
    enum imap_event e;
    if (s->append != NULL && imap_append_input(s))
        return true;
    while ((e = imap_parser_next(s->parser, &s->cmd)) == IMAP_MORE)
        if (!push_input(s))
            return false;
    switch (e) {
    case IMAP_COMMAND:
        good_command(s);
        break;
    case IMAP_LITERAL:
        imap_append_literal(s);
        break;
    case IMAP_LINE:
        if (s->idle_tag != NULL)
            imap_idle_end(s, s->cmd->line);
        break;
    case IMAP_BAD:
        bad_command(s);
        break;
    case IMAP_MORE:
        break;
    }
    return true;
}

/* A command is over: what belonged to it goes. */
static void command_over(struct imap *s)
{
    s->working = false;
    imap_set_work(s, NULL, NULL);
}

static const char goodbye[] = "* BYE Server is shutting down\r\n";
static const char revoked[] = "* BYE [CONTACTADMIN] This account may not be used any more\r\n";

/* Goes on with whatever can: the rest of an answer, then the next commands. */
static void progress(struct imap *s)
{
    for (;;) {
        if (s->job)
            return;
        s->sent_bytes += reply_size(&s->reply);
        if (reply_size(&s->reply) > 0 && reply_send(&s->reply, s->stream) != 0) {
            session_close(s);
            return;
        }
        if (stream_pending(s->stream) > REPLY_CHUNK)
            return; /* drained() comes back */
        if (s->run != NULL) {
            imap_work(s, s->run, s->after);
            return;
        }
        if (s->working)
            command_over(s);
        if (s->quitting && !s->closing)
            stream_printf(s->stream, "%s", s->revoked ? revoked : goodbye);
        if (s->closing || s->quitting) {
            finish(s);
            return;
        }
        if (s->idle_again) {
            imap_idle_tell(s);
            return;
        }
        if (s->errors > ERRORS_MAX) {
            stream_printf(s->stream, "* BYE Too many errors\r\n");
            finish(s);
            return;
        }
        if (!next_event(s))
            return;
    }
}

static void on_input(struct stream *stream, void *arg)
{
    struct imap *s = arg;
    (void)stream;
    if (!s->working)
        progress(s);
}

static void on_drained(struct stream *stream, void *arg)
{
    struct imap *s = arg;
    (void)stream;
    if (!s->job && s->working)
        progress(s);
}

static void on_closed(struct stream *stream, enum stream_end why, void *arg)
{
    struct imap *s = arg;
    (void)stream;
    if (why == STREAM_TIMEOUT)
        log_info("imap session timed out", LOG_STR("id", s->id));
    session_close(s);
}

static const struct stream_ops ops = {
    .input = on_input, .drained = on_drained, .closed = on_closed};

/* ---- beginning ---- */

static void greet(struct imap *s)
{
    /* Input that came with the hand-over is read from here, as every callback must be. */
    if (s->mb == NULL) {
        imap_untagged(s, "BYE Cannot open the mailbox");
        s->closing = true;
    }
}

static void nothing(struct imap *s)
{
    (void)s;
}

static void *start(const struct mail_env *env, const struct mail_start *st,
                   void (*on_end)(void *arg), void *arg)
{
    struct imap *s = mem_zalloc(sizeof(*s));
    struct imap_limits limits = {.line = env->conf->imap_max_line_length,
                                 .literals = LITERALS_MAX,
                                 .args = ARGS_MAX,
                                 .depth = DEPTH_MAX};
    s->env = env;
    s->ended = on_end;
    s->arg = arg;
    s->id = mem_strdup(st->id);
    s->login = mem_strdup(st->login);
    s->parser = imap_parser_new(&limits);
    buf_append(&s->input.early, st->input, st->input_len);
    s->stream = stream_new(env->loop, st->fd, &ops, s);
    stream_set_timeout(s->stream, env->conf->imap_idle_timeout);
    s->mb = mailbox_open(env->store, &st->owner);
    /* Before the tagged answer, and so that the client shows it (RFC 3501 section 7.1). */
    if (s->mb != NULL && st->notice != NULL)
        buf_printf(&s->reply.text, "* OK [ALERT] %s\r\n", st->notice);
    if (s->mb != NULL)
        buf_printf(&s->reply.text, "%s OK [CAPABILITY %s] Logged in\r\n", st->tag,
                   imap_capabilities);
    imap_work(s, nothing, greet);
    return s;
}

static void quit(void *session)
{
    struct imap *s = session;
    s->quitting = true;
    if (!s->working && s->stream != NULL)
        progress(s);
}

static void end_revoked(void *session)
{
    struct imap *s = session;
    if (s->stream == NULL)
        return;
    log_notice("session ended: the account may not be used any more", LOG_STR("id", s->id));
    s->revoked = true;
    if (s->working)
        session_close(s); /* in the middle of an answer nothing can be said */
    else
        quit(s);
}

static void stop(void *session)
{
    struct imap *s = session;
    /* The loop runs no more: what does not leave now never does. */
    if (!s->working && s->stream != NULL && stream_pending(s->stream) == 0)
        (void)!send(stream_fd(s->stream), goodbye, sizeof(goodbye) - 1,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    session_close(s);
}

const struct mail_protocol imap_protocol = {
    .name = "imap", .start = start, .quit = quit, .revoke = end_revoked, .stop = stop};

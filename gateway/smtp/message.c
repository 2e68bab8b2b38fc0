/*
 * A message on its way: from the DATA phase into the queue's file, then one commit.
 *
 * What comes in is gathered until it is worth a write, so a small message costs one. The header of
 * a submitted message waits for its end, so that missing fields can be put before it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/smtp/smtpd.h"

/* Gathered before it is written; more is written at once, without a copy. */
#define GATHER_MAX ((size_t)128 << 10)

struct message {
    struct session *session;
    char id[ID_STRLEN];
    uint32_t open_id;   /* of the question for a file */
    uint32_t filter_id; /* of the question about the message */
    int fd;
    int error;    /* errno of the write that failed */
    bool holding; /* the header is not complete and trace not written */
    struct refusal refusal;
    struct buf trace;
    struct buf gathered;
    uint64_t written;
    uint32_t trace_offset;
    uint32_t own_fields; /* bytes in front of what the client has sent */
    struct smtp_data data;
};

/* A commit outlives a session whose client went away. */
struct commit {
    struct session *session;
    char id[ID_STRLEN];
    bool last; /* of the message's parts */
};

void message_free(struct message **pm)
{
    struct message *m = *pm;

    if (m == NULL)
        return;
    *pm = NULL;
    if (m->open_id != 0)
        queue_cancel(m->session->d->queue, m->open_id);
    if (m->filter_id != 0)
        filter_cancel(m->session->d->filter, m->filter_id);
    if (m->fd >= 0)
        close(m->fd);
    buf_free(&m->trace);
    buf_free(&m->gathered);
    free(m);
}

/* ---- the file ---- */

/* Writes what was gathered and what follows it; an error is kept for the end. */
static void write_out(struct message *m, const void *data, size_t len)
{
    struct iovec iov[2] = {{.iov_base = m->gathered.data, .iov_len = m->gathered.len},
                           {.iov_base = (void *)(uintptr_t)data, .iov_len = len}};
    int first = m->gathered.len > 0 ? 0 : 1;

    while (m->error == 0 && first < 2) {
        if (iov[first].iov_len == 0) {
            first++;
            continue;
        }
        ssize_t n = pwritev(m->fd, iov + first, 2 - first, (off_t)m->written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            m->error = n < 0 ? errno : EIO;
            break;
        }
        m->written += (uint64_t)n;
        for (; first < 2 && (size_t)n >= iov[first].iov_len; first++)
            n -= (ssize_t)iov[first].iov_len;
        if (first < 2) {
            iov[first].iov_base = (char *)iov[first].iov_base + n;
            iov[first].iov_len -= (size_t)n;
        }
    }
    buf_clear(&m->gathered);
}

static void gather(struct message *m, const void *data, size_t len)
{
    if (m->gathered.len + len > GATHER_MAX || buf_append(&m->gathered, data, len) != 0)
        write_out(m, data, len);
}

/* The header is complete with the bytes that come next, or will not be looked at further: the
 * trace, what is missing, then what was held. */
static void release_header(struct message *m, const void *next, size_t len)
{
    struct buf held = m->gathered;
    bool whole = m->data.header_done && m->data.header_size <= m->data.header_max;

    m->holding = false;
    if (whole)
        trace_missing_fields(m->session, m->id, m->data.fields_seen, &m->trace);
    if (m->session->flavour->submission && whole)
        submit_header(
            m->session,
            (const struct iovec[2]){{held.data, held.len}, {(void *)(uintptr_t)next, len}},
            &m->trace, &m->refusal);
    else if (m->session->flavour->submission)
        m->refusal = (struct refusal){552, "5.3.4", "The message header is too large"};
    m->gathered = m->trace;
    m->trace = (struct buf){0};
    gather(m, held.data, held.len);
    buf_free(&held);
}

static void take_slice(struct message *m, const void *data, size_t len)
{
    if (m->holding && !m->data.header_done && m->gathered.len + len <= GATHER_MAX) {
        buf_append(&m->gathered, data, len);
        return;
    }
    if (m->holding)
        release_header(m, data, len);
    gather(m, data, len);
}

/* ---- the beginning ---- */

static void file_opened(int fd, bool full, void *arg)
{
    struct session *s = arg;
    struct message *m = s->tx->message;

    m->open_id = 0;
    if (fd < 0) {
        log_warning("the queue has no file", LOG_STR("id", s->id),
                    LOG_STR("full", full ? "yes" : "no"));
        if (full)
            session_reply(s, 452, "4.3.1", "Insufficient system storage");
        else
            session_reply(s, 451, "4.3.0", "The queue is not available");
        transaction_end(s);
    } else {
        m->fd = fd;
        s->mode = s->chunk.active ? MODE_CHUNK : MODE_DATA;
        s->tx->traced = transaction_sender(s->tx, STAILQ_FIRST(&s->tx->parts));
        trace_headers(s, m->id, &m->trace, &m->trace_offset);
        for (size_t i = 0; i < s->tx->prepend_count; i++)
            buf_printf(&m->trace, "%s\r\n", s->tx->prepend[i]);
        m->own_fields = (uint32_t)m->trace.len;
        m->holding = s->flavour->submission || s->d->conf->always_add_missing_headers;
        if (!m->holding) {
            m->gathered = m->trace;
            m->trace = (struct buf){0};
        }
        if (!s->chunk.active)
            session_reply(s, 354, NULL, "End data with <CR><LF>.<CR><LF>");
        else if (s->chunk.left == 0)
            message_chunk_end(s);
    }
    session_resume(s);
}

void message_begin(struct session *s)
{
    struct message *m = mem_zalloc(sizeof(*m));

    m->session = s;
    m->fd = -1;
    id_new(m->id);
    smtp_data_init(&m->data, s->d->conf->message_size_limit, (size_t)s->d->conf->header_size_limit);
    s->tx->message = m;
    session_wait(s, true);
    bool running = s->running;
    s->running = true; /* an answer at once must not run the session from in here */
    uint32_t id = queue_open_file(s->d->queue, file_opened, s);
    s->running = running;
    if (id != 0)
        m->open_id = id;
}

/* ---- the end ---- */

/* LMTP has a reply for each recipient (RFC 2033 section 4.2). */
static void reply_all(struct session *s, unsigned code, const char *status, const char *text)
{
    struct recipient *r;
    unsigned errors = s->errors;

    if (!s->flavour->lmtp || (s->chunk.active && !s->chunk.last)) {
        session_reply(s, code, status, "%s", text);
        return;
    }
    STAILQ_FOREACH (r, &s->tx->recipients, link)
        session_reply(s, code, status, "<%.300s> %s", r->address, text);
    s->errors = errors + (code >= 500);
}

static void reject(struct session *s, unsigned code, const char *status, const char *text)
{
    log_info("message refused", LOG_STR("id", s->id), LOG_STR("from", s->tx->sender.full),
             LOG_UINT("nrcpt", s->tx->recipient_count), LOG_UINT("code", code),
             LOG_STR("reply", text));
    reply_all(s, code, status, text);
    transaction_end(s);
}

/* The recipients for a log line, as many whole ones as dst takes. */
static const char *recipients_text(const struct transaction *tx, char *dst, size_t size)
{
    const struct recipient *r = STAILQ_FIRST(&tx->recipients);
    size_t len = 0;
    if (tx->recipient_count == 1)
        return r->address;
    dst[0] = '\0';
    for (; r != NULL; r = STAILQ_NEXT(r, link)) {
        size_t n = strlen(r->address);
        if (len + n + 2 > size)
            break;
        if (len > 0)
            dst[len++] = ',';
        memcpy(dst + len, r->address, n + 1);
        len += n;
    }
    return dst;
}

static void commit_next(struct session *s);

static void committed(enum queue_result result, void *arg)
{
    struct commit *c = arg;
    struct session *s = c->session;
    char text[64], to[1024];

    if (s == NULL) {
        log_info("client left before the answer", LOG_STR("id", c->id), LOG_INT("result", result));
        free(c);
        return;
    }
    struct transaction *tx = s->tx;
    s->commit = NULL;
    if (result == QUEUE_ACCEPTED && !c->last) {
        free(c);
        commit_next(s);
        return;
    }
    switch (result) {
    case QUEUE_ACCEPTED:
        log_info("message accepted", LOG_STR("id", c->id), LOG_STR("session", s->id),
                 LOG_STR("from", tx->sender.full),
                 LOG_STR("to", recipients_text(tx, to, sizeof to)),
                 LOG_UINT("nrcpt", tx->recipient_count), LOG_UINT("targets", tx->target_count),
                 LOG_UINT("size", tx->message->written),
                 LOG_STR("login", s->login != NULL ? s->login->login : NULL),
                 LOG_INT("ms", clock_now_ms() - tx->begun));
        s->d->accepted++;
        s->messages++;
        s->errors = s->junk = 0;
        snprintf(text, sizeof(text), "Ok: queued as %s", c->id);
        reply_all(s, 250, "2.0.0", text);
        transaction_end(s);
        break;
    case QUEUE_FULL:
        reject(s, 452, "4.3.1", "Insufficient system storage");
        break;
    default:
        reject(s, 451, "4.3.0", "The queue is not available");
        break;
    }
    free(c);
    session_resume(s);
}

static bool is_ascii(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s > 127)
            return false;
    return true;
}

/* Whether a message that was announced with SMTPUTF8 needs it on its way, too; for recipients' own
 * addresses the relay sees to it. */
static bool needs_utf8(const struct transaction *tx)
{
    return (tx->options.flags & QUEUE_UTF8) &&
           (tx->message->data.header_8bit || !is_ascii(tx->sender.full));
}

/* What of the message is committed: a file that is taken over, under an id of its own. */
struct part_file {
    const struct part *part;
    const char *id;
    int fd;
    uint64_t size;
    uint32_t trace_offset;
    bool last;
};

static void commit_part(struct session *s, const struct part_file *f)
{
    struct transaction *tx = s->tx;
    struct commit *c = mem_zalloc(sizeof(*c));
    struct queue_rcpt *rcpts = mem_alloc((f->part->target_count + 1) * sizeof(*rcpts));
    char literal[NETADDR_STRLEN + 8], client[SMTP_DOMAIN_MAX + sizeof(literal) + 2], hold[600];
    struct target *t;
    size_t n = 0;

    c->session = s;
    c->last = f->last;
    memcpy(c->id, f->id, sizeof(c->id));
    s->commit = c;
    STAILQ_FOREACH (t, &f->part->targets, link)
        rcpts[n++] = t->rcpt;
    snprintf(client, sizeof(client), "%s %s", s->helo != NULL ? s->helo : "unknown",
             session_peer_literal(s, literal));
    snprintf(hold, sizeof(hold), "for a moderator of <%.250s> (%.250s)", f->part->address,
             f->part->moderated != NULL ? f->part->moderated : "");
    struct queue_options options = tx->options;
    if (f->part->moderated != NULL)
        options.decide_by = (uint64_t)(clock_wall() + s->d->conf->moderation_lifetime / 1000);
    struct queue_envelope envelope = {
        .id = f->id,
        .sender = transaction_sender(tx, f->part),
        .client = client,
        .login = s->login != NULL ? s->login->login : NULL,
        .hold = f->part->moderated != NULL ? hold : tx->hold,
        .size = f->size,
        .trace_offset = f->trace_offset,
        .body_8bit = tx->body_8bit || tx->message->data.has_8bit,
        .options = options,
        .rcpts = rcpts,
        .rcpt_count = n,
    };
    if (!needs_utf8(tx))
        envelope.options.flags &= ~(uint64_t)QUEUE_UTF8;
    session_wait(s, true);
    queue_commit(s->d->queue, f->fd, &envelope, committed, c);
    free(rcpts);
}

/* The first part is the file that came; it goes last, for the others are copied from it. */
static void commit_first(struct session *s)
{
    struct message *m = s->tx->message;
    struct part_file f = {.part = STAILQ_FIRST(&s->tx->parts),
                          .id = m->id,
                          .fd = m->fd,
                          .size = m->written,
                          .trace_offset = m->trace_offset,
                          .last = true};
    m->fd = -1;
    commit_part(s, &f);
}

/* The message with another Return-Path. 0, or -1 with errno. */
static int copy_file(const struct message *m, const char *return_path, struct part_file *f)
{
    struct buf out = {.max = GATHER_MAX + 1024};
    uint64_t from = m->trace_offset;
    int rc = 0;

    buf_printf(&out, "Return-Path: <%s>\r\n", return_path);
    f->trace_offset = (uint32_t)out.len;
    f->size = 0;
    while (rc == 0 && (out.len > 0 || from < m->written)) {
        uint64_t want = m->written - from < GATHER_MAX ? m->written - from : GATHER_MAX;
        unsigned char *room = buf_reserve(&out, (size_t)want);
        ssize_t n = room == NULL ? -1 : pread(m->fd, room, (size_t)want, (off_t)from);
        if (n < 0 || (n == 0 && want > 0)) {
            rc = -1;
            break;
        }
        buf_commit(&out, (size_t)n);
        from += (uint64_t)n;
        rc = pwrite(f->fd, out.data, out.len, (off_t)f->size) == (ssize_t)out.len ? 0 : -1;
        f->size += out.len;
        buf_clear(&out);
    }
    buf_free(&out);
    return rc;
}

static void part_file_opened(int fd, bool full, void *arg)
{
    struct session *s = arg;
    struct transaction *tx = s->tx;
    struct message *m = tx->message;
    struct part_file f = {.part = tx->committing, .fd = fd};
    char id[ID_STRLEN];

    m->open_id = 0;
    f.last = f.part == STAILQ_FIRST(&tx->parts);
    f.id = f.last ? m->id : id_new(id);
    if (fd >= 0 && copy_file(m, transaction_sender(tx, f.part), &f) == 0) {
        commit_part(s, &f);
        return;
    }
    if (fd >= 0) {
        full = errno == ENOSPC || errno == EDQUOT;
        log_error("message cannot be copied", LOG_STR("id", m->id), LOG_ERRNO(errno));
        close(fd);
    }
    if (full)
        reject(s, 452, "4.3.1", "Insufficient system storage");
    else
        reject(s, 451, "4.3.0", "The queue is not available");
    session_resume(s);
}

static void commit_next(struct session *s)
{
    struct transaction *tx = s->tx;

    do
        tx->committing = STAILQ_NEXT(tx->committing, link);
    while (tx->committing != NULL && tx->committing->target_count == 0);
    if (tx->committing == NULL) {
        /* Actions may have put other recipients in the place of those that were there at DATA. */
        tx->committing = STAILQ_FIRST(&tx->parts);
        if (strcmp(tx->traced, transaction_sender(tx, tx->committing)) == 0) {
            commit_first(s);
            return;
        }
    }
    session_wait(s, true);
    bool running = s->running;
    s->running = true; /* an answer at once must not run the session from in here */
    uint32_t id = queue_open_file(s->d->queue, part_file_opened, s);
    s->running = running;
    if (id != 0)
        tx->message->open_id = id;
    else if (!running && !s->waiting)
        session_run(s);
}

/* A list may have taken all that the first part had, which then is none. */
static void commit(struct session *s)
{
    struct transaction *tx = s->tx;
    struct part *part = STAILQ_FIRST(&tx->parts);

    while (part->target_count == 0 && STAILQ_NEXT(part, link) != NULL) {
        STAILQ_REMOVE_HEAD(&tx->parts, link);
        part = STAILQ_FIRST(&tx->parts);
    }
    tx->committing = part;
    commit_next(s);
}

/* What an access entry wants thrown away is accepted, and goes no further. */
static void discard(struct session *s)
{
    struct transaction *tx = s->tx;
    char text[64];

    log_info("message discarded", LOG_STR("id", tx->message->id), LOG_STR("session", s->id),
             LOG_STR("from", tx->sender.full), LOG_UINT("nrcpt", tx->recipient_count),
             LOG_UINT("size", tx->message->written));
    s->messages++;
    s->errors = s->junk = 0;
    snprintf(text, sizeof(text), "Ok: queued as %s", tx->message->id);
    reply_all(s, 250, "2.0.0", text);
    transaction_end(s);
}

static void expanded(struct session *s, enum expand_result result)
{
    switch (result) {
    case EXPAND_DONE:
        commit(s);
        return;
    case EXPAND_NOBODY:
        reject(s, 550, "5.1.1", "No recipient: the group leads to nobody");
        break;
    case EXPAND_TOO_MANY:
        reject(s, 452, "4.5.3", "Too many recipients");
        break;
    default:
        reject(s, 451, "4.4.3", "Temporary lookup failure");
        break;
    }
    session_resume(s);
}

/* ---- dirigo-filter ---- */

static void filtered(const struct filter_result *result, void *arg)
{
    struct session *s = arg;
    struct transaction *tx = s->tx;

    tx->message->filter_id = 0;
    switch (result->verdict) {
    case FILTER_HOLD:
        if (tx->hold == NULL)
            tx->hold = arena_strdup(tx->arena, result->text);
        break;
    case FILTER_ACCEPT:
        break;
    case FILTER_REJECT:
        reject(s, 550, "5.7.1", result->text);
        session_resume(s);
        return;
    case FILTER_DEFER:
        reject(s, 451, "4.7.1", result->text);
        session_resume(s);
        return;
    }
    tx->message->written = result->size;
    transaction_forward(tx, result->sender);
    if (!expand(s, expanded))
        commit(s);
}

/* Has the message looked at, where that is wanted. */
static bool filter(struct session *s)
{
    struct message *m = s->tx->message;
    struct filter_request r = {.id = m->id,
                               .flags = filter_flags(s),
                               .size = m->written,
                               .insert_at = m->trace_offset,
                               .message_at = m->own_fields};
    int fd;

    if (r.flags == 0)
        return false;
    filter_describe(s, &r);
    fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        log_error("descriptor cannot be duplicated", LOG_STR("id", m->id), LOG_ERRNO(errno));
        reject(s, 451, "4.3.0", "Out of descriptors");
        return true;
    }
    session_wait(s, true);
    m->filter_id = filter_ask(s->d->filter, &r, fd, filtered, s);
    return true;
}

/* Nothing is left against it. */
static void accept_message(struct session *s)
{
    if (s->tx->discard)
        discard(s);
    else if (transaction_apply_effects(s) != 0)
        reject(s, 451, "4.3.5", "Server configuration error");
    else if (!filter(s) && !expand(s, expanded))
        commit(s);
}

static void end_of_data_done(struct session *s, struct restriction_result *r)
{
    if (result_refuses(r)) {
        log_info("message refused by restrictions", LOG_STR("id", s->id),
                 LOG_STR("restriction", r->restriction),
                 LOG_STR("policy", r->dn != NULL ? r->dn : "dirigo.conf"));
        reject(s, r->code, r->status, r->text);
        return;
    }
    transaction_take_effects(s->tx, &s->eval->run);
    /* A redirection takes a snapshot of its own. */
    evaluation_rest(s->eval);
    accept_message(s);
}

/* Refuses the message for what is wrong in it, if something is. */
static bool flawed(struct session *s)
{
    struct message *m = s->tx->message;

    switch (m->data.flaw) {
    case SMTP_DATA_SOUND:
        return false;
    case SMTP_DATA_BARE_LF:
        reject(s, 550, "5.6.0", "Message has a bare <LF>: lines must end with <CR><LF>");
        return true;
    case SMTP_DATA_BARE_CR:
        reject(s, 550, "5.6.0", "Message has a bare <CR>: lines must end with <CR><LF>");
        return true;
    case SMTP_DATA_NUL:
        reject(s, 550, "5.6.0", "Message has a NUL");
        return true;
    case SMTP_DATA_TOO_BIG:
        reject(s, 552, "5.3.4", "Message size exceeds the limit");
        return true;
    }
    return false;
}

/* The message is complete: refused for what was wrong in it, or committed. */
static void message_end(struct session *s)
{
    struct message *m = s->tx->message;

    s->mode = MODE_COMMAND;
    if (m->holding) {
        m->data.header_done = true; /* a message of header fields alone */
        release_header(m, NULL, 0);
    }
    if (flawed(s))
        return;
    if (m->refusal.code != 0) {
        reject(s, m->refusal.code, m->refusal.status, m->refusal.text);
        return;
    }
    if (m->data.received > (unsigned)s->d->conf->hopcount_limit) {
        reject(s, 554, "5.4.6", "Too many hops: the message loops");
        return;
    }
    write_out(m, NULL, 0);
    if (m->error != 0) {
        log_error("message cannot be written", LOG_STR("id", m->id), LOG_ERRNO(m->error));
        if (m->error == ENOSPC || m->error == EDQUOT)
            reject(s, 452, "4.3.1", "Insufficient system storage");
        else
            reject(s, 451, "4.3.0", "The message cannot be stored");
        return;
    }
    if (s->tx->max_size > 0 && m->written > s->tx->max_size)
        reject(s, 552, "5.2.3", "The message is larger than a list among its recipients takes");
    else if (!evaluate_end_of_data(s, m->written, end_of_data_done))
        accept_message(s);
}

void message_orphan(struct session *s)
{
    if (s->commit != NULL)
        s->commit->session = NULL;
    s->commit = NULL;
}

void message_feed(struct session *s, const void *data, size_t len, size_t *used)
{
    struct message *m = s->tx->message;
    const unsigned char *in = data;
    size_t n;

    *used = 0;
    while (*used < len) {
        const void *slice;
        size_t slice_len;
        enum smtp_data_status status =
            smtp_data_next(&m->data, in + *used, len - *used, &n, &slice, &slice_len);
        *used += n;
        if (status == SMTP_DATA_SLICE)
            take_slice(m, slice, slice_len);
        if (status == SMTP_DATA_END) {
            message_end(s);
            return;
        }
    }
}

void message_chunk_end(struct session *s)
{
    struct transaction *tx = s->tx;

    s->mode = MODE_COMMAND;
    if (tx == NULL)
        return; /* it was refused and dropped */
    if (s->chunk.last)
        smtp_data_chunks_end(&tx->message->data);
    if (s->chunk.last)
        message_end(s);
    else if (!flawed(s)) /* told as soon as it is known; the rest of the message is not wanted */
        session_reply(s, 250, "2.0.0", "Ok: %llu octets so far",
                      (unsigned long long)tx->message->data.size);
}

void message_feed_chunk(struct session *s, const void *data, size_t len, size_t *used)
{
    struct message *m = s->tx != NULL ? s->tx->message : NULL;
    const void *slice;
    size_t slice_len;

    *used = len < s->chunk.left ? len : (size_t)s->chunk.left;
    s->chunk.left -= *used;
    if (m != NULL && smtp_data_chunk(&m->data, data, *used, &slice, &slice_len) == SMTP_DATA_SLICE)
        take_slice(m, slice, slice_len);
    if (s->chunk.left == 0)
        message_chunk_end(s);
}

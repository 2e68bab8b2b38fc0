/* The SMTP client's state machine. */
#include "gateway/relay/smtp_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/proto/smtp_reply.h"

enum {
    SLICE = 64 << 10 /* of the message, read at one time */
};

enum state {
    CONNECTING,
    GREETING,
    EHLO,
    HELO,
    STARTTLS,  /* waiting for the reply to it */
    HANDSHAKE, /* TLS */
    IDLE,
    ENVELOPE,  /* MAIL, RCPT and DATA: some sent, replies outstanding */
    BODY,      /* sending the message after 354 */
    BODY_DONE, /* waiting for the reply to the final dot */
    OVER       /* failed: only to be freed */
};

static const char *const state_words[] = {
    [CONNECTING] = "connecting",
    [GREETING] = "waiting for the greeting",
    [EHLO] = "waiting for the reply to EHLO",
    [HELO] = "waiting for the reply to HELO",
    [STARTTLS] = "waiting for the reply to STARTTLS",
    [HANDSHAKE] = "in the TLS handshake",
    [IDLE] = "idle",
    [ENVELOPE] = "sending the envelope",
    [BODY] = "sending the message",
    [BODY_DONE] = "waiting for the reply to the end of the message",
    [OVER] = "over",
};

/* The transaction under way. */
struct transaction {
    struct relay_job *job;
    size_t *order; /* the recipients in it, as indexes of job->rcpts */
    bool *taken;   /* which of them the server accepted */
    size_t count;
    /* Positions: 0 is MAIL, 1 to count are RCPT, count + 1 is DATA. */
    size_t next_command, next_reply;
    size_t accepted;
    bool utf8;       /* MAIL has to say so */
    bool refused;    /* MAIL was */
    bool line_start; /* the next byte of the body begins a line */
    uint64_t pos;    /* of the next slice in the file */
};

struct smtp_client {
    struct loop *loop;
    const struct smtp_client_settings *settings;
    const struct smtp_client_ops *ops;
    void *arg;
    struct stream *stream;
    struct timer *timer;
    struct timer *unfit; /* says later that a message was not for this host */
    struct smtp_reply_parser parser;
    enum state state;
    enum smtp_client_tls tls;
    char *name, *host;
    int64_t since;
    bool pipelining, size, eightbit, dsn, utf8, deliverby, priority,
        starttls; /* offered by the server */
    bool secured;
    bool worn; /* not to be used again */
    struct transaction tx;
    bool *freed; /* set while replies are read: the owner may free the client meanwhile */
};

static void enter(struct smtp_client *c, enum state state)
{
    c->state = state;
    if (state == BODY_DONE)
        timer_set(c->timer, c->settings->data_done_timeout);
    else if (state == IDLE || state == OVER)
        timer_stop(c->timer);
    else if (state != CONNECTING)
        timer_set(c->timer, c->settings->command_timeout);
}

static void tx_clear(struct smtp_client *c)
{
    free(c->tx.order);
    free(c->tx.taken);
    c->tx = (struct transaction){0};
}

/* The session cannot go on. */
static void fail(struct smtp_client *c, const struct smtp_trouble *trouble)
{
    /* The whole message is out: the server may have it, so no other host may get it now. */
    if (c->state == BODY_DONE && stream_pending(c->stream) == 0)
        for (size_t i = 0; i < c->tx.count; i++)
            if (c->tx.taken[i])
                relay_rcpt_decide(&c->tx.job->rcpts[c->tx.order[i]], RELAY_DEFERRED, true, c->host,
                                  trouble->code, trouble->enhanced, trouble->words);
    enter(c, OVER);
    tx_clear(c);
    c->ops->failed(c, trouble, c->arg);
}

static void fail_words(struct smtp_client *c, const char *enhanced, const char *what,
                       const char *detail)
{
    char *words =
        mem_printf("%s%s%s (%s)", what, *detail != '\0' ? ": " : "", detail, state_words[c->state]);

    fail(c, &(struct smtp_trouble){
                .enhanced = enhanced, .words = words, .tls = c->state == HANDSHAKE});
    free(words);
}

static void fail_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
    fail(c, &(struct smtp_trouble){
                .code = reply->code, .enhanced = reply->enhanced, .words = reply->text});
}

/* ---- the envelope ---- */

static void decide(struct smtp_client *c, size_t i, const struct smtp_reply *reply)
{
    unsigned class = reply->code / 100;
    enum relay_status status = class == 2   ? RELAY_SENT
                               : class == 5 ? RELAY_BOUNCED
                                            : RELAY_DEFERRED;

    struct relay_rcpt *rcpt = &c->tx.job->rcpts[c->tx.order[i]];
    relay_rcpt_decide(rcpt, status, status != RELAY_DEFERRED, c->host, reply->code, reply->enhanced,
                      reply->text);
    rcpt->told = c->dsn && status == RELAY_SENT;
}

/* Decides about all recipients, or those that were accepted. */
static void decide_all(struct smtp_client *c, const struct smtp_reply *reply, bool only_accepted)
{
    for (size_t i = 0; i < c->tx.count; i++)
        if (!only_accepted || c->tx.taken[i])
            decide(c, i, reply);
}

static void transaction_over(struct smtp_client *c)
{
    enter(c, IDLE);
    tx_clear(c);
    c->ops->sent(c, c->arg);
}

/* NOTIFY and ORCPT (RFC 3461 section 4), as they were given. */
static void send_rcpt(struct smtp_client *c, const struct relay_rcpt *rcpt)
{
    static const char *const words[] = {"NEVER", "SUCCESS", "FAILURE", "DELAY"};
    const char *separator = " NOTIFY=";

    stream_printf(c->stream, "RCPT TO:<%s>", rcpt->address);
    for (unsigned i = 0; c->dsn && i < 4; i++) {
        if (!(rcpt->notify & (1u << i)))
            continue;
        stream_printf(c->stream, "%s%s", separator, words[i]);
        separator = ",";
    }
    if (c->dsn && rcpt->orcpt != NULL)
        stream_printf(c->stream, " ORCPT=%s", rcpt->orcpt);
    stream_printf(c->stream, "\r\n");
}

/* BY with the time that is left (RFC 2852 section 4.1.4), and MT-PRIORITY. */
static void send_time(struct smtp_client *c)
{
    const struct queue_options *o = &c->tx.job->options;

    if (c->deliverby && o->deliver_by != 0)
        stream_printf(c->stream, " BY=%lld;%s%s",
                      (long long)((int64_t)o->deliver_by - clock_wall()),
                      o->flags & QUEUE_BY_RETURN ? "R" : "N", o->flags & QUEUE_BY_TRACE ? "T" : "");
    if (c->priority && o->priority != QUEUE_PRIORITY_NONE)
        stream_printf(c->stream, " MT-PRIORITY=%d", (int)o->priority - 10);
}

static void send_mail(struct smtp_client *c)
{
    const struct relay_job *job = c->tx.job;

    stream_printf(c->stream, "MAIL FROM:<%s>", job->sender);
    if (c->size)
        stream_printf(c->stream, " SIZE=%llu", (unsigned long long)(job->size - job->offset));
    if (c->eightbit && job->body_8bit)
        stream_printf(c->stream, " BODY=8BITMIME");
    send_time(c);
    if (c->tx.utf8)
        stream_printf(c->stream, " SMTPUTF8");
    if (c->dsn && job->options.ret != QUEUE_RET_NONE)
        stream_printf(c->stream, " RET=%s", job->options.ret == QUEUE_RET_FULL ? "FULL" : "HDRS");
    if (c->dsn && job->options.envelope != NULL)
        stream_printf(c->stream, " ENVID=%s", job->options.envelope);
    stream_printf(c->stream, "\r\n");
}

/* Sends what may be sent now: everything with PIPELINING (RFC 2920), else one command. */
static void send_commands(struct smtp_client *c)
{
    struct transaction *tx = &c->tx;

    while (tx->next_command <= tx->count + 1 &&
           (c->pipelining || tx->next_command == tx->next_reply)) {
        if (tx->next_command == 0)
            send_mail(c);
        else if (tx->next_command <= tx->count)
            send_rcpt(c, &tx->job->rcpts[tx->order[tx->next_command - 1]]);
        else
            stream_printf(c->stream, "DATA\r\n");
        tx->next_command++;
    }
}

/* Sends the bytes with every dot at the start of a line doubled (RFC 5321 section 4.5.2). A lone LF
 * counts as a line's end, lest a careless server sees the message end there. */
static void send_stuffed(struct smtp_client *c, const char *data, size_t len)
{
    const char *end = data + len, *run = data;

    while (data < end) {
        if (c->tx.line_start && *data == '.') {
            stream_write(c->stream, run, (size_t)(data - run));
            stream_write(c->stream, ".", 1);
            run = data;
        }
        const char *lf = memchr(data, '\n', (size_t)(end - data));
        c->tx.line_start = lf != NULL;
        data = lf != NULL ? lf + 1 : end;
    }
    stream_write(c->stream, run, (size_t)(end - run));
}

/* Sends the next slice of the message, and the final dot behind the last one. */
static void send_body(struct smtp_client *c)
{
    struct transaction *tx = &c->tx;
    uint64_t left = tx->job->size - tx->pos;

    if (left > 0) {
        char *slice = mem_alloc(SLICE);
        ssize_t n = pread(tx->job->fd, slice, left < SLICE ? (size_t)left : SLICE, (off_t)tx->pos);
        int error = n < 0 ? errno : 0;
        if (n > 0)
            send_stuffed(c, slice, (size_t)n);
        free(slice);
        if (n <= 0) {
            log_error("a message cannot be read", LOG_STR("id", tx->job->id), LOG_ERRNO(error));
            fail_words(c, "4.3.0", "the message cannot be read here", "");
            return;
        }
        tx->pos += (uint64_t)n;
    }
    enter(c, BODY); /* progress: the time-out starts again */
    if (tx->pos == tx->job->size) {
        stream_printf(c->stream, tx->line_start ? ".\r\n" : "\r\n.\r\n");
        enter(c, BODY_DONE);
    }
}

static void on_envelope_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
    struct transaction *tx = &c->tx;
    size_t at = tx->next_reply++;
    bool good = reply->code / 100 == 2;

    if (at == 0) {
        tx->refused = !good;
        if (!good)
            decide_all(c, reply, false);
    } else if (at <= tx->count) {
        struct smtp_reply r = *reply;
        if (r.code == 552) /* "too many recipients", RFC 5321 section 4.5.3.1.10 */
            r.code = 452;
        c->tx.taken[at - 1] = good && !tx->refused;
        tx->accepted += c->tx.taken[at - 1];
        if (!good && !tx->refused)
            decide(c, at - 1, &r);
    } else if (reply->code == 354) {
        /* With nobody to deliver to, pipelining may bring us here: the empty message is refused. */
        tx->pos = tx->accepted > 0 ? tx->job->offset : tx->job->size;
        tx->line_start = true;
        send_body(c);
        return;
    } else {
        if (good) { /* no reply to DATA that RFC 5321 knows */
            fail_words(c, "4.5.0", "unexpected reply to DATA", reply->text);
            return;
        }
        decide_all(c, reply, true);
        c->worn = true;
        transaction_over(c);
        return;
    }
    /* Nobody left, and DATA not yet sent: no need to. */
    if (tx->next_command <= tx->count + 1 &&
        (tx->refused || (tx->next_reply > tx->count && tx->accepted == 0))) {
        c->worn = true;
        transaction_over(c);
        return;
    }
    enter(c, ENVELOPE);
    send_commands(c);
}

/* ---- the session ---- */

static void greet(struct smtp_client *c, enum state verb)
{
    stream_printf(c->stream, "%s %s\r\n", verb == EHLO ? "EHLO" : "HELO", c->settings->helo_name);
    enter(c, verb);
}

static void become_ready(struct smtp_client *c)
{
    if (c->tls == SMTP_CLIENT_TLS_ENCRYPT && !c->secured) {
        fail_words(c, "4.7.4", "TLS is required, but the host does not offer it", "");
        return;
    }
    enter(c, IDLE);
    c->ops->ready(c, c->arg);
}

static void on_ehlo_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (reply->code / 100 == 5 && c->tls != SMTP_CLIENT_TLS_ENCRYPT) {
        greet(c, HELO);
        return;
    }
    if (reply->code / 100 != 2) {
        fail_reply(c, reply);
        return;
    }
    c->pipelining = smtp_reply_keyword(reply, "PIPELINING", NULL, NULL);
    c->size = smtp_reply_keyword(reply, "SIZE", NULL, NULL);
    c->eightbit = smtp_reply_keyword(reply, "8BITMIME", NULL, NULL);
    c->utf8 = smtp_reply_keyword(reply, "SMTPUTF8", NULL, NULL);
    c->deliverby = smtp_reply_keyword(reply, "DELIVERBY", NULL, NULL);
    c->priority = smtp_reply_keyword(reply, "MT-PRIORITY", NULL, NULL);
    c->dsn = smtp_reply_keyword(reply, "DSN", NULL, NULL);
    c->starttls = smtp_reply_keyword(reply, "STARTTLS", NULL, NULL);
    if (c->starttls && !c->secured && c->tls != SMTP_CLIENT_TLS_NONE) {
        stream_printf(c->stream, "STARTTLS\r\n");
        enter(c, STARTTLS);
        return;
    }
    become_ready(c);
}

static void on_starttls_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
    if (reply->code / 100 == 2) {
        enter(c, HANDSHAKE);
        stream_start_tls_client(c->stream, c->settings->tls, *c->name != '\0' ? c->name : NULL);
    } else {
        become_ready(c); /* in clear, where that will do */
    }
}

static void on_body_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
    bool early = c->state == BODY;

    if (early && reply->code / 100 < 4) {
        fail_words(c, "4.5.0", "a reply in the middle of the message", reply->text);
        return;
    }
    if (reply->code / 100 == 3) {
        fail_words(c, "4.5.0", "unexpected reply to the end of the message", reply->text);
        return;
    }
    decide_all(c, reply, true);
    c->worn |= early || reply->code / 100 != 2 || c->tx.accepted == 0;
    transaction_over(c);
}

static void on_reply(struct smtp_client *c, const struct smtp_reply *reply)
{
    bool good = reply->code / 100 == 2;

    /* RFC 5321 section 3.8: the server closes now, whatever was asked. */
    if (reply->code == 421) {
        /* It has not taken the message: another host may have it. */
        if (c->state == BODY_DONE)
            c->state = BODY;
        fail_reply(c, reply);
        return;
    }
    switch (c->state) {
    case GREETING:
        c->since = clock_now_ms();
        good ? greet(c, EHLO) : fail_reply(c, reply);
        break;
    case EHLO:
        on_ehlo_reply(c, reply);
        break;
    case HELO:
        good ? become_ready(c) : fail_reply(c, reply);
        break;
    case STARTTLS:
        on_starttls_reply(c, reply);
        break;
    case ENVELOPE:
        on_envelope_reply(c, reply);
        break;
    case BODY:
    case BODY_DONE:
        on_body_reply(c, reply);
        break;
    default:
        fail_words(c, "4.5.0", "a reply to nothing", reply->text);
    }
}

/* ---- the stream ---- */

/* Reads one reply if there is one: 1, 0 where more is needed, -1 where the client may be gone. */
static int read_reply(struct smtp_client *c, struct smtp_reply *reply)
{
    size_t len;
    const void *data = stream_peek(c->stream, &len);

    if (len == 0)
        return 0;
    stream_consume(c->stream, smtp_reply_push(&c->parser, data, len));
    int rc = smtp_reply_next(&c->parser, reply);
    if (rc == -1)
        fail_words(c, "4.5.0", "the host does not speak SMTP", "");
    return rc;
}

static void on_input(struct stream *s, void *arg)
{
    struct smtp_client *c = arg;
    struct smtp_reply reply;
    bool freed = false;

    (void)s;
    c->freed = &freed;
    /* What follows the reply to STARTTLS in clear is nobody's. */
    while (!freed && c->state != HANDSHAKE && c->state != OVER && read_reply(c, &reply) == 1)
        on_reply(c, &reply);
    if (!freed)
        c->freed = NULL;
}

static void on_drained(struct stream *s, void *arg)
{
    struct smtp_client *c = arg;

    (void)s;
    if (c->state == BODY)
        send_body(c);
}

static void on_connected(struct stream *s, void *arg)
{
    (void)s;
    enter(arg, GREETING);
}

static void on_secured(struct stream *s, void *arg)
{
    struct smtp_client *c = arg;

    (void)s;
    c->secured = true;
    smtp_reply_free(&c->parser);
    c->pipelining = c->size = c->eightbit = c->dsn = c->utf8 = c->deliverby = c->priority =
        c->starttls = false;
    greet(c, EHLO); /* RFC 3207 section 4.2: what was said in clear is forgotten */
}

static void on_closed(struct stream *s, enum stream_end why, void *arg)
{
    struct smtp_client *c = arg;

    if (c->state == CONNECTING)
        fail_words(c, "4.4.1", "no connection",
                   why == STREAM_TIMEOUT ? "timed out" : stream_error(s));
    else if (c->state == HANDSHAKE)
        fail_words(c, "4.7.5", "TLS failed", stream_error(s));
    else
        fail_words(c, "4.4.2", "lost the connection", why == STREAM_EOF ? "" : stream_error(s));
}

static void on_timeout(void *arg)
{
    struct smtp_client *c = arg;

    fail_words(c, "4.4.2", "timed out", "");
}

static void on_unfit(void *arg)
{
    struct smtp_client *c = arg;

    c->ops->sent(c, c->arg);
}

/* ---- the interface ---- */

struct smtp_client *smtp_client_new(struct loop *loop, const struct smtp_client_settings *settings,
                                    const char *name, const struct netaddr *addr,
                                    enum smtp_client_tls tls, const struct smtp_client_ops *ops,
                                    void *arg)
{
    static const struct stream_ops stream_ops = {
        .input = on_input,
        .drained = on_drained,
        .connected = on_connected,
        .secured = on_secured,
        .closed = on_closed,
    };
    struct smtp_client *c = mem_zalloc(sizeof(*c));
    char text[NETADDR_STRLEN];
    const struct netaddr *source = &settings->source;

    c->loop = loop;
    c->settings = settings;
    c->ops = ops;
    c->arg = arg;
    c->tls = settings->tls == NULL ? SMTP_CLIENT_TLS_NONE : tls;
    c->name = mem_strdup(name);
    c->host = mem_printf("%s[%s]:%u", name, netaddr_str(addr, text), addr->port);
    c->timer = timer_new(loop, on_timeout, c);
    c->unfit = timer_new(loop, on_unfit, c);
    c->state = CONNECTING;
    c->stream = stream_connect(loop, addr, source->family == addr->family ? source : NULL,
                               settings->connect_timeout, &stream_ops, c);
    return c;
}

void smtp_client_set_ops(struct smtp_client *c, const struct smtp_client_ops *ops, void *arg)
{
    c->ops = ops;
    c->arg = arg;
}

/*
 * Whether the host can be given the message for this recipient; decides where not. That is not the
 * last word: another host may know more.
 */
static bool fits(struct smtp_client *c, const struct relay_job *job, struct relay_rcpt *rcpt)
{
    /* RFC 2852 section 4.1.4.2: who cannot return it in time does not get it. */
    if (job->options.deliver_by != 0 && (job->options.flags & QUEUE_BY_RETURN) && !c->deliverby) {
        relay_rcpt_decide(rcpt, RELAY_BOUNCED, false, c->host, 0, "5.3.3",
                          "the host does not offer DELIVERBY, which this message asks for");
        return false;
    }
    if (c->utf8 || (!(job->options.flags & QUEUE_UTF8) && !rcpt->utf8))
        return true;
    relay_rcpt_decide(rcpt, RELAY_BOUNCED, false, c->host, 0, "5.6.7",
                      "the host does not offer SMTPUTF8, which this needs");
    return false;
}

void smtp_client_send(struct smtp_client *c, struct relay_job *job)
{
    struct transaction *tx = &c->tx;

    tx_clear(c);
    tx->job = job;
    tx->order = mem_alloc(job->count * sizeof(*tx->order));
    for (size_t i = 0; i < job->count; i++) {
        struct relay_rcpt *rcpt = &job->rcpts[i];
        if (rcpt->final || !fits(c, job, rcpt))
            continue;
        tx->order[tx->count++] = i;
        tx->utf8 |= rcpt->utf8 || (job->options.flags & QUEUE_UTF8) != 0;
    }
    if (tx->count == 0) { /* said later, for nothing is called from in here */
        tx_clear(c);
        timer_set(c->unfit, 0);
        return;
    }
    tx->taken = mem_zalloc(job->count * sizeof(*tx->taken));
    enter(c, ENVELOPE);
    send_commands(c);
}

bool smtp_client_reusable(const struct smtp_client *c)
{
    return c->state == IDLE && !c->worn;
}

const char *smtp_client_host(const struct smtp_client *c)
{
    return c->host;
}

const char *smtp_client_tls_version(const struct smtp_client *c)
{
    struct tls_info info = {0};

    if (!c->secured)
        return "none";
    stream_tls_info(c->stream, &info);
    return info.version;
}

int64_t smtp_client_since(const struct smtp_client *c)
{
    return c->since;
}

void smtp_client_quit(struct smtp_client **c)
{
    if (*c != NULL && (*c)->state == IDLE) {
        stream_printf((*c)->stream, "QUIT\r\n");
        stream_finish(&(*c)->stream);
    }
    smtp_client_free(c);
}

void smtp_client_free(struct smtp_client **c)
{
    if (*c == NULL)
        return;
    if ((*c)->freed != NULL)
        *(*c)->freed = true;
    tx_clear(*c);
    timer_free(&(*c)->timer);
    timer_free(&(*c)->unfit);
    stream_free(&(*c)->stream);
    smtp_reply_free(&(*c)->parser);
    free((*c)->name);
    free((*c)->host);
    free(*c);
    *c = NULL;
}

#include "gateway/session/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/ipc/channel.h"

/* How long dirigo-mailbox may take to say that it has a session, and the client to take what was
 * said before. */
#define HANDOFF_TIMEOUT 10000

struct handoff {
    struct loop *loop;
    unsigned count;
    struct ipc_client **mailboxes;
    LIST_HEAD(, gift) gifts;      /* under way */
    LIST_HEAD(, joined) sessions; /* with TLS, after they were given away */
};

/* A stream on its way. It stays with us, paused, until dirigo-mailbox has said that it has it. */
struct gift {
    LIST_ENTRY(gift) link;
    struct handoff *handoff;
    struct stream *stream;
    struct msg *msg;     /* until it is sent */
    struct timer *timer; /* while what was queued for the client leaves, or a failure is reported */
    unsigned index;
    uint32_t request;
    int other; /* with TLS: our end of the socketpair; else -1 */
    void (*fn)(bool taken, struct stream *back, void *arg);
    void (*ended)(void *arg);
    void *arg;
};

/* A session with TLS after it was given away: its bytes go through this process. */
struct joined {
    LIST_ENTRY(joined) link;
    struct splice *splice;
    void (*ended)(void *arg);
    void *arg;
};

struct handoff *handoff_new(struct loop *loop, const char *run_path, unsigned count)
{
    struct handoff *h = mem_zalloc(sizeof(*h));
    h->loop = loop;
    h->count = count == 0 ? 1 : count;
    h->mailboxes = mem_zalloc(h->count * sizeof(*h->mailboxes));
    for (unsigned i = 0; i < h->count; i++) {
        char *path = mem_printf("%s/mailbox-%u.sock", run_path, i);
        h->mailboxes[i] = ipc_client_new(loop, path, MAILBOX_SERVICE, MAILBOX_VERSION);
        free(path);
    }
    LIST_INIT(&h->gifts);
    LIST_INIT(&h->sessions);
    return h;
}

/* ---- a gift's ends ---- */

static void gift_free(struct gift *g)
{
    LIST_REMOVE(g, link);
    if (g->other >= 0)
        close(g->other);
    timer_free(&g->timer);
    msg_free(&g->msg);
    free(g);
}

/* back: the caller's stream again, or NULL where it is gone. */
static void gift_return(struct gift *g, struct stream *back)
{
    void (*fn)(bool, struct stream *, void *) = g->fn;
    void *arg = g->arg;
    if (back != NULL)
        stream_resume(back);
    gift_free(g);
    fn(false, back, arg);
}

static void joined_done(void *arg)
{
    struct joined *j = arg;
    void (*ended)(void *) = j->ended;
    void *ended_arg = j->arg;
    LIST_REMOVE(j, link);
    free(j);
    ended(ended_arg);
}

/* Until the splice has its own. */
static void joined_input(struct stream *s, void *arg)
{
    (void)s;
    (void)arg;
}

static void joined_closed(struct stream *s, enum stream_end why, void *arg)
{
    (void)s;
    (void)why;
    (void)arg;
}

static const struct stream_ops joined_ops = {.input = joined_input, .closed = joined_closed};

static void gift_taken(struct gift *g)
{
    void (*fn)(bool, struct stream *, void *) = g->fn;
    void *arg = g->arg;

    if (g->other >= 0) {
        struct stream *pair = stream_new(g->handoff->loop, g->other, &joined_ops, NULL);
        struct joined *j = mem_zalloc(sizeof(*j));
        g->other = -1;
        j->ended = g->ended;
        j->arg = g->arg;
        LIST_INSERT_HEAD(&g->handoff->sessions, j, link);
        j->splice = stream_splice(&g->stream, &pair, joined_done, j);
    } else {
        /* dirigo-mailbox has a descriptor of its own; closing ours ends nothing. */
        struct buf input = {0};
        int fd = stream_detach(&g->stream, &input);
        if (fd >= 0)
            close(fd);
        else
            stream_free(&g->stream);
        buf_wipe_free(&input);
    }
    gift_free(g);
    fn(true, NULL, arg);
}

static int gift_answered(enum ipc_status status, struct msg *m, void *arg)
{
    struct gift *g = arg;
    g->request = 0;
    if (status == IPC_OK) {
        bool taken = msg_get_bool(m);
        if (msg_type(m) != MAILBOX_MSG_SESSION_RESULT || msg_end(m) < 0) {
            stream_free(&g->stream);
            gift_return(g, NULL);
            return -1;
        }
        if (taken)
            gift_taken(g);
        else
            gift_return(g, g->stream);
    } else if (status == IPC_TIMEOUT) {
        /* It may have the session and be about to speak: two must not. */
        stream_free(&g->stream);
        gift_return(g, NULL);
    } else {
        gift_return(g, g->stream);
    }
    return 0;
}

/* ---- the stream meanwhile ---- */

static void gift_closed(struct stream *s, enum stream_end why, void *arg)
{
    struct gift *g = arg;
    (void)why;
    if (g->request != 0)
        ipc_cancel(g->handoff->mailboxes[g->index], g->request);
    stream_free(&s);
    gift_return(g, NULL);
}

static void gift_input(struct stream *s, void *arg)
{
    (void)arg;
    stream_pause(s);
}

/* Puts what travels last into the message, and sends it: the unread input and a descriptor. */
static int gift_send(struct gift *g)
{
    size_t len = 0;
    const void *data = "";
    int fd;

    if (stream_is_tls(g->stream)) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
            return -1;
        /* Unread input stays where it is and goes through the splice. */
        g->other = pair[0];
        fd = pair[1];
    } else {
        fd = fcntl(stream_fd(g->stream), F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            return -1;
        data = stream_peek(g->stream, &len);
    }
    msg_put_bytes(g->msg, data, len);
    msg_put_str(g->msg, "");
    msg_put_fd(g->msg, fd);
    g->request =
        ipc_request(g->handoff->mailboxes[g->index], &g->msg, HANDOFF_TIMEOUT, gift_answered, g);
    return 0;
}

/* Sends, or has the failure reported from the loop. */
static void gift_go(struct gift *g)
{
    if (gift_send(g) < 0) {
        log_warning("no descriptor for a login", LOG_ERRNO(errno));
        timer_set(g->timer, 0);
    } else {
        timer_stop(g->timer);
    }
}

static void gift_drained(struct stream *s, void *arg)
{
    struct gift *g = arg;
    if (g->msg != NULL && stream_pending(s) == 0)
        gift_go(g);
}

/* The client does not take what was queued for it, or sending failed. */
static void gift_timer(void *arg)
{
    struct gift *g = arg;
    if (stream_pending(g->stream) > 0)
        stream_free(&g->stream);
    gift_return(g, g->stream);
}

static const struct stream_ops gift_ops = {
    .input = gift_input, .drained = gift_drained, .closed = gift_closed};

void handoff_give(struct handoff *h, struct stream **s, const struct handoff_session *session,
                  void (*fn)(bool taken, struct stream *back, void *arg), void (*ended)(void *arg),
                  void *arg)
{
    struct gift *g = mem_zalloc(sizeof(*g));
    bool tls = stream_is_tls(*s);

    g->handoff = h;
    g->stream = *s;
    *s = NULL;
    g->other = -1;
    g->fn = fn;
    g->ended = ended;
    g->arg = arg;
    g->index = handoff_index(&session->owner, h->count);
    g->timer = timer_new(h->loop, gift_timer, g);
    LIST_INSERT_HEAD(&h->gifts, g, link);
    g->msg = msg_new(MAILBOX_MSG_SESSION);
    msg_put_str(g->msg, session->protocol);
    msg_put_str(g->msg, session->id);
    msg_put_str(g->msg, session->tag);
    msg_put_uuid(g->msg, &session->owner);
    msg_put_str(g->msg, session->login);
    msg_put_str(g->msg, session->address);
    msg_put_addr(g->msg, &session->peer);
    msg_put_bytes(g->msg, session->ticket, session->ticket_len);
    msg_put_str(g->msg, session->notice);
    msg_put_bool(g->msg, tls);
    stream_set_ops(g->stream, &gift_ops, g);
    stream_set_timeout(g->stream, 0); /* dirigo-mailbox watches the client from now on */
    stream_pause(g->stream);
    /* Without TLS the other process writes to the same socket: what we said has to be out first. */
    if (!tls && stream_pending(g->stream) > 0)
        timer_set(g->timer, HANDOFF_TIMEOUT);
    else
        gift_go(g);
}

void handoff_free(struct handoff **ph)
{
    struct handoff *h = *ph;
    if (h == NULL)
        return;
    *ph = NULL;
    /* Freeing the channels answers what is under way. */
    for (unsigned i = 0; i < h->count; i++)
        ipc_client_free(&h->mailboxes[i]);
    while (!LIST_EMPTY(&h->gifts)) {
        struct gift *g = LIST_FIRST(&h->gifts);
        stream_free(&g->stream);
        gift_return(g, NULL);
    }
    while (!LIST_EMPTY(&h->sessions)) {
        struct joined *j = LIST_FIRST(&h->sessions);
        stream_splice_end(&j->splice);
        joined_done(j);
    }
    free(h->mailboxes);
    free(h);
}

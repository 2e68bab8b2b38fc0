/* The service on queue.sock: one request, one function. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/role.h"
#include "gateway/base/str.h"
#include "gateway/queue/queue.h"
#include "gateway/queue/replay.h"
#include "gateway/store/names.h"

#define SERVER_PARTIALS_MAX 100 /* recipient lists of one peer without their COMMIT */
#define SERVER_LIST_MAX     200 /* messages in one LIST_RESULT */
#define SERVER_LIST_RCPTS   50  /* of one message in it */
#define SERVER_LIST_BYTES   ((size_t)512 << 10)

/* ---- OPEN ---- */

static int server_open(struct peer *peer, struct msg *m)
{
    uint32_t n = msg_get_u32(m);
    if (msg_end(m) < 0 || n == 0 || n > MSG_FDS_MAX)
        return -1;
    files_open(peer->queue, peer, msg_id(m), n);
    return 0;
}

/* ---- RCPTS and COMMIT ---- */

static struct partial *partial_find(struct peer *peer, const char *id)
{
    struct partial *p;
    LIST_FOREACH (p, &peer->partials, link)
        if (strcmp(p->envelope->id, id) == 0)
            return p;
    return NULL;
}

static void partial_free(struct peer *peer, struct partial *p)
{
    LIST_REMOVE(p, link);
    peer->partial_count--;
    envelope_free(&p->envelope);
    free(p);
}

/* Reads n recipients; 0, or -1 for a malformed or too long list. */
static int server_read_rcpts(struct queue *q, struct msg *m, uint32_t n, struct envelope *e)
{
    for (uint32_t i = 0; i < n && msg_ok(m); i++) {
        if (e->rcpt_count >= (size_t)q->conf->qmgr_message_recipient_limit)
            return -1;
        uint8_t kind = msg_get_u8(m);
        struct uuid owner = msg_get_uuid(m);
        const char *address = msg_get_str(m);
        const char *original = msg_get_str(m);
        const char *host = msg_get_str(m);
        uint8_t notify = msg_get_u8(m);
        const char *orcpt = msg_get_str(m);
        if (!msg_ok(m) || kind > QUEUE_RCPT_EXPANDED || address == NULL ||
            notify > QUEUE_NOTIFY_ALL)
            return -1;
        struct envelope_rcpt *r = envelope_add(e);
        r->kind = (enum queue_rcpt_kind)kind;
        r->number = e->rcpt_count - 1;
        r->owner = owner;
        r->address = mem_strdup(address);
        envelope_set(&r->original, original);
        envelope_set(&r->host, host);
        r->notify = notify;
        envelope_set(&r->orcpt, orcpt);
        if (kind == QUEUE_RCPT_EXPANDED)
            r->state = ENVELOPE_EXPANDED;
    }
    return msg_ok(m) ? 0 : -1;
}

static int server_rcpts(struct peer *peer, struct msg *m)
{
    const char *id = msg_get_str(m);
    uint32_t n = msg_get_u32(m);
    if (!msg_ok(m) || !envelope_id_valid(id))
        return -1;
    struct partial *p = partial_find(peer, id);
    if (p == NULL) {
        if (peer->partial_count >= SERVER_PARTIALS_MAX)
            return -1;
        p = mem_zalloc(sizeof(*p));
        p->envelope = envelope_new();
        envelope_set(&p->envelope->id, id);
        LIST_INSERT_HEAD(&peer->partials, p, link);
        peer->partial_count++;
    }
    return server_read_rcpts(peer->queue, m, n, p->envelope) < 0 ? -1 : msg_end(m);
}

/* Whether a report will be owed as soon as the message is here. Its id is made now, so that it is
 * in the journal and no crash doubles the report. */
static bool server_reports(const struct envelope *e)
{
    for (size_t i = 0; i < e->rcpt_count; i++)
        if ((e->rcpts[i].notify & QUEUE_NOTIFY_SUCCESS) != 0 && *e->sender != '\0')
            return true;
    return envelope_owed(e);
}

/* The envelope of a COMMIT, with the recipients that came before it; NULL where it is malformed. */
static struct envelope *server_read_envelope(struct peer *peer, struct msg *m)
{
    const char *id = msg_get_str(m);
    if (!msg_ok(m) || !envelope_id_valid(id))
        return NULL;
    struct partial *p = partial_find(peer, id);
    struct envelope *e = p == NULL ? envelope_new() : p->envelope;
    if (p != NULL) {
        p->envelope = NULL;
        partial_free(peer, p);
    }
    envelope_set(&e->id, id);
    envelope_set(&e->sender, msg_get_str(m));
    envelope_set(&e->client, msg_get_str(m));
    envelope_set(&e->login, msg_get_str(m));
    envelope_set(&e->hold, msg_get_str(m));
    e->size = msg_get_u64(m);
    e->trace = msg_get_u32(m);
    e->body_8bit = msg_get_bool(m);
    struct queue_options options;
    int bad = queue_options_get(m, &options);
    if (bad == 0)
        envelope_set_options(e, &options);
    uint32_t all = msg_get_u32(m);
    uint32_t n = msg_get_u32(m);
    e->arrived = (uint64_t)clock_wall();
    e->next = options.hold_until;
    if (bad != 0 || e->sender == NULL || e->trace > e->size || e->size > INT64_MAX ||
        server_read_rcpts(peer->queue, m, n, e) < 0 || all == 0 || e->rcpt_count != all)
        envelope_free(&e);
    else if (server_reports(e))
        e->bounce = mem_strdup(id_new((char[ID_STRLEN]){0}));
    return e;
}

static int server_commit(struct peer *peer, struct msg *m)
{
    struct envelope *e = server_read_envelope(peer, m);
    int fd = msg_get_fd(m);
    if (msg_end(m) < 0 || e == NULL) {
        if (fd >= 0)
            close(fd);
        envelope_free(&e);
        return -1;
    }
    commit_submit(peer->queue, e, fd, answer_new(peer, msg_id(m)));
    return 0;
}

/* ---- FORGET ---- */

struct forget {
    struct group_op op; /* first: forget_done goes back from it */
    LIST_ENTRY(forget) all;
    struct queue *queue;
    struct answer_to *to;
};

static void forget_reply(struct peer *peer, uint32_t request, bool ok)
{
    struct msg *m = msg_new(QUEUE_MSG_FORGET_RESULT);
    msg_put_bool(m, ok);
    ipc_reply(peer->ipc, request, &m);
}

static void forget_done(struct group_op *op)
{
    struct forget *f = (struct forget *)op;
    struct queue *q = f->queue;
    if (f->to->peer != NULL) {
        LIST_REMOVE(f->to, peer_link);
        forget_reply(f->to->peer, f->to->request, op->durable);
    }
    free(f->to);
    LIST_REMOVE(f, all);
    uint64_t generation = op->generation;
    bool durable = op->durable;
    buf_free(&op->head);
    free(f);
    if (durable)
        group_release(q->group, generation);
}

static int server_forget(struct peer *peer, struct msg *m)
{
    struct queue *q = peer->queue;
    struct buf names = {.max = MSG_BODY_MAX};
    char id[ID_STRLEN];
    msg_get_uuid(m);
    uint32_t n = msg_get_u32(m);
    for (uint32_t i = 0; i < n && msg_ok(m); i++) {
        const char *name = msg_get_str(m);
        if (name == NULL || strlen(name) >= STORE_NAME_MAX)
            break;
        if (ids_from_name(name, id) < 0)
            continue; /* the journal never had it */
        struct id_entry *known = ids_find(&q->ids, id);
        log_debug("forget", LOG_STR("id", id),
                  LOG_UINT("generation", known == NULL ? 0 : known->generation));
        if (known != NULL && (known->message != NULL || group_covers(q->group, known->generation)))
            buf_append(&names, name, strlen(name) + 1);
    }
    if (msg_end(m) < 0) {
        buf_free(&names);
        return -1;
    }
    if (names.len == 0) {
        forget_reply(peer, msg_id(m), true);
        return 0;
    }
    struct forget *f = mem_zalloc(sizeof(*f));
    f->queue = q;
    f->to = answer_new(peer, msg_id(m));
    f->op.type = RECORD_FORGET;
    f->op.head = names;
    f->op.fd = -1;
    f->op.done = forget_done;
    LIST_INSERT_HEAD(&q->forgets, f, all);
    group_add(q->group, &f->op);
    return 0;
}

/* ---- dirigo-relay ---- */

/* Front ends run as the same user, and are to read no mail but what they bring. */
static bool relay_proven(const struct peer *peer, const void *proof, size_t len)
{
    const uint8_t *key = service_role_key(peer->queue->service);
    pid_t pid = ipc_peer_pid(peer->ipc);
    if (key != NULL && role_proven(key, QUEUE_ROLE_RELAY, pid, proof, len))
        return true;
    log_error("a process that does not prove to be a relay was refused", LOG_INT("pid", pid));
    return false;
}

static int server_relay_ready(struct peer *peer, struct msg *m)
{
    size_t len;
    uint32_t slots = msg_get_u32(m);
    const void *proof = msg_get_bytes(m, &len);
    if (msg_end(m) < 0 || !relay_proven(peer, proof, len))
        return -1;
    relays_ready(peer, slots);
    return 0;
}

/* ---- the dirigo tool ---- */

static void server_list_one(struct msg *m, const struct waiting *w, size_t *bytes)
{
    const struct envelope *e = w->envelope;
    size_t n = e->rcpt_count < SERVER_LIST_RCPTS ? e->rcpt_count : SERVER_LIST_RCPTS;
    msg_put_str(m, e->id);
    msg_put_str(m, e->sender);
    msg_put_u64(m, e->size);
    msg_put_u64(m, e->arrived);
    msg_put_u64(m, e->next);
    msg_put_str(m, e->hold);
    msg_put_u32(m, (uint32_t)n);
    *bytes += 200 + strlen(e->sender) + (e->hold == NULL ? 0 : strlen(e->hold));
    for (size_t i = 0; i < n; i++) {
        const struct envelope_rcpt *r = &e->rcpts[i];
        msg_put_str(m, r->address);
        msg_put_str(m, r->status);
        *bytes += 16 + strlen(r->address) + (r->status == NULL ? 0 : strlen(r->status));
    }
}

static int server_list(struct peer *peer, struct msg *m)
{
    const char *after = msg_get_str(m);
    if (msg_end(m) < 0 || after == NULL)
        return -1;
    uint32_t n = 0;
    size_t bytes = 0;
    struct waiting *first = waiting_after(peer->queue, after), *w = first;
    /* Counted first, because the count stands before the list. */
    for (; w != NULL && n < SERVER_LIST_MAX && bytes < SERVER_LIST_BYTES; n++) {
        struct msg *dry = msg_new(QUEUE_MSG_LIST_RESULT);
        server_list_one(dry, w, &bytes);
        msg_free(&dry);
        w = waiting_after(peer->queue, w->envelope->id);
    }
    struct msg *reply = msg_new(QUEUE_MSG_LIST_RESULT);
    msg_put_u32(reply, n);
    w = first;
    for (uint32_t i = 0; i < n; i++) {
        server_list_one(reply, w, &bytes);
        w = waiting_after(peer->queue, w->envelope->id);
    }
    msg_put_bool(reply, w != NULL);
    ipc_reply(peer->ipc, msg_id(m), &reply);
    return 0;
}

static bool reject(struct waiting *w, const char *why)
{
    char *text = mem_printf("5.7.2 %.200s",
                            why != NULL && *why != '\0' ? why : "the message was not approved");
    for (char *c = text; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    bool done = waiting_reject(w, text);
    free(text);
    return done;
}

static bool act(struct waiting *w, uint8_t action, const char *why)
{
    switch ((enum queue_action)action) {
    case QUEUE_ACTION_FLUSH:
        return waiting_flush(w);
    case QUEUE_ACTION_DELETE:
        return waiting_delete(w);
    case QUEUE_ACTION_HOLD:
        return waiting_hold(w, why != NULL && *why != '\0' ? why : "by the administrator");
    case QUEUE_ACTION_RELEASE:
        return waiting_release(w);
    case QUEUE_ACTION_REJECT:
        return reject(w, why);
    }
    return false;
}

static int server_action(struct peer *peer, struct msg *m)
{
    const char *id = msg_get_str(m);
    uint8_t action = msg_get_u8(m);
    const char *why = msg_get_str(m);
    if (msg_end(m) < 0 || id == NULL || action > QUEUE_ACTION_REJECT)
        return -1;
    uint32_t touched = 0;
    struct waiting *w;
    if (*id != '\0') {
        w = waiting_find(peer->queue, id);
        if (w != NULL && act(w, action, why))
            touched++;
    } else {
        for (w = waiting_after(peer->queue, ""); w != NULL;
             w = waiting_after(peer->queue, w->envelope->id))
            touched += act(w, action, why);
    }
    struct msg *reply = msg_new(QUEUE_MSG_ACTION_RESULT);
    msg_put_u32(reply, touched);
    ipc_reply(peer->ipc, msg_id(m), &reply);
    return 0;
}

/* Whether something of the message goes to an address in domain. */
static bool goes_to(const struct envelope *e, const char *domain)
{
    for (size_t i = 0; i < e->rcpt_count; i++) {
        const char *at = strrchr(e->rcpts[i].address, '@');
        if (e->rcpts[i].kind == QUEUE_RCPT_REMOTE && at != NULL && str_ieq(at + 1, domain))
            return true;
    }
    return false;
}

static int server_flush_domain(struct peer *peer, struct msg *m)
{
    const char *domain = msg_get_str(m);
    if (msg_end(m) < 0 || domain == NULL)
        return -1;
    for (struct waiting *w = waiting_after(peer->queue, ""); w != NULL;
         w = waiting_after(peer->queue, w->envelope->id))
        if (goes_to(w->envelope, domain))
            waiting_flush(w);
    return 0;
}

void server_text_status(struct queue *q, struct buf *out)
{
    struct group_state g;
    group_state(q->group, &g);
    buf_printf(out,
               "waiting=%zu held=%zu jobs=%zu accepted=%" PRIu64 " refused=%" PRIu64
               " sent=%" PRIu64 " deferred=%" PRIu64 " bounced=%" PRIu64 " journal_records=%" PRIu64
               " journal_batches=%" PRIu64 " journal_room=%" PRIu64 " checkpoints=%" PRIu64,
               q->waiting_count, q->held_count, q->job_count, q->counters.accepted,
               q->counters.refused, q->counters.sent, q->counters.deferred, q->counters.bounced,
               g.records, g.batches, g.room, g.checkpoints);
}

static int server_status(struct peer *peer, struct msg *m)
{
    struct buf text = {.max = 2000};
    if (msg_end(m) < 0)
        return -1;
    server_text_status(peer->queue, &text);
    struct msg *reply = msg_new(QUEUE_MSG_STATUS_RESULT);
    msg_put_str(reply, buf_str(&text));
    ipc_reply(peer->ipc, msg_id(m), &reply);
    buf_free(&text);
    return 0;
}

/* ---- dispatch ---- */

enum {
    REQUEST_ANSWERED = 1, /* has an id, and gets one answer; the others are events */
    REQUEST_OWNER = 2     /* only from root and from who owns the mail: not from front ends */
};

static const struct request {
    uint16_t type;
    unsigned flags;
    int (*run)(struct peer *peer, struct msg *m);
} requests[] = {
    {QUEUE_MSG_OPEN, REQUEST_ANSWERED, server_open},
    {QUEUE_MSG_RCPTS, 0, server_rcpts},
    {QUEUE_MSG_COMMIT, REQUEST_ANSWERED, server_commit},
    {QUEUE_MSG_FORGET, REQUEST_ANSWERED | REQUEST_OWNER, server_forget},
    {QUEUE_MSG_RELAY_READY, 0, server_relay_ready},
    {QUEUE_MSG_RELAY_DONE, 0, relays_done},
    {QUEUE_MSG_LIST, REQUEST_ANSWERED | REQUEST_OWNER, server_list},
    {QUEUE_MSG_ACTION, REQUEST_ANSWERED | REQUEST_OWNER, server_action},
    {QUEUE_MSG_STATUS, REQUEST_ANSWERED, server_status},
    {QUEUE_MSG_FLUSH_DOMAIN, 0, server_flush_domain},
};

static struct peer *server_peer(struct ipc_peer *ipc, struct queue *q)
{
    struct peer *peer = ipc_peer_data(ipc);
    if (peer == NULL) {
        peer = mem_zalloc(sizeof(*peer));
        peer->queue = q;
        peer->ipc = ipc;
        LIST_INIT(&peer->answers);
        LIST_INIT(&peer->partials);
        TAILQ_INIT(&peer->jobs);
        ipc_peer_set_data(ipc, peer);
    }
    return peer;
}

static int server_request(struct ipc_peer *ipc, struct msg *m, void *arg)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        const struct request *r = &requests[i];
        if (r->type != msg_type(m))
            continue;
        if (((r->flags & REQUEST_ANSWERED) != 0) != (msg_id(m) != 0))
            return -1;
        if ((r->flags & REQUEST_OWNER) != 0 && ipc_peer_uid(ipc) != 0 &&
            ipc_peer_uid(ipc) != geteuid())
            return -1;
        return r->run(server_peer(ipc, arg), m);
    }
    return -1;
}

static void server_gone(struct ipc_peer *ipc, void *arg)
{
    struct queue *q = arg;
    struct peer *peer = ipc_peer_data(ipc);
    struct answer_to *to;
    if (peer == NULL)
        return;
    /* Commits go on: who asked may come back and ask for the same id. */
    while ((to = LIST_FIRST(&peer->answers)) != NULL) {
        LIST_REMOVE(to, peer_link);
        to->peer = NULL;
    }
    while (!LIST_EMPTY(&peer->partials))
        partial_free(peer, LIST_FIRST(&peer->partials));
    files_peer_gone(q, peer);
    relays_peer_gone(peer);
    free(peer);
}

const struct ipc_server_ops queue_server_ops = {
    .request = server_request,
    .gone = server_gone,
};

void server_free(struct queue *q)
{
    struct forget *f;
    while ((f = LIST_FIRST(&q->forgets)) != NULL) {
        LIST_REMOVE(f, all);
        buf_free(&f->op.head);
        free(f->to);
        free(f);
    }
}

#include <stdlib.h>

#include "directory/client.h"
#include "directory/protocol.h"
#include "directory/replica.h"
#include "gateway/base/mem.h"
#include "gateway/ipc/channel.h"

struct connection {
    struct directory_link link; /* first: the link is the connection */
    struct ipc_client *client;
    bool connected, told_out;
};

static void update(struct connection *c)
{
    c->link.up = c->connected && !c->told_out;
}

static void on_state(bool connected, void *arg)
{
    struct connection *c = arg;
    c->connected = connected;
    c->told_out = false; /* until the process says otherwise, the replica's own word counts */
    update(c);
}

/* Read whole before anybody is told: a message is good or is not. */
static int on_ended(struct connection *c, struct msg *m)
{
    struct uuid uuids[DIRECTORY_ENDED_MAX];
    uint32_t n = msg_get_u32(m);
    if (n > DIRECTORY_ENDED_MAX)
        return -1;
    for (uint32_t i = 0; i < n; i++)
        uuids[i] = msg_get_uuid(m);
    if (msg_end(m) < 0)
        return -1;
    for (uint32_t i = 0; i < n && c->link.ended != NULL; i++)
        c->link.ended(&uuids[i], c->link.ended_arg);
    return 0;
}

static int on_event(struct msg *m, void *arg)
{
    struct connection *c = arg;
    if (msg_type(m) == DIRECTORY_MSG_ENDED)
        return on_ended(c, m);
    bool in_sync = msg_get_bool(m);
    if (msg_end(m) < 0 || msg_type(m) != DIRECTORY_MSG_SYNC_STATE)
        return -1;
    c->told_out = !in_sync;
    update(c);
    return 0;
}

/* ---- questions ---- */

#define MEMBERS_MS 30000
#define WANT_MS    20000

/* A directory_query: begins like one. */
struct question {
    struct directory_link *link;
    uint32_t request;
};

struct members {
    struct question question;
    directory_members_fn *fn;
    void *arg;
};

static int on_members(enum ipc_status status, struct msg *m, void *arg)
{
    struct members *q = arg;
    struct uuid *uuids = NULL;
    enum answer answer = ANSWER_UNKNOWN;
    const char *reason = "the directory service is away";
    uint32_t n = 0;
    int rc = 0;
    if (status == IPC_OK) {
        answer = (enum answer)msg_get_u8(m);
        reason = msg_get_str(m);
        n = msg_get_u32(m);
        if (n > DIRECTORY_MEMBERS_MAX)
            n = 0;
        uuids = mem_alloc((n + 1) * sizeof *uuids);
        for (uint32_t i = 0; i < n; i++)
            uuids[i] = msg_get_uuid(m);
        if (msg_end(m) < 0 || msg_type(m) != DIRECTORY_MSG_MEMBERS_RESULT ||
            answer > ANSWER_UNKNOWN) {
            answer = ANSWER_UNKNOWN;
            reason = "malformed answer of the directory service";
            rc = -1;
        }
    }
    q->fn(answer, uuids, answer == ANSWER_FOUND ? n : 0, reason, q->arg);
    free(uuids);
    free(q);
    return rc;
}

static struct directory_query *ask_members(struct directory_link *link, const struct uuid *group,
                                           directory_members_fn *fn, void *arg)
{
    struct connection *c = (struct connection *)link;
    struct members *q = mem_zalloc(sizeof *q);
    struct msg *m = msg_new(DIRECTORY_MSG_MEMBERS);
    msg_put_uuid(m, group);
    q->question.link = link;
    q->fn = fn;
    q->arg = arg;
    q->question.request = ipc_request(c->client, &m, MEMBERS_MS, on_members, q);
    return (struct directory_query *)q;
}

struct want {
    struct question question;
    void (*fn)(void *arg);
    void *arg;
};

static int on_wanted(enum ipc_status status, struct msg *m, void *arg)
{
    struct want *q = arg;
    int rc = 0;
    if (status == IPC_OK) {
        msg_get_bool(m); /* what is in the replica now, or is not, tells */
        if (msg_end(m) < 0 || msg_type(m) != DIRECTORY_MSG_WANT_RESULT)
            rc = -1;
    }
    q->fn(q->arg);
    free(q);
    return rc;
}

static struct directory_query *ask_want(struct directory_link *link, enum directory_wanted what,
                                        const char *name, const char *second, void (*fn)(void *arg),
                                        void *arg)
{
    struct connection *c = (struct connection *)link;
    struct want *q;
    if (!c->connected)
        return NULL;
    q = mem_zalloc(sizeof *q);
    struct msg *m = msg_new(DIRECTORY_MSG_WANT);
    msg_put_u8(m, (uint8_t)what);
    msg_put_str(m, name);
    msg_put_str(m, second != NULL ? second : "");
    q->question.link = link;
    q->fn = fn;
    q->arg = arg;
    q->question.request = ipc_request(c->client, &m, WANT_MS, on_wanted, q);
    return (struct directory_query *)q;
}

static void cancel(struct directory_query *query)
{
    struct question *q = (struct question *)query;
    struct connection *c = (struct connection *)q->link;
    ipc_cancel(c->client, q->request);
    free(q);
}

static void on_close(struct directory_link *link)
{
    struct connection *c = (struct connection *)link;
    ipc_client_free(&c->client);
    free(c);
}

void directory_connect(struct directory *d, struct loop *loop, const char *socket_path)
{
    struct connection *c = mem_zalloc(sizeof *c);
    c->link.close = on_close;
    c->link.members = ask_members;
    c->link.want = ask_want;
    c->link.cancel = cancel;
    c->client = ipc_client_new(loop, socket_path, DIRECTORY_SERVICE, DIRECTORY_VERSION);
    ipc_client_on_state(c->client, on_state, c);
    ipc_client_on_event(c->client, on_event, c);
    directory_set_link(d, &c->link);
}

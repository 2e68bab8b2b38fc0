#include "gateway/filter/client.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "gateway/base/mem.h"
#include "gateway/filter/protocol.h"
#include "gateway/ipc/channel.h"

struct question {
    LIST_ENTRY(question) link;
    struct filter_client *client;
    uint32_t ipc_id;
    void (*fn)(const struct filter_result *result, void *arg);
    void *arg;
};

struct filter_client {
    struct ipc_client *ipc;
    int64_t timeout;
    LIST_HEAD(, question) questions;
};

struct filter_client *filter_client_new(struct loop *loop, const char *socket_path,
                                        int64_t timeout_ms)
{
    struct filter_client *c = mem_zalloc(sizeof(*c));

    c->ipc = ipc_client_new(loop, socket_path, FILTER_SERVICE, FILTER_VERSION);
    c->timeout = timeout_ms;
    LIST_INIT(&c->questions);
    return c;
}

static void question_free(struct question *q)
{
    LIST_REMOVE(q, link);
    free(q);
}

void filter_client_free(struct filter_client **c)
{
    struct question *q;

    if (*c == NULL)
        return;
    while ((q = LIST_FIRST(&(*c)->questions)) != NULL) {
        ipc_cancel((*c)->ipc, q->ipc_id);
        question_free(q);
    }
    ipc_client_free(&(*c)->ipc);
    free(*c);
    *c = NULL;
}

static int on_reply(enum ipc_status status, struct msg *reply, void *arg)
{
    struct question *q = arg;
    struct filter_result result = {
        .verdict = FILTER_DEFER, .text = "The filter is not available", .sender = ""};
    void (*fn)(const struct filter_result *, void *) = q->fn;
    void *fn_arg = q->arg;
    int rc = 0;

    question_free(q);
    if (status == IPC_OK) {
        uint8_t verdict = msg_get_u8(reply);
        const char *text = msg_get_str(reply);
        uint64_t size = msg_get_u64(reply);
        const char *sender = msg_get_str(reply);
        if (msg_type(reply) != FILTER_MSG_RESULT || msg_end(reply) != 0 || verdict > FILTER_DEFER ||
            text == NULL || sender == NULL)
            rc = -1;
        else
            result = (struct filter_result){verdict, text, size, sender};
    }
    fn(&result, fn_arg);
    return rc;
}

static uint32_t send_question(struct filter_client *c, struct msg *m,
                              void (*fn)(const struct filter_result *result, void *arg), void *arg)
{
    struct question *q = mem_zalloc(sizeof(*q));

    *q = (struct question){.client = c, .fn = fn, .arg = arg};
    LIST_INSERT_HEAD(&c->questions, q, link);
    q->ipc_id = ipc_request(c->ipc, &m, c->timeout, on_reply, q);
    return q->ipc_id;
}

uint32_t filter_reverse(struct filter_client *c, const char *address,
                        void (*fn)(const struct filter_result *result, void *arg), void *arg)
{
    struct msg *m = msg_new(FILTER_MSG_REVERSE);

    msg_put_str(m, address);
    return send_question(c, m, fn, arg);
}

uint32_t filter_ask(struct filter_client *c, const struct filter_request *r, int fd,
                    void (*fn)(const struct filter_result *result, void *arg), void *arg)
{
    struct msg *m = msg_new(FILTER_MSG_CHECK);

    msg_put_str(m, r->id);
    msg_put_u32(m, r->flags);
    msg_put_addr(m, &r->peer);
    msg_put_str(m, r->helo);
    msg_put_str(m, r->sender);
    msg_put_u64(m, r->size);
    msg_put_u32(m, r->insert_at);
    msg_put_u32(m, r->message_at);
    msg_put_u32(m, (uint32_t)r->domain_count);
    for (size_t i = 0; i < r->domain_count; i++)
        msg_put_str(m, r->domains[i]);
    msg_put_fd(m, fd);
    return send_question(c, m, fn, arg);
}

void filter_cancel(struct filter_client *c, uint32_t id)
{
    struct question *q;

    LIST_FOREACH (q, &c->questions, link) {
        if (q->ipc_id == id) {
            ipc_cancel(c->ipc, id);
            question_free(q);
            return;
        }
    }
}

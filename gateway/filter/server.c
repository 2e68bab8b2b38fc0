/* Requests of dirigo-smtpd, as messages. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/filter/filter.h"
#include "gateway/filter/protocol.h"

enum {
    ARENA_MAX = 8 << 20
};

/* A string of the message, in arena. */
static const char *get(struct msg *m, struct arena *arena)
{
    const char *s = msg_get_str(m);
    const char *copy = arena_strdup(arena, s != NULL ? s : "");

    return copy != NULL ? copy : "";
}

static void read_request(struct msg *m, struct arena *arena, struct filter_request *r)
{
    *r = (struct filter_request){.id = get(m, arena), .flags = msg_get_u32(m)};
    r->peer = msg_get_addr(m);
    r->helo = get(m, arena);
    r->sender = get(m, arena);
    r->size = msg_get_u64(m);
    r->insert_at = msg_get_u32(m);
    r->message_at = msg_get_u32(m);
    uint32_t n = msg_get_u32(m);
    for (uint32_t i = 0; i < n && i < FILTER_DOMAINS_MAX && msg_ok(m); i++)
        r->domains[r->domain_count++] = get(m, arena);
}

static void answer_reverse(const struct filter *f, const char *address, struct ipc_peer *peer,
                           uint32_t id)
{
    struct msg *m = msg_new(FILTER_MSG_RESULT);
    struct buf text = {.max = 1024};
    enum srs_answer answer = srs_reverse(&f->srs, address, (int64_t)clock_wall(), &text);

    if (answer != SRS_FOUND)
        log_info("srs address refused", LOG_STR("to", address),
                 LOG_STR("reason", answer == SRS_EXPIRED ? "expired" : "forged"));
    msg_put_u8(m, answer == SRS_FOUND ? FILTER_ACCEPT : FILTER_REJECT);
    msg_put_str(m, answer == SRS_FOUND     ? buf_str(&text)
                   : answer == SRS_EXPIRED ? "This address has expired"
                                           : "No such address");
    msg_put_u64(m, 0);
    msg_put_str(m, "");
    ipc_reply(peer, id, &m);
    buf_free(&text);
}

static int on_request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    if (msg_type(m) == FILTER_MSG_REVERSE) {
        const char *address = msg_get_str(m);
        if (msg_end(m) != 0 || address == NULL)
            return -1;
        answer_reverse(arg, address, peer, msg_id(m));
        return 0;
    }
    struct arena *arena = arena_new(ARENA_MAX);
    struct filter_request r;
    int fd;

    read_request(m, arena, &r);
    fd = msg_get_fd(m);
    if (msg_type(m) != FILTER_MSG_CHECK || msg_end(m) != 0 || r.insert_at > r.message_at ||
        r.message_at > r.size) {
        if (fd >= 0)
            close(fd);
        arena_free(&arena);
        return -1;
    }
    job_new(arg, peer, msg_id(m), arena, &r, fd);
    return 0;
}

static void on_gone(struct ipc_peer *peer, void *arg)
{
    job_peer_gone(arg, peer);
}

void filter_reply(struct job *job)
{
    struct msg *m = msg_new(FILTER_MSG_RESULT);

    msg_put_u8(m, (uint8_t)job->result.verdict);
    msg_put_str(m, job->result.text);
    msg_put_u64(m, job->result.size);
    msg_put_str(m, job->result.sender != NULL ? job->result.sender : "");
    ipc_reply(job->peer, job->request_id, &m);
}

void filter_serve(struct filter *f, int listen_fd)
{
    static const struct ipc_server_ops ops = {.request = on_request, .gone = on_gone};

    f->server = ipc_server_new(service_loop(f->service), listen_fd, FILTER_SERVICE, FILTER_VERSION,
                               &ops, f);
}

/* dirigo-mailbox: IMAP and POP3 sessions after login. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory/protocol.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "gateway/base/ticket_used.h"
#include "gateway/ipc/channel.h"
#include "gateway/service/service.h"
#include "gateway/session/handoff.h"
#include "gateway/store/session.h"

static const struct mail_protocol *const protocols[] = {&imap_protocol, &pop3_protocol};

struct held_session {
    LIST_ENTRY(held_session) entry;
    struct mailbox_process *process;
    const struct mail_protocol *protocol;
    struct uuid owner;
    void *session;
};

struct mailbox_process {
    struct service *service;
    struct mail_env env;
    struct ipc_server *server;
    struct ipc_client *directory; /* tells whose sessions must end */
    LIST_HEAD(, held_session) sessions;
    struct ticket_used *used;
    uint64_t started[2];
    unsigned open;
};

static void session_ended(void *arg)
{
    struct held_session *h = arg;
    LIST_REMOVE(h, entry);
    h->process->open--;
    service_session_end(h->process->service);
    free(h);
}

static const struct mail_protocol *find_protocol(const char *name, size_t *index)
{
    for (*index = 0; *index < sizeof(protocols) / sizeof(protocols[0]); (*index)++)
        if (name != NULL && strcmp(protocols[*index]->name, name) == 0)
            return protocols[*index];
    return NULL;
}

static bool start_session(struct mailbox_process *p, const char *protocol,
                          const struct mail_start *st)
{
    size_t index;
    const struct mail_protocol *proto = find_protocol(protocol, &index);
    if (proto == NULL || service_draining(p->service) || !service_session_begin(p->service)) {
        close(st->fd);
        return false;
    }
    char peer[NETADDR_STRLEN];
    log_info("session started", LOG_STR("id", st->id), LOG_STR("protocol", protocol),
             LOG_STR("login", st->login), LOG_STR("client", netaddr_str(&st->peer, peer)));
    struct held_session *h = mem_zalloc(sizeof(*h));
    h->process = p;
    h->protocol = proto;
    h->owner = st->owner;
    LIST_INSERT_HEAD(&p->sessions, h, entry);
    p->started[index]++;
    p->open++;
    h->session = proto->start(&p->env, st, session_ended, h);
    return true;
}

/*
 * A front end is not believed that somebody has logged in: any process that may connect here could
 * say so, and name any owner. Nor may it show a ticket again that was used: an owner has one
 * process of the kind, and that one remembers. The socket is closed where the ticket is not good.
 */
static bool ticket_good(struct mailbox_process *p, const struct mail_start *st, const void *ticket,
                        size_t len)
{
    const uint8_t *key = service_role_key(p->service);
    int64_t now = clock_now_ms();
    bool here = handoff_index(&st->owner, service_count(p->service)) == service_index(p->service);
    if (key != NULL && here && ticket_valid(key, &st->owner, st->id, now, ticket, len) &&
        ticket_used_allows(p->used, ticket, now))
        return true;
    log_error("a session without a good ticket was refused", LOG_STR("id", st->id),
              LOG_STR("login", st->login));
    close(st->fd);
    return false;
}

static int take_session(struct mailbox_process *p, struct ipc_peer *peer, struct msg *m)
{
    struct mail_start st;
    size_t ticket_len;
    const char *protocol = msg_get_str(m);
    st.id = msg_get_str(m);
    st.tag = msg_get_str(m);
    st.owner = msg_get_uuid(m);
    st.login = msg_get_str(m);
    msg_get_str(m); /* address */
    st.peer = msg_get_addr(m);
    const void *ticket = msg_get_bytes(m, &ticket_len);
    st.notice = msg_get_str(m);
    msg_get_bool(m); /* tls */
    st.input = msg_get_bytes(m, &st.input_len);
    msg_get_str(m); /* capabilities: none changes what follows the login yet */
    st.fd = msg_get_fd(m);
    if (msg_end(m) != 0 || protocol == NULL || st.id == NULL || st.tag == NULL ||
        st.login == NULL || st.fd < 0 || uuid_is_zero(&st.owner) ||
        (st.notice != NULL && !handoff_notice_valid(st.notice))) {
        if (st.fd >= 0)
            close(st.fd);
        return -1;
    }
    bool taken = ticket_good(p, &st, ticket, ticket_len) && start_session(p, protocol, &st);
    if (taken)
        ticket_used_add(p->used, ticket);
    struct msg *reply = msg_new(MAILBOX_MSG_SESSION_RESULT);
    msg_put_bool(reply, taken);
    ipc_reply(peer, msg_id(m), &reply);
    return 0;
}

static int status(struct mailbox_process *p, struct ipc_peer *peer, struct msg *m)
{
    if (msg_end(m) != 0)
        return -1;
    char *text = mem_printf("sessions=%u imap=%llu pop3=%llu jobs=%zu", p->open,
                            (unsigned long long)p->started[0], (unsigned long long)p->started[1],
                            worker_pending(p->env.workers));
    struct msg *reply = msg_new(MAILBOX_MSG_STATUS_RESULT);
    msg_put_str(reply, text);
    ipc_reply(peer, msg_id(m), &reply);
    free(text);
    return 0;
}

static int request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    switch (msg_type(m)) {
    case MAILBOX_MSG_SESSION:
        return take_session(arg, peer, m);
    case MAILBOX_MSG_STATUS:
        return status(arg, peer, m);
    default:
        return -1;
    }
}

static void end_revoked(struct mailbox_process *p, const struct uuid *owner)
{
    struct held_session *h, *next;
    LIST_FOREACH_SAFE (h, &p->sessions, entry, next)
        if (uuid_eq(&h->owner, owner))
            h->protocol->revoke(h->session);
}

static int on_directory(struct msg *m, void *arg)
{
    struct uuid owners[DIRECTORY_ENDED_MAX];
    if (msg_type(m) == DIRECTORY_MSG_SYNC_STATE) {
        msg_get_bool(m);
        return msg_end(m);
    }
    uint32_t n = msg_type(m) == DIRECTORY_MSG_ENDED ? msg_get_u32(m) : UINT32_MAX;
    if (n > DIRECTORY_ENDED_MAX)
        return -1;
    for (uint32_t i = 0; i < n; i++)
        owners[i] = msg_get_uuid(m);
    if (msg_end(m) != 0)
        return -1;
    for (uint32_t i = 0; i < n; i++)
        end_revoked(arg, &owners[i]);
    return 0;
}

static const struct ipc_server_ops server_ops = {.request = request};

static int start(struct service *s)
{
    const struct conf *conf = service_conf(s);
    struct mailbox_process *p = mem_zalloc(sizeof(*p));
    service_set_data(s, p);
    p->service = s;
    LIST_INIT(&p->sessions);
    p->env.loop = service_loop(s);
    p->env.conf = conf;
    p->used = ticket_used_new((size_t)conf->mailbox_ticket_limit);
    if (mkdir(conf->mail_directory, 0700) != 0 && errno != EEXIST) {
        log_error("cannot make mail_directory", LOG_STR("path", conf->mail_directory),
                  LOG_ERRNO(errno));
        return -1;
    }
    p->env.store = store_new(p->env.loop, &(struct store_config){
                                              .mail_directory = conf->mail_directory,
                                              .index_map_size = conf->mailbox_index_map_size,
                                              .folder_limit = (size_t)conf->mailbox_list_limit,
                                          });
    if (p->env.store == NULL)
        return -1;
    p->env.workers = worker_pool_new(p->env.loop, (unsigned)conf->mailbox_worker_threads);
    p->env.queue = queue_client_new(p->env.loop, service_run_path(s, "queue.sock"));
    p->directory = ipc_client_new(p->env.loop, service_run_path(s, "directory.sock"),
                                  DIRECTORY_SERVICE, DIRECTORY_VERSION);
    ipc_client_on_event(p->directory, on_directory, p);
    int fd = service_take_ipc_listener(s);
    if (fd < 0) {
        log_error("no socket for the mailbox service");
        return -1;
    }
    p->server = ipc_server_new(p->env.loop, fd, MAILBOX_SERVICE, MAILBOX_VERSION, &server_ops, p);
    return 0;
}

/* Sessions go on until they end by themselves; new ones belong to the process that takes over. The
 * front ends' channels close, so that connecting again they reach that one. When the whole system
 * stops, sessions without a command under way end. */
static void drain(struct service *s)
{
    struct mailbox_process *p = service_data(s);
    struct held_session *h, *next;
    ipc_server_free(&p->server);
    if (!service_stopping(s))
        return;
    LIST_FOREACH_SAFE (h, &p->sessions, entry, next)
        h->protocol->quit(h->session);
}

/* Sessions whose jobs run end with their jobs; the queue's client then answers what is outstanding,
 * which ends the last ones. */
static void stop(struct service *s)
{
    struct mailbox_process *p = service_data(s);
    struct held_session *h, *next;
    if (p == NULL)
        return;
    ipc_server_free(&p->server);
    ipc_client_free(&p->directory);
    LIST_FOREACH_SAFE (h, &p->sessions, entry, next)
        h->protocol->stop(h->session);
    if (p->env.workers != NULL)
        worker_pool_free(&p->env.workers);
    if (p->env.queue != NULL)
        queue_client_free(&p->env.queue);
    store_free(&p->env.store);
    ticket_used_free(&p->used);
    free(p);
}

static const struct service_def def = {
    .name = "dirigo-mailbox",
    .user = SERVICE_USER_MAIL,
    .flags = SERVICE_NO_EXEC,
    .start = start,
    .drain = drain,
    .stop = stop,
};

int main(int argc, char **argv)
{
    /* LMDB asks for megabytes per open index and touches little of them. Without a fixed threshold
     * glibc would soon serve these from the heap, between the small blocks of idle sessions. */
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_ARENA_MAX, 2);
    return service_main(&def, argc, argv);
}

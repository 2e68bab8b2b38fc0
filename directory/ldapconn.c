#include "directory/ldapconn.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openldap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "directory/pump.h"
#include "directory/starttls.h"
#include "gateway/base/mem.h"
#include "gateway/event/stream.h"

/* Messages taken in one turn of the loop, so that a large answer does not hold up the rest. */
#define BUDGET 256
/* The longest message that libldap reads: a group of a million members fits. */
#define INCOMING_MAX  ((ber_len_t)256 << 20)
#define ADDRESSES_MAX 8

enum state {
    LOOKING_UP,
    CONNECTING,
    ASKING_FOR_TLS,
    SHAKING_HANDS,
    BINDING,
    READY,
    CLOSED /* closed() was called, or is on its way */
};

/* A name on its way through a worker; it outlives a connection that is dropped meanwhile. */
struct lookup {
    struct ldapconn *conn; /* NULL: nobody waits any more */
    char *host;
    uint16_t port;
    struct netaddr addr[ADDRESSES_MAX];
    size_t count;
    const char *error;
};

struct ldapconn {
    struct ldap_env *env;
    const struct target *target;
    enum ldapconn_identity identity;
    const struct ldapconn_ops *ops;
    void *arg;
    enum state state;
    struct lookup *lookup;
    struct netaddr addr[ADDRESSES_MAX];
    size_t addr_count, addr_next;
    struct stream *stream; /* until it is joined to libldap */
    struct pump *pump;
    LDAP *ld;
    int fd; /* libldap's end of the socketpair */
    int bind_id;
    struct watch *watch;
    struct timer *deadline; /* until READY */
    struct timer *again;    /* the budget ended a turn, or something is to be said from the loop */
    char *why;
    int busy; /* inside callbacks */
    bool freed;
};

static void try_next_address(struct ldapconn *c);

static void drop(struct ldapconn *c)
{
    watch_free(&c->watch);
    timer_free(&c->deadline);
    timer_free(&c->again);
    stream_free(&c->stream);
    if (c->lookup != NULL)
        c->lookup->conn = NULL;
    /* Before the pump, so that libldap's last words find an open socket. */
    if (c->ld != NULL)
        ldap_unbind_ext(c->ld, NULL, NULL);
    else if (c->fd >= 0)
        close(c->fd);
    pump_free(&c->pump);
    free(c->why);
    free(c);
}

void ldapconn_free(struct ldapconn **c)
{
    struct ldapconn *conn = *c;
    *c = NULL;
    if (conn == NULL)
        return;
    if (conn->busy > 0)
        conn->freed = true;
    else
        drop(conn);
}

void ldapconn_set_ops(struct ldapconn *c, const struct ldapconn_ops *ops, void *arg)
{
    c->ops = ops;
    c->arg = arg;
}

LDAP *ldapconn_ld(struct ldapconn *c)
{
    return c->ld;
}

/* Callbacks are called between enter and leave; leave ends what the owner freed meanwhile. */
static void enter(struct ldapconn *c)
{
    c->busy++;
}

static bool leave(struct ldapconn *c)
{
    if (--c->busy > 0 || !c->freed)
        return true;
    drop(c);
    return false;
}

/* The end is told from the loop, never from inside a call of the owner's. */
static void fail(struct ldapconn *c, const char *why)
{
    if (c->state == CLOSED)
        return;
    c->state = CLOSED;
    free(c->why);
    c->why = mem_strdup(why);
    watch_free(&c->watch);
    timer_stop(c->deadline);
    timer_set(c->again, 0);
}

static void become_ready(struct ldapconn *c)
{
    c->state = READY;
    timer_stop(c->deadline);
    enter(c);
    c->ops->ready(c, c->arg);
    leave(c);
}

/* ---- messages ---- */

static const char *result_text(struct ldapconn *c, LDAPMessage *msg, int *code)
{
    char *text = NULL;
    int rc = ldap_parse_result(c->ld, msg, code, NULL, &text, NULL, NULL, 0);
    if (rc != LDAP_SUCCESS)
        *code = rc;
    ldap_memfree(text);
    return ldap_err2string(*code);
}

static void bound(struct ldapconn *c, LDAPMessage *msg)
{
    int code;
    const char *text = result_text(c, msg, &code);
    if (code != LDAP_SUCCESS) {
        char *why = mem_printf("bind refused: %s", text);
        fail(c, why);
        free(why);
        return;
    }
    become_ready(c);
}

static void deliver(struct ldapconn *c, LDAPMessage *msg)
{
    if (c->state == BINDING && ldap_msgid(msg) == c->bind_id)
        bound(c, msg);
    else if (ldap_msgid(msg) == 0)
        fail(c, "the server announced the end of the connection");
    else if (c->state == READY)
        c->ops->message(c, msg, c->arg);
}

static void take_messages(struct ldapconn *c)
{
    struct timeval now = {0, 0};
    int n = 0;
    enter(c);
    while (n < BUDGET && c->state != CLOSED && !c->freed) {
        LDAPMessage *msg = NULL;
        int rc = ldap_result(c->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &now, &msg);
        if (rc == 0)
            break;
        if (rc < 0) {
            fail(c, "connection lost");
            break;
        }
        deliver(c, msg);
        ldap_msgfree(msg);
        n++;
    }
    if (n > 0 && c->state == READY && !c->freed && c->ops->batch != NULL)
        c->ops->batch(c, c->arg);
    /* More may lie in libldap's buffer, of which the descriptor says nothing. */
    if (n == BUDGET && c->state != CLOSED && !c->freed)
        timer_set(c->again, 0);
    leave(c);
}

static void on_again(void *arg)
{
    struct ldapconn *c = arg;
    if (c->state != CLOSED) {
        take_messages(c);
        return;
    }
    enter(c);
    c->ops->closed(c, c->why, c->arg);
    leave(c);
}

static void on_readable(int ready, void *arg)
{
    (void)ready;
    take_messages(arg);
}

/* ---- libldap ---- */

/* Whether the server knows who we are without a name and a password. */
static bool is_known_otherwise(const struct ldapconn *c)
{
    const struct conf *conf = c->env->conf;
    bool tls =
        c->target->kind == TARGET_TLS || (c->target->kind == TARGET_PLAIN && conf->start_tls);
    return c->target->kind == TARGET_UNIX || (tls && conf->tls_cert[0] != '\0');
}

static void bind_service(struct ldapconn *c)
{
    const struct conf *conf = c->env->conf;
    struct berval cred = {.bv_len = strlen(c->env->bind_pw), .bv_val = (char *)c->env->bind_pw};
    const char *dn = conf->bind_dn, *mech = LDAP_SASL_SIMPLE;
    int rc;
    if (dn[0] == '\0' && !is_known_otherwise(c)) {
        become_ready(c);
        return;
    }
    if (dn[0] == '\0') {
        dn = NULL;
        mech = "EXTERNAL";
        cred = (struct berval){.bv_len = 0, .bv_val = (char *)""};
    }
    c->state = BINDING;
    rc = ldap_sasl_bind(c->ld, dn, mech, &cred, NULL, NULL, &c->bind_id);
    if (rc != LDAP_SUCCESS)
        fail(c, ldap_err2string(rc));
}

static int init_ldap(struct ldapconn *c)
{
    const int version = LDAP_VERSION3;
    ber_len_t incoming = INCOMING_MAX;
    Sockbuf *sb = NULL;
    if (ldap_init_fd(c->fd, LDAP_PROTO_TCP, c->target->uri, &c->ld) != LDAP_SUCCESS)
        return -1;
    ldap_set_option(c->ld, LDAP_OPT_PROTOCOL_VERSION, &version);
    ldap_set_option(c->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    if (ldap_get_option(c->ld, LDAP_OPT_SOCKBUF, &sb) == LDAP_OPT_SUCCESS && sb != NULL)
        ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &incoming);
    return 0;
}

static void no_input(struct stream *s, void *arg)
{
    (void)s;
    (void)arg;
}

static void no_end(struct stream *s, enum stream_end why, void *arg)
{
    (void)s;
    (void)why;
    (void)arg;
}

/* The stream is connected and protected: joins it to libldap. */
static void hand_over(struct ldapconn *c)
{
    static const struct stream_ops none = {.input = no_input, .closed = no_end};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        fail(c, strerror(errno));
        return;
    }
    struct stream *inner = stream_new(c->env->loop, pair[0], &none, NULL);
    c->fd = pair[1];
    c->pump = pump_new(&c->stream, &inner);
    if (init_ldap(c) < 0) {
        fail(c, "libldap did not take the connection");
        return;
    }
    c->watch = watch_new(c->env->loop, c->fd, on_readable, c);
    watch_set(c->watch, WATCH_READ);
    if (c->identity == LDAPCONN_SERVICE)
        bind_service(c);
    else
        become_ready(c);
}

/* ---- the stream ---- */

/* A silent death of the peer is noticed by TCP within the time that an operation may take. */
static void keep_alive(int fd, int64_t timeout_ms)
{
    const int on = 1, idle = 20, interval = 5, probes = 3, user = (int)timeout_ms;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user, sizeof user);
}

static void start_tls(struct ldapconn *c)
{
    c->state = SHAKING_HANDS;
    stream_start_tls_client(c->stream, c->env->tls, c->target->host);
}

static void on_connected(struct stream *s, void *arg)
{
    struct ldapconn *c = arg;
    enter(c);
    if (c->target->kind != TARGET_UNIX)
        keep_alive(stream_fd(s), c->env->conf->timeout);
    if (c->target->kind == TARGET_TLS) {
        start_tls(c);
    } else if (c->target->kind == TARGET_PLAIN && c->env->conf->start_tls) {
        c->state = ASKING_FOR_TLS;
        stream_write(s, starttls_request, starttls_request_len);
    } else {
        hand_over(c);
    }
    leave(c);
}

static void on_input(struct stream *s, void *arg)
{
    struct ldapconn *c = arg;
    size_t len;
    const void *data = stream_peek(s, &len);
    if (c->state != ASKING_FOR_TLS)
        return;
    int used = starttls_response(data, len);
    if (used < 0 || (used > 0 && (size_t)used < len))
        fail(c, "the server refused StartTLS");
    else if (used > 0) {
        stream_consume(s, (size_t)used);
        start_tls(c);
    }
}

static void on_secured(struct stream *s, void *arg)
{
    struct ldapconn *c = arg;
    (void)s;
    enter(c);
    hand_over(c);
    leave(c);
}

static void on_closed(struct stream *s, enum stream_end why, void *arg)
{
    struct ldapconn *c = arg;
    char *text = mem_strdup(stream_error(s));
    (void)why;
    stream_free(&c->stream);
    if (c->state == CONNECTING && c->addr_next < c->addr_count)
        try_next_address(c);
    else
        fail(c, text[0] != '\0' ? text : "connection closed");
    free(text);
}

static const struct stream_ops stream_ops = {
    .input = on_input, .connected = on_connected, .secured = on_secured, .closed = on_closed};

static void try_next_address(struct ldapconn *c)
{
    if (c->addr_next == c->addr_count) {
        fail(c, "the server's name has no address");
        return;
    }
    c->state = CONNECTING;
    c->stream = stream_connect(c->env->loop, &c->addr[c->addr_next++], NULL, c->env->conf->timeout,
                               &stream_ops, c);
}

static void connect_unix(struct ldapconn *c)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlcpy(sun.sun_path, c->target->path, sizeof sun.sun_path) >= sizeof sun.sun_path) {
        fail(c, "the path of the socket is too long");
        return;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* A Unix socket connects at once or not at all. */
    if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
        fail(c, strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    c->state = CONNECTING;
    c->stream = stream_new(c->env->loop, fd, &stream_ops, c);
    on_connected(c->stream, c);
}

/* ---- the name ---- */

static void lookup_run(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list, *a;
    int rc = getaddrinfo(l->host, NULL, &hints, &list);
    if (rc != 0) {
        l->error = gai_strerror(rc);
        return;
    }
    for (a = list; a != NULL && l->count < ADDRESSES_MAX; a = a->ai_next) {
        netaddr_from_sockaddr(&l->addr[l->count], a->ai_addr);
        l->addr[l->count++].port = l->port;
    }
    freeaddrinfo(list);
}

static void lookup_done(void *arg)
{
    struct lookup *l = arg;
    struct ldapconn *c = l->conn;
    if (c != NULL) {
        c->lookup = NULL;
        memcpy(c->addr, l->addr, sizeof c->addr);
        c->addr_count = l->count;
        if (c->state != LOOKING_UP)
            ;
        else if (l->error != NULL)
            fail(c, l->error);
        else
            try_next_address(c);
    }
    free(l->host);
    free(l);
}

static void on_start(void *arg)
{
    struct ldapconn *c = arg;
    timer_free(&c->again);
    c->again = timer_new(c->env->loop, on_again, c);
    if (c->target->kind == TARGET_UNIX) {
        connect_unix(c);
        return;
    }
    if (netaddr_parse(&c->addr[0], c->target->host) == 0) {
        c->addr[0].port = c->target->port;
        c->addr_count = 1;
        try_next_address(c);
        return;
    }
    struct lookup *l = mem_zalloc(sizeof *l);
    l->conn = c;
    l->host = mem_strdup(c->target->host);
    l->port = c->target->port;
    c->lookup = l;
    worker_run(c->env->workers, lookup_run, lookup_done, l);
}

static void on_deadline(void *arg)
{
    static const char *const words[] = {
        [LOOKING_UP] = "timed out looking up the server's name",
        [CONNECTING] = "timed out connecting",
        [ASKING_FOR_TLS] = "timed out asking for TLS",
        [SHAKING_HANDS] = "timed out in the TLS handshake",
        [BINDING] = "timed out binding",
    };
    struct ldapconn *c = arg;
    if (c->state < READY)
        fail(c, words[c->state]);
}

struct ldapconn *ldapconn_new(struct ldap_env *env, const struct target *target,
                              enum ldapconn_identity identity, const struct ldapconn_ops *ops,
                              void *arg)
{
    struct ldapconn *c = mem_zalloc(sizeof *c);
    c->env = env;
    c->target = target;
    c->identity = identity;
    c->ops = ops;
    c->arg = arg;
    c->fd = -1;
    c->deadline = timer_new(env->loop, on_deadline, c);
    timer_set(c->deadline, env->conf->timeout);
    /* From the loop, so that no callback runs inside this call. */
    c->again = timer_new(env->loop, on_start, c);
    timer_set(c->again, 0);
    return c;
}

/* The client of dirigo-resolver. */
#include "gateway/resolver/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>

#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/ipc/channel.h"
#include "gateway/resolver/protocol.h"

enum {
    RCODE_NXDOMAIN = 3,
    NAME_TEXT_MAX = 253, /* 255 octets on the wire (RFC 1035 section 2.3.4), without escapes */
    LABEL_MAX = 63,
    ARENA_MAX = 1 << 20
};

struct query {
    RB_ENTRY(query) entry;
    struct dns_client *client;
    uint32_t id, ipc_id;
    uint16_t type;
    struct timer *timer; /* a name that is none: answered here, soon */
    void (*fn)(const struct dns_answer *answer, void *arg);
    void *arg;
};

RB_HEAD(query_tree, query);

struct dns_client {
    struct loop *loop;
    struct ipc_client *ipc;
    int64_t timeout;
    struct arena *arena; /* of the answer at hand */
    struct query_tree queries;
    uint32_t last_id;
};

static int query_cmp(const struct query *a, const struct query *b)
{
    return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE_INTERNAL(query_tree, query, entry, query_cmp, static __attribute__((unused)))

struct dns_client *dns_client_new(struct loop *loop, const char *socket_path, int64_t timeout_ms)
{
    struct dns_client *c = mem_zalloc(sizeof(*c));

    c->loop = loop;
    c->ipc = ipc_client_new(loop, socket_path, RESOLVER_SERVICE, RESOLVER_VERSION);
    c->timeout = timeout_ms;
    c->arena = arena_new(ARENA_MAX);
    RB_INIT(&c->queries);
    return c;
}

static void query_free(struct query *q)
{
    RB_REMOVE(query_tree, &q->client->queries, q);
    timer_free(&q->timer);
    free(q);
}

void dns_client_free(struct dns_client **c)
{
    struct query *q, *next;

    if (*c == NULL)
        return;
    /* Without callbacks: their owners are going as well. */
    for (q = RB_MIN(query_tree, &(*c)->queries); q != NULL; q = next) {
        next = RB_NEXT(query_tree, &(*c)->queries, q);
        ipc_cancel((*c)->ipc, q->ipc_id);
        query_free(q);
    }
    ipc_client_free(&(*c)->ipc);
    arena_free(&(*c)->arena);
    free(*c);
    *c = NULL;
}

static int by_preference(const void *a, const void *b)
{
    const struct dns_record *x = a, *y = b;

    return (int)x->preference - (int)y->preference;
}

/* What a packet from the resolver says, as an answer. */
static void read_packet(struct arena *arena, const void *packet, size_t len, uint16_t type,
                        struct dns_answer *answer)
{
    struct dns_message m;

    if (dns_parse(packet, len, arena, &m) == -1 || m.qtype != type) {
        answer->why = "malformed answer";
    } else if (m.rcode == RCODE_NXDOMAIN) {
        answer->status = DNS_NXDOMAIN;
    } else if (m.rcode != 0) {
        answer->why = arena_printf(arena, "the name servers answered with code %u", m.rcode);
    } else if (m.count == 0) {
        answer->status = DNS_NODATA;
    } else {
        struct dns_record *records = arena_alloc(arena, m.count * sizeof(*records));
        if (records == NULL) {
            answer->why = "answer too large";
            return;
        }
        memcpy(records, m.records, m.count * sizeof(*records));
        if (type == DNS_TYPE_MX)
            qsort(records, m.count, sizeof(*records), by_preference);
        answer->status = DNS_FOUND;
        answer->records = records;
        answer->count = m.count;
    }
}

/* Ends the query; q is gone before its owner is called. */
static void deliver(struct query *q, const struct dns_answer *answer)
{
    void (*fn)(const struct dns_answer *, void *) = q->fn;
    void *arg = q->arg;

    query_free(q);
    fn(answer, arg);
}

static int on_reply(enum ipc_status status, struct msg *reply, void *arg)
{
    struct query *q = arg;
    struct arena *arena = q->client->arena;
    struct dns_answer answer = {.status = DNS_UNKNOWN, .why = ""};
    int rc = 0;

    arena_reset(arena);
    if (status != IPC_OK) {
        answer.why = status == IPC_TIMEOUT ? "the resolver did not answer in time"
                                           : "the resolver is not available";
    } else {
        uint8_t security = msg_get_u8(reply);
        bool failed = msg_get_bool(reply);
        const char *why = msg_get_str(reply);
        size_t len = 0;
        const void *packet = msg_get_bytes(reply, &len);
        if (msg_type(reply) != RESOLVER_MSG_ANSWER || msg_end(reply) == -1 ||
            security > DNS_BOGUS) {
            answer.why = "malformed message from the resolver";
            rc = -1;
        } else if (failed || security == DNS_BOGUS) {
            answer.why = why != NULL && *why != '\0' ? why : "resolution failed";
            answer.security = security == DNS_BOGUS ? DNS_BOGUS : DNS_INSECURE;
        } else {
            read_packet(arena, packet, len, q->type, &answer);
            answer.security = answer.status == DNS_UNKNOWN ? DNS_INSECURE : security;
        }
    }
    deliver(q, &answer);
    return rc;
}

/* A name that the DNS cannot hold exists nowhere. */
static void on_no_name(void *arg)
{
    deliver(arg, &(struct dns_answer){.status = DNS_NXDOMAIN, .why = ""});
}

static bool is_name(const char *name)
{
    size_t len = strlen(name), label = 0;

    if (len > 0 && name[len - 1] == '.')
        len--;
    if (len > NAME_TEXT_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c <= 0x20 || c >= 0x7f || c == '\\' || (c == '.' && label == 0))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > LABEL_MAX)
            return false;
    }
    return len == 0 || label > 0;
}

uint32_t dns_query(struct dns_client *c, const char *name, uint16_t type,
                   void (*fn)(const struct dns_answer *answer, void *arg), void *arg)
{
    struct query *q = mem_zalloc(sizeof(*q));

    q->client = c;
    q->type = type;
    q->fn = fn;
    q->arg = arg;
    do {
        if (++c->last_id == 0)
            c->last_id = 1;
        q->id = c->last_id;
    } while (RB_INSERT(query_tree, &c->queries, q) != NULL);
    if (!is_name(name)) {
        q->timer = timer_new(c->loop, on_no_name, q);
        timer_set(q->timer, 0);
        return q->id;
    }
    struct msg *m = msg_new(RESOLVER_MSG_QUERY);
    msg_put_str(m, *name != '\0' ? name : ".");
    msg_put_u32(m, type);
    q->ipc_id = ipc_request(c->ipc, &m, c->timeout, on_reply, q);
    return q->id;
}

void dns_cancel(struct dns_client *c, uint32_t id)
{
    struct query *q = RB_FIND(query_tree, &c->queries, &(struct query){.id = id});

    if (q == NULL)
        return;
    ipc_cancel(c->ipc, q->ipc_id);
    query_free(q);
}

const char *dns_reverse_name(const struct netaddr *addr, char *dst)
{
    size_t n = 0;

    *dst = '\0';
    if (addr->family == 4)
        (void)snprintf(dst, DNS_NAME_MAX, "%u.%u.%u.%u.in-addr.arpa", addr->bytes[3],
                       addr->bytes[2], addr->bytes[1], addr->bytes[0]);
    else if (addr->family == 6) {
        for (int i = 15; i >= 0; i--)
            n += (size_t)snprintf(dst + n, DNS_NAME_MAX - n, "%x.%x.", addr->bytes[i] & 15u,
                                  addr->bytes[i] >> 4u);
        (void)snprintf(dst + n, DNS_NAME_MAX - n, "ip6.arpa");
    }
    return dst;
}

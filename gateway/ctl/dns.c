/* dirigo dns: a question to the resolver, answered as the other processes hear it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/base/str.h"
#include "gateway/ctl/command.h"
#include "gateway/event/loop.h"
#include "gateway/resolver/client.h"

enum {
    EXTRA_MS = 2000 /* beyond the resolver's own time-out */
};

static const struct {
    const char *name;
    uint16_t type;
} types[] = {
    {"A", DNS_TYPE_A},   {"AAAA", DNS_TYPE_AAAA}, {"CNAME", DNS_TYPE_CNAME}, {"MX", DNS_TYPE_MX},
    {"NS", DNS_TYPE_NS}, {"PTR", DNS_TYPE_PTR},   {"TLSA", DNS_TYPE_TLSA},   {"TXT", DNS_TYPE_TXT},
};

static const char *const statuses[] = {
    [DNS_FOUND] = "found",
    [DNS_NODATA] = "nodata",
    [DNS_NXDOMAIN] = "nxdomain",
    [DNS_UNKNOWN] = "unknown",
};

static const char *const securities[] = {
    [DNS_INSECURE] = "insecure",
    [DNS_SECURE] = "secure",
    [DNS_BOGUS] = "bogus",
};

struct question {
    const struct command_context *ctx;
    struct loop *loop;
    const char *name, *type_name;
    struct buf out;
    int rc;
};

/* A record's data as text; what is not printable ASCII is shown as \DDD. */
static char *record_text(const struct dns_record *r)
{
    struct buf text = {0};
    char address[INET6_ADDRSTRLEN];

    switch (r->type) {
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        (void)inet_ntop(r->type == DNS_TYPE_A ? AF_INET : AF_INET6, r->data, address,
                        sizeof(address));
        (void)buf_append_str(&text, address);
        break;
    case DNS_TYPE_MX:
        (void)buf_printf(&text, "%u %s", r->preference, *r->name != '\0' ? r->name : ".");
        break;
    case DNS_TYPE_TXT:
        for (size_t i = 0; i < r->len; i++)
            (void)buf_printf(
                &text,
                r->data[i] >= 0x20 && r->data[i] < 0x7f && r->data[i] != '\\' ? "%c" : "\\%03u",
                r->data[i]);
        break;
    case DNS_TYPE_TLSA:
        for (size_t i = 0; i < r->len; i++)
            (void)buf_printf(&text, i < 3 ? "%u " : "%02x", r->data[i]);
        break;
    default:
        (void)buf_append_str(&text, r->name != NULL && *r->name != '\0' ? r->name : ".");
    }
    return buf_steal_str(&text);
}

static void put_json(struct question *q, const struct dns_answer *answer)
{
    struct buf *out = &q->out;

    (void)buf_append_byte(out, '{');
    json_member(out, "name", q->name);
    (void)buf_append_byte(out, ',');
    json_member(out, "type", q->type_name);
    (void)buf_append_byte(out, ',');
    json_member(out, "status", statuses[answer->status]);
    (void)buf_append_byte(out, ',');
    json_member(out, "security", securities[answer->security]);
    (void)buf_append_byte(out, ',');
    json_member(out, "why", answer->why);
    (void)buf_append_str(out, ",\"records\":[");
    for (size_t i = 0; i < answer->count; i++) {
        char *text = record_text(&answer->records[i]);
        (void)buf_printf(out, "%s{\"ttl\":%u,", i > 0 ? "," : "", answer->records[i].ttl);
        json_member(out, "data", text);
        (void)buf_append_byte(out, '}');
        free(text);
    }
    (void)buf_append_str(out, "]}\n");
}

static void put_text(struct question *q, const struct dns_answer *answer)
{
    (void)buf_printf(&q->out, "%s %s: %s, %s%s%s\n", q->name, q->type_name,
                     statuses[answer->status], securities[answer->security],
                     *answer->why != '\0' ? ": " : "", answer->why);
    for (size_t i = 0; i < answer->count; i++) {
        char *text = record_text(&answer->records[i]);
        (void)buf_printf(&q->out, "    %s\n", text);
        free(text);
    }
}

static void on_answer(const struct dns_answer *answer, void *arg)
{
    struct question *q = arg;

    if (q->ctx->json)
        put_json(q, answer);
    else
        put_text(q, answer);
    q->rc = answer->status == DNS_FOUND     ? COMMAND_OK
            : answer->status == DNS_UNKNOWN ? COMMAND_UNAVAILABLE
                                            : COMMAND_FAILED;
    loop_stop(q->loop);
}

static int find_type(const char *name)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (str_ieq(types[i].name, name))
            return (int)i;
    return -1;
}

static int dns_run(const struct command_context *ctx, int argc, char **argv)
{
    struct question q = {.ctx = ctx, .rc = COMMAND_FAILED};
    struct netaddr addr;
    char reverse[DNS_NAME_MAX];

    if (argc < 2 || argc > 3)
        return command_usage(&command_dns);
    bool is_address = netaddr_parse(&addr, argv[1]) == 0;
    q.name = is_address ? dns_reverse_name(&addr, reverse) : argv[1];
    int type = find_type(argc == 3 ? argv[2] : is_address ? "PTR" : "MX");
    if (type == -1)
        return command_error("the type %s is not known: A AAAA CNAME MX NS PTR TLSA TXT", argv[2]);
    q.type_name = types[type].name;
    q.loop = loop_new();
    char *path = command_socket(ctx, "resolver.sock");
    struct dns_client *dns = dns_client_new(q.loop, path, ctx->conf->resolver_timeout + EXTRA_MS);
    (void)dns_query(dns, q.name, types[type].type, on_answer, &q);
    loop_run(q.loop);
    dns_client_free(&dns);
    loop_free(&q.loop);
    free(path);
    int rc = command_print(&q.out);
    return rc == COMMAND_OK ? q.rc : rc;
}

const struct command command_dns = {
    .name = "dns",
    .args = "name [type]",
    .help = "ask the resolver, and show the answer and whether it is secure",
    .flags = COMMAND_NEEDS_CONF,
    .args_min = 1,
    .run = dns_run,
};

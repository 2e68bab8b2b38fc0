/* The resolver's client: what each answer, and each way not to get one, is to its caller. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/ipc/channel.h"
#include "gateway/resolver/client.h"
#include "gateway/resolver/protocol.h"

/* How the resolver of a test answers. */
struct script {
    uint8_t security;
    bool failed, mute, truncated;
    const char *why;
    unsigned rcode, answers;
    const char *rdata; /* of answers records, one behind the other, 7 bytes each */
    unsigned asked;
};

struct seen {
    struct loop *loop;
    unsigned calls;
    enum dns_status status;
    enum dns_security security;
    char *why;
    size_t count;
    uint16_t preference[4];
    char first[64];
};

static void put_u16(struct buf *b, unsigned v)
{
    buf_append_byte(b, (unsigned char)(v >> 8));
    buf_append_byte(b, (unsigned char)v);
}

static void put_packet(const struct script *s, uint32_t type, struct buf *b)
{
    const unsigned head[] = {0, 0x8180 | s->rcode, 1, s->answers, 0, 0};

    for (size_t i = 0; i < 6; i++)
        put_u16(b, head[i]);
    buf_append(b, "\1x\4test", 8);
    put_u16(b, type);
    put_u16(b, 1);
    for (unsigned i = 0; i < s->answers; i++) {
        buf_append(b, "\xc0\x0c", 2);
        put_u16(b, type);
        put_u16(b, 1);
        put_u16(b, 0);
        put_u16(b, 60);
        put_u16(b, 7);
        buf_append(b, s->rdata + 7 * i, 7);
    }
}

static int on_request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    struct script *s = arg;
    struct buf packet = {0};
    const char *name = msg_get_str(m);
    uint32_t type = msg_get_u32(m), id = msg_id(m);

    assert_int_equal(msg_type(m), RESOLVER_MSG_QUERY);
    assert_int_equal(msg_end(m), 0);
    assert_string_equal(name, "x.test");
    s->asked++;
    if (s->mute)
        return 0;
    put_packet(s, type, &packet);
    if (s->truncated)
        buf_truncate(&packet, packet.len - 1);
    struct msg *reply = msg_new(RESOLVER_MSG_ANSWER);
    msg_put_u8(reply, s->security);
    msg_put_bool(reply, s->failed);
    msg_put_str(reply, s->why);
    msg_put_bytes(reply, packet.data, packet.len);
    ipc_reply(peer, id, &reply);
    buf_free(&packet);
    return 0;
}

static void on_answer(const struct dns_answer *answer, void *arg)
{
    struct seen *seen = arg;

    seen->calls++;
    seen->status = answer->status;
    seen->security = answer->security;
    free(seen->why);
    seen->why = mem_strdup(answer->why);
    seen->count = answer->count;
    for (size_t i = 0; i < answer->count && i < 4; i++)
        seen->preference[i] = answer->records[i].preference;
    if (answer->count > 0 && answer->records[0].name != NULL)
        (void)strlcpy(seen->first, answer->records[0].name, sizeof(seen->first));
    loop_stop(seen->loop);
}

static int listen_on(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* Asks once and waits for the answer; script NULL: there is no resolver. */
static struct seen ask(struct script *script, const char *name)
{
    static const struct ipc_server_ops ops = {.request = on_request};
    char folder[] = "/tmp/test_dns_client.XXXXXX", path[64];
    struct seen seen = {.loop = loop_new()};
    struct ipc_server *server = NULL;

    assert_non_null(mkdtemp(folder));
    (void)strlcpy(path, folder, sizeof(path));
    (void)strlcat(path, "/s", sizeof(path));
    if (script != NULL)
        server = ipc_server_new(seen.loop, listen_on(path), RESOLVER_SERVICE, RESOLVER_VERSION,
                                &ops, script);
    struct dns_client *c = dns_client_new(seen.loop, path, 200);
    /* A query that is cancelled, and one that is never answered, make no call. */
    uint32_t cancelled = dns_query(c, name, DNS_TYPE_MX, on_answer, &seen);
    uint32_t id = dns_query(c, name, DNS_TYPE_MX, on_answer, &seen);
    assert_true(cancelled != 0 && id != 0 && id != cancelled);
    dns_cancel(c, cancelled);
    dns_cancel(c, 12345);
    assert_int_equal(seen.calls, 0);
    loop_run(seen.loop);
    assert_int_equal(seen.calls, 1);
    dns_cancel(c, id);
    (void)dns_query(c, name, DNS_TYPE_MX, on_answer, &seen);
    dns_client_free(&c);
    assert_int_equal(seen.calls, 1);
    ipc_server_free(&server);
    loop_free(&seen.loop);
    unlink(path);
    rmdir(folder);
    return seen;
}

static void expect(struct seen seen, enum dns_status status, enum dns_security security,
                   const char *why)
{
    assert_int_equal(seen.status, status);
    assert_int_equal(seen.security, security);
    assert_string_equal(seen.why, why);
    assert_int_equal(seen.count > 0, status == DNS_FOUND);
    free(seen.why);
}

static void test_answers(void **state)
{
    (void)state;
    struct script found = {.security = DNS_SECURE,
                           .answers = 3,
                           .rdata = "\0\x14\2bb\xc0\x0c"
                                    "\0\x05\2aa\xc0\x0c"
                                    "\0\x14\2cc\xc0\x0c"};
    struct seen seen = ask(&found, "x.test");
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.preference[0], 5);
    assert_int_equal(seen.preference[2], 20);
    assert_string_equal(seen.first, "aa.x.test");
    expect(seen, DNS_FOUND, DNS_SECURE, "");
    expect(ask(&(struct script){0}, "x.test"), DNS_NODATA, DNS_INSECURE, "");
    expect(ask(&(struct script){.rcode = 3, .security = DNS_SECURE}, "x.test"), DNS_NXDOMAIN,
           DNS_SECURE, "");
}

static void test_no_answer_is_unknown(void **state)
{
    (void)state;
    expect(ask(&(struct script){.rcode = 2}, "x.test"), DNS_UNKNOWN, DNS_INSECURE,
           "the name servers answered with code 2");
    expect(ask(&(struct script){.failed = true, .why = "late"}, "x.test"), DNS_UNKNOWN,
           DNS_INSECURE, "late");
    expect(ask(&(struct script){.security = DNS_BOGUS, .why = "forged"}, "x.test"), DNS_UNKNOWN,
           DNS_BOGUS, "forged");
    expect(ask(&(struct script){.truncated = true}, "x.test"), DNS_UNKNOWN, DNS_INSECURE,
           "malformed answer");
    expect(ask(&(struct script){.security = 9}, "x.test"), DNS_UNKNOWN, DNS_INSECURE,
           "malformed message from the resolver");
    expect(ask(&(struct script){.mute = true}, "x.test"), DNS_UNKNOWN, DNS_INSECURE,
           "the resolver did not answer in time");
    expect(ask(NULL, "x.test"), DNS_UNKNOWN, DNS_INSECURE, "the resolver did not answer in time");
}

static void test_names_that_are_none(void **state)
{
    (void)state;
    char longer[300];
    const char *const bad[] = {"a..b",          ".a", "a b",  "a\\.b",
                               "\xc3\xa4.test", "..", longer, longer + 40};

    memset(longer, 'a', sizeof(longer));
    for (size_t i = 40; i < sizeof(longer); i += 50)
        longer[i] = '.';
    longer[254] = '\0';
    longer[90] = 'a'; /* a label of 99 bytes */
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct script s = {0};
        expect(ask(&s, bad[i]), DNS_NXDOMAIN, DNS_INSECURE, "");
        assert_int_equal(s.asked, 0);
    }
}

static void test_reverse_names(void **state)
{
    (void)state;
    char name[DNS_NAME_MAX];
    struct netaddr addr;

    assert_int_equal(netaddr_parse(&addr, "192.0.2.1"), 0);
    assert_string_equal(dns_reverse_name(&addr, name), "1.2.0.192.in-addr.arpa");
    assert_int_equal(netaddr_parse(&addr, "2001:db8::12"), 0);
    assert_string_equal(dns_reverse_name(&addr, name),
                        "2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_no_answer_is_unknown),
        cmocka_unit_test(test_names_that_are_none),
        cmocka_unit_test(test_reverse_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

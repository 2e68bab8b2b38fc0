/* The PROXY protocol, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/proto/haproxy.h"

#define SIGNATURE  "\r\n\r\n\0\r\nQUIT\n"
#define INET4      "\xc0\x00\x02\x01\xc0\x00\x02\x09\x04\xd2\x00\x19"
#define MAPPED     "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01"
#define LENGTH_MAX 64

static struct haproxy h;

/* Pushes data in one piece, then byte by byte, both times with something behind it. */
static enum haproxy_status push(const char *data, size_t len, size_t *taken)
{
    char more[512];
    struct haproxy whole;

    memcpy(more, data, len);
    memcpy(more + len, "EHLO x", 6);
    haproxy_init(&whole);
    *taken = haproxy_push(&whole, more, len + 6, LENGTH_MAX);
    haproxy_init(&h);
    size_t n = 0;
    while (n < len + 6 && h.status == HAPROXY_MORE)
        n += haproxy_push(&h, more + n, 1, LENGTH_MAX);
    assert_int_equal(h.status, whole.status);
    assert_int_equal(n, *taken);
    assert_memory_equal(&h.client, &whole.client, sizeof(h.client));
    return h.status;
}

static void expect(const char *data, size_t len, const char *client, unsigned port)
{
    char text[NETADDR_STRLEN];
    size_t taken;

    assert_int_equal(push(data, len, &taken), HAPROXY_PROXY);
    assert_int_equal(taken, len);
    assert_string_equal(netaddr_str(&h.client, text), client);
    assert_int_equal(h.client.port, port);
}
#define EXPECT(data, client, port) expect(data, sizeof(data) - 1, client, port)

static void expect_status(const char *data, size_t len, enum haproxy_status status)
{
    size_t taken;

    if (push(data, len, &taken) != status)
        fail_msg("\"%s\" gave %d", data, (int)h.status);
    if (status == HAPROXY_LOCAL)
        assert_int_equal(taken, len);
}
#define EXPECT_STATUS(data, status) expect_status(data, sizeof(data) - 1, status)

static void test_version_1(void **state)
{
    (void)state;
    char text[NETADDR_STRLEN];

    EXPECT("PROXY TCP4 192.0.2.1 192.0.2.9 1234 25\r\n", "192.0.2.1", 1234);
    assert_string_equal(netaddr_str(&h.server, text), "192.0.2.9");
    assert_int_equal(h.server.port, 25);
    EXPECT("PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n", "2001:db8::1", 65535);
    EXPECT("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1", 1);
    EXPECT_STATUS("PROXY UNKNOWN\r\n", HAPROXY_LOCAL);
    EXPECT_STATUS("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", HAPROXY_LOCAL);
}

static void test_bad_version_1(void **state)
{
    (void)state;
    char line[200];

    EXPECT_STATUS("EHLO client.example\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY \r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 192.0.2.1 192.0.2.9 1234 25\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 192.0.2.1 192.0.2.9 1234\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 192.0.2.1 192.0.2.9 1234 25 \r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 192.0.2.1 192.0.2.9 1234 25 1\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 192.0.2.1  192.0.2.9 1234 25\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 192.0.2.1 192.0.2.9 65536 25\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 192.0.2.1 192.0.2.9 01 25\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 192.0.2.1 192.0.2.9 -1 25\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 ::1 ::1 1 25\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP6 192.0.2.1 192.0.2.9 1 25\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 host host 1 25\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP5 192.0.2.1 192.0.2.9 1 25\r\n", HAPROXY_BAD);
    EXPECT_STATUS("PROXY TCP4 192.0.2.1\0 192.0.2.9 1 25\r\n", HAPROXY_BAD);
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + sizeof(line) - 2, "\r\n", 2);
    expect_status(line, sizeof(line), HAPROXY_BAD);
    memcpy(line + 105, "\r\n", 2); /* the longest one */
    expect_status(line, 107, HAPROXY_LOCAL);
}

static void test_version_2(void **state)
{
    (void)state;
    EXPECT(SIGNATURE "\x21\x11\0\x0c" INET4, "192.0.2.1", 1234);
    assert_int_equal(h.server.port, 25);
    EXPECT(SIGNATURE "\x21\x11\0\x10" INET4 "\x04\0\x01x", "192.0.2.1", 1234);
    EXPECT(SIGNATURE "\x21\x21\0\x24" MAPPED MAPPED "\x04\xd2\x00\x19", "192.0.2.1", 1234);
    /* A proxy's own connection, with and without addresses, and families that are not ours. */
    EXPECT_STATUS(SIGNATURE "\x20\0\0\0", HAPROXY_LOCAL);
    EXPECT_STATUS(SIGNATURE "\x20\x11\0\x0c" INET4, HAPROXY_LOCAL);
    EXPECT_STATUS(SIGNATURE "\x21\0\0\x03xyz", HAPROXY_LOCAL);
    EXPECT_STATUS(SIGNATURE "\x21\x12\0\x0c" INET4, HAPROXY_LOCAL); /* UDP */
}

static void test_bad_version_2(void **state)
{
    (void)state;
    EXPECT_STATUS(SIGNATURE "\x11\x11\0\x0c" INET4, HAPROXY_BAD); /* version 1 */
    EXPECT_STATUS(SIGNATURE "\x22\x11\0\x0c" INET4, HAPROXY_BAD); /* no such command */
    EXPECT_STATUS(SIGNATURE "\x21\x11\0\x0b" INET4, HAPROXY_BAD); /* too short */
    EXPECT_STATUS(SIGNATURE "\x21\x11\0\x41", HAPROXY_BAD);       /* over LENGTH_MAX */
    EXPECT_STATUS("\r\n\r\n\0\r\nQUIX", HAPROXY_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_bad_version_1),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_bad_version_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

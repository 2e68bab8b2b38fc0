/* The forms of a next hop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/relay/nexthop.h"

static void good(const char *text, const char *host, const char *address, unsigned port, bool mx)
{
    struct nexthop hop;
    char str[NETADDR_STRLEN];

    if (nexthop_parse(&hop, text, 25) == -1)
        fail_msg("%s was not taken", text);
    assert_string_equal(hop.host, host);
    assert_string_equal(netaddr_str(&hop.address, str), address);
    assert_int_equal(hop.port, port);
    assert_int_equal(hop.use_mx, mx);
}

static void test_good(void **state)
{
    (void)state;
    good("Example.org", "example.org", "local", 25, true);
    good("example.org.:2525", "example.org", "local", 2525, true);
    good("[mx.example.org]", "mx.example.org", "local", 25, false);
    good("[mx.example.org]:587", "mx.example.org", "local", 587, false);
    good("[127.0.0.1]:10025", "", "127.0.0.1", 10025, false);
    good("[IPv6:2001:db8::1]", "", "2001:db8::1", 25, false);
    good("[2001:db8::1]:26", "", "2001:db8::1", 26, false);
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",         ".",   "[",     "[]",    "[a",  "a:",  "a:0",       "a:x", "a:65536",    "[a]b",
        "[a]:25:1", "a b", "[a/b]", "[a:b]", ":25", "[.]", "[1:2:3:4]", "a]",  "2001:db8::1"};
    struct nexthop hop;
    char longer[300];

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (nexthop_parse(&hop, bad[i], 25) == 0)
            fail_msg("%s was taken", bad[i]);
    memset(longer, 'a', sizeof(longer));
    longer[256] = '\0';
    assert_int_equal(nexthop_parse(&hop, longer, 25), -1);
    longer[255] = '\0';
    assert_int_equal(nexthop_parse(&hop, longer, 25), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

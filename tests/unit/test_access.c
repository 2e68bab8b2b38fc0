/* Access tables and restriction classes in the replica. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "directory/resolve.h"
#include "tests/unit/directory_fixture.h"

static struct fixture fx;
static struct snapshot *snap;

#define ACCESS(n, table, action, ...)                                                              \
    PUT(&fx, n, ENTRY_ACCESS, "cn=" #n, {ATTR_ACCESS_TABLE, table}, {ATTR_ACCESS_ACTION, action},  \
        __VA_ARGS__)
#define KEY(text)                                                                                  \
    {                                                                                              \
        ATTR_ACCESS_KEY, text                                                                      \
    }

static int setup(void **state)
{
    (void)state;
    fixture_open(&fx);
    ACCESS(1, "t", "whole", KEY("Bad@Example.org"), KEY("a.b@example.net"));
    ACCESS(2, "t", "domain", KEY("Example.ORG"));
    ACCESS(3, "t", "below", KEY(".sub.example.org"));
    ACCESS(4, "T", "local", KEY("abuse@"));
    ACCESS(5, "t", "null", KEY("<>"));
    ACCESS(6, "t", "net8", KEY("10.0.0.0/8"), KEY("[2001:db8::]/32"));
    ACCESS(7, "t", "net24", KEY("10.1.2.0/24"));
    ACCESS(8, "t", "host", KEY("10.1.2.3"), KEY("2001:db8::1"));
    ACCESS(9, "other", "other", KEY("example.org"), KEY("0.0.0.0/0"));
    ACCESS(10, "twice", "one", KEY("x.example"));
    ACCESS(11, "twice", "two", KEY("x.example"), KEY("y.example"), KEY("not a key"));
    PUT(&fx, 20, ENTRY_CLASS, "cn=c", {ATTR_CN, "Strict"}, {ATTR_RESTRICTIONS, "reject"});
    PUT(&fx, 21, ENTRY_USER, "cn=u", {ATTR_CN, "strict"}, {ATTR_MAIL, "strict@example.org"});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    snapshot_release(&snap);
    fixture_close(&fx);
    return 0;
}

static const char *say(enum answer answer, const struct access *a)
{
    return answer == ANSWER_FOUND ? a->action : answer == ANSWER_ABSENT ? "absent" : "unknown";
}

static void take(void)
{
    snapshot_release(&snap);
    snap = snapshot_take(fx.directory);
    assert_non_null(snap);
}

static const char *by_address(const char *table, const char *address)
{
    struct access a;
    take();
    return say(access_address(snap, table, address, &a), &a);
}

static const char *by_domain(const char *table, const char *domain)
{
    struct access a;
    take();
    return say(access_domain(snap, table, domain, &a), &a);
}

static const char *by_network(const char *table, const char *text)
{
    struct netaddr addr;
    struct access a;
    take();
    assert_int_equal(netaddr_parse(&addr, text), 0);
    return say(access_network(snap, table, &addr, &a), &a);
}

static const char *class(const char *name)
{
    struct access a;
    take();
    return say(access_class(snap, name, &a), &a);
}

static void test_addresses(void **state)
{
    (void)state;
    assert_string_equal(by_address("t", "BAD@example.org"), "whole");
    assert_string_equal(by_address("t", "bad+x@example.org"), "whole");
    assert_string_equal(by_address("t", "a.b+c@EXAMPLE.net"), "whole");
    assert_string_equal(by_address("t", "good@example.org"), "domain");
    assert_string_equal(by_address("t", "good@x.example.org"), "domain");
    assert_string_equal(by_address("t", "good@example.net"), "absent");
    assert_string_equal(by_address("t", "abuse+x@anywhere.example"), "local");
    assert_string_equal(by_address("t", "abuse"), "local");
    assert_string_equal(by_address("t", "abuse@example.org"), "domain");
    assert_string_equal(by_address("t", ""), "null");
    assert_string_equal(by_address("other", ""), "absent");
    assert_string_equal(by_address("none", "bad@example.org"), "absent");
    assert_string_equal(by_address("", "bad@example.org"), "absent");
}

static void test_domains(void **state)
{
    (void)state;
    assert_string_equal(by_domain("t", "example.org"), "domain");
    assert_string_equal(by_domain("t", "a.b.example.org."), "domain");
    assert_string_equal(by_domain("t", "sub.example.org"), "domain");
    assert_string_equal(by_domain("t", "a.sub.example.org"), "below");
    assert_string_equal(by_domain("t", "badexample.org"), "absent");
    assert_string_equal(by_domain("t", "org"), "absent");
    assert_string_equal(by_domain("twice", "x.example"), "unknown");
    assert_string_equal(by_domain("twice", "y.example"), "two");
    assert_string_equal(by_domain("TWICE", "a.y.example"), "two");
    take();
    assert_int_equal(access_has_domains(snap, "t"), ANSWER_FOUND);
    assert_int_equal(access_has_domains(snap, "twice"), ANSWER_FOUND);
    assert_int_equal(access_has_domains(snap, "none"), ANSWER_ABSENT);
}

static void test_networks(void **state)
{
    (void)state;
    assert_string_equal(by_network("t", "10.1.2.3"), "host");
    assert_string_equal(by_network("t", "10.1.2.4"), "net24");
    assert_string_equal(by_network("t", "10.1.3.4"), "net8");
    assert_string_equal(by_network("t", "11.1.3.4"), "absent");
    assert_string_equal(by_network("other", "11.1.3.4"), "other");
    assert_string_equal(by_network("other", "2001:db8::1"), "absent");
    assert_string_equal(by_network("t", "2001:db8::1"), "host");
    assert_string_equal(by_network("t", "2001:db8:ffff::1"), "net8");
    assert_string_equal(by_network("t", "2001:db9::1"), "absent");
}

static void test_changes(void **state)
{
    (void)state;
    assert_string_equal(class("STRICT"), "reject");
    assert_string_equal(class("none"), "absent");
    PUT(&fx, 22, ENTRY_CLASS, "cn=d", {ATTR_CN, "strict"}, {ATTR_RESTRICTIONS, "permit"});
    assert_string_equal(class("strict"), "unknown");
    fixture_delete(&fx, 20);
    assert_string_equal(class("strict"), "permit");
    ACCESS(7, "t", "net16", KEY("10.1.0.0/16"));
    assert_string_equal(by_network("t", "10.1.2.4"), "net16");
    fixture_delete(&fx, 10);
    assert_string_equal(by_domain("twice", "x.example"), "two");
    /* The directory is away: what is held decides, for its time. */
    fixture_sync(&fx, false, FIXTURE_NOW - 50, FIXTURE_NOW);
    assert_string_equal(by_domain("t", "example.org"), "domain");
    assert_string_equal(by_domain("t", "example.com"), "absent");
    fixture_sync(&fx, false, FIXTURE_NOW - 200, FIXTURE_NOW);
    assert_string_equal(by_domain("t", "example.org"), "unknown");
    assert_string_equal(by_address("t", "x@example.com"), "unknown");
    assert_string_equal(by_network("t", "11.1.3.4"), "unknown");
    assert_string_equal(class("strict"), "unknown");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {T(test_addresses), T(test_domains), T(test_networks),
                                       T(test_changes)};
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}

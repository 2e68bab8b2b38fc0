#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "directory/send_as.h"
#include "tests/unit/directory_fixture.h"

static struct fixture fx;
static struct arena *arena;
static struct snapshot *snap;
static struct send_right right;

enum {
    ALICE = 10,
    BOB = 11,
    CAROL = 12,
    DAN = 13
};

static int setup(void **state)
{
    (void)state;
    fixture_open(&fx);
    arena = arena_new(1 << 20);
    PUT(&fx, 1, ENTRY_DOMAIN, "o=org", {ATTR_DOMAIN, "example.org"},
        {ATTR_CATCHALL, "bob@example.org"});
    PUT(&fx, 2, ENTRY_DOMAIN, "o=alias", {ATTR_DOMAIN, "example.net"},
        {ATTR_DOMAIN_TARGET, "example.org"});
    PUT(&fx, ALICE, ENTRY_USER, "uid=alice", {ATTR_UID, "alice"}, {ATTR_MAIL, "alice@example.org"},
        {ATTR_MAIL_ALTERNATE, "al@example.org"}, {ATTR_MAIL_ALTERNATE, "alice@private.example"});
    PUT(&fx, BOB, ENTRY_USER, "uid=bob", {ATTR_UID, "bob"}, {ATTR_MAIL, "bob@example.org"});
    PUT(&fx, CAROL, ENTRY_USER, "uid=carol", {ATTR_UID, "carol"}, {ATTR_MAIL, "carol@example.org"},
        {ATTR_SEND_AS, "UID=alice"}, {ATTR_SEND_AS, "cn=office"});
    PUT(&fx, DAN, ENTRY_USER, "uid=dan", {ATTR_UID, "dan"}, {ATTR_MAIL, "dan@example.org"},
        {ATTR_SEND_AS_ADDRESS, "al@example.org"});
    PUT(&fx, 20, ENTRY_ALIAS, "cn=info", {ATTR_MAIL_ALTERNATE, "info@example.org"},
        {ATTR_ROUTING_ADDRESS, "hello@example.org"});
    PUT(&fx, 21, ENTRY_ALIAS, "cn=hello", {ATTR_MAIL_ALTERNATE, "hello@example.org"},
        {ATTR_ROUTING_ADDRESS, "alice@example.org"});
    PUT(&fx, 22, ENTRY_ALIAS, "cn=all", {ATTR_MAIL_ALTERNATE, "all@example.org"},
        {ATTR_ROUTING_ADDRESS, "staff@example.org"});
    PUT(&fx, 30, ENTRY_GROUP, "cn=staff", {ATTR_MAIL, "staff@example.org"},
        {ATTR_MEMBER, "uid=alice"}, {ATTR_MEMBER, "uid=bob"}, {ATTR_SEND_AS, "uid=bob"});
    PUT(&fx, 31, ENTRY_GROUP, "cn=office", {ATTR_MEMBER, "cn=inner"});
    PUT(&fx, 32, ENTRY_GROUP, "cn=inner", {ATTR_MEMBER_ADDRESS, "Bob@Example.org"},
        {ATTR_MEMBER, "cn=office"});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    snapshot_release(&snap);
    arena_free(&arena);
    fixture_close(&fx);
    return 0;
}

/* "own", "alias", "right"; "theirs" and "nobody" where the address may not be used. */
static const char *as(unsigned login, const char *address)
{
    struct uuid u = fixture_uuid(login);
    snapshot_release(&snap);
    snap = snapshot_take(fx.directory);
    assert_non_null(snap);
    enum answer answer = may_send_as(snap, login == 0 ? NULL : &u, address, arena, &right);
    assert_non_null(right.how);
    if (answer == ANSWER_UNKNOWN)
        return "unknown";
    if (answer == ANSWER_ABSENT)
        return right.owned ? "theirs" : "nobody";
    assert_non_null(right.dn);
    return strstr(right.how, "own") != NULL     ? "own"
           : strstr(right.how, "alias") != NULL ? "alias"
                                                : "right";
}

static void test_own(void **state)
{
    (void)state;
    assert_string_equal(as(ALICE, "Alice+x@Example.org"), "own");
    assert_string_equal(right.dn, "uid=alice");
    assert_string_equal(as(ALICE, "al@example.org"), "own");
    assert_string_equal(as(ALICE, "alice@example.net"), "own");
    assert_string_equal(as(ALICE, "alice@private.example"), "own");
    assert_string_equal(as(BOB, "alice@private.example"), "nobody");
    assert_string_equal(as(BOB, "alice@example.org"), "theirs");
    assert_string_equal(right.dn, "uid=alice");
    assert_string_equal(as(0, "alice@example.org"), "theirs");
    assert_string_equal(as(0, "x@elsewhere.example"), "nobody");
    assert_string_equal(as(ALICE, "x@elsewhere.example"), "nobody");
    assert_string_equal(as(ALICE, "no address @"), "nobody");
    assert_string_equal(as(99, "alice@example.org"), "theirs");
    /* The catch-all's target has no right to what it catches. */
    assert_string_equal(as(BOB, "nobody@example.org"), "nobody");
}

static void test_aliases(void **state)
{
    (void)state;
    assert_string_equal(as(ALICE, "info@example.org"), "alias");
    assert_string_equal(right.dn, "cn=info");
    assert_string_equal(as(BOB, "info@example.org"), "theirs");
    /* Through a group an alias gives no right. */
    assert_string_equal(as(ALICE, "all@example.org"), "theirs");
    /* A circle of aliases leads to nobody that can be known. */
    PUT(&fx, 21, ENTRY_ALIAS, "cn=hello", {ATTR_MAIL_ALTERNATE, "hello@example.org"},
        {ATTR_ROUTING_ADDRESS, "info@example.org"});
    assert_string_equal(as(ALICE, "info@example.org"), "unknown");
}

static void test_granted(void **state)
{
    (void)state;
    assert_string_equal(as(BOB, "staff@example.org"), "right");
    assert_string_equal(right.dn, "cn=staff");
    assert_string_equal(right.via, "uid=bob");
    assert_string_equal(as(ALICE, "staff@example.org"), "theirs");
    assert_string_equal(as(ALICE, "carol@example.org"), "right");
    assert_string_equal(as(ALICE, "carol+x@example.net"), "right");
    /* Through groups that hold one another. */
    assert_string_equal(as(BOB, "carol@example.org"), "right");
    assert_string_equal(right.via, "cn=office");
    assert_string_equal(as(DAN, "carol@example.org"), "theirs");
    assert_string_equal(as(ALICE, "dan@example.org"), "right");
    assert_string_equal(as(BOB, "dan@example.org"), "theirs");
    /* What is given is not given on. */
    assert_string_equal(as(CAROL, "alice@example.org"), "theirs");
    /* A right for an entry that is not there is nobody's, and hides no other. */
    PUT(&fx, CAROL, ENTRY_USER, "uid=carol", {ATTR_MAIL, "carol@example.org"},
        {ATTR_SEND_AS, "uid=gone"}, {ATTR_SEND_AS, "malformed"}, {ATTR_SEND_AS, "uid=dan"});
    assert_string_equal(as(DAN, "carol@example.org"), "right");
    assert_string_equal(as(ALICE, "carol@example.org"), "theirs");
}

static void test_away(void **state)
{
    (void)state;
    fixture_sync(&fx, false, FIXTURE_NOW, FIXTURE_NOW);
    assert_string_equal(as(ALICE, "alice@example.org"), "own");
    assert_string_equal(as(ALICE, "carol@example.org"), "right");
    assert_string_equal(as(DAN, "carol@example.org"), "unknown");
    assert_string_equal(as(ALICE, "nobody@example.org"), "unknown");
    /* Rights are known for as long as logins are, addresses longer. */
    int64_t since = FIXTURE_NOW - fx.conf.directory_stale_login_time / 1000 - 10;
    fixture_sync(&fx, false, since, FIXTURE_NOW);
    assert_string_equal(as(ALICE, "alice@example.org"), "own");
    assert_string_equal(as(ALICE, "carol@example.org"), "unknown");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {T(test_own), T(test_aliases), T(test_granted), T(test_away)};
    return cmocka_run_group_tests_name("send_as", tests, NULL, NULL);
}

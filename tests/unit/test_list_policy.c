#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "directory/list_policy.h"
#include "directory/member.h"
#include "tests/unit/directory_fixture.h"

static struct fixture fx;
static struct arena *arena;
static struct snapshot *snap;
static struct list_decision said;

enum {
    ALICE = 10,
    BOB = 11,
    CAROL = 12
};

static int setup(void **state)
{
    (void)state;
    fixture_open(&fx);
    arena = arena_new(1 << 20);
    PUT(&fx, 1, ENTRY_DOMAIN, "o=org", {ATTR_DOMAIN, "example.org"});
    PUT(&fx, ALICE, ENTRY_USER, "uid=alice,ou=p", {ATTR_MAIL, "alice@example.org"},
        {ATTR_MAIL_ALTERNATE, "al@example.org"});
    PUT(&fx, BOB, ENTRY_USER, "uid=bob,ou=q", {ATTR_MAIL, "bob@example.org"});
    PUT(&fx, CAROL, ENTRY_USER, "uid=carol,ou=p", {ATTR_MAIL, "carol@example.org"});
    PUT(&fx, 20, ENTRY_GROUP, "cn=staff", {ATTR_MAIL, "staff@example.org"},
        {ATTR_MEMBER, "uid=bob,ou=q"}, {ATTR_MEMBER_ADDRESS, "guest@example.com"});
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

static const char *ask(const struct list_sender *from)
{
    static const char *const words[] = {"accepts", "refuses", "moderates", "unknown"};
    const struct entry *group;
    snapshot_release(&snap);
    arena_reset(arena);
    snap = snapshot_take(fx.directory);
    assert_int_equal(entry_by_dn(snap, "cn=list", &group), ANSWER_FOUND);
    list_policy(snap, group, from, arena, &said);
    if (said.verdict == LIST_REFUSES)
        assert_non_null(said.text);
    return words[said.verdict];
}

static const char *from(const char *address)
{
    struct list_sender sender = {.address = address};
    return ask(&sender);
}

static const char *by(unsigned login, const char *address)
{
    struct uuid u = fixture_uuid(login);
    struct list_sender sender = {.address = address, .login = &u};
    return ask(&sender);
}

#define LIST(...)                                                                                  \
    PUT(&fx, 30, ENTRY_GROUP, "cn=list", {ATTR_MAIL, "list@example.org"},                          \
        {ATTR_MEMBER, "uid=alice,ou=p"}, {ATTR_MEMBER, "cn=staff"} __VA_OPT__(, ) __VA_ARGS__)

static void test_open(void **state)
{
    const struct entry *group;
    (void)state;
    LIST();
    assert_string_equal(from("x@example.com"), "accepts");
    assert_string_equal(from(""), "accepts");
    assert_int_equal(entry_by_dn(snap, "cn=list", &group), ANSWER_FOUND);
    assert_false(list_has_policy(group));
    LIST({ATTR_LIST_MAX_SIZE, "1000"});
    assert_string_equal(from("x@example.com"), "accepts");
    assert_int_equal(said.max_size, 1000);
    struct list_sender sender = {.address = "x@example.com", .size = 1001};
    assert_string_equal(ask(&sender), "refuses");
    assert_int_equal(said.code, 552);
    assert_string_equal(said.dn, "cn=list");
}

static void test_allowed(void **state)
{
    (void)state;
    LIST({ATTR_LIST_ALLOWED, "mailto:Friend@Example.com"}, {ATTR_LIST_ALLOWED, "al@example.org"},
         {ATTR_LIST_ALLOWED, "ldap:///cn=staff"});
    assert_string_equal(from("friend@example.com"), "accepts");
    assert_string_equal(from("alice@example.org"), "accepts"); /* by another address of hers */
    assert_string_equal(from("bob@example.org"), "accepts");   /* a member of staff */
    assert_string_equal(from("guest@example.com"), "accepts"); /* the same, by address */
    assert_string_equal(from("carol@example.org"), "refuses");
    assert_string_equal(said.rule, "mgrpAllowedBroadcaster");
    assert_string_equal(said.status, "5.7.2");
    assert_string_equal(from(""), "refuses");
    assert_string_equal(by(BOB, "x@example.com"), "accepts"); /* by the login */
    LIST({ATTR_LIST_ALLOWED, "ldap://uid=carol, ou=p"}, {ATTR_LIST_REJECT_TEXT, "Ask Carol"});
    assert_string_equal(from("carol@example.org"), "accepts");
    assert_string_equal(from("x@example.com"), "refuses");
    assert_string_equal(said.text, "Ask Carol");
    LIST({ATTR_LIST_ALLOWED, "ldap:///ou=p??sub"});
    assert_string_equal(from("carol@example.org"), "accepts");
    assert_string_equal(from("bob@example.org"), "refuses");
    LIST({ATTR_LIST_ALLOWED, "ldap:///ou=p??sub?(title=boss)"});
    assert_string_equal(from("carol@example.org"), "unknown");
}

static void test_denied_and_domains(void **state)
{
    (void)state;
    LIST({ATTR_LIST_ALLOWED_DOMAIN, "example.com"}, {ATTR_LIST_DENIED, "spam@example.com"},
         {ATTR_LIST_DENIED_DOMAIN, "bad.example.com"});
    assert_string_equal(from("x@example.com"), "accepts");
    assert_string_equal(from("x@mail.example.com"), "accepts");
    assert_string_equal(from("x@notexample.com"), "refuses");
    assert_string_equal(from("spam@example.com"), "refuses");
    assert_string_equal(from("x@a.bad.example.com"), "refuses");
    LIST({ATTR_LIST_DENIED, "uid=bob,ou=q"});
    assert_string_equal(from("bob@example.org"), "refuses");
    assert_string_equal(from("x@example.com"), "accepts");
}

static void test_members(void **state)
{
    (void)state;
    LIST({ATTR_LIST_ACCESS, "membersOnly"});
    assert_string_equal(from("alice@example.org"), "accepts");
    assert_string_equal(from("al+x@example.org"), "accepts");
    assert_string_equal(from("bob@example.org"), "accepts"); /* through a group in it */
    assert_string_equal(from("carol@example.org"), "refuses");
    assert_string_equal(from("x@example.com"), "refuses");
    LIST({ATTR_LIST_ACCESS, "domain"});
    assert_string_equal(from("carol@example.org"), "accepts");
    assert_string_equal(from("x@sub.example.org"), "refuses");
    LIST({ATTR_LIST_ACCESS, "subdomain"});
    assert_string_equal(from("x@sub.example.org"), "accepts");
    LIST({ATTR_LIST_ACCESS, "whatever"});
    assert_string_equal(from("x@example.com"), "unknown");
}

/* In more groups than are looked at: whether in this one, nobody has said. */
static void test_many_groups(void **state)
{
    (void)state;
    char dn[32];
    for (unsigned i = 0; i < MEMBER_GROUPS_MAX; i++) {
        snprintf(dn, sizeof dn, "cn=g%u", i);
        PUT(&fx, 1000 + i, ENTRY_GROUP, dn, {ATTR_MEMBER_ADDRESS, "x@example.com"});
    }
    LIST({ATTR_LIST_ACCESS, "membersOnly"});
    assert_string_equal(from("x@example.com"), "unknown");
    assert_string_equal(from("y@example.com"), "refuses");
}

static void test_login(void **state)
{
    (void)state;
    LIST({ATTR_LIST_BROADCASTER_POLICY, "AUTH_REQ"});
    assert_string_equal(from("alice@example.org"), "refuses");
    assert_string_equal(by(CAROL, "carol@example.org"), "accepts");
    LIST({ATTR_LIST_BROADCASTER_POLICY, "auth_req"}, {ATTR_LIST_ACCESS, "membersOnly"});
    /* What the envelope says counts for nothing then. */
    assert_string_equal(by(CAROL, "alice@example.org"), "refuses");
    assert_string_equal(by(ALICE, "carol@example.org"), "accepts");
}

static void test_moderated(void **state)
{
    (void)state;
    LIST({ATTR_LIST_MODERATOR, "mailto:carol@example.org"});
    assert_string_equal(from("x@example.com"), "moderates");
    assert_string_equal(from("carol@example.org"), "accepts");
    assert_string_equal(from(""), "refuses");
    LIST({ATTR_LIST_MODERATOR, "uid=carol,ou=p"}, {ATTR_LIST_ACCESS, "membersOnly"},
         {ATTR_LIST_DENIED, "spam@example.com"});
    assert_string_equal(from("alice@example.org"), "accepts");
    assert_string_equal(from("x@example.com"), "refuses");
    LIST({ATTR_LIST_MODERATOR, "uid=carol,ou=p"}, {ATTR_LIST_ACCESS, "membersOnly"},
         {ATTR_LIST_REJECT_ACTION, "toModerator"});
    assert_string_equal(from("x@example.com"), "moderates");
    assert_string_equal(from(""), "refuses");
}

static void test_errors_to(void **state)
{
    (void)state;
    LIST({ATTR_LIST_ERRORS_TO, "mailto:owner@example.org"});
    assert_string_equal(from("x@example.com"), "accepts");
    assert_string_equal(said.errors_to, "owner@example.org");
    assert_string_equal(from(""), "accepts");
    assert_null(said.errors_to);
    LIST({ATTR_LIST_ERRORS_TO, "ldap:///uid=carol,ou=p"});
    assert_string_equal(from("x@example.com"), "accepts");
    assert_string_equal(said.errors_to, "carol@example.org");
}

static void test_away(void **state)
{
    (void)state;
    LIST({ATTR_LIST_ACCESS, "membersOnly"}, {ATTR_LIST_MODERATOR, "gone@example.org"});
    fixture_sync(&fx, false, FIXTURE_NOW, FIXTURE_NOW);
    assert_string_equal(from("alice@example.org"), "unknown");
    LIST({ATTR_LIST_ACCESS, "membersOnly"});
    fixture_sync(&fx, false, FIXTURE_NOW, FIXTURE_NOW);
    assert_string_equal(from("alice@example.org"), "accepts");
    assert_string_equal(from("carol@example.org"), "unknown");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_open),      T(test_allowed),   T(test_denied_and_domains),
        T(test_members),   T(test_login),     T(test_many_groups),
        T(test_moderated), T(test_errors_to), T(test_away)};
    return cmocka_run_group_tests_name("list_policy", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "directory/address.h"
#include "directory/dn.h"
#include "gateway/base/clock.h"
#include "tests/unit/directory_fixture.h"

static struct fixture fx;

static int setup(void **state)
{
    (void)state;
    fixture_open(&fx);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_close(&fx);
    return 0;
}

static enum answer login(const char *name, unsigned *who)
{
    const struct entry *e;
    struct snapshot *s = snapshot_take(fx.directory);
    assert_non_null(s);
    enum answer a = entry_by_login(s, name, &e);
    if (a == ANSWER_FOUND)
        memcpy(who, entry_uuid(e)->bytes + 12, 4);
    snapshot_release(&s);
    return a;
}

static enum answer by_dn(const char *dn)
{
    const struct entry *e;
    struct snapshot *s = snapshot_take(fx.directory);
    enum answer a = entry_by_dn(s, dn, &e);
    snapshot_release(&s);
    return a;
}

static void test_entry(void **state)
{
    (void)state;
    const struct entry *e;
    PUT(&fx, 1, ENTRY_USER, "uid=a,dc=x", {ATTR_UID, "a"}, {ATTR_MAIL, "a@example.org"},
        {ATTR_MAIL_ALTERNATE, "b@example.org"}, {ATTR_MAIL, "c@example.org"}, {ATTR_CN, "A"});
    struct snapshot *s = snapshot_take(fx.directory);
    struct uuid u = fixture_uuid(1);
    assert_int_equal(entry_by_uuid(s, &u, &e), ANSWER_FOUND);
    assert_string_equal(entry_dn(e), "uid=a,dc=x");
    assert_int_equal(entry_kinds(e), ENTRY_USER);
    assert_int_equal(entry_count(e, ATTR_MAIL), 2);
    assert_string_equal(entry_value(e, ATTR_MAIL, 0), "a@example.org");
    assert_string_equal(entry_value(e, ATTR_MAIL, 1), "c@example.org");
    assert_null(entry_value(e, ATTR_MAIL, 2));
    assert_string_equal(entry_value(e, ATTR_CN, 0), "A");
    assert_string_equal(entry_value(e, ATTR_UID, 0), "a");
    assert_int_equal(entry_count(e, ATTR_QUOTA), 0);
    snapshot_release(&s);
}

static void test_valid(void **state)
{
    (void)state;
    struct entry_draft d = {0};
    struct buf out = {0};
    entry_draft_reset(&d);
    buf_append_str(&d.dn, "dc=x");
    assert_int_equal(entry_draft_add(&d, ATTR_MAIL, "a\0b", 3), -1);
    assert_int_equal(entry_draft_add(&d, ATTR_MAIL, "a@b", 3), 0);
    assert_int_equal(entry_encode(&d, &out), 0);
    assert_true(entry_valid(out.data, out.len));
    for (size_t i = 0; i < out.len; i++)
        assert_false(entry_valid(out.data, i));
    /* Whatever byte is damaged, what entry_valid lets pass can be read. */
    for (size_t i = 0; i < out.len; i++) {
        unsigned char old = out.data[i];
        out.data[i] ^= 0xff;
        if (entry_valid(out.data, out.len)) {
            const struct entry *e = (const struct entry *)out.data;
            size_t total = strlen(entry_dn(e));
            for (unsigned a = 0; a < ATTR_COUNT; a++)
                for (size_t j = 0; j < entry_count(e, a); j++)
                    total += strlen(entry_value(e, a, j));
            assert_true(total < 1000);
        }
        out.data[i] = old;
    }
    buf_free(&out);
    entry_draft_free(&d);
}

static void test_login(void **state)
{
    (void)state;
    unsigned who = 0;
    PUT(&fx, 1, ENTRY_USER, "uid=ann,dc=x", {ATTR_UID, "Ann"}, {ATTR_MAIL, "ann@Example.org"});
    PUT(&fx, 2, ENTRY_GROUP, "cn=g,dc=x", {ATTR_UID, "g"}, {ATTR_MAIL, "g@example.org"});
    assert_int_equal(login("ANN", &who), ANSWER_FOUND);
    assert_int_equal(who, 1);
    assert_int_equal(login("Ann@EXAMPLE.org", &who), ANSWER_FOUND);
    assert_int_equal(login("g", &who), ANSWER_ABSENT);
    assert_int_equal(login("g@example.org", &who), ANSWER_ABSENT);
    assert_int_equal(login("", &who), ANSWER_ABSENT);
    PUT(&fx, 3, ENTRY_USER, "uid=ann,dc=y", {ATTR_UID, "ann"});
    assert_int_equal(login("ann", &who), ANSWER_UNKNOWN);
}

static void test_change_and_delete(void **state)
{
    (void)state;
    unsigned who = 0;
    PUT(&fx, 1, ENTRY_USER, "uid=a,dc=x", {ATTR_UID, "a"});
    uint64_t generation = replica_state(fx.replica)->generation;
    PUT(&fx, 1, ENTRY_USER, "uid=a,dc=x", {ATTR_UID, "a"});
    assert_int_equal(replica_state(fx.replica)->generation, generation);
    PUT(&fx, 1, ENTRY_USER, "uid=b,dc=x", {ATTR_UID, "b"});
    assert_int_equal(login("a", &who), ANSWER_ABSENT);
    assert_int_equal(login("b", &who), ANSWER_FOUND);
    assert_int_equal(by_dn("uid=a,dc=x"), ANSWER_ABSENT);
    assert_int_equal(by_dn("UID = B , DC=X"), ANSWER_FOUND);
    /* The DN was deleted and made anew before the deletion was heard of. */
    PUT(&fx, 2, ENTRY_USER, "uid=b,dc=x", {ATTR_UID, "b"});
    assert_int_equal(login("b", &who), ANSWER_FOUND);
    assert_int_equal(who, 2);
    assert_int_equal(replica_state(fx.replica)->entries, 1);
    fixture_delete(&fx, 1);
    assert_int_equal(login("b", &who), ANSWER_FOUND);
    fixture_delete(&fx, 2);
    assert_int_equal(login("b", &who), ANSWER_ABSENT);
    assert_int_equal(by_dn("uid=b,dc=x"), ANSWER_ABSENT);
    assert_int_equal(replica_state(fx.replica)->entries, 0);
}

static void test_three_answers(void **state)
{
    (void)state;
    unsigned who = 0;
    PUT(&fx, 1, ENTRY_USER, "uid=a,dc=x", {ATTR_UID, "a"});
    assert_int_equal(login("nobody", &who), ANSWER_ABSENT);
    /* Out of sync: found goes on, absent does not. */
    fixture_sync(&fx, false, FIXTURE_NOW, FIXTURE_NOW);
    assert_int_equal(login("a", &who), ANSWER_FOUND);
    assert_int_equal(login("nobody", &who), ANSWER_UNKNOWN);
    /* Past the bound for logins, then past the one for addresses. */
    fixture_sync(&fx, false, FIXTURE_NOW - 60, FIXTURE_NOW);
    assert_int_equal(login("a", &who), ANSWER_UNKNOWN);
    assert_int_equal(by_dn("uid=a,dc=x"), ANSWER_FOUND);
    fixture_sync(&fx, false, FIXTURE_NOW - 101, FIXTURE_NOW);
    assert_int_equal(by_dn("uid=a,dc=x"), ANSWER_UNKNOWN);
    /* A writer that died while in sync. */
    fixture_sync(&fx, true, FIXTURE_NOW - 16, FIXTURE_NOW - 16);
    assert_int_equal(login("nobody", &who), ANSWER_UNKNOWN);
    assert_int_equal(login("a", &who), ANSWER_FOUND);
    /* A clock that was set back. */
    fixture_sync(&fx, true, FIXTURE_NOW + 500, FIXTURE_NOW + 500);
    assert_int_equal(login("nobody", &who), ANSWER_UNKNOWN);
    /* Never in sync: an unfinished first refresh says nothing. */
    fixture_sync(&fx, false, 0, FIXTURE_NOW);
    assert_int_equal(login("a", &who), ANSWER_UNKNOWN);
}

static struct directory_link test_link;
static void no_close(struct directory_link *link)
{
    (void)link;
}

static void test_link_down(void **state)
{
    (void)state;
    unsigned who = 0;
    PUT(&fx, 1, ENTRY_USER, "uid=a,dc=x", {ATTR_UID, "a"});
    test_link = (struct directory_link){.up = true, .close = no_close};
    directory_set_link(fx.directory, &test_link);
    assert_int_equal(login("nobody", &who), ANSWER_ABSENT);
    test_link.up = false;
    assert_int_equal(login("nobody", &who), ANSWER_UNKNOWN);
    assert_int_equal(login("a", &who), ANSWER_FOUND);
}

static void test_domain(void **state)
{
    (void)state;
    const struct entry *e;
    PUT(&fx, 1, ENTRY_DOMAIN, "o=d,dc=x", {ATTR_DOMAIN, "Example.ORG"},
        {ATTR_DOMAIN, "example.net"});
    struct snapshot *s = snapshot_take(fx.directory);
    assert_int_equal(directory_domain(s, "example.org.", &e), ANSWER_FOUND);
    assert_non_null(e);
    assert_int_equal(directory_domain(s, "EXAMPLE.net", &e), ANSWER_FOUND);
    assert_int_equal(directory_domain(s, "LocalHost", &e), ANSWER_FOUND);
    assert_null(e);
    assert_int_equal(directory_domain(s, "example.com", &e), ANSWER_ABSENT);
    assert_int_equal(directory_domain(s, "exa mple", &e), ANSWER_ABSENT);
    snapshot_release(&s);
    fixture_sync(&fx, false, FIXTURE_NOW, FIXTURE_NOW);
    s = snapshot_take(fx.directory);
    assert_int_equal(directory_domain(s, "example.com", &e), ANSWER_UNKNOWN);
    assert_int_equal(directory_domain(s, "localhost", &e), ANSWER_FOUND);
    snapshot_release(&s);
}

static void test_restart(void **state)
{
    (void)state;
    char *error = NULL;
    struct buf cookie = {0};
    unsigned who = 0;
    PUT(&fx, 1, ENTRY_USER, "uid=a,dc=x", {ATTR_UID, "a"});
    assert_int_equal(replica_begin(fx.replica), 0);
    assert_int_equal(replica_set_cookie(fx.replica, "rid=1", 5), 0);
    assert_int_equal(replica_commit(fx.replica), 0);
    directory_close(&fx.directory);
    replica_close(&fx.replica);
    fx.replica = replica_open(fx.dir, fx.conf.directory_map_size, &error);
    assert_non_null(fx.replica);
    assert_false(replica_made_anew(fx.replica));
    fixture_reader(&fx);
    assert_int_equal(replica_cookie(fx.replica, &cookie), 0);
    assert_string_equal(buf_str(&cookie), "rid=1");
    assert_int_equal(login("a", &who), ANSWER_FOUND); /* warm */
    assert_int_equal(login("b", &who), ANSWER_UNKNOWN);

    /* After a crash of the machine the file is not trusted. */
    char path[128];
    directory_close(&fx.directory);
    replica_close(&fx.replica);
    snprintf(path, sizeof path, "%s/boot", fx.dir);
    FILE *f = fopen(path, "w");
    fputs("another boot", f);
    fclose(f);
    fx.replica = replica_open(fx.dir, fx.conf.directory_map_size, &error);
    assert_non_null(fx.replica);
    assert_true(replica_made_anew(fx.replica));
    fixture_reader(&fx);
    assert_int_equal(replica_cookie(fx.replica, &cookie), 0);
    assert_int_equal(cookie.len, 0);
    assert_int_equal(login("a", &who), ANSWER_UNKNOWN);

    /* Nor is a damaged one. */
    directory_close(&fx.directory);
    replica_close(&fx.replica);
    snprintf(path, sizeof path, "%s/data.mdb", fx.dir);
    f = fopen(path, "w");
    fputs("this is no database", f);
    fclose(f);
    fx.replica = replica_open(fx.dir, fx.conf.directory_map_size, &error);
    assert_non_null(fx.replica);
    assert_true(replica_made_anew(fx.replica));
    fixture_reader(&fx);
    buf_free(&cookie);
}

static void test_next(void **state)
{
    (void)state;
    struct uuid u = {{0}};
    unsigned n = 0;
    for (unsigned i = 1; i <= 300; i++) {
        char dn[32];
        snprintf(dn, sizeof dn, "cn=%u", i);
        PUT(&fx, i, ENTRY_ALIAS, dn, {ATTR_CN, "x"});
    }
    assert_int_equal(replica_begin(fx.replica), 0);
    while (replica_next(fx.replica, &u) == DB_OK)
        n++;
    replica_abort(fx.replica);
    assert_int_equal(n, 300);
}

static void test_long_dn(void **state)
{
    (void)state;
    char a[1200] = "cn=", b[1200];
    memset(a + 3, 'x', 1000);
    strcpy(a + 1003, ",dc=x");
    strcpy(b, a);
    b[1002] = 'y';
    PUT(&fx, 1, ENTRY_ALIAS, a, {ATTR_CN, "x"});
    assert_int_equal(by_dn(a), ANSWER_FOUND);
    assert_int_equal(by_dn(b), ANSWER_ABSENT);
}

static const char *dn_of(unsigned n)
{
    static char text[256];
    const struct entry *e;
    struct uuid u = fixture_uuid(n);
    struct snapshot *s = snapshot_take(fx.directory);
    text[0] = '\0';
    if (entry_by_uuid(s, &u, &e) == ANSWER_FOUND)
        snprintf(text, sizeof text, "%s", entry_dn(e));
    snapshot_release(&s);
    return text;
}

static bool has_children(unsigned n)
{
    struct uuid u = fixture_uuid(n);
    assert_int_equal(replica_begin(fx.replica), 0);
    enum db_result rc = replica_has_children(fx.replica, &u);
    replica_abort(fx.replica);
    return rc == DB_OK;
}

static void test_subtree(void **state)
{
    (void)state;
    unsigned who = 0;
    char deep[1200];
    PUT(&fx, 1, ENTRY_CONTAINER, "ou=people,dc=x");
    PUT(&fx, 2, ENTRY_CONTAINER, "OU=b\\, c , ou=People,dc=x");
    PUT(&fx, 3, ENTRY_USER, "uid=a,ou=people,dc=x", {ATTR_UID, "a"}, {ATTR_MAIL, "a@x.org"});
    PUT(&fx, 4, ENTRY_USER, "uid=\"b,b\",ou=\"b, c\", OU=people,dc=x", {ATTR_UID, "b"});
    PUT(&fx, 5, ENTRY_USER, "uid=c,ou=people2,dc=x", {ATTR_UID, "c"});
    snprintf(deep, sizeof deep, "cn=%0900d,ou=people,dc=x", 7);
    PUT(&fx, 6, ENTRY_USER, deep, {ATTR_UID, "deep"});
    assert_int_equal(replica_state(fx.replica)->entries, 4);
    assert_int_equal(by_dn("ou=people,dc=x"), ANSWER_ABSENT); /* nothing that a lookup wants */
    assert_true(has_children(1));
    assert_true(has_children(2));
    assert_false(has_children(3));

    PUT(&fx, 1, ENTRY_CONTAINER, "ou=Staff,o=y,dc=x");
    assert_string_equal(dn_of(3), "uid=a,ou=Staff,o=y,dc=x");
    assert_string_equal(dn_of(2), "OU=b\\, c ,ou=Staff,o=y,dc=x");
    assert_string_equal(dn_of(4), "uid=\"b,b\",ou=\"b, c\",ou=Staff,o=y,dc=x");
    assert_string_equal(dn_of(5), "uid=c,ou=people2,dc=x");
    assert_int_equal(by_dn("uid=a,ou=people,dc=x"), ANSWER_ABSENT);
    assert_int_equal(by_dn("uid=a,ou=staff,o=y,dc=x"), ANSWER_FOUND);
    snprintf(deep, sizeof deep, "cn=%0900d,ou=staff,o=y,dc=x", 7);
    assert_int_equal(by_dn(deep), ANSWER_FOUND);
    assert_int_equal(login("a", &who), ANSWER_FOUND);
    assert_int_equal(who, 3);
    assert_int_equal(login("a@x.org", &who), ANSWER_FOUND);

    /* Somebody takes the name of an entry with others below it: those are lost, and it is told. */
    assert_int_equal(replica_begin(fx.replica), 0);
    entry_draft_reset(&fx.draft);
    fx.draft.uuid = fixture_uuid(9);
    fx.draft.kinds = ENTRY_CONTAINER;
    buf_append_str(&fx.draft.dn, "ou=staff,o=y,dc=x");
    assert_int_equal(replica_put(fx.replica, &fx.draft), 0);
    assert_true(replica_lost(fx.replica));
    replica_abort(fx.replica);
    PUT(&fx, 10, ENTRY_USER, "uid=a,ou=staff,o=y,dc=x", {ATTR_UID, "a2"});
    assert_false(replica_lost(fx.replica));
    assert_int_equal(replica_state(fx.replica)->containers, 2);
}

static void test_dn(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"uid=alice,ou=People,dc=x", "uid=alice,ou=people,dc=x"},
        {" UID = Alice ; OU=\"People\" , DC=x", "uid=alice,ou=people,dc=x"},
        {"cn=A  B\\, C,dc=x", "cn=a b\\2c c,dc=x"},
        {"cn=A B\\2C C,dc=x", "cn=a b\\2c c,dc=x"},
        {"cn=b+uid=a,dc=x", "cn=b+uid=a,dc=x"},
        {"uid=a + cn=b,dc=x", "cn=b+uid=a,dc=x"},
        {"cn=\\c3\\a4,dc=x", "cn=\xc3\xa4,dc=x"},
        {"cn=\\20a\\20,dc=x", "cn=a,dc=x"},
        {"cn=\\  \\ a,dc=x", "cn=a,dc=x"},
        {"", ""},
        {"cn=", "cn="},
    };
    static const char *const bad[] = {"alice",  "=x",        "cn=a,",  "cn=a,,dc=x", "cn=\"a",
                                      "cn=a\\", "cn=\"a\"b", "cn=a<b", "c n=a"};
    char dst[DN_MAX], big[2 * DN_MAX];
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        assert_int_equal(dn_normalize(same[i][0], dst), strlen(same[i][1]));
        assert_string_equal(dst, same[i][1]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(dn_normalize(bad[i], dst), -1);
    memset(big, 'a', sizeof big);
    memcpy(big, "cn=", 3);
    big[sizeof big - 1] = '\0';
    assert_int_equal(dn_normalize(big, dst), -1);
}

static void test_address(void **state)
{
    (void)state;
    static const char *const good[][3] = {
        /* text, as text again, folded */
        {"Alice@Example.ORG", "Alice@example.org", "alice@example.org"},
        {"\"Alice\"@example.org.", "Alice@example.org", "alice@example.org"},
        {"\"a b\"@x", "\"a b\"@x", "a b@x"},
        {"\"a\\\"b\\\\\"@x", "\"a\\\"b\\\\\"@x", "a\"b\\@x"},
        {"\"a@b\"@x", "\"a@b\"@x", "a@b@x"},
        {"a..b@x", "\"a..b\"@x", "a..b@x"},
        {"a@[192.0.2.1]", "a@[192.0.2.1]", "a@[192.0.2.1]"},
        {"postmaster", "postmaster", "postmaster"},
        {"\xc3\xa4@\xc3\xb6.example", "\xc3\xa4@xn--nda.example", "\xc3\xa4@xn--nda.example"},
    };
    static const char *const bad[] = {
        "",      "@x",      "a@",     "a b@x",     "a@b c",    "a@b@c",   "\"a@x",   "\"\"@x",
        "a@.x",  "a@x..y",  "a\n@x",  "\"a\r\"@x", "a@[",      "a@[]",    "a@[x y]", "\xff@x",
        "<a@x>", "a@x,b@y", "a(b)@x", "\"a\\\"",   "\"a\"b@x", "a@\xc3(y"};
    struct address a;
    char dst[ADDRESS_STRLEN], big[600];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(address_parse(&a, good[i][0]), 0);
        assert_string_equal(address_format(&a, dst), good[i][1]);
        assert_int_equal(address_fold(&a, dst), strlen(good[i][2]));
        assert_string_equal(dst, good[i][2]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(address_parse(&a, bad[i]), -1);
    memset(big, 'a', sizeof big);
    strcpy(big + ADDRESS_LOCAL_MAX, "@x");
    assert_int_equal(address_parse(&a, big), 0);
    strcpy(big + ADDRESS_LOCAL_MAX, "a@x");
    assert_int_equal(address_parse(&a, big), -1);
}

static void test_large_group(void **state)
{
    (void)state;
    const unsigned members = 3000;
    struct entry_draft d = {0};
    for (unsigned extra = 0; extra < 2; extra++) {
        entry_draft_reset(&d);
        d.uuid = fixture_uuid(1);
        d.kinds = ENTRY_GROUP;
        buf_append_str(&d.dn, "cn=g,dc=x");
        for (unsigned i = extra; i < members + extra; i++) {
            char dn[40];
            int n = snprintf(dn, sizeof dn, "uid=u%u,dc=x", i);
            assert_int_equal(entry_draft_add(&d, ATTR_MEMBER, dn, (size_t)n), 0);
        }
        assert_int_equal(replica_begin(fx.replica), 0);
        assert_int_equal(replica_put(fx.replica, &d), 0);
        assert_int_equal(replica_commit(fx.replica), 0);
    }
    struct snapshot *s = snapshot_take(fx.directory);
    struct index_key key;
    struct uuid found[2];
    index_key_dn(&key, INDEX_MEMBER, "uid=u0,dc=x");
    assert_int_equal(snapshot_list(s, &key, found, 2), 0);
    index_key_dn(&key, INDEX_MEMBER, "uid=u3000,dc=x");
    assert_int_equal(snapshot_list(s, &key, found, 2), 1);
    snapshot_release(&s);
    fixture_delete(&fx, 1);
    s = snapshot_take(fx.directory);
    assert_int_equal(snapshot_list(s, &key, found, 2), 0);
    snapshot_release(&s);
    entry_draft_free(&d);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_entry),
        T(test_valid),
        T(test_login),
        T(test_change_and_delete),
        T(test_three_answers),
        T(test_link_down),
        T(test_domain),
        T(test_restart),
        T(test_next),
        T(test_long_dn),
        T(test_subtree),
        T(test_large_group),
        cmocka_unit_test(test_dn),
        cmocka_unit_test(test_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

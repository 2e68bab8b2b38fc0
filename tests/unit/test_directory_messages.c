/* What a server's messages mean: RFC 4533 values, StartTLS, server names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "directory/starttls.h"
#include "directory/syncmsg.h"
#include "directory/target.h"
#include "directory/uuidset.h"
#include "directory/verified.h"
#include "gateway/base/clock.h"

static struct berval ber(const char *bytes, size_t len)
{
    return (struct berval){.bv_len = len, .bv_val = (char *)bytes};
}
#define BER(s) ber(s, sizeof(s) - 1)
#define U16    "0123456789abcdef"

static void count(const struct uuid *u, void *arg)
{
    assert_memory_equal(u->bytes, U16, 16);
    ++*(int *)arg;
}

static void test_sync_values(void **state)
{
    (void)state;
    struct sync_entry e;
    struct sync_info info;
    struct berval v = BER("\x30\x17\x0a\x01\x02\x04\x10" U16 "\x04\x00");
    assert_int_equal(sync_entry_parse(&v, &e), 0);
    assert_int_equal(e.state, SYNC_MODIFY);
    assert_int_equal(e.cookie.bv_len, 0);
    v = BER("\x30\x19\x0a\x01\x03\x04\x10" U16 "\x04\x02xy");
    assert_int_equal(sync_entry_parse(&v, &e), 0);
    assert_int_equal(e.state, SYNC_DELETE);
    assert_memory_equal(e.cookie.bv_val, "xy", 2);
    for (size_t len = 0; len < v.bv_len; len++) {
        struct berval cut = ber(v.bv_val, len);
        assert_int_equal(sync_entry_parse(&cut, &e), -1);
    }
    v = BER("\x30\x15\x0a\x01\x04\x04\x10" U16); /* no such state */
    assert_int_equal(sync_entry_parse(&v, &e), -1);
    v = BER("\x80\x03"
            "abc");
    assert_int_equal(sync_info_parse(&v, &info), 0);
    assert_int_equal(info.kind, SYNC_NEW_COOKIE);
    assert_int_equal(info.cookie.bv_len, 3);
    v = BER("\xa2\x00");
    assert_int_equal(sync_info_parse(&v, &info), 0);
    assert_int_equal(info.kind, SYNC_REFRESH_PRESENT);
    assert_true(info.refresh_done);
    v = BER("\xa1\x06\x04\x01z\x01\x01\x00");
    assert_int_equal(sync_info_parse(&v, &info), 0);
    assert_int_equal(info.kind, SYNC_REFRESH_DELETE);
    assert_false(info.refresh_done);
    int n = 0;
    v = BER("\xa3\x29\x01\x01\xff\x31\x24\x04\x10" U16 "\x04\x10" U16);
    assert_int_equal(sync_info_parse(&v, &info), 0);
    assert_true(info.deletes);
    assert_int_equal(sync_info_uuids(&info, count, &n), 0);
    assert_int_equal(n, 2);
    v = BER("\xa3\x07\x31\x05\x04\x03"
            "abc"); /* a uuid of three octets */
    assert_int_equal(sync_info_parse(&v, &info), 0);
    assert_int_equal(sync_info_uuids(&info, count, &n), -1);
    v = BER("\xa4\x00");
    assert_int_equal(sync_info_parse(&v, &info), -1);
}

static void test_sync_request(void **state)
{
    (void)state;
    struct buf cookie = {0}, out = {0};
    assert_int_equal(sync_request_encode(&cookie, &out), 0);
    assert_int_equal(out.len, 5);
    assert_memory_equal(out.data, "\x30\x03\x0a\x01\x03", 5);
    buf_clear(&out);
    for (int i = 0; i < 200; i++)
        buf_append_byte(&cookie, 'c');
    assert_int_equal(sync_request_encode(&cookie, &out), 0);
    assert_memory_equal(out.data, "\x30\x83\x00\x00\xd0\x0a\x01\x03\x04\x83\x00\x00\xc8", 13);
    assert_int_equal(out.len, 213);
    buf_free(&cookie);
    buf_free(&out);
}

static void test_starttls(void **state)
{
    (void)state;
    static const char good[] = "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
    static const char refused[] = "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00";
    for (size_t i = 0; i < sizeof good - 1; i++)
        assert_int_equal(starttls_response(good, i), 0);
    assert_int_equal(starttls_response(good, sizeof good - 1), sizeof good - 1);
    assert_int_equal(starttls_response(refused, sizeof refused - 1), -1);
    assert_int_equal(starttls_response("HTTP/1.1", 8), -1);
    assert_int_equal(starttls_response("\x30\x84\x7f\xff\xff\xff", 6), -1);
    assert_int_equal(starttls_request[1] + 2, starttls_request_len);
}

static void test_target(void **state)
{
    (void)state;
    static const struct {
        const char *text, *uri, *host;
        int kind, port;
    } good[] = {
        {"ldap.example.org", "ldap://ldap.example.org", "ldap.example.org", TARGET_PLAIN, 389},
        {"ldap.example.org:1389", "ldap://ldap.example.org:1389", "ldap.example.org", TARGET_PLAIN,
         1389},
        {"LDAPS://h/", "LDAPS://h/", "h", TARGET_TLS, 636},
        {"ldap://[::1]:3389", "ldap://[::1]:3389", "::1", TARGET_PLAIN, 3389},
        {"ldap://[2001:db8::1]", "ldap://[2001:db8::1]", "2001:db8::1", TARGET_PLAIN, 389},
    };
    static const char *const bad[] = {
        "",           "ldap://",   "ldap://h:0",  "ldap://h:x",  "ldap://h/o=x", "ldapi://",
        "ldapi://%2", "ldapi://x", "ldapi://%00", "ldap://[::1", "http://h/x",   "ldap://h:70000"};
    struct target t;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(target_parse(&t, good[i].text), 0);
        assert_string_equal(t.uri, good[i].uri);
        assert_string_equal(t.host, good[i].host);
        assert_int_equal(t.kind, good[i].kind);
        assert_int_equal(t.port, good[i].port);
        target_free(&t);
    }
    assert_int_equal(target_parse(&t, "ldapi://%2Frun%2fslapd%2Fldapi/"), 0);
    assert_string_equal(t.path, "/run/slapd/ldapi");
    target_free(&t);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(target_parse(&t, bad[i]), -1);
}

static void test_uuid_set(void **state)
{
    (void)state;
    struct uuid_set set = {0};
    struct uuid u = {{0}};
    assert_false(uuid_set_has(&set, &u));
    for (unsigned i = 0; i < 5000; i++) {
        memcpy(u.bytes + 4, &i, sizeof i);
        uuid_set_add(&set, &u);
        uuid_set_add(&set, &u);
    }
    assert_int_equal(set.count, 5000);
    for (unsigned i = 0; i < 10000; i++) {
        memcpy(u.bytes + 4, &i, sizeof i);
        assert_int_equal(uuid_set_has(&set, &u), i < 5000);
    }
    uuid_set_free(&set);
}

static void merge(struct buf *cookie, const char *newer)
{
    struct berval v = {.bv_len = strlen(newer), .bv_val = (char *)newer};
    sync_cookie_merge(cookie, &v);
}

static void test_cookie_merge(void **state)
{
    (void)state;
#define CSN(sec, sid) "202611242100" sec ".000000Z#000000#" sid "#000000"
    struct buf c = {0};
    merge(&c, "rid=000,csn=" CSN("01", "002") ";" CSN("02", "001"));
    assert_string_equal(buf_str(&c), "rid=000,csn=" CSN("01", "002") ";" CSN("02", "001"));
    /* A change of one provider: the other's is kept. An older one does not go back. */
    merge(&c, "rid=000,sid=002,csn=" CSN("05", "002"));
    assert_string_equal(buf_str(&c), "rid=000,sid=002,csn=" CSN("02", "001") ";" CSN("05", "002"));
    merge(&c, "rid=000,sid=002,csn=" CSN("04", "002"));
    assert_string_equal(buf_str(&c), "rid=000,sid=002,csn=" CSN("02", "001") ";" CSN("05", "002"));
    merge(&c, "rid=000,sid=00a,csn=" CSN("03", "00a"));
    assert_string_equal(buf_str(&c), "rid=000,sid=00a,csn=" CSN("02", "001") ";" CSN(
                                         "05", "002") ";" CSN("03", "00a"));
    /* What is of no known form replaces what is there, and is replaced. */
    merge(&c, "host:389#cn=x#17");
    assert_string_equal(buf_str(&c), "host:389#cn=x#17");
    merge(&c, "rid=000,csn=#;#");
    assert_string_equal(buf_str(&c), "rid=000,csn=#;#");
    merge(&c, "rid=000,csn=" CSN("01", "001"));
    assert_string_equal(buf_str(&c), "rid=000,csn=" CSN("01", "001"));
    buf_free(&c);
}

static void test_verified(void **state)
{
    (void)state;
    struct uuid a = {{1}}, b = {{2}};
    clock_set_fake(1000, 1700000000);
    struct verified *v = verified_new(100, 5000);
    verified_put(v, &a, "secret", verified_epoch(v));
    assert_true(verified_has(v, &a, "secret"));
    assert_false(verified_has(v, &a, "secre"));
    assert_false(verified_has(v, &a, ""));
    assert_false(verified_has(v, &b, "secret"));
    clock_set_fake(5999, 1700000000);
    assert_true(verified_has(v, &a, "secret"));
    clock_set_fake(6000, 1700000000);
    assert_false(verified_has(v, &a, "secret"));
    /* Changed: forgotten; changed while the server was asked: not kept. */
    verified_put(v, &a, "secret", verified_epoch(v));
    uint64_t epoch = verified_epoch(v);
    verified_forget(v, &a);
    assert_false(verified_has(v, &a, "secret"));
    verified_put(v, &a, "secret", epoch);
    assert_false(verified_has(v, &a, "secret"));
    /* Bounded: the oldest go, and the newest is there. */
    for (unsigned i = 0; i < 1000; i++) {
        struct uuid u = {{3}};
        memcpy(u.bytes + 8, &i, sizeof i);
        verified_put(v, &u, "x", verified_epoch(v));
        assert_true(verified_has(v, &u, "x"));
    }
    verified_free(&v);
    v = verified_new(100, 0);
    verified_put(v, &a, "secret", verified_epoch(v));
    assert_false(verified_has(v, &a, "secret"));
    verified_free(&v);
    clock_set_fake(-1, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sync_values), cmocka_unit_test(test_sync_request),
        cmocka_unit_test(test_starttls),    cmocka_unit_test(test_target),
        cmocka_unit_test(test_uuid_set),    cmocka_unit_test(test_cookie_merge),
        cmocka_unit_test(test_verified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

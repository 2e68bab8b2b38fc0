/* Buffers, strings, addresses, log lines: the parts that everything else rests on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/base/guesses.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/base/password_end.h"
#include "gateway/base/role.h"
#include "gateway/base/str.h"
#include "gateway/base/ticket_used.h"
#include "gateway/base/uuid.h"

static void test_buf_bounds_and_consume(void **state)
{
    (void)state;
    struct buf b = {.max = 8};
    assert_int_equal(buf_append(&b, "12345678", 8), 0);
    assert_int_equal(buf_append_byte(&b, '9'), -1);
    assert_int_equal(b.len, 8);
    buf_consume(&b, 3);
    assert_string_equal(buf_str(&b), "45678");
    assert_int_equal(buf_append(&b, "abc", 3), 0);
    assert_string_equal(buf_str(&b), "45678abc");
    buf_consume(&b, 100);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_printf(&b, "%d-%s", 42, "x"), 0);
    char *s = buf_steal_str(&b);
    assert_string_equal(s, "42-x");
    free(s);
    buf_free(&b);
}

static void test_buf_many_small_steps(void **state)
{
    (void)state;
    struct buf b = {.max = 1 << 20};
    unsigned char next_in = 0, next_out = 0;
    for (int i = 0; i < 20000; i++) {
        for (int j = 0; j < i % 7; j++)
            assert_int_equal(buf_append_byte(&b, next_in++), 0);
        size_t take = b.len < 3 ? b.len : 3;
        for (size_t j = 0; j < take; j++)
            assert_int_equal(b.data[j], (unsigned char)(next_out + j));
        next_out = (unsigned char)(next_out + take);
        buf_consume(&b, take);
    }
    buf_wipe_free(&b);
}

static void test_arena_bound_and_reset(void **state)
{
    (void)state;
    struct arena *a = arena_new(10000);
    for (int round = 0; round < 3; round++) {
        assert_non_null(arena_alloc(a, 5000));
        assert_null(arena_alloc(a, 6000));
        assert_string_equal(arena_printf(a, "%s", "kept"), "kept");
        arena_reset(a);
        assert_int_equal(arena_used(a), 0);
    }
    arena_free(&a);
    assert_null(a);
}

static void test_str_numbers(void **state)
{
    (void)state;
    uint64_t n;
    assert_int_equal(str_uint("18446744073709551615", 20, UINT64_MAX, &n), 0);
    assert_true(n == UINT64_MAX);
    assert_int_equal(str_uint("18446744073709551616", 20, UINT64_MAX, &n), -1);
    assert_int_equal(str_uint("256", 3, 255, &n), -1);
    assert_int_equal(str_uint("9", 1, 5, &n), -1);
    assert_int_equal(str_uint("", 0, 5, &n), -1);
    assert_int_equal(str_uint("1x", 2, 50, &n), -1);
}

static void test_base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    static const char *const bad[] = {"Z", "Zg=", "Zg==Zg==", "Z===", "Zm9*", "=m9v", "Zg=v"};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct buf b = {0};
        str_base64_encode(&b, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(buf_str(&b), pairs[i][1]);
        buf_clear(&b);
        assert_int_equal(str_base64_decode(&b, pairs[i][1], strlen(pairs[i][1])), 0);
        assert_string_equal(buf_str(&b), pairs[i][0]);
        buf_free(&b);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct buf b = {0};
        assert_int_equal(str_base64_decode(&b, bad[i], strlen(bad[i])), -1);
        buf_free(&b);
    }
}

static void test_utf8(void **state)
{
    (void)state;
    assert_true(str_utf8_valid("gr\xc3\xbc\xc3\x9f \xf0\x9f\x93\xa7", 11));
    assert_false(str_utf8_valid("\xc0\xaf", 2));
    assert_false(str_utf8_valid("\xed\xa0\x80", 3));
    assert_false(str_utf8_valid("\xf4\x90\x80\x80", 4));
    assert_false(str_utf8_valid("\xe2\x82", 2));
    assert_false(str_utf8_valid("a\0b", 3));
}

static void test_crc32c(void **state)
{
    (void)state;
    assert_int_equal(str_crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(str_crc32c(str_crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}

static void test_netaddr(void **state)
{
    (void)state;
    struct netaddr a;
    struct netaddr_prefix p;
    char text[NETADDR_STRLEN];
    assert_int_equal(netaddr_parse(&a, "[::ffff:192.0.2.7]"), 0);
    assert_string_equal(netaddr_str(&a, text), "192.0.2.7");
    assert_int_equal(netaddr_prefix_parse(&p, "192.0.2.0/29"), 0);
    assert_true(netaddr_prefix_contains(&p, &a));
    assert_int_equal(netaddr_parse(&a, "192.0.2.8"), 0);
    assert_false(netaddr_prefix_contains(&p, &a));
    assert_int_equal(netaddr_prefix_parse(&p, "192.0.2.1/29"), -1);
    assert_int_equal(netaddr_prefix_parse(&p, "192.0.2.0/33"), -1);
    assert_int_equal(netaddr_prefix_parse(&p, "[2001:db8::]/32"), 0);
    assert_int_equal(netaddr_prefix_parse(&p, "2001:db8::/32"), 0);
    assert_int_equal(netaddr_parse(&a, "2001:db8::1"), 0);
    assert_true(netaddr_prefix_contains(&p, &a));
    assert_int_equal(netaddr_parse(&a, "example.org"), -1);
    assert_int_equal(netaddr_parse(&a, "::1"), 0);
    assert_true(netaddr_is_loopback(&a));
}

static void test_uuid(void **state)
{
    (void)state;
    struct uuid u;
    char text[UUID_STRLEN];
    assert_int_equal(uuid_parse(&u, "01234567-89AB-cdef-0123-456789abcdef"), 0);
    assert_string_equal(uuid_str(&u, text), "01234567-89ab-cdef-0123-456789abcdef");
    assert_int_equal(uuid_parse(&u, "0123456789ab-cdef-0123-456789abcdef-"), -1);
    char a[ID_STRLEN], b[ID_STRLEN];
    assert_string_not_equal(id_new(a), id_new(b));
    assert_int_equal(strlen(a), 16);
}

static void test_ticket(void **state)
{
    const uint8_t key[TICKET_KEY_LEN] = {1}, other_key[TICKET_KEY_LEN] = {2};
    const struct uuid owner = {{7}}, other = {{8}};
    uint8_t t[TICKET_LEN];
    (void)state;
    ticket_make(key, &owner, "session", 1000, t);
    assert_true(ticket_valid(key, &owner, "session", 999, t, sizeof(t)));
    assert_true(ticket_valid(key, &owner, "session", 1000, t, sizeof(t)));
    assert_false(ticket_valid(key, &owner, "session", 1001, t, sizeof(t)));
    assert_false(ticket_valid(key, &other, "session", 999, t, sizeof(t)));
    assert_false(ticket_valid(key, &owner, "sessio", 999, t, sizeof(t)));
    assert_false(ticket_valid(other_key, &owner, "session", 999, t, sizeof(t)));
    assert_false(ticket_valid(key, &owner, "session", 999, t, sizeof(t) - 1));
    assert_false(ticket_valid(key, &owner, "session", 999, "", 0));
    for (size_t i = 0; i < sizeof(t); i++) {
        t[i] ^= 0x40;
        assert_false(ticket_valid(key, &owner, "session", 999, t, sizeof(t)));
        t[i] ^= 0x40;
    }
}

static void test_guesses(void **state)
{
    const struct uuid one = {{1}}, other = {{2}};
    struct guesses *g = guesses_new(16, 2, 1000);
    (void)state;
    clock_set_fake(5000, 5);
    assert_true(guesses_begin(g, &one));
    guesses_end(g, &one, "a", GUESS_WRONG);
    /* What cannot be told does not count, nor does the same again. */
    for (int i = 0; i < 5; i++) {
        assert_true(guesses_begin(g, &one));
        guesses_end(g, &one, "a", i % 2 == 0 ? GUESS_WRONG : GUESS_UNKNOWN);
    }
    /* Those under way count. */
    assert_true(guesses_begin(g, &one));
    assert_false(guesses_begin(g, &one));
    guesses_end(g, &one, "b", GUESS_WRONG);
    assert_false(guesses_begin(g, &one));
    assert_true(guesses_begin(g, &other));
    guesses_end(g, &other, "b", GUESS_RIGHT);
    clock_set_fake(5999, 5);
    assert_false(guesses_begin(g, &one));
    clock_set_fake(6000, 6);
    assert_true(guesses_begin(g, &one));
    guesses_end(g, &one, "c", GUESS_RIGHT);
    for (int i = 0; i < 2; i++)
        assert_true(guesses_begin(g, &one));
    assert_false(guesses_begin(g, &one));
    guesses_free(&g);
    g = guesses_new(16, 0, 1000);
    for (int i = 0; i < 100; i++)
        assert_true(guesses_begin(g, &one));
    guesses_free(&g);
    clock_set_fake(-1, -1);
}

static void test_ticket_used(void **state)
{
    const uint8_t key[TICKET_KEY_LEN] = {1};
    const struct uuid owner = {{7}};
    uint8_t a[TICKET_LEN], b[TICKET_LEN], c[TICKET_LEN];
    struct ticket_used *used = ticket_used_new(2);
    (void)state;
    ticket_make(key, &owner, "session", 1000, a);
    ticket_make(key, &owner, "session", 1001, b);
    ticket_make(key, &owner, "other", 1001, c);
    assert_int_equal(ticket_until(b), 1001);
    assert_true(ticket_used_allows(used, a, 900));
    assert_true(ticket_used_allows(used, a, 900));
    ticket_used_add(used, a);
    assert_false(ticket_used_allows(used, a, 1000));
    assert_true(ticket_used_allows(used, b, 1000));
    ticket_used_add(used, b);
    assert_false(ticket_used_allows(used, c, 1000)); /* no room */
    assert_true(ticket_used_allows(used, c, 1001));  /* the first is not good any more */
    assert_false(ticket_used_allows(used, b, 1001));
    ticket_used_free(&used);
    assert_null(used);
}

static void test_role(void **state)
{
    const uint8_t key[ROLE_KEY_LEN] = {1}, other_key[ROLE_KEY_LEN] = {2};
    uint8_t proof[ROLE_PROOF_LEN];
    (void)state;
    role_prove(key, "relay", 7, proof);
    assert_true(role_proven(key, "relay", 7, proof, sizeof(proof)));
    assert_false(role_proven(key, "relay", 8, proof, sizeof(proof)));
    assert_false(role_proven(key, "rela", 7, proof, sizeof(proof)));
    assert_false(role_proven(other_key, "relay", 7, proof, sizeof(proof)));
    assert_false(role_proven(key, "relay", 7, proof, sizeof(proof) - 1));
    assert_false(role_proven(key, "relay", 7, "", 0));
    proof[31] ^= 1;
    assert_false(role_proven(key, "relay", 7, proof, sizeof(proof)));
}

static void test_password_end(void **state)
{
    static const struct {
        struct password_end end;
        const char *text;
    } all[] = {
        {{PASSWORD_EXPIRES, 3 * 86400}, "Your password expires in 3 days."},
        {{PASSWORD_EXPIRES, 2 * 86400 - 1}, "Your password expires in 47 hours."},
        {{PASSWORD_EXPIRES, 7199}, "Your password expires in 119 minutes."},
        {{PASSWORD_EXPIRES, 119}, "Your password expires in less than two minutes."},
        {{PASSWORD_EXPIRES, UINT32_MAX}, "Your password expires in 49710 days."},
        {{PASSWORD_GRACE, 2},
         "Your password has expired; 2 more logins are possible before you must change it."},
        {{PASSWORD_GRACE, 1},
         "Your password has expired; 1 more login is possible before you must change it."},
        {{PASSWORD_GRACE, 0},
         "Your password has expired; this was the last login before you must change it."},
    };
    const struct password_end longest = {PASSWORD_GRACE, UINT32_MAX}, unsaid = {0};
    char text[PASSWORD_END_STRLEN];
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        assert_string_equal(password_end_str(&all[i].end, text), all[i].text);
    assert_non_null(strstr(password_end_str(&longest, text), "must change it."));
    assert_null(password_end_str(&unsaid, text));
}

static void test_log_escapes_values(void **state)
{
    (void)state;
    struct buf b = {0};
    log_format(&b, "event",
               LOG_FIELDS(LOG_STR("a", "plain"), LOG_STR("b", "two words"),
                          LOG_STR("c", "x\nforged id=1\x80\""), LOG_STR("d", NULL),
                          LOG_INT("n", -3)));
    assert_string_equal(
        buf_str(&b), "event a=plain b=\"two words\" c=\"x\\x0aforged id=1\\x80\\\"\" d=\"\" n=-3");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_bounds_and_consume),
        cmocka_unit_test(test_buf_many_small_steps),
        cmocka_unit_test(test_arena_bound_and_reset),
        cmocka_unit_test(test_str_numbers),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_netaddr),
        cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_ticket),
        cmocka_unit_test(test_ticket_used),
        cmocka_unit_test(test_role),
        cmocka_unit_test(test_password_end),
        cmocka_unit_test(test_log_escapes_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

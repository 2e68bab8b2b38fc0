/* One-time codes: the test vectors of RFC 6238, appendix B, and what is no secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "sasl/totp.h"

static struct totp keyed(enum totp_hash hash, size_t len)
{
    struct totp t = {.hash = hash, .digits = 8, .period = 30, .len = len};

    for (size_t i = 0; i < len; i++)
        t.secret[i] = (uint8_t) "1234567890"[i % 10];
    return t;
}

static void test_rfc_6238(void **state)
{
    static const struct {
        int64_t time;
        uint32_t sha1, sha256, sha512;
    } rows[] = {
        {59, 94287082, 46119246, 90693936},         {1111111109, 7081804, 68084774, 25091201},
        {1111111111, 14050471, 67062674, 99943326}, {1234567890, 89005924, 91819424, 93441116},
        {2000000000, 69279037, 90698825, 38618901}, {20000000000, 65353130, 77737706, 47863826},
    };
    struct totp sha1 = keyed(TOTP_SHA1, 20), sha256 = keyed(TOTP_SHA256, 32),
                sha512 = keyed(TOTP_SHA512, 64);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(totp_code(&sha1, (uint64_t)rows[i].time / 30), rows[i].sha1);
        assert_int_equal(totp_code(&sha256, (uint64_t)rows[i].time / 30), rows[i].sha256);
        assert_int_equal(totp_code(&sha512, (uint64_t)rows[i].time / 30), rows[i].sha512);
    }
}

static void test_check(void **state)
{
    struct totp t = keyed(TOTP_SHA1, 20);
    uint64_t step = 0;

    (void)state;
    assert_true(totp_check(&t, "94287082", 59, 1, 0, &step));
    assert_int_equal(step, 1);
    assert_true(totp_check(&t, "94287082", 30 + 59, 1, 0, &step)); /* the step before */
    assert_false(totp_check(&t, "94287082", 60 + 59, 1, 0, &step));
    assert_false(totp_check(&t, "94287082", 59, 1, 1, &step)); /* used */
    assert_true(totp_check(&t, "07081804", 1111111109, 0, 1, &step));
    static const char *const wrong[] = {"",          "94287081", "9428708",
                                        "942870820", "+4287082", "7081804"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(totp_check(&t, wrong[i], 59, 1, 0, &step));
}

static void test_parse(void **state)
{
    struct totp t;

    (void)state;
    assert_int_equal(totp_parse(&t, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), 0);
    assert_int_equal(t.len, 20);
    assert_memory_equal(t.secret, "12345678901234567890", 20);
    assert_int_equal(t.digits, 6);
    assert_int_equal(t.period, 30);
    assert_int_equal(totp_parse(&t, "gezd gnbv-gy3t qojq gezd gnbv gy3t qojq===="), 0);
    assert_memory_equal(t.secret, "12345678901234567890", 20);
    assert_int_equal(
        totp_parse(&t, "otpauth://totp/Example:alice?secret=GEZDGNBVGY3TQOJQ&issuer=Example"
                       "&algorithm=SHA256&digits=8&period=60"),
        0);
    assert_int_equal(t.len, 10);
    assert_int_equal(t.hash, TOTP_SHA256);
    assert_int_equal(t.digits, 8);
    assert_int_equal(t.period, 60);
    static const char *const wrong[] = {
        "",
        "short",
        "GEZDGNBVGY3TQOJ0GEZDGNBV",
        "otpauth://totp/x",
        "otpauth://totp/x?issuer=y",
        "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ&digits=9",
        "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ&digits=5",
        "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ&period=0",
        "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ&algorithm=MD5",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (totp_parse(&t, wrong[i]) == 0)
            fail_msg("%s was taken", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_6238),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Canonical forms (RFC 6376 section 3.4), each body whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/filter/bodyhash.h"
#include "gateway/filter/canon.h"

static void into_buf(const void *data, size_t len, void *arg)
{
    assert_int_equal(buf_append(arg, data, len), 0);
}

static void check_body(enum canon canon, const char *body, const char *want)
{
    size_t len = strlen(body);

    for (size_t step = 1; step <= len + 1; step += step < 4 ? 1 : len) {
        struct buf out = {0};
        struct canon_body b = {.canon = canon, .sink = into_buf, .arg = &out};
        for (size_t at = 0; at < len; at += step)
            canon_body_push(&b, body + at, len - at < step ? len - at : step);
        canon_body_finish(&b);
        assert_string_equal(buf_str(&out), want);
        buf_free(&out);
    }
}

static void check_field(enum canon canon, const char *raw, const char *want)
{
    struct buf out = {0};
    struct header_field f;

    header_field_parse(&f, raw, strlen(raw));
    assert_int_equal(canon_field(canon, &f, &out), 0);
    assert_string_equal(buf_str(&out), want);
    buf_free(&out);
}

/* The examples of section 3.4.5. */
static void test_rfc_examples(void **state)
{
    (void)state;
    check_field(CANON_RELAXED, "A: X\r\n", "a:X\r\n");
    check_field(CANON_RELAXED, "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n");
    check_field(CANON_SIMPLE, "B : Y\t\r\n\tZ  \r\n", "B : Y\t\r\n\tZ  \r\n");
    check_body(CANON_RELAXED, " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n");
    check_body(CANON_SIMPLE, " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n");
}

static void test_bodies(void **state)
{
    (void)state;
    check_body(CANON_SIMPLE, "", "\r\n");
    check_body(CANON_SIMPLE, "\r\n\r\n", "\r\n");
    check_body(CANON_SIMPLE, "a", "a\r\n");
    check_body(CANON_SIMPLE, "\r\n\r\na\r\n\r\nb\r\n\r\n", "\r\n\r\na\r\n\r\nb\r\n");
    check_body(CANON_SIMPLE, "a \r\n \r\n", "a \r\n \r\n");
    check_body(CANON_RELAXED, "", "");
    check_body(CANON_RELAXED, "\r\n\r\n", "");
    check_body(CANON_RELAXED, " \t \r\n\t\r\n", "");
    check_body(CANON_RELAXED, "a  \r\n \t\r\n\r\n", "a\r\n");
    check_body(CANON_RELAXED, "a  ", "a\r\n");
    check_body(CANON_RELAXED, "a\r\n \r\n  b\tc  d\r\n", "a\r\n\r\n b c d\r\n");
    /* Bare CR and LF are bytes like others. */
    check_body(CANON_SIMPLE, "a\rb\nc\r", "a\rb\nc\r\r\n");
    check_body(CANON_RELAXED, "a \r\rb\r\r\n", "a \r\rb\r\r\n");
}

static void test_fields(void **state)
{
    (void)state;
    check_field(CANON_RELAXED, "SUBJect :\r\n   a \t b\r\n c   \r\n", "subject:a b c\r\n");
    check_field(CANON_RELAXED, "X:\r\n", "x:\r\n");
    check_field(CANON_SIMPLE, "X: y", "X: y\r\n");
}

static void test_hashes_are_shared_and_bounded(void **state)
{
    struct bodyhash *b = bodyhash_new(2);
    uint8_t want[DIGEST_LEN];

    (void)state;
    int whole = bodyhash_want(b, CANON_SIMPLE, BODY_WHOLE),
        part = bodyhash_want(b, CANON_SIMPLE, 3);
    assert_int_equal(bodyhash_want(b, CANON_SIMPLE, BODY_WHOLE), whole);
    assert_int_equal(bodyhash_want(b, CANON_RELAXED, 3), -1);
    bodyhash_push(b, "abcd", 4);
    bodyhash_push(b, "ef\r\n", 4);
    bodyhash_finish(b);
    digest_once("abcdef\r\n", 8, want);
    assert_memory_equal(bodyhash_value(b, whole), want, DIGEST_LEN);
    digest_once("abc", 3, want);
    assert_memory_equal(bodyhash_value(b, part), want, DIGEST_LEN);
    assert_int_equal(bodyhash_size(b, part), 8);
    bodyhash_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_examples),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_hashes_are_shared_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The DATA phase: whole and in pieces of every size, its end, its flaws, its header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/proto/smtp_data.h"

/* Feeds in pieces of step; returns how much was left behind the end, or -1 where none came. */
static long feed(struct smtp_data *d, const char *in, size_t len, size_t step, struct buf *out)
{
    for (size_t pos = 0; pos < len;) {
        size_t chunk = len - pos < step ? len - pos : step, used, n;
        const void *slice;
        enum smtp_data_status s = smtp_data_next(d, in + pos, chunk, &used, &slice, &n);
        assert_true(used <= chunk && (used > 0 || s == SMTP_DATA_SLICE));
        pos += used;
        if (s == SMTP_DATA_SLICE)
            assert_int_equal(buf_append(out, slice, n), 0);
        if (s == SMTP_DATA_END)
            return (long)(len - pos);
    }
    return -1;
}

static void check(const char *in, size_t len, const char *content, long left,
                  enum smtp_data_flaw flaw, unsigned received, unsigned fields)
{
    for (size_t step = 1; step <= len; step++) {
        struct smtp_data d;
        struct buf out = {0};
        smtp_data_init(&d, 1000, 500);
        assert_int_equal(feed(&d, in, len, step, &out), left);
        assert_int_equal(d.flaw, flaw);
        if (flaw == SMTP_DATA_SOUND) {
            assert_string_equal(buf_str(&out), content);
            assert_int_equal(d.size, out.len);
            assert_int_equal(d.received, received);
            assert_int_equal(d.fields_seen, fields);
        }
        buf_free(&out);
    }
}

#define SOUND(in, content, left, received, fields)                                                 \
    check(in, sizeof(in) - 1, content, left, SMTP_DATA_SOUND, received, fields)
#define FLAWED(in, left, flaw) check(in, sizeof(in) - 1, "", left, flaw, 0, 0)

static void test_end_and_dots(void **state)
{
    (void)state;
    SOUND(".\r\nQUIT\r\n", "", 6, 0, 0);
    SOUND("a\r\n.\r\n", "a\r\n", 0, 0, 0);
    SOUND("a\r\n..\r\n...b\r\n.c\r\n.\r\nX", "a\r\n.\r\n..b\r\nc\r\n", 1, 0, 0);
    SOUND("a.\r\nb.\r\n.\r\n", "a.\r\nb.\r\n", 0, 0, 0);
    SOUND("\r\n\r\n.\r\n", "\r\n\r\n", 0, 0, 0);
    SOUND("a\r\n", "a\r\n", -1, 0, 0);
}

static void test_smuggling(void **state)
{
    (void)state;
    FLAWED("a\n.\r\nMAIL\r\n.\r\n", 0, SMTP_DATA_BARE_LF);
    FLAWED("a\r\n.\nMAIL\r\n.\r\n", 0, SMTP_DATA_BARE_LF);
    FLAWED("a\n.\nMAIL\r\n.\r\nQ", 1, SMTP_DATA_BARE_LF);
    FLAWED("a\r.\rMAIL\r\n.\r\n", 0, SMTP_DATA_BARE_CR);
    FLAWED("a\r\n.\rMAIL\r\n.\r\n", 0, SMTP_DATA_BARE_CR);
    FLAWED("a\r\n.\r\rMAIL\r\n.\r\n", 0, SMTP_DATA_BARE_CR);
    FLAWED("a\r\n.\r\r\nMAIL\r\n.\r\n", 0, SMTP_DATA_BARE_CR);
    FLAWED("a\r\r\n.\r\n", 0, SMTP_DATA_BARE_CR);
    FLAWED("a\r.\r\nb\r\n.\r\n", 0, SMTP_DATA_BARE_CR);
    FLAWED("a\0b\r\n.\r\n", 0, SMTP_DATA_NUL);
    FLAWED("\n.\r\n.\r\n", 0, SMTP_DATA_BARE_LF);
    FLAWED("a\n", -1, SMTP_DATA_BARE_LF);
}

static void test_header(void **state)
{
    (void)state;
    SOUND("Received: a\r\nreceived : b\r\n\tReceived: no\r\nDate: x\r\n\r\nFrom: no\r\n.\r\n",
          "Received: a\r\nreceived : b\r\n\tReceived: no\r\nDate: x\r\n\r\nFrom: no\r\n", 0, 2,
          SMTP_HEADER_DATE);
    SOUND("From: a\r\nMessage-ID: b\r\nReceived-SPF: x\r\n.\r\n",
          "From: a\r\nMessage-ID: b\r\nReceived-SPF: x\r\n", 0, 0,
          SMTP_HEADER_FROM | SMTP_HEADER_MESSAGE_ID);
}

static void test_header_size(void **state)
{
    const char in[] = "A: b\r\nC: d\r\n\r\nbody\r\n.\r\n";

    (void)state;
    for (size_t step = 1; step < sizeof(in); step++) {
        struct smtp_data d;
        struct buf out = {0};
        smtp_data_init(&d, 1000, 500);
        feed(&d, in, sizeof(in) - 1, step, &out);
        assert_true(d.header_done);
        assert_int_equal(d.header_size, 14);
        buf_free(&out);
    }
}

static void test_size_and_8bit(void **state)
{
    char in[600];
    struct smtp_data d;
    struct buf out = {0};

    (void)state;
    memset(in, 'a', sizeof(in));
    memcpy(in + 300, "\r\n.\r\n", 5);
    smtp_data_init(&d, 302, 100);
    assert_int_equal(feed(&d, in, 305, 7, &out), 0);
    assert_int_equal(d.flaw, SMTP_DATA_SOUND);
    assert_false(d.has_8bit);
    assert_true(d.header_done); /* passed its bound */
    in[299] = (char)0xe4;
    smtp_data_init(&d, 302, 100);
    feed(&d, in, 305, 305, &out);
    assert_true(d.has_8bit);
    smtp_data_init(&d, 301, 100);
    assert_int_equal(feed(&d, in, 305, 7, &out), 0);
    assert_int_equal(d.flaw, SMTP_DATA_TOO_BIG);
    buf_free(&out);
}

/* Chunks (RFC 3030): no dots, the header is looked at all the same, whatever the pieces are. */
static void test_chunks(void **state)
{
    static const struct {
        const char *text;
        enum smtp_data_flaw flaw;
    } cases[] = {
        {"Received: a\r\nDate: x\r\n\r\n.\r\n..\r\n.", SMTP_DATA_SOUND},
        {"Received: a\r\nDate: x\r\n\r\nx\n", SMTP_DATA_BARE_LF},
        {"Received: a\r\nDate: x\r\n\r\nx\ry", SMTP_DATA_BARE_CR},
        {"Received: a\r\nDate: x\r\n\r\nx\r", SMTP_DATA_BARE_CR},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = strlen(cases[i].text);
        for (size_t piece = 1; piece <= len; piece++) {
            struct smtp_data d;
            struct buf out = {.max = 1000};
            const void *slice;
            size_t n;
            smtp_data_init(&d, 1000, 1000);
            for (size_t at = 0; at < len; at += piece) {
                size_t take = len - at < piece ? len - at : piece;
                if (smtp_data_chunk(&d, cases[i].text + at, take, &slice, &n) == SMTP_DATA_SLICE)
                    buf_append(&out, slice, n);
            }
            smtp_data_chunks_end(&d);
            assert_int_equal(d.flaw, cases[i].flaw);
            assert_int_equal(d.received, 1);
            assert_int_equal(d.fields_seen, SMTP_HEADER_DATE);
            if (d.flaw == SMTP_DATA_SOUND)
                assert_string_equal(buf_str(&out), cases[i].text);
            buf_free(&out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end_and_dots),  cmocka_unit_test(test_smuggling),
        cmocka_unit_test(test_header),        cmocka_unit_test(test_header_size),
        cmocka_unit_test(test_size_and_8bit), cmocka_unit_test(test_chunks),
    };
    return cmocka_run_group_tests_name("smtp_data", tests, NULL, NULL);
}

/* SMTP replies, each read whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/proto/smtp_reply.h"

struct expected {
    const char *wire;
    struct {
        unsigned code;
        const char *enhanced, *text;
    } replies[3]; /* code 0 ends them */
    bool bad;     /* behind them */
};

static const struct expected cases[] = {
    {"220 mx.test ESMTP\r\n", {{220, "", "mx.test ESMTP"}}, false},
    {"250\r\n", {{250, "", ""}}, false},
    {"250 \n", {{250, "", ""}}, false},
    {"250-mx.test\r\n250-PIPELINING\r\n250 SIZE 100\r\n",
     {{250, "", "mx.test\nPIPELINING\nSIZE 100"}},
     false},
    {"250 2.1.0 ok\r\n550 5.1.1 no such user\r\n354 go\r\n",
     {{250, "2.1.0", "ok"}, {550, "5.1.1", "no such user"}, {354, "", "go"}},
     false},
    {"550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1\r\n", {{550, "5.7.1", "one\ntwo\n"}}, false},
    {"450 5.1.1 other class\r\n", {{450, "", "5.1.1 other class"}}, false},
    {"550 5.1.1234 no code\r\n", {{550, "", "5.1.1234 no code"}}, false},
    {"550 5.123.123 longest\r\n", {{550, "5.123.123", "longest"}}, false},
    {"550 5..1 x\r\n", {{550, "", "5..1 x"}}, false},
    {"250 a\tb\x01\xc3\xa4 \r c\r\n", {{250, "", "a b??? ? c"}}, false},
    {"250-a\r\n550 b\r\n", {{550, "", "a\nb"}}, false},
    {"250 ok\r\nHTTP/1.1\r\n", {{250, "", "ok"}}, true},
    {"25\r\n", {{0}}, true},
    {"\r\n", {{0}}, true},
    {"250=x\r\n", {{0}}, true},
    {"650 x\r\n", {{0}}, true},
    {"2\r50 x\r\n", {{0}}, true},
};

static void run(const struct expected *e, size_t step)
{
    struct smtp_reply_parser p = {0};
    struct smtp_reply reply;
    const char *wire = e->wire;
    size_t left = strlen(wire), got = 0;
    int rc = 0;

    while (left > 0 && rc != -1) {
        size_t n = left < step ? left : step;
        size_t taken = smtp_reply_push(&p, wire, n);
        wire += taken;
        left -= taken;
        rc = smtp_reply_next(&p, &reply);
        if (rc != 1)
            continue;
        assert_in_range(got, 0, 2);
        assert_int_equal(reply.code, e->replies[got].code);
        assert_string_equal(reply.enhanced, e->replies[got].enhanced);
        assert_string_equal(reply.text, e->replies[got].text);
        got++;
        assert_int_equal(smtp_reply_next(&p, &reply), 0);
    }
    assert_int_equal(rc == -1, e->bad);
    assert_true(got == 3 || e->replies[got].code == 0);
    if (e->bad)
        assert_int_equal(smtp_reply_push(&p, "250 x\r\n", 7), 0);
    smtp_reply_free(&p);
}

static void test_whole_and_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        for (size_t step = 1; step < 100; step += step < 4 ? 1 : 95)
            run(&cases[i], step);
}

static void test_bounds(void **state)
{
    (void)state;
    struct smtp_reply_parser p = {0};
    struct smtp_reply reply;
    char line[1000];

    /* Text past the bound is dropped; the reply is read on. */
    memset(line, 'x', sizeof(line));
    memcpy(line, "250-", 4);
    line[sizeof(line) - 1] = '\n';
    for (int i = 0; i < 100; i++)
        assert_int_equal(smtp_reply_push(&p, line, sizeof(line)), sizeof(line));
    assert_int_equal(smtp_reply_push(&p, "250 end\r\n", 9), 9);
    assert_int_equal(smtp_reply_next(&p, &reply), 1);
    assert_int_equal(reply.code, 250);
    assert_int_equal(strlen(reply.text), SMTP_REPLY_TEXT_MAX);
    /* A reply without end is given up. */
    size_t total = 0;
    while (smtp_reply_next(&p, &reply) == 0 && total < 10 * SMTP_REPLY_SIZE_MAX)
        total += smtp_reply_push(&p, line, sizeof(line));
    assert_in_range(total, SMTP_REPLY_SIZE_MAX, SMTP_REPLY_SIZE_MAX + 1);
    smtp_reply_free(&p);
}

static void test_ehlo_keywords(void **state)
{
    (void)state;
    struct smtp_reply reply = {
        .code = 250, .text = "AUTH.test\nSIZE 1000\n8bitmime\nAUTH=LOGIN\nstarttls\nPIPE"};
    const char *params;
    size_t len;

    assert_true(smtp_reply_keyword(&reply, "SIZE", &params, &len));
    assert_int_equal(len, 4);
    assert_memory_equal(params, "1000", 4);
    assert_true(smtp_reply_keyword(&reply, "8BITMIME", &params, &len));
    assert_int_equal(len, 0);
    assert_true(smtp_reply_keyword(&reply, "AUTH", &params, &len));
    assert_memory_equal(params, "LOGIN", 5);
    assert_true(smtp_reply_keyword(&reply, "STARTTLS", NULL, NULL));
    assert_false(smtp_reply_keyword(&reply, "PIPELINING", NULL, NULL));
    assert_false(smtp_reply_keyword(&reply, "AUTH.test", NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_and_byte_by_byte),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_ehlo_keywords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

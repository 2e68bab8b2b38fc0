/* POP3 lines, read whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/proto/pop3_parser.h"

#define LIMIT 40

static void read_all(const char *in, size_t len, size_t step, struct buf *out)
{
    struct pop3_parser p;
    const struct pop3_command *cmd;
    enum pop3_event ev;

    pop3_parser_init(&p, LIMIT);
    for (size_t at = 0; at < len;) {
        at += pop3_parser_push(&p, in + at, len - at < step ? len - at : step);
        while ((ev = pop3_parser_next(&p, &cmd)) != POP3_MORE) {
            (void)buf_printf(out, "%s<%s>|", ev == POP3_BAD ? "BAD" : cmd->name, cmd->args);
            assert_int_equal(strlen(cmd->args), cmd->args_len);
            if (ev == POP3_COMMAND && strcmp(cmd->name, "AUTH") == 0)
                pop3_parser_want_line(&p);
        }
    }
    pop3_parser_free(&p);
}

static void expect(const char *in, size_t len, const char *want)
{
    for (size_t step = 1; step <= len + 1; step += step < 3 ? 1 : len) {
        struct buf out = {0};
        read_all(in, len, step, &out);
        assert_string_equal(buf_str(&out), want);
        buf_free(&out);
    }
}

#define EXPECT(in, want) expect(in, sizeof(in) - 1, want)

static void test_lines(void **state)
{
    (void)state;
    EXPECT("user bob\r\nPASS  a b \r\nQUIT\n", "USER<bob>|PASS< a b >|QUIT<>|");
    EXPECT("AUTH PLAIN\r\nAGJvYgBw\r\nSTAT \r\n", "AUTH<PLAIN>|<AGJvYgBw>|STAT<>|");
    EXPECT("\r\n 1\r\nS1 x\r\nABCDEFGHIJKLMNOPQ\r\n", "BAD<>|BAD<>|BAD<>|BAD<>|");
    EXPECT("A\rB\r\nA\0B\r\nNOOP\r\n", "BAD<>|BAD<>|NOOP<>|");
    /* 40 bytes, then 41. */
    EXPECT("USER 45678901234567890123456789012345678901\r\nNOOP\r\n", "BAD<>|NOOP<>|");
    EXPECT("USER 56789012345678901234567890123456789\r\nNOOP\r\n",
           "USER<56789012345678901234567890123456789>|NOOP<>|");
    EXPECT("USER 567890123456789012345678901234567890\r\nNOOP\r\n", "BAD<>|NOOP<>|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

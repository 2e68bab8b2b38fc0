/* SMTP command lines: framing (whole and byte by byte), paths, parameters, xtext. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "gateway/proto/smtp_command.h"

/* What the framing says of the input, as text: "line|" for each line, or a mark in angle brackets.
 */
static const char *frames(const char *in, size_t len, size_t step, size_t max)
{
    static char text[4096];
    static const char *const marks[] = {"", "", "<long>", "<lf>", "<bad>", "<dropped>"};
    struct smtp_lines l;
    size_t n = 0;

    smtp_lines_init(&l, max);
    for (size_t pos = 0; pos < len;) {
        size_t chunk = len - pos < step ? len - pos : step, done = 0;
        while (done < chunk) {
            size_t used, line_len;
            const char *line;
            enum smtp_line_status s =
                smtp_lines_next(&l, in + pos + done, chunk - done, &used, &line, &line_len);
            assert_true(used > 0 && used <= chunk - done);
            done += used;
            if (s == SMTP_LINE_READY) {
                memcpy(text + n, line, line_len);
                n += line_len;
                text[n++] = '|';
            } else {
                n += (size_t)sprintf(text + n, "%s", marks[s]);
            }
        }
        pos += chunk;
    }
    smtp_lines_free(&l);
    text[n] = '\0';
    return text;
}

static void check_frames(const char *in, size_t len, const char *expected)
{
    for (size_t step = 1; step <= len; step++)
        assert_string_equal(frames(in, len, step, 10), expected);
}

#define FRAMES(in, expected) check_frames(in, sizeof(in) - 1, expected)

static void test_lines(void **state)
{
    (void)state;
    FRAMES("QUIT\r\n", "QUIT|");
    FRAMES("\r\n", "|");
    FRAMES("NOOP\r\nRSET\r\nQU", "NOOP|RSET|");
    FRAMES("1234567890\r\nA\r\n", "1234567890|A|");
    FRAMES("12345678901\r\nA\r\n", "<long>A|");
    FRAMES("1234567890123456789012345678901\r\nA\r\n", "<long>A|");
    FRAMES("NOOP\nMAIL\r\nA\r\n", "<lf><dropped>A|");
    FRAMES("A\nB\nC\r\nD\r\n", "<lf><lf><dropped>D|");
    FRAMES("\n\r\nD\r\n", "<lf><dropped>D|");
    FRAMES("A\rB\r\nD\r\n", "<bad>D|");
    FRAMES("A\r\r\nD\r\n", "<bad>D|");
    FRAMES("\r\r\nD\r\n", "<bad>D|");
    FRAMES("A\0B\r\nD\r\n", "<bad>D|");
    FRAMES("A\r\n\r\n\nB\r\n", "A||<lf><dropped>");
    FRAMES("12345678901\n\r\nD\r\n", "<lf><dropped>D|");
}

static void test_split(void **state)
{
    const char *verb, *arg;
    size_t v, a;

    (void)state;
    smtp_command_split("MAIL  FROM:<> ", 14, &verb, &v, &arg, &a);
    assert_int_equal(v, 4);
    assert_int_equal(a, 7);
    assert_memory_equal(arg, "FROM:<>", 7);
    smtp_command_split("QUIT", 4, &verb, &v, &arg, &a);
    assert_int_equal(v, 4);
    assert_int_equal(a, 0);
    smtp_command_split("", 0, &verb, &v, &arg, &a);
    assert_int_equal(v + a, 0);
    smtp_command_split("  x", 3, &verb, &v, &arg, &a);
    assert_int_equal(v, 0);
}

static const struct path_case {
    const char *arg;
    enum smtp_syntax syntax;
    const char *text, *domain;
} path_cases[] = {
    {"TO:<a@b.example>", SMTP_SYNTAX_OK, "a@b.example", "b.example"},
    {"to: <a@b.example>", SMTP_SYNTAX_OK, "a@b.example", "b.example"},
    {"TO:a@b.example", SMTP_SYNTAX_OK, "a@b.example", "b.example"},
    {"TO:<>", SMTP_SYNTAX_OK, "", ""},
    {"TO:<Postmaster>", SMTP_SYNTAX_OK, "Postmaster", ""},
    {"TO:<@x.example,@y.example:a@b.example>", SMTP_SYNTAX_OK, "a@b.example", "b.example"},
    {"TO:<\"a\"@b>", SMTP_SYNTAX_OK, "a@b", "b"},
    {"TO:<\"a b\"@b>", SMTP_SYNTAX_OK, "\"a b\"@b", "b"},
    {"TO:<\"a@c.example\"@b>", SMTP_SYNTAX_OK, "\"a@c.example\"@b", "b"},
    {"TO:<\"a\\\"\\b\"@b>", SMTP_SYNTAX_OK, "\"a\\\"b\"@b", "b"},
    {"TO:<\"\"@b>", SMTP_SYNTAX_OK, "\"\"@b", "b"},
    {"TO:<a%c.example@b>", SMTP_SYNTAX_OK, "a%c.example@b", "b"},
    {"TO:<c.example!a@b>", SMTP_SYNTAX_OK, "c.example!a@b", "b"},
    {"TO:<a@[192.0.2.1]>", SMTP_SYNTAX_OK, "a@[192.0.2.1]", "[192.0.2.1]"},
    {"TO:<a@[IPv6:2001:db8::1]>", SMTP_SYNTAX_OK, "a@[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"},
    {"TO:<a@[2001:db8::1]>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<a@[192.0.2]>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<a@b.example", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<a@b.example>x", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<a@b@c>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<a@b..c>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<a@-b>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<a@1.2.3.4>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<a..b@c>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<.a@c>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<@c>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<@c:>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<a b@c>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<a@c\t>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<\"a@c>", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<\"a\\", SMTP_SYNTAX_ADDRESS, NULL, NULL},
    {"TO:<\xc3\xa4@c>", SMTP_SYNTAX_NEED_UTF8, NULL, NULL},
    {"TO:<a@\xc3\xa4>", SMTP_SYNTAX_NEED_UTF8, NULL, NULL},
    {"TO", SMTP_SYNTAX_COMMAND, NULL, NULL},
    {"FROM:<a@b>", SMTP_SYNTAX_COMMAND, NULL, NULL},
    {"TO <a@b>", SMTP_SYNTAX_COMMAND, NULL, NULL},
    {"TO:<a@b> =x", SMTP_SYNTAX_COMMAND, NULL, NULL},
    {"TO:<a@b> x=", SMTP_SYNTAX_COMMAND, NULL, NULL},
    {"TO:<a@b> x_y", SMTP_SYNTAX_COMMAND, NULL, NULL},
};

static void test_paths(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    for (size_t i = 0; i < sizeof(path_cases) / sizeof(path_cases[0]); i++) {
        const struct path_case *c = &path_cases[i];
        struct smtp_path_args args;
        const char *error = NULL;
        enum smtp_syntax got =
            smtp_path_args_parse(c->arg, strlen(c->arg), "TO", false, arena, &args, &error);
        if (got != c->syntax)
            fail_msg("%s: %d, %s", c->arg, (int)got, error != NULL ? error : "no error");
        if (got == SMTP_SYNTAX_OK) {
            assert_string_equal(args.address.text, c->text);
            assert_string_equal(args.address.domain, c->domain);
        } else {
            assert_non_null(error);
        }
        arena_reset(arena);
    }
    arena_free(&arena);
}

static void test_params(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct smtp_path_args args;
    const char *error;
    const char *s = "FROM:<a@b>  size=100 BODY=8BITMIME SMTPUTF8";
    assert_int_equal(smtp_path_args_parse(s, strlen(s), "FROM", false, arena, &args, &error), 0);
    assert_int_equal(args.param_count, 3);
    assert_string_equal(args.params[0].name, "SIZE");
    assert_string_equal(args.params[0].value, "100");
    assert_string_equal(args.params[1].value, "8BITMIME");
    assert_null(args.params[2].value);
    char many[256] = "FROM:<a@b>";
    for (int i = 0; i < SMTP_PARAMS_MAX + 1; i++)
        strcat(many, " a=b");
    assert_int_equal(smtp_path_args_parse(many, strlen(many), "FROM", false, arena, &args, &error),
                     SMTP_SYNTAX_COMMAND);
    arena_free(&arena);
}

static void test_long_parts(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct smtp_address a;
    const char *error;
    char s[1024];
    memset(s, 'a', sizeof(s));
    memcpy(s + SMTP_LOCAL_MAX, "@b", 2);
    assert_int_equal(smtp_address_parse(s, SMTP_LOCAL_MAX + 2, arena, &a, &error), 0);
    memset(s, 'a', sizeof(s));
    memcpy(s + SMTP_LOCAL_MAX + 1, "@b", 2);
    assert_int_equal(smtp_address_parse(s, SMTP_LOCAL_MAX + 3, arena, &a, &error),
                     SMTP_SYNTAX_ADDRESS);
    memset(s, '"', sizeof(s)); /* doubles when it is quoted */
    s[0] = '"';
    for (int i = 0; i < SMTP_LOCAL_MAX; i++)
        memcpy(s + 1 + 2 * i, "\\\"", 2);
    memcpy(s + 1 + 2 * SMTP_LOCAL_MAX, "\"@b", 3);
    assert_int_equal(smtp_address_parse(s, 2 * SMTP_LOCAL_MAX + 4, arena, &a, &error), 0);
    assert_int_equal(strlen(a.text), 2 * SMTP_LOCAL_MAX + 4);
    arena_free(&arena);
}

static void test_hostnames(void **state)
{
    (void)state;
    assert_true(smtp_hostname_valid("localhost", 9));
    assert_false(smtp_hostname_fqdn("localhost", 9));
    assert_true(smtp_hostname_fqdn("mx_1.example.org", 16));
    assert_false(smtp_hostname_valid("a.", 2));
    assert_false(smtp_hostname_valid(".a", 2));
    assert_false(smtp_hostname_valid("a-.b", 4));
    assert_false(smtp_hostname_valid("", 0));
    char label[65];
    memset(label, 'a', sizeof(label));
    assert_true(smtp_hostname_valid(label, 63));
    assert_false(smtp_hostname_valid(label, 64));
}

static void test_xtext(void **state)
{
    (void)state;
    struct buf b = {.max = 64};
    assert_int_equal(smtp_xtext_decode(&b, "a+40b+2Bc", 9), 0);
    assert_string_equal(buf_str(&b), "a@b+c");
    buf_clear(&b);
    assert_int_equal(smtp_xtext_encode(&b, "a@b+c=\n", 7), 0);
    assert_string_equal(buf_str(&b), "a@b+2Bc+3D+0A");
    buf_clear(&b);
    assert_int_equal(smtp_xtext_decode(&b, "a+4", 3), -1);
    assert_int_equal(smtp_xtext_decode(&b, "a=b", 3), -1);
    assert_int_equal(smtp_xtext_decode(&b, "a b", 3), -1);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),      cmocka_unit_test(test_split),
        cmocka_unit_test(test_paths),      cmocka_unit_test(test_params),
        cmocka_unit_test(test_long_parts), cmocka_unit_test(test_hostnames),
        cmocka_unit_test(test_xtext),
    };
    return cmocka_run_group_tests_name("smtp_command", tests, NULL, NULL);
}

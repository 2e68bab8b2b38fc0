/* IMAP commands, each read whole and byte by byte, with every answer to a literal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/buf.h"
#include "gateway/proto/imap_parser.h"

static const struct imap_limits limits = {.line = 200, .literals = 64, .args = 20, .depth = 4};

enum decision {
    KEEP,
    STREAM,
    REFUSE
};

static void print_args(struct buf *out, const struct imap_arg *arg)
{
    for (; arg != NULL; arg = arg->next) {
        if (arg->type == IMAP_LIST) {
            (void)buf_append_str(out, " (");
            print_args(out, arg->list);
            (void)buf_append_str(out, " )");
        } else if (arg->type == IMAP_STREAMED) {
            (void)buf_printf(out, " <%zu>", arg->len);
        } else {
            assert_true(arg->type != IMAP_ATOM || strlen(arg->str) == arg->len);
            (void)buf_printf(out, " %c:%s", arg->type == IMAP_ATOM ? 'a' : 's', arg->str);
        }
    }
}

static void print_event(struct buf *out, struct imap_parser *p, enum imap_event ev,
                        const struct imap_command *cmd, enum decision decision)
{
    if (ev == IMAP_COMMAND || ev == IMAP_LITERAL) {
        (void)buf_printf(out, "%s %s", cmd->tag, cmd->name);
        print_args(out, cmd->args);
    } else if (ev == IMAP_BAD) {
        (void)buf_printf(out, "%s BAD", cmd->tag);
    }
    (void)buf_append_str(out, ev == IMAP_LITERAL ? "" : "|");
    if (ev != IMAP_LITERAL)
        return;
    int ok = 0;
    bool sync = cmd->literal.sync;
    (void)buf_printf(out, " {%zu}", (size_t)cmd->literal.size);
    if (decision == KEEP)
        ok = imap_literal_keep(p);
    else if (decision == STREAM)
        ok = imap_literal_stream(p);
    else
        imap_literal_refuse(p);
    (void)buf_append_str(out, ok == 0 && sync && decision != REFUSE ? "+|" : "|");
}

/* What a server would see; input is given step bytes at a time. */
static char *read_all(const char *in, size_t len, size_t step, enum decision decision)
{
    struct imap_parser *p = imap_parser_new(&limits);
    struct buf out = {0};
    size_t at = 0;

    while (at < len) {
        size_t n = len - at < step ? len - at : step;
        if (imap_literal_left(p) > 0) {
            if (n > imap_literal_left(p))
                n = (size_t)imap_literal_left(p);
            imap_literal_took(p, n);
            at += n;
            continue;
        }
        at += imap_parser_push(p, in + at, n);
        const struct imap_command *cmd;
        enum imap_event ev;
        while ((ev = imap_parser_next(p, &cmd)) != IMAP_MORE)
            print_event(&out, p, ev, cmd, decision);
    }
    imap_parser_free(&p);
    char *text = buf_steal_str(&out);
    buf_free(&out);
    return text;
}

static void expect(const char *in, size_t len, enum decision decision, const char *want)
{
    for (size_t step = 1; step <= len + 1; step += step < 3 ? 1 : len) {
        char *got = read_all(in, len, step, decision);
        assert_string_equal(got, want);
        free(got);
    }
}

#define EXPECT(in, decision, want) expect(in, sizeof(in) - 1, decision, want)

static void test_commands(void **state)
{
    (void)state;
    EXPECT("a1 noop\r\nb NOOP\n", KEEP, "a1 NOOP|b NOOP|");
    EXPECT("a LOGIN bob \"se \\\"\\\\cret\"\r\n", KEEP, "a LOGIN a:bob s:se \"\\cret|");
    EXPECT("a STORE 1:*,5 +FLAGS.SILENT (\\Seen $x)\r\n", KEEP,
           "a STORE a:1:*,5 a:+FLAGS.SILENT ( a:\\Seen a:$x )|");
    EXPECT("a uid fetch 1:3 (FLAGS BODY.PEEK[HEADER.FIELDS (From \"T]o\")]<0.10>)\r\n", KEEP,
           "a UID FETCH a:1:3 ( a:FLAGS a:BODY.PEEK[HEADER.FIELDS (From \"T]o\")]<0.10> )|");
    EXPECT("a SELECT body[x\r\n", KEEP, "a SELECT a:body[x|");
    EXPECT("a LIST \"\" (% *) RETURN ()\r\n", KEEP, "a LIST s: ( a:% a:* ) a:RETURN ( )|");
    EXPECT("a X (a(b)(c))\r\n", KEEP, "a X ( a:a ( a:b ) ( a:c ) )|");
    EXPECT("\r\n\na NOOP\r\n", KEEP, "a NOOP|");
    EXPECT("a SELECT \"\xc3\xa4\"\r\n", KEEP, "a SELECT s:\xc3\xa4|");
}

static void test_malformed(void **state)
{
    (void)state;
    EXPECT("a\r\nb NOOP\r\n", KEEP, "* BAD|b NOOP|");
    EXPECT("a \r\n", KEEP, "a BAD|");
    EXPECT(" a NOOP\r\n", KEEP, "* BAD|");
    EXPECT("+ NOOP\r\n", KEEP, "* BAD|");
    EXPECT("a X (b\r\n", KEEP, "a BAD|");
    EXPECT("a X b)\r\n", KEEP, "a BAD|");
    EXPECT("a X \"b\r\n", KEEP, "a BAD|");
    EXPECT("a X \"b\\c\"\r\n", KEEP, "a BAD|");
    EXPECT("a X \"b\"c\r\n", KEEP, "a BAD|");
    EXPECT("a X b\rc\r\n", KEEP, "a BAD|");
    EXPECT("a X b\0c\r\nb NOOP\r\n", KEEP, "a BAD|b NOOP|");
    EXPECT("a X b{3}\r\n", KEEP, "a BAD|");
    EXPECT("a FETCH 1 BODY[\r\n", KEEP, "a BAD|");
    EXPECT("a X (((((b)))))\r\n", KEEP, "a BAD|");
    EXPECT("a X 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\r\n", KEEP, "a BAD|");
}

static void test_literals(void **state)
{
    (void)state;
    EXPECT("a LOGIN {3}\r\nbob {4+}\r\n\"\r\n)\r\nb NOOP\r\n", KEEP,
           "a LOGIN {3}+|a LOGIN s:bob {4}|a LOGIN s:bob s:\"\r\n)|b NOOP|");
    EXPECT("a X {0}\r\n (b {1+}\r\nc)\r\n", KEEP,
           "a X {0}+|a X s: ( a:b ) {1}|a X s: ( a:b s:c )|");
    EXPECT("a APPEND x () ~{5}\r\n1\0\r\n2\r\n", STREAM,
           "a APPEND a:x ( ) {5}+|a APPEND a:x ( ) <5>|");
    EXPECT("a APPEND x {0}\r\n\r\n", STREAM, "a APPEND a:x {0}+|a APPEND a:x <0>|");
    /* Refused: one that waits is over, one that does not is skipped with all that follows. */
    EXPECT("a APPEND x {900}\r\nb NOOP\r\n", REFUSE, "a APPEND a:x {900}|b NOOP|");
    EXPECT("a APPEND x {9+}\r\nb NOOP\r\nc \"x {2+}\r\n\r\nrest\r\nd NOOP\r\n", REFUSE,
           "a APPEND a:x {9}|d NOOP|");
    /* No byte of a literal is read as a command, however malformed the line before it. */
    EXPECT("a X ) {9+}\r\nb NOOP\r\n\r\nc NOOP\r\n", KEEP, "a BAD|c NOOP|");
    EXPECT("\"{10+}\r\nb LOGOUT\r\n\r\nc NOOP\r\n", KEEP, "* BAD|c NOOP|");
    /* Past the bound. */
    EXPECT("a LOGIN {65}\r\nb NOOP\r\n", KEEP, "a LOGIN {65}|a BAD|b NOOP|");
    EXPECT("a LOGIN {70+}\r\n"
           "1234567890123456789012345678901234567890123456789012345678901234567890 x\r\nb NOOP\r\n",
           KEEP, "a LOGIN {70}|a BAD|b NOOP|");
    EXPECT("a LOGIN {2}\r\n\0x y\r\nb NOOP\r\n", KEEP, "a LOGIN {2}+|a BAD|b NOOP|");
    EXPECT("a X {99999999999999999999999}\r\nb NOOP\r\n", KEEP, "a BAD|b NOOP|");
}

static void test_long_lines(void **state)
{
    (void)state;
    char in[1200];
    memset(in, 'x', sizeof(in));
    memcpy(in, "tag LOGIN bob ", 14);
    memcpy(in + 990, "\r\nb NOOP\r\n", 10);
    expect(in, 1000, KEEP, "tag BAD|b NOOP|");
    /* ... and what such a line announces is still skipped. */
    static const char announced[] = " {12+}\r\nc LOGOUT\r\n\r\n\r\nb NOOP\r\n";
    memcpy(in + 984, announced, sizeof(announced) - 1);
    expect(in, 984 + sizeof(announced) - 1, KEEP, "tag BAD|b NOOP|");
}

static void test_answers(void **state)
{
    (void)state;
    struct imap_parser *p = imap_parser_new(&limits);
    const struct imap_command *cmd;

    imap_parser_want_line(p, 4);
    assert_true(imap_parser_busy(p));
    assert_int_equal(imap_parser_push(p, "DO", 2), 2);
    assert_int_equal(imap_parser_next(p, &cmd), IMAP_MORE);
    assert_int_equal(imap_parser_push(p, "NE\r\na NOOP\r\n", 12), 4);
    assert_int_equal(imap_parser_next(p, &cmd), IMAP_LINE);
    assert_string_equal(cmd->line, "DONE");
    assert_false(imap_parser_busy(p));
    imap_parser_want_line(p, 4);
    assert_int_equal(imap_parser_push(p, "DONE!\r\n", 7), 7);
    assert_int_equal(imap_parser_next(p, &cmd), IMAP_BAD);
    assert_int_equal(imap_parser_push(p, "a NOOP\r\n", 8), 8);
    assert_int_equal(imap_parser_next(p, &cmd), IMAP_COMMAND);
    imap_parser_free(&p);
    imap_parser_free(&p);
}

static void test_arguments(void **state)
{
    (void)state;
    struct imap_parser *p = imap_parser_new(&limits);
    const struct imap_command *cmd;
    const char line[] = "a X nil \"nil\" a%b 42 () \\x\r\n", *s = "";
    uint64_t n;

    assert_int_equal(imap_parser_push(p, line, sizeof(line) - 1), sizeof(line) - 1);
    assert_int_equal(imap_parser_next(p, &cmd), IMAP_COMMAND);
    assert_int_equal(cmd->argc, 6);
    const struct imap_arg *a = cmd->args;
    assert_true(imap_arg_is(a, "NIL"));
    assert_int_equal(imap_arg_nstring(a, &s), 0);
    assert_null(s);
    a = a->next;
    assert_false(imap_arg_is(a, "NIL"));
    assert_int_equal(imap_arg_nstring(a, &s), 0);
    assert_string_equal(s, "nil");
    assert_string_equal(imap_arg_astring(a), "nil");
    a = a->next;
    assert_null(imap_arg_astring(a));
    assert_string_equal(imap_arg_pattern(a), "a%b");
    assert_int_equal(imap_arg_nstring(a, &s), -1);
    a = a->next;
    assert_int_equal(imap_arg_number(a, 41, &n), -1);
    assert_int_equal(imap_arg_number(a, 42, &n), 0);
    assert_int_equal(n, 42);
    a = a->next;
    assert_null(imap_arg_astring(a));
    a = a->next;
    assert_null(imap_arg_astring(a));
    assert_null(imap_arg_astring(a->next));
    imap_parser_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands), cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_literals), cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_answers),  cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

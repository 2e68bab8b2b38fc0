/* IMAP: sets, dates, patterns, FETCH and SEARCH arguments, text, structures; POP3's dots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "gateway/imap/fetch.h"
#include "gateway/imap/format.h"
#include "gateway/imap/search.h"
#include "gateway/imap/seqset.h"
#include "gateway/imap/structure.h"
#include "gateway/imap/text.h"
#include "gateway/pop3/dots.h"
#include "gateway/proto/imap_parser.h"

/* The arguments of one command line; valid until the next call. */
static const struct imap_arg *args_of(const char *line)
{
    static const struct imap_limits limits = {
        .line = 8192, .literals = 8192, .args = 500, .depth = 20};
    static struct imap_parser *p;
    const struct imap_command *cmd;
    imap_parser_free(&p);
    if (line == NULL)
        return NULL;
    p = imap_parser_new(&limits);
    imap_parser_push(p, line, strlen(line));
    assert_int_equal(imap_parser_next(p, &cmd), IMAP_COMMAND);
    return cmd->args;
}

static void check_set(const char *text, uint32_t highest, const char *expected)
{
    struct seqset set;
    struct buf out = {0};
    assert_int_equal(seqset_parse(&set, text, 100), 0);
    seqset_resolve(&set, highest);
    for (size_t i = 0; i < set.n; i++)
        buf_printf(&out, "%s%u-%u", i > 0 ? " " : "", set.v[i].first, set.v[i].last);
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
    seqset_free(&set);
}

static void test_sequence_sets(void **state)
{
    (void)state;
    check_set("2,4:7,9,12:*", 15, "2-2 4-7 9-9 12-15");
    check_set("*:4,5:7", 10, "4-10");
    check_set("5:1,2", 10, "1-5");
    check_set("20:*", 10, "10-20");
    check_set("*", 0, "");
    check_set("1:4294967295", 3, "1-4294967295");
    check_set("3,1,2", 9, "1-3");
    static const char *const bad[] = {"",  "0",     "1:",         ":1", "1,,2",
                                      "a", "1:2:3", "4294967296", "1 "};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct seqset set;
        if (seqset_parse(&set, bad[i], 100) == 0)
            fail_msg("\"%s\" was taken", bad[i]);
    }
    struct seqset set;
    assert_int_equal(seqset_parse(&set, "1,2,3", 2), -1);
    assert_int_equal(seqset_parse(&set, "3:5,9", 5), 0);
    seqset_resolve(&set, 9);
    assert_true(seqset_has(&set, 4));
    assert_false(seqset_has(&set, 6));
    seqset_free(&set);
    struct buf out = {0};
    seqset_put(&out, (const uint32_t[]){1, 2, 3, 7, 9, 10}, 6);
    assert_string_equal(buf_str(&out), "1:3,7,9:10");
    buf_free(&out);
}

static void test_dates(void **state)
{
    (void)state;
    struct buf out = {0};
    int64_t t = imap_parse_date_time("17-Jul-1996 02:44:25 -0700"), day;
    assert_int_equal(t, 837596665);
    imap_put_date(&out, t);
    assert_string_equal(buf_str(&out), "\"17-Jul-1996 09:44:25 +0000\"");
    buf_clear(&out);
    imap_put_date(&out, imap_parse_date_time(" 7-Feb-1994 21:52:25 +0000"));
    assert_string_equal(buf_str(&out), "\" 7-Feb-1994 21:52:25 +0000\"");
    buf_free(&out);
    static const char *const bad[] = {"",
                                      "17-Jul-1996",
                                      "32-Jul-1996 00:00:00 +0000",
                                      "30-Feb-1996 00:00:00 +0000",
                                      "17-Jux-1996 02:44:25 -0700",
                                      "17-Jul-1996 02:44:25 0700",
                                      "17-Jul-1996 25:44:25 -0700",
                                      "17-Jul-1996 02:44:25 -0700x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (imap_parse_date_time(bad[i]) != -1)
            fail_msg("\"%s\" was taken", bad[i]);
    assert_int_equal(imap_parse_date("1-Feb-1994", &day), 0);
    assert_int_equal(day, 8797);
    assert_int_equal(imap_parse_date("31-Dec-1969", &day), 0);
    assert_int_equal(day, -1);
    assert_int_equal(imap_parse_date("29-Feb-1995", &day), -1);
    static const char *const sent[] = {"Mon, 7 Feb 1994 21:52:25 -0800 (PST)",
                                       " 07 Feb 94 21:52 EST",
                                       "Mon,\r\n 7 Feb 1994 21:52:25 -0800"};
    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
        assert_int_equal(search_parse_sent(sent[i], strlen(sent[i]), &day), 0);
        assert_int_equal(day, 8803);
    }
    assert_int_equal(search_parse_sent("nonsense", 8, &day), -1);
}

static void test_patterns_and_strings(void **state)
{
    (void)state;
    assert_true(imap_pattern_matches("*", "A.B"));
    assert_true(imap_pattern_matches("%", "A"));
    assert_false(imap_pattern_matches("%", "A.B"));
    assert_true(imap_pattern_matches("%.%", "A.B"));
    assert_true(imap_pattern_matches("inbox", "INBOX"));
    assert_false(imap_pattern_matches("a", "A"));
    assert_true(imap_pattern_matches("A*C%", "A.B.CxC"));
    assert_false(imap_pattern_matches("", "A"));
    assert_true(imap_pattern_matches("%*%*%*%*%*%*%*%*%*x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaax"));
    struct buf out = {0};
    imap_put_string(&out, "a\"b\\c", 5);
    imap_put_string(&out, "x\r\ny", 4);
    imap_put_string(&out, "", 0);
    imap_put_nstring(&out, NULL);
    imap_put_astring(&out, "Sent Mail");
    imap_put_astring(&out, "Sent");
    imap_put_astring(&out, "");
    assert_string_equal(buf_str(&out), "\"a\\\"b\\\\c\"{4}\r\nx\r\ny\"\"NIL\"Sent Mail\"Sent\"\"");
    buf_free(&out);
}

static void check_label(const char *item, const char *label)
{
    char line[300];
    struct fetch_items items;
    snprintf(line, sizeof(line), "a FETCH 1 %s\r\n", item);
    int rc = fetch_items_parse(&items, args_of(line)->next);
    if (label == NULL) {
        if (rc == 0)
            fail_msg("%s was taken", item);
    } else {
        assert_int_equal(rc, 0);
        assert_int_equal(items.v[0].type, FETCH_SECTION);
        assert_string_equal(items.v[0].label, label);
    }
    fetch_items_free(&items);
}

static void test_fetch_arguments(void **state)
{
    (void)state;
    struct fetch_items items;
    check_label("BODY[]", "BODY[]");
    check_label("body.peek[header]", "BODY[HEADER]");
    check_label("BODY[4.1.MIME]<5.10>", "BODY[4.1.MIME]<5>");
    check_label("(BODY[HEADER.FIELDS (DATE From)])", "BODY[HEADER.FIELDS (DATE From)]");
    check_label("BODY.PEEK[1.2.HEADER.FIELDS.NOT (\"X Y\")]<0.1>",
                "BODY[1.2.HEADER.FIELDS.NOT (\"X Y\")]<0>");
    check_label("BODY[3]", "BODY[3]");
    check_label("BODY[TEXT]", "BODY[TEXT]");
    check_label("RFC822.TEXT", "RFC822.TEXT");
    static const char *const bad[] = {"BODY[MIME]",
                                      "BODY[0]",
                                      "BODY[1.]",
                                      "BODY[1]<5>",
                                      "BODY[1]<5.0>",
                                      "BODY[HEADER.FIELDS ()]",
                                      "BODY[X]",
                                      "BODY[HEADER.FIELDS]",
                                      "NONSENSE",
                                      "()",
                                      "(ALL)",
                                      "BODY[1]<1.2>x",
                                      "FLAGS UID",
                                      "\"FLAGS\"",
                                      "BODY[99999999999]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_label(bad[i], NULL);
    assert_int_equal(fetch_items_parse(&items, args_of("a FETCH 1 FULL\r\n")->next), 0);
    assert_int_equal(items.n, 5);
    assert_int_equal(items.v[4].type, FETCH_BODY);
    fetch_items_free(&items);
    assert_int_equal(
        fetch_items_parse(&items, args_of("a FETCH 1 (UID FLAGS FLAGS RFC822.SIZE)\r\n")->next), 0);
    assert_int_equal(items.n, 3);
    fetch_items_free(&items);
}

static void test_header_fields(void **state)
{
    (void)state;
    static const char header[] = "From: a\r\nTo: b,\r\n c\r\nSUBJECT : x\r\n\r\nTo: body\r\n";
    struct fetch_items items;
    struct buf out = {0};
    assert_int_equal(fetch_header_size(header, strlen(header)), 36);
    assert_int_equal(fetch_header_size("A: b\r\n", 6), 6);
    assert_int_equal(
        fetch_items_parse(&items, args_of("a FETCH 1 BODY[HEADER.FIELDS (to subject)]\r\n")->next),
        0);
    fetch_header_fields(&out, &items.v[0], header, 36);
    assert_string_equal(buf_str(&out), "To: b,\r\n c\r\nSUBJECT : x\r\n\r\n");
    buf_clear(&out);
    items.v[0].part = PART_FIELDS_NOT;
    fetch_header_fields(&out, &items.v[0], header, 36);
    assert_string_equal(buf_str(&out), "From: a\r\n\r\n");
    fetch_items_free(&items);
    buf_free(&out);
}

/* A view of messages 1 to 4 with UIDs 11, 12, 20, 21. */
static bool search_takes(const char *keys, const struct message *m)
{
    static uint32_t uids[4] = {11, 12, 20, 21};
    static char *keywords[1] = {"$Work"};
    struct uid_range recent = {21, 21};
    struct view view = {.uids = uids, .n = 4, .uidnext = 22, .recent = &recent, .recent_n = 1};
    struct message_file file = MESSAGE_FILE_INIT;
    struct search *s;
    char line[300];
    view.keywords = keywords;
    view.keyword_n = 1;
    snprintf(line, sizeof(line), "a SEARCH %s\r\n", keys);
    if (search_parse(&s, args_of(line), &view) != SEARCH_OK)
        fail_msg("%s was not taken", keys);
    bool yes = search_matches(s, &view, m, NULL, &file, NULL);
    search_free(&s);
    return yes;
}

static void test_search_of_the_index(void **state)
{
    (void)state;
    struct message m = {.uid = 12,
                        .size = 500,
                        .date = 86400 * 8797 + 5,
                        .keywords = 1,
                        .flags = MESSAGE_SEEN | MESSAGE_FLAGGED};
    static const char *const yes[] = {"ALL",
                                      "SEEN FLAGGED",
                                      "NOT DELETED",
                                      "2",
                                      "1:3",
                                      "UID 12:15",
                                      "UID 1:*",
                                      "LARGER 499 SMALLER 501",
                                      "ON 1-Feb-1994",
                                      "SINCE 1-Feb-1994",
                                      "BEFORE 2-Feb-1994",
                                      "KEYWORD $work",
                                      "OR DELETED SEEN",
                                      "(SEEN (FLAGGED))",
                                      "OLD",
                                      "NOT NEW",
                                      "NOT NOT SEEN",
                                      "UNKEYWORD other",
                                      "CHARSET utf-8 SEEN",
                                      "NOT (SEEN DRAFT)",
                                      "OR (SEEN DRAFT) OR DRAFT UNANSWERED"};
    static const char *const no[] = {
        "UNSEEN",           "SEEN DELETED",    "3:*", "UID 20", "LARGER 500", "BEFORE 1-Feb-1994",
        "SINCE 2-Feb-1994", "UNKEYWORD $Work", "NEW", "RECENT", "NOT ALL",    "KEYWORD other"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        if (!search_takes(yes[i], &m))
            fail_msg("%s did not match", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (search_takes(no[i], &m))
            fail_msg("%s matched", no[i]);
    m.uid = 21;
    m.flags = 0;
    assert_true(search_takes("NEW RECENT *", &m));
}

static void test_search_that_cannot_be(void **state)
{
    (void)state;
    struct view view = {0};
    struct search *s;
    static const char *const bad[] = {"",          " NOT",      " OR SEEN",         " ()",
                                      " NONSENSE", " LARGER x", " BEFORE tomorrow", " HEADER",
                                      " HEADER x", " FROM",     " CHARSET utf-8",   " UID",
                                      " (SEEN",    " 0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[100];
        snprintf(line, sizeof(line), "a SEARCH%s%s\r\n", bad[i], strchr(bad[i], '(') ? ")" : "");
        if (strcmp(bad[i], " ()") == 0)
            strcpy(line, "a SEARCH ()\r\n");
        if (strcmp(bad[i], " (SEEN") == 0)
            strcpy(line, "a SEARCH (SEEN FOO)\r\n");
        if (search_parse(&s, args_of(line), &view) != SEARCH_BAD)
            fail_msg("\"%s\" was taken", line);
    }
    assert_int_equal(search_parse(&s, args_of("a SEARCH CHARSET koi8-r ALL\r\n"), &view),
                     SEARCH_BAD_CHARSET);
    struct buf deep = {0};
    buf_append_str(&deep, "a SEARCH ");
    for (int i = 0; i < 200; i++)
        buf_append_str(&deep, "NOT ");
    buf_append_str(&deep, "ALL\r\n");
    assert_int_equal(search_parse(&s, args_of(buf_str(&deep)), &view), SEARCH_BAD);
    buf_free(&deep);
}

static void check_folded(const char *value, const char *expected)
{
    struct buf out = {0};
    text_fold_header(&out, value, strlen(value));
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

static void test_text(void **state)
{
    (void)state;
    check_folded("Hello World", "hello world");
    check_folded("=?ISO-8859-1?Q?Gr=FC=DFe?= aus", "grüße aus");
    check_folded("=?utf-8?B?w4TDlsOc?=\r\n =?utf-8?q?_x?=", "äöü x");
    check_folded("a =?utf-8?q?b?= c =?bad d=e", "a b c =?bad d=e");
    check_folded("=?windows-1252?Q?=80?=", "€");
    check_folded("ПРИВЕТ ΑΒΓ", "привет αβγ");
    struct text_finder f;
    text_finder_init(&f, "needle");
    for (const char *p = "hay NeEd", *q = "Le hay"; p != NULL; p = p == q ? NULL : q)
        text_finder_push(&f, TEXT_UTF8, p, strlen(p));
    assert_true(f.found);
    text_finder_free(&f);
    static const char qp[] = "a=3Db=\r\nc=E4=Zz=";
    struct buf whole = {0}, bytes = {0};
    struct text_decoder d = {.encoding = TEXT_QUOTED_PRINTABLE};
    text_decode(&d, qp, strlen(qp), &whole);
    d = (struct text_decoder){.encoding = TEXT_QUOTED_PRINTABLE};
    for (size_t i = 0; i < strlen(qp); i++)
        text_decode(&d, qp + i, 1, &bytes);
    assert_string_equal(buf_str(&whole), "a=bc\xe4=Zz");
    assert_string_equal(buf_str(&bytes), buf_str(&whole));
    buf_clear(&whole);
    d = (struct text_decoder){.encoding = TEXT_BASE64};
    text_decode(&d, "SGVs\r\nbG8=", 10, &whole);
    assert_string_equal(buf_str(&whole), "Hello");
    buf_free(&whole);
    buf_free(&bytes);
}

static void check_structure(const char *message, const char *envelope, const char *body,
                            const char *bodystructure)
{
    static const struct mime_limits limits = {10000, 10000, 100, 20, 20, 100};
    struct arena *arena = arena_new(0);
    struct mime_parser *p = mime_parser_new(&limits, arena);
    struct buf out = {0};
    mime_parser_push(p, message, strlen(message));
    const struct mime_part *root = mime_parser_finish(p);
    imap_put_envelope(&out, root->envelope);
    assert_string_equal(buf_str(&out), envelope);
    buf_clear(&out);
    imap_put_structure(&out, root, false);
    assert_string_equal(buf_str(&out), body);
    buf_clear(&out);
    imap_put_structure(&out, root, true);
    assert_string_equal(buf_str(&out), bodystructure);
    buf_free(&out);
    mime_parser_free(&p);
    arena_free(&arena);
}

static void test_structures(void **state)
{
    (void)state;
    /* The example of RFC 3501 section 8. */
    check_structure(
        "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
        "From: Terry Gray <gray@cac.washington.edu>\r\n"
        "Subject: IMAP4rev1 WG mtg summary and minutes\r\n"
        "To: imap@cac.washington.edu\r\n"
        "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
        "Message-Id: <B27397-0100000@cac.washington.edu>\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\nOne\r\nTwo\r\n",
        "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" "
        "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
        "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
        "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
        "((NIL NIL \"imap\" \"cac.washington.edu\")) "
        "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")"
        "(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL "
        "\"<B27397-0100000@cac.washington.edu>\")",
        "(\"text\" \"plain\" (\"charset\" \"US-ASCII\") NIL NIL \"7bit\" 10 2)",
        "(\"text\" \"plain\" (\"charset\" \"US-ASCII\") NIL NIL \"7bit\" 10 2 NIL NIL NIL NIL)");
    check_structure(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        "--b\r\n\r\nhello\r\n--b\r\n"
        "Content-Type: image/png\r\n"
        "Content-Disposition: attachment; filename=\"a b.png\"\r\n"
        "Content-Language: de, en\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n",
        "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)",
        "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 5 1)"
        "(\"image\" \"png\" NIL NIL NIL \"base64\" 4) \"mixed\")",
        "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 5 1 NIL NIL NIL "
        "NIL)(\"image\" \"png\" NIL NIL NIL \"base64\" 4 NIL (\"attachment\" "
        "(\"filename\" \"a b.png\")) (\"de\" \"en\") NIL) \"mixed\" (\"boundary\" \"b\") "
        "NIL NIL NIL)");
}

static void check_dots(const char *text, bool limited, unsigned lines, const char *expected)
{
    struct buf whole = {0}, bytes = {0};
    struct dots d = {.limited = limited, .body_lines = lines};
    dots_push(&d, text, strlen(text), &whole);
    dots_end(&d, &whole);
    d = (struct dots){.limited = limited, .body_lines = lines};
    for (size_t i = 0; i < strlen(text); i++)
        dots_push(&d, text + i, 1, &bytes);
    dots_end(&d, &bytes);
    assert_string_equal(buf_str(&whole), expected);
    assert_string_equal(buf_str(&bytes), expected);
    buf_free(&whole);
    buf_free(&bytes);
}

static void test_dots(void **state)
{
    (void)state;
    check_dots("A: b\r\n\r\n.x\r\n..\r\ny", false, 0, "A: b\r\n\r\n..x\r\n...\r\ny\r\n.\r\n");
    check_dots("A: b\n\nx\n", false, 0, "A: b\r\n\r\nx\r\n.\r\n");
    check_dots("A: b\r\n\r\n1\r\n2\r\n3\r\n", true, 2, "A: b\r\n\r\n1\r\n2\r\n.\r\n");
    check_dots("A: b\r\n\r\n1\r\n2\r\n", true, 0, "A: b\r\n\r\n.\r\n");
    check_dots("A: b\r\n\r\n\r\n1\r\n2\r\n", true, 1, "A: b\r\n\r\n\r\n.\r\n");
    check_dots("A: b\r", false, 0, "A: b\r\n.\r\n");
    check_dots("", false, 0, ".\r\n");
}

static int teardown(void **state)
{
    (void)state;
    args_of(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequence_sets),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_patterns_and_strings),
        cmocka_unit_test(test_fetch_arguments),
        cmocka_unit_test(test_header_fields),
        cmocka_unit_test(test_search_of_the_index),
        cmocka_unit_test(test_search_that_cannot_be),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_structures),
        cmocka_unit_test(test_dots),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}

/* The MIME parser and the header reader: each message is read whole, byte by byte and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/buf.h"
#include "gateway/proto/header.h"
#include "gateway/proto/mime.h"

static const struct mime_limits roomy = {
    .header = 100000, .field = 10000, .parts = 100, .depth = 10, .params = 50, .addresses = 100};

/* ---- printing a tree, so that one string compares all of it ---- */

static void print_str(struct buf *out, const char *s)
{
    assert_int_equal(s == NULL ? buf_append_str(out, "-") : buf_printf(out, "[%s]", s), 0);
}

static void print_params(struct buf *out, const struct mime_param *p)
{
    for (; p != NULL; p = p->next)
        (void)buf_printf(out, " %s=%s", p->name, p->value);
}

static void print_addresses(struct buf *out, const struct mime_address *a)
{
    for (; a != NULL; a = a->next) {
        (void)buf_append_str(out, "(");
        print_str(out, a->name);
        print_str(out, a->adl);
        print_str(out, a->mailbox);
        print_str(out, a->host);
        (void)buf_append_str(out, ")");
    }
}

/* "type/subtype header_offset+size/lines body_offset+size/lines params {children}" */
static void print_part(struct buf *out, const struct mime_part *part)
{
    (void)buf_printf(out, "%s/%s %llu+%llu/%llu %llu+%llu/%llu", part->type, part->subtype,
                     (unsigned long long)part->header_offset, (unsigned long long)part->header_size,
                     (unsigned long long)part->header_lines, (unsigned long long)part->body_offset,
                     (unsigned long long)part->body_size, (unsigned long long)part->body_lines);
    print_params(out, part->params);
    if (part->message != NULL) {
        (void)buf_append_str(out, " <");
        print_part(out, part->message);
        (void)buf_append_str(out, ">");
    }
    for (const struct mime_part *c = part->children; c != NULL; c = c->next) {
        (void)buf_append_str(out, c == part->children ? " {" : ", ");
        print_part(out, c);
        if (c->next == NULL)
            (void)buf_append_str(out, "}");
    }
}

static struct mime_part *parse(const char *text, size_t len, size_t step,
                               const struct mime_limits *limits, struct arena *arena, bool *limited)
{
    struct mime_parser *p = mime_parser_new(limits, arena);

    for (size_t at = 0; at < len; at += step)
        mime_parser_push(p, text + at, len - at < step ? len - at : step);
    struct mime_part *root = mime_parser_finish(p);
    if (limited != NULL)
        *limited = mime_parser_limited(p);
    mime_parser_free(&p);
    assert_null(p);
    return root;
}

static void expect_tree_limits(const char *text, const char *want, const struct mime_limits *limits,
                               bool want_limited)
{
    static const size_t steps[] = {1, 2, 3, 7, 64, 1 << 20};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct arena *arena = arena_new(0);
        struct buf out = {0};
        bool limited;
        struct mime_part *root = parse(text, strlen(text), steps[i], limits, arena, &limited);
        assert_non_null(root);
        assert_non_null(root->envelope);
        print_part(&out, root);
        assert_string_equal(buf_str(&out), want);
        assert_int_equal(limited, want_limited);
        buf_free(&out);
        arena_free(&arena);
    }
}

static void expect_tree(const char *text, const char *want)
{
    expect_tree_limits(text, want, &roomy, false);
}

/* ---- the tree ---- */

static void test_plain(void **state)
{
    (void)state;
    expect_tree("", "text/plain 0+0/0 0+0/0 charset=us-ascii");
    expect_tree("\r\n", "text/plain 0+2/1 2+0/0 charset=us-ascii");
    expect_tree("A: b\r\n\r\nhello\r\n", "text/plain 0+8/2 8+7/1 charset=us-ascii");
    expect_tree("A: b\n\nhello\n\nyou", "text/plain 0+6/2 6+10/3 charset=us-ascii");
    expect_tree("Content-Type: TEXT/Html; charset=\"UTF-8\"\r\n\r\nx",
                "text/html 0+44/2 44+1/1 charset=UTF-8");
    expect_tree("Content-Type: nonsense\r\n\r\nx", "text/plain 0+26/2 26+1/1 charset=us-ascii");
    expect_tree("Content-Type: text/plain\r\n", "text/plain 0+26/1 26+0/0");
    expect_tree("Subject: cut off", "text/plain 0+16/1 16+0/0 charset=us-ascii");
    expect_tree("A: b\r\n\r\n--x\r\n--x--\r\n", "text/plain 0+8/2 8+12/2 charset=us-ascii");
}

static void test_multipart(void **state)
{
    (void)state;
    expect_tree("Content-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\n"
                "preamble\r\n"
                "--b 1\r\n"
                "\r\n"
                "one\r\n"
                "two\r\n"
                "--b 1  \r\n"
                "Content-Type: text/html\r\n"
                "\r\n"
                "three\r\n\r\n"
                "--b 1--\r\n"
                "--b 1\r\n"
                "epilogue\r\n",
                "multipart/mixed 0+49/2 49+100/13 boundary=b 1 {"
                "text/plain 66+2/1 68+8/2 charset=us-ascii, "
                "text/html 87+27/2 114+7/1}");
}

static void test_multipart_edges(void **state)
{
    (void)state;
    /* No part, no end, nothing between boundaries, a header without a blank line. */
    expect_tree("Content-Type: multipart/mixed; boundary=b\n\nx\n",
                "multipart/mixed 0+43/2 43+2/1 boundary=b "
                "{text/plain 45+0/0 45+0/0 charset=us-ascii}");
    expect_tree("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx",
                "multipart/mixed 0+43/2 43+6/3 boundary=b "
                "{text/plain 47+1/1 48+1/1 charset=us-ascii}");
    expect_tree("Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b--",
                "multipart/mixed 0+43/2 43+14/4 boundary=b "
                "{text/plain 47+0/0 47+0/0 charset=us-ascii, "
                "text/plain 51+1/1 52+0/0 charset=us-ascii}");
    expect_tree("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: a/b\n--b--\n",
                "multipart/mixed 0+43/2 43+28/3 boundary=b {a/b 47+17/1 64+0/0}");
    expect_tree("Content-Type: multipart/mixed; boundary=b\n--b\n\nx\n--b--\n",
                "multipart/mixed 0+47/3 47+8/2 boundary=b "
                "{text/plain 55+0/0 55+0/0 charset=us-ascii}");
    expect_tree("Content-Type: multipart/mixed\n\n--b\n\n",
                "text/plain 0+31/2 31+5/2 charset=us-ascii");
    /* The end of input in a boundary: an empty part. */
    expect_tree("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b",
                "multipart/mixed 0+43/2 43+10/4 boundary=b "
                "{text/plain 47+1/1 48+1/1 charset=us-ascii, "
                "text/plain 53+0/0 53+0/0 charset=us-ascii}");
}

static void test_nested(void **state)
{
    (void)state;
    /* The inner boundary begins with the outer; the inner one is not closed. */
    expect_tree("Content-Type: multipart/mixed; boundary=b\n\n"
                "--b\nContent-Type: multipart/alternative; boundary=bb\n\n"
                "--bb\n\n1\n--bb\n\n2\n"
                "--b\n\n3\n--b--\n",
                "multipart/mixed 0+43/2 43+83/13 boundary=b {"
                "multipart/alternative 47+50/2 97+15/6 boundary=bb {"
                "text/plain 102+1/1 103+1/1 charset=us-ascii, "
                "text/plain 110+1/1 111+1/1 charset=us-ascii}, "
                "text/plain 117+1/1 118+1/1 charset=us-ascii}");
}

static void test_message(void **state)
{
    const char *text = "Content-Type: multipart/digest; boundary=b\n\n"
                       "--b\n\nSubject: inside\n\nhello\n"
                       "--b\nContent-Type: message/rfc822\n\n"
                       "Content-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--\n"
                       "--b--\n";
    struct arena *arena = arena_new(0);

    (void)state;
    struct mime_part *root = parse(text, strlen(text), 5, &roomy, arena, NULL);
    const struct mime_part *first = root->children, *second = first->next;
    assert_true(mime_is_multipart(root) && mime_is_message(first) && mime_is_message(second));
    assert_string_equal(first->message->envelope->subject, "inside");
    assert_null(first->envelope);
    assert_int_equal(first->message->header_offset, first->body_offset);
    assert_int_equal(first->body_size, strlen("Subject: inside\n\nhello"));
    assert_int_equal(first->body_lines, 3);
    assert_string_equal(second->message->subtype, "mixed");

    /* RFC 3501's numbers. */
    assert_ptr_equal(mime_part_find(root, NULL, 0), root);
    assert_ptr_equal(mime_part_find(root, (uint32_t[]){1}, 1), first);
    assert_ptr_equal(mime_part_find(root, (uint32_t[]){1, 1}, 2), first->message);
    assert_null(mime_part_find(root, (uint32_t[]){1, 2}, 2));
    assert_null(mime_part_find(root, (uint32_t[]){1, 1, 1}, 3));
    assert_ptr_equal(mime_part_find(root, (uint32_t[]){2, 1}, 2), second->message->children);
    assert_null(mime_part_find(root, (uint32_t[]){3}, 1));
    assert_null(mime_part_find(root, (uint32_t[]){0}, 1));
    arena_free(&arena);

    expect_tree("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA\n",
                "message/rfc822 0+64/3 64+5/1 <text/plain 64+5/1 69+0/0 charset=us-ascii>");
    expect_tree("Content-Type: message/rfc822", "message/rfc822 0+28/1 28+0/0 "
                                                "<text/plain 28+0/0 28+0/0 charset=us-ascii>");
}

static void test_limits(void **state)
{
    struct mime_limits l = roomy;

    (void)state;
    l.parts = 2;
    expect_tree_limits("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n--b\n\n2\n--b--\n",
                       "multipart/mixed 0+43/2 43+20/7 boundary=b "
                       "{text/plain 47+1/1 48+1/1 charset=us-ascii, "
                       "application/octet-stream 54+0/0 54+9/3}",
                       &l, true);
    l = roomy;
    l.depth = 1;
    expect_tree_limits("Content-Type: multipart/mixed; boundary=b\n\n"
                       "--b\nContent-Type: message/rfc822\n\nA: b\n\n--b--\n",
                       "multipart/mixed 0+43/2 43+46/6 boundary=b "
                       "{application/octet-stream 47+30/2 77+5/1}",
                       &l, true);
    l = roomy;
    l.params = 1;
    expect_tree_limits("Content-Type: a/b; c=d; e=f\n\n", "a/b 0+29/2 29+0/0 c=d", &l, true);
    l = roomy;
    l.header = 20;
    expect_tree_limits("A: b\nContent-Type: a/b; c=d; e=f\n\n",
                       "text/plain 0+34/3 34+0/0 charset=us-ascii", &l, true);
    l = roomy;
    l.field = 20;
    expect_tree_limits("Content-Type: a/b; c=d; e=f\n\n", "a/b 0+29/2 29+0/0", &l, true);
}

static void test_arena_bound(void **state)
{
    const char *text = "From: a@b, c@d\nSubject: x\nContent-Type: multipart/mixed; boundary=b\n\n"
                       "--b\nContent-Type: a/b; name*0=x; name*1=y\n\n1\n"
                       "--b\nContent-Type: message/rfc822\n\nTo: g: a@b;\n\n--b--\n";

    (void)state;
    for (size_t max = 16; max < 4096; max += 16) {
        struct arena *arena = arena_new(max);
        struct buf out = {0};
        bool limited;
        struct mime_part *root = parse(text, strlen(text), 11, &roomy, arena, &limited);
        if (root != NULL)
            print_part(&out, root);
        buf_free(&out);
        arena_free(&arena);
    }
}

/* ---- fields ---- */

static void expect_params(const char *field, const char *want)
{
    struct arena *arena = arena_new(0);
    struct buf out = {0}, text = {0};

    (void)buf_printf(&text, "Content-Disposition: Attachment%s\r\n\r\n", field);
    struct mime_part *root = parse(buf_str(&text), text.len, 9, &roomy, arena, NULL);
    assert_string_equal(root->disposition, "attachment");
    print_params(&out, root->disposition_params);
    assert_string_equal(buf_str(&out), want);
    buf_free(&out);
    buf_free(&text);
    arena_free(&arena);
}

static void test_params(void **state)
{
    (void)state;
    expect_params("", "");
    expect_params("; a=b ; C = d (comment; e=f) ;; g", " a=b c=d");
    expect_params(";\r\n\tfilename=\"a \\\"b\\\".txt; x=y\"", " filename=a \"b\".txt; x=y");
    expect_params("; filename=\"open", " filename=open");
    expect_params("; junk \"; in=string\" ; a=b", " a=b");
    expect_params("; f*0=ab; f*1=cd; f*2=\"e f\"; f*4=lost", " f=abcde f f*4=lost");
    expect_params("; f*1=cd; x=y; f*0=ab", " x=y f=abcd");
    expect_params("; f*0*=utf-8''a%20; f*1=\"b c*\"; f*2*=%C3%A4", " f*=utf-8''a%20b%20c%2A%C3%A4");
    expect_params("; f*=utf-8'de'%C3%A4", " f*=utf-8'de'%C3%A4");
    expect_params("; *0=x; =y; f*0", " *0=x");
}

static void test_fields(void **state)
{
    const char *text = "Content-ID: <a@b>\r\n"
                       "Content-ID: <second>\r\n"
                       "Content-Description: two\r\n lines \r\n"
                       "Content-MD5: Q2hlY2s=\r\n"
                       "CONTENT-transfer-ENCODING: Quoted-Printable (yes)\r\n"
                       "Content-Language: en, de-AT (x), ;fr\r\n"
                       "Content-Location:\r\n http://example.org/\r\n"
                       "\r\n";
    struct arena *arena = arena_new(0);

    (void)state;
    struct mime_part *root = parse(text, strlen(text), 4, &roomy, arena, NULL);
    assert_string_equal(root->id, "<a@b>");
    assert_string_equal(root->description, "two lines");
    assert_string_equal(root->md5, "Q2hlY2s=");
    assert_string_equal(root->encoding, "quoted-printable");
    assert_string_equal(root->location, "http://example.org/");
    assert_string_equal(root->language->text, "en");
    assert_string_equal(root->language->next->text, "de-AT");
    assert_string_equal(root->language->next->next->text, "fr");
    assert_null(root->language->next->next->next);
    arena_free(&arena);
}

static void test_envelope(void **state)
{
    const char *text = "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
                       "Subject: =?utf-8?q?=C3=A4?=\r\n\tand more\r\n"
                       "From: \"A. B\" <a@example.org>\r\n"
                       "To: x@example.org\r\nTo: y@example.org\r\n"
                       "In-Reply-To: <1@x>\r\nMessage-Id: <2@x>\r\n\r\n";
    struct arena *arena = arena_new(0);
    struct buf out = {0};

    (void)state;
    struct mime_envelope *e = parse(text, strlen(text), 6, &roomy, arena, NULL)->envelope;
    assert_string_equal(e->date, "Mon, 1 Jan 2024 00:00:00 +0000");
    assert_string_equal(e->subject, "=?utf-8?q?=C3=A4?=\tand more");
    assert_string_equal(e->in_reply_to, "<1@x>");
    assert_string_equal(e->message_id, "<2@x>");
    assert_ptr_equal(e->sender, e->from);
    assert_ptr_equal(e->reply_to, e->from);
    assert_null(e->cc);
    print_addresses(&out, e->to);
    assert_string_equal(buf_str(&out), "(--[x][example.org])(--[y][example.org])");
    buf_free(&out);
    arena_free(&arena);
}

static void expect_addresses(const char *value, const char *want)
{
    struct arena *arena = arena_new(0);
    struct buf out = {0};

    print_addresses(&out, mime_addresses(value, strlen(value), 50, arena, NULL));
    assert_string_equal(buf_str(&out), want);
    buf_free(&out);
    arena_free(&arena);
}

static void test_addresses(void **state)
{
    (void)state;
    expect_addresses("", "");
    expect_addresses(" , ,", "");
    expect_addresses("a@b", "(--[a][b])");
    expect_addresses("a@b (Joe \\(x\\) (y))", "([Joe (x) (y)]-[a][b])");
    expect_addresses("John Q. Public <j@x.org>, Who? <w@y>",
                     "([John Q. Public]-[j][x.org])([Who?]-[w][y])");
    expect_addresses("\"Last, First\" \r\n <l.f@x>", "([Last, First]-[l.f][x])");
    expect_addresses("\"a b\"@x, <\"c\\\"d\"@y>", "(--[a b][x])(--[c\"d][y])");
    expect_addresses("<@a,@b:c@d>", "(-[@a,@b][c][d])");
    expect_addresses("a . b @ c . d", "(--[a.b][c.d])");
    expect_addresses("a@[IPv6:::1]", "(--[a][[IPv6:::1]])");
    expect_addresses("root", "(--[root][])");
    expect_addresses("<>", "");
    expect_addresses("j@x <k@y>", "([j@x]-[k][y])");
    expect_addresses("A Group:Ed <e@x>,j@y;, z@z",
                     "(--[A Group]-)([Ed]-[e][x])(--[j][y])(----)(--[z][z])");
    expect_addresses("undisclosed-recipients:;", "(--[undisclosed-recipients]-)(----)");
    expect_addresses("g: a@b", "(--[g]-)(--[a][b])(----)");
    expect_addresses("broken <a@b, c@d", "([broken]-[a][b, c@d])");
    expect_addresses("a@b c@d, e@f", "(--[a][b c@d])(--[e][f])");
    expect_addresses("\"open <a@b>", "(--[open <a@b>][])");
    expect_addresses("(only a comment)", "");
    expect_addresses("\"\" <a@b>", "(--[a][b])");
    expect_addresses("=?utf-8?q?=C3=A4?= =?utf-8?q?b?= <a@b>",
                     "([=?utf-8?q?=C3=A4?= =?utf-8?q?b?=]-[a][b])");
}

static void test_address_bound(void **state)
{
    const char *value = "a@a, g: b@b, c@c, d@d;";
    struct arena *arena = arena_new(0);
    struct buf out = {0};
    bool limited = false;

    (void)state;
    print_addresses(&out, mime_addresses(value, strlen(value), 4, arena, &limited));
    assert_string_equal(buf_str(&out), "(--[a][a])(--[g]-)(--[b][b])(----)");
    assert_true(limited);
    buf_clear(&out);
    print_addresses(&out, mime_addresses(value, strlen(value), 2, arena, NULL));
    assert_string_equal(buf_str(&out), "(--[a][a])");
    buf_free(&out);
    arena_free(&arena);
}

/* ---- the header reader ---- */

static void read_header(const char *text, size_t step, size_t max, struct buf *out)
{
    struct header_reader *r = header_reader_new(max);
    struct header_field f;
    size_t at = 0, len = strlen(text);
    enum header_event ev;

    for (;;) {
        size_t n = len - at < step ? len - at : step;
        at += header_reader_push(r, text + at, n);
        if (at == len)
            header_reader_finish(r);
        while ((ev = header_reader_next(r, &f)) == HEADER_FIELD)
            (void)buf_printf(out, "%.*s|%.*s|%llu+%llu%s\n", (int)f.name_len, f.name,
                             (int)f.value_len, f.value, (unsigned long long)f.offset,
                             (unsigned long long)f.size, f.cut ? " cut" : "");
        if (ev == HEADER_END)
            break;
    }
    (void)buf_printf(out, "end %llu", (unsigned long long)header_reader_size(r));
    header_reader_free(&r);
}

static void expect_header(const char *text, size_t max, const char *want)
{
    for (size_t step = 1; step < 40; step++) {
        struct buf out = {0};
        read_header(text, step, max, &out);
        assert_string_equal(buf_str(&out), want);
        buf_free(&out);
    }
}

static void test_header(void **state)
{
    (void)state;
    expect_header("", 100, "end 0");
    expect_header("\r\nA: b\r\n", 100, "end 2");
    expect_header("A: b\r\nC :d\r\n  e \r\n\r\nbody\r\n", 100, "A|b|0+6\nC|d\r\n  e|6+12\nend 20");
    expect_header("A: b\nC:\n\nbody", 100, "A|b|0+5\nC||5+3\nend 9");
    expect_header("no field\nA: b", 100, "||0+9\nA|b|9+4\nend 13");
    expect_header(" x: y\n\rA: b\r\r\n\r", 100, "||0+6\n||6+9\nend 15");
    expect_header("Long: 1234567890\r\nB: c\r\n\r\n", 10, "Long|1234|0+18 cut\nB|c|18+6\nend 26");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),           cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_multipart_edges), cmocka_unit_test(test_nested),
        cmocka_unit_test(test_message),         cmocka_unit_test(test_limits),
        cmocka_unit_test(test_arena_bound),     cmocka_unit_test(test_params),
        cmocka_unit_test(test_fields),          cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_addresses),       cmocka_unit_test(test_address_bound),
        cmocka_unit_test(test_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

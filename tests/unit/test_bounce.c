/* Bounces, and the table of recent ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/queue/bounce.h"
#include "gateway/queue/ids.h"

static void test_status(void **state)
{
    static const struct {
        const char *reply, *status;
    } cases[] = {
        {"550 5.1.1 unknown", "5.1.1"},
        {"550-5.7.26 unauthenticated", "5.7.26"},
        {"451 4.2.0 later", "4.2.0"},
        {"550 no", "5.0.0"},
        {"421 closing", "4.0.0"},
        {"", "5.0.0"},
        {NULL, "5.0.0"},
        {"550 5.1.1", "5.1.1"},
        {"550 5.1.1000 x", "5.0.0"},
        {"550 5.1.1x", "5.0.0"},
        {"550 2.0.0 sent?", "5.0.0"},
        {"connection refused", "5.0.0"},
        {"4.4.1 no server answers", "4.4.1"},
    };
    char dst[16];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(bounce_status(cases[i].reply, dst), cases[i].status);
}

static void test_bounce_text(void **state)
{
    static const char original[] =
        "Return-Path: <s@example.org>\r\nSubject: x\ny: \xff\r\n\r\nbody";
    struct envelope *e = envelope_new();
    struct buf out = {.max = 100000};
    size_t trace;
    bool body_8bit;
    (void)state;
    envelope_set(&e->id, "0123456789abcdef");
    envelope_set(&e->sender, "s\r\nBcc: x@example.org");
    e->trace = 30;
    struct envelope_rcpt *r = envelope_add(e);
    envelope_set(&r->address, "r@example.net");
    envelope_set(&r->status, "550 no\r\n.\r\nEHLO");
    r->state = ENVELOPE_BOUNCED;
    envelope_set(&r->orcpt, "rfc822;r+40\xffx");
    r = envelope_add(e);
    r->state = ENVELOPE_DELIVERED;
    envelope_set(&r->address, "d@example.net");
    envelope_set(&r->orcpt, "rfc822;d+2B+41");
    struct bounce_params p = {.envelope = e,
                              .id = "fedcba9876543210",
                              .hostname = "mx.example.org",
                              .original = original,
                              .original_len = sizeof(original) - 1};
    assert_int_equal(bounce_write(&p, &out, &trace, &body_8bit), 0);
    const char *text = buf_str(&out);
    assert_true(body_8bit);
    assert_memory_equal(text, "Return-Path: <>\r\n", trace);
    assert_non_null(strstr(text, "\r\nTo: <s??Bcc: x@example.org>\r\n"));
    assert_non_null(strstr(text, "\r\nDiagnostic-Code: x-dirigo; 550 no??.??EHLO\r\n"));
    assert_non_null(strstr(text, "\r\nSubject: x\r\ny: \xff\r\n"));
    assert_null(strstr(text, "body\r\n"));
    assert_non_null(strstr(text, "\r\nAction: failed\r\nStatus: 5.0.0\r\n"));
    assert_non_null(strstr(text, "\r\nOriginal-Recipient: rfc822; r+40?x\r\n"));
    assert_non_null(strstr(text, "\r\nOriginal-Recipient: rfc822; d+A\r\n"));
    assert_non_null(strstr(text, "\r\nAction: delivered\r\nStatus: 2.1.5\r\n"));
    for (const char *nl = text; (nl = strchr(nl, '\n')) != NULL; nl++)
        assert_int_equal(nl[-1], '\r');
    envelope_free(&e);
    buf_free(&out);
}

static void test_names(void **state)
{
    char id[ID_STRLEN];
    (void)state;
    assert_int_equal(ids_from_name("1700000000.0123456789abcdefR12", id), 0);
    assert_string_equal(id, "0123456789abcdef");
    static const char *const bad[] = {"",
                                      "1700000000.",
                                      ".0123456789abcdefR1",
                                      "1.0123456789abcdefR",
                                      "1.0123456789abcdefR1x",
                                      "1.0123456789abcdeR1",
                                      "1.0123456789abcdEfR1",
                                      "1.M20046P2137.example.org"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(ids_from_name(bad[i], id), -1);
}

static int keep_none(const struct id_entry *e, void *arg)
{
    (void)e;
    (void)arg;
    return 0;
}

static void test_ids(void **state)
{
    struct ids a, b;
    char id[ID_STRLEN];
    struct buf text = {.max = 100000};
    (void)state;
    ids_init(&a);
    ids_init(&b);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof(id), "%016d", i);
        ids_add(&a, id, i * 1000)->generation = 1;
    }
    /* One that is under way is not known yet. */
    ids_find(&a, "0000000000000099")->generation = 0;
    ids_find(&a, "0000000000000099")->message = &a;
    ids_write(&a, 99000, 1000000, 20000, &text);
    ids_read(&b, buf_str(&text), text.len, 5000, 1000000, 20000);
    assert_int_equal(b.count, 20);
    assert_non_null(ids_find(&b, "0000000000000079"));
    assert_null(ids_find(&b, "0000000000000078"));
    assert_null(ids_find(&b, "0000000000000099"));
    /* Some seconds later, and again: ages go on, doubles are not added. */
    ids_read(&b, buf_str(&text), text.len, 5000, 1000010, 20000);
    assert_int_equal(b.count, 20);
    ids_expire(&b, 5000, 10000, 1000, keep_none, NULL);
    assert_int_equal(b.count, 9);
    ids_expire(&b, 5000, 10000, 3, keep_none, NULL);
    assert_int_equal(b.count, 3);
    ids_free(&a);
    ids_free(&b);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_bounce_text),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

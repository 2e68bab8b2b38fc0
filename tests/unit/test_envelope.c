/* Envelopes: what is written is read back, and nothing else is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/queue/envelope.h"

static struct envelope *sample(void)
{
    struct envelope *e = envelope_new();
    envelope_set(&e->id, "0123456789abcdef");
    envelope_set(&e->sender, "");
    envelope_set(&e->client, "mx.example [192.0.2.1]\n<%>");
    e->arrived = 1700000000;
    e->size = 900;
    e->trace = 17;
    e->body_8bit = 1;
    struct envelope_rcpt *r = envelope_add(e);
    r->kind = QUEUE_RCPT_REMOTE;
    r->state = ENVELOPE_BOUNCED;
    envelope_set(&r->address, "-");
    envelope_set(&r->status, "550 5.1.1 no \xc3\xbcser");
    r = envelope_add(e);
    r->number = 1;
    memset(r->owner.bytes, 0xab, 16);
    envelope_set(&r->address, "b@example.org");
    envelope_set(&r->original, "B+x@example.org");
    envelope_set(&r->host, "back.example");
    return e;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct buf a = {.max = 10000}, b = {.max = 10000};
    struct envelope *e = sample();
    assert_int_equal(envelope_write(e, &a), 0);
    struct envelope *f = envelope_read(a.data, a.len);
    assert_non_null(f);
    assert_int_equal(envelope_write(f, &b), 0);
    assert_string_equal(buf_str(&a), buf_str(&b));
    assert_string_equal(f->client, e->client);
    assert_string_equal(f->sender, "");
    assert_null(f->login);
    assert_string_equal(f->rcpts[0].address, "-");
    assert_string_equal(f->rcpts[0].status, e->rcpts[0].status);
    assert_int_equal(f->rcpts[0].state, ENVELOPE_BOUNCED);
    assert_true(uuid_eq(&f->rcpts[1].owner, &e->rcpts[1].owner));
    assert_true(envelope_has(f, QUEUE_RCPT_MAILBOX));
    envelope_remove(f, 1);
    assert_false(envelope_has(f, QUEUE_RCPT_MAILBOX));
    assert_int_equal(f->rcpt_count, 1);
    envelope_free(&e);
    envelope_free(&f);
    buf_free(&a);
    buf_free(&b);
}

/* Envelopes without these lines, as they were written before there were any, are read. */
static void test_optional(void **state)
{
    (void)state;
    struct buf a = {.max = 10000};
    struct envelope *e = sample();
    assert_int_equal(envelope_write(e, &a), 0);
    assert_null(strstr(buf_str(&a), "\nhold"));
    assert_null(strstr(buf_str(&a), "\nreleased"));
    buf_clear(&a);
    envelope_set(&e->hold, "a word");
    e->released = 1700000001;
    assert_int_equal(envelope_write(e, &a), 0);
    struct envelope *f = envelope_read(a.data, a.len);
    assert_non_null(f);
    assert_string_equal(f->hold, "a word");
    assert_int_equal(f->released, 1700000001);
    assert_int_equal(f->rcpt_count, 2);
    envelope_free(&e);
    envelope_free(&f);
    buf_free(&a);
}

static void test_cut(void **state)
{
    (void)state;
    struct buf a = {.max = 10000};
    struct envelope *e = sample();
    assert_int_equal(envelope_write(e, &a), 0);
    for (size_t n = 0; n < a.len; n++)
        assert_null(envelope_read(a.data, n));
    assert_int_equal(buf_append_byte(&a, '\n'), 0);
    assert_null(envelope_read(a.data, a.len));
    envelope_free(&e);
    buf_free(&a);
}

/* What an older version wrote is read; it is not given what it cannot say. */
static void test_versions(void **state)
{
    static const char old[] =
        "dirigo-envelope 1\nid 0123456789abcdef\narrived 1700000000\nnext 0\n"
        "tries 2\nbounce -\nsender a@example.org\nclient c\nlogin -\nsize 900\n"
        "trace 17\n8bit 1\nrcpt remote pending 0 "
        "00000000-0000-0000-0000-000000000000 b@example.org - - - -\nend 1\n";
    (void)state;
    struct envelope *e = envelope_read(old, sizeof(old) - 1);
    assert_non_null(e);
    assert_int_equal(e->tries, 2);
    assert_string_equal(e->rcpts[0].address, "b@example.org");
    e->options = (struct queue_options){.flags = QUEUE_UTF8, .ret = QUEUE_RET_FULL};
    e->options.hold_until = 1800000000;
    e->options.decide_by = 1800000001;
    e->options.priority = QUEUE_PRIORITY(-9);
    e->options.envelope = mem_strdup("a+2Bb");
    e->rcpts[0].notify = QUEUE_NOTIFY_SUCCESS;
    envelope_set(&e->rcpts[0].orcpt, "rfc822;b");
    e->rcpts[0].state = ENVELOPE_WARNED;
    struct buf b = {.max = 10000};
    assert_int_equal(envelope_write(e, &b), 0);
    struct envelope *f = envelope_read(b.data, b.len);
    assert_non_null(f);
    assert_int_equal(f->options.flags, QUEUE_UTF8);
    assert_int_equal(f->options.ret, QUEUE_RET_FULL);
    assert_int_equal(f->options.hold_until, 1800000000);
    assert_int_equal(f->options.decide_by, 1800000001);
    assert_int_equal(f->options.priority, QUEUE_PRIORITY(-9));
    assert_string_equal(f->options.envelope, "a+2Bb");
    assert_int_equal(f->rcpts[0].notify, QUEUE_NOTIFY_SUCCESS);
    assert_string_equal(f->rcpts[0].orcpt, "rfc822;b");
    assert_true(envelope_rcpt_pending(&f->rcpts[0]));
    assert_false(envelope_owed(f));
    char *text = mem_strndup(b.data, b.len);
    text[strlen("dirigo-envelope ")] = '1';
    assert_null(envelope_read(text, b.len));
    free(text);
    envelope_free(&e);
    envelope_free(&f);
    buf_free(&b);
}

/* Who hears of what (RFC 3461 section 4.1). */
static void test_ends(void **state)
{
    static const struct {
        unsigned notify;
        enum envelope_state end;
        bool owed;
    } cases[] = {
        {0, ENVELOPE_BOUNCED, true},
        {0, ENVELOPE_DELIVERED, false},
        {QUEUE_NOTIFY_NEVER, ENVELOPE_BOUNCED, false},
        {QUEUE_NOTIFY_SUCCESS, ENVELOPE_BOUNCED, false},
        {QUEUE_NOTIFY_SUCCESS, ENVELOPE_RELAYED, true},
        {QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_DELAY, ENVELOPE_BOUNCED, true},
        {QUEUE_NOTIFY_FAILURE, ENVELOPE_DELIVERED, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct envelope e = {.sender = (char *)"s@example.org"};
        struct envelope_rcpt r = {.notify = cases[i].notify};
        envelope_rcpt_end(&e, &r, cases[i].end);
        assert_int_equal(envelope_rcpt_owed(&r), cases[i].owed);
        assert_int_equal(r.done, !cases[i].owed);
        e.sender = (char *)"";
        r = (struct envelope_rcpt){.notify = cases[i].notify};
        envelope_rcpt_end(&e, &r, cases[i].end);
        assert_true(r.done);
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct buf a = {.max = 10000};
    struct envelope *e = sample();
    envelope_set(&e->id, "../../etc/passwd");
    assert_int_equal(envelope_write(e, &a), 0);
    assert_null(envelope_read(a.data, a.len));
    assert_false(envelope_id_valid("0123456789abcde"));
    assert_false(envelope_id_valid("0123456789abcdeF"));
    assert_false(envelope_id_valid(NULL));
    assert_true(envelope_id_valid("zzzzzzzzzzzzzzzz"));
    envelope_free(&e);
    buf_free(&a);
}

static void test_many_rcpts(void **state)
{
    (void)state;
    struct envelope *e = envelope_new();
    for (unsigned i = 0; i < 100; i++) {
        struct envelope_rcpt *r = envelope_add(e);
        r->number = i;
        r->address = mem_printf("u%u@example.org", i);
    }
    for (unsigned i = 0; i < 50; i++)
        envelope_remove(e, i);
    for (unsigned i = 0; i < 30; i++)
        envelope_set(&envelope_add(e)->address, "x");
    assert_int_equal(e->rcpt_count, 80);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(e->rcpts[i].number, 2 * i + 1);
    envelope_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_optional),
        cmocka_unit_test(test_cut),        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_ends),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_many_rcpts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

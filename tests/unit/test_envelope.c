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
        cmocka_unit_test(test_cut),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_many_rcpts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The schedule of deferred mail, with time moved by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "gateway/base/clock.h"
#include "gateway/queue/schedule.h"

static void test_order(void **state)
{
    (void)state;
    enum {
        N = 500
    };
    struct schedule s = {0};
    static struct schedule_entry e[N];
    uint32_t x = 12345;
    for (int i = 0; i < N; i++) {
        x = x * 1664525 + 1013904223;
        schedule_set(&s, &e[i], x % 1000);
    }
    for (int i = 0; i < N; i += 3)
        schedule_remove(&s, &e[i]);
    for (int i = 1; i < N; i += 3)
        schedule_set(&s, &e[i], 1000 - e[i].due);
    int64_t last = 0;
    size_t n = 0;
    struct schedule_entry *first;
    while ((first = schedule_pop(&s, 1000)) != NULL) {
        assert_true(first->due >= last);
        assert_false(schedule_has(first));
        last = first->due;
        n++;
    }
    assert_int_equal(n, N - (N + 2) / 3);
    assert_null(schedule_first(&s));
    schedule_free(&s);
}

/* A message tried at the default times, as the clock passes: when each try comes. */
static void test_tries(void **state)
{
    (void)state;
    static const int64_t expected[] = {0, 300, 900, 2100, 4500, 8500, 12500, 16500};
    struct schedule s = {0};
    struct schedule_entry e = {0};
    uint64_t tries = 0;
    clock_set_fake(0, 1700000000);
    schedule_set(&s, &e, clock_wall());
    for (int64_t t = 0; t < 20000; t += 50) {
        clock_set_fake(t * 1000, 1700000000 + t);
        if (schedule_pop(&s, clock_wall()) == NULL)
            continue;
        assert_true(tries < sizeof(expected) / sizeof(expected[0]));
        assert_int_equal(t, expected[tries]);
        tries++;
        schedule_set(&s, &e, clock_wall() + schedule_backoff(tries, 300, 4000));
    }
    assert_int_equal(tries, 8);
    clock_set_fake(-1, -1);
    schedule_free(&s);
}

static void test_backoff(void **state)
{
    (void)state;
    assert_int_equal(schedule_backoff(0, 300, 4000), 300);
    assert_int_equal(schedule_backoff(1, 300, 4000), 300);
    assert_int_equal(schedule_backoff(2, 300, 4000), 600);
    assert_int_equal(schedule_backoff(60000, 300, 4000), 4000);
    assert_int_equal(schedule_backoff(3, 5000, 4000), 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_tries),
        cmocka_unit_test(test_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

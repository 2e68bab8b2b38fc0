/* The parts of polling that need no server: time stamps, and what was seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "directory/pollclock.h"
#include "directory/stampmap.h"

#define OVERLAP 10000

static int64_t parse(const char *text)
{
    return generalized_time_parse(text, strlen(text));
}

static void test_time(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "20261124225645",
                                      "20261124225645z",
                                      "2026112422564Z",
                                      "20261324225645Z",
                                      "20261100225645Z",
                                      "20261124245645Z",
                                      "20261124226045Z",
                                      "20261124225645+1",
                                      "20261124225645+2400",
                                      "20261124225645.5",
                                      "19691124225645Z",
                                      "2026112422564 Z"};
    char text[GENERALIZED_TIME_SIZE];
    assert_int_equal(parse("19700101000000Z"), 0);
    assert_int_equal(parse("20261124225645Z"), 1795561005);
    assert_int_equal(parse("20261124225645.0Z"), 1795561005);
    assert_int_equal(parse("20261124225645.123,Z"), -1);
    assert_int_equal(parse("20261124235645+0100"), 1795561005);
    assert_int_equal(parse("20261124215645.9-0100"), 1795561005);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(parse(bad[i]), -1);
    assert_string_equal(generalized_time_format(1795561005, text), "20261124225645Z");
    assert_string_equal(generalized_time_format(0, text), "19700101000000Z");
}

static void test_clock(void **state)
{
    (void)state;
    struct poll_clock c = {0};
    poll_clock_ask(&c, 5000, OVERLAP);
    assert_int_equal(c.since, 0);
    poll_clock_saw(&c, 1000, 5000, OVERLAP);
    poll_clock_saw(&c, 900, 5000, OVERLAP);
    assert_int_equal(c.newest, 1000);
    poll_clock_ask(&c, 5000 + OVERLAP - 1, OVERLAP);
    assert_int_equal(c.since, 0); /* changes of before may still come */
    poll_clock_ask(&c, 5000 + OVERLAP, OVERLAP);
    assert_int_equal(c.since, 1001);
    assert_int_equal(c.n, 0);
    /* Steady changes: what is asked for again stays bounded. */
    for (int64_t now = 20000; now < 400000; now += 100) {
        poll_clock_ask(&c, now, OVERLAP);
        poll_clock_saw(&c, 1000 + now / 1000, now, OVERLAP);
        assert_true(c.n <= POLL_CLOCK_SAMPLES);
        /* Nothing younger than the overlap is taken for known. */
        assert_true(c.since <= 1000 + (now - OVERLAP) / 1000 + 1 || c.since == 1001);
        if (now > 50000)
            assert_true(c.since >= 1000 + (now - 2 * OVERLAP) / 1000);
    }
}

static void test_everything_read(void **state)
{
    (void)state;
    struct poll_clock c = {0};
    poll_clock_read_all(&c, 0, 60000, OVERLAP);
    assert_int_equal(c.since, 0); /* nothing was there */
    poll_clock_saw(&c, 100000, 30000, OVERLAP);
    poll_clock_read_all(&c, 10000, 60000, OVERLAP);
    assert_int_equal(c.since, 100000 - 50 - 10 - 1);
    poll_clock_ask(&c, 60000 + OVERLAP, OVERLAP);
    assert_int_equal(c.since, 100001);
}

static void test_stamps(void **state)
{
    (void)state;
    struct stamp_map map = {0};
    struct uuid u = {{0}};
    assert_null(stamp_map_get(&map, &u));
    for (unsigned i = 0; i < 5000; i++) {
        memcpy(u.bytes, &i, sizeof i);
        stamp_map_put(&map, &u)->change = i + 1;
    }
    assert_int_equal(map.count, 5000);
    for (unsigned i = 0; i < 5000; i++) {
        memcpy(u.bytes, &i, sizeof i);
        assert_int_equal(stamp_map_get(&map, &u)->change, i + 1);
        assert_int_equal(stamp_map_put(&map, &u)->change, i + 1);
    }
    assert_int_equal(map.count, 5000);
    memset(&u, 0xff, sizeof u);
    assert_null(stamp_map_get(&map, &u));
    stamp_map_free(&map);
    assert_int_equal(map.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_everything_read),
        cmocka_unit_test(test_stamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

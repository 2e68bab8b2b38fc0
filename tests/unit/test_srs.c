/* SRS: there and back, by one and by several forwarders; forged and old addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/str.h"
#include "gateway/filter/srs.h"

#define NOW 1764000000

static const struct srs first = {.domain = "one.example",
                                 .secrets = {"new", "old"},
                                 .secret_count = 2,
                                 .hash_length = 8,
                                 .max_age = 21};
static const struct srs second = {.domain = "two.example",
                                  .secrets = {"other"},
                                  .secret_count = 1,
                                  .hash_length = 8,
                                  .max_age = 21};

static const char *forward(const struct srs *srs, const char *sender, struct buf *out)
{
    buf_clear(out);
    assert_int_equal(srs_forward(srs, sender, NOW, out), 0);
    return buf_str(out);
}

static void expect(const struct srs *srs, const char *address, int64_t now, enum srs_answer answer,
                   const char *want)
{
    struct buf out = {0};

    assert_int_equal(srs_reverse(srs, address, now, &out), answer);
    if (answer == SRS_FOUND)
        assert_string_equal(buf_str(&out), want);
    buf_free(&out);
}

static void test_there_and_back(void **state)
{
    struct buf out = {0};
    char address[400];

    (void)state;
    const char *got = forward(&first, "some+one=x@sender.example", &out);
    assert_memory_equal(got, "SRS0=", 5);
    assert_true(str_iends(got, "=sender.example=some+one=x@one.example"));
    expect(&first, got, NOW, SRS_FOUND, "some+one=x@sender.example");
    strcpy(address, got);
    str_lower(address); /* on the way somebody may change the case */
    expect(&first, address, NOW, SRS_FOUND, "some+one=x@sender.example");
    expect(&first, got, NOW + 21 * 86400, SRS_FOUND, "some+one=x@sender.example");
    expect(&first, got, NOW + 22 * 86400, SRS_EXPIRED, NULL);
    expect(&first, got, NOW - 86400, SRS_FOUND, "some+one=x@sender.example");
    expect(&first, got, NOW - 2 * 86400, SRS_EXPIRED, NULL);
    buf_free(&out);
}

static void test_forged(void **state)
{
    struct buf out = {0};
    char address[400];

    (void)state;
    strcpy(address, forward(&first, "a@sender.example", &out));
    for (size_t i = 5; i < strlen(address) - strlen("@one.example"); i++) {
        char c = address[i];
        address[i] = c == 'x' ? 'y' : 'x';
        if (str_lower_char(c) != address[i])
            expect(&first, address, NOW, SRS_FORGED, NULL);
        address[i] = c;
    }
    expect(&first, address, NOW, SRS_FOUND, "a@sender.example");
    expect(&second, address, NOW, SRS_FORGED, NULL);
    expect(&first, "SRS0=@one.example", NOW, SRS_FORGED, NULL);
    expect(&first, "SRS0=AAAAAAAA=@one.example", NOW, SRS_FORGED, NULL);
    expect(&first, "a@one.example", NOW, SRS_FORGED, NULL);
    assert_false(srs_is(&first, "SRS0@one.example"));
    assert_false(srs_is(&first, "SRS0=x@two.example"));
    buf_free(&out);
}

/* A second forwarder points to the first, a third one too: addresses do not grow. */
static void test_chain(void **state)
{
    struct buf out = {0};
    char one[400], two[400], three[400];

    (void)state;
    strcpy(one, forward(&first, "a@sender.example", &out));
    strcpy(two, forward(&second, one, &out));
    assert_memory_equal(two, "SRS1=", 5);
    expect(&second, two, NOW, SRS_FOUND, one);
    struct srs third = second;
    third.domain = "three.example";
    third.secrets[0] = "third";
    strcpy(three, forward(&third, two, &out));
    assert_int_equal(strlen(three), strlen(two) + 2);
    expect(&third, three, NOW, SRS_FOUND, one);
    buf_free(&out);
}

static void test_rotation(void **state)
{
    struct srs before = first, after = first;
    struct buf out = {0};

    (void)state;
    before.secrets[0] = "old";
    before.secret_count = 1;
    const char *address = forward(&before, "a@sender.example", &out);
    expect(&first, address, NOW, SRS_FOUND, "a@sender.example");
    after.secret_count = 1;
    expect(&after, address, NOW, SRS_FORGED, NULL);
    buf_free(&out);
}

static void test_no_address(void **state)
{
    struct buf out = {0};

    (void)state;
    assert_int_equal(srs_forward(&first, "", NOW, &out), -1);
    assert_int_equal(srs_forward(&first, "@x", NOW, &out), -1);
    assert_int_equal(srs_forward(&first, "a@", NOW, &out), -1);
    assert_int_equal(srs_forward(&first, "a@b=c.example", NOW, &out), -1);
    assert_int_equal(srs_forward(&first, "SRS1=x@y.example", NOW, &out), -1);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_forged),
        cmocka_unit_test(test_chain),          cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_no_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

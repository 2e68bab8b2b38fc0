#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "directory/secrets_store.h"

static void test_store(void **state)
{
    (void)state;
    char base[] = "/tmp/dirigo-test-XXXXXX", dir[64], path[80], *error = NULL;
    struct conf conf = {.directory_map_size = 16 << 20};
    struct uuid a = {{1}}, b = {{2}};
    struct secrets_list list;
    struct stat st;
    assert_non_null(mkdtemp(base));
    snprintf(dir, sizeof dir, "%s/secrets", base);
    assert_int_equal(mkdir(dir, 0700), 0);
    conf.state_directory = base;
    struct secrets_store *w = secrets_store_open(dir, conf.directory_map_size, &error);
    assert_non_null(w);
    struct secrets *r = secrets_open(&conf, &error);
    assert_non_null(r);
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    assert_int_equal(secrets_store_begin(w), 0);
    assert_int_equal(secrets_store_put(w, &a, "one\0two", 8), 0);
    assert_int_equal(secrets_store_commit(w), 0);
    assert_int_equal(secrets_lookup(r, "", &a, &list), ANSWER_UNKNOWN); /* not filled yet */
    assert_false(secrets_store_complete(w));
    assert_int_equal(secrets_store_begin(w), 0);
    assert_int_equal(secrets_store_set_complete(w, true), 0);
    assert_int_equal(secrets_store_commit(w), 0);
    assert_true(secrets_store_complete(w));
    assert_int_equal(secrets_lookup(r, "", &a, &list), ANSWER_FOUND);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.value[0], "one");
    assert_string_equal(list.value[1], "two");
    secrets_list_wipe(&list);
    assert_int_equal(secrets_lookup(r, "", &b, &list), ANSWER_ABSENT);

    assert_int_equal(secrets_store_begin(w), 0);
    assert_int_equal(secrets_store_put(w, &a, NULL, 0), 0);
    assert_int_equal(secrets_store_put(w, &b, "torn", 4), 0);
    secrets_store_abort(w);
    assert_int_equal(secrets_lookup(r, "", &a, &list), ANSWER_FOUND);
    secrets_list_wipe(&list);
    assert_int_equal(secrets_store_begin(w), 0);
    assert_int_equal(secrets_store_put(w, &a, NULL, 0), 0);
    assert_int_equal(secrets_store_put(w, &b, "torn", 4), 0);
    assert_int_equal(secrets_store_commit(w), 0);
    assert_int_equal(secrets_lookup(r, "", &a, &list), ANSWER_ABSENT);
    assert_int_equal(secrets_lookup(r, "", &b, &list), ANSWER_UNKNOWN);

    assert_int_equal(secrets_lookup(r, "other", &a, &list), ANSWER_UNKNOWN); /* no such one */

    secrets_close(&r);
    secrets_store_close(&w);
    static const char *const files[] = {"data.mdb", "lock.mdb", "boot"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    rmdir(dir);
    rmdir(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_store)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

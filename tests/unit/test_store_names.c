/* Where mailboxes are: paths, base names, and folders made as far as they are missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/store/names.h"

static const char uuid_text[] = "a1b2c3d4-0000-1111-2222-333344445555";

static void test_names(void **state)
{
    (void)state;
    struct uuid u;
    char s[STORE_NAME_MAX];
    assert_int_equal(uuid_parse(&u, uuid_text), 0);
    assert_string_equal(store_owner_path(&u, s, sizeof(s)),
                        "users/a1/a1b2c3d4-0000-1111-2222-333344445555");
    assert_string_equal(store_base_name(1700000000, "0123456789abcdef", 12, s, sizeof(s)),
                        "1700000000.0123456789abcdefR12");
}

static void test_open_owner(void **state)
{
    (void)state;
    char top[] = "/tmp/dirigo-names-XXXXXX";
    struct uuid u;
    struct stat st;
    assert_int_equal(uuid_parse(&u, uuid_text), 0);
    assert_non_null(mkdtemp(top));
    int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);

    int fd = store_open_owner(dir, &u);
    assert_true(fd >= 0);
    assert_int_equal(fstatat(fd, "new", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    /* An interrupted start is completed. */
    assert_int_equal(unlinkat(fd, "new", AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(fd, "cur", AT_REMOVEDIR), 0);
    close(fd);
    fd = store_open_owner(dir, &u);
    assert_true(fd >= 0);
    assert_int_equal(faccessat(fd, "cur", F_OK, 0), 0);
    assert_int_equal(faccessat(fd, "new", F_OK, 0), 0);
    close(fd);
    /* A file in the way is an error, and so is a link. */
    unlinkat(dir, "users/a1/a1b2c3d4-0000-1111-2222-333344445555/new", AT_REMOVEDIR);
    unlinkat(dir, "users/a1/a1b2c3d4-0000-1111-2222-333344445555/cur", AT_REMOVEDIR);
    unlinkat(dir, "users/a1/a1b2c3d4-0000-1111-2222-333344445555/tmp", AT_REMOVEDIR);
    unlinkat(dir, "users/a1/a1b2c3d4-0000-1111-2222-333344445555", AT_REMOVEDIR);
    assert_int_equal(symlinkat("/tmp", dir, "users/a1/a1b2c3d4-0000-1111-2222-333344445555"), 0);
    assert_int_equal(store_open_owner(dir, &u), -1);
    unlinkat(dir, "users/a1/a1b2c3d4-0000-1111-2222-333344445555", 0);
    unlinkat(dir, "users/a1", AT_REMOVEDIR);
    unlinkat(dir, "users", AT_REMOVEDIR);
    close(dir);
    rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_open_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

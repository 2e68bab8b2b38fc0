/* What a server says of itself, and how entries are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "directory/rootdse.h"
#include "gateway/base/buf.h"

#define SYNC    "1.3.6.1.4.1.4203.1.9.1.1"
#define AD      "1.2.840.113556.1.4.800"
#define PAGED   "1.2.840.113556.1.4.319"
#define DELETED "1.2.840.113556.1.4.417"

static void say(struct rootdse *d, const char *name, const char *value)
{
    rootdse_value(d, name, strlen(name), value, strlen(value));
}

static void base(struct rootdse *d, const char *name)
{
    rootdse_base_value(d, name, strlen(name));
}

static void test_openldap(void **state)
{
    (void)state;
    struct rootdse d = {0};
    say(&d, "supportedControl", PAGED);
    base(&d, "entryUUID");
    base(&d, "modifyTimestamp");
    assert_int_equal(rootdse_choose(&d, "auto", false), CHOICE_POLL);
    assert_int_equal(rootdse_choose(&d, "sync", false), CHOICE_SYNC);
    say(&d, "SUPPORTEDCONTROL", SYNC);
    assert_true(d.sync_control && d.paged_control && !d.show_deleted_control);
    assert_int_equal(rootdse_choose(&d, "auto", false), CHOICE_SYNC);
    assert_int_equal(rootdse_choose(&d, "auto", true), CHOICE_POLL);
    assert_int_equal(rootdse_choose(&d, "poll", false), CHOICE_POLL);
    assert_int_equal(rootdse_key(&d), KEY_ENTRY_UUID);
}

static void test_active_directory(void **state)
{
    (void)state;
    struct rootdse d = {0};
    char longest[600];
    say(&d, "supportedCapabilities", AD);
    say(&d, "supportedControl", DELETED);
    say(&d, "highestCommittedUSN", "12345");
    say(&d, "dsServiceName", "CN=NTDS Settings,CN=DC1");
    base(&d, "objectGUID");
    base(&d, "whenChanged");
    assert_true(d.active_directory && d.show_deleted_control && !d.ns_vendor);
    assert_int_equal(d.usn, 12345);
    assert_string_equal(d.ds_service, "CN=NTDS Settings,CN=DC1");
    assert_int_equal(rootdse_key(&d), KEY_OBJECT_GUID);
    assert_int_equal(rootdse_choose(&d, "auto", false), CHOICE_POLL);
    /* What does not fit is nothing, rather than something else. */
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    say(&d, "dsServiceName", longest);
    assert_string_equal(d.ds_service, "");
    say(&d, "highestCommittedUSN", "99999999999999999999999");
    assert_int_equal(d.usn, 0);
}

static void test_389(void **state)
{
    (void)state;
    struct rootdse d = {0};
    say(&d, "vendorName", "389 Project");
    base(&d, "nsUniqueId");
    base(&d, "entryUUID");
    assert_true(d.ns_vendor);
    assert_int_equal(rootdse_key(&d), KEY_NS_UNIQUE_ID);
}

static void test_nothing_to_go_by(void **state)
{
    (void)state;
    struct rootdse d = {0};
    assert_int_equal(rootdse_choose(&d, "auto", false), CHOICE_LOOKUP);
    base(&d, "modifyTimestamp");
    assert_int_equal(rootdse_choose(&d, "auto", false), CHOICE_LOOKUP);
    assert_int_equal(rootdse_choose(&d, "lookup", false), CHOICE_LOOKUP);
    assert_int_equal(rootdse_choose(&d, "poll", false), CHOICE_NONE);
}

static void check_key(enum entry_key key, const char *value, size_t len, const char *text,
                      const char *filter)
{
    struct uuid u;
    struct buf b = {0};
    char shown[UUID_STRLEN];
    assert_int_equal(entry_key_parse(key, value, len, &u), 0);
    assert_string_equal(uuid_str(&u, shown), text);
    entry_key_filter(key, &u, &b);
    assert_string_equal(buf_str(&b), filter);
    buf_free(&b);
    assert_int_equal(entry_key_parse(key, value, len - 1, &u), -1);
}

static void test_keys(void **state)
{
    (void)state;
    static const char guid[] = "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
    static const char text[] = "00112233-4455-6677-8899-aabbccddeeff";
    static const char ns[] = "00112233-44556677-8899aabb-ccddeeff";
    struct uuid u;
    check_key(KEY_OBJECT_GUID, guid, 16, text,
              "(objectGUID=\\33\\22\\11\\00\\55\\44\\77\\66\\88\\99\\aa\\bb\\cc\\dd\\ee\\ff)");
    check_key(KEY_ENTRY_UUID, text, 36, text, "(entryUUID=00112233-4455-6677-8899-aabbccddeeff)");
    check_key(KEY_NS_UNIQUE_ID, ns, 35, text, "(nsUniqueId=00112233-44556677-8899aabb-ccddeeff)");
    assert_int_equal(
        entry_key_parse(KEY_NS_UNIQUE_ID, "00112233-44556677-8899aabb_ccddeeff", 35, &u), -1);
    assert_int_equal(
        entry_key_parse(KEY_NS_UNIQUE_ID, "0011223g-44556677-8899aabb-ccddeeff", 35, &u), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openldap), cmocka_unit_test(test_active_directory),
        cmocka_unit_test(test_389),      cmocka_unit_test(test_nothing_to_go_by),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

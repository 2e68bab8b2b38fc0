/* The shared table, and what SMTP counts in it. Time stands still, and moves by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/shtable.h"
#include "gateway/smtp/limits.h"

#define SIZE ((size_t)1 << 16)

static struct conf *conf;
static char path[64];
static int64_t seconds;

static void pass(int64_t s)
{
    seconds += s;
    clock_set_fake(seconds * 1000, seconds);
}

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/dirigo-limits-%d", (int)getpid());
    unlink(path);
    conf = conf_defaults();
    seconds = 1700000000;
    pass(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    conf_free(&conf);
    unlink(path);
    clock_set_fake(-1, 0);
    return 0;
}

static struct limits *open_limits(unsigned index)
{
    struct limits *l = limits_new(conf, shtable_make(path, SIZE), index, 2);

    assert_non_null(l);
    return l;
}

static struct netaddr address(const char *text)
{
    struct netaddr a;

    assert_int_equal(netaddr_parse(&a, text), 0);
    return a;
}

static void test_table(void **state)
{
    (void)state;
    struct shtable *a = shtable_map(shtable_make(path, SIZE)),
                   *b = shtable_map(shtable_make(path, SIZE));
    struct shtable_key key = shtable_key(a, 'x', "key", 3), same = shtable_key(b, 'x', "key", 3),
                       other = shtable_key(b, 'y', "key", 3);

    assert_memory_equal(&key, &same, sizeof(key)); /* one secret, in the file */
    assert_memory_not_equal(&key, &other, sizeof(key));
    assert_null(shtable_find(a, key));
    struct shtable_entry *e = shtable_take(a, key, 5);
    atomic_store(&e->value[0], 7);
    e = shtable_find(b, key);
    assert_non_null(e);
    assert_int_equal(atomic_load(&e->value[0]), 7);
    assert_null(shtable_find(b, other));
    /* However many come, the one that expires last stays. */
    atomic_store(&e->expires, UINT64_MAX);
    for (unsigned i = 0; i < 20000; i++)
        assert_non_null(shtable_take(b, shtable_key(b, 'z', &i, sizeof(i)), i));
    e = shtable_find(a, key);
    assert_non_null(e);
    assert_int_equal(atomic_load(&e->value[0]), 7);
    shtable_unmap(&a);
    shtable_unmap(&b);
}

static void test_file(void **state)
{
    (void)state;
    struct shtable *t = shtable_map(shtable_make(path, SIZE));
    struct shtable_key key = shtable_key(t, 'x', "key", 3);

    shtable_take(t, key, 5);
    shtable_unmap(&t);
    t = shtable_map(shtable_make(path, SIZE)); /* through a restart */
    assert_non_null(shtable_find(t, key));
    shtable_unmap(&t);
    t = shtable_map(shtable_make(path, 2 * SIZE)); /* of another size it is a new one */
    assert_null(shtable_find(t, key));
    shtable_unmap(&t);
    FILE *f = fopen(path, "w");
    fputs("this is none", f);
    fclose(f);
    assert_null(shtable_map(open(path, O_RDWR)));
    t = shtable_map(shtable_make(path, SIZE));
    assert_non_null(t);
    shtable_unmap(&t);
}

static void test_rate(void **state)
{
    (void)state;
    conf->smtpd_client_message_rate_limit = 3;
    struct limits *a = open_limits(0), *b = open_limits(1);
    struct netaddr peer = address("192.0.2.1"), other = address("192.0.2.2");

    assert_true(limits_client(a, LIMIT_MESSAGE, &peer));
    assert_true(limits_client(b, LIMIT_MESSAGE, &peer));
    assert_true(limits_client(a, LIMIT_MESSAGE, &peer));
    assert_false(limits_client(b, LIMIT_MESSAGE, &peer));
    assert_true(limits_client(b, LIMIT_MESSAGE, &other));
    assert_true(limits_client(b, LIMIT_RECIPIENT, &peer)); /* no limit for these */
    pass(20);                                              /* a third of anvil_rate_time_unit */
    assert_true(limits_client(a, LIMIT_MESSAGE, &peer));
    assert_false(limits_client(a, LIMIT_MESSAGE, &peer));
    pass(60);
    for (int i = 0; i < 3; i++)
        assert_true(limits_client(a, LIMIT_MESSAGE, &peer));
    assert_false(limits_client(a, LIMIT_MESSAGE, &peer));
    /* A clock that was wrong locks nobody out. */
    pass(-100000);
    assert_true(limits_client(a, LIMIT_MESSAGE, &peer));
    limits_free(&a);
    limits_free(&b);
}

static void test_networks(void **state)
{
    (void)state;
    conf->smtpd_client_message_rate_limit = 1;
    struct limits *l = open_limits(0);
    struct netaddr a = address("2001:db8::1"), b = address("2001:db8::2"),
                   c = address("2001:db8:0:1::1"), loopback = address("127.0.0.1");
    char *exceptions[] = {"127.0.0.0/8"};
    char text[NETADDR_STRLEN];

    assert_true(limits_client(l, LIMIT_MESSAGE, &a));
    assert_false(limits_client(l, LIMIT_MESSAGE, &b)); /* of the same /64 */
    assert_true(limits_client(l, LIMIT_MESSAGE, &c));
    assert_string_equal(limits_network(l, &c, text), "2001:db8:0:1::");
    limits_free(&l);
    struct conf_list none = conf->smtpd_client_event_limit_exceptions;
    conf->smtpd_client_event_limit_exceptions = (struct conf_list){.n = 1, .v = exceptions};
    l = open_limits(0);
    for (int i = 0; i < 5; i++)
        assert_true(limits_client(l, LIMIT_MESSAGE, &loopback));
    limits_free(&l);
    conf->smtpd_client_event_limit_exceptions = none;
}

static void test_login(void **state)
{
    (void)state;
    conf->smtpd_login_recipient_rate_limit = 2;
    struct limits *l = open_limits(0);

    assert_true(limits_login(l, LIMIT_RECIPIENT, "alice"));
    assert_true(limits_login(l, LIMIT_RECIPIENT, "ALICE"));
    assert_false(limits_login(l, LIMIT_RECIPIENT, "alice"));
    assert_true(limits_login(l, LIMIT_RECIPIENT, "bob"));
    assert_true(limits_login(l, LIMIT_MESSAGE, "alice"));
    limits_free(&l);
}

/* Every entry in use gets a time where its count was, as by a process that came late. */
static void spoil_counts(void)
{
    int fd = open(path, O_RDWR);
    struct shtable_entry e;

    for (off_t at = 4096; pread(fd, &e, sizeof(e), at) == (ssize_t)sizeof(e); at += sizeof(e)) {
        if (atomic_load(&e.tag) == 0 || atomic_load(&e.expires) == UINT64_MAX)
            continue; /* unused, or a process' own */
        atomic_store(&e.value[0], (uint64_t)clock_wall_us());
        assert_int_equal(pwrite(fd, &e, sizeof(e), at), sizeof(e));
    }
    close(fd);
}

static void test_late_writer(void **state)
{
    (void)state;
    conf->smtpd_client_connection_count_limit = 2;
    conf->greylist_auto_whitelist_clients = 2;
    struct limits *l = open_limits(0);
    struct netaddr peer = address("192.0.2.1");
    int64_t wait;

    assert_true(limits_connect(l, &peer));
    assert_false(limits_greylist(l, &peer, "a@b.example", "x@ours.example", &wait));
    pass(conf->greylist_delay / 1000 + 1);
    assert_true(limits_greylist(l, &peer, "a@b.example", "x@ours.example", &wait));
    spoil_counts();
    /* It locks nobody out, and makes nobody known. */
    assert_true(limits_connect(l, &peer));
    assert_true(limits_connect(l, &peer));
    assert_false(limits_connect(l, &peer));
    assert_false(limits_greylist(l, &peer, "new@b.example", "x@ours.example", &wait));
    limits_disconnect(l, &peer);
    assert_true(limits_connect(l, &peer));
    limits_free(&l);
}

static void test_connections(void **state)
{
    (void)state;
    conf->smtpd_client_connection_count_limit = 3;
    struct limits *a = open_limits(0), *b = open_limits(1);
    struct netaddr peer = address("192.0.2.1");

    assert_true(limits_connect(a, &peer));
    assert_true(limits_connect(a, &peer));
    assert_true(limits_connect(b, &peer));
    assert_false(limits_connect(a, &peer));
    limits_disconnect(b, &peer);
    assert_true(limits_connect(a, &peer));
    /* A process that was killed takes its connections along. */
    limits_free(&a);
    pass(1);
    a = open_limits(0);
    for (int i = 0; i < 3; i++)
        assert_true(limits_connect(a, &peer));
    assert_false(limits_connect(b, &peer));
    for (int i = 0; i < 5; i++)
        limits_disconnect(a, &peer);
    for (int i = 0; i < 3; i++)
        assert_true(limits_connect(b, &peer));
    limits_free(&a);
    limits_free(&b);
}

static void test_greylist(void **state)
{
    (void)state;
    int64_t wait;
    struct netaddr peer = address("192.0.2.1");
    char sender[32];

    conf->greylist_auto_whitelist_clients = 2;
    struct limits *l = open_limits(0);
    assert_false(limits_greylist(l, &peer, "a@example.net", "b@example.org", &wait));
    assert_int_equal(wait, 301);
    pass(299);
    assert_false(limits_greylist(l, &peer, "A@EXAMPLE.NET", "b@example.org", &wait));
    assert_int_equal(wait, 2);
    pass(1);
    assert_true(limits_greylist(l, &peer, "a@example.net", "b@example.org", &wait));
    assert_true(limits_greylist(l, &peer, "a@example.net", "b@example.org", &wait));
    /* Another mail is another one; after two that came again, none is put off. */
    snprintf(sender, sizeof(sender), "c@example.net");
    assert_false(limits_greylist(l, &peer, sender, "b@example.org", &wait));
    pass(300);
    assert_true(limits_greylist(l, &peer, sender, "b@example.org", &wait));
    assert_true(limits_greylist(l, &peer, "new@example.net", "b@example.org", &wait));
    /* All of it is forgotten some day. */
    pass(conf->greylist_max_age / 1000 + 1);
    assert_false(limits_greylist(l, &peer, "a@example.net", "b@example.org", &wait));
    pass(conf->greylist_retry_window / 1000 + 1); /* a first attempt sooner */
    assert_false(limits_greylist(l, &peer, "a@example.net", "b@example.org", &wait));
    limits_free(&l);
}

static void test_waited(void **state)
{
    (void)state;
    struct limits *l = open_limits(0);
    struct netaddr peer = address("192.0.2.1");

    assert_false(limits_has_waited(l, &peer));
    limits_waited(l, &peer);
    assert_true(limits_has_waited(l, &peer));
    pass(conf->postscreen_greet_ttl / 1000 + 1);
    assert_false(limits_has_waited(l, &peer));
    limits_free(&l);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_table),       T(test_file),        T(test_rate),     T(test_networks), T(test_login),
        T(test_late_writer), T(test_connections), T(test_greylist), T(test_waited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

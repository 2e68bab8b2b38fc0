/* The resolver's settings from the configuration, and trust anchors from a file's text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "gateway/resolver/settings.h"

/* The settings' text with one more setting, or NULL with the error. */
static char *text_of(const char *setting, const char *hints, char **error)
{
    const char *const overrides[] = {"myhostname=mx.example.org",
                                     "search_base=dc=example",
                                     "embedded_directory=yes",
                                     "inet_protocols=ipv4",
                                     "resolver_cache_size=8M",
                                     setting,
                                     NULL};
    static const uint16_t ports[] = {4711, 4712, 4713};
    struct buf out = {0}, errors = {0};
    struct conf *conf = conf_load("/dev/null", overrides, &errors);

    if (conf == NULL)
        fail_msg("%s", buf_str(&errors));
    *error = NULL;
    char *text = settings_text(conf, hints, ports, &out, error) == 0 ? buf_steal_str(&out) : NULL;
    buf_free(&out);
    buf_free(&errors);
    conf_free(&conf);
    return text;
}

static void expect(const char *setting, const char *hints, const char *part, bool there)
{
    char *error, *text = text_of(setting, hints, &error);

    assert_non_null(text);
    if ((strstr(text, part) != NULL) != there)
        fail_msg("\"%s\" in:\n%s", part, text);
    free(text);
}

static void test_server(void **state)
{
    (void)state;
    expect("resolver_query_limit=123", NULL, "  num-queries-per-thread: 123\n", true);
    expect("resolver_query_limit=123", NULL, "  do-ip6: no\n", true);
    expect("resolver_query_limit=123", NULL, "  msg-cache-size: 2097152\n", true);
    expect("resolver_query_localhost=yes", NULL, "  do-not-query-localhost: no\n", true);
    expect("resolver_query_localhost=no", NULL, "root-hints", false);
    expect("resolver_query_localhost=no", "/h", "  root-hints: \"/h\"\n", true);
    expect("resolver_trust_anchor_file=", NULL, "  module-config: \"iterator\"\n", true);
    expect("resolver_trust_anchor_file=/k", NULL, "  module-config: \"validator iterator\"\n",
           true);
    expect("resolver_insecure_zones=corp", NULL, "  domain-insecure: \"corp\"\n", true);
}

static void test_zones(void **state)
{
    (void)state;
    const char *two = "resolver_stub_zones=a.test=127.0.0.1@53 b.test=::1 A.TEST=127.0.0.2";

    expect(two, NULL,
           "stub-zone:\n  name: \"a.test\"\n  stub-addr: 127.0.0.1@53\n  stub-addr: 127.0.0.2\n"
           "stub-zone:\n  name: \"b.test\"\n  stub-addr: ::1\n",
           true);
    expect(two, NULL, "  local-zone: \"test\" nodefault\n", true);
    expect("resolver_forward_zones=.=192.0.2.1", NULL,
           "forward-zone:\n  name: \".\"\n  forward-addr: 192.0.2.1\n", true);
    expect("resolver_forward_zones=.=192.0.2.1", NULL, "local-zone", false);
}

static void test_tls(void **state)
{
    (void)state;
    const char *tls = "resolver_forward_zones=a.test=192.0.2.1 .=192.0.2.2#dns.test "
                      ".=2001:db8::1@8853#dns.test";
    struct netaddr server;
    const char *name;

    expect(tls, NULL,
           "forward-zone:\n  name: \"a.test\"\n  forward-addr: 192.0.2.1\n"
           "forward-zone:\n  name: \".\"\n  forward-tcp-upstream: yes\n"
           "  forward-addr: 127.83.53.1@4712\n  forward-addr: 127.83.53.1@4713\n",
           true);
    /* No other loopback address than the tunnels' becomes a name server's by that. */
    expect(tls, NULL, "  do-not-query-address: 127.0.0.0/10\n", true);
    expect(tls, NULL, "  do-not-query-address: 127.83.53.0/32\n", true);
    expect(tls, NULL, "127.83.53.1/32", false);
    expect("resolver_forward_zones=.=192.0.2.1", NULL, "do-not-query-address", false);
    assert_true(settings_tls_server(".=192.0.2.2#dns.test", &server, &name));
    assert_int_equal(server.port, 853);
    assert_string_equal(name, "dns.test");
    assert_true(settings_tls_server(".=2001:db8::1@8853#dns.test", &server, &name));
    assert_int_equal(server.port, 8853);
    assert_false(settings_tls_server(".=192.0.2.2", &server, &name));
}

static void test_times(void **state)
{
    (void)state;
    expect("resolver_serve_expired=0", NULL, "serve-expired", false);
    expect("resolver_serve_expired=1h", NULL, "  serve-expired-ttl: 3600\n", true);
    expect("resolver_trust_anchor_hold_down=30d", NULL, "  add-holddown: 2592000\n", true);
    expect("resolver_trust_anchor_update=no", NULL, "holddown", false);
    expect("resolver_cache_max_negative_ttl=60s", NULL, "  cache-max-negative-ttl: 60\n", true);
}

static void test_bad_zones(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "resolver_stub_zones=a.test",
        "resolver_stub_zones=a.test=host",
        "resolver_stub_zones=\"x\"=127.0.0.1",
        "resolver_stub_zones=a.test=127.0.0.1@0",
        "resolver_stub_zones==127.0.0.1",
        "resolver_stub_zones=a.test=127.0.0.1@65536",
        "resolver_forward_zones=a=[::1]",
        "resolver_insecure_zones=a\"b",
        "resolver_stub_zones=a=192.0.2.1#tls",
        "resolver_forward_zones=a=192.0.2.1#t\"ls",
        "resolver_forward_zones=a=192.0.2.1#",
        "resolver_forward_zones=a=192.0.2.1@853@1#b",
        "resolver_forward_zones=a=192.0.2.1#b a=192.0.2.2",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char *error, *text = text_of(bad[i], NULL, &error);
        if (text != NULL)
            fail_msg("%s was taken", bad[i]);
        assert_non_null(error);
        free(error);
    }
}

static void test_anchors(void **state)
{
    (void)state;
    const char *cursor = "; a comment\n"
                         ". IN DNSKEY 257 3 8 AwEA ;{id = 1}\n"
                         "\n"
                         "x.test. 300 IN ds 1 2 3 ABCD\n"
                         "DS. IN A 127.0.0.1\n"
                         "y.test. DS 1 2 3 EF";
    struct buf line = {0};

    assert_true(settings_anchor(&cursor, &line));
    assert_string_equal(buf_str(&line), ". IN DNSKEY 257 3 8 AwEA ");
    assert_true(settings_anchor(&cursor, &line));
    assert_string_equal(buf_str(&line), "x.test. 300 IN ds 1 2 3 ABCD");
    assert_true(settings_anchor(&cursor, &line));
    assert_string_equal(buf_str(&line), "y.test. DS 1 2 3 EF");
    assert_false(settings_anchor(&cursor, &line));
    buf_free(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server),    cmocka_unit_test(test_zones),
        cmocka_unit_test(test_tls),       cmocka_unit_test(test_times),
        cmocka_unit_test(test_bad_zones), cmocka_unit_test(test_anchors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

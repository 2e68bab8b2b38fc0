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
    struct buf out = {0}, errors = {0};
    struct conf *conf = conf_load("/dev/null", overrides, &errors);

    if (conf == NULL)
        fail_msg("%s", buf_str(&errors));
    *error = NULL;
    char *text = settings_text(conf, hints, &out, error) == 0 ? buf_steal_str(&out) : NULL;
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

static void test_bad_zones(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "resolver_stub_zones=a.test",          "resolver_stub_zones=a.test=host",
        "resolver_stub_zones=\"x\"=127.0.0.1", "resolver_stub_zones=a.test=127.0.0.1@0",
        "resolver_stub_zones==127.0.0.1",      "resolver_stub_zones=a.test=127.0.0.1@65536",
        "resolver_forward_zones=a=[::1]",      "resolver_insecure_zones=a\"b",
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
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_bad_zones),
        cmocka_unit_test(test_anchors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

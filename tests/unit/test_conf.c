/* The syntax of dirigo.conf, its types and messages, and the way over the control channel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/lines.h"
#include "gateway/base/mem.h"

/* A file of that content; the caller unlinks and frees its name. */
static char *file_of(const char *content)
{
    char *path = mem_strdup("/tmp/test_conf.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    return path;
}

/* Loads content; errors, if not NULL, gets the faults with the file's name as FILE. */
static struct conf *load(const char *content, const char *const *overrides, char **errors)
{
    struct buf b = {0};
    char *path = file_of(content);
    struct conf *conf = conf_load(path, overrides, &b);
    if (errors != NULL) {
        struct buf named = {0};
        const char *s = buf_str(&b), *hit;
        while ((hit = strstr(s, path)) != NULL) {
            buf_append(&named, s, (size_t)(hit - s));
            buf_append_str(&named, "FILE");
            s = hit + strlen(path);
        }
        buf_append_str(&named, s);
        *errors = buf_steal_str(&named);
    }
    unlink(path);
    free(path);
    buf_free(&b);
    return conf;
}

static void expect_fault(const char *content, const char *fault)
{
    char *errors;
    struct conf *conf = load(content, NULL, &errors);
    assert_null(conf);
    if (strstr(errors, fault) == NULL)
        fail_msg("expected \"%s\", got \"%s\"", fault, errors);
    free(errors);
}

static const char sample[] = "# a comment\n"
                             "myhostname = mx.example.org\r\n"
                             "\n"
                             "  # a comment with space before it\n"
                             "mydestination = $myhostname,\n"
                             "    # inside a setting\n"
                             "\tlocalhost.${mydomain},\n"
                             "\n"
                             "\tlocalhost\n"
                             "message_size_limit=10M\n"
                             "smtpd_timeout = 90\n"
                             "minimal_backoff_time = 1500 ms\n"
                             "smtpd_helo_required = no\n"
                             "bind_pw = a$b#c = d\n"
                             "login_greeting = costs $$5\n"
                             "port_smtp = 2525";

static void test_values(void **state)
{
    (void)state;
    struct conf *conf = load(sample, NULL, NULL);
    assert_non_null(conf);
    assert_string_equal(conf->myhostname, "mx.example.org");
    assert_string_equal(conf->mydomain, "example.org");
    assert_string_equal(conf->myorigin, "example.org");
    assert_int_equal(conf->mydestination.n, 3);
    assert_string_equal(conf->mydestination.v[1], "localhost.example.org");
    assert_string_equal(conf->mydestination.v[2], "localhost");
    assert_null(conf->mydestination.v[3]);
    assert_int_equal(conf->message_size_limit, 10 << 20);
    assert_int_equal(conf->smtpd_timeout, 90000);
    assert_int_equal(conf->minimal_backoff_time, 1500);
    assert_false(conf->smtpd_helo_required);
    assert_string_equal(conf->bind_pw, "a$b#c = d");
    assert_string_equal(conf->login_greeting, "costs $5");
    assert_int_equal(conf->port_smtp, 2525);
    assert_int_equal(conf->smtpd_client_restrictions.n, 0);
    assert_int_equal(conf->directory_map_size, (uint64_t)4 << 30);
    assert_string_equal(conf_origin(conf, "myorigin"), "default");
    assert_non_null(strstr(conf_origin(conf, "mydestination"), ":5"));
    assert_string_equal(conf_text(conf, "smtpd_banner"), "mx.example.org ESMTP");
    assert_null(conf_text(conf, "nonesuch"));
    conf_free(&conf);
    assert_null(conf);
    conf_free(&conf);
}

static void test_overrides_win(void **state)
{
    (void)state;
    const char *const overrides[] = {"port_smtp=26", "myhostname = a.example.net", NULL};
    struct conf *conf = load(sample, overrides, NULL);
    assert_non_null(conf);
    assert_int_equal(conf->port_smtp, 26);
    assert_string_equal(conf->mydomain, "example.net");
    assert_string_equal(conf_origin(conf, "port_smtp"), "command line");
    conf_free(&conf);

    char *errors;
    const char *const bad[] = {"port_smpt=26", "nonsense", NULL};
    assert_null(load(sample, bad, &errors));
    assert_non_null(strstr(errors, "command line: port_smpt: there is no such parameter; did you "
                                   "mean port_smtp?"));
    assert_non_null(strstr(errors, "command line: this is no setting"));
    free(errors);
}

static void test_faults_name_the_place(void **state)
{
    (void)state;
    expect_fault("\nmyhostnane = x\n", "FILE:2: myhostnane: there is no such parameter; did you "
                                       "mean myhostname?");
    expect_fault("qqqqqqqq = x\n", "there is no such parameter; `dirigo config` lists them");
    expect_fault("port_smtp = 70000\n", "FILE:1: port_smtp: is out of range; it must be from 1 to "
                                        "65535");
    expect_fault("port_smtp = 12x\n", "port_smtp: is not a whole number");
    expect_fault("port_smtp =\n", "port_smtp: is not a whole number");
    expect_fault("message_size_limit = 3G\n", "it must be from 1k to 2G");
    expect_fault("message_size_limit = 99999999999999999999G\n", "is not a size");
    expect_fault("message_size_limit = 9223372036854775807G\n", "is not a size");
    expect_fault("smtpd_timeout = 5 years\n", "is not a time");
    expect_fault("smtpd_timeout = -5\n", "is not a time");
    expect_fault("sandbox = maybe\n", "FILE:1: sandbox: is neither yes nor no; write yes or no");
    expect_fault("log_level = loud\n", "write one of: error warning notice info debug");
    expect_fault("run_directory = run\n", "is not an absolute path; start it with /");
    expect_fault("just words\n", "FILE:1: this is no setting; write NAME = VALUE");
    expect_fault("= x\n", "FILE:1: there is no name before the =");
    expect_fault("my-name = x\n", "FILE:1: my-name: this is no parameter name");
    expect_fault("login_greeting = a\x01z\n", "contains a control character");
    expect_fault("mydomain = $nonesuch\n", "refers to $nonesuch, which is no parameter");
    expect_fault("mydomain = $myhostnam\n", "did you mean $myhostname?");
    expect_fault("mydomain = ${myhostname\n", "has a $ without a name");
    expect_fault("mydomain = 5$\n", "has a $ without a name");
    expect_fault("login_greeting = $bind_pw\n", "which other values may not contain");
    expect_fault("myhostname = a.$mydomain\nmydomain = b.$myorigin\nmyorigin = $myhostname\n",
                 "refers to itself through $myhostname; break the circle");
    expect_fault("myhostname = $myhostname\n", "refers to itself");
}

static void test_expansion_is_bounded(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int i = 0; i < 1000; i++)
        buf_append_str(&b, i == 0 ? "login_greeting = " : "0123456789");
    buf_append_str(&b, "\nsmtpd_banner = ");
    for (int i = 0; i < 7; i++)
        buf_append_str(&b, "$login_greeting");
    buf_append_str(&b, "\n");
    expect_fault(buf_str(&b), "smtpd_banner: is too long when expanded");
    buf_clear(&b);
    for (int i = 0; i < 7000; i++)
        buf_append_str(&b, i == 0 ? "login_greeting = " : "0123456789");
    expect_fault(buf_str(&b), "FILE:1: the line is too long");
    buf_free(&b);
}

static void test_missing_file(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_null(conf_load("/nonexistent/dirigo.conf", NULL, &b));
    assert_non_null(strstr(buf_str(&b), "/nonexistent/dirigo.conf: cannot be read: No such file"));
    buf_free(&b);
}

/* Everything that the parser says about a text, pushed in portions of step bytes. */
static char *parse_all(const char *text, size_t len, size_t step)
{
    struct buf out = {0};
    struct conf_lines *p = conf_lines_new();
    struct conf_line line;
    for (size_t at = 0; at < len; at += step) {
        conf_lines_push(p, text + at, len - at < step ? len - at : step);
        while (conf_lines_next(p, &line) > 0)
            buf_printf(&out, "%u|%s|%s|%s\n", line.number, line.name, line.value,
                       line.fault == NULL ? "" : line.fault);
    }
    conf_lines_end(p);
    while (conf_lines_next(p, &line) > 0)
        buf_printf(&out, "%u|%s|%s|%s\n", line.number, line.name, line.value,
                   line.fault == NULL ? "" : line.fault);
    conf_lines_free(&p);
    return buf_steal_str(&out);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    static const char tricky[] = " starts indented = 1\nx\n\0y=\nname = a\n b\n\n#c\n c\nlast =";
    char *whole = parse_all(sample, sizeof(sample) - 1, sizeof(sample));
    char *single = parse_all(sample, sizeof(sample) - 1, 1);
    assert_string_equal(whole, single);
    free(whole);
    free(single);
    whole = parse_all(tricky, sizeof(tricky) - 1, sizeof(tricky));
    single = parse_all(tricky, sizeof(tricky) - 1, 1);
    assert_string_equal(whole, single);
    assert_non_null(strstr(whole, "4|name|a b c|\n9|last||\n"));
    free(whole);
    free(single);
}

static void test_control_channel(void **state)
{
    (void)state;
    struct conf *conf = load(sample, NULL, NULL);
    struct buf all = {0}, some = {0};
    conf_encode(conf, true, &all);
    conf_encode(conf, false, &some);
    assert_null(memmem(some.data, some.len, "bind_pw", 7));
    assert_null(memmem(some.data, some.len, "a$b#c", 5));

    struct conf *directory = conf_decode(all.data, all.len);
    assert_non_null(directory);
    assert_string_equal(directory->bind_pw, "a$b#c = d");
    assert_string_equal(directory->login_greeting, "costs $5");
    size_t n;
    const struct conf_param *params = conf_params(&n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(conf_text(directory, params[i].name), conf_text(conf, params[i].name));
    struct conf *front = conf_decode(some.data, some.len);
    assert_non_null(front);
    assert_string_equal(front->bind_pw, "");
    assert_string_equal(front->mydomain, "example.org");
    conf_free(&front);
    conf_free(&directory);
    conf_free(&conf);

    for (size_t len = 1; len < some.len; len += 97) {
        struct conf *cut = conf_decode(some.data, len);
        conf_free(&cut);
    }
    assert_null(conf_decode("nonesuch\0x", 11));
    assert_null(conf_decode("port_smtp\0"
                            "99999",
                            16));
    buf_free(&all);
    buf_free(&some);
}

static void test_check(void **state)
{
    (void)state;
    struct buf b = {0};
    struct conf *conf = load("protocols = smtp fax\nport_imap = 25\nmynetworks = 10.0.0.1/8\n"
                             "ssl_cert = /nonexistent/c.pem\nsmtpd_banner = hello\n"
                             "resolver_stub_zones = example.org=127.0.0.1@53 bad\n"
                             "resolver_trust_anchor_file =\n"
                             "myhostname = a host\nrecipient_delimiter = @\n"
                             "relayhost = [mail.example.org\n",
                             NULL, NULL);
    assert_non_null(conf);
    assert_int_equal(conf_check(conf, &b), -1);
    const char *const faults[] = {
        "search_base: is not set; give the DN",
        "server_host: is not set; name an LDAP server",
        ":1: protocols: \"fax\" is unknown; choose from: smtp ",
        ":3: mynetworks: \"10.0.0.1/8\" is no network",
        ":4: ssl_cert: /nonexistent/c.pem cannot be read: No such file or directory; give the PEM",
        ":5: smtpd_banner: does not begin with",
        "resolver_stub_zones: \"bad\" is no zone",
        ":8: myhostname: \"a host\" is no host name",
        ":9: recipient_delimiter: \"@\" has a character that addresses use",
        ":10: relayhost: \"[mail.example.org\" is no host",
    };
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        if (strstr(buf_str(&b), faults[i]) == NULL)
            fail_msg("expected \"%s\" in \"%s\"", faults[i], buf_str(&b));
    }
    assert_null(strstr(buf_str(&b), "port_imap"));
    assert_null(strstr(buf_str(&b), "example.org=127"));
    conf_free(&conf);
    buf_free(&b);
}

static void test_embedded_directory_has_a_server(void **state)
{
    (void)state;
    struct conf *conf = load("embedded_directory = yes\nstate_directory = /var/a b\n", NULL, NULL);
    assert_non_null(conf);
    assert_int_equal(conf->server_host.n, 1);
    assert_string_equal(conf->server_host.v[0], "ldapi://%2Fvar%2Fa%20b%2Fslapd%2Fldapi");
    assert_string_equal(conf_origin(conf, "server_host"), "default");
    conf_free(&conf);
    conf = load("embedded_directory = yes\nserver_host = ldap://x\n", NULL, NULL);
    assert_string_equal(conf->server_host.v[0], "ldap://x");
    conf_free(&conf);
    conf = load("embedded_directory = no\n", NULL, NULL);
    assert_int_equal(conf->server_host.n, 0);
    conf_free(&conf);
}

static void test_defaults_are_valid(void **state)
{
    (void)state;
    struct conf *conf = conf_defaults();
    assert_non_null(strchr(conf->myhostname, '.'));
    assert_string_not_equal(conf->mydomain, "");
    assert_int_equal(conf->port_imaps, 993);
    conf_free(&conf);
}

/* ---- settings of the directory ---- */

#define SETTING(level, dn, text) level dn "\0" text "\0"

static struct conf *load_with(const char *content, const char *settings, size_t len, char **errors)
{
    struct buf b = {0};
    char *path = file_of(content);
    struct conf *conf = conf_load_with(path, NULL, settings, len, &b);
    *errors = buf_steal_str(&b);
    unlink(path);
    free(path);
    return conf;
}

static void test_directory_settings(void **state)
{
    (void)state;
    static const char settings[] =
        SETTING("h", "cn=here", "smtpd_timeout = 2m") SETTING("a", "cn=all", "smtpd_timeout = 3m")
            SETTING("a", "cn=all", "myorigin = $mydomain.example")
                SETTING("a", "cn=all", "message_size_limit = 9M");
    char *errors;
    struct conf *conf = load_with("mydomain = a.org\nmessage_size_limit = 1M\n", settings,
                                  sizeof(settings) - 1, &errors);
    assert_string_equal(errors, "");
    assert_int_equal(conf->smtpd_timeout, 120000);
    assert_string_equal(conf_origin(conf, "smtpd_timeout"), "cn=here");
    assert_string_equal(conf->myorigin, "a.org.example");
    assert_int_equal(conf->message_size_limit, 1 << 20); /* the file wins */
    conf_free(&conf);
    free(errors);
}

static void test_directory_settings_faults(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        size_t len;
        const char *fault;
    } cases[] = {
#define CASE(settings, fault) {(settings), sizeof(settings) - 1, (fault)}
        CASE(SETTING("a", "cn=x", "smtpd_timeout = soon"), "cn=x: smtpd_timeout: "),
        CASE(SETTING("a", "cn=x", "ssl_key = /k"), "cn=x: ssl_key: may only stand in "),
        CASE(SETTING("a", "cn=x", "bind_pw = k"), "cn=x: bind_pw: may only stand in "),
        CASE(SETTING("a", "cn=x", "oauth2_introspection_url = https://x"),
             "cn=x: oauth2_introspection_url: may only stand in "), /* a secret is sent there */
        CASE(SETTING("a", "cn=x", "smtp_timeout = 1"), "did you mean smtpd_timeout?"),
        CASE(SETTING("a", "cn=x", "myorigin = $bind_pw"), "which other values may not contain"),
        CASE(SETTING("a", "cn=x", "smtpd_timeout = 1m") SETTING("a", "cn=y", "smtpd_timeout = 2m"),
             "cn=y: smtpd_timeout: is set to something else by cn=x; keep one of the two"),
        CASE(SETTING("a", "cn=x", ""), "cn=x: a value is no setting"),
        CASE(SETTING("a", "cn=x", "smtpd_timeout = 1m\nport_smtp = 1"),
             "port_smtp: a value is one setting"),
        CASE("acn=x", "damaged"),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *errors;
        assert_null(load_with("", cases[i].settings, cases[i].len, &errors));
        if (strstr(errors, cases[i].fault) == NULL)
            fail_msg("expected \"%s\", got \"%s\"", cases[i].fault, errors);
        free(errors);
    }
}

static const char several[] = "server_host = ldap://a\nsearch_base = dc=a\nbind_pw = first\n"
                              "timeout = 7s\ndirectories = b c\nb_server_host = ldap://b\n"
                              "b_search_base = dc=b\nb_bind_pw = $econd\nb_timeout = 9s\n"
                              "c_server_host = ldap://c ldap://d\n";

static void test_directories(void **state)
{
    (void)state;
    char *errors;
    struct conf *conf = load(several, NULL, &errors);
    struct buf faults = {0}, sent = {0};
    assert_non_null(conf);
    assert_int_equal(conf_directories_check(conf, &faults), -1);
    assert_non_null(strstr(buf_str(&faults), "directories: c_search_base is not set"));
    assert_null(strstr(buf_str(&faults), "b_"));

    struct conf *own = conf_for_directory(conf, "b");
    assert_string_equal(own->search_base, "dc=b");
    assert_string_equal(own->bind_pw, "$econd");
    assert_int_equal(own->timeout, 9000);
    conf_free(&own);
    own = conf_for_directory(conf, "c");
    assert_int_equal(own->server_host.n, 2);
    assert_string_equal(own->bind_pw, ""); /* credentials are not lent */
    assert_int_equal(own->timeout, 7000);
    conf_free(&own);

    /* Passwords of further directories are for dirigo-directory alone, too. */
    conf_encode(conf, false, &sent);
    assert_null(memmem(sent.data, sent.len, "$econd", 6));
    assert_non_null(memmem(sent.data, sent.len, "ldap://b", 8));
    buf_free(&sent);
    buf_free(&faults);
    conf_free(&conf);
    free(errors);
    expect_fault("directories = b\nb_start_tls = perhaps\n", "FILE:2: b_start_tls: ");
    expect_fault("b_start_tls = yes\n", "FILE:1: b_start_tls: there is no such parameter");
    expect_fault("directories = b\nb_port_smtp = 1\n", "FILE:2: b_port_smtp: there is no such");
}

/* Nothing of the directory's may name a file, hold a password, or lead to another directory. */
static void test_what_is_local(void **state)
{
    (void)state;
    size_t n;
    const struct conf_param *p = conf_params(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(p[i].type, "path") == 0 || strcmp(p[i].type, "secret") == 0)
            assert_true((p[i].flags & CONF_LOCAL) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_overrides_win),
        cmocka_unit_test(test_faults_name_the_place),
        cmocka_unit_test(test_expansion_is_bounded),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_control_channel),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_embedded_directory_has_a_server),
        cmocka_unit_test(test_defaults_are_valid),
        cmocka_unit_test(test_directory_settings),
        cmocka_unit_test(test_directory_settings_faults),
        cmocka_unit_test(test_what_is_local),
        cmocka_unit_test(test_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* DMARC and Authentication-Results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/filter/authres.h"
#include "gateway/filter/dmarc.h"

/* The last two labels, which is the rule for most of the list. */
static const char *last_two(const char *domain, void *arg)
{
    const char *dot = strrchr(domain, '.');

    (void)arg;
    if (dot == NULL)
        return NULL;
    while (dot > domain && dot[-1] != '.')
        dot--;
    return dot;
}

/* text: the record at the name; NULL: none; "!": nobody can tell. */
static void answer(struct dmarc *d, const char *name, const char *text)
{
    struct dns_record r = {.type = DNS_TYPE_TXT};
    struct dns_answer a = {.status = DNS_NXDOMAIN, .why = "", .records = &r};

    assert_string_equal(dmarc_question(d), name);
    if (text != NULL && *text == '!') {
        a.status = DNS_UNKNOWN;
    } else if (text != NULL) {
        r.data = (const uint8_t *)text;
        r.len = strlen(text);
        a.status = DNS_FOUND;
        a.count = 1;
    }
    dmarc_answer(d, &a);
}

static struct dmarc_result judge(struct dmarc **d, unsigned roll)
{
    struct dmarc_result r;

    assert_null(dmarc_question(*d));
    dmarc_result(*d, roll, &r);
    dmarc_free(d);
    return r;
}

static void test_policy(void **state)
{
    struct dmarc *d = dmarc_new("example.org", last_two, NULL);
    struct dmarc_result r;

    (void)state;
    answer(d, "_dmarc.example.org", "v=DMARC1; p=reject; rua=mailto:x@example.org");
    r = judge(&d, 0);
    assert_int_equal(r.result, AUTH_FAIL);
    assert_int_equal(r.wanted, DMARC_REJECT);

    d = dmarc_new("sub.example.org", last_two, NULL);
    answer(d, "_dmarc.sub.example.org", NULL);
    answer(d, "_dmarc.example.org", "v=DMARC1;p=reject;sp=quarantine;pct=50");
    r = judge(&d, 49);
    assert_int_equal(r.wanted, DMARC_QUARANTINE);

    d = dmarc_new("sub.example.org", last_two, NULL);
    answer(d, "_dmarc.sub.example.org", NULL);
    answer(d, "_dmarc.example.org", "v=DMARC1;p=reject;sp=quarantine;pct=50");
    r = judge(&d, 50); /* not of the fifty */
    assert_int_equal(r.published, DMARC_QUARANTINE);
    assert_int_equal(r.wanted, DMARC_NONE);
}

static void test_no_policy(void **state)
{
    struct dmarc *d = dmarc_new("example.org", last_two, NULL);

    (void)state;
    answer(d, "_dmarc.example.org", "v=DMARC10; p=reject");
    assert_int_equal(judge(&d, 0).result, AUTH_NONE);
    d = dmarc_new("example.org", last_two, NULL);
    answer(d, "_dmarc.example.org", "v=DMARC1; x=y");
    assert_int_equal(judge(&d, 0).result, AUTH_PERMERROR);
    d = dmarc_new("example.org", last_two, NULL);
    answer(d, "_dmarc.example.org", "v=DMARC1; p=everything; rua=mailto:x@example.org");
    assert_int_equal(judge(&d, 0).wanted, DMARC_NONE);
    d = dmarc_new("example.org", last_two, NULL);
    answer(d, "_dmarc.example.org", "!");
    assert_int_equal(judge(&d, 0).result, AUTH_TEMPERROR);
}

static enum auth_result aligned(const char *record, const char *spf, const char *dkim,
                                bool temporary)
{
    struct dmarc *d = dmarc_new("mail.example.org", last_two, NULL);

    answer(d, "_dmarc.mail.example.org", record);
    if (spf != NULL)
        dmarc_take_spf(d, spf, temporary);
    if (dkim != NULL)
        dmarc_take_dkim(d, dkim, temporary);
    return judge(&d, 0).result;
}

static void test_alignment(void **state)
{
    const char *relaxed = "v=DMARC1; p=reject", *strict = "v=DMARC1; p=reject; adkim=s; aspf=s";

    (void)state;
    assert_int_equal(aligned(relaxed, "other.example.org", NULL, false), AUTH_PASS);
    assert_int_equal(aligned(relaxed, NULL, "EXAMPLE.org", false), AUTH_PASS);
    assert_int_equal(aligned(relaxed, "example.net", "badexample.org", false), AUTH_FAIL);
    assert_int_equal(aligned(strict, "example.org", "other.example.org", false), AUTH_FAIL);
    assert_int_equal(aligned(strict, NULL, "mail.example.org", false), AUTH_PASS);
    assert_int_equal(aligned(strict, "mail.example.org", NULL, false), AUTH_PASS);
    /* What cannot be judged now is no failure. */
    assert_int_equal(aligned(relaxed, "example.org", NULL, true), AUTH_TEMPERROR);
    assert_int_equal(aligned(relaxed, "example.net", NULL, true), AUTH_FAIL);
}

static void expect_author(const char *header, enum dmarc_author kind, const char *want)
{
    struct arena *arena = arena_new(1 << 16);
    struct fields fields;
    const char *domain;

    assert_int_equal(fields_read(&fields, header, strlen(header), 50, arena, NULL), 0);
    assert_int_equal(dmarc_author(&fields, arena, &domain), kind);
    if (want != NULL)
        assert_string_equal(domain, want);
    arena_free(&arena);
}

static void test_author(void **state)
{
    (void)state;
    expect_author("From: A <a@Example.ORG>\r\n", DMARC_AUTHOR_ONE, "example.org");
    expect_author("From: \"x@bank.example\" <a@example.org>\r\n", DMARC_AUTHOR_ONE, "example.org");
    expect_author("From: a@example.org, b@example.org\r\n", DMARC_AUTHOR_ONE, "example.org");
    expect_author("From: a@example.org, b@example.net\r\n", DMARC_AUTHOR_MANY, NULL);
    expect_author("From: a@example.org\r\nfrom : a@example.org\r\n", DMARC_AUTHOR_MANY, NULL);
    expect_author("From: nobody\r\n", DMARC_AUTHOR_NONE, NULL);
    expect_author("To: a@example.org\r\n", DMARC_AUTHOR_NONE, NULL);
}

static bool claims(const char *raw)
{
    struct header_field f;

    header_field_parse(&f, raw, strlen(raw));
    return authres_claims(&f, "mx.example.org");
}

static void test_forged(void **state)
{
    (void)state;
    assert_true(claims("Authentication-Results: mx.example.org; spf=pass\r\n"));
    assert_true(claims("authentication-results : (a (b) \\) c)\r\n\t MX.Example.org 1; none\r\n"));
    assert_true(claims("Authentication-Results: \"mx.ex\\ample.org\"; none\r\n"));
    assert_true(claims("Authentication-Results: (never closed mx.example.net;\r\n"));
    assert_true(claims("Authentication-Results:\r\n"));
    assert_false(claims("Authentication-Results: mx.example.org.net; none\r\n"));
    assert_false(claims("Authentication-Results: (mx.example.org) other.example; none\r\n"));
    assert_false(claims("X-Authentication-Results: mx.example.org; none\r\n"));
}

/* What strangers chose cannot leave its place. */
static void test_values_are_quoted(void **state)
{
    struct authres a;
    struct spf_verdict spf = {.result = SPF_PASS, .domain = "", .problem = ""};
    struct dkim_result dkim = {.result = AUTH_PASS,
                               .reason = "",
                               .domain = "example.org",
                               .selector = "s;x=\"y\"",
                               .identity = "@example.org",
                               .algorithm = "rsa",
                               .bits = 2048,
                               .tag = "abcd/+12"};

    (void)state;
    authres_begin(&a, "mx.example.org");
    assert_string_equal(authres_text(&a), "");
    authres_spf(&a, &spf, "\"a b\r\n;\"@example.org", "h");
    authres_dkim(&a, &dkim);
    assert_string_equal(
        authres_text(&a),
        "mx.example.org;\r\n\tspf=pass "
        "smtp.mailfrom=\"\\\"a b??;\\\"@example.org\";\r\n\tdkim=pass (2048-bit rsa "
        "key) header.d=example.org header.s=\"s;x=\\\"y\\\"\" header.b=abcd/+12");
    authres_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy),    cmocka_unit_test(test_no_policy),
        cmocka_unit_test(test_alignment), cmocka_unit_test(test_author),
        cmocka_unit_test(test_forged),    cmocka_unit_test(test_values_are_quoted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

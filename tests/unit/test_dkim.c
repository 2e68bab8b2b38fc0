/* DKIM: the examples of RFC 6376 and RFC 8463, and what a signature may be refused for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/str.h"
#include "gateway/filter/dkim.h"

#define RFC_BODY "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
#define RFC_HEADER                                                                                 \
    "From: Joe SixPack <joe@football.example.com>\r\n"                                             \
    "To: Suzie Q <suzie@shopping.example.net>\r\n"                                                 \
    "Subject: Is dinner ready?\r\n"                                                                \
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"                                              \
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"

/* RFC 6376 appendices A.2 and C, with the white space that was signed: the printed page has another
 * indentation, and a space too many in the body. */
static const char rfc6376[] =
    "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"
    "      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
    "      h=Received : From : To : Subject : Date : Message-ID;\r\n"
    "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    "      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n"
    "      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
    "      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n"
    "      4bmp/YzhwvcubU4=;\r\n"
    "Received: from client1.football.example.com  [192.0.2.1]\r\n"
    "      by submitserver.example.com with SUBMISSION;\r\n"
    "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n" RFC_HEADER
    "\r\nHi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n";
static const char rfc6376_key[] = "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ"
                                  "KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"
                                  "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v"
                                  "/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"
                                  "tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";

/* RFC 8463 appendix A. */
static const char rfc8463[] =
    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    " subject : date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
    " date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
    " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
    " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n" RFC_HEADER "\r\n" RFC_BODY;
static const char ed_record[] =
    "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
static const char rsa_record[] =
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
    "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
    "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
    "Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

/* RFC 8032 section 7.1's first key, and a key of 2048 bits made for this test. */
static const char ed_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";
static const char rsa_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDb7h9trBlqsFjj\n"
    "XY9RfWpYUlDj0pAJZCPMNwWWWfEgbEQF4+AKtZGvZqUkAqZbDRWO4wGxLzRQWPhN\n"
    "wD1a/ha17cVa+HoYE6Bmx+EfIi45n6ZmhMPJbcLdYp/SMNUG5LMRZUJ0eL6KSSnR\n"
    "edvMlIrKGJbxhj6Ct3T0IuOoqrC2oHTjSoOlM+2Im9ndMX+rWEV6vAIDGvWNJ2xn\n"
    "ktv8NAQrmzY71CIB2ULrv2Lwi5gu4Eq2XmkvOFFWCNvkO/b6kJ8MneqFf+1b2dSt\n"
    "4lymdmhI9JpQZtIF8RMPrigf5JRRTlqDvXFLnsE8ni4kW6evLDgA1HpNeF4GWi9p\n"
    "LaIMmGrhAgMBAAECggEABJecGIO3H2Ydogg9ZozDSmM0IRCvzSFmGbTVqRg5T6Vx\n"
    "FWwm3MRiLY7bsIT9ZSHwnvxcl/75xTp5W1LB+TccYWm8xOeysXNh9llyuP4jR9Te\n"
    "gi4gIjHod2vQdWCrhw6CEnE6RjEx/dRVoyQLr9GzdPE24CXO4vb6kkEy/p3rTRHi\n"
    "W477hXCwbDSiY7AFZuBY/tERp5AeUtbxrfFLiQu08+TCuURY4adUujjdMfwy2QWa\n"
    "h4ha+KksGXOX6iZpw7SXH8CravVY/PKZv/hpcsJMCwQNiVJFl+ODUKC3J2GKzK4z\n"
    "DHYgm0L7x1s+50Y+Xm9OIQ9Vf2EvvNxySw4f/kphgQKBgQDyns6q7wLLtFlSpZYV\n"
    "4GJnVA8BhdxLPBYs5T0wR+YkefHU74tbiqDv3FyQBfl42OcWDhzZDrsPLcjZu0Pj\n"
    "fZqCV3ybvg2cfSWn/DmvN2vGxwjeByUFOyQcWyBNEkjVs8YdZquUrNixY1RtzXpq\n"
    "aw7u3WHLs30afBx0ygNAjCO8QQKBgQDoDvyn6U5IcdYTx1gMtQ+jTwlsFEqlybcu\n"
    "A/VyxRV7lxqYxau4wCmsS+Y2aOawIxwk2+kHd0Dd0LW0FLofpjEVkdLDUHnSElTe\n"
    "rqioWcw4Vh2gvVNynZQu+gvzJPS/JYkhmF2mP78M/aJsQdprW7kwVFz7ePyiG+oZ\n"
    "46N0tFWGoQKBgGVfc2y6dwmULmo446/6VENmPOre+n+4+G8DzYA52nBNP31AJZM3\n"
    "Ji1yfn5y8JzMzClL9kO/QuuBrtVCyIfp+EATu+37CAblx3EcEyIh3vdsPElA5Pf9\n"
    "kQYEEUgCpsob1mB8gJ6bZeMgZKuIWmjSmKe3emA5e8EwMFef/KHgrCHBAoGBALEJ\n"
    "bftz5EMkhZvFQwk+wNVoINoRiPl+MH+siX6rmL4XAzV16JIkGCbYKKNt2ECcKIZ+\n"
    "NwN5GUWgSl8+SNiIY33/J/nV1XpMfe789LKq/0Ajgqr0hUs1qK1GGgO/N/Dz4/B7\n"
    "W0bP7yMsBNPuUYICEgAq/FzlamcKQMjLgBIy2eTBAoGBAJ7mBY7HF8cyFIxcZ9sY\n"
    "nXRConfpC6hPBdiVnHqOZIYcS0xy8375Y9E8nYwd6eOgUpQmkjsBoXf7gQfbXDJa\n"
    "HqCsQj1RFYyI+Yuo1u1vh1+0qESOPZ0E3Y3PmFcD2cB5l9kz1HtcbV4VhDQCGPHn\n"
    "dre+S8huV9cYQrp9BJg/fbSB\n"
    "-----END PRIVATE KEY-----\n";

/* ---- the checking of one message ---- */

struct verdict {
    size_t count;
    struct dkim_result r[4];
    char strings[4][3][256];
};

struct record {
    const char *text; /* NULL: absent */
    bool unknown, bogus;
};

static struct signature_limits limits = {.now = 1528640000, .drift = 300, .minimum_rsa = 1024};

static void answer(struct dkim_verifier *v, size_t i, const struct record *rec)
{
    struct dns_record rr = {.type = DNS_TYPE_TXT};
    struct dns_answer a = {.status = DNS_NXDOMAIN, .why = ""};

    if (rec->unknown) {
        a.status = DNS_UNKNOWN;
        a.security = rec->bogus ? DNS_BOGUS : DNS_INSECURE;
    } else if (rec->text != NULL) {
        rr.data = (const uint8_t *)rec->text;
        rr.len = strlen(rec->text);
        a.status = DNS_FOUND;
        a.records = &rr;
        a.count = 1;
    }
    dkim_answer(v, i, &a);
}

/* records: one for each signature that asks; body bytes are pushed step by step. */
static void verify_steps(const char *message, const struct record *records, size_t step,
                         struct verdict *out)
{
    struct arena *arena = arena_new(1 << 20);
    struct bodyhash *hashes = bodyhash_new(4);
    struct fields fields;
    size_t body, len = strlen(message);

    assert_int_equal(fields_read(&fields, message, len, 100, arena, &body), 0);
    struct dkim_verifier *v = dkim_verifier_new(&fields, hashes, 4, &limits, arena);
    for (size_t at = body; at < len; at += step)
        bodyhash_push(hashes, message + at, len - at < step ? len - at : step);
    bodyhash_finish(hashes);
    *out = (struct verdict){.count = dkim_count(v)};
    for (size_t i = 0; i < out->count; i++) {
        if (dkim_question(v, i) != NULL)
            answer(v, i, &records[i]);
        dkim_result(v, i, &out->r[i]);
        snprintf(out->strings[i][0], 256, "%s", out->r[i].domain);
        snprintf(out->strings[i][1], 256, "%s", out->r[i].identity);
        snprintf(out->strings[i][2], 256, "%s", out->r[i].selector);
    }
    dkim_verifier_free(&v);
    bodyhash_free(&hashes);
    arena_free(&arena);
}

static void verify(const char *message, const struct record *records, struct verdict *out)
{
    struct verdict bytes;

    verify_steps(message, records, SIZE_MAX / 2, out);
    verify_steps(message, records, 1, &bytes);
    assert_int_equal(out->count, bytes.count);
    for (size_t i = 0; i < out->count; i++)
        assert_int_equal(out->r[i].result, bytes.r[i].result);
}

static void expect(const char *message, const char *record, enum auth_result result,
                   const char *reason)
{
    struct record rec = {.text = record};
    struct verdict v;

    verify(message, &rec, &v);
    assert_int_equal(v.count, 1);
    assert_string_equal(v.r[0].reason, reason);
    assert_int_equal(v.r[0].result, result);
}

/* ---- the RFCs' messages ---- */

static void test_rfc6376(void **state)
{
    struct record rec = {.text = rfc6376_key};
    struct verdict v;

    (void)state;
    verify(rfc6376, &rec, &v);
    assert_int_equal(v.count, 1);
    assert_string_equal(v.r[0].reason, "");
    assert_int_equal(v.r[0].result, AUTH_PASS);
    assert_int_equal(v.r[0].bits, 1024);
    assert_string_equal(v.strings[0][0], "example.com");
    assert_string_equal(v.strings[0][1], "joe@football.example.com");
    assert_string_equal(v.strings[0][2], "brisbane");
    assert_string_equal(v.r[0].tag, "AuUoFEfD");
}

static void test_rfc8463(void **state)
{
    struct record recs[2] = {{.text = ed_record}, {.text = rsa_record}};
    struct verdict v;

    (void)state;
    verify(rfc8463, recs, &v);
    assert_int_equal(v.count, 2);
    assert_int_equal(v.r[0].result, AUTH_PASS);
    assert_string_equal(v.r[0].algorithm, "ed25519");
    assert_int_equal(v.r[1].result, AUTH_PASS);
    assert_string_equal(v.r[1].algorithm, "rsa");
}

static void test_one_changed_byte_fails(void **state)
{
    struct record recs[2] = {{.text = ed_record}, {.text = rsa_record}};
    struct verdict v;
    char copy[sizeof(rfc8463)];

    (void)state;
    memcpy(copy, rfc8463, sizeof(copy));
    *strstr(copy, "We lost") = 'w';
    verify(copy, recs, &v);
    assert_int_equal(v.r[0].result, AUTH_FAIL);
    assert_string_equal(v.r[1].reason, "the body was changed");
    memcpy(copy, rfc8463, sizeof(copy));
    *strstr(copy, "Is dinner") = 'i';
    verify(copy, recs, &v);
    assert_int_equal(v.r[0].result, AUTH_FAIL);
    assert_string_equal(v.r[1].reason, "the signature does not match");
}

/* From, Subject and Date are signed once more than they occur: none may be added. */
static void test_added_field_fails(void **state)
{
    struct record recs[2] = {{.text = ed_record}, {.text = rsa_record}};
    struct verdict v;
    char copy[sizeof(rfc8463) + 64];

    (void)state;
    snprintf(copy, sizeof(copy), "Subject: other\r\n%s", rfc8463);
    verify(copy, recs, &v);
    assert_int_equal(v.r[0].result, AUTH_FAIL);
    assert_int_equal(v.r[1].result, AUTH_FAIL);
    snprintf(copy, sizeof(copy), "Received: anything\r\n%s", rfc8463);
    verify(copy, recs, &v);
    assert_int_equal(v.r[0].result, AUTH_PASS);
}

/* ---- keys ---- */

static void test_key_answers(void **state)
{
    struct record rec = {.unknown = true};
    struct verdict v;

    (void)state;
    verify(rfc6376, &rec, &v);
    assert_int_equal(v.r[0].result, AUTH_TEMPERROR);
    rec.bogus = true;
    verify(rfc6376, &rec, &v);
    assert_int_equal(v.r[0].result, AUTH_TEMPERROR);
    assert_string_equal(v.r[0].reason, "the key's DNSSEC signature is bogus");
    expect(rfc6376, NULL, AUTH_PERMERROR, "no key");
    expect(rfc6376, "v=DKIM1; p=", AUTH_PERMERROR, "the key was revoked");
    expect(rfc6376, "v=DKIM1; n=x", AUTH_PERMERROR, "the key record has no key");
    expect(rfc6376, "v=DKIM2; p=abcd", AUTH_PERMERROR, "the key record has an unknown version");
    expect(rfc6376, "p=ab!d", AUTH_PERMERROR, "the key is malformed");
    expect(rfc6376, "v=spf1 -all", AUTH_PERMERROR, "the key record has an unknown version");
    expect(rfc6376, "nothing", AUTH_PERMERROR, "the key record is malformed");
    expect(rfc6376, ed_record, AUTH_PERMERROR, "the key is of another type");
}

static void test_key_tags(void **state)
{
    char record[512];

    (void)state;
    snprintf(record, sizeof(record), "v=DKIM1; h=sha1; %s", rfc6376_key + 9);
    expect(rfc6376, record, AUTH_PERMERROR, "the key is not for sha256");
    snprintf(record, sizeof(record), "v=DKIM1; h=sha1:sha256; %s", rfc6376_key + 9);
    expect(rfc6376, record, AUTH_PASS, "");
    snprintf(record, sizeof(record), "v=DKIM1; s=tlsrpt; %s", rfc6376_key + 9);
    expect(rfc6376, record, AUTH_PERMERROR, "the key is not for mail");
    snprintf(record, sizeof(record), "v=DKIM1; s=*; g=someone; %s", rfc6376_key + 9);
    expect(rfc6376, record, AUTH_PASS, "");
    snprintf(record, sizeof(record), "v=DKIM1; t=s; %s", rfc6376_key + 9);
    expect(rfc6376, record, AUTH_PERMERROR, "the key is not for subdomains");
    limits.minimum_rsa = 2048;
    expect(rfc6376, rfc6376_key, AUTH_POLICY, "the key is too short");
    limits.minimum_rsa = 1024;

    struct record rec = {.text = record};
    struct verdict v;
    snprintf(record, sizeof(record), "v=DKIM1; t=y; %s", rfc6376_key + 9);
    verify(rfc6376, &rec, &v);
    assert_true(v.r[0].testing);
}

/* ---- malformed signatures ---- */

static void expect_malformed(const char *tags, const char *reason)
{
    char message[1024];

    snprintf(message, sizeof(message), "DKIM-Signature: %s\r\nFrom: a@example.org\r\n\r\nx\r\n",
             tags);
    expect(message, rfc6376_key, AUTH_PERMERROR, reason);
}

#define BH "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="

static void test_malformed(void **state)
{
    (void)state;
    expect_malformed("", "no list of tags");
    expect_malformed("v=1; v=1", "no list of tags");
    expect_malformed("v=1; ; a=b", "no list of tags");
    expect_malformed("v=1", "d= is missing");
    expect_malformed("v=1; d=e.org", "s= is missing");
    expect_malformed("v=1; d=e.org; s=a@b", "d= or s= is no name");
    expect_malformed("v=2; d=e.org; s=s", "v= is not 1");
    expect_malformed("v=1; d=e.org; s=s; i=x@ee.org", "i= is outside of d=");
    expect_malformed("v=1; d=e.org; s=s; i=xe.org", "i= is no address");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha1", "rsa-sha1 is worth nothing (RFC 8301)");
    expect_malformed("v=1; d=e.org; s=s; a=dsa", "unknown algorithm");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha256; c=loose", "unknown canonicalization");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha256; t=-1", "t= is no time");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha256; t=5; x=5", "x= is not after t=");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha256; h=to", "From is not signed");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha256; h=from", "bh= is missing");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha256; h=from; bh=abcd", "bh= is no hash");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha256; h=from; l=x; " BH, "l= is no number");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha256; h=from; q=ldap; " BH, "q= has no dns/txt");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha256; h=from; " BH, "b= is missing");
    expect_malformed("v=1; d=e.org; s=s; a=rsa-sha256; h=from; b=a; " BH, "b= is no base64");
}

/* ---- making signatures ---- */

static const char *const names[] = {"from", "to", "subject", "date", "cc", NULL};
static const char *const oversign[] = {"from", "subject", NULL};

/* The message with a signature on top, in out. */
static void sign(struct dkim_signing *how, const char *message, struct buf *out)
{
    struct arena *arena = arena_new(1 << 20);
    struct bodyhash *hashes = bodyhash_new(1);
    struct fields fields;
    size_t body, len = strlen(message);

    how->names = names;
    how->oversign = oversign;
    assert_int_equal(fields_read(&fields, message, len, 100, arena, &body), 0);
    int form = dkim_sign_want(how, hashes);
    bodyhash_push(hashes, message + body, len - body);
    bodyhash_finish(hashes);
    buf_clear(out);
    assert_int_equal(dkim_sign(how, &fields, hashes, form, out), 0);
    assert_int_equal(buf_append(out, message, len), 0);
    bodyhash_free(&hashes);
    arena_free(&arena);
}

static void check_signing(const char *pem)
{
    const char *why;
    struct private_key *key = private_key_new(pem, strlen(pem), &why);
    struct buf out = {0}, record = {0};

    assert_non_null(key);
    assert_int_equal(dkim_put_record(key, &record), 0);
    for (int form = 0; form < 4; form++) {
        struct dkim_signing how = {.key = key,
                                   .domain = "example.org",
                                   .selector = "s1",
                                   .header = form % 2 ? CANON_RELAXED : CANON_SIMPLE,
                                   .body = form / 2 ? CANON_RELAXED : CANON_SIMPLE,
                                   .now = limits.now,
                                   .ttl = 3600};
        sign(&how, RFC_HEADER "\r\n" RFC_BODY, &out);
        expect(buf_str(&out), buf_str(&record), AUTH_PASS, "");
        sign(&how, RFC_HEADER "\r\n", &out);
        expect(buf_str(&out), buf_str(&record), AUTH_PASS, "");
        limits.now += 4000;
        expect(buf_str(&out), buf_str(&record), AUTH_POLICY, "the signature has expired");
        limits.now -= 8000;
        expect(buf_str(&out), buf_str(&record), AUTH_POLICY, "the signature is of the future");
        limits.now += 4000;
        for (const char *line = buf_str(&out), *end; (end = strstr(line, "\r\n")); line = end + 2)
            assert_true(end - line <= 78);
        char *more = mem_printf("Subject: another\r\n%s", buf_str(&out));
        expect(more, buf_str(&record), AUTH_FAIL, "the signature does not match");
        free(more);
    }
    private_key_free(&key);
    buf_free(&out);
    buf_free(&record);
}

static void test_sign_ed25519(void **state)
{
    (void)state;
    check_signing(ed_private);
}

static void test_sign_rsa(void **state)
{
    (void)state;
    check_signing(rsa_private);
}

/* The record of RFC 8463 comes out of its private key. */
static void test_record(void **state)
{
    const char *why;
    struct private_key *key = private_key_new(ed_private, sizeof(ed_private) - 1, &why);
    struct buf record = {0};

    (void)state;
    assert_int_equal(dkim_put_record(key, &record), 0);
    assert_string_equal(buf_str(&record), ed_record);
    private_key_free(&key);
    buf_free(&record);
    assert_null(private_key_new("x", 1, &why));
    assert_string_equal(why, "it holds no unencrypted private key in PEM form");
}

/* A signature of a part of the body is good for that part, and is told apart. */
static void test_body_length(void **state)
{
    struct buf out = {0};
    const char *why;
    struct private_key *key = private_key_new(ed_private, sizeof(ed_private) - 1, &why);
    char message[2048];

    (void)state;
    snprintf(message, sizeof(message),
             "DKIM-Signature: v=1; a=ed25519-sha256; d=e.org; s=s; h=from; l=3; bh=");
    uint8_t hash[DIGEST_LEN];
    struct buf bh = {0};
    digest_once("abc", 3, hash);
    str_base64_encode(&bh, hash, sizeof(hash));
    strcat(message, buf_str(&bh));
    strcat(message, "; b=");
    char *signing = mem_printf("From: a@e.org\r\n%s", message);
    digest_once(signing, strlen(signing), hash);
    dkim_put_value(key, hash, &out);
    strcat(message, buf_str(&out));
    strcat(message, "From: a@e.org\r\n\r\n");
    size_t end = strlen(message);
    strcpy(message + end, "abc and more\r\n");
    expect(message, ed_record, AUTH_POLICY, "the signature leaves a part of the body out (l=)");
    strcpy(message + end, "ab\r\n");
    expect(message, ed_record, AUTH_FAIL, "the body was changed");
    free(signing);
    buf_free(&bh);
    buf_free(&out);
    private_key_free(&key);
}

static void test_too_many_are_counted(void **state)
{
    struct arena *arena = arena_new(1 << 20);
    struct bodyhash *hashes = bodyhash_new(4);
    struct fields fields;
    char message[1024] = "";

    (void)state;
    for (int i = 0; i < 7; i++)
        strcat(message, "DKIM-Signature: v=1; d=e.org; s=s\r\n");
    fields_read(&fields, message, strlen(message), 100, arena, NULL);
    struct dkim_verifier *v = dkim_verifier_new(&fields, hashes, 4, &limits, arena);
    assert_int_equal(dkim_count(v), 4);
    assert_int_equal(dkim_ignored(v), 3);
    assert_int_equal(fields_read(&fields, message, strlen(message), 6, arena, NULL), -1);
    dkim_verifier_free(&v);
    bodyhash_free(&hashes);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc6376),
        cmocka_unit_test(test_rfc8463),
        cmocka_unit_test(test_one_changed_byte_fails),
        cmocka_unit_test(test_added_field_fails),
        cmocka_unit_test(test_key_answers),
        cmocka_unit_test(test_key_tags),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_sign_ed25519),
        cmocka_unit_test(test_sign_rsa),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_body_length),
        cmocka_unit_test(test_too_many_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Restrictions that ask DNS: the client's name, the greeting's, and DNS lists; each both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/smtp/dnsl.h"
#include "gateway/smtp/restriction.h"

#define ROWS_MAX 24

/* A zone: what a row does not name does not exist. */
struct row {
    const char *name;
    uint16_t type;
    enum dns_status status;
    const char *value; /* addresses or names, separated by spaces; or a text */
};

static struct world {
    struct conf *conf;
    struct restriction_facts facts;
    struct restriction_client client;
    struct smtp_address sender, recipient;
    const struct row *rows;
    size_t count;
    bool asked[ROWS_MAX];
    struct dnsl_health *health;
    unsigned questions;
    struct netaddr addresses[4];
    char text[256];
    const char *names[4];
} w;

static enum answer world_domain(void *arg, const char *domain)
{
    (void)arg;
    return strcmp(domain, "ours.example") == 0 ? ANSWER_FOUND : ANSWER_ABSENT;
}

static enum answer world_flag(void *arg, const char *address, bool *flag)
{
    (void)arg;
    (void)address;
    *flag = false;
    return ANSWER_FOUND;
}

static void fill(const struct row *r, struct restriction_dns *out)
{
    char *save = NULL;

    snprintf(w.text, sizeof(w.text), "%s", r->value != NULL ? r->value : "");
    out->addresses = w.addresses;
    out->names = w.names;
    out->text = w.text;
    if (r->type == DNS_TYPE_TXT || r->status != DNS_FOUND)
        return;
    for (char *t = strtok_r(w.text, " ", &save); t != NULL; t = strtok_r(NULL, " ", &save)) {
        if (r->type == DNS_TYPE_PTR)
            w.names[out->count] = t;
        else
            netaddr_parse(&w.addresses[out->count], t);
        out->count++;
    }
}

static bool world_dns(void *arg, const char *name, uint16_t type, struct restriction_dns *out)
{
    (void)arg;
    *out = (struct restriction_dns){.status = DNS_NXDOMAIN};
    for (size_t i = 0; i < w.count; i++) {
        const struct row *r = &w.rows[i];
        if (strcmp(r->name, name) != 0)
            continue;
        out->status = r->type == type ? r->status : DNS_NODATA;
        if (r->type != type)
            continue;
        if (!w.asked[i]) {
            w.asked[i] = true;
            w.questions++;
            return false;
        }
        fill(r, out);
        return true;
    }
    return true;
}

static const struct restriction_ops world_ops = {
    .domain = world_domain, .listed = world_flag, .dns = world_dns};

static void world(const struct row *rows, size_t count, const char *client)
{
    restriction_client_free(&w.client);
    w.facts = (struct restriction_facts){
        .id = "test", .client_name = &w.client, .helo = "client.example"};
    netaddr_parse(&w.facts.client, client);
    w.sender = (struct smtp_address){.text = "a@b.example", .domain = "b.example"};
    w.recipient = (struct smtp_address){.text = "x@ours.example", .domain = "ours.example"};
    w.facts.sender = (struct restriction_address){&w.sender, w.sender.text, w.sender.domain};
    w.facts.recipient =
        (struct restriction_address){&w.recipient, w.recipient.text, w.recipient.domain};
    w.rows = rows;
    w.count = count;
    w.questions = 0;
    memset(w.asked, 0, sizeof(w.asked));
}

static struct restriction_result run(const char *text)
{
    struct restriction_run r;
    char *error = NULL;
    struct restriction_list *l = restriction_compile(text, STAGE_RECIPIENT, &error);

    if (l == NULL)
        fail_msg("%s: %s", text, error);
    restriction_run_init(&r, w.conf, &w.facts, &world_ops, NULL);
    r.lists_health = w.health;
    restriction_run_add(&r, STAGE_RECIPIENT, l, NULL);
    for (int i = 0; !restriction_run_go(&r); i++)
        assert_true(i < 40);
    struct restriction_result result = r.result;
    restriction_run_end(&r);
    return result;
}

static unsigned code(const char *text)
{
    struct restriction_result r = run(text);

    return r.verdict == VERDICT_DUNNO || r.verdict == VERDICT_PERMIT ? 0 : r.code;
}

#define WORLD(rows, client) world(rows, sizeof(rows) / sizeof((rows)[0]), client)

static void test_client_name(void **state)
{
    static const struct row rows[] = {
        {"1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, DNS_FOUND, "other.example mx.example"},
        {"mx.example", DNS_TYPE_A, DNS_FOUND, "192.0.2.9 192.0.2.1"},
        {"other.example", DNS_TYPE_A, DNS_FOUND, "192.0.2.3"},
        {"2.2.0.192.in-addr.arpa", DNS_TYPE_PTR, DNS_FOUND, "other.example"},
        {"3.2.0.192.in-addr.arpa", DNS_TYPE_PTR, DNS_UNKNOWN, NULL},
        {"4.2.0.192.in-addr.arpa", DNS_TYPE_PTR, DNS_FOUND, "lost.example"},
        {"lost.example", DNS_TYPE_A, DNS_UNKNOWN, NULL},
        {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", DNS_TYPE_PTR,
         DNS_FOUND, "six.example"},
        {"six.example", DNS_TYPE_AAAA, DNS_FOUND, "2001:db8::1"},
    };
    static const struct {
        const char *client;
        unsigned verified, reverse;
    } cases[] = {
        {"192.0.2.1", 0, 0},   {"192.0.2.2", 550, 0},   {"192.0.2.3", 450, 450},
        {"192.0.2.4", 450, 0}, {"192.0.2.5", 550, 550}, {"2001:db8::1", 0, 0},
    };

    (void)state;
    w.conf->unknown_client_reject_code = 550;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        WORLD(rows, cases[i].client);
        assert_int_equal(code("reject_unknown_client"), cases[i].verified);
        assert_int_equal(code("reject_unknown_reverse_client_hostname"), cases[i].reverse);
    }
    WORLD(rows, "192.0.2.1");
    assert_int_equal(code("reject_unknown_client_hostname"), 0);
    assert_string_equal(w.client.name, "mx.example");
    assert_int_equal(w.questions, 3);
    assert_int_equal(code("reject_unknown_client_hostname"), 0);
    assert_string_equal(run("reject_unknown_client_hostname, defer").text,
                        "<x@ours.example>: Recipient address rejected: Try again later");
    WORLD(rows, "192.0.2.2");
    struct restriction_result r = run("reject_unknown_client_hostname");
    assert_string_equal(r.text, "unknown[192.0.2.2]: Client host rejected: cannot find your "
                                "hostname, [192.0.2.2]");
    assert_string_equal(r.status, "5.7.25");
}

static void test_helo(void **state)
{
    static const struct row rows[] = {
        {"a.example", DNS_TYPE_A, DNS_FOUND, "192.0.2.1"},
        {"mx.example", DNS_TYPE_MX, DNS_FOUND, NULL},
        {"empty.example", DNS_TYPE_TXT, DNS_FOUND, NULL},
        {"lost.example", DNS_TYPE_A, DNS_UNKNOWN, NULL},
    };
    static const struct {
        const char *helo;
        unsigned code;
    } cases[] = {{"a.example", 0},      {"mx.example", 0},     {"empty.example", 550},
                 {"none.example", 550}, {"lost.example", 450}, {"[192.0.2.1]", 0},
                 {"not a name", 550}};

    (void)state;
    w.conf->unknown_hostname_reject_code = 550;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        WORLD(rows, "192.0.2.1");
        w.facts.helo = cases[i].helo;
        assert_int_equal(code("reject_unknown_helo_hostname"), cases[i].code);
        assert_int_equal(code("reject_unknown_hostname"), cases[i].code);
    }
    WORLD(rows, "192.0.2.1");
    w.facts.helo = "lost.example";
    assert_int_equal(code("reject_unknown_helo_hostname, reject"), 554);
}

#define LIST(domain)                                                                               \
    {                                                                                              \
        "2.0.0.127." domain, DNS_TYPE_A, DNS_FOUND, "127.0.0.2"                                    \
    }

static void test_lists(void **state)
{
    static const struct row rows[] = {
        LIST("bl.example"),
        {"1.2.0.192.bl.example", DNS_TYPE_A, DNS_FOUND, "127.0.0.9 127.0.0.5"},
        {"1.2.0.192.bl.example", DNS_TYPE_TXT, DNS_FOUND, "see https://bl.example/"},
        {"3.2.0.192.bl.example", DNS_TYPE_A, DNS_UNKNOWN, NULL},
        {"4.2.0.192.bl.example", DNS_TYPE_A, DNS_FOUND, "127.255.255.254"},
        {"5.2.0.192.bl.example", DNS_TYPE_A, DNS_FOUND, "198.51.100.1"},
    };

    (void)state;
    WORLD(rows, "192.0.2.1");
    struct restriction_result r = run("reject_rbl_client bl.example");
    assert_int_equal(r.code, 554);
    assert_string_equal(r.status, "5.7.1");
    assert_string_equal(r.text, "Service unavailable; Client host [192.0.2.1] blocked using "
                                "bl.example; see https://bl.example/");
    assert_int_equal(code("reject_rbl_client bl.example=127.0.0.[2;4..8]"), 554);
    assert_int_equal(code("reject_rbl_client bl.example=127.0.0.9"), 554);
    assert_int_equal(code("reject_rbl_client bl.example=127.0.0.[2;10..20]"), 0);
    assert_int_equal(code("permit_dnswl_client bl.example=127.0.0.9, reject"), 0);
    w.recipient.domain = w.facts.recipient.domain = "other.example";
    assert_int_equal(code("permit_dnswl_client bl.example=127.0.0.9, reject"), 554);
    static const char *const others[] = {"192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"};
    for (size_t i = 0; i < 4; i++) {
        WORLD(rows, others[i]);
        assert_int_equal(code("reject_rbl_client bl.example"), 0);
    }
    WORLD(rows, "192.0.2.3"); /* nobody can tell now whether it is a friend */
    assert_int_equal(code("permit_dnswl_client bl.example, reject"), 450);
    assert_int_equal(code("permit_dnswl_client bl.example"), 0);
    WORLD(rows, "192.0.2.2");
    assert_int_equal(code("permit_dnswl_client bl.example, reject"), 554);
}

static void test_names(void **state)
{
    static const struct row rows[] = {
        {"test.dbl.example", DNS_TYPE_A, DNS_FOUND, "127.0.1.2"},
        {"b.example.dbl.example", DNS_TYPE_A, DNS_FOUND, "127.0.1.2"},
        {"bad.example.dbl.example", DNS_TYPE_A, DNS_FOUND, "127.0.1.2"},
        {"7.2.0.192.in-addr.arpa", DNS_TYPE_PTR, DNS_FOUND, "bad.example"},
        {"bad.example", DNS_TYPE_A, DNS_FOUND, "192.0.2.7"},
    };

    (void)state;
    WORLD(rows, "192.0.2.1");
    assert_string_equal(run("reject_rhsbl_sender dbl.example").text,
                        "Service unavailable; Sender address [a@b.example] blocked using "
                        "dbl.example");
    assert_int_equal(code("reject_rhsbl_recipient dbl.example"), 0);
    assert_int_equal(code("reject_rhsbl_helo dbl.example"), 0);
    assert_int_equal(code("reject_rhsbl_client dbl.example"), 0);
    w.facts.helo = "bad.example";
    assert_int_equal(code("reject_rhsbl_helo dbl.example=127.0.1.[2..9]"), 554);
    w.facts.recipient.domain = "bad.example";
    assert_int_equal(code("reject_rhsbl_recipient dbl.example"), 554);
    w.facts.sender.domain = "good.example";
    assert_int_equal(code("reject_rhsbl_sender dbl.example"), 0);
    WORLD(rows, "192.0.2.7");
    assert_int_equal(code("reject_rhsbl_client dbl.example"), 554);
}

static void test_health(void **state)
{
    static const struct row rows[] = {
        /* Lists nothing; lists everything; cannot be asked about its test points. */
        {"1.2.0.192.dead.example", DNS_TYPE_A, DNS_FOUND, "127.0.0.2"},
        LIST("all.example"),
        {"1.0.0.127.all.example", DNS_TYPE_A, DNS_FOUND, "127.0.0.2"},
        {"1.2.0.192.all.example", DNS_TYPE_A, DNS_FOUND, "127.0.0.2"},
        {"2.0.0.127.lost.example", DNS_TYPE_A, DNS_UNKNOWN, NULL},
        {"1.2.0.192.lost.example", DNS_TYPE_A, DNS_FOUND, "127.0.0.2"},
        LIST("good.example"),
        {"1.2.0.192.good.example", DNS_TYPE_A, DNS_FOUND, "127.0.0.2"},
    };

    (void)state;
    w.health = dnsl_health_new();
    for (int i = 0; i < 2; i++) {
        WORLD(rows, "192.0.2.1");
        assert_int_equal(code("reject_rbl_client dead.example"), 0);
        assert_int_equal(code("reject_rbl_client all.example"), 0);
        assert_int_equal(code("reject_rbl_client lost.example"), 554);
        assert_int_equal(code("reject_rbl_client good.example"), 554);
    }
    WORLD(rows, "192.0.2.1");
    assert_int_equal(code("reject_rbl_client good.example"), 554);
    assert_int_equal(w.questions, 1); /* tested once for all */
    char *domains[] = {"dead.example", "all.example", "good.example", NULL};
    struct conf_list before = w.conf->maps_rbl_domains;
    w.conf->maps_rbl_domains = (struct conf_list){.n = 3, .v = domains};
    assert_string_equal(run("reject_maps_rbl").text, "Service unavailable; Client host [192.0.2.1] "
                                                     "blocked using good.example");
    w.conf->maps_rbl_domains.n = 2;
    assert_int_equal(code("reject_maps_rbl"), 0);
    w.conf->maps_rbl_domains = before;
    w.conf->dnsl_test_interval = 0;
    assert_int_equal(code("reject_rbl_client dead.example"), 554);
    w.conf->dnsl_test_interval = 3600000;
    assert_int_equal(dnsl_health_get(w.health, "dead.example", DNSL_IPV4, 0), DNSL_BAD);
    assert_int_equal(dnsl_health_get(w.health, "dead.example", DNSL_IPV4, INT64_MAX),
                     DNSL_UNTESTED);
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "l%d.example", i);
        dnsl_health_set(w.health, name, DNSL_NAMES, true, 1);
    }
    dnsl_health_free(&w.health);
}

/* Weights of a list add up, in whatever order; a threshold refuses, with the heaviest's reply. */
static void test_weights(void **state)
{
    static const struct row rows[] = {
        LIST("a.example"),
        LIST("b.example"),
        LIST("friends.example"),
        {"1.2.0.192.a.example", DNS_TYPE_A, DNS_FOUND, "127.0.0.4 127.0.0.10"},
        {"1.2.0.192.b.example", DNS_TYPE_A, DNS_FOUND, "127.0.0.2"},
        {"1.2.0.192.b.example", DNS_TYPE_TXT, DNS_FOUND, "b says so"},
        {"1.2.0.192.friends.example", DNS_TYPE_A, DNS_FOUND, "127.0.5.1"},
        {"test.names.example", DNS_TYPE_A, DNS_FOUND, "127.0.1.2"},
        {"b.example.names.example", DNS_TYPE_A, DNS_FOUND, "127.0.1.2"},
    };
    static const struct {
        const char *list;
        int64_t threshold;
        unsigned code;
    } cases[] = {
        {"reject_rbl_client a.example*1, reject_rbl_client b.example*2", 3, 554},
        {"reject_rbl_client a.example*1, reject_rbl_client b.example*2", 4, 0},
        {"reject_rbl_client b.example*2, reject_rbl_client c.example*2", 3, 0},
        {"reject_rbl_client b.example*2, reject_rbl_client c.example*2", 2, 554},
        /* Several codes of one list, each with its weight. */
        {"reject_rbl_client a.example=127.0.0.[4..5]*1 reject_rbl_client a.example=127.0.0.10*3", 4,
         554},
        {"reject_rbl_client a.example=127.0.0.[5..9]*1 reject_rbl_client a.example=127.0.0.10*3", 4,
         0},
        /* Friends count against, also where they come last. */
        {"reject_rbl_client b.example*3, reject_rbl_client friends.example*-2", 2, 0},
        {"reject_rbl_client friends.example*-2, reject_rbl_client b.example*4", 2, 554},
        {"reject_rbl_client friends.example*-2", 1, 0},
        /* Of names, too; what there is nothing to ask about still judges. */
        {"reject_rhsbl_sender names.example*2, reject_rbl_client b.example*1", 3, 554},
        {"reject_rbl_client b.example*2, reject_rhsbl_client names.example*2", 2, 554},
        /* Without a weight it is refused at once; others see no sum of before. */
        {"reject_rbl_client a.example*1, reject_rbl_client b.example", 9, 554},
        {"permit_mynetworks, reject_rbl_client a.example*1", 2, 0},
        {"warn_if_reject reject_rbl_client b.example*5", 2, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        WORLD(rows, "192.0.2.1");
        w.conf->postscreen_dnsbl_threshold = cases[i].threshold;
        struct restriction_result r = run(cases[i].list);
        assert_int_equal(r.verdict == VERDICT_REJECT ? r.code : 0, cases[i].code);
    }
    WORLD(rows, "192.0.2.1");
    w.conf->postscreen_dnsbl_threshold = 3;
    assert_string_equal(run("reject_rbl_client a.example*1, reject_rbl_client b.example*2, "
                            "reject_rbl_client c.example*7")
                            .text,
                        "Service unavailable; Client host [192.0.2.1] blocked using b.example; "
                        "b says so");
    char *domains[] = {"a.example*2", "b.example", "friends.example=127.0.5.[0..9]*-1", NULL};
    struct conf_list before = w.conf->maps_rbl_domains;
    w.conf->maps_rbl_domains = (struct conf_list){.n = 2, .v = domains};
    WORLD(rows, "192.0.2.1");
    assert_int_equal(code("reject_maps_rbl"), 554);
    w.conf->maps_rbl_domains.n = 3;
    WORLD(rows, "192.0.2.1");
    assert_int_equal(code("reject_maps_rbl"), 0);
    w.conf->postscreen_dnsbl_threshold = 2;
    WORLD(rows, "192.0.2.1");
    assert_int_equal(code("reject_maps_rbl"), 554);
    w.conf->postscreen_dnsbl_threshold = 1;
    w.conf->maps_rbl_domains = before;
}

static void test_patterns(void **state)
{
    static const char *const good[] = {"127.0.0.2", "127.0.0.[2;4..8]", "[127].0.[0..255].1"};
    static const char *const bad[] = {
        "",           "127.0.0",    "127.0.0.256", "127.0.0.[2;4..8", "127.0.0.[8..4]",
        "127.0.0.2.", "127.0.0.[]", "127.0.0.2]",  "a.b.c.d"};
    struct dnsl_pattern p;
    char *error = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(dnsl_pattern_parse(&p, good[i]), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dnsl_pattern_parse(&p, bad[i]), -1);
    static const char *const wrong[] = {"reject_rbl_client",
                                        "reject_rbl_client a@b",
                                        "reject_rbl_client bl.example=127",
                                        "permit_dnswl_client =127.0.0.1",
                                        "reject_rbl_client bl.example*0",
                                        "reject_rbl_client bl.example*",
                                        "reject_rbl_client bl.example*-",
                                        "reject_rbl_client bl.example*1001",
                                        "reject_rbl_client bl.example*2=127.0.0.2",
                                        "permit_dnswl_client bl.example*1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_null(restriction_compile(wrong[i], STAGE_CLIENT, &error));
        free(error);
        error = NULL;
    }
}

static void test_reply(void **state)
{
    static const struct row rows[] = {LIST("bl.example"),
                                      {"1.2.0.192.bl.example", DNS_TYPE_A, DNS_FOUND, "127.0.0.2"}};
    static const struct {
        const char *form, *text;
        unsigned code;
    } cases[] = {
        {"$rbl_code ${rbl_reason?no}${rbl_reason:yes ${client_address}}", "yes 192.0.2.1", 554},
        {"450 see $rbl_domain.", "see bl.example.", 450},
        {"521 5.7.2 $sender_name at $sender_domain, $recipient", "a at b.example, x@ours.example",
         521},
        {"$ ${ $x ${helo_name", "$ ${  ${helo_name", 554},
        {"${client_name?a}${client_name:$client}", "[192.0.2.1]", 554}};

    (void)state;
    const char *before = w.conf->default_rbl_reply;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        WORLD(rows, "192.0.2.1");
        w.conf->default_rbl_reply = cases[i].form;
        struct restriction_result r = run("reject_rbl_client bl.example");
        assert_string_equal(r.text, cases[i].text);
        assert_int_equal(r.code, cases[i].code);
    }
    w.conf->default_rbl_reply = before;
}

static int setup(void **state)
{
    (void)state;
    w.conf = conf_defaults();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    restriction_client_free(&w.client);
    conf_free(&w.conf);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_name), cmocka_unit_test(test_helo),
        cmocka_unit_test(test_lists),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_health),      cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_weights),     cmocka_unit_test(test_reply),
    };
    return cmocka_run_group_tests_name("restriction_dns", tests, setup, teardown);
}

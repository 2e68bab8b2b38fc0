/* SPF: the public test suite for RFC 7208 (tests/data/rfc7208.tests), and our own limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/filter/spf.h"

enum {
    ZONE_MAX = 600,
    FIELDS_MAX = 7,
    ANSWER_MAX = 64
};

struct zone_record {
    char *name, *type, *data;
    size_t len;
};

struct zone {
    struct zone_record v[ZONE_MAX];
    size_t count;
};

static void zone_clear(struct zone *z)
{
    for (size_t i = 0; i < z->count; i++) {
        free(z->v[i].name);
        free(z->v[i].type);
        free(z->v[i].data);
    }
    z->count = 0;
}

static void zone_add(struct zone *z, const char *name, const char *type, const char *data,
                     size_t len)
{
    assert_true(z->count < ZONE_MAX);
    z->v[z->count++] = (struct zone_record){.name = mem_strdup(name),
                                            .type = mem_strdup(type),
                                            .data = mem_strndup(data, len),
                                            .len = len};
}

static uint16_t type_number(const char *type)
{
    static const struct {
        const char *name;
        uint16_t type;
    } types[] = {{"A", DNS_TYPE_A},     {"AAAA", DNS_TYPE_AAAA},   {"MX", DNS_TYPE_MX},
                 {"PTR", DNS_TYPE_PTR}, {"CNAME", DNS_TYPE_CNAME}, {"TXT", DNS_TYPE_TXT}};

    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (strcmp(types[i].name, type) == 0)
            return types[i].type;
    }
    return 0;
}

static void put_record(const struct zone_record *from, uint16_t type, struct dns_record *to,
                       uint8_t address[16])
{
    struct netaddr a;
    char *name;

    *to = (struct dns_record){.type = type};
    switch (type) {
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        assert_int_equal(netaddr_parse(&a, from->data), 0);
        memcpy(address, a.bytes, 16);
        to->data = address;
        to->len = type == DNS_TYPE_A ? 4 : 16;
        break;
    case DNS_TYPE_MX:
        to->preference = (uint16_t)strtoul(from->data, &name, 10);
        to->name = name + 1;
        break;
    case DNS_TYPE_TXT:
        to->data = (const uint8_t *)from->data;
        to->len = from->len;
        break;
    default:
        to->name = from->data;
        break;
    }
}

/* Answers a question from the zone, as a resolver does: aliases are followed. */
static void answer(struct spf *s, const struct zone *z, const char *name, uint16_t type)
{
    struct dns_record records[ANSWER_MAX];
    uint8_t addresses[ANSWER_MAX][16];
    struct dns_answer a = {.status = DNS_NXDOMAIN, .why = "", .records = records};
    const char *alias = name;

    for (int hops = 0; alias != NULL && hops < 5; hops++) {
        const char *at = alias;
        alias = NULL;
        for (size_t i = 0; i < z->count; i++) {
            if (!str_ieq(z->v[i].name, at))
                continue;
            uint16_t t = type_number(z->v[i].type);
            if (a.status == DNS_NXDOMAIN)
                a.status = DNS_NODATA;
            if (t == 0 && a.count == 0)
                a.status = DNS_UNKNOWN;
            else if (t == DNS_TYPE_CNAME)
                alias = z->v[i].data;
            else if (t == type && a.status != DNS_UNKNOWN) {
                assert_true(a.count < ANSWER_MAX);
                put_record(&z->v[i], t, &records[a.count], addresses[a.count]);
                a.count++;
            }
        }
    }
    if (a.count > 0)
        a.status = DNS_FOUND;
    spf_answer(s, &a);
}

static struct spf *run(const struct zone *z, const struct spf_query *q)
{
    struct spf *s = spf_new(q);
    const char *name;
    uint16_t type;

    for (int questions = 0; spf_next(s, &name, &type); questions++) {
        assert_true(questions < 300);
        answer(s, z, name, type);
    }
    return s;
}

/* ---- the suite ---- */

/* Splits a line at tabs and undoes \xNN; the fields are allocated. */
static size_t split(char *line, char *fields[FIELDS_MAX], size_t lens[FIELDS_MAX])
{
    size_t n = 0;

    line[strcspn(line, "\n")] = '\0';
    for (char *p = line; p != NULL && n < FIELDS_MAX; n++) {
        char *part = strsep(&p, "\t"), *to = part;
        for (const char *from = part; *from != '\0'; to++) {
            if (from[0] == '\\' && from[1] == 'x') {
                (void)str_unhex(to, 1, (const char[]){from[2], from[3], '\0'});
                from += 4;
            } else {
                *to = *from++;
            }
        }
        *to = '\0';
        fields[n] = part;
        lens[n] = (size_t)(to - part);
    }
    return n;
}

static bool one_of(const char *word, const char *list)
{
    const char *item;
    size_t len;

    while (str_token(&list, ",", &item, &len)) {
        if (str_is(item, len, word))
            return true;
    }
    return false;
}

/* Prints what is wrong; whether the test passes. */
static bool check(const struct zone *z, char *const f[FIELDS_MAX], const char *scenario)
{
    struct spf_query q = {.helo = f[3], .sender = f[4], .receiver = "receiver.example.com"};
    struct spf_verdict v;

    assert_int_equal(netaddr_parse(&q.ip, f[2]), 0);
    struct spf *s = run(z, &q);
    spf_verdict(s, &v);
    bool good = one_of(spf_result_name(v.result), f[5]);
    const char *text = v.explanation != NULL ? v.explanation : "DEFAULT";
    if (good && v.result == SPF_FAIL && *f[6] != '\0')
        good = strcmp(text, f[6]) == 0;
    if (!good)
        print_message("%s: %s: got %s (%s) \"%s\", not %s \"%s\"\n", scenario, f[1],
                      spf_result_name(v.result), v.problem, text, f[5], f[6]);
    spf_free(&s);
    return good;
}

static void test_suite(void **state)
{
    static struct zone zone;
    FILE *file = fopen(DATA_DIR "/rfc7208.tests", "r");
    char *line = NULL, *f[FIELDS_MAX], scenario[128] = "";
    size_t size = 0, lens[FIELDS_MAX];
    unsigned tests = 0, failures = 0;

    (void)state;
    assert_non_null(file);
    while (getline(&line, &size, file) != -1) {
        if (*line == '#')
            continue;
        size_t n = split(line, f, lens);
        switch (*f[0]) {
        case 'S':
            zone_clear(&zone);
            snprintf(scenario, sizeof(scenario), "%s", f[1]);
            break;
        case 'Z':
            assert_int_equal(n, 4);
            zone_add(&zone, f[1], f[2], f[3], lens[3]);
            break;
        default:
            assert_int_equal(n, 7);
            tests++;
            failures += !check(&zone, f, scenario);
            break;
        }
    }
    zone_clear(&zone);
    free(line);
    fclose(file);
    assert_true(tests > 200);
    assert_int_equal(failures, 0);
}

/* ---- besides it ---- */

static void expect(struct zone *z, const char *ip, const char *sender, enum spf_result result,
                   const char *mechanism)
{
    struct spf_query q = {.helo = "h.example.org", .sender = sender, .receiver = "r"};
    struct spf_verdict v;

    assert_int_equal(netaddr_parse(&q.ip, ip), 0);
    struct spf *s = run(z, &q);
    spf_verdict(s, &v);
    assert_string_equal(spf_result_name(v.result), spf_result_name(result));
    assert_string_equal(v.mechanism, mechanism);
    spf_free(&s);
}

static void add_txt(struct zone *z, const char *name, const char *text)
{
    zone_add(z, name, "TXT", text, strlen(text));
}

static void test_mechanism_is_named(void **state)
{
    static struct zone z;

    (void)state;
    add_txt(&z, "example.org", "v=spf1 ip4:192.0.2.0/24 include:other.example ~all");
    add_txt(&z, "other.example", "v=spf1 ip6:2001:db8::/32 -all");
    add_txt(&z, "h.example.org", "v=spf1 a -all");
    expect(&z, "192.0.2.9", "a@example.org", SPF_PASS, "ip4:192.0.2.0/24");
    expect(&z, "2001:db8::1", "a@example.org", SPF_PASS, "include:other.example");
    expect(&z, "198.51.100.1", "a@example.org", SPF_SOFTFAIL, "~all");
    expect(&z, "198.51.100.1", "", SPF_FAIL, "-all");
    expect(&z, "192.0.2.1", "a@example.net", SPF_NONE, "");
    zone_clear(&z);
}

/* An include that includes itself ends at the limit. */
static void test_loops_end(void **state)
{
    static struct zone z;

    (void)state;
    add_txt(&z, "example.org", "v=spf1 include:example.org -all");
    add_txt(&z, "example.net", "v=spf1 redirect=example.net");
    expect(&z, "192.0.2.9", "a@example.org", SPF_PERMERROR, "");
    expect(&z, "192.0.2.9", "a@example.net", SPF_PERMERROR, "");
    zone_clear(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),
        cmocka_unit_test(test_mechanism_is_named),
        cmocka_unit_test(test_loops_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

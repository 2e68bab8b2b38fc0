/* Restriction lists: their text, the order of verdicts, waiting, and each restriction both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/smtp/policy_client.h"
#include "gateway/smtp/restriction.h"

/* A small world: what the directory and DNS answer, and how often DNS was asked. */
static struct world {
    struct conf *conf;
    struct restriction_facts facts;
    struct restriction_client client;
    struct smtp_address sender, recipient;
    struct {
        const char *name;
        uint16_t type;
        struct restriction_dns answer;
        bool asked, known;
    } dns[4];
    unsigned waits;
    enum access_subject subject;
    const char *key, *action;
    size_t effects; /* of the last run */
    bool over_limit;
    char rate_key[256];
} w;

static enum answer world_domain(void *arg, const char *domain)
{
    (void)arg;
    if (strcmp(domain, "unknown.example") == 0)
        return ANSWER_UNKNOWN;
    return strcmp(domain, "ours.example") == 0 ? ANSWER_FOUND : ANSWER_ABSENT;
}

static enum answer world_listed(void *arg, const char *address, bool *disabled)
{
    (void)arg;
    *disabled = strncmp(address, "left@", 5) == 0;
    if (*disabled)
        return ANSWER_ABSENT;
    if (strncmp(address, "lost@", 5) == 0)
        return ANSWER_UNKNOWN;
    return strncmp(address, "nobody@", 7) == 0 ? ANSWER_ABSENT : ANSWER_FOUND;
}

/* The first question for a name waits, as it does in life. */
static bool world_dns(void *arg, const char *name, uint16_t type, struct restriction_dns *out)
{
    (void)arg;
    for (size_t i = 0; i < 4; i++) {
        if (w.dns[i].name == NULL || w.dns[i].type != type || strcmp(w.dns[i].name, name) != 0)
            continue;
        *out = w.dns[i].answer;
        if (w.dns[i].asked)
            return true;
        w.dns[i].asked = true;
        w.waits++;
        return false;
    }
    *out = (struct restriction_dns){.status = DNS_NODATA};
    return true;
}

/* Everybody owns what begins with their name. */
static enum answer world_send_as(void *arg, const char *address, bool *owned, const char **dn)
{
    size_t len = w.facts.login != NULL ? strlen(w.facts.login) : 0;

    (void)arg;
    *owned = strstr(address, "@ours.example") != NULL;
    *dn = *owned ? "uid=owner" : NULL;
    if (strncmp(address, "lost@", 5) == 0)
        return ANSWER_UNKNOWN;
    bool mine = len > 0 && strncmp(address, w.facts.login, len) == 0 && address[len] == '@';
    return mine && *owned ? ANSWER_FOUND : ANSWER_ABSENT;
}

/* One table: what a key is given is the action. */
static enum answer world_access(void *arg, const char *table, enum access_subject subject,
                                const char *key, struct restriction_text *out)
{
    (void)arg;
    *out = (struct restriction_text){.text = w.action, .dn = "cn=entry"};
    if (strcmp(table, "lost") == 0)
        return ANSWER_UNKNOWN;
    if (w.action == NULL || subject != w.subject || (key != NULL && strcmp(key, w.key) != 0))
        return ANSWER_ABSENT;
    return ANSWER_FOUND;
}

static enum answer world_class(void *arg, const char *name, struct restriction_text *out)
{
    (void)arg;
    *out = (struct restriction_text){.dn = "cn=class"};
    if (strcmp(name, "lost") == 0)
        return ANSWER_UNKNOWN;
    if (strcmp(name, "strict") == 0)
        out->text = "permit_mynetworks, reject";
    if (strcmp(name, "loop") == 0)
        out->text = "loop loop loop";
    if (strcmp(name, "outer") == 0)
        out->text = "permit_sasl_authenticated strict";
    if (strcmp(name, "wrong") == 0)
        out->text = "reject_everything";
    return out->text != NULL ? ANSWER_FOUND : ANSWER_ABSENT;
}

static bool world_policy(void *arg, const char *service, enum restriction_stage stage,
                         const char **action)
{
    (void)arg;
    (void)stage;
    *action = strcmp(service, "unix:gone") == 0 ? NULL : w.action;
    return w.waits++ > 0;
}

static bool world_rate(void *arg, const char *key, unsigned n, int64_t ms)
{
    (void)arg;
    snprintf(w.rate_key, sizeof(w.rate_key), "%s %u %lld", key, n, (long long)ms);
    return !w.over_limit;
}

static bool world_greylist(void *arg, int64_t *wait_s)
{
    (void)arg;
    *wait_s = 42;
    return !w.over_limit;
}

static const struct restriction_ops world_ops = {
    .domain = world_domain,
    .listed = world_listed,
    .dns = world_dns,
    .send_as = world_send_as,
    .access = world_access,
    .class = world_class,
    .policy = world_policy,
    .rate = world_rate,
    .greylist = world_greylist,
};

static void set_address(struct smtp_address *a, struct restriction_address *f, const char *text)
{
    const char *at = strrchr(text, '@');

    *a = (struct smtp_address){
        .text = text, .domain = at != NULL ? at + 1 : "", .literal = at != NULL && at[1] == '['};
    *f = (struct restriction_address){a, text, a->domain};
}

static void world(const char *sender, const char *recipient)
{
    struct conf *conf = w.conf;

    memset(&w, 0, sizeof(w));
    w.conf = conf;
    w.facts.id = "test";
    w.facts.client_name = &w.client;
    w.facts.helo = "client.example";
    netaddr_parse(&w.facts.client, "192.0.2.1");
    if (sender != NULL)
        set_address(&w.sender, &w.facts.sender, sender);
    if (recipient != NULL)
        set_address(&w.recipient, &w.facts.recipient, recipient);
}

static struct restriction_result run_lists(size_t n, const enum restriction_stage *stages,
                                           const char *const *texts, bool *relay)
{
    struct restriction_run run;
    char *error = NULL;

    restriction_run_init(&run, w.conf, &w.facts, &world_ops, NULL);
    for (size_t i = 0; i < n; i++) {
        struct restriction_list *l = restriction_compile(texts[i], stages[i], &error);
        if (l == NULL)
            fail_msg("%s: %s", texts[i], error);
        restriction_run_add(&run, stages[i], l, "cn=policy");
    }
    for (int i = 0; !restriction_run_go(&run); i++)
        assert_true(i < 20);
    struct restriction_result r = run.result;
    w.effects = run.effect_count;
    if (relay != NULL)
        *relay = run.relay_permitted;
    restriction_run_end(&run);
    return r;
}

/* The code that one list leads to; 0 where it lets pass. */
static unsigned code(enum restriction_stage stage, const char *text)
{
    struct restriction_result r = run_lists(1, &stage, &text, NULL);

    return r.verdict == VERDICT_DUNNO || r.verdict == VERDICT_PERMIT ? 0 : r.code;
}

static void test_text(void **state)
{
    char *error = NULL;
    struct restriction_list *l;

    (void)state;
    l = restriction_compile(" permit_mynetworks,\n\treject_unauth_destination ,, permit",
                            STAGE_RELAY, &error);
    assert_int_equal(restriction_list_len(l), 3);
    restriction_list_unref(&l);
    l = restriction_compile("", STAGE_RELAY, &error);
    assert_int_equal(restriction_list_len(l), 0);
    restriction_list_unref(&l);
    static const char *const wrong[] = {"permit reject_no_such_thing", "warn_if_reject",
                                        "permit, warn_if_reject,"};
    for (size_t i = 0; i < 3; i++) {
        assert_null(restriction_compile(wrong[i], STAGE_RELAY, &error));
        assert_non_null(error);
        free(error);
        error = NULL;
    }
    assert_null(restriction_compile("reject_unauth_destination", STAGE_DATA, &error));
    free(error);
    error = NULL;
    struct buf many = {0};
    for (int i = 0; i < RESTRICTION_ITEMS_MAX + 1; i++)
        buf_append_str(&many, "permit ");
    assert_null(restriction_compile(buf_str(&many), STAGE_RELAY, &error));
    free(error);
    buf_free(&many);
}

static void test_cache(void **state)
{
    char *error = NULL;
    struct restriction_cache *cache = restriction_cache_new();

    (void)state;
    struct restriction_list *a = restriction_cache_get(cache, "permit", STAGE_RELAY, &error);
    struct restriction_list *b = restriction_cache_get(cache, "permit", STAGE_RELAY, &error);
    struct restriction_list *c = restriction_cache_get(cache, "permit", STAGE_DATA, &error);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    for (int i = 0; i < 2000; i++) {
        char text[64];
        snprintf(text, sizeof(text), "permit%*s", i % 50 + 1, " ");
        struct restriction_list *l =
            restriction_cache_get(cache, text, (enum restriction_stage)(i % STAGE_COUNT), &error);
        restriction_list_unref(&l);
    }
    assert_int_equal(restriction_list_len(a), 1);
    restriction_list_unref(&a);
    restriction_list_unref(&b);
    restriction_list_unref(&c);
    restriction_cache_free(&cache);
}

static void test_order(void **state)
{
    static const enum restriction_stage stages[] = {STAGE_SENDER, STAGE_RELAY, STAGE_RECIPIENT};
    bool relay;

    (void)state;
    world("a@b.example", "x@other.example");
    const char *const lists[] = {"permit", "permit", "reject"};
    struct restriction_result r = run_lists(3, stages, lists, &relay);
    assert_int_equal(r.verdict, VERDICT_REJECT);
    assert_int_equal(r.code, 554);
    assert_string_equal(r.status, "5.7.1");
    assert_string_equal(r.text, "<x@other.example>: Recipient address rejected: Access denied");
    assert_string_equal(r.restriction, "reject");
    assert_string_equal(r.dn, "cn=policy");
    assert_true(relay);
    const char *const first[] = {"reject", "permit", "permit"};
    r = run_lists(3, stages, first, &relay);
    assert_string_equal(r.text, "<a@b.example>: Sender address rejected: Access denied");
    assert_false(relay);
    const char *const none[] = {"permit", "permit_mynetworks", "permit"};
    r = run_lists(3, stages, none, &relay);
    assert_int_equal(r.verdict, VERDICT_DUNNO);
    assert_false(relay);
    assert_int_equal(code(STAGE_RECIPIENT, "warn_if_reject reject, permit, reject"), 0);
    assert_int_equal(code(STAGE_RECIPIENT, "warn_if_reject reject, defer"), 450);
}

static void test_session_restrictions(void **state)
{
    (void)state;
    world("a@b.example", "x@ours.example");
    assert_int_equal(code(STAGE_CLIENT, "permit_mynetworks, reject"), 554);
    w.facts.trusted = true;
    assert_int_equal(code(STAGE_CLIENT, "permit_mynetworks, reject"), 0);
    assert_int_equal(code(STAGE_CLIENT, "permit_sasl_authenticated, reject"), 554);
    w.facts.login = "alice";
    assert_int_equal(code(STAGE_CLIENT, "permit_sasl_authenticated, reject"), 0);
    assert_int_equal(code(STAGE_CLIENT, "reject_plaintext_session"), 450);
    w.facts.tls = true;
    assert_int_equal(code(STAGE_CLIENT, "reject_plaintext_session"), 0);
    assert_int_equal(code(STAGE_DATA, "reject_unauth_pipelining"), 0);
    w.facts.early_input = true;
    assert_int_equal(code(STAGE_DATA, "reject_unauth_pipelining"), 503);
    assert_int_equal(code(STAGE_DATA, "reject_multi_recipient_bounce"), 0);
    world("", "x@ours.example");
    w.facts.recipient_count = 1;
    assert_int_equal(code(STAGE_DATA, "reject_multi_recipient_bounce"), 0);
    assert_int_equal(code(STAGE_RECIPIENT, "reject_multi_recipient_bounce"), 550);
    w.facts.recipient_count = 2;
    assert_int_equal(code(STAGE_DATA, "reject_multi_recipient_bounce"), 550);
}

static void test_helo(void **state)
{
    static const struct {
        const char *helo;
        unsigned invalid, non_fqdn;
    } cases[] = {{"mx.example.org", 0, 0}, {"localhost", 0, 504}, {"[192.0.2.1]", 0, 0},
                 {"192.0.2.1", 501, 504},  {"a..b", 501, 504},    {"[192.0.2.1", 501, 504}};

    (void)state;
    world(NULL, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        w.facts.helo = cases[i].helo;
        assert_int_equal(code(STAGE_HELO, "reject_invalid_hostname"), cases[i].invalid);
        assert_int_equal(code(STAGE_HELO, "reject_non_fqdn_helo_hostname"), cases[i].non_fqdn);
    }
}

static void test_destination(void **state)
{
    static const struct {
        const char *recipient;
        unsigned reject, defer, permit;
    } cases[] = {{"x@ours.example", 0, 0, 0},
                 {"x@other.example", 554, 454, 450},
                 {"x@unknown.example", 451, 451, 451},
                 {"x@[192.0.2.1]", 554, 454, 450}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world("a@b.example", cases[i].recipient);
        assert_int_equal(code(STAGE_RELAY, "reject_unauth_destination"), cases[i].reject);
        assert_int_equal(code(STAGE_RELAY, "check_relay_domains"), cases[i].reject);
        assert_int_equal(code(STAGE_RELAY, "defer_unauth_destination"), cases[i].defer);
        assert_int_equal(code(STAGE_RELAY, "permit_auth_destination, defer"), cases[i].permit);
    }
}

static void test_form_and_existence(void **state)
{
    (void)state;
    world("a@b", "x@ours.example");
    assert_int_equal(code(STAGE_SENDER, "reject_non_fqdn_sender"), 504);
    assert_int_equal(code(STAGE_RECIPIENT, "reject_non_fqdn_recipient"), 0);
    world("", "x@ours");
    assert_int_equal(code(STAGE_SENDER, "reject_non_fqdn_sender"), 0);
    assert_int_equal(code(STAGE_RECIPIENT, "reject_non_fqdn_recipient"), 504);
    world("nobody@ours.example", "Postmaster");
    assert_int_equal(code(STAGE_RECIPIENT, "reject_non_fqdn_recipient"), 0);
    assert_int_equal(code(STAGE_SENDER, "reject_unlisted_sender"), 550);
    world("lost@ours.example", "nobody@ours.example");
    assert_int_equal(code(STAGE_SENDER, "reject_unlisted_sender"), 451);
    assert_int_equal(code(STAGE_RECIPIENT, "reject_unlisted_recipient"), 550);
    world("a@b.example", "left@ours.example");
    const char *text = "reject_unlisted_recipient";
    const enum restriction_stage stage = STAGE_RECIPIENT;
    struct restriction_result r = run_lists(1, &stage, &text, NULL);
    assert_string_equal(r.status, "5.2.1");
    world("a@b.example", "lost@ours.example");
    assert_int_equal(code(STAGE_RECIPIENT, "reject_unlisted_recipient"), 451);
    world("a@b.example", "x@ours.example");
    assert_int_equal(code(STAGE_RECIPIENT, "reject_unlisted_recipient"), 0);
    assert_int_equal(code(STAGE_SENDER, "reject_unlisted_sender"), 0);
}

static void test_dns(void **state)
{
    static const struct {
        enum dns_status mx, a;
        bool null_mx;
        unsigned sender;
        const char *status;
        unsigned waits;
    } cases[] = {
        {DNS_FOUND, DNS_UNKNOWN, false, 0, NULL, 1},
        {DNS_FOUND, DNS_UNKNOWN, true, 550, "5.7.27", 1},
        {DNS_NXDOMAIN, DNS_UNKNOWN, false, 450, "4.1.8", 1},
        {DNS_NODATA, DNS_FOUND, false, 0, NULL, 2},
        {DNS_NODATA, DNS_NODATA, false, 450, "4.1.8", 2},
        {DNS_NODATA, DNS_UNKNOWN, false, 450, "4.1.8", 2},
        {DNS_UNKNOWN, DNS_FOUND, false, 450, "4.1.8", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world("a@b.example", "x@ours.example");
        w.dns[0].name = w.dns[1].name = "b.example";
        w.dns[0].type = DNS_TYPE_MX;
        w.dns[1].type = DNS_TYPE_A;
        w.dns[0].answer =
            (struct restriction_dns){.status = cases[i].mx, .null_mx = cases[i].null_mx};
        w.dns[1].answer.status = cases[i].a;
        const char *text = "reject_unknown_sender_domain";
        const enum restriction_stage stage = STAGE_SENDER;
        struct restriction_result r = run_lists(1, &stage, &text, NULL);
        assert_int_equal(r.verdict == VERDICT_DUNNO ? 0 : r.code, cases[i].sender);
        if (cases[i].status != NULL)
            assert_string_equal(r.status, cases[i].status);
        assert_int_equal(w.waits, cases[i].waits);
    }
    /* Temporary trouble defers only what nothing else refuses. */
    world("a@b.example", "x@ours.example");
    w.dns[0].name = "b.example";
    w.dns[0].type = DNS_TYPE_MX;
    w.dns[0].answer.status = DNS_UNKNOWN;
    assert_int_equal(code(STAGE_SENDER, "reject_unknown_sender_domain, reject"), 554);
    assert_int_equal(code(STAGE_SENDER, "reject_unknown_sender_domain, permit"), 450);
    assert_int_equal(code(STAGE_SENDER, "warn_if_reject reject_unknown_sender_domain"), 0);
    world("a@ours.example", "x@ours.example");
    assert_int_equal(code(STAGE_SENDER, "reject_unknown_sender_domain"), 0);
    world("", "x@none.example");
    assert_int_equal(code(STAGE_SENDER, "reject_unknown_sender_domain"), 0);
    assert_int_equal(code(STAGE_RECIPIENT, "reject_unknown_recipient_domain"), 450);
}

static void test_login_mismatch(void **state)
{
    static const struct {
        const char *sender, *login;
        unsigned any, known, unauthenticated, authenticated;
    } cases[] = {
        {"alice@ours.example", "alice", 0, 0, 0, 0},
        {"bob@ours.example", "alice", 553, 553, 0, 553},
        {"x@b.example", "alice", 553, 0, 0, 553},
        {"lost@ours.example", "alice", 451, 451, 0, 451},
        {"", "alice", 0, 0, 0, 0},
        {"alice@ours.example", NULL, 553, 0, 553, 0},
        {"x@b.example", NULL, 0, 0, 0, 0},
        {"lost@ours.example", NULL, 451, 0, 451, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world(cases[i].sender, "x@ours.example");
        w.facts.login = cases[i].login;
        assert_int_equal(code(STAGE_SENDER, "reject_sender_login_mismatch"), cases[i].any);
        assert_int_equal(code(STAGE_SENDER, "reject_known_sender_login_mismatch"), cases[i].known);
        assert_int_equal(code(STAGE_SENDER, "reject_unauthenticated_sender_login_mismatch"),
                         cases[i].unauthenticated);
        assert_int_equal(code(STAGE_SENDER, "reject_authenticated_sender_login_mismatch"),
                         cases[i].authenticated);
    }
}

static void test_conditional(void **state)
{
    (void)state;
    world("a@b.example", "x@ours.example");
    assert_int_equal(code(STAGE_SENDER, "defer_if_permit"), 450);
    assert_int_equal(code(STAGE_SENDER, "defer_if_permit, reject"), 554);
    assert_int_equal(code(STAGE_SENDER, "defer_if_reject, permit"), 0);
    assert_int_equal(code(STAGE_SENDER, "defer_if_reject, reject"), 450);
    assert_int_equal(code(STAGE_SENDER, "defer_if_reject, defer"), 450);
    assert_int_equal(code(STAGE_HELO, "permit_naked_ip_address, reject"), 554);
    w.facts.helo = "192.0.2.7";
    assert_int_equal(code(STAGE_HELO, "permit_naked_ip_address, reject"), 0);
    w.facts.helo = "[192.0.2.7]";
    assert_int_equal(code(STAGE_HELO, "permit_naked_ip_address, reject"), 554);
}

static struct restriction_result run_one(const char *text)
{
    const enum restriction_stage stage = STAGE_RECIPIENT;

    return run_lists(1, &stage, &text, NULL);
}

static void test_actions(void **state)
{
    static const struct {
        const char *action;
        unsigned code; /* of "check_sender_access t, ..." before permit, and before reject */
        unsigned later;
        const char *status, *text;
        size_t effects;
    } cases[] = {
        {"OK", 0, 0, NULL, NULL, 0},
        {"12", 0, 0, NULL, NULL, 0},
        {"DUNNO", 0, 554, NULL, NULL, 0},
        {"reject", 554, 554, "5.7.1", "Access denied", 0},
        {"REJECT 5.1.8 No, thanks", 554, 554, "5.1.8", "No, thanks", 0},
        {"DEFER come later", 450, 450, "4.7.1", "come later", 0},
        {"550 4.9.9 not a good status", 550, 550, "5.9.9", "not a good status", 0},
        {"421", 421, 421, "4.7.1", "Access denied", 0},
        {"DEFER_IF_PERMIT 4.2.0 soon", 450, 554, "4.2.0", "soon", 0},
        {"DEFER_IF_REJECT", 0, 450, NULL, NULL, 0},
        {"WARN look at this", 0, 554, NULL, NULL, 0},
        {"DISCARD quietly", 0, 554, NULL, NULL, 1},
        {"REDIRECT x@ours.example", 0, 554, NULL, NULL, 1},
        {"REDIRECT nobody", 451, 451, "4.3.5", NULL, 0},
        {"PREPEND X-Note: seen", 0, 554, NULL, NULL, 1},
        {"PREPEND no field", 451, 451, "4.3.5", NULL, 0},
        {"HOLD", 0, 554, NULL, NULL, 1},
        {"hold for a look", 0, 554, NULL, NULL, 1},
        {"BCC", 451, 451, "4.3.5", NULL, 0},
        {"BCC nobody", 451, 451, "4.3.5", NULL, 0},
        {"BCC a@b.example", 0, 554, NULL, NULL, 1},
        {"FILTER", 451, 451, "4.3.5", NULL, 0},
        {"FILTER smtp:", 451, 451, "4.3.5", NULL, 0},
        {"FILTER scan:dummy", 451, 451, "4.3.5", NULL, 0},
        {"FILTER smtp:[127.0.0.1", 451, 451, "4.3.5", NULL, 0},
        {"FILTER smtp:[127.0.0.1]x", 451, 451, "4.3.5", NULL, 0},
        {"FILTER smtp:a b", 451, 451, "4.3.5", NULL, 0},
        {"FILTER smtp:host:0", 451, 451, "4.3.5", NULL, 0},
        {"FILTER smtp:host:70000", 451, 451, "4.3.5", NULL, 0},
        {"FILTER smtp:host", 0, 554, NULL, NULL, 1},
        {"FILTER smtp:[127.0.0.1]:10024", 0, 554, NULL, NULL, 1},
        {"FILTER smtp:[2001:db8::1]:25", 0, 554, NULL, NULL, 1},
        {"strict", 554, 554, "5.7.1", NULL, 0},
        {"defer_if_permit, warn_if_reject reject", 450, 554, "4.7.0", NULL, 0},
        {"reject_everything", 451, 451, "4.3.5", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world("a@b.example", "x@ours.example");
        w.subject = ACCESS_ADDRESS;
        w.key = "a@b.example";
        w.action = cases[i].action;
        assert_int_equal(code(STAGE_RECIPIENT, "check_sender_access t, reject"), cases[i].later);
        struct restriction_result r = run_one("check_sender_access t, permit");
        assert_int_equal(r.verdict == VERDICT_DUNNO ? 0 : r.code, cases[i].code);
        assert_int_equal(w.effects, cases[i].effects);
        if (cases[i].status != NULL) {
            assert_string_equal(r.status, cases[i].status);
            assert_string_equal(r.dn,
                                strcmp(cases[i].action, "strict") == 0 ? "cn=class" : "cn=entry");
        }
        if (cases[i].text != NULL)
            assert_string_equal(strstr(r.text, "rejected: ") + strlen("rejected: "), cases[i].text);
    }
}

static void test_tables(void **state)
{
    static const struct {
        const char *restriction;
        enum access_subject subject;
        const char *key;
    } cases[] = {
        {"check_sender_access t", ACCESS_ADDRESS, "a@b.example"},
        {"check_recipient_access t", ACCESS_ADDRESS, "x@ours.example"},
        {"check_helo_access t", ACCESS_DOMAIN, "client.example"},
        {"check_client_access t", ACCESS_CLIENT, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world("a@b.example", "x@ours.example");
        assert_int_equal(code(STAGE_RECIPIENT, cases[i].restriction), 0);
        w.subject = cases[i].subject;
        w.key = cases[i].key;
        w.action = "550 no";
        assert_int_equal(code(STAGE_RECIPIENT, cases[i].restriction), 550);
    }
    assert_int_equal(code(STAGE_RECIPIENT, "check_sender_access lost"), 451);
    world(NULL, NULL);
    w.facts.helo = NULL;
    assert_int_equal(code(STAGE_CLIENT, "check_sender_access lost, check_helo_access lost"), 0);
    char *error = NULL;
    assert_null(restriction_compile("check_sender_access hash:/etc/access", STAGE_SENDER, &error));
    free(error);
}

static void test_classes(void **state)
{
    (void)state;
    world("a@b.example", "x@ours.example");
    struct restriction_result r = run_one("strict, permit");
    assert_int_equal(r.code, 554);
    assert_string_equal(r.dn, "cn=class");
    assert_string_equal(r.restriction, "reject");
    assert_int_equal(code(STAGE_RECIPIENT, "warn_if_reject strict"), 0);
    assert_int_equal(code(STAGE_RECIPIENT, "outer"), 554);
    w.facts.login = "a";
    assert_int_equal(code(STAGE_RECIPIENT, "outer, reject"), 0);
    w.facts.trusted = true;
    assert_int_equal(code(STAGE_RECIPIENT, "strict, defer"), 0); /* its permit ends the list */
    assert_int_equal(code(STAGE_RECIPIENT, "nothing"), 451);
    assert_int_equal(code(STAGE_RECIPIENT, "lost"), 451);
    assert_int_equal(code(STAGE_RECIPIENT, "loop"), 451);
    assert_int_equal(code(STAGE_RECIPIENT, "wrong"), 451);
    assert_int_equal(code(STAGE_RECIPIENT, "ldap:lost"), 451);
    w.facts.trusted = false;
    r = run_one("LDAP:strict, permit");
    assert_int_equal(r.code, 554);
    assert_string_equal(r.dn, "cn=class");
}

static void test_policy_service(void **state)
{
    (void)state;
    world("a@b.example", "x@ours.example");
    w.client.reverse = w.client.verified = CLIENT_NAME_NONE;
    w.action = "DUNNO";
    assert_int_equal(code(STAGE_RECIPIENT, "check_policy_service inet:127.0.0.1:10023"), 0);
    w.action = "DEFER_IF_PERMIT greylisted";
    assert_int_equal(code(STAGE_RECIPIENT, "check_policy_service unix:a/b, permit"), 450);
    w.action = "REJECT";
    assert_int_equal(code(STAGE_RECIPIENT, "check_policy_service unix:a/b, permit"), 554);
    assert_int_equal(code(STAGE_RECIPIENT, "check_policy_service unix:gone"), 451);
    static const char *const wrong[] = {
        "",       "unix:",          "unix:/tmp/x",      "unix:a/../b",
        "inet:1", "inet:host:1",    "inet:127.0.0.1:0", "x",
        "inet:",  "inet:::1:70000", "inet:127.0.0.1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[128], *error = NULL;
        snprintf(text, sizeof(text), "check_policy_service %s", wrong[i]);
        assert_null(restriction_compile(text, STAGE_CLIENT, &error));
        free(error);
    }
}

static void test_limits(void **state)
{
    (void)state;
    static const char *const wrong[] = {"client",     "client=1",      "client=0/1m",
                                        "client=1/",  "client=1/0",    "client=1/1w",
                                        "host=1/1m",  "client=1/1m1m", "=1/1m",
                                        "client/1=1", "client=-1/1m",  "client=10000001/1m"};
    world("a@b.example", "x@ours.example");
    assert_int_equal(code(STAGE_RECIPIENT, "check_rate_limit sender_domain=10/2h, permit"), 0);
    assert_string_equal(w.rate_key, "sender_domain=10/2h\nb.example\ncn=policy 10 7200000");
    assert_int_equal(netaddr_parse(&w.facts.client, "2001:db8::1:2:3:4"), 0);
    assert_int_equal(code(STAGE_CLIENT, "check_rate_limit client=1/1d"), 0);
    assert_string_equal(w.rate_key, "client=1/1d\n2001:db8::\ncn=policy 1 86400000");
    w.over_limit = true;
    assert_int_equal(code(STAGE_RECIPIENT, "check_rate_limit recipient=1/90"), 450);
    assert_int_equal(code(STAGE_CLIENT, "check_rate_limit login=1/1d"),
                     0); /* nobody has logged in */
    assert_int_equal(code(STAGE_RECIPIENT, "check_greylist"), 450);
    w.facts.trusted = true;
    assert_int_equal(code(STAGE_RECIPIENT, "check_greylist"), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[128], *error = NULL;
        snprintf(text, sizeof(text), "check_rate_limit %s", wrong[i]);
        if (restriction_compile(text, STAGE_CLIENT, &error) != NULL)
            fail_msg("%s was taken", wrong[i]);
        free(error);
    }
}

static void test_policy_reply(void **state)
{
    static const struct {
        const char *data, *action;
        int rc;
    } cases[] = {
        {"action=DUNNO\n\n", "DUNNO", 1}, {"x=y\naction=reject no =\n\nrest", "reject no =", 1},
        {"action=\n\n", NULL, -1},        {"\n", NULL, -1},
        {"action=OK\n", NULL, 0},         {"", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *action;
        size_t len = strlen(cases[i].data), used, n;
        int rc = 0;
        /* Whole, and byte by byte. */
        assert_int_equal(policy_reply_parse(cases[i].data, len, &used, &action, &n), cases[i].rc);
        for (size_t j = 0; j <= len && rc == 0; j++)
            rc = policy_reply_parse(cases[i].data, j, &used, &action, &n);
        assert_int_equal(rc, cases[i].rc);
        if (rc == 1) {
            assert_int_equal(n, strlen(cases[i].action));
            assert_memory_equal(action, cases[i].action, n);
        }
    }
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
    conf_free(&w.conf);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_session_restrictions),
        cmocka_unit_test(test_helo),
        cmocka_unit_test(test_destination),
        cmocka_unit_test(test_form_and_existence),
        cmocka_unit_test(test_dns),
        cmocka_unit_test(test_login_mismatch),
        cmocka_unit_test(test_conditional),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_policy_service),
        cmocka_unit_test(test_policy_reply),
    };
    return cmocka_run_group_tests_name("restriction", tests, setup, teardown);
}

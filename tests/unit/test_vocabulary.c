/* Every word of the vocabulary, each spelling: a list that refuses with it, and one that passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/proto/dns.h"
#include "gateway/smtp/restriction.h"
#include "gateway/smtp/restriction_impl.h"

static struct world {
    struct conf *conf;
    struct restriction_facts facts;
    struct restriction_client client;
    struct restriction_certificate certificate;
    struct smtp_address sender, recipient;
    char sender_text[64], recipient_text[64], helo[64];
} w;

/* ---- who answers ---- */

static enum answer ask_domain(void *arg, const char *domain)
{
    (void)arg;
    return strcmp(domain, "ours.example") == 0 ? ANSWER_FOUND : ANSWER_ABSENT;
}

static enum answer ask_listed(void *arg, const char *address, bool *disabled)
{
    (void)arg;
    *disabled = false;
    return strncmp(address, "nobody@", 7) == 0 ? ANSWER_ABSENT : ANSWER_FOUND;
}

static bool ask_dns(void *arg, const char *name, uint16_t type, struct restriction_dns *out)
{
    static const char *const names[] = {"good.example"};
    static struct netaddr address;
    static const struct {
        const char *name, *address;
    } known[] = {
        {"good.example", "192.0.2.1"},
        {"b.example", "192.0.2.9"},
        {"ours.example", "192.0.2.9"},
        {"2.0.0.127.bl.example", "127.0.0.2"},
        {"2.2.0.192.bl.example", "127.0.0.2"},
        {"test.names.example", "127.0.1.2"},
        {"bad.example.names.example", "127.0.1.2"},
        {"good.example.names.example", "127.0.1.2"},
    };

    (void)arg;
    *out = (struct restriction_dns){.status = DNS_NXDOMAIN};
    if (type == DNS_TYPE_PTR && strcmp(name, "1.2.0.192.in-addr.arpa") == 0)
        *out = (struct restriction_dns){.status = DNS_FOUND, .count = 1, .names = names};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        *out = (struct restriction_dns){.status = DNS_NODATA};
        if (type != DNS_TYPE_A)
            continue;
        netaddr_parse(&address, known[i].address);
        *out = (struct restriction_dns){.status = DNS_FOUND, .count = 1, .addresses = &address};
    }
    return true;
}

/* alice has what begins with her name, and everybody's address here has an owner. */
static enum answer ask_send_as(void *arg, const char *address, bool *owned, const char **dn)
{
    (void)arg;
    *owned = strstr(address, "@ours.example") != NULL;
    *dn = "uid=owner";
    return w.facts.login != NULL && strncmp(address, w.facts.login, strlen(w.facts.login)) == 0
               ? ANSWER_FOUND
               : ANSWER_ABSENT;
}

/* The tables have what has "bad" in it, and the client 192.0.2.2. */
static enum answer ask_access(void *arg, const char *table, enum access_subject subject,
                              const char *key, struct restriction_text *out)
{
    struct netaddr bad;

    (void)arg;
    *out = (struct restriction_text){.text = "REJECT", .dn = "cn=entry"};
    if (strcmp(table, "relays") == 0)
        out->text = "OK";
    netaddr_parse(&bad, "192.0.2.2");
    if (subject == ACCESS_CLIENT)
        return netaddr_eq(&bad, &w.facts.client) ? ANSWER_FOUND : ANSWER_ABSENT;
    return key != NULL && strstr(key, "bad") != NULL ? ANSWER_FOUND : ANSWER_ABSENT;
}

static enum answer ask_class(void *arg, const char *name, struct restriction_text *out)
{
    (void)arg;
    *out = (struct restriction_text){.text = "permit_mynetworks, reject", .dn = "cn=class"};
    return strcmp(name, "strict") == 0 ? ANSWER_FOUND : ANSWER_ABSENT;
}

static enum answer ask_partner(void *arg, struct restriction_partner *out)
{
    (void)arg;
    *out = (struct restriction_partner){.dn = "cn=partner", .level = "encrypt"};
    return strcmp(w.facts.sender.domain, "bad.example") == 0 ? ANSWER_FOUND : ANSWER_ABSENT;
}

static bool ask_policy(void *arg, const char *service, enum restriction_stage stage,
                       const char **action)
{
    (void)arg;
    (void)service;
    (void)stage;
    *action = strcmp(w.facts.sender.domain, "bad.example") == 0 ? "REJECT" : "DUNNO";
    return true;
}

static bool ask_greylist(void *arg, int64_t *wait_s)
{
    (void)arg;
    *wait_s = 60;
    return strcmp(w.facts.sender.domain, "bad.example") != 0;
}

static bool ask_rate(void *arg, const char *key, unsigned n, int64_t ms)
{
    (void)arg;
    (void)key;
    (void)n;
    (void)ms;
    return strcmp(w.facts.sender.domain, "bad.example") != 0;
}

static const struct restriction_ops ops = {
    .greylist = ask_greylist,
    .rate = ask_rate,
    .domain = ask_domain,
    .listed = ask_listed,
    .dns = ask_dns,
    .send_as = ask_send_as,
    .access = ask_access,
    .class = ask_class,
    .partner = ask_partner,
    .policy = ask_policy,
};

/* ---- what a row says of the session ---- */

static void set_address(struct smtp_address *a, struct restriction_address *f, char *text,
                        const char *value)
{
    char *at;

    snprintf(text, 64, "%s", value);
    at = strchr(text, '@');
    *a = (struct smtp_address){.text = text, .domain = at != NULL ? at + 1 : "", .local_len = 0};
    a->local_len = at != NULL ? (size_t)(at - text) : strlen(text);
    *f = (struct restriction_address){.given = a, .full = text, .domain = a->domain};
}

/* "from=ADDRESS", "tls" and their like, in words. */
static void set_fact(const char *word)
{
    const char *value = strchr(word, '=') != NULL ? strchr(word, '=') + 1 : "";
    struct restriction_facts *f = &w.facts;

    if (strncmp(word, "from=", 5) == 0)
        set_address(&w.sender, &f->sender, w.sender_text, value);
    else if (strncmp(word, "to=", 3) == 0)
        set_address(&w.recipient, &f->recipient, w.recipient_text, value);
    else if (strncmp(word, "client=", 7) == 0)
        netaddr_parse(&f->client, value);
    else if (strncmp(word, "helo=", 5) == 0)
        snprintf(w.helo, sizeof(w.helo), "%s", value);
    else if (strncmp(word, "print=", 6) == 0)
        w.certificate.fingerprint = value, f->certificate = &w.certificate;
    else if (strcmp(word, "login") == 0)
        f->login = "alice";
    else if (strcmp(word, "verified") == 0)
        w.certificate.verified = true, f->certificate = &w.certificate;
    else if (strcmp(word, "trusted") == 0)
        f->trusted = true;
    else if (strcmp(word, "tls") == 0)
        f->tls = true;
    else if (strcmp(word, "early") == 0)
        f->early_input = true;
    else if (strcmp(word, "several") == 0)
        f->recipient_count = 2;
    else
        fail_msg("%s: no such fact", word);
}

static void set_world(const char *facts)
{
    static char words[256];
    char *cursor, *word;

    restriction_client_free(&w.client);
    w.facts = (struct restriction_facts){
        .id = "test", .client_name = &w.client, .helo = w.helo, .recipient_count = 1};
    w.certificate = (struct restriction_certificate){
        .subject = "CN=x", .issuer = "CN=y", .fingerprint = "AB:CD", .key_fingerprint = "EF:01"};
    snprintf(words, sizeof(words),
             "client=192.0.2.1 helo=good.example from=a@b.example "
             "to=x@ours.example %s",
             facts);
    for (word = strtok_r(words, " ", &cursor); word != NULL; word = strtok_r(NULL, " ", &cursor))
        set_fact(word);
}

static bool refuses(const char *list, enum restriction_stage stage, const char *facts)
{
    struct restriction_run run;
    char *error = NULL;

    set_world(facts);
    restriction_run_init(&run, w.conf, &w.facts, &ops, NULL);
    struct restriction_list *l = restriction_compile(list, stage, &error);
    if (l == NULL)
        fail_msg("%s: %s", list, error);
    restriction_run_add(&run, stage, l, "cn=policy");
    assert_true(restriction_run_go(&run));
    bool refused = run.result.verdict == VERDICT_REJECT || run.result.verdict == VERDICT_DEFER;
    restriction_run_end(&run);
    return refused;
}

/* ---- the vocabulary ---- */

#define SIMPLE(word, facts)                                                                        \
    {                                                                                              \
        word, word, facts, word, ""                                                                \
    }
#define PERMIT(word, facts)                                                                        \
    {                                                                                              \
        word, word ", reject", "", word ", reject", facts                                          \
    }

static const struct row {
    const char *word;
    const char *refusing, *refused; /* a list, and the facts that it refuses */
    const char *passing, *passes;   /* one that passes */
} rows[] = {
    {"permit", "warn_if_reject reject, reject", "", "permit, reject", ""},
    {"reject", "reject", "", "permit, reject", ""},
    {"defer", "defer", "", "permit, defer", ""},
    {"defer_if_permit", "defer_if_permit, permit", "", "warn_if_reject defer_if_permit", ""},
    {"defer_if_reject", "defer_if_reject, reject", "", "defer_if_reject, permit", ""},
    {"warn_if_reject", "warn_if_reject permit_mynetworks, reject", "", "warn_if_reject reject", ""},
    PERMIT("permit_mynetworks", "trusted"),
    PERMIT("permit_sasl_authenticated", "login"),
    PERMIT("permit_tls_clientcerts", "print=AA:BB"),
    {"permit_tls_clientcerts", "permit_tls_clientcerts, reject", "print=AA:CC",
     "permit_tls_clientcerts, reject", "print=bad:print"},
    PERMIT("permit_tls_all_clientcerts", "verified"),
    {"permit_auth_destination", "permit_auth_destination, reject", "to=x@other.example",
     "permit_auth_destination, reject", ""},
    SIMPLE("reject_unauth_destination", "to=x@other.example"),
    SIMPLE("check_relay_domains", "to=x@other.example"),
    SIMPLE("defer_unauth_destination", "to=x@other.example"),
    SIMPLE("reject_unauth_pipelining", "early"),
    SIMPLE("reject_unknown_client", "client=192.0.2.2"),
    SIMPLE("reject_unknown_client_hostname", "client=192.0.2.2"),
    SIMPLE("reject_unknown_reverse_client_hostname", "client=192.0.2.2"),
    SIMPLE("reject_invalid_hostname", "helo=not_a_name!"),
    SIMPLE("reject_invalid_helo_hostname", "helo=not_a_name!"),
    SIMPLE("reject_non_fqdn_hostname", "helo=short"),
    SIMPLE("reject_non_fqdn_helo_hostname", "helo=short"),
    SIMPLE("reject_unknown_hostname", "helo=none.example"),
    SIMPLE("reject_unknown_helo_hostname", "helo=none.example"),
    PERMIT("permit_naked_ip_address", "helo=192.0.2.1"),
    SIMPLE("reject_non_fqdn_sender", "from=a@short"),
    SIMPLE("reject_non_fqdn_recipient", "to=a@short"),
    SIMPLE("reject_unknown_sender_domain", "from=a@none.example"),
    SIMPLE("reject_unknown_recipient_domain", "to=a@none.example"),
    SIMPLE("reject_unlisted_sender", "from=nobody@ours.example"),
    SIMPLE("reject_unlisted_recipient", "to=nobody@ours.example"),
    SIMPLE("check_recipient_maps", "to=nobody@ours.example"),
    SIMPLE("reject_sender_login_mismatch", "from=bob@ours.example login"),
    {"reject_sender_login_mismatch", "reject_sender_login_mismatch", "from=bob@ours.example",
     "reject_sender_login_mismatch", "from=alice@ours.example login"},
    SIMPLE("reject_authenticated_sender_login_mismatch", "from=bob@ours.example login"),
    SIMPLE("reject_known_sender_login_mismatch", "from=bob@ours.example login"),
    SIMPLE("reject_unauthenticated_sender_login_mismatch", "from=bob@ours.example"),
    {"reject_rbl_client", "reject_rbl_client bl.example", "client=192.0.2.2",
     "reject_rbl_client bl.example", ""},
    SIMPLE("reject_maps_rbl", "client=192.0.2.2"),
    {"reject_rhsbl_client", "reject_rhsbl_client names.example", "",
     "reject_rhsbl_client names.example", "client=192.0.2.2"},
    {"reject_rhsbl_helo", "reject_rhsbl_helo names.example", "helo=bad.example",
     "reject_rhsbl_helo names.example", "helo=b.example"},
    {"reject_rhsbl_sender", "reject_rhsbl_sender names.example", "from=a@bad.example",
     "reject_rhsbl_sender names.example", ""},
    {"reject_rhsbl_recipient", "reject_rhsbl_recipient names.example", "to=a@bad.example",
     "reject_rhsbl_recipient names.example", ""},
    {"permit_dnswl_client", "permit_dnswl_client bl.example, reject", "",
     "permit_dnswl_client bl.example, reject", "client=192.0.2.2"},
    SIMPLE("reject_multi_recipient_bounce", "from= several"),
    {"check_client_access", "check_client_access t", "client=192.0.2.2", "check_client_access t",
     ""},
    {"check_helo_access", "check_helo_access t", "helo=bad.example", "check_helo_access t", ""},
    {"check_sender_access", "check_sender_access t", "from=a@bad.example", "check_sender_access t",
     ""},
    {"check_recipient_access", "check_recipient_access t", "to=bad@ours.example",
     "check_recipient_access t", ""},
    {"check_ccert_access", "check_ccert_access t", "print=bad:print", "check_ccert_access t",
     "print=AB:CD"},
    {"reject_plaintext_session", "reject_plaintext_session", "", "reject_plaintext_session", "tls"},
    {"reject_partner_mismatch", "reject_partner_mismatch", "from=a@bad.example",
     "reject_partner_mismatch", "from=a@bad.example tls"},
    {"check_policy_service", "check_policy_service inet:127.0.0.1:1", "from=a@bad.example",
     "check_policy_service inet:127.0.0.1:1", ""},
    SIMPLE("check_greylist", "from=a@bad.example"),
    {"check_rate_limit", "check_rate_limit sender_domain=10/2h", "from=a@bad.example",
     "check_rate_limit sender_domain=10/2h", ""},
    {"strict", "strict", "", "strict", "trusted"},
    {"ldap:strict", "ldap:strict", "", "ldap:strict", "trusted"},
};

static void test_both_outcomes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *r = &rows[i];
        bool bounce = strcmp(r->word, "reject_multi_recipient_bounce") == 0;
        enum restriction_stage stage = bounce ? STAGE_DATA : STAGE_RECIPIENT;
        if (!refuses(r->refusing, stage, r->refused))
            fail_msg("\"%s\" lets pass: %s", r->refusing, r->refused);
        if (refuses(r->passing, stage, r->passes))
            fail_msg("\"%s\" refuses: %s", r->passing, r->passes);
    }
}

/* Whatever the table of restrictions has has a row here, in each spelling. */
static void test_all_are_here(void **state)
{
    const char *name;

    (void)state;
    for (size_t i = 0; (name = restriction_spelling(i)) != NULL; i++) {
        bool found = false;
        for (size_t j = 0; !found && j < sizeof(rows) / sizeof(rows[0]); j++)
            found = strcmp(rows[j].word, name) == 0;
        if (*name != '\0' && !found)
            fail_msg("%s has no row", name);
    }
}

static struct conf_list before[2]; /* what the configuration owns */

static int setup(void **state)
{
    static char *lists[] = {(char *)"bl.example", NULL},
                *certs[] = {(char *)"AA:BB", (char *)"relays", NULL};

    (void)state;
    w.conf = conf_defaults();
    before[0] = w.conf->maps_rbl_domains;
    before[1] = w.conf->relay_clientcerts;
    w.conf->maps_rbl_domains = (struct conf_list){.n = 1, .v = lists};
    w.conf->relay_clientcerts = (struct conf_list){.n = 2, .v = certs};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    w.conf->maps_rbl_domains = before[0];
    w.conf->relay_clientcerts = before[1];
    restriction_client_free(&w.client);
    conf_free(&w.conf);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_outcomes),
        cmocka_unit_test(test_all_are_here),
    };
    return cmocka_run_group_tests_name("vocabulary", tests, setup, teardown);
}

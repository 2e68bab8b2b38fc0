/* Restrictions on what DNS says of the client and of the name in its greeting. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/proto/dns.h"
#include "gateway/smtp/dnsl.h"
#include "gateway/smtp/restriction_impl.h"

/* Names of one address that are looked at: who has more is no mail server. */
#define NAMES_MAX 4

void restriction_client_free(struct restriction_client *client)
{
    free(client->name);
    free(client->reverse_name);
    *client = (struct restriction_client){0};
}

const char *restriction_client_str(const struct restriction_facts *f, char *dst)
{
    char addr[NETADDR_STRLEN];
    const char *name = "";

    if (f->client_name->verified == CLIENT_NAME_FOUND)
        name = f->client_name->name;
    else if (f->client_name->verified != CLIENT_NAME_UNASKED)
        name = "unknown";
    snprintf(dst, RESTRICTION_CLIENT_STRLEN, "%s[%s]", name, netaddr_str(&f->client, addr));
    return dst;
}

/* Whether a name has the client's address. */
static enum verdict ask_forward(struct restriction_run *run, const char *name,
                                enum client_name_state *state)
{
    const struct netaddr *client = &run->facts->client;
    struct restriction_dns dns;

    if (!run->ops->dns(run->ops_arg, name, client->family == 6 ? DNS_TYPE_AAAA : DNS_TYPE_A, &dns))
        return VERDICT_WAIT;
    *state = dns.status == DNS_UNKNOWN ? CLIENT_NAME_UNKNOWN : CLIENT_NAME_NONE;
    for (size_t i = 0; dns.status == DNS_FOUND && i < dns.count; i++)
        if (netaddr_eq(&dns.addresses[i], client))
            *state = CLIENT_NAME_FOUND;
    return VERDICT_DUNNO;
}

static bool usable_name(const char *name)
{
    size_t len = strlen(name);

    return len <= RESTRICTION_NAME_MAX && smtp_hostname_valid(name, len);
}

/* The names are copied, for the answer that holds them goes with the next question. */
static size_t copy_names(const struct restriction_dns *dns, char names[][RESTRICTION_NAME_MAX + 1])
{
    size_t n = 0;

    for (size_t i = 0; i < dns->count && n < NAMES_MAX; i++)
        if (usable_name(dns->names[i]))
            snprintf(names[n++], RESTRICTION_NAME_MAX + 1, "%s", dns->names[i]);
    return n;
}

static enum verdict verify(struct restriction_run *run, const struct restriction_dns *reverse)
{
    struct restriction_client *c = run->facts->client_name;
    char names[NAMES_MAX][RESTRICTION_NAME_MAX + 1];
    size_t n = copy_names(reverse, names);
    enum client_name_state verified = CLIENT_NAME_NONE, state;

    for (size_t i = 0; i < n && verified != CLIENT_NAME_FOUND; i++) {
        if (ask_forward(run, names[i], &state) == VERDICT_WAIT)
            return VERDICT_WAIT;
        if (state == CLIENT_NAME_FOUND) {
            free(c->name);
            c->name = mem_strdup(names[i]);
        }
        if (state != CLIENT_NAME_NONE)
            verified = state;
    }
    c->verified = verified;
    c->reverse = n > 0 ? CLIENT_NAME_FOUND : CLIENT_NAME_NONE;
    free(c->reverse_name);
    c->reverse_name = n > 0 ? mem_strdup(names[0]) : NULL;
    return VERDICT_DUNNO;
}

enum verdict restriction_client_name(struct restriction_run *run)
{
    const struct netaddr *client = &run->facts->client;
    struct restriction_client *c = run->facts->client_name;
    char name[DNS_NAME_MAX];
    struct restriction_dns dns;

    if (c->verified == CLIENT_NAME_FOUND || c->verified == CLIENT_NAME_NONE)
        return VERDICT_DUNNO;
    if (client->family == 0) {
        c->reverse = c->verified = CLIENT_NAME_NONE;
        return VERDICT_DUNNO;
    }
    dnsl_name(name, client, client->family == 6 ? "ip6.arpa" : "in-addr.arpa");
    if (!run->ops->dns(run->ops_arg, name, DNS_TYPE_PTR, &dns))
        return VERDICT_WAIT;
    if (dns.status == DNS_FOUND)
        return verify(run, &dns);
    c->reverse = c->verified = dns.status == DNS_UNKNOWN ? CLIENT_NAME_UNKNOWN : CLIENT_NAME_NONE;
    return VERDICT_DUNNO;
}

static enum verdict unknown_client(struct restriction_run *run, bool forward)
{
    const struct restriction_client *c = run->facts->client_name;
    char text[NETADDR_STRLEN + 64], addr[NETADDR_STRLEN];

    if (run->facts->client.family == 0)
        return VERDICT_DUNNO; /* a Unix socket */
    if (restriction_client_name(run) == VERDICT_WAIT)
        return VERDICT_WAIT;
    enum client_name_state state = forward ? c->verified : c->reverse;
    if (state == CLIENT_NAME_FOUND)
        return VERDICT_DUNNO;
    unsigned code =
        state == CLIENT_NAME_UNKNOWN ? 450 : (unsigned)run->conf->unknown_client_reject_code;
    snprintf(text, sizeof(text), "cannot find your %shostname, [%s]", forward ? "" : "reverse ",
             netaddr_str(&run->facts->client, addr));
    return restriction_refuse(run, SUBJECT_CLIENT, code, "4.7.25", text);
}

RESTRICTION_FUNCTION(reject_unknown_client_hostname)
{
    (void)item;
    return unknown_client(run, true);
}

RESTRICTION_FUNCTION(reject_unknown_reverse_client_hostname)
{
    (void)item;
    return unknown_client(run, false);
}

/* ---- the greeting ---- */

RESTRICTION_FUNCTION(permit_naked_ip_address)
{
    (void)item;
    const char *helo = run->facts->helo;
    struct netaddr addr;

    if (helo == NULL || helo[0] == '[' || netaddr_parse(&addr, helo) != 0)
        return VERDICT_DUNNO;
    return VERDICT_PERMIT;
}

RESTRICTION_FUNCTION(reject_unknown_helo_hostname)
{
    static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_MX};
    const char *helo = run->facts->helo;
    struct netaddr addr;
    bool failed = false;

    (void)item;
    if (helo == NULL || smtp_literal_parse(helo, strlen(helo), &addr) == 0)
        return VERDICT_DUNNO;
    bool is_name = smtp_hostname_valid(helo, strlen(helo));
    for (size_t i = 0; is_name && i < sizeof(types) / sizeof(types[0]); i++) {
        struct restriction_dns dns;
        if (!run->ops->dns(run->ops_arg, helo, types[i], &dns))
            return VERDICT_WAIT;
        if (dns.status == DNS_FOUND)
            return VERDICT_DUNNO;
        if (dns.status == DNS_NXDOMAIN)
            break;
        failed |= dns.status == DNS_UNKNOWN;
    }
    if (failed) {
        restriction_refuse(run, SUBJECT_HELO, 450, "4.7.1", "Host not found: try again later");
        return VERDICT_DEFER_IF_PERMIT;
    }
    return restriction_refuse(run, SUBJECT_HELO, (unsigned)run->conf->unknown_hostname_reject_code,
                              "4.7.1", "Host not found");
}

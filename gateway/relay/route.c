/* Finding the hosts of a next hop. */
#include "gateway/relay/route.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"

enum {
    HOSTS_MAX = 20,
    ADDRESSES_MAX = 10 /* of one host and address family */
};

struct host {
    char *name;
    uint16_t preference;
};

struct route {
    const struct route_settings *settings;
    struct nexthop hop;
    bool configured;
    struct timer *timer; /* to answer from the loop */
    void (*fn)(const struct route_answer *answer, void *arg);
    void *arg;

    bool looked_up; /* the hosts are known */
    struct host hosts[HOSTS_MAX];
    size_t host_count, next_host;
    struct netaddr addresses[2 * ADDRESSES_MAX];
    size_t address_count, next_address;
    uint32_t mx_query, a_query, aaaa_query;

    bool any;              /* an address has been given */
    enum route_result end; /* what to answer when there is no further address */
    char enhanced[8];
    char *words;
};

static void step(struct route *r);

static void answer_end(struct route *r)
{
    /* A host without address is no reason to bounce where another one could not be reached. */
    if (r->any && r->end == ROUTE_BOUNCE)
        r->end = ROUTE_END;
    struct route_answer answer = {
        .result = r->end, .enhanced = r->enhanced, .words = r->words != NULL ? r->words : ""};

    r->fn(&answer, r->arg);
}

/* Notes why there is no (further) address. Unknown is stronger than absent: it may be there. */
static void note(struct route *r, enum route_result result, const char *enhanced, const char *what,
                 const char *name, const char *why)
{
    if (r->end == ROUTE_DEFER || (r->end == ROUTE_BOUNCE && result == ROUTE_BOUNCE))
        return;
    if (result == ROUTE_BOUNCE && r->configured)
        result = ROUTE_DEFER;
    r->end = result;
    (void)strlcpy(r->enhanced, enhanced, sizeof(r->enhanced));
    free(r->words);
    r->words = mem_printf("%s: %s%s%s", what, name, *why != '\0' ? ": " : "", why);
}

/* ---- the hosts ---- */

static void add_host(struct route *r, const char *name, uint16_t preference)
{
    if (r->host_count == HOSTS_MAX)
        return;
    r->hosts[r->host_count++] = (struct host){.name = mem_strdup(name), .preference = preference};
}

static void drop_hosts_from(struct route *r, size_t first)
{
    while (r->host_count > first)
        free(r->hosts[--r->host_count].name);
}

/* Hosts of one preference are tried in random order (RFC 5321 section 5.1). */
static void shuffle(struct route *r)
{
    for (size_t start = 0, end; start < r->host_count; start = end) {
        for (end = start;
             end < r->host_count && r->hosts[end].preference == r->hosts[start].preference;)
            end++;
        for (size_t i = end - 1; i > start; i--) {
            size_t j = start + arc4random_uniform((uint32_t)(i - start + 1));
            struct host h = r->hosts[i];
            r->hosts[i] = r->hosts[j];
            r->hosts[j] = h;
        }
    }
}

/* Where this host is one of the MX, it and all that are no better are left out: mail never goes
 * away from its destination (RFC 5321 section 5.1). */
static void drop_self(struct route *r)
{
    for (size_t i = 0; i < r->host_count; i++) {
        if (!str_ieq(r->hosts[i].name, r->settings->myhostname))
            continue;
        size_t first = i;
        while (first > 0 && r->hosts[first - 1].preference == r->hosts[i].preference)
            first--;
        drop_hosts_from(r, first);
        if (first == 0)
            note(r, ROUTE_BOUNCE, "5.4.6", "mail for this domain loops back to this host",
                 r->hop.host, "its best MX is this host, which is not its destination");
        return;
    }
}

static void take_mx(struct route *r, const struct dns_answer *answer)
{
    if (answer->count == 1 && answer->records[0].name[0] == '\0') {
        note(r, ROUTE_BOUNCE, "5.1.10", "the domain accepts no mail (null MX)", r->hop.host, "");
        return;
    }
    for (size_t i = 0; i < answer->count; i++)
        if (answer->records[i].name[0] != '\0')
            add_host(r, answer->records[i].name, answer->records[i].preference);
    drop_self(r);
    shuffle(r);
}

static void on_mx(const struct dns_answer *answer, void *arg)
{
    struct route *r = arg;

    r->mx_query = 0;
    r->looked_up = true;
    switch (answer->status) {
    case DNS_FOUND:
        take_mx(r, answer);
        break;
    case DNS_NODATA: /* the domain itself is its host (RFC 5321 section 5.1) */
        add_host(r, r->hop.host, 0);
        break;
    case DNS_NXDOMAIN:
        note(r, ROUTE_BOUNCE, "5.1.2", "the domain does not exist", r->hop.host, "");
        break;
    case DNS_UNKNOWN:
        note(r, ROUTE_DEFER, "4.4.3", "the MX is not known now", r->hop.host, answer->why);
        break;
    }
    step(r);
}

/* ---- their addresses ---- */

static void take_addresses(struct route *r, const struct dns_answer *answer, uint8_t family)
{
    size_t len = family == 4 ? 4 : 16;

    for (size_t i = 0; i < answer->count && i < ADDRESSES_MAX; i++) {
        struct netaddr *a = &r->addresses[r->address_count++];
        *a = (struct netaddr){.family = family, .port = r->hop.port};
        memcpy(a->bytes, answer->records[i].data, len);
    }
}

static void on_addresses(struct route *r, const struct dns_answer *answer, uint8_t family)
{
    const char *name = r->hosts[r->next_host - 1].name;

    if (answer->status == DNS_FOUND)
        take_addresses(r, answer, family);
    else if (answer->status == DNS_UNKNOWN)
        note(r, ROUTE_DEFER, "4.4.3", "the address of the host is not known now", name,
             answer->why);
    if (r->a_query != 0 || r->aaaa_query != 0)
        return;
    if (r->address_count == 0)
        note(r, ROUTE_BOUNCE, "5.4.4", "the host has no address", name, "");
    step(r);
}

static void on_a(const struct dns_answer *answer, void *arg)
{
    struct route *r = arg;

    r->a_query = 0;
    on_addresses(r, answer, 4);
}

static void on_aaaa(const struct dns_answer *answer, void *arg)
{
    struct route *r = arg;

    r->aaaa_query = 0;
    on_addresses(r, answer, 6);
}

/* One step towards the next address: it answers, or a query is under way. */
static void step(struct route *r)
{
    struct dns_client *dns = r->settings->dns;

    if (!r->looked_up) {
        r->mx_query = dns_query(dns, r->hop.host, DNS_TYPE_MX, on_mx, r);
        return;
    }
    if (r->next_address < r->address_count) {
        const struct host *host = r->next_host > 0 ? &r->hosts[r->next_host - 1] : NULL;
        struct route_answer answer = {.result = ROUTE_ADDRESS,
                                      .host = host != NULL ? host->name : "",
                                      .address = r->addresses[r->next_address++]};
        r->any = true;
        r->fn(&answer, r->arg);
        return;
    }
    if (r->next_host == r->host_count) {
        answer_end(r);
        return;
    }
    const char *name = r->hosts[r->next_host++].name;
    r->address_count = r->next_address = 0;
    if (r->settings->ipv6)
        r->aaaa_query = dns_query(dns, name, DNS_TYPE_AAAA, on_aaaa, r);
    if (r->settings->ipv4)
        r->a_query = dns_query(dns, name, DNS_TYPE_A, on_a, r);
}

static void on_timer(void *arg)
{
    step(arg);
}

struct route *route_new(struct loop *loop, const struct route_settings *settings,
                        const struct nexthop *hop, bool configured)
{
    struct route *r = mem_zalloc(sizeof(*r));

    r->settings = settings;
    r->hop = *hop;
    r->configured = configured;
    r->end = ROUTE_END;
    r->timer = timer_new(loop, on_timer, r);
    if (hop->host[0] == '\0') {
        r->looked_up = true;
        r->addresses[r->address_count++] = hop->address;
    } else if (!hop->use_mx) {
        r->looked_up = true;
        add_host(r, hop->host, 0);
    }
    return r;
}

void route_next(struct route *r, void (*fn)(const struct route_answer *answer, void *arg),
                void *arg)
{
    r->fn = fn;
    r->arg = arg;
    timer_set(r->timer, 0);
}

void route_free(struct route **r)
{
    if (*r == NULL)
        return;
    const uint32_t queries[] = {(*r)->mx_query, (*r)->a_query, (*r)->aaaa_query};
    for (size_t i = 0; i < 3; i++)
        if (queries[i] != 0)
            dns_cancel((*r)->settings->dns, queries[i]);
    drop_hosts_from(*r, 0);
    timer_free(&(*r)->timer);
    free((*r)->words);
    free(*r);
    *r = NULL;
}

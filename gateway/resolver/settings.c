/* libunbound's settings. */
#include "gateway/resolver/settings.h"

#include <stdio.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/base/str.h"
#include "gateway/resolver/tunnel.h"

enum {
    ZONE_MAX = 255,
    OUTGOING_MAX = 512, /* sockets towards name servers at one time */
    OUTGOING_TCP = 64,
    SERVE_EXPIRED_MS = 1800,
    DNS_PORT = 53,
    DNS_TLS_PORT = 853,
    LOOPBACK_BITS = 8 /* 127.0.0.0/8 */
};

bool settings_is_zone(const char *s, size_t len)
{
    if (len == 0 || len > ZONE_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = str_lower_char(s[i]);
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return true;
}

/* A certificate's name, or none. */
static const char *tls_name(const char *server)
{
    const char *hash = strchr(server, '#');

    return hash != NULL ? hash + 1 : NULL;
}

/* "ADDRESS[@PORT]", up to the name of a certificate. */
static bool parse_server(const char *text, struct netaddr *addr)
{
    char address[NETADDR_STRLEN];
    size_t len = strcspn(text, "@#"), end = strcspn(text, "#");
    uint64_t port = text[end] == '#' ? DNS_TLS_PORT : DNS_PORT;

    if (len >= sizeof(address))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (address[0] == '[' || netaddr_parse(addr, address) == -1 ||
        (len < end &&
         (str_uint(text + len + 1, end - len - 1, UINT16_MAX, &port) == -1 || port == 0)))
        return false;
    addr->port = (uint16_t)port;
    return true;
}

static bool is_server(const char *text, bool tls)
{
    const char *name = tls_name(text);
    struct netaddr addr;

    return parse_server(text, &addr) &&
           (name == NULL || (tls && settings_is_zone(name, strlen(name))));
}

bool settings_tls_server(const char *entry, struct netaddr *addr, const char **name)
{
    const char *server = strchr(entry, '=');

    *name = server != NULL ? tls_name(server) : NULL;
    return *name != NULL && parse_server(server + 1, addr);
}

/* Whether an earlier entry of the list names the zone of entry i. */
static bool named_before(const struct conf_list *list, size_t i, size_t len)
{
    for (size_t j = 0; j < i; j++)
        if (strcspn(list->v[j], "=") == len && str_ieq_n(list->v[j], list->v[i], len))
            return true;
    return false;
}

static int check_zones(const struct conf_list *list, const char *parameter, bool tls, char **error)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *entry = list->v[i];
        size_t len = strcspn(entry, "=");
        if (entry[len] == '=' && settings_is_zone(entry, len) && is_server(entry + len + 1, tls))
            continue;
        *error = mem_printf("%s: \"%s\" is not ZONE=ADDRESS[@PORT]%s", parameter, entry,
                            tls ? "[#NAME]" : "");
        return -1;
    }
    return 0;
}

/* Whether entry j names the zone of entry i, whose name is len long. */
static bool same_zone(const struct conf_list *list, size_t i, size_t j, size_t len)
{
    return strcspn(list->v[j], "=") == len && str_ieq_n(list->v[j], list->v[i], len);
}

/* A zone's servers are reached by TLS all or none: unbound has one switch for them. */
static int check_mixed(const struct conf_list *list, const char *parameter, char **error)
{
    for (size_t i = 0; i < list->n; i++) {
        size_t len = strcspn(list->v[i], "=");
        for (size_t j = 0; j < i; j++) {
            if (!same_zone(list, i, j, len) ||
                (tls_name(list->v[i]) == NULL) == (tls_name(list->v[j]) == NULL))
                continue;
            *error = mem_printf("%s: \"%s\" and \"%s\" are servers of one zone with and without "
                                "TLS; name all of them with #NAME, or none",
                                parameter, list->v[j], list->v[i]);
            return -1;
        }
    }
    return 0;
}

/* One clause for each zone, with the addresses of all its entries; ports: of the tunnels that lead
 * to the servers with TLS. */
static void put_zones(struct buf *out, const struct conf_list *list, const char *kind,
                      const uint16_t *ports)
{
    for (size_t i = 0; i < list->n; i++) {
        int len = (int)strcspn(list->v[i], "=");
        if (named_before(list, i, (size_t)len))
            continue;
        (void)buf_printf(out, "%s-zone:\n  name: \"%.*s\"\n", kind, len, list->v[i]);
        if (tls_name(list->v[i]) != NULL)
            (void)buf_printf(out, "  %s-tcp-upstream: yes\n", kind);
        for (size_t j = i; j < list->n; j++) {
            if (!same_zone(list, i, j, (size_t)len))
                continue;
            if (tls_name(list->v[j]) != NULL)
                (void)buf_printf(out, "  %s-addr: " TUNNEL_ADDRESS "@%u\n", kind,
                                 (unsigned)ports[j]);
            else
                (void)buf_printf(out, "  %s-addr: %s\n", kind, list->v[j] + len + 1);
        }
    }
}

/*
 * unbound answers some zones by itself (private reverse zones, "test", …). Where one of them
 * encloses a zone that the administrator named, the name servers given are to be asked.
 */
static void put_not_local(struct buf *out, const struct conf_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *zone = list->v[i];
        int len = (int)strcspn(zone, "=");
        while (len > 0 && !(len == 1 && *zone == '.')) {
            (void)buf_printf(out, "  local-zone: \"%.*s\" nodefault\n", len, zone);
            int label = (int)strcspn(zone, ".=");
            if (label >= len)
                break;
            zone += label + 1;
            len -= label + 1;
        }
    }
}

/* Of the validator's own times, unbound takes the key cache's from cache-max-ttl. */
static void put_cache_times(const struct conf *conf, struct buf *out)
{
    long long expired = conf->resolver_serve_expired / 1000;

    (void)buf_printf(out, "  cache-max-ttl: %lld\n  cache-max-negative-ttl: %lld\n",
                     (long long)conf->resolver_cache_max_ttl / 1000,
                     (long long)conf->resolver_cache_max_negative_ttl / 1000);
    /* Only after the servers had their chance (RFC 8767 section 5). */
    if (expired > 0)
        (void)buf_printf(out,
                         "  serve-expired: yes\n  serve-expired-ttl: %lld\n"
                         "  serve-expired-client-timeout: %d\n",
                         expired, SERVE_EXPIRED_MS);
}

static bool uses_tls(const struct conf_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (tls_name(list->v[i]) != NULL)
            return true;
    return false;
}

/* Which loopback addresses are never asked: all, but for the tunnels' where there are some. */
static void put_not_localhost(const struct conf *conf, struct buf *out)
{
    struct netaddr tunnel;
    bool tunnels = uses_tls(&conf->resolver_forward_zones);

    (void)buf_printf(out, "  do-not-query-localhost: %s\n",
                     conf->resolver_query_localhost || tunnels ? "no" : "yes");
    if (conf->resolver_query_localhost || !tunnels)
        return;
    (void)buf_append_str(out, "  do-not-query-address: ::1\n");
    /* Of each length of prefix the one beside the tunnels'. */
    (void)netaddr_parse(&tunnel, TUNNEL_ADDRESS);
    for (unsigned bits = LOOPBACK_BITS + 1; bits <= 32; bits++) {
        struct netaddr beside = tunnel;
        char text[NETADDR_STRLEN];
        beside.bytes[(bits - 1) / 8] ^= (uint8_t)(0x80U >> (bits - 1) % 8);
        for (unsigned b = bits; b < 32; b++)
            beside.bytes[b / 8] &= (uint8_t) ~(0x80U >> b % 8);
        (void)buf_printf(out, "  do-not-query-address: %s/%u\n", netaddr_str(&beside, text), bits);
    }
}

static void put_server(const struct conf *conf, const char *root_hints, struct buf *out)
{
    /* unbound advises twice the message cache for the record sets. */
    unsigned long long cache = conf->resolver_cache_size;
    long long hold_down = conf->resolver_trust_anchor_hold_down / 1000;

    (void)buf_printf(out,
                     "server:\n"
                     "  use-syslog: no\n"
                     "  do-ip4: %s\n"
                     "  do-ip6: %s\n"
                     "  msg-cache-size: %llu\n"
                     "  rrset-cache-size: %llu\n"
                     "  key-cache-size: %llu\n"
                     "  neg-cache-size: %llu\n"
                     "  outgoing-range: %d\n"
                     "  num-queries-per-thread: %lld\n"
                     "  prefetch: yes\n"
                     "  module-config: \"%s\"\n",
                     strcmp(conf->inet_protocols, "ipv6") == 0 ? "no" : "yes",
                     strcmp(conf->inet_protocols, "ipv4") == 0 ? "no" : "yes", cache / 4, cache / 2,
                     cache / 8, cache / 8, OUTGOING_MAX, (long long)conf->resolver_query_limit,
                     *conf->resolver_trust_anchor_file != '\0' ? "validator iterator" : "iterator");
    put_cache_times(conf, out);
    if (*conf->resolver_trust_anchor_file != '\0' && conf->resolver_trust_anchor_update)
        (void)buf_printf(out, "  add-holddown: %lld\n  del-holddown: %lld\n", hold_down, hold_down);
    put_not_localhost(conf, out);
    if (uses_tls(&conf->resolver_forward_zones))
        (void)buf_printf(out, "  outgoing-num-tcp: %d\n", OUTGOING_TCP);
    if (root_hints != NULL)
        (void)buf_printf(out, "  root-hints: \"%s\"\n", root_hints);
    for (size_t i = 0; i < conf->resolver_insecure_zones.n; i++)
        (void)buf_printf(out, "  domain-insecure: \"%s\"\n", conf->resolver_insecure_zones.v[i]);
    put_not_local(out, &conf->resolver_forward_zones);
    put_not_local(out, &conf->resolver_stub_zones);
}

int settings_text(const struct conf *conf, const char *root_hints, const uint16_t *ports,
                  struct buf *out, char **error)
{
    const struct conf_list *insecure = &conf->resolver_insecure_zones;

    for (size_t i = 0; i < insecure->n; i++)
        if (!settings_is_zone(insecure->v[i], strlen(insecure->v[i]))) {
            *error = mem_printf("resolver_insecure_zones: \"%s\" is no zone", insecure->v[i]);
            return -1;
        }
    if (check_zones(&conf->resolver_forward_zones, "resolver_forward_zones", true, error) == -1 ||
        check_mixed(&conf->resolver_forward_zones, "resolver_forward_zones", error) == -1 ||
        check_zones(&conf->resolver_stub_zones, "resolver_stub_zones", false, error) == -1)
        return -1;
    put_server(conf, root_hints, out);
    put_zones(out, &conf->resolver_forward_zones, "forward", ports);
    put_zones(out, &conf->resolver_stub_zones, "stub", NULL);
    return 0;
}

/* Whether one of the first words of a record is its type. */
static bool is_anchor(const char *line)
{
    const char *word;
    size_t len;

    for (int i = 0; i < 4 && str_token(&line, " \t\r", &word, &len); i++)
        if (i > 0 && (str_is(word, len, "DS") || str_is(word, len, "DNSKEY")))
            return true;
    return false;
}

bool settings_anchor(const char **cursor, struct buf *line)
{
    const char *text;
    size_t len;

    while (str_token(cursor, "\n", &text, &len)) {
        const char *comment = memchr(text, ';', len);
        if (comment != NULL)
            len = (size_t)(comment - text);
        buf_clear(line);
        if (buf_append(line, text, len) == 0 && is_anchor(buf_str(line)))
            return true;
    }
    return false;
}

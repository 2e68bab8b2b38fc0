/* libunbound's settings. */
#include "gateway/resolver/settings.h"

#include <stdio.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/base/str.h"

enum {
    ZONE_MAX = 255,
    OUTGOING_MAX = 512 /* sockets towards name servers at one time */
};

/* Only what a zone's name is made of: it goes between quotes into another program's language. */
static bool is_zone(const char *s, size_t len)
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

/* "ADDRESS[@PORT]" as unbound writes it. */
static bool is_address(const char *text)
{
    char address[NETADDR_STRLEN];
    struct netaddr addr;
    uint64_t port = 53;
    size_t len = strcspn(text, "@");

    if (len >= sizeof(address))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    return netaddr_parse(&addr, address) == 0 && address[0] != '[' &&
           (text[len] == '\0' ||
            (str_uint(text + len + 1, strlen(text + len + 1), UINT16_MAX, &port) == 0 && port > 0));
}

/* Whether an earlier entry of the list names the zone of entry i. */
static bool named_before(const struct conf_list *list, size_t i, size_t len)
{
    for (size_t j = 0; j < i; j++)
        if (strcspn(list->v[j], "=") == len && str_ieq_n(list->v[j], list->v[i], len))
            return true;
    return false;
}

static int check_zones(const struct conf_list *list, const char *parameter, char **error)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *entry = list->v[i];
        size_t len = strcspn(entry, "=");
        if (entry[len] == '=' && is_zone(entry, len) && is_address(entry + len + 1))
            continue;
        *error = mem_printf("%s: \"%s\" is not ZONE=ADDRESS[@PORT]", parameter, entry);
        return -1;
    }
    return 0;
}

/* One clause for each zone, with the addresses of all its entries. */
static void put_zones(struct buf *out, const struct conf_list *list, const char *kind)
{
    for (size_t i = 0; i < list->n; i++) {
        int len = (int)strcspn(list->v[i], "=");
        if (named_before(list, i, (size_t)len))
            continue;
        (void)buf_printf(out, "%s-zone:\n  name: \"%.*s\"\n", kind, len, list->v[i]);
        for (size_t j = i; j < list->n; j++)
            if (strcspn(list->v[j], "=") == (size_t)len &&
                str_ieq_n(list->v[j], list->v[i], (size_t)len))
                (void)buf_printf(out, "  %s-addr: %s\n", kind, list->v[j] + len + 1);
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

static void put_server(const struct conf *conf, const char *root_hints, struct buf *out)
{
    /* unbound advises twice the message cache for the record sets. */
    unsigned long long cache = conf->resolver_cache_size;

    (void)buf_printf(out,
                     "server:\n"
                     "  use-syslog: no\n"
                     "  do-ip4: %s\n"
                     "  do-ip6: %s\n"
                     "  do-not-query-localhost: %s\n"
                     "  msg-cache-size: %llu\n"
                     "  rrset-cache-size: %llu\n"
                     "  key-cache-size: %llu\n"
                     "  neg-cache-size: %llu\n"
                     "  outgoing-range: %d\n"
                     "  num-queries-per-thread: %lld\n"
                     "  prefetch: yes\n"
                     "  module-config: \"%s\"\n",
                     strcmp(conf->inet_protocols, "ipv6") == 0 ? "no" : "yes",
                     strcmp(conf->inet_protocols, "ipv4") == 0 ? "no" : "yes",
                     conf->resolver_query_localhost ? "no" : "yes", cache / 4, cache / 2, cache / 8,
                     cache / 8, OUTGOING_MAX, (long long)conf->resolver_query_limit,
                     *conf->resolver_trust_anchor_file != '\0' ? "validator iterator" : "iterator");
    if (root_hints != NULL)
        (void)buf_printf(out, "  root-hints: \"%s\"\n", root_hints);
    for (size_t i = 0; i < conf->resolver_insecure_zones.n; i++)
        (void)buf_printf(out, "  domain-insecure: \"%s\"\n", conf->resolver_insecure_zones.v[i]);
    put_not_local(out, &conf->resolver_forward_zones);
    put_not_local(out, &conf->resolver_stub_zones);
}

int settings_text(const struct conf *conf, const char *root_hints, struct buf *out, char **error)
{
    const struct conf_list *insecure = &conf->resolver_insecure_zones;

    for (size_t i = 0; i < insecure->n; i++)
        if (!is_zone(insecure->v[i], strlen(insecure->v[i]))) {
            *error = mem_printf("resolver_insecure_zones: \"%s\" is no zone", insecure->v[i]);
            return -1;
        }
    if (check_zones(&conf->resolver_forward_zones, "resolver_forward_zones", error) == -1 ||
        check_zones(&conf->resolver_stub_zones, "resolver_stub_zones", error) == -1)
        return -1;
    put_server(conf, root_hints, out);
    put_zones(out, &conf->resolver_forward_zones, "forward");
    put_zones(out, &conf->resolver_stub_zones, "stub");
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

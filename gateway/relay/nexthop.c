/* Parsing of next hops. */
#include "gateway/relay/nexthop.h"

#include <string.h>

#include "gateway/base/str.h"

static int parse_port(const char *text, uint16_t *port)
{
    uint64_t n;

    if (*text == '\0')
        return 0;
    if (*text != ':' || str_uint(text + 1, strlen(text + 1), UINT16_MAX, &n) == -1 || n == 0)
        return -1;
    *port = (uint16_t)n;
    return 0;
}

int nexthop_parse(struct nexthop *out, const char *text, uint16_t default_port)
{
    bool bracket = *text == '[';
    const char *start = text + bracket;
    size_t len = strcspn(start, bracket ? "]" : ":");
    const char *rest = start + len;

    *out = (struct nexthop){.port = default_port, .use_mx = !bracket};
    if (bracket && *rest++ != ']')
        return -1;
    if (len == 0 || len >= NEXTHOP_HOST_MAX || parse_port(rest, &out->port) == -1)
        return -1;
    memcpy(out->host, start, len);
    out->host[len] = '\0';
    str_lower(out->host);
    if (bracket) {
        /* RFC 5321 section 4.1.3 writes IPv6 literals with a tag. */
        const char *literal = str_istarts(out->host, "ipv6:") ? out->host + 5 : out->host;
        if (netaddr_parse(&out->address, literal) == 0) {
            out->address.port = out->port;
            out->host[0] = '\0';
            return 0;
        }
        out->address = (struct netaddr){0};
    }
    if (strpbrk(out->host, "[]:/ ") != NULL)
        return -1;
    if (out->host[len - 1] == '.')
        out->host[len - 1] = '\0';
    return out->host[0] == '\0' ? -1 : 0;
}

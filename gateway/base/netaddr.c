#include "gateway/base/netaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"

void netaddr_from_sockaddr(struct netaddr *out, const struct sockaddr *sa)
{
    memset(out, 0, sizeof(*out));
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        out->family = 4;
        memcpy(out->bytes, &in->sin_addr, 4);
        out->port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)sa;
        out->port = ntohs(in6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
            out->family = 4;
            memcpy(out->bytes, in6->sin6_addr.s6_addr + 12, 4);
        } else {
            out->family = 6;
            memcpy(out->bytes, in6->sin6_addr.s6_addr, 16);
        }
    }
}

socklen_t netaddr_to_sockaddr(const struct netaddr *addr, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof(*ss));
    if (addr->family == 4) {
        struct sockaddr_in *in = (void *)ss;
        in->sin_family = AF_INET;
        memcpy(&in->sin_addr, addr->bytes, 4);
        in->sin_port = htons(addr->port);
        return sizeof(*in);
    }
    if (addr->family == 6) {
        struct sockaddr_in6 *in6 = (void *)ss;
        in6->sin6_family = AF_INET6;
        memcpy(&in6->sin6_addr, addr->bytes, 16);
        in6->sin6_port = htons(addr->port);
        return sizeof(*in6);
    }
    return 0;
}

int netaddr_parse(struct netaddr *out, const char *text)
{
    char copy[NETADDR_STRLEN];
    size_t len = strlen(text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len >= sizeof(copy))
        return -1;
    memcpy(copy, text, len);
    copy[len] = '\0';
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, copy, out->bytes) == 1) {
        out->family = 4;
        return 0;
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET6, copy, &in6.sin6_addr) != 1)
        return -1;
    netaddr_from_sockaddr(out, (struct sockaddr *)&in6);
    return 0;
}

const char *netaddr_str(const struct netaddr *addr, char *dst)
{
    if (addr->family == 0 ||
        inet_ntop(addr->family == 4 ? AF_INET : AF_INET6, addr->bytes, dst, NETADDR_STRLEN) == NULL)
        strcpy(dst, "local");
    return dst;
}

bool netaddr_is_loopback(const struct netaddr *addr)
{
    static const uint8_t one[16] = {[15] = 1};
    if (addr->family == 6)
        return memcmp(addr->bytes, one, 16) == 0;
    return addr->family == 0 || addr->bytes[0] == 127;
}

bool netaddr_eq(const struct netaddr *a, const struct netaddr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16) == 0;
}

static bool netaddr_bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    unsigned rest = bits % 8;
    uint8_t mask = (uint8_t)(0xff00 >> rest);
    return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

struct netaddr netaddr_network(const struct netaddr *addr, unsigned bits)
{
    struct netaddr net = *addr;

    net.port = 0;
    for (size_t bit = bits; bit < sizeof(net.bytes) * 8; bit++)
        net.bytes[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
    return net;
}

int netaddr_prefix_parse(struct netaddr_prefix *out, const char *text)
{
    char copy[NETADDR_STRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    if (len >= sizeof(copy))
        return -1;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (netaddr_parse(&out->addr, copy) != 0)
        return -1;
    uint64_t bits = out->addr.family == 4 ? 32 : 128;
    if (slash != NULL && str_uint(slash + 1, strlen(slash + 1), bits, &bits) != 0)
        return -1;
    out->bits = (uint8_t)bits;
    struct netaddr zero_tail = out->addr;
    for (unsigned i = out->bits; i < (out->addr.family == 4 ? 32u : 128u); i++)
        zero_tail.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    return memcmp(zero_tail.bytes, out->addr.bytes, 16) == 0 ? 0 : -1;
}

bool netaddr_prefix_contains(const struct netaddr_prefix *net, const struct netaddr *addr)
{
    return net->addr.family == addr->family && addr->family != 0 &&
           netaddr_bits_equal(net->addr.bytes, addr->bytes, net->bits);
}

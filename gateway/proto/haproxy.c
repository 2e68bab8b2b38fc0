/* The PROXY protocol. */
#include "gateway/proto/haproxy.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "gateway/base/str.h"

enum {
    V2_FIXED = 16, /* signature, version and command, family, length */
    V2_INET = 12,  /* two addresses, two ports */
    V2_INET6 = 36,
    V1_LINE_MAX = 107,
    COMMAND_LOCAL = 0x20, /* version 2 in the upper half */
    COMMAND_PROXY = 0x21,
    FAMILY_INET_STREAM = 0x11,
    FAMILY_INET6_STREAM = 0x21
};

static const unsigned char signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                            0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
static const char prefix[] = "PROXY ";

void haproxy_init(struct haproxy *h)
{
    memset(h, 0, sizeof(*h));
}

static size_t v2_length(const struct haproxy *h)
{
    return (size_t)h->head[14] << 8 | h->head[15];
}

/* How many bytes of addresses the family has that we read; 0: none of ours. */
static size_t v2_addresses(const struct haproxy *h)
{
    return h->head[13] == FAMILY_INET_STREAM    ? V2_INET
           : h->head[13] == FAMILY_INET6_STREAM ? V2_INET6
                                                : 0;
}

static enum haproxy_status v2_check(struct haproxy *h, size_t length_max)
{
    size_t length = v2_length(h);

    if ((h->head[12] != COMMAND_LOCAL && h->head[12] != COMMAND_PROXY) || length > length_max)
        return HAPROXY_BAD;
    if (h->head[12] == COMMAND_PROXY && length < v2_addresses(h))
        return HAPROXY_BAD;
    return HAPROXY_MORE;
}

static void v2_address(struct netaddr *out, const unsigned char *from, size_t size,
                       const unsigned char *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    if (size == 4) {
        memcpy(&in.sin_addr, from, size);
        memcpy(&in.sin_port, port, 2);
        netaddr_from_sockaddr(out, (struct sockaddr *)&in);
    } else {
        memcpy(&in6.sin6_addr, from, size);
        memcpy(&in6.sin6_port, port, 2);
        netaddr_from_sockaddr(out, (struct sockaddr *)&in6);
    }
}

static enum haproxy_status v2_end(struct haproxy *h)
{
    const unsigned char *p = h->head + V2_FIXED;
    size_t size = v2_addresses(h) == V2_INET ? 4 : 16;

    if (h->head[12] == COMMAND_LOCAL || v2_addresses(h) == 0)
        return HAPROXY_LOCAL;
    v2_address(&h->client, p, size, p + 2 * size);
    v2_address(&h->server, p + size, size, p + 2 * size + 2);
    return HAPROXY_PROXY;
}

/* The next word of the line, which one space precedes or the line's end follows. */
static bool v1_word(const char **line, const char **word, size_t *len)
{
    if (**line == '\0')
        return false;
    *word = *line;
    *len = strcspn(*line, " ");
    *line += *len;
    if (**line == ' ' && *++*line == '\0')
        return false; /* a space at the end */
    return *len > 0;
}

static bool v1_address(const char *word, size_t len, unsigned family, struct netaddr *out)
{
    char text[NETADDR_STRLEN];

    if (len >= sizeof(text) || *word == '[')
        return false;
    memcpy(text, word, len);
    text[len] = '\0';
    /* Before unmapping: TCP6 may carry an IPv4 address in IPv6 form. */
    return (strchr(text, ':') != NULL) == (family == 6) && netaddr_parse(out, text) == 0;
}

static bool v1_port(const char *word, size_t len, uint16_t *out)
{
    uint64_t port;

    if (len > 5 || (len > 1 && *word == '0') || str_uint(word, len, UINT16_MAX, &port) != 0)
        return false;
    *out = (uint16_t)port;
    return true;
}

static enum haproxy_status v1_end(struct haproxy *h)
{
    const char *line = (const char *)h->head + sizeof(prefix) - 1, *word[5];
    size_t len[5], n = 0;

    h->head[h->len - 2] = '\0';
    if (strlen((const char *)h->head) != h->len - 2 || !v1_word(&line, &word[0], &len[0]))
        return HAPROXY_BAD;
    if (str_is(word[0], len[0], "UNKNOWN"))
        return HAPROXY_LOCAL;
    unsigned family = memcmp(word[0], "TCP6 ", 5) == 0 ? 6 : 4;
    if (len[0] != 4 || (family == 4 && memcmp(word[0], "TCP4 ", 5) != 0))
        return HAPROXY_BAD;
    for (n = 1; n < 5; n++)
        if (!v1_word(&line, &word[n], &len[n]))
            return HAPROXY_BAD;
    if (*line != '\0' || !v1_address(word[1], len[1], family, &h->client) ||
        !v1_address(word[2], len[2], family, &h->server) ||
        !v1_port(word[3], len[3], &h->client.port) || !v1_port(word[4], len[4], &h->server.port))
        return HAPROXY_BAD;
    return HAPROXY_PROXY;
}

/* What the bytes in head come to. */
static enum haproxy_status judge(struct haproxy *h, size_t length_max)
{
    size_t n = h->len < sizeof(signature) ? h->len : sizeof(signature);

    if (memcmp(h->head, signature, n) == 0) {
        if (h->len < V2_FIXED)
            return HAPROXY_MORE;
        if (h->len == V2_FIXED && v2_check(h, length_max) == HAPROXY_BAD)
            return HAPROXY_BAD;
        size_t kept = h->head[12] == COMMAND_PROXY ? v2_addresses(h) : 0;
        if (h->len < V2_FIXED + kept)
            return HAPROXY_MORE;
        h->skip = v2_length(h) - kept;
        return h->skip > 0 ? HAPROXY_MORE : v2_end(h);
    }
    n = h->len < sizeof(prefix) - 1 ? h->len : sizeof(prefix) - 1;
    if (memcmp(h->head, prefix, n) != 0 || h->len > V1_LINE_MAX)
        return HAPROXY_BAD;
    if (h->head[h->len - 1] != '\n')
        return h->len < V1_LINE_MAX ? HAPROXY_MORE : HAPROXY_BAD;
    return h->len > sizeof(prefix) && h->head[h->len - 2] == '\r' ? v1_end(h) : HAPROXY_BAD;
}

size_t haproxy_push(struct haproxy *h, const void *data, size_t len, size_t length_max)
{
    const unsigned char *p = data;
    size_t taken = 0;

    while (h->status == HAPROXY_MORE && taken < len) {
        if (h->skip > 0) {
            size_t n = len - taken < h->skip ? len - taken : h->skip;
            taken += n;
            h->skip -= n;
            if (h->skip == 0)
                h->status = v2_end(h);
            continue;
        }
        h->head[h->len++] = p[taken++];
        h->status = judge(h, length_max);
    }
    return taken;
}

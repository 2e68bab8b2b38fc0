#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/smtp/policy_client.h"

static int parse_inet(struct policy_endpoint *out, const char *text)
{
    const char *colon = strrchr(text, ':');
    char host[NETADDR_STRLEN];
    uint64_t port;

    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof(host))
        return -1;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (netaddr_parse(&out->addr, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host) != 0 ||
        str_uint(colon + 1, strlen(colon + 1), 65535, &port) != 0 || port == 0)
        return -1;
    out->addr.port = (uint16_t)port;
    return 0;
}

int policy_endpoint_parse(struct policy_endpoint *out, const char *text)
{
    memset(out, 0, sizeof(*out));
    if (strncmp(text, "inet:", 5) == 0)
        return parse_inet(out, text + 5);
    if (strncmp(text, "unix:", 5) != 0)
        return -1;
    text += 5;
    if (*text == '\0' || *text == '/' || strlen(text) > POLICY_PATH_MAX ||
        strstr(text, "..") != NULL)
        return -1;
    strlcpy(out->path, text, sizeof(out->path));
    return 0;
}

int policy_reply_parse(const char *data, size_t len, size_t *used, const char **action,
                       size_t *action_len)
{
    size_t pos = 0;

    *action = NULL;
    while (pos < len) {
        const char *line = data + pos, *end = memchr(line, '\n', len - pos);
        if (end == NULL)
            break;
        size_t n = (size_t)(end - line);
        pos += n + 1;
        if (n == 0) {
            *used = pos;
            return *action != NULL ? 1 : -1;
        }
        if (memchr(line, '\0', n) != NULL)
            return -1;
        if (n > 7 && memcmp(line, "action=", 7) == 0) {
            *action = line + 7;
            *action_len = n - 7;
        }
    }
    return len > POLICY_REPLY_MAX ? -1 : 0;
}

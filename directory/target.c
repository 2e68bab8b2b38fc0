#include "directory/target.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"

/* %xx undone; NULL for a bad escape, a NUL, or what is no absolute path. */
static char *decode_path(const char *s)
{
    char *path = mem_strdup(s), *d = path, hex[3] = {0};
    for (; *s != '\0' && strcmp(s, "/") != 0; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '%') {
            if (s[1] == '\0' || s[2] == '\0')
                break;
            memcpy(hex, s + 1, 2);
            if (str_unhex(&c, 1, hex) < 0 || c == '\0')
                break;
            s += 2;
        }
        *d++ = (char)c;
    }
    bool whole = *s == '\0' || strcmp(s, "/") == 0;
    *d = '\0';
    if (whole && path[0] == '/')
        return path;
    free(path);
    return NULL;
}

static int parse_port(const char *s, uint16_t *port)
{
    uint64_t n;
    if (str_uint(s, strlen(s), 65535, &n) < 0 || n == 0)
        return -1;
    *port = (uint16_t)n;
    return 0;
}

/* host, host:port, [address] or [address]:port, with at most a slash behind. */
static int parse_host(struct target *out, const char *s)
{
    size_t len = strcspn(s, "/");
    if (s[len] != '\0' && s[len + 1] != '\0')
        return -1;
    char *text = mem_strndup(s, len), *host = text, *port = NULL;
    if (*text == '[') {
        char *end = strchr(text, ']');
        if (end != NULL) {
            *end = '\0';
            host = text + 1;
            port = end + 1;
        }
    } else {
        port = text + strcspn(text, ":");
    }
    int rc = port == NULL || *host == '\0' ? -1 : 0;
    if (rc == 0 && *port == ':') {
        rc = parse_port(port + 1, &out->port);
        *port = '\0';
    } else if (rc == 0 && *port != '\0') {
        rc = -1;
    }
    if (rc == 0)
        out->host = mem_strdup(host);
    free(text);
    return rc;
}

int target_parse(struct target *out, const char *text)
{
    int rc = 0;
    memset(out, 0, sizeof *out);
    out->port = 389;
    if (str_istarts(text, "ldapi://")) {
        out->kind = TARGET_UNIX;
        out->path = decode_path(text + strlen("ldapi://"));
        rc = out->path == NULL ? -1 : 0;
    } else if (str_istarts(text, "ldaps://")) {
        out->kind = TARGET_TLS;
        out->port = 636;
        rc = parse_host(out, text + strlen("ldaps://"));
    } else if (str_istarts(text, "ldap://")) {
        rc = parse_host(out, text + strlen("ldap://"));
    } else {
        rc = parse_host(out, text);
    }
    if (rc == 0)
        out->uri = str_istarts(text, "ldap") && strstr(text, "://") != NULL
                       ? mem_strdup(text)
                       : mem_printf("ldap://%s", text);
    else
        target_free(out);
    return rc;
}

void target_free(struct target *t)
{
    free(t->uri);
    free(t->host);
    free(t->path);
    memset(t, 0, sizeof *t);
}

#include "sasl/oauth_message.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

#define SEPARATOR  '\001'
#define FIELDS_MAX 32

void oauth_message_clear(struct oauth_message *m)
{
    mem_wipe_free_str(m->token);
    free(m->user);
    memset(m, 0, sizeof(*m));
}

/* A saslname (RFC 5801 section 4): a comma and an equals sign are written =2C and =3D. */
static char *parse_name(const char *s, size_t len)
{
    struct buf out = {0};
    for (size_t i = 0; i < len; i++) {
        if (s[i] != '=') {
            buf_append_byte(&out, (unsigned char)s[i]);
            continue;
        }
        bool comma = len - i >= 3 && memcmp(s + i, "=2C", 3) == 0;
        if (!comma && (len - i < 3 || memcmp(s + i, "=3D", 3) != 0)) {
            buf_free(&out);
            return NULL;
        }
        buf_append_byte(&out, comma ? ',' : '=');
        i += 2;
    }
    return buf_steal_str(&out);
}

/* The GS2 header: no channel binding, and perhaps a name. The bytes that it has, or 0. */
static size_t parse_header(const char *data, size_t len, struct oauth_message *out)
{
    const char *comma;
    if (len < 3 || (data[0] != 'n' && data[0] != 'y') || data[1] != ',' ||
        (comma = memchr(data + 2, ',', len - 2)) == NULL)
        return 0;
    size_t name = (size_t)(comma - data) - 2;
    if (name > 0) {
        if (name < 3 || name > OAUTH_NAME_MAX || memcmp(data + 2, "a=", 2) != 0)
            return 0;
        out->user = parse_name(data + 4, name - 2);
        if (out->user == NULL)
            return 0;
    }
    return (size_t)(comma - data) + 1;
}

/* "Bearer" and a b64token (RFC 6750 section 2.1). */
static int parse_auth(const char *s, size_t len, struct oauth_message *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                   "-._~+/=";
    size_t word = strlen("Bearer ");
    if (out->token != NULL || len <= word || len - word > OAUTH_TOKEN_MAX ||
        !str_ieq_n(s, "Bearer ", word))
        return -1;
    for (size_t i = word; i < len; i++)
        if (strchr(alphabet, s[i]) == NULL)
            return -1;
    out->token = mem_strndup(s + word, len - word);
    return 0;
}

static int parse_field(const char *s, size_t len, bool gs2, struct oauth_message *out)
{
    const char *equals = memchr(s, '=', len);
    if (equals == NULL || equals == s)
        return -1;
    const char *value = equals + 1;
    size_t name = (size_t)(equals - s), value_len = len - name - 1;
    if (str_is(s, name, "auth"))
        return parse_auth(value, value_len, out);
    if (gs2 || !str_is(s, name, "user"))
        return 0; /* host, port, and what is still to be thought of */
    if (out->user != NULL || value_len > OAUTH_NAME_MAX)
        return -1;
    if (value_len > 0)
        out->user = mem_strndup(value, value_len);
    return 0;
}

static int parse(const char *data, size_t len, bool gs2, struct oauth_message *out)
{
    size_t at = 0;
    if (memchr(data, '\0', len) != NULL)
        return -1;
    if (gs2) {
        at = parse_header(data, len, out);
        if (at == 0 || at >= len || data[at] != SEPARATOR)
            return -1;
        at++;
    }
    for (int i = 0; i < FIELDS_MAX && at < len; i++) {
        const char *end = memchr(data + at, SEPARATOR, len - at);
        if (end == NULL)
            return -1;
        size_t field = (size_t)(end - data) - at;
        if (field == 0) /* the last byte */
            return at + 1 == len && out->token != NULL ? 0 : -1;
        if (parse_field(data + at, field, gs2, out) < 0)
            return -1;
        at += field + 1;
    }
    return -1;
}

int oauth_message_parse(const char *data, size_t len, bool gs2, struct oauth_message *out)
{
    memset(out, 0, sizeof(*out));
    if (parse(data, len, gs2, out) == 0)
        return 0;
    oauth_message_clear(out);
    return -1;
}

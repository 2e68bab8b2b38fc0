#include "directory/syncmsg.h"

#include <ldap.h>
#include <string.h>

/*
 * Definite lengths only, as RFC 4511 section 5.1 has it. A small reader instead of lber's: it never
 * allocates and never looks outside the value.
 */
struct ber {
    const unsigned char *p, *end;
};

static struct ber ber_of(const struct berval *v)
{
    const unsigned char *p = (const unsigned char *)v->bv_val;
    return (struct ber){.p = p, .end = p == NULL ? NULL : p + v->bv_len};
}

static int ber_next(struct ber *b, unsigned *tag, struct berval *content)
{
    size_t left = (size_t)(b->end - b->p), len, head = 2;
    if (left < 2 || (b->p[0] & 0x1f) == 0x1f)
        return -1;
    *tag = b->p[0];
    len = b->p[1];
    if (len >= 0x80) {
        size_t octets = len & 0x7f;
        if (octets == 0 || octets > 4 || left < 2 + octets)
            return -1;
        len = 0;
        for (size_t i = 0; i < octets; i++)
            len = len << 8 | b->p[2 + i];
        head += octets;
    }
    if (len > left - head)
        return -1;
    content->bv_val = (char *)b->p + head;
    content->bv_len = len;
    b->p += head + len;
    return 0;
}

/* The next element if it has this tag: 1, 0 where it has not or nothing is left, -1 malformed. */
static int ber_optional(struct ber *b, unsigned tag, struct berval *content)
{
    unsigned found;
    if (b->p == b->end || *b->p != tag)
        return 0;
    return ber_next(b, &found, content) < 0 ? -1 : 1;
}

static int ber_bool(struct ber *b, bool *out)
{
    struct berval v;
    int rc = ber_optional(b, LBER_BOOLEAN, &v);
    if (rc == 1) {
        if (v.bv_len != 1)
            return -1;
        *out = *v.bv_val != 0;
    }
    return rc;
}

static int ber_cookie(struct ber *b, struct berval *cookie)
{
    int rc = ber_optional(b, LBER_OCTETSTRING, cookie);
    return rc < 0 || cookie->bv_len > SYNC_COOKIE_MAX ? -1 : 0;
}

static int ber_uuid(const struct berval *v, struct uuid *out)
{
    if (v->bv_len != sizeof out->bytes)
        return -1;
    memcpy(out->bytes, v->bv_val, sizeof out->bytes);
    return 0;
}

static int put_length(struct buf *out, size_t len)
{
    unsigned char b[4] = {(unsigned char)(0x80 | 3), (unsigned char)(len >> 16),
                          (unsigned char)(len >> 8), (unsigned char)len};
    return len < 0x80 ? buf_append_byte(out, (unsigned char)len) : buf_append(out, b, sizeof b);
}

int sync_request_encode(const struct buf *cookie, struct buf *out)
{
    struct buf body = {0};
    const unsigned char mode[] = {LBER_ENUMERATED, 1, LDAP_SYNC_REFRESH_AND_PERSIST};
    int rc = cookie->len > SYNC_COOKIE_MAX ? -1 : buf_append(&body, mode, sizeof mode);
    if (rc == 0 && cookie->len > 0) {
        buf_append_byte(&body, LBER_OCTETSTRING);
        put_length(&body, cookie->len);
        rc = buf_append(&body, cookie->data, cookie->len);
    }
    if (rc == 0) {
        buf_append_byte(out, LBER_SEQUENCE);
        put_length(out, body.len);
        rc = buf_append(out, body.data, body.len);
    }
    buf_free(&body);
    return rc;
}

int sync_entry_parse(const struct berval *value, struct sync_entry *out)
{
    struct ber b = ber_of(value);
    struct berval v;
    unsigned tag;
    memset(out, 0, sizeof *out);
    if (ber_next(&b, &tag, &v) < 0 || tag != LBER_SEQUENCE || b.p != b.end)
        return -1;
    b = ber_of(&v);
    if (ber_next(&b, &tag, &v) < 0 || tag != LBER_ENUMERATED || v.bv_len != 1 ||
        (unsigned char)*v.bv_val > SYNC_DELETE)
        return -1;
    out->state = (enum sync_state) * v.bv_val;
    if (ber_next(&b, &tag, &v) < 0 || tag != LBER_OCTETSTRING || ber_uuid(&v, &out->uuid) < 0)
        return -1;
    return ber_cookie(&b, &out->cookie) < 0 || b.p != b.end ? -1 : 0;
}

int sync_info_parse(const struct berval *value, struct sync_info *out)
{
    struct ber b = ber_of(value);
    struct berval v;
    unsigned tag;
    memset(out, 0, sizeof *out);
    if (ber_next(&b, &tag, &v) < 0 || b.p != b.end)
        return -1;
    if (tag == LDAP_TAG_SYNC_NEW_COOKIE) {
        out->kind = SYNC_NEW_COOKIE;
        out->cookie = v;
        return v.bv_len > SYNC_COOKIE_MAX ? -1 : 0;
    }
    b = ber_of(&v);
    if (ber_cookie(&b, &out->cookie) < 0)
        return -1;
    if (tag == LDAP_TAG_SYNC_REFRESH_DELETE || tag == LDAP_TAG_SYNC_REFRESH_PRESENT) {
        out->kind =
            tag == LDAP_TAG_SYNC_REFRESH_DELETE ? SYNC_REFRESH_DELETE : SYNC_REFRESH_PRESENT;
        out->refresh_done = true;
        return ber_bool(&b, &out->refresh_done) < 0 || b.p != b.end ? -1 : 0;
    }
    if (tag != LDAP_TAG_SYNC_ID_SET || ber_bool(&b, &out->deletes) < 0)
        return -1;
    out->kind = SYNC_ID_SET;
    return ber_next(&b, &tag, &out->set) < 0 || tag != LBER_SET || b.p != b.end ? -1 : 0;
}

int sync_info_uuids(const struct sync_info *info, void (*fn)(const struct uuid *u, void *arg),
                    void *arg)
{
    struct ber b = ber_of(&info->set);
    while (b.p != b.end) {
        struct berval v;
        struct uuid u;
        unsigned tag;
        if (ber_next(&b, &tag, &v) < 0 || tag != LBER_OCTETSTRING || ber_uuid(&v, &u) < 0)
            return -1;
        fn(&u, arg);
    }
    return 0;
}

#include <inttypes.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/filter/dkim.h"

enum {
    LINE_MAX_WANTED = 76
};

int dkim_sign_want(const struct dkim_signing *how, struct bodyhash *hashes)
{
    return bodyhash_want(hashes, how->body, BODY_WHOLE);
}

/* Appends one item of h=; *column is where the line has got to. */
static int put_name(struct buf *out, const char *name, size_t *column, bool *first)
{
    size_t len = strlen(name) + 1;
    int rc = 0;

    if (!*first)
        rc = buf_append_byte(out, ':');
    if (rc == 0 && !*first && *column + len > LINE_MAX_WANTED) {
        rc = buf_append_str(out, "\r\n\t");
        *column = 8;
    }
    *column += len;
    *first = false;
    return rc == 0 ? buf_append_str(out, name) : -1;
}

int dkim_put_names(const struct fields *fields, const char *const *names,
                   const char *const *oversign, struct buf *out)
{
    size_t column = 10, at;
    bool first = true;
    int rc = 0;

    for (size_t i = 0; rc == 0 && names[i] != NULL; i++) {
        at = 0;
        while (rc == 0 && fields_next(fields, names[i], &at) != NULL)
            rc = put_name(out, names[i], &column, &first);
    }
    for (size_t i = 0; rc == 0 && oversign[i] != NULL; i++)
        rc = put_name(out, oversign[i], &column, &first);
    return rc;
}

static int put_folded(const char *text, struct buf *out)
{
    int rc = 0;

    for (size_t at = 0, len = strlen(text); rc == 0 && at < len; at += 68) {
        if (at > 0)
            rc = buf_append_str(out, "\r\n\t");
        if (rc == 0)
            rc = buf_printf(out, "%.68s", text + at);
    }
    return rc;
}

int dkim_put_value(const struct private_key *key, const uint8_t hash[DIGEST_LEN], struct buf *out)
{
    struct buf sig = {.max = 4096}, text = {.max = 8192};
    int rc = private_key_sign(key, hash, &sig);

    if (rc == 0)
        rc = str_base64_encode(&text, sig.data, sig.len);
    if (rc == 0)
        rc = put_folded(buf_str(&text), out);
    if (rc == 0)
        rc = buf_append_str(out, "\r\n");
    buf_free(&sig);
    buf_free(&text);
    return rc;
}

static const char *canon_name(enum canon c)
{
    return c == CANON_SIMPLE ? "simple" : "relaxed";
}

/* The field up to and with "b=". */
static int put_unsigned(const struct dkim_signing *how, const struct fields *fields,
                        const uint8_t *body_hash, struct buf *out)
{
    int rc =
        buf_printf(out, "DKIM-Signature: v=1; a=%s-sha256; c=%s/%s; d=%s;\r\n\ts=%s; t=%" PRId64,
                   key_type_name(private_key_type(how->key)), canon_name(how->header),
                   canon_name(how->body), how->domain, how->selector, how->now);

    if (rc == 0 && how->ttl > 0)
        rc = buf_printf(out, "; x=%" PRId64, how->now + how->ttl);
    if (rc == 0)
        rc = buf_append_str(out, ";\r\n\th=");
    if (rc == 0)
        rc = dkim_put_names(fields, how->names, how->oversign, out);
    if (rc == 0)
        rc = buf_append_str(out, ";\r\n\tbh=");
    if (rc == 0)
        rc = str_base64_encode(out, body_hash, DIGEST_LEN);
    return rc == 0 ? buf_append_str(out, ";\r\n\tb=") : -1;
}

int dkim_sign(const struct dkim_signing *how, const struct fields *fields,
              const struct bodyhash *hashes, int form, struct buf *out)
{
    struct buf text = {.max = 65536};
    struct header_field field;
    struct signature sig = {.kind = SIGNATURE_DKIM, .header = how->header, .field = &field};
    uint8_t hash[DIGEST_LEN];
    int rc = put_unsigned(how, fields, bodyhash_value(hashes, form), &text);

    if (rc == 0) {
        header_field_parse(&field, (const char *)text.data, text.len);
        rc = taglist_parse(&sig.tags, field.value, field.value_len);
    }
    if (rc == 0) {
        sig.names = taglist_get(&sig.tags, "h");
        rc = signature_header_hash(&sig, fields, hash);
    }
    if (rc == 0)
        rc = dkim_put_value(how->key, hash, &text);
    if (rc == 0)
        rc = buf_append(out, text.data, text.len);
    buf_free(&text);
    return rc;
}

int dkim_put_record(const struct private_key *key, struct buf *out)
{
    struct buf raw = {.max = 8192};
    int rc = private_key_public(key, &raw);

    if (rc == 0)
        rc = buf_printf(out, "v=DKIM1; k=%s; p=", key_type_name(private_key_type(key)));
    if (rc == 0)
        rc = str_base64_encode(out, raw.data, raw.len);
    buf_free(&raw);
    return rc;
}

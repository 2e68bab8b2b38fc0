#include <inttypes.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/filter/arc_private.h"

int arc_seal_want(struct bodyhash *hashes)
{
    return bodyhash_want(hashes, CANON_RELAXED, BODY_WHOLE);
}

/* The ARC-Message-Signature of instance n. */
static int put_message(const struct arc_sealing *how, unsigned n, const struct fields *fields,
                       const uint8_t *body_hash, struct buf *out)
{
    struct header_field field;
    struct signature sig = {
        .kind = SIGNATURE_ARC_MESSAGE, .header = CANON_RELAXED, .field = &field};
    uint8_t hash[DIGEST_LEN];
    int rc = buf_printf(out,
                        "ARC-Message-Signature: i=%u; a=%s-sha256; c=relaxed/relaxed;\r\n\td=%s; "
                        "s=%s; t=%" PRId64 ";\r\n\th=",
                        n, key_type_name(private_key_type(how->key)), how->domain, how->selector,
                        how->now);

    if (rc == 0)
        rc = dkim_put_names(fields, how->names, how->oversign, out);
    if (rc == 0)
        rc = buf_append_str(out, ";\r\n\tbh=");
    if (rc == 0)
        rc = str_base64_encode(out, body_hash, DIGEST_LEN);
    if (rc == 0)
        rc = buf_append_str(out, ";\r\n\tb=");
    if (rc == 0) {
        header_field_parse(&field, (const char *)out->data, out->len);
        rc = taglist_parse(&sig.tags, field.value, field.value_len);
    }
    if (rc == 0) {
        sig.names = taglist_get(&sig.tags, "h");
        rc = signature_header_hash(&sig, fields, hash);
    }
    return rc == 0 ? dkim_put_value(how->key, hash, out) : -1;
}

/* The ARC-Seal of instance n over sets, whose newest has no seal yet. A chain that is broken is
 * sealed alone (section 5.1.2). */
static int put_seal(const struct arc_sealing *how, const struct arc_set *sets, unsigned n,
                    const char *cv, struct buf *out)
{
    struct header_field field;
    struct buf text = {0};
    struct digest *d = digest_new();
    uint8_t hash[DIGEST_LEN];
    int rc = buf_printf(
        out, "ARC-Seal: i=%u; a=%s-sha256; cv=%s; d=%s;\r\n\ts=%s; t=%" PRId64 ";\r\n\tb=", n,
        key_type_name(private_key_type(how->key)), cv, how->domain, how->selector, how->now);

    if (rc == 0)
        rc = arc_digest_sets(d, sets, strcmp(cv, "fail") == 0 ? n : 1, n);
    if (rc == 0) {
        header_field_parse(&field, (const char *)out->data, out->len);
        rc = signature_unsigned_field(CANON_RELAXED, &field, &text);
    }
    if (rc == 0)
        digest_update(d, text.data, text.len);
    digest_final(d, hash);
    digest_free(&d);
    buf_free(&text);
    return rc == 0 ? dkim_put_value(how->key, hash, out) : -1;
}

static void parse(struct header_field *field, const struct buf *text)
{
    header_field_parse(field, (const char *)text->data, text->len);
}

int arc_seal(const struct arc_sealing *how, const struct arc_verifier *v,
             const struct fields *fields, const struct bodyhash *hashes, int form, struct buf *out)
{
    struct buf results = {.max = 65536}, message = {.max = 65536}, seal = {.max = 65536};
    struct header_field results_field, message_field;
    struct arc_set sets[ARC_INSTANCES_MAX];
    struct arc_result chain;
    int rc;

    arc_result(v, &chain);
    unsigned n = v->count + 1;
    if (n > ARC_INSTANCES_MAX || chain.result == AUTH_TEMPERROR ||
        (v->count > 0 && strcmp(v->sets[v->count - 1].seal_check.sig.cv, "fail") == 0))
        return 1;
    /* Which instance comes next is not known of a chain that has holes. */
    for (unsigned i = 0; i < v->count; i++) {
        if (v->sets[i].results == NULL || v->sets[i].message == NULL || v->sets[i].seal == NULL)
            return 1;
    }
    memcpy(sets, v->sets, sizeof(sets));
    const char *cv = auth_result_name(chain.result);
    rc = buf_printf(&results, "ARC-Authentication-Results: i=%u; %s\r\n", n, how->results);
    if (rc == 0)
        rc = put_message(how, n, fields, bodyhash_value(hashes, form), &message);
    if (rc == 0) {
        parse(&results_field, &results);
        parse(&message_field, &message);
        sets[n - 1] = (struct arc_set){.results = &results_field, .message = &message_field};
        rc = put_seal(how, sets, n, cv, &seal);
    }
    if (rc == 0)
        rc = buf_append(out, seal.data, seal.len);
    if (rc == 0)
        rc = buf_append(out, message.data, message.len);
    if (rc == 0)
        rc = buf_append(out, results.data, results.len);
    buf_free(&results);
    buf_free(&message);
    buf_free(&seal);
    return rc;
}

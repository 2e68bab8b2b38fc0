/* Key records (RFC 6376 section 3.6.1) and the comparison of a signature with one. */
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/filter/signature.h"

static bool tag_has(const struct taglist *list, const char *name, const char *word, const char *any)
{
    const struct tag *tag = taglist_get(list, name);
    const char *item;
    size_t at = 0, len;

    if (tag == NULL)
        return true;
    while (tag_item(tag, &at, &item, &len)) {
        if (str_is(item, len, word) || (any != NULL && str_is(item, len, any)))
            return true;
    }
    return false;
}

static bool tag_flag(const struct taglist *list, const char *flag)
{
    return taglist_get(list, "t") != NULL && tag_has(list, "t", flag, NULL);
}

/* The record's key; NULL with the reason where it is none for this signature. */
static struct public_key *read_record(const struct signature *sig, const char *text, size_t len,
                                      struct taglist *tags, const char **reason)
{
    const struct tag *v, *k, *p;
    struct buf data = {.max = 8192};
    struct public_key *key = NULL;

    if (taglist_parse(tags, text, len) != 0) {
        *reason = "the key record is malformed";
        return NULL;
    }
    v = taglist_get(tags, "v");
    k = taglist_get(tags, "k");
    p = taglist_get(tags, "p");
    if (v != NULL && (v != &tags->tags[0] || v->value_len != 5 || memcmp(v->value, "DKIM1", 5)))
        *reason = "the key record has an unknown version";
    else if (p == NULL)
        *reason = "the key record has no key";
    else if (p->value_len == 0)
        *reason = "the key was revoked";
    else if (k != NULL ? !tag_is(k, key_type_name(sig->algorithm)) : sig->algorithm != KEY_RSA)
        *reason = "the key is of another type";
    else if (!tag_has(tags, "h", "sha256", NULL))
        *reason = "the key is not for sha256";
    else if (!tag_has(tags, "s", "email", "*"))
        *reason = "the key is not for mail";
    else if (tag_flag(tags, "s") && sig->kind == SIGNATURE_DKIM &&
             strcmp(strrchr(sig->identity, '@') + 1, sig->domain) != 0)
        *reason = "the key is not for subdomains";
    else if (tag_base64(p, &data) != 0 ||
             (key = public_key_new(sig->algorithm, data.data, data.len)) == NULL)
        *reason = "the key is malformed";
    buf_free(&data);
    return key;
}

/* The first of the records that can be used: how many there may be is left open (section 3.6.2.2).
 */
static struct public_key *read_answer(const struct signature *sig, const struct dns_answer *answer,
                                      bool *testing, const char **reason)
{
    struct public_key *key = NULL;
    const char *why = "no key";

    for (size_t i = 0; i < answer->count && key == NULL; i++) {
        struct taglist tags;
        key = read_record(sig, (const char *)answer->records[i].data, answer->records[i].len, &tags,
                          &why);
        if (key != NULL)
            *testing = tag_flag(&tags, "y");
    }
    *reason = key != NULL ? "" : why;
    return key;
}

static enum auth_result judge(const struct signature *sig, const struct public_key *key,
                              const uint8_t hash[DIGEST_LEN], const struct signature_limits *limits,
                              const char **reason)
{
    if (sig->algorithm == KEY_RSA && public_key_bits(key) < limits->minimum_rsa) {
        *reason = "the key is too short";
        return AUTH_POLICY;
    }
    if (!public_key_verify(key, hash, sig->value.data, sig->value.len)) {
        *reason = "the signature does not match";
        return AUTH_FAIL;
    }
    if (sig->expires_at >= 0 && sig->expires_at + limits->drift < limits->now) {
        *reason = "the signature has expired";
        return AUTH_POLICY;
    }
    if (sig->kind == SIGNATURE_DKIM && sig->signed_at > limits->now + limits->drift) {
        *reason = "the signature is of the future";
        return AUTH_POLICY;
    }
    return AUTH_PASS;
}

enum auth_result signature_check(const struct signature *sig, const uint8_t hash[DIGEST_LEN],
                                 const struct dns_answer *answer,
                                 const struct signature_limits *limits, unsigned *bits,
                                 bool *testing, const char **reason)
{
    *bits = 0;
    *testing = false;
    switch (answer->status) {
    case DNS_FOUND:
        break;
    case DNS_UNKNOWN:
        *reason = answer->security == DNS_BOGUS ? "the key's DNSSEC signature is bogus"
                                                : "the key cannot be looked up now";
        return AUTH_TEMPERROR;
    default:
        *reason = "no key";
        return AUTH_PERMERROR;
    }
    struct public_key *key = read_answer(sig, answer, testing, reason);
    if (key == NULL)
        return AUTH_PERMERROR;
    *bits = public_key_bits(key);
    enum auth_result r = judge(sig, key, hash, limits, reason);
    public_key_free(&key);
    return r;
}

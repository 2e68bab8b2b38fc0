#include "gateway/filter/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"

enum {
    SIGNATURE_MAX = 4096, /* bytes of b= */
    NAMES_MAX = 1000,     /* in h= */
    TIME_DIGITS_MAX = 12
};

const char *auth_result_name(enum auth_result r)
{
    static const char *const names[] = {"none",    "pass",      "fail",     "policy",
                                        "neutral", "temperror", "permerror"};

    return names[r];
}

/* ---- reading ---- */

static bool has_item(const struct tag *tag, const char *word)
{
    const char *item;
    size_t at = 0, len;

    while (tag_item(tag, &at, &item, &len)) {
        if (str_is(item, len, word))
            return true;
    }
    return false;
}

static size_t item_count(const struct tag *tag)
{
    const char *item;
    size_t at = 0, len, n = 0;

    while (tag_item(tag, &at, &item, &len))
        n++;
    return n;
}

static const char *read_algorithm(struct signature *sig)
{
    const struct tag *a = taglist_get(&sig->tags, "a");

    if (a == NULL)
        return "a= is missing";
    if (tag_is(a, "rsa-sha256"))
        sig->algorithm = KEY_RSA;
    else if (tag_is(a, "ed25519-sha256"))
        sig->algorithm = KEY_ED25519;
    else if (tag_is(a, "rsa-sha1"))
        return "rsa-sha1 is worth nothing (RFC 8301)";
    else
        return "unknown algorithm";
    return NULL;
}

static const char *read_canon(struct signature *sig)
{
    const struct tag *c = taglist_get(&sig->tags, "c");

    sig->header = sig->body = CANON_SIMPLE;
    /* RFC 8617 names no default for a message signature; its public test suite has this one. */
    if (sig->kind != SIGNATURE_DKIM)
        sig->header = sig->body = CANON_RELAXED;
    if (c == NULL || sig->kind == SIGNATURE_ARC_SEAL)
        return NULL;
    sig->header = sig->body = CANON_SIMPLE;
    const char *slash = memchr(c->value, '/', c->value_len);
    size_t first = slash != NULL ? (size_t)(slash - c->value) : c->value_len;
    if (str_is(c->value, first, "relaxed"))
        sig->header = CANON_RELAXED;
    else if (!str_is(c->value, first, "simple"))
        return "unknown canonicalization";
    if (slash == NULL)
        return NULL;
    if (str_is(slash + 1, c->value_len - first - 1, "relaxed"))
        sig->body = CANON_RELAXED;
    else if (!str_is(slash + 1, c->value_len - first - 1, "simple"))
        return "unknown canonicalization";
    return NULL;
}

/* Whether domain is parent or below it; both lower-case. */
static bool is_below(const char *domain, const char *parent)
{
    size_t n = strlen(domain), m = strlen(parent);

    return n >= m && strcmp(domain + n - m, parent) == 0 && (n == m || domain[n - m - 1] == '.');
}

/* A name without characters that a query, a header field or a log could not bear. */
static bool name_plain(const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c <= ' ' || c == 0x7f || strchr("\"\\()<>@,;:[]=", c) != NULL)
            return false;
    }
    return true;
}

static const char *read_who(struct signature *sig, struct arena *arena)
{
    const struct tag *d = taglist_get(&sig->tags, "d"), *s = taglist_get(&sig->tags, "s");

    if (d == NULL || d->value_len == 0)
        return "d= is missing";
    if (s == NULL || s->value_len == 0)
        return "s= is missing";
    char *domain = tag_text(d, arena), *selector = tag_text(s, arena);
    if (domain == NULL || selector == NULL)
        return "too long";
    if (!name_plain(domain) || !name_plain(selector) || strlen(domain) > 253)
        return "d= or s= is no name";
    str_lower(domain);
    sig->domain = domain;
    sig->selector = selector;
    return NULL;
}

/* i=: of DKIM an address in the signing domain, of ARC the instance. */
static const char *read_identity(struct signature *sig, struct arena *arena)
{
    const struct tag *i = taglist_get(&sig->tags, "i");
    uint64_t n;

    if (sig->kind != SIGNATURE_DKIM) {
        if (i == NULL || tag_number(i, 50, &n) != 0 || n == 0)
            return "i= is missing or out of range";
        sig->instance = (unsigned)n;
        return NULL;
    }
    if (i == NULL) {
        sig->identity = arena_printf(arena, "@%s", sig->domain);
        return sig->identity == NULL ? "too long" : NULL;
    }
    char *text = tag_text(i, arena);
    char *at = text != NULL ? strrchr(text, '@') : NULL;
    if (at == NULL)
        return "i= is no address";
    str_lower(at);
    if (!is_below(at + 1, sig->domain))
        return "i= is outside of d=";
    sig->identity = text;
    return NULL;
}

static const char *read_times(struct signature *sig)
{
    const struct tag *t = taglist_get(&sig->tags, "t"), *x = taglist_get(&sig->tags, "x");
    uint64_t n;

    if (t != NULL) {
        if (t->value_len > TIME_DIGITS_MAX || tag_number(t, INT64_MAX, &n) != 0)
            return "t= is no time";
        sig->signed_at = (int64_t)n;
    }
    if (x != NULL && sig->kind == SIGNATURE_DKIM) {
        if (x->value_len > TIME_DIGITS_MAX || tag_number(x, INT64_MAX, &n) != 0)
            return "x= is no time";
        sig->expires_at = (int64_t)n;
        if (sig->signed_at >= 0 && sig->expires_at <= sig->signed_at)
            return "x= is not after t=";
    }
    return NULL;
}

static const char *read_coverage(struct signature *sig)
{
    const struct tag *bh = taglist_get(&sig->tags, "bh"), *l = taglist_get(&sig->tags, "l");
    struct buf hash = {.max = 2 * DIGEST_LEN};
    const char *why = NULL;

    sig->names = taglist_get(&sig->tags, "h");
    if (sig->names == NULL || (sig->kind == SIGNATURE_DKIM && sig->names->value_len == 0))
        return "h= is missing";
    if (item_count(sig->names) > NAMES_MAX)
        return "h= has too many fields";
    if (sig->kind == SIGNATURE_DKIM && !has_item(sig->names, "from"))
        return "From is not signed";
    if (sig->kind == SIGNATURE_ARC_MESSAGE && has_item(sig->names, "arc-seal"))
        return "h= has seals";
    if (bh == NULL)
        return "bh= is missing";
    if (tag_base64(bh, &hash) != 0 || hash.len != DIGEST_LEN)
        why = "bh= is no hash";
    else
        memcpy(sig->body_hash, hash.data, DIGEST_LEN);
    buf_free(&hash);
    if (why == NULL && l != NULL && tag_number(l, UINT64_MAX - 1, &sig->limit) != 0)
        why = "l= is no number";
    return why;
}

static const char *read_tags(struct signature *sig, struct arena *arena)
{
    const struct tag *v = taglist_get(&sig->tags, "v"), *b = taglist_get(&sig->tags, "b");
    const struct tag *q = taglist_get(&sig->tags, "q");
    const struct tag *cv = taglist_get(&sig->tags, "cv");
    const char *why;

    if ((why = read_who(sig, arena)) != NULL || (why = read_identity(sig, arena)) != NULL)
        return why;
    if (sig->kind == SIGNATURE_DKIM && (v == NULL || !tag_is(v, "1")))
        return "v= is not 1";
    if ((why = read_algorithm(sig)) != NULL || (why = read_canon(sig)) != NULL ||
        (why = read_times(sig)) != NULL)
        return why;
    if (sig->kind == SIGNATURE_ARC_SEAL) {
        if (taglist_get(&sig->tags, "h") != NULL)
            return "a seal has no h=";
        if (cv == NULL || (sig->cv = tag_text(cv, arena)) == NULL)
            return "cv= is missing";
    } else if ((why = read_coverage(sig)) != NULL) {
        return why;
    }
    if (q != NULL && !has_item(q, "dns/txt"))
        return "q= has no dns/txt";
    if (b == NULL || b->value_len == 0)
        return "b= is missing";
    sig->value.max = SIGNATURE_MAX;
    return tag_base64(b, &sig->value) != 0 ? "b= is no base64" : NULL;
}

const char *signature_read(struct signature *sig, enum signature_kind kind,
                           const struct header_field *field, struct arena *arena)
{
    *sig = (struct signature){.kind = kind,
                              .field = field,
                              .domain = "",
                              .selector = "",
                              .identity = "",
                              .cv = "",
                              .limit = BODY_WHOLE,
                              .signed_at = -1,
                              .expires_at = -1};
    if (taglist_parse(&sig->tags, field->value, field->value_len) != 0)
        return "no list of tags";
    return read_tags(sig, arena);
}

void signature_free(struct signature *sig)
{
    buf_free(&sig->value);
}

const char *signature_question(const struct signature *sig, char *dst)
{
    int n = snprintf(dst, DNS_NAME_MAX, "%s._domainkey.%s", sig->selector, sig->domain);

    return n > 253 ? NULL : dst;
}

/* ---- the hash of the header ---- */

/* Where the value of b= lies in the raw field: from behind the equals sign to the semicolon. */
static bool find_value(const struct header_field *field, size_t *from, size_t *to)
{
    const char *end = field->raw + field->raw_len;
    const char *p = memchr(field->raw, ':', field->raw_len);

    while (p != NULL && p < end) {
        const char *name = ++p;
        const char *next = memchr(p, ';', (size_t)(end - p));
        const char *stop = next != NULL ? next : end;
        while (name < stop && strchr(" \t\r\n", *name) != NULL)
            name++;
        if (name < stop && *name == 'b') {
            const char *equals = name + 1;
            while (equals < stop && strchr(" \t\r\n", *equals) != NULL)
                equals++;
            if (equals < stop && *equals == '=') {
                *from = (size_t)(equals + 1 - field->raw);
                *to = (size_t)(stop - field->raw);
                return true;
            }
        }
        p = next;
    }
    return false;
}

int signature_unsigned_field(enum canon canon, const struct header_field *field, struct buf *out)
{
    struct buf raw = {.max = field->raw_len + 2};
    struct header_field bare = *field;
    size_t from = field->raw_len, to = field->raw_len;
    int rc;

    find_value(field, &from, &to);
    rc = buf_append(&raw, field->raw, from);
    if (rc == 0)
        rc = buf_append(&raw, field->raw + to, field->raw_len - to);
    if (rc == 0) {
        header_field_parse(&bare, (const char *)raw.data, raw.len);
        rc = canon_field(canon, &bare, out);
    }
    if (rc == 0)
        buf_truncate(out, out->len - 2);
    buf_free(&raw);
    return rc;
}

/* The lowest field of this name that is not taken yet (RFC 6376 section 5.4.2). */
static const struct header_field *take_field(const struct fields *fields, bool *taken,
                                             const struct header_field *self, const char *name,
                                             size_t len)
{
    for (size_t i = fields->count; i-- > 0;) {
        const struct header_field *f = &fields->v[i];
        if (!taken[i] && f != self && f->name_len == len && str_ieq_n(f->name, name, len)) {
            taken[i] = true;
            return f;
        }
    }
    return NULL;
}

static void hash_buf(struct digest *d, struct buf *b)
{
    digest_update(d, b->data != NULL ? (const void *)b->data : "", b->len);
    buf_clear(b);
}

int signature_header_hash(const struct signature *sig, const struct fields *fields,
                          uint8_t hash[DIGEST_LEN])
{
    struct digest *d = digest_new();
    struct buf out = {0};
    bool *taken = mem_zalloc(fields->count + 1);
    const char *name;
    size_t at = 0, len;
    int rc = 0;

    while (rc == 0 && tag_item(sig->names, &at, &name, &len)) {
        const struct header_field *f =
            len > 0 ? take_field(fields, taken, sig->field, name, len) : NULL;
        if (f == NULL)
            continue;
        rc = canon_field(sig->header, f, &out);
        hash_buf(d, &out);
    }
    if (rc == 0)
        rc = signature_unsigned_field(sig->header, sig->field, &out);
    hash_buf(d, &out);
    digest_final(d, hash);
    digest_free(&d);
    buf_free(&out);
    free(taken);
    return rc;
}

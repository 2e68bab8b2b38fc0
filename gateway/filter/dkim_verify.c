#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/filter/dkim.h"

struct check {
    struct signature sig;
    const char *flaw; /* a permanent error of its own; NULL: none */
    char *question;
    int form;                   /* of the body hash */
    uint8_t hash[DIGEST_LEN];   /* of the header */
    enum auth_result signature; /* what the header's signature is worth, without the body */
    const char *reason;
    unsigned bits;
    bool testing, answered;
};

struct dkim_verifier {
    const struct bodyhash *hashes;
    struct signature_limits limits;
    size_t count, ignored;
    struct check *checks;
};

static void prepare(struct check *c, const struct header_field *field, const struct fields *fields,
                    struct bodyhash *hashes, struct arena *arena)
{
    char name[DNS_NAME_MAX];

    c->reason = "";
    c->flaw = signature_read(&c->sig, SIGNATURE_DKIM, field, arena);
    if (c->flaw != NULL)
        return;
    if (signature_question(&c->sig, name) == NULL) {
        c->flaw = "the key's name is too long";
        return;
    }
    c->form = bodyhash_want(hashes, c->sig.body, c->sig.limit);
    if (c->form < 0 || signature_header_hash(&c->sig, fields, c->hash) != 0) {
        c->flaw = "too much to hash";
        return;
    }
    c->question = mem_strdup(name);
}

struct dkim_verifier *dkim_verifier_new(const struct fields *fields, struct bodyhash *hashes,
                                        size_t max, const struct signature_limits *limits,
                                        struct arena *arena)
{
    struct dkim_verifier *v = mem_zalloc(sizeof(*v));
    const struct header_field *field;
    size_t at = 0, found = 0;

    v->hashes = hashes;
    v->limits = *limits;
    while (fields_next(fields, "DKIM-Signature", &at) != NULL)
        found++;
    v->count = found < max ? found : max;
    v->ignored = found - v->count;
    v->checks = mem_zalloc((v->count + 1) * sizeof(*v->checks));
    at = 0;
    for (size_t i = 0; i < v->count; i++) {
        field = fields_next(fields, "DKIM-Signature", &at);
        prepare(&v->checks[i], field, fields, hashes, arena);
    }
    return v;
}

void dkim_verifier_free(struct dkim_verifier **v)
{
    if (*v == NULL)
        return;
    for (size_t i = 0; i < (*v)->count; i++) {
        signature_free(&(*v)->checks[i].sig);
        free((*v)->checks[i].question);
    }
    free((*v)->checks);
    free(*v);
    *v = NULL;
}

size_t dkim_count(const struct dkim_verifier *v)
{
    return v->count;
}

size_t dkim_ignored(const struct dkim_verifier *v)
{
    return v->ignored;
}

const char *dkim_question(const struct dkim_verifier *v, size_t i)
{
    return v->checks[i].question;
}

void dkim_answer(struct dkim_verifier *v, size_t i, const struct dns_answer *answer)
{
    struct check *c = &v->checks[i];

    c->answered = true;
    c->signature =
        signature_check(&c->sig, c->hash, answer, &v->limits, &c->bits, &c->testing, &c->reason);
}

/* What the body says about a signature whose header is good. */
static enum auth_result judge_body(const struct dkim_verifier *v, const struct check *c,
                                   const char **reason)
{
    uint64_t size = bodyhash_size(v->hashes, c->form);

    if (c->sig.limit != BODY_WHOLE && c->sig.limit > size) {
        *reason = "l= is larger than the body";
        return AUTH_FAIL;
    }
    if (memcmp(bodyhash_value(v->hashes, c->form), c->sig.body_hash, DIGEST_LEN) != 0) {
        *reason = "the body was changed";
        return AUTH_FAIL;
    }
    if (c->sig.limit != BODY_WHOLE && c->sig.limit < size) {
        *reason = "the signature leaves a part of the body out (l=)";
        return AUTH_POLICY;
    }
    return AUTH_PASS;
}

void dkim_result(const struct dkim_verifier *v, size_t i, struct dkim_result *out)
{
    const struct check *c = &v->checks[i];
    const struct tag *b = taglist_get(&c->sig.tags, "b");
    size_t n = 0;

    *out = (struct dkim_result){.result = c->signature,
                                .reason = c->reason,
                                .domain = c->sig.domain,
                                .selector = c->sig.selector,
                                .identity = c->sig.identity,
                                .algorithm = key_type_name(c->sig.algorithm),
                                .bits = c->bits,
                                .testing = c->testing};
    for (size_t k = 0; b != NULL && k < b->value_len && n < sizeof(out->tag) - 1; k++) {
        if (str_base64_digit(b->value[k]) >= 0)
            out->tag[n++] = b->value[k];
    }
    if (c->flaw != NULL) {
        out->result = AUTH_PERMERROR;
        out->reason = c->flaw;
    } else if (!c->answered) {
        out->result = AUTH_TEMPERROR;
        out->reason = "the key was not looked up";
    } else if (c->signature == AUTH_PASS) {
        out->result = judge_body(v, c, &out->reason);
    }
}

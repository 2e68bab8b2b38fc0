#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/filter/arc_private.h"

/* ---- finding the sets ---- */

/* The instance of an ARC-Authentication-Results field: "i=3;" in front of everything. 0: none. */
static unsigned results_instance(const struct header_field *field)
{
    const char *p = field->value, *end = p + field->value_len;
    unsigned n = 0, digits = 0;

    if (p == end || *p++ != 'i')
        return 0;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (p == end || *p++ != '=')
        return 0;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    for (; p < end && *p >= '0' && *p <= '9' && digits < 3; digits++)
        n = n * 10 + (unsigned)(*p++ - '0');
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p < end && *p == ';' && digits < 3 ? n : 0;
}

static unsigned tag_instance(const struct header_field *field)
{
    struct taglist tags;
    uint64_t n;

    if (taglist_parse(&tags, field->value, field->value_len) != 0)
        return 0;
    const struct tag *i = taglist_get(&tags, "i");
    return i != NULL && tag_number(i, ARC_INSTANCES_MAX, &n) == 0 ? (unsigned)n : 0;
}

/* Puts a field into its set: what is wrong, or NULL. */
static const char *place(struct arc_verifier *v, const struct header_field *field)
{
    const struct header_field **slot;
    bool results = header_field_is(field, "ARC-Authentication-Results");
    bool message = header_field_is(field, "ARC-Message-Signature");

    if (!results && !message && !header_field_is(field, "ARC-Seal"))
        return NULL;
    unsigned i = results ? results_instance(field) : tag_instance(field);
    if (i == 0 || i > ARC_INSTANCES_MAX)
        return "a field of the chain has no instance";
    if (i > v->count)
        v->count = i;
    struct arc_set *set = &v->sets[i - 1];
    slot = results ? &set->results : message ? &set->message : &set->seal;
    if (*slot != NULL)
        return "the chain has a field twice";
    *slot = field;
    return NULL;
}

static const char *find_sets(struct arc_verifier *v, const struct fields *fields)
{
    const char *why, *first = NULL;

    for (size_t i = 0; i < fields->count; i++) {
        why = place(v, &fields->v[i]);
        if (first == NULL)
            first = why;
    }
    for (unsigned i = 0; i < v->count && first == NULL; i++) {
        const struct arc_set *set = &v->sets[i];
        if (set->results == NULL || set->message == NULL || set->seal == NULL)
            first = "the chain has a gap";
    }
    return first;
}

/* ---- reading them ---- */

static const char *add_question(struct arc_verifier *v, struct arc_check *c)
{
    char name[DNS_NAME_MAX];

    if (signature_question(&c->sig, name) == NULL)
        return "a key's name is too long";
    for (size_t i = 0; i < v->question_count; i++) {
        if (str_ieq(v->questions[i], name)) {
            c->question = (int)i;
            return NULL;
        }
    }
    c->question = (int)v->question_count;
    v->questions[v->question_count++] = mem_strdup(name);
    return NULL;
}

static const char *read_seal(struct arc_verifier *v, unsigned i, struct arena *arena)
{
    struct arc_check *c = &v->sets[i].seal_check;
    const char *why = signature_read(&c->sig, SIGNATURE_ARC_SEAL, v->sets[i].seal, arena);

    if (why != NULL)
        return why;
    if (strcmp(c->sig.cv, "fail") == 0)
        return "a sealer has found the chain broken";
    if (strcmp(c->sig.cv, i == 0 ? "none" : "pass") != 0)
        return "cv= does not fit";
    return add_question(v, c);
}

int arc_digest_sets(struct digest *d, const struct arc_set *sets, unsigned first, unsigned count)
{
    struct buf text = {0};
    int rc = 0;

    for (unsigned i = first; i <= count && rc == 0; i++) {
        const struct arc_set *set = &sets[i - 1];
        rc = canon_field(CANON_RELAXED, set->results, &text);
        if (rc == 0)
            rc = canon_field(CANON_RELAXED, set->message, &text);
        if (rc == 0 && i < count)
            rc = canon_field(CANON_RELAXED, set->seal, &text);
    }
    if (rc == 0 && text.len > 0)
        digest_update(d, text.data, text.len);
    buf_free(&text);
    return rc;
}

/* The hash that seal i (from 1) covers: the chain so far (section 5.1.1). */
static int seal_hash(const struct arc_verifier *v, unsigned i, uint8_t hash[DIGEST_LEN])
{
    struct digest *d = digest_new();
    struct buf text = {0};
    int rc = arc_digest_sets(d, v->sets, 1, i);

    if (rc == 0)
        rc = signature_unsigned_field(CANON_RELAXED, v->sets[i - 1].seal, &text);
    if (rc == 0)
        digest_update(d, text.data, text.len);
    digest_final(d, hash);
    digest_free(&d);
    buf_free(&text);
    return rc;
}

static const char *read_message(struct arc_verifier *v, const struct fields *fields,
                                struct bodyhash *hashes, struct arena *arena)
{
    struct arc_check *c = &v->message;
    const char *why =
        signature_read(&c->sig, SIGNATURE_ARC_MESSAGE, v->sets[v->count - 1].message, arena);

    if (why != NULL)
        return why;
    v->form = bodyhash_want(hashes, c->sig.body, c->sig.limit);
    if (v->form < 0 || signature_header_hash(&c->sig, fields, c->hash) != 0)
        return "too much to hash";
    return add_question(v, c);
}

static const char *read_chain(struct arc_verifier *v, const struct fields *fields,
                              struct bodyhash *hashes, struct arena *arena)
{
    const char *why = find_sets(v, fields);

    if (why != NULL || v->count == 0)
        return why;
    for (unsigned i = v->count; i-- > 0 && why == NULL;)
        why = read_seal(v, i, arena);
    if (why == NULL)
        why = read_message(v, fields, hashes, arena);
    for (unsigned i = 1; i <= v->count && why == NULL; i++) {
        if (seal_hash(v, i, v->sets[i - 1].seal_check.hash) != 0)
            why = "too much to hash";
    }
    return why;
}

struct arc_verifier *arc_verifier_new(const struct fields *fields, struct bodyhash *hashes,
                                      const struct signature_limits *limits, struct arena *arena)
{
    struct arc_verifier *v = mem_zalloc(sizeof(*v));

    v->hashes = hashes;
    v->limits = *limits;
    v->flaw = read_chain(v, fields, hashes, arena);
    return v;
}

void arc_verifier_free(struct arc_verifier **v)
{
    if (*v == NULL)
        return;
    for (unsigned i = 0; i < (*v)->count; i++)
        signature_free(&(*v)->sets[i].seal_check.sig);
    signature_free(&(*v)->message.sig);
    for (size_t i = 0; i < (*v)->question_count; i++)
        free((*v)->questions[i]);
    free(*v);
    *v = NULL;
}

/* ---- answers ---- */

const char *arc_question(const struct arc_verifier *v, size_t i)
{
    return v->flaw == NULL && i < v->question_count ? v->questions[i] : NULL;
}

static void take(const struct arc_verifier *v, struct arc_check *c, size_t i,
                 const struct dns_answer *answer)
{
    unsigned bits;
    bool testing;

    if ((size_t)c->question != i)
        return;
    c->answered = true;
    c->result = signature_check(&c->sig, c->hash, answer, &v->limits, &bits, &testing, &c->reason);
}

void arc_answer(struct arc_verifier *v, size_t i, const struct dns_answer *answer)
{
    for (unsigned k = 0; k < v->count; k++)
        take(v, &v->sets[k].seal_check, i, answer);
    take(v, &v->message, i, answer);
}

/* What a part of the chain says about the whole. */
static void weigh(const struct arc_check *c, struct arc_result *out)
{
    enum auth_result r = !c->answered ? AUTH_TEMPERROR : c->result;

    if (r == AUTH_PASS || out->result == AUTH_FAIL)
        return;
    out->result = r == AUTH_TEMPERROR ? AUTH_TEMPERROR : AUTH_FAIL;
    out->reason = c->answered ? c->reason : "a key was not looked up";
}

static void weigh_body(const struct arc_verifier *v, struct arc_result *out)
{
    const struct signature *sig = &v->message.sig;

    if (memcmp(bodyhash_value(v->hashes, v->form), sig->body_hash, DIGEST_LEN) != 0 ||
        (sig->limit != BODY_WHOLE && sig->limit != bodyhash_size(v->hashes, v->form))) {
        out->result = AUTH_FAIL;
        out->reason = "the body was changed";
    }
}

/* What stands behind "i=N;" in the newest results. */
static void find_results(const struct arc_verifier *v, struct arc_result *out)
{
    const struct header_field *f = v->sets[v->count - 1].results;
    const char *semicolon = memchr(f->value, ';', f->value_len);

    out->results = semicolon + 1;
    out->results_len = f->value_len - (size_t)(out->results - f->value);
}

void arc_result(const struct arc_verifier *v, struct arc_result *out)
{
    *out = (struct arc_result){
        .result = AUTH_NONE, .reason = "", .sealer = "", .results = "", .instances = v->count};
    if (v->flaw != NULL) {
        out->result = AUTH_FAIL;
        out->reason = v->flaw;
        return;
    }
    if (v->count == 0)
        return;
    out->result = AUTH_PASS;
    out->sealer = v->sets[v->count - 1].seal_check.sig.domain;
    weigh(&v->message, out);
    for (unsigned i = 0; i < v->count; i++)
        weigh(&v->sets[i].seal_check, out);
    weigh_body(v, out);
    if (out->result == AUTH_PASS)
        find_results(v, out);
}

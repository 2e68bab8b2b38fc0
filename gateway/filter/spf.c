/*
 * check_host() of RFC 7208 as a machine that stops at each question.
 *
 * A frame is the record of one domain: the first one, and those that include: and redirect= lead
 * to. include: puts a frame on the stack and goes on below it afterwards, redirect= replaces the
 * frame. evaluate() runs terms until one asks the DNS or all is done.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/filter/spf_private.h"

enum {
    LOOKUPS_DEFAULT = 10,
    VOIDS_DEFAULT = 2,
    FRAMES_MAX = 24, /* above any sensible lookup_limit's depth */
    NAMES_MAX = 10,  /* addresses looked up for one mx or ptr (section 4.6.4) */
    ARENA_MAX = 1 << 20,
    DOMAIN_TEXT_MAX = 253,
    LABEL_MAX = 63
};

/* What the question that is out is for. */
enum state {
    STATE_RECORD,        /* the record of the frame on top */
    STATE_ADDRESS,       /* a */
    STATE_EXISTS,        /* exists */
    STATE_MX,            /* mx, its names */
    STATE_MX_ADDRESS,    /* the address of one of them */
    STATE_NAMES,         /* the client's names, for ptr or %{p} */
    STATE_NAMES_ADDRESS, /* the address of one of them */
    STATE_EXPLANATION,   /* exp= */
    STATE_DONE
};

struct frame {
    const char *domain;
    struct spf_record record;
    size_t at; /* the term at hand */
};

struct spf {
    struct arena *arena;
    struct spf_macros macros;
    enum state state;
    const char *question;
    uint16_t type;
    unsigned lookups, voids, lookup_limit, void_limit;
    struct frame frames[FRAMES_MAX];
    size_t depth;
    const char *names[NAMES_MAX]; /* of the mx, or of the client */
    size_t name_count, name_at;
    const char *validated[NAMES_MAX]; /* names of the client that lead back to it */
    size_t validated_count;
    bool validation_done;
    bool explaining;              /* the result is there; only its explanation is not */
    const char *explanation_text; /* which is this, with macros */
    struct spf_verdict verdict;
};

static void evaluate(struct spf *s);
static void explain(struct spf *s);

const char *spf_result_name(enum spf_result r)
{
    static const char *const names[] = {"none",     "neutral",   "pass",     "fail",
                                        "softfail", "temperror", "permerror"};

    return names[r];
}

/* ---- asking ---- */

static void ask(struct spf *s, enum state state, const char *name, uint16_t type)
{
    s->state = state;
    s->question = name;
    s->type = type;
}

static uint16_t address_type(const struct spf *s)
{
    return s->macros.ip.family == 6 ? DNS_TYPE_AAAA : DNS_TYPE_A;
}

static struct frame *top(struct spf *s)
{
    return &s->frames[s->depth - 1];
}

static struct spf_term *term(struct spf *s)
{
    return &top(s)->record.terms[top(s)->at];
}

/* ---- results ---- */

static void done(struct spf *s)
{
    s->state = STATE_DONE;
}

/* An error ends the whole evaluation, however deep it is. */
static void stop(struct spf *s, enum spf_result result, const char *problem)
{
    if (!s->explaining) {
        s->verdict.result = result;
        s->verdict.problem = problem;
        s->verdict.mechanism = "";
    }
    done(s);
}

/* The end with a result of the first domain or of one that took its place. */
static void conclude(struct spf *s, enum spf_result result)
{
    const struct frame *f = &s->frames[0];

    s->verdict.result = result;
    if (result != SPF_FAIL || f->record.exp == NULL) {
        done(s);
        return;
    }
    s->explaining = true;
    explain(s);
}

/* Counts a term that asks the DNS; false where that was one too many. */
static bool count_lookup(struct spf *s)
{
    if (++s->lookups <= s->lookup_limit)
        return true;
    stop(s, SPF_PERMERROR, "too many DNS lookups");
    return false;
}

/* Counts an answer of nothing; false where that was one too many. */
static bool count_void(struct spf *s, const struct dns_answer *a)
{
    if ((a->status != DNS_NODATA && a->status != DNS_NXDOMAIN) || ++s->voids <= s->void_limit)
        return true;
    stop(s, SPF_PERMERROR, "too many DNS lookups without an answer");
    return false;
}

/* ---- names ---- */

/* Whether the DNS can have it: labels of 1 to 63 bytes, at least two. */
static bool domain_valid(const char *s)
{
    size_t dots = 0, len = strlen(s);

    if (len > 0 && s[len - 1] == '.')
        len--;
    if (len == 0 || len > DOMAIN_TEXT_MAX)
        return false;
    for (size_t i = 0, label = 0; i <= len; i++) {
        if (i == len || s[i] == '.') {
            if (label == 0 || label > LABEL_MAX)
                return false;
            dots += i < len;
            label = 0;
        } else if ((unsigned char)s[i] <= ' ' || strchr("[]\"\\", s[i]) != NULL) {
            return false;
        } else {
            label++;
        }
    }
    return dots > 0;
}

static bool name_below(const char *name, const char *parent)
{
    size_t n = strlen(name), m = strlen(parent);

    if (m > 0 && parent[m - 1] == '.')
        m--;
    return n >= m && str_ieq_n(name + n - m, parent, m) && (n == m || name[n - m - 1] == '.');
}

/* The validated name for %{p}: the domain itself, then one below it, then any. */
static const char *best_validated(const struct spf *s, const char *domain)
{
    const char *below = NULL;

    for (size_t i = 0; i < s->validated_count; i++) {
        if (str_ieq(s->validated[i], domain))
            return s->validated[i];
        if (below == NULL && name_below(s->validated[i], domain))
            below = s->validated[i];
    }
    if (below != NULL)
        return below;
    return s->validated_count > 0 ? s->validated[0] : "unknown";
}

/* Starts to find the client's names out. */
static void validate_names(struct spf *s)
{
    char *name = arena_alloc(s->arena, DNS_NAME_MAX);

    if (name == NULL) {
        stop(s, SPF_PERMERROR, "the records are too large");
        return;
    }
    ask(s, STATE_NAMES, dns_reverse_name(&s->macros.ip, name), DNS_TYPE_PTR);
}

/* The domain that spec (NULL: the current one) stands for. NULL: not now, a question is out or all
 * is over. */
static const char *target(struct spf *s, const char *spec, const char *current)
{
    if (spec == NULL)
        return current;
    if (spf_macro_needs_ptr(spec) && !s->validation_done) {
        validate_names(s);
        return NULL;
    }
    s->macros.domain = current;
    s->macros.validated = best_validated(s, current);
    const char *name = spf_macro_domain(spec, &s->macros, s->arena);
    if (name == NULL)
        stop(s, SPF_PERMERROR, "a macro expands to too much");
    return name;
}

/* ---- addresses ---- */

static bool record_matches(const struct spf *s, const struct dns_record *r, unsigned bits)
{
    struct netaddr_prefix net = {.addr.family = s->macros.ip.family, .bits = (uint8_t)bits};

    if (r->data == NULL || r->len != (s->macros.ip.family == 6 ? 16 : 4))
        return false;
    memcpy(net.addr.bytes, r->data, r->len);
    /* Bits behind the prefix do not count. */
    for (unsigned i = bits; i < r->len * 8; i++)
        net.addr.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    return netaddr_prefix_contains(&net, &s->macros.ip);
}

static bool answer_matches(const struct spf *s, const struct dns_answer *a, unsigned bits)
{
    for (size_t i = 0; a->status == DNS_FOUND && i < a->count; i++) {
        if (record_matches(s, &a->records[i], bits))
            return true;
    }
    return false;
}

static unsigned term_bits(const struct spf *s, const struct spf_term *t)
{
    return s->macros.ip.family == 6 ? t->bits6 : t->bits4;
}

/* Keeps the names of an answer for their addresses to be looked up. */
static int keep_names(struct spf *s, const struct dns_answer *a)
{
    s->name_count = s->name_at = 0;
    for (size_t i = 0; i < a->count && s->name_count < NAMES_MAX; i++) {
        const char *name = a->records[i].name;
        if (name == NULL || *name == '\0')
            continue;
        s->names[s->name_count] = arena_strdup(s->arena, name);
        if (s->names[s->name_count++] == NULL) {
            stop(s, SPF_PERMERROR, "the records are too large");
            return -1;
        }
    }
    return 0;
}

/* ---- terms ---- */

static void next_term(struct spf *s, bool matched)
{
    if (!matched) {
        top(s)->at++;
        evaluate(s);
        return;
    }
    enum spf_result result = term(s)->qualifier;
    if (s->depth == 1) {
        s->verdict.mechanism = term(s)->text;
        conclude(s, result);
        return;
    }
    /* Inside an include: only "pass" matches (section 5.2). */
    s->depth--;
    next_term(s, result == SPF_PASS);
}

static void push_frame(struct spf *s, const char *domain)
{
    if (s->depth == FRAMES_MAX) {
        stop(s, SPF_PERMERROR, "records include each other too deeply");
        return;
    }
    s->frames[s->depth++] = (struct frame){.domain = domain};
    ask(s, STATE_RECORD, domain, DNS_TYPE_TXT);
}

/* Ends at the frame's end without a match. */
static void end_of_record(struct spf *s)
{
    struct frame *f = top(s);

    if (f->record.redirect == NULL) {
        if (s->depth == 1) {
            conclude(s, SPF_NEUTRAL);
            return;
        }
        s->depth--;
        next_term(s, false);
        return;
    }
    const char *domain = target(s, f->record.redirect, f->domain);
    if (domain == NULL || !count_lookup(s))
        return;
    *f = (struct frame){.domain = domain};
    ask(s, STATE_RECORD, domain, DNS_TYPE_TXT);
}

static bool ptr_matches(const struct spf *s, const char *domain)
{
    for (size_t i = 0; i < s->validated_count; i++) {
        if (name_below(s->validated[i], domain))
            return true;
    }
    return false;
}

/* A term that needs a name. */
static void evaluate_named(struct spf *s, const struct spf_term *t)
{
    const char *domain = target(s, t->domain, top(s)->domain);

    if (domain == NULL)
        return;
    /* The client's names are asked for once, but each ptr counts. */
    if (!count_lookup(s))
        return;
    switch (t->mechanism) {
    case SPF_INCLUDE:
        push_frame(s, domain);
        break;
    case SPF_A:
        ask(s, STATE_ADDRESS, domain, address_type(s));
        break;
    case SPF_EXISTS:
        ask(s, STATE_EXISTS, domain, DNS_TYPE_A);
        break;
    case SPF_MX:
        ask(s, STATE_MX, domain, DNS_TYPE_MX);
        break;
    default:
        if (s->validation_done)
            next_term(s, ptr_matches(s, domain));
        else
            validate_names(s);
        break;
    }
}

/* Whether the term at hand is a network that the client is not in. */
static bool passes_over(const struct spf *s, const struct frame *f)
{
    if (f->at == f->record.count)
        return false;
    const struct spf_term *t = &f->record.terms[f->at];
    return (t->mechanism == SPF_IP4 || t->mechanism == SPF_IP6) &&
           (t->network.addr.family != s->macros.ip.family ||
            !netaddr_prefix_contains(&t->network, &s->macros.ip));
}

static void evaluate(struct spf *s)
{
    while (passes_over(s, top(s)))
        top(s)->at++;
    if (top(s)->at == top(s)->record.count) {
        end_of_record(s);
        return;
    }
    const struct spf_term *t = term(s);
    switch (t->mechanism) {
    case SPF_ALL:
    case SPF_IP4:
    case SPF_IP6:
        next_term(s, true);
        break;
    default:
        evaluate_named(s, t);
        break;
    }
}

/* ---- explanations (section 6.2) ---- */

/* Expands the explanation, where the names that it has are known. */
static void finish_explanation(struct spf *s)
{
    const struct frame *f = &s->frames[0];

    if (spf_macro_needs_ptr(s->explanation_text) && !s->validation_done) {
        validate_names(s);
        return;
    }
    done(s);
    s->macros.domain = f->domain;
    s->macros.validated = best_validated(s, f->domain);
    const char *text = spf_macro_expand(s->explanation_text, &s->macros, s->arena);
    for (const char *p = text; p != NULL && *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || (unsigned char)*p > 0x7e)
            return;
    }
    s->verdict.explanation = text;
}

/* Asks for the explanation, or for what stands in the way. */
static void explain(struct spf *s)
{
    if (s->explanation_text != NULL) {
        finish_explanation(s);
        return;
    }
    const char *domain = target(s, s->frames[0].record.exp, s->frames[0].domain);
    if (domain != NULL)
        ask(s, STATE_EXPLANATION, domain, DNS_TYPE_TXT);
}

/* ---- answers ---- */

/* No record: for the first domain a result, for others an error (sections 5.2 and 6.1). */
static void no_record(struct spf *s)
{
    if (s->depth == 1 && s->lookups == 0)
        stop(s, SPF_NONE, "");
    else
        stop(s, SPF_PERMERROR, "a record that another one refers to does not exist");
}

static void got_record(struct spf *s, const struct dns_answer *a)
{
    const struct dns_record *found = NULL;

    if (a->status == DNS_UNKNOWN) {
        stop(s, SPF_TEMPERROR, "an SPF record cannot be looked up now");
        return;
    }
    for (size_t i = 0; a->status == DNS_FOUND && i < a->count; i++) {
        const struct dns_record *r = &a->records[i];
        if (r->data == NULL || !spf_record_is(r->data, r->len))
            continue;
        if (found != NULL) {
            stop(s, SPF_PERMERROR, "there is more than one SPF record");
            return;
        }
        found = r;
    }
    if (found == NULL) {
        no_record(s);
        return;
    }
    const char *why = spf_record_read(&top(s)->record, found->data, found->len, s->arena);
    if (why != NULL)
        stop(s, SPF_PERMERROR, why);
    else
        evaluate(s);
}

static void next_mx(struct spf *s)
{
    if (s->name_at < s->name_count)
        ask(s, STATE_MX_ADDRESS, s->names[s->name_at++], address_type(s));
    else
        next_term(s, false);
}

static void got_mx(struct spf *s, const struct dns_answer *a)
{
    if (a->count > NAMES_MAX) {
        stop(s, SPF_PERMERROR, "too many MX records");
        return;
    }
    if (keep_names(s, a) == 0)
        next_mx(s);
}

/* All names were looked at: what waited for them goes on. */
static void next_name(struct spf *s)
{
    if (s->name_at < s->name_count) {
        ask(s, STATE_NAMES_ADDRESS, s->names[s->name_at++], address_type(s));
        return;
    }
    s->validation_done = true;
    if (s->explaining) {
        explain(s);
        return;
    }
    if (top(s)->at < top(s)->record.count && term(s)->mechanism == SPF_PTR &&
        (term(s)->domain == NULL || !spf_macro_needs_ptr(term(s)->domain))) {
        const char *domain = target(s, term(s)->domain, top(s)->domain);
        if (domain != NULL)
            next_term(s, ptr_matches(s, domain));
        return;
    }
    evaluate(s);
}

static void got_explanation(struct spf *s, const struct dns_answer *a)
{
    done(s);
    if (a->status != DNS_FOUND || a->count != 1 || a->records[0].data == NULL)
        return;
    const char *text = arena_strndup(s->arena, a->records[0].data, a->records[0].len);
    if (text == NULL || strlen(text) != a->records[0].len || !spf_macro_valid(text, true))
        return;
    s->explanation_text = text;
    finish_explanation(s);
}

/* An answer to a term's own question. */
static void got_for_term(struct spf *s, enum state state, const struct dns_answer *a)
{
    if (a->status == DNS_UNKNOWN) {
        stop(s, SPF_TEMPERROR, "a name in an SPF record cannot be looked up now");
        return;
    }
    if (state != STATE_MX_ADDRESS && !count_void(s, a))
        return;
    switch (state) {
    case STATE_MX:
        got_mx(s, a);
        break;
    case STATE_EXISTS:
        next_term(s, a->status == DNS_FOUND);
        break;
    default:
        if (answer_matches(s, a, term_bits(s, term(s))))
            next_term(s, true);
        else if (state == STATE_MX_ADDRESS)
            next_mx(s);
        else
            next_term(s, false);
        break;
    }
}

void spf_answer(struct spf *s, const struct dns_answer *a)
{
    static const struct dns_answer nothing = {.status = DNS_NODATA, .why = ""};
    enum state state = s->state;

    s->question = NULL;
    switch (state) {
    case STATE_DONE:
        break;
    case STATE_RECORD:
        got_record(s, a);
        break;
    case STATE_EXPLANATION:
        got_explanation(s, a);
        break;
    case STATE_NAMES:
        /* A name that cannot be looked up is none (section 5.5). */
        if (keep_names(s, a->status == DNS_FOUND ? a : &nothing) == 0)
            next_name(s);
        break;
    case STATE_NAMES_ADDRESS:
        if (answer_matches(s, a, s->macros.ip.family == 6 ? 128 : 32))
            s->validated[s->validated_count++] = s->names[s->name_at - 1];
        next_name(s);
        break;
    default:
        got_for_term(s, state, a);
        break;
    }
}

/* ---- the whole ---- */

/* Who is asked about: the sender, or postmaster at HELO's name (section 2.4). 0 or -1. */
static int set_identity(struct spf *s, const struct spf_query *q)
{
    struct spf_macros *m = &s->macros;
    const char *at = strrchr(q->sender, '@');

    s->verdict.by_helo = *q->sender == '\0';
    m->helo = arena_strdup(s->arena, q->helo);
    m->receiver = arena_strdup(s->arena, q->receiver);
    m->local = at == NULL || at == q->sender
                   ? "postmaster"
                   : arena_strndup(s->arena, q->sender, (size_t)(at - q->sender));
    m->sender_domain = arena_strdup(s->arena, s->verdict.by_helo ? q->helo
                                              : at != NULL       ? at + 1
                                                                 : q->sender);
    if (m->helo == NULL || m->receiver == NULL || m->local == NULL || m->sender_domain == NULL)
        return -1;
    m->sender = arena_printf(s->arena, "%s@%s", m->local, m->sender_domain);
    return m->sender != NULL ? 0 : -1;
}

struct spf *spf_new(const struct spf_query *q)
{
    struct spf *s = mem_zalloc(sizeof(*s));

    s->arena = arena_new(ARENA_MAX);
    s->verdict = (struct spf_verdict){.domain = "", .mechanism = "", .problem = ""};
    s->lookup_limit = q->lookup_limit > 0 ? q->lookup_limit : LOOKUPS_DEFAULT;
    s->void_limit = q->void_limit > 0 ? q->void_limit : VOIDS_DEFAULT;
    s->macros.ip = q->ip;
    s->macros.now = q->now;
    if (set_identity(s, q) != 0) {
        stop(s, SPF_PERMERROR, "the address is too long");
        return s;
    }
    s->verdict.domain = s->macros.sender_domain;
    if (q->ip.family == 0 || !domain_valid(s->macros.sender_domain))
        stop(s, SPF_NONE, "");
    else
        push_frame(s, s->macros.sender_domain);
    return s;
}

void spf_free(struct spf **s)
{
    if (*s == NULL)
        return;
    arena_free(&(*s)->arena);
    free(*s);
    *s = NULL;
}

bool spf_next(const struct spf *s, const char **name, uint16_t *type)
{
    if (s->state == STATE_DONE)
        return false;
    *name = s->question;
    *type = s->type;
    return true;
}

void spf_verdict(const struct spf *s, struct spf_verdict *out)
{
    *out = s->verdict;
}

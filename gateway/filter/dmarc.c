#include "gateway/filter/dmarc.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/proto/mime.h"

enum {
    AUTHORS_MAX = 50,
    NAME_TEXT_MAX = 253
};

enum state {
    STATE_AUTHOR,       /* the author's own domain is asked for */
    STATE_ORGANISATION, /* that of its owner */
    STATE_DONE
};

struct record {
    enum dmarc_policy policy, subdomains;
    bool strict_dkim, strict_spf;
    unsigned percent;
};

struct dmarc {
    char *author, *organisation; /* the second: "" where there is none */
    char *question;
    enum state state;
    dmarc_organisation organisation_of;
    void *arg;
    struct record record;
    bool found, inherited, unknown, broken;
    bool spf_strict, spf_relaxed, dkim_strict, dkim_relaxed, temporary;
};

const char *dmarc_policy_name(enum dmarc_policy p)
{
    static const char *const names[] = {"none", "quarantine", "reject"};

    return names[p];
}

/* ---- the author ---- */

static bool domain_plain(const char *s)
{
    size_t len = strlen(s);

    if (len == 0 || len > NAME_TEXT_MAX)
        return false;
    for (; *s != '\0'; s++) {
        if ((unsigned char)*s <= ' ' || *s == 0x7f || strchr("\"\\()<>@,;:[]", *s) != NULL)
            return false;
    }
    return true;
}

enum dmarc_author dmarc_author(const struct fields *fields, struct arena *arena,
                               const char **domain)
{
    size_t at = 0;
    const struct header_field *from = fields_next(fields, "From", &at);

    *domain = NULL;
    if (from == NULL)
        return DMARC_AUTHOR_NONE;
    if (fields_next(fields, "From", &at) != NULL)
        return DMARC_AUTHOR_MANY;
    struct mime_address *a = mime_addresses(from->value, from->value_len, AUTHORS_MAX, arena, NULL);
    for (; a != NULL; a = a->next) {
        if (a->host == NULL || !domain_plain(a->host))
            continue;
        char *name = arena_strdup(arena, a->host);
        if (name == NULL)
            return DMARC_AUTHOR_NONE;
        str_lower(name);
        if (name[strlen(name) - 1] == '.')
            name[strlen(name) - 1] = '\0';
        if (*domain != NULL && strcmp(*domain, name) != 0)
            return DMARC_AUTHOR_MANY;
        *domain = name;
    }
    return *domain != NULL ? DMARC_AUTHOR_ONE : DMARC_AUTHOR_NONE;
}

/* ---- the record ---- */

struct dmarc *dmarc_new(const char *author, dmarc_organisation organisation, void *arg)
{
    struct dmarc *d = mem_zalloc(sizeof(*d));
    const char *org = organisation(author, arg);

    d->author = mem_strdup(author);
    d->organisation = mem_strdup(org != NULL ? org : "");
    d->organisation_of = organisation;
    d->arg = arg;
    d->question = mem_printf("_dmarc.%s", author);
    return d;
}

void dmarc_free(struct dmarc **d)
{
    if (*d == NULL)
        return;
    free((*d)->author);
    free((*d)->organisation);
    free((*d)->question);
    free(*d);
    *d = NULL;
}

const char *dmarc_question(const struct dmarc *d)
{
    return d->state == STATE_DONE ? NULL : d->question;
}

static int read_policy(const struct tag *tag, enum dmarc_policy *out)
{
    for (enum dmarc_policy p = DMARC_NONE; p <= DMARC_REJECT; p++) {
        if (tag_is(tag, dmarc_policy_name(p))) {
            *out = p;
            return 0;
        }
    }
    return -1;
}

static bool is_record(const struct dns_record *r)
{
    static const char version[] = "v=DMARC1";
    size_t len = sizeof(version) - 1;

    return r->data != NULL && r->len >= len && memcmp(r->data, version, len) == 0 &&
           (r->len == len || strchr("; \t", r->data[len]) != NULL);
}

/* RFC 7489 section 6.3; section 6.6.3 makes "none" of a policy that is no word. */
static int read_record(struct record *out, const struct dns_record *r)
{
    struct taglist tags;
    const struct tag *t;
    uint64_t n;

    *out = (struct record){.percent = 100};
    if (taglist_parse(&tags, (const char *)r->data, r->len) != 0)
        return -1;
    t = taglist_get(&tags, "p");
    if (t == NULL || read_policy(t, &out->policy) != 0) {
        if (taglist_get(&tags, "rua") == NULL)
            return -1;
        out->policy = DMARC_NONE;
    }
    out->subdomains = out->policy;
    t = taglist_get(&tags, "sp");
    if (t != NULL)
        (void)read_policy(t, &out->subdomains);
    t = taglist_get(&tags, "adkim");
    out->strict_dkim = t != NULL && tag_is(t, "s");
    t = taglist_get(&tags, "aspf");
    out->strict_spf = t != NULL && tag_is(t, "s");
    t = taglist_get(&tags, "pct");
    if (t != NULL && tag_number(t, 100, &n) == 0)
        out->percent = (unsigned)n;
    return 0;
}

/* No record here: the next name, or none. */
static void go_up(struct dmarc *d)
{
    if (d->state == STATE_AUTHOR && *d->organisation != '\0' &&
        strcmp(d->organisation, d->author) != 0) {
        free(d->question);
        d->question = mem_printf("_dmarc.%s", d->organisation);
        d->state = STATE_ORGANISATION;
        d->inherited = true;
    } else {
        d->state = STATE_DONE;
    }
}

void dmarc_answer(struct dmarc *d, const struct dns_answer *a)
{
    const struct dns_record *record = NULL;
    size_t count = 0;

    if (a->status == DNS_UNKNOWN) {
        d->unknown = true;
        d->state = STATE_DONE;
        return;
    }
    for (size_t i = 0; a->status == DNS_FOUND && i < a->count; i++) {
        if (is_record(&a->records[i])) {
            record = &a->records[i];
            count++;
        }
    }
    /* Several records are none (section 6.6.3). */
    if (count != 1) {
        go_up(d);
        return;
    }
    d->found = read_record(&d->record, record) == 0;
    d->broken = !d->found;
    d->state = STATE_DONE;
}

/* ---- alignment (section 3.1) ---- */

static bool same_organisation(const struct dmarc *d, const char *domain)
{
    const char *org = d->organisation_of(domain, d->arg);

    return org != NULL && *d->organisation != '\0' && str_ieq(org, d->organisation);
}

void dmarc_take_spf(struct dmarc *d, const char *domain, bool temporary)
{
    bool strict = str_ieq(domain, d->author);
    bool relaxed = strict || same_organisation(d, domain);

    if (temporary) {
        d->temporary |= relaxed;
        return;
    }
    d->spf_strict |= strict;
    d->spf_relaxed |= relaxed;
}

void dmarc_take_dkim(struct dmarc *d, const char *domain, bool temporary)
{
    bool strict = str_ieq(domain, d->author);
    bool relaxed = strict || same_organisation(d, domain);

    if (temporary) {
        d->temporary |= relaxed;
        return;
    }
    d->dkim_strict |= strict;
    d->dkim_relaxed |= relaxed;
}

void dmarc_result(const struct dmarc *d, unsigned roll, struct dmarc_result *out)
{
    *out = (struct dmarc_result){.result = AUTH_NONE, .reason = ""};
    if (d->unknown) {
        out->result = AUTH_TEMPERROR;
        out->reason = "the policy cannot be looked up now";
        return;
    }
    if (d->broken) {
        out->result = AUTH_PERMERROR;
        out->reason = "the policy record is malformed";
        return;
    }
    if (!d->found)
        return;
    out->published = d->inherited ? d->record.subdomains : d->record.policy;
    if ((d->record.strict_spf ? d->spf_strict : d->spf_relaxed) ||
        (d->record.strict_dkim ? d->dkim_strict : d->dkim_relaxed)) {
        out->result = AUTH_PASS;
        return;
    }
    if (d->temporary) {
        out->result = AUTH_TEMPERROR;
        out->reason = "SPF or DKIM cannot be judged now";
        return;
    }
    out->result = AUTH_FAIL;
    out->wanted = out->published;
    /* The rest of the hundred gets the next weaker policy (section 6.6.4). */
    if (out->wanted != DMARC_NONE && roll >= d->record.percent)
        out->wanted--;
}

/* Whose keys a message is signed and sealed with: those that the author's domain entry names. */
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/filter/filter.h"

/* "SELECTOR NAME" or "SELECTOR", whose key is DOMAIN.SELECTOR. */
static int read_value(struct job *job, const char *domain, const char *value, const char *dn,
                      struct signer *out)
{
    size_t len = strcspn(value, " ");
    const char *name = value + len + strspn(value + len, " ");

    out->domain = arena_strdup(job->arena, domain);
    out->selector = arena_strndup(job->arena, value, len);
    if (*name == '\0')
        name = arena_printf(job->arena, "%s.%s", domain, out->selector);
    if (out->domain == NULL || out->selector == NULL || name == NULL)
        return -1;
    out->key = keyring_find(job->filter->keys, name);
    if (out->key != NULL)
        return 0;
    log_error("a domain names a key that is not there; put it into dkim_key_directory and reload",
              LOG_STR("id", job->request.id), LOG_STR("domain", domain), LOG_STR("key", name),
              LOG_STR("dn", dn));
    return -1;
}

static int defer(struct job *job, const char *text)
{
    job->result = (struct filter_result){.verdict = FILTER_DEFER, .text = text};
    return -1;
}

static int read_entry(struct job *job, const struct entry *e)
{
    size_t count = entry_count(e, ATTR_DKIM_KEY);

    for (size_t i = 0; i < count && job->signer_count < SIGNERS_MAX; i++) {
        if (read_value(job, job->author, entry_value(e, ATTR_DKIM_KEY, i), entry_dn(e),
                       &job->signers[job->signer_count]) != 0)
            return defer(job, "A key for signing is not available");
        job->signer_count++;
    }
    return 0;
}

static enum canon header_canon(const struct conf *conf)
{
    return strncmp(conf->dkim_canonicalization, "simple", 6) == 0 ? CANON_SIMPLE : CANON_RELAXED;
}

static enum canon body_canon(const struct conf *conf)
{
    return strcmp(strchr(conf->dkim_canonicalization, '/') + 1, "simple") == 0 ? CANON_SIMPLE
                                                                               : CANON_RELAXED;
}

static struct dkim_signing how(const struct job *job, const struct signer *s)
{
    const struct conf *conf = job->filter->conf;

    return (struct dkim_signing){.key = s->key,
                                 .domain = s->domain,
                                 .selector = s->selector,
                                 .header = header_canon(conf),
                                 .body = body_canon(conf),
                                 .names = (const char *const *)conf->dkim_sign_headers.v,
                                 .oversign = (const char *const *)conf->dkim_oversign_headers.v,
                                 .now = job->now,
                                 .ttl = conf->dkim_signature_ttl / 1000};
}

int signing_find(struct job *job)
{
    struct snapshot *snap;
    const struct entry *e = NULL;
    int rc = 0;

    if (job->author == NULL)
        return 0;
    snap = snapshot_take(job->filter->directory);
    enum answer answer = snap != NULL ? directory_domain(snap, job->author, &e) : ANSWER_UNKNOWN;
    if (answer == ANSWER_UNKNOWN)
        rc = defer(job, "Temporary lookup failure");
    else if (answer == ANSWER_FOUND && e != NULL)
        rc = read_entry(job, e);
    snapshot_release(&snap);
    if (rc == 0 && job->signer_count > 0) {
        const struct dkim_signing first = how(job, &job->signers[0]);
        job->sign_form = dkim_sign_want(&first, job->hashes);
    }
    return rc;
}

int signing_put(struct job *job)
{
    int rc = 0;

    for (size_t i = 0; i < job->signer_count && rc == 0; i++) {
        const struct dkim_signing h = how(job, &job->signers[i]);
        rc = dkim_sign(&h, &job->fields, job->hashes, job->sign_form, &job->added);
        if (rc == 0)
            log_info("message signed", LOG_STR("id", job->request.id), LOG_STR("domain", h.domain),
                     LOG_STR("selector", h.selector));
    }
    if (rc == 0)
        job->filter->signed_messages++;
    return rc;
}

/* The first RSA key: verifiers of ARC know no other (RFC 8617 section 4.1.1). */
static void choose_sealer(struct job *job, const char *domain, const struct entry *e)
{
    for (size_t i = 0; i < entry_count(e, ATTR_DKIM_KEY) && job->sealer.key == NULL; i++) {
        if (read_value(job, domain, entry_value(e, ATTR_DKIM_KEY, i), entry_dn(e), &job->sealer) !=
                0 ||
            private_key_type(job->sealer.key) != KEY_RSA)
            job->sealer.key = NULL;
    }
}

void sealing_find(struct job *job)
{
    const char *domain = job->filter->conf->arc_seal_domain;
    const struct entry *e = NULL;
    struct snapshot *snap;

    if (*domain == '\0' || (snap = snapshot_take(job->filter->directory)) == NULL)
        return;
    /* Without a key the message goes on unsealed: a seal is a help, no duty. */
    if (directory_domain(snap, domain, &e) == ANSWER_FOUND && e != NULL)
        choose_sealer(job, domain, e);
    snapshot_release(&snap);
    if (job->sealer.key != NULL)
        job->seal_form = arc_seal_want(job->hashes);
}

int sealing_put(struct job *job, const char *results)
{
    const struct conf *conf = job->filter->conf;

    if (job->sealer.key == NULL || job->seal_form < 0)
        return 0;
    const struct arc_sealing seal = {.key = job->sealer.key,
                                     .domain = job->sealer.domain,
                                     .selector = job->sealer.selector,
                                     .names = (const char *const *)conf->dkim_sign_headers.v,
                                     .oversign = (const char *const *)conf->dkim_oversign_headers.v,
                                     .now = job->now,
                                     .results = results};
    int rc = arc_seal(&seal, job->arc, &job->fields, job->hashes, job->seal_form, &job->added);
    return rc < 0 ? -1 : 0;
}

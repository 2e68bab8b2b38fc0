/* From what the engines say to header fields and a verdict. */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/base/str.h"
#include "gateway/filter/filter.h"

/* ---- DMARC ---- */

static void tell_dmarc(struct job *job)
{
    struct spf_verdict spf;
    struct dkim_result dkim;

    spf_verdict(job->spf, &spf);
    if (spf.result == SPF_PASS || spf.result == SPF_TEMPERROR)
        dmarc_take_spf(job->dmarc, spf.domain, spf.result == SPF_TEMPERROR);
    for (size_t i = 0; i < dkim_count(job->dkim); i++) {
        dkim_result(job->dkim, i, &dkim);
        if (dkim.result == AUTH_PASS || dkim.result == AUTH_TEMPERROR)
            dmarc_take_dkim(job->dmarc, dkim.domain, dkim.result == AUTH_TEMPERROR);
    }
}

static enum dmarc_policy policy_word(const char *word)
{
    return str_ieq(word, "reject")       ? DMARC_REJECT
           : str_ieq(word, "quarantine") ? DMARC_QUARANTINE
                                         : DMARC_NONE;
}

/* The most that is done to this message: the least of what its recipients' domains say, so that
 * nobody loses mail by another domain's choice. Without a directory, what the parameter says. */
static enum dmarc_policy strongest_action(const struct job *job)
{
    const struct filter *f = job->filter;
    enum dmarc_policy by_conf = policy_word(f->conf->dmarc_action), most = DMARC_REJECT;
    struct snapshot *snap = snapshot_take(f->directory);
    const struct entry *e;

    for (size_t i = 0; i < job->request.domain_count; i++) {
        enum dmarc_policy here = by_conf;
        if (snap != NULL && directory_domain(snap, job->request.domains[i], &e) == ANSWER_FOUND &&
            e != NULL && entry_count(e, ATTR_DMARC_ACTION) > 0)
            here = policy_word(entry_value(e, ATTR_DMARC_ACTION, 0));
        if (here < most)
            most = here;
    }
    snapshot_release(&snap);
    return job->request.domain_count > 0 ? most : by_conf;
}

/* A sealer that we trust has seen the message pass DMARC (RFC 8617 section 7.2.2). */
static bool sealed_by_trusted(const struct job *job)
{
    struct arc_result arc;

    if (job->arc == NULL)
        return false;
    arc_result(job->arc, &arc);
    if (arc.result != AUTH_PASS ||
        memmem(arc.results, arc.results_len, "dmarc=pass", strlen("dmarc=pass")) == NULL)
        return false;
    for (size_t i = 0; i < job->filter->conf->arc_trusted_sealers.n; i++) {
        if (str_ieq(job->filter->conf->arc_trusted_sealers.v[i], arc.sealer))
            return true;
    }
    return false;
}

static void set_verdict(struct job *job, enum dmarc_policy action)
{
    const char *who = job->author != NULL ? job->author : "the author";

    if (action == DMARC_REJECT) {
        job->result.verdict = FILTER_REJECT;
        job->result.text = arena_printf(job->arena, "Rejected by the DMARC policy of %.200s", who);
        job->filter->rejected++;
    } else if (action == DMARC_QUARANTINE) {
        job->result.verdict = FILTER_HOLD;
        job->result.text = arena_printf(job->arena, "DMARC policy of %.200s", who);
        job->filter->held++;
    }
    if (job->result.text == NULL)
        job->result.text = "DMARC policy";
}

static void decide_dmarc(struct job *job, struct authres *out)
{
    struct dmarc_result r = {.result = AUTH_NONE, .reason = ""};
    const char *override = NULL;
    enum dmarc_policy action, most;

    if (job->authors == DMARC_AUTHOR_MANY) {
        /* Whatever a reader takes for the author could be forged (RFC 7489 section 6.6.1). */
        r.result = AUTH_PERMERROR;
        r.reason = "more than one author domain";
        r.wanted = DMARC_REJECT;
    } else if (job->dmarc != NULL) {
        tell_dmarc(job);
        dmarc_result(job->dmarc, arc4random_uniform(100), &r);
    }
    action = r.wanted;
    if (action != DMARC_NONE && sealed_by_trusted(job)) {
        action = DMARC_NONE;
        override = "trusted ARC sealer";
    } else if (action != DMARC_NONE) {
        most = strongest_action(job);
        if (most < action) {
            action = most;
            override = "local policy";
        }
    }
    set_verdict(job, action);
    authres_dmarc(out, &r, job->author, dmarc_policy_name(action), override);
    log_info("dmarc", LOG_STR("id", job->request.id), LOG_STR("from", job->author),
             LOG_STR("result", auth_result_name(r.result)),
             LOG_STR("policy", dmarc_policy_name(r.published)),
             LOG_STR("action", dmarc_policy_name(action)), LOG_STR("override", override),
             LOG_STR("reason", r.reason));
}

/* ---- the others ---- */

static void report_spf(struct job *job, struct authres *out)
{
    struct spf_verdict v;

    spf_verdict(job->spf, &v);
    authres_spf(out, &v, job->request.sender, job->request.helo);
    log_info("spf", LOG_STR("id", job->request.id), LOG_STR("domain", v.domain),
             LOG_STR("result", spf_result_name(v.result)), LOG_STR("mechanism", v.mechanism),
             LOG_STR("reason", v.problem));
}

static void report_dkim(struct job *job, struct authres *out)
{
    struct dkim_result r;

    if (dkim_count(job->dkim) == 0)
        authres_no_dkim(out);
    for (size_t i = 0; i < dkim_count(job->dkim); i++) {
        dkim_result(job->dkim, i, &r);
        authres_dkim(out, &r);
        log_info("dkim", LOG_STR("id", job->request.id), LOG_STR("domain", r.domain),
                 LOG_STR("selector", r.selector), LOG_STR("result", auth_result_name(r.result)),
                 LOG_STR("reason", r.reason));
    }
    if (dkim_ignored(job->dkim) > 0)
        log_info("dkim signatures ignored", LOG_STR("id", job->request.id),
                 LOG_UINT("count", dkim_ignored(job->dkim)));
}

static void report_arc(struct job *job, struct authres *out)
{
    struct arc_result r;

    arc_result(job->arc, &r);
    authres_arc(out, &r);
    if (r.result != AUTH_NONE)
        log_info("arc", LOG_STR("id", job->request.id),
                 LOG_STR("result", auth_result_name(r.result)), LOG_UINT("sets", r.instances),
                 LOG_STR("sealer", r.sealer), LOG_STR("reason", r.reason));
}

static int report(struct job *job)
{
    const struct filter *f = job->filter;
    struct authres out;
    int rc;

    authres_begin(&out, f->conf->authserv_id);
    if (f->spf)
        report_spf(job, &out);
    if (f->dkim)
        report_dkim(job, &out);
    if (f->arc)
        report_arc(job, &out);
    if (f->dmarc)
        decide_dmarc(job, &out);
    rc = sealing_put(job, authres_text(&out));
    if (rc == 0)
        rc = buf_printf(&job->added, "Authentication-Results: %s\r\n", authres_text(&out));
    authres_free(&out);
    return rc;
}

void decide(struct job *job)
{
    int rc = 0;

    if (job->request.flags & FILTER_VERIFY)
        rc = report(job);
    if (rc == 0 && job->signer_count > 0)
        rc = signing_put(job);
    if (rc == 0)
        return;
    log_error("header fields cannot be made", LOG_STR("id", job->request.id));
    job->result = (struct filter_result){.verdict = FILTER_DEFER, .text = "Filtering failed"};
}

int decide_head(const struct job *job, struct buf *out)
{
    const char *head = (const char *)job->head.data;
    const struct filter_request *r = &job->request;
    bool verify = r->flags & FILTER_VERIFY;
    int rc = buf_append(out, head, r->insert_at);

    if (rc == 0)
        rc = buf_append(out, job->added.data != NULL ? (const char *)job->added.data : "",
                        job->added.len);
    if (rc == 0)
        rc = buf_append(out, head + r->insert_at, r->message_at - r->insert_at);
    size_t end = r->message_at;
    for (size_t i = 0; rc == 0 && i < job->fields.count; i++) {
        const struct header_field *f = &job->fields.v[i];
        end = r->message_at + (size_t)f->offset + f->raw_len;
        if (!verify || !authres_claims(f, job->filter->conf->authserv_id))
            rc = buf_append(out, f->raw, f->raw_len);
    }
    /* The empty line. */
    return rc == 0 ? buf_append(out, head + end, job->head.len - end) : -1;
}

#include "gateway/smtp/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "directory/list_policy.h"
#include "directory/send_as.h"
#include "gateway/base/log.h"
#include "gateway/base/str.h"
#include "gateway/proto/idn.h"
#include "gateway/smtp/dnsl.h"
#include "gateway/smtp/limits.h"
#include "gateway/smtp/policy_client.h"

/* What one evaluation and one resolution may use. */
#define SCRATCH_MAX ((size_t)32 << 20)

static const enum entry_attr stage_attrs[STAGE_COUNT] = {
    [STAGE_CLIENT] = ATTR_CLIENT_RESTRICTIONS,           [STAGE_HELO] = ATTR_HELO_RESTRICTIONS,
    [STAGE_SENDER] = ATTR_SENDER_RESTRICTIONS,           [STAGE_RELAY] = ATTR_RELAY_RESTRICTIONS,
    [STAGE_RECIPIENT] = ATTR_RECIPIENT_RESTRICTIONS,     [STAGE_DATA] = ATTR_DATA_RESTRICTIONS,
    [STAGE_END_OF_DATA] = ATTR_END_OF_DATA_RESTRICTIONS, [STAGE_ETRN] = ATTR_ETRN_RESTRICTIONS,
};

bool result_refuses(const struct restriction_result *r)
{
    return r->verdict == VERDICT_REJECT || r->verdict == VERDICT_DEFER;
}

/* ---- what evaluations share ---- */

static void memo_clear(struct dns_memo *memo)
{
    free(memo->name);
    free(memo->data);
    *memo = (struct dns_memo){.name = NULL};
}

int evaluator_init(struct evaluator *by, const struct conf *conf, char **error)
{
    const struct conf_list *list = &conf->mynetworks;

    *by = (struct evaluator){
        .conf = conf, .lists = restriction_cache_new(), .dnsl = dnsl_health_new()};
    by->networks = mem_zalloc((list->n + 1) * sizeof(*by->networks));
    for (size_t i = 0; i < list->n; i++) {
        if (netaddr_prefix_parse(&by->networks[i], list->v[i]) != 0) {
            *error = mem_printf("mynetworks: %s is not a network", list->v[i]);
            evaluator_release(by);
            return -1;
        }
        by->network_count++;
    }
    return 0;
}

void evaluator_release(struct evaluator *by)
{
    restriction_cache_free(&by->lists);
    dnsl_health_free(&by->dnsl);
    free(by->networks);
    by->networks = NULL;
    by->network_count = 0;
}

bool evaluator_trusts(const struct evaluator *by, const struct netaddr *addr)
{
    for (size_t i = 0; i < by->network_count; i++)
        if (netaddr_prefix_contains(&by->networks[i], addr))
            return true;
    return false;
}

void evaluator_address(const struct evaluator *by, const struct smtp_address *given,
                       struct arena *arena, struct restriction_address *out)
{
    *out =
        (struct restriction_address){.given = given, .full = given->text, .domain = given->domain};
    char ascii[SMTP_DOMAIN_MAX + 1];
    if (given->utf8 && idn_to_ascii(ascii, sizeof(ascii), given->domain) == 0) {
        const char *domain = arena_strdup(arena, ascii); /* as DNS and the directory know it */
        out->domain = domain != NULL ? domain : out->domain;
    }
    if (given->text[0] == '\0' || given->domain[0] != '\0')
        return;
    /* Bounded: an address was parsed into the same arena before. */
    out->full = arena_printf(arena, "%s@%s", given->text, by->conf->myorigin);
    if (out->full == NULL)
        out->full = given->text;
    else
        out->domain = out->full + given->local_len + 1;
}

unsigned evaluator_rcpt_stages(const struct evaluator *by, bool submission)
{
    unsigned all = 1u << STAGE_RELAY;

    /* Where a login comes from is no matter. */
    if (submission)
        return all | 1u << STAGE_SENDER | 1u << STAGE_RECIPIENT;
    all |= 1u << STAGE_RECIPIENT;
    if (by->conf->smtpd_delay_reject)
        all |= 1u << STAGE_CLIENT | 1u << STAGE_HELO | 1u << STAGE_SENDER;
    return all;
}

struct evaluation *evaluation_new(const struct evaluator *by, void *owner)
{
    struct evaluation *e = mem_zalloc(sizeof(*e));

    e->by = by;
    e->owner = owner;
    e->scratch = arena_new(SCRATCH_MAX);
    return e;
}

void evaluation_begin(struct evaluation *e)
{
    restriction_run_end(&e->run);
    arena_reset(e->scratch);
}

void evaluation_free(struct evaluation **ep)
{
    struct evaluation *e = *ep;

    *ep = NULL;
    if (e == NULL)
        return;
    if (e->dns_id != 0)
        dns_cancel(e->by->dns, e->dns_id);
    if (e->policy != NULL)
        policy_cancel(e->policy);
    free(e->action);
    restriction_run_end(&e->run);
    snapshot_release(&e->snap);
    for (size_t i = 0; e->memo != NULL && i < DNS_MEMO_MAX; i++)
        memo_clear(&e->memo[i]);
    free(e->memo);
    arena_free(&e->scratch);
    free(e);
}

/* ---- what restrictions ask for ---- */

static enum answer ask_domain(void *arg, const char *domain)
{
    struct evaluation *e = arg;
    const struct entry *entry;

    if (e->snap == NULL)
        return ANSWER_UNKNOWN;
    return directory_domain(e->snap, domain, &entry);
}

const struct resolution *evaluation_recipient(struct evaluation *e)
{
    if (!e->resolved) {
        e->recipient =
            (struct resolution){.answer = ANSWER_UNKNOWN, .reason = "the replica cannot be read"};
        if (e->snap != NULL)
            resolve_recipient(e->snap, e->facts.recipient.full, e->with_steps, e->scratch,
                              &e->recipient);
        e->resolved = true;
    }
    return &e->recipient;
}

static enum answer ask_listed(void *arg, const char *address, bool *disabled)
{
    struct evaluation *e = arg;
    struct resolution other = {.answer = ANSWER_UNKNOWN};
    const struct resolution *res = &other;

    if (address == e->facts.recipient.full)
        res = evaluation_recipient(e);
    else if (e->snap != NULL)
        resolve_recipient(e->snap, address, false, e->scratch, &other);
    *disabled = res->disabled;
    return res->answer;
}

static void go_on(struct evaluation *e);

/* Copies of the addresses in an answer. */
static void keep_addresses(struct dns_memo *memo, const struct dns_answer *answer)
{
    struct netaddr *v = mem_zalloc(RESTRICTION_DNS_MAX * sizeof(*v));
    size_t size = memo->type == DNS_TYPE_A ? 4 : 16;

    memo->data = v;
    memo->answer.addresses = v;
    for (size_t i = 0; i < answer->count && memo->answer.count < RESTRICTION_DNS_MAX; i++) {
        const struct dns_record *r = &answer->records[i];
        if (r->len != size)
            continue;
        struct netaddr *a = &v[memo->answer.count++];
        a->family = size == 4 ? 4 : 6;
        memcpy(a->bytes, r->data, size);
    }
}

/* Copies of the names in an answer: the pointers, then the texts. */
static void keep_names(struct dns_memo *memo, const struct dns_answer *answer)
{
    size_t n = answer->count < RESTRICTION_DNS_MAX ? answer->count : RESTRICTION_DNS_MAX;
    const char **v = mem_zalloc(n * (sizeof(*v) + DNS_NAME_MAX));
    char *text = (char *)(v + n);

    memo->data = v;
    memo->answer.names = v;
    for (size_t i = 0; i < n; i++) {
        if (answer->records[i].name == NULL)
            continue;
        v[memo->answer.count++] = text;
        text += snprintf(text, DNS_NAME_MAX, "%s", answer->records[i].name) + 1;
    }
}

static void keep_answer(struct dns_memo *memo, const struct dns_answer *answer)
{
    memo->known = true;
    memo->answer.status = answer->status;
    if (answer->status != DNS_FOUND)
        return;
    switch (memo->type) {
    case DNS_TYPE_MX:
        memo->answer.null_mx = answer->count == 1 && answer->records[0].name != NULL &&
                               answer->records[0].name[0] == '\0';
        break;
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        keep_addresses(memo, answer);
        break;
    case DNS_TYPE_PTR:
        keep_names(memo, answer);
        break;
    case DNS_TYPE_TXT:
        memo->data = mem_strndup(answer->records[0].data, answer->records[0].len);
        memo->answer.text = memo->data;
        break;
    default:
        break;
    }
}

static void dns_answered(const struct dns_answer *answer, void *arg)
{
    struct evaluation *e = arg;
    struct dns_memo *memo = e->asked;

    e->dns_id = 0;
    keep_answer(memo, answer);
    if (answer->status == DNS_UNKNOWN)
        log_info("DNS cannot tell", LOG_STR("id", e->facts.id), LOG_STR("name", memo->name),
                 LOG_UINT("type", memo->type), LOG_STR("why", answer->why));
    go_on(e);
}

static bool ask_dns(void *arg, const char *name, uint16_t type, struct restriction_dns *out)
{
    struct evaluation *e = arg;

    if (e->memo == NULL)
        e->memo = mem_zalloc(DNS_MEMO_MAX * sizeof(*e->memo));
    for (size_t i = 0; i < DNS_MEMO_MAX; i++) {
        const struct dns_memo *m = &e->memo[i];
        if (m->known && m->type == type && str_ieq(m->name, name)) {
            *out = m->answer;
            return true;
        }
    }
    if (e->questions++ == DNS_QUESTIONS_MAX) {
        e->questions--;
        *out = (struct restriction_dns){.status = DNS_UNKNOWN};
        return true;
    }
    struct dns_memo *memo = &e->memo[e->memo_next++ % DNS_MEMO_MAX];
    memo_clear(memo);
    *memo = (struct dns_memo){.name = mem_strdup(name), .type = type};
    e->asked = memo;
    e->dns_id = dns_query(e->by->dns, name, type, dns_answered, e);
    return false;
}

static enum answer ask_send_as(void *arg, const char *address, bool *owned, const char **dn)
{
    struct evaluation *e = arg;
    struct send_right right;

    *owned = false;
    *dn = NULL;
    if (e->snap == NULL)
        return ANSWER_UNKNOWN;
    enum answer answer = may_send_as(e->snap, e->login_owner, address, e->scratch, &right);
    *owned = right.owned;
    if (right.dn != NULL) /* the run may outlive the snapshot */
        *dn = arena_strdup(e->scratch, right.dn);
    return answer;
}

/* What was found, with its DN where the run outlives the snapshot. */
static enum answer keep_text(struct evaluation *e, enum answer answer, const struct access *a,
                             struct restriction_text *out)
{
    out->text = a->action;
    out->dn = a->dn != NULL ? arena_strdup(e->scratch, a->dn) : NULL;
    return answer;
}

static enum answer ask_access(void *arg, const char *table, enum access_subject subject,
                              const char *key, struct restriction_text *out)
{
    struct evaluation *e = arg;
    struct access a = {.action = NULL};
    enum answer answer = ANSWER_UNKNOWN;

    if (e->snap == NULL)
        return keep_text(e, ANSWER_UNKNOWN, &a, out);
    switch (subject) {
    case ACCESS_CLIENT:
        answer = access_network(e->snap, table, &e->facts.client, &a);
        break;
    case ACCESS_ANY_DOMAIN:
        answer = access_has_domains(e->snap, table);
        break;
    case ACCESS_DOMAIN:
        answer = access_domain(e->snap, table, key, &a);
        break;
    case ACCESS_CERTIFICATE:
        answer = access_certificate(e->snap, table, key, &a);
        break;
    case ACCESS_ADDRESS:
        answer = access_address(e->snap, table, key, &a);
        break;
    }
    return keep_text(e, answer, &a, out);
}

static enum answer ask_class(void *arg, const char *name, struct restriction_text *out)
{
    struct evaluation *e = arg;
    struct access a = {.action = NULL};
    enum answer answer = e->snap != NULL ? access_class(e->snap, name, &a) : ANSWER_UNKNOWN;

    return keep_text(e, answer, &a, out);
}

static enum answer ask_partner(void *arg, struct restriction_partner *out)
{
    struct evaluation *e = arg;
    struct access a = {.action = NULL};

    if (e->snap == NULL)
        return ANSWER_UNKNOWN;
    enum answer answer = partner_find(e->snap, e->facts.sender.domain, &e->facts.client, &a);
    out->dn = a.dn != NULL ? arena_strdup(e->scratch, a.dn) : NULL;
    if (answer != ANSWER_FOUND)
        return answer;
    out->level = a.action;
    out->ca = entry_value(a.entry, ATTR_PARTNER_CA, 0);
    const char *print;
    while (out->fingerprint_count < RESTRICTION_PRINTS_MAX &&
           (print = entry_value(a.entry, ATTR_PARTNER_CERTIFICATE, out->fingerprint_count)) != NULL)
        out->fingerprints[out->fingerprint_count++] = print;
    return answer;
}

static void policy_answered(const char *action, void *arg)
{
    struct evaluation *e = arg;

    e->policy = NULL;
    e->policy_known = true;
    e->action = action != NULL ? mem_strdup(action) : NULL;
    go_on(e);
}

/* The restriction that asked is the next one that asks: it gets the answer. */
static bool ask_policy(void *arg, const char *service, enum restriction_stage stage,
                       const char **action)
{
    struct evaluation *e = arg;
    struct buf request = {0};

    *action = e->by->policy != NULL ? e->action : "DUNNO";
    if (e->policy_known || e->by->policy == NULL) {
        e->policy_known = false;
        return true;
    }
    free(e->action);
    *action = e->action = NULL;
    policy_request(&e->facts, stage, &request);
    e->policy = policy_ask(e->by->policy, service, request.data, request.len, policy_answered, e);
    buf_free(&request);
    return e->policy == NULL;
}

static bool ask_rate(void *arg, const char *key, unsigned n, int64_t ms)
{
    struct evaluation *e = arg;

    return e->by->limits == NULL || limits_rate(e->by->limits, key, n, ms);
}

static bool ask_greylist(void *arg, int64_t *wait_s)
{
    struct evaluation *e = arg;
    const struct restriction_facts *f = &e->facts;

    *wait_s = 0;
    return e->by->limits == NULL ||
           limits_greylist(e->by->limits, &f->client, f->sender.full, f->recipient.full, wait_s);
}

static const struct restriction_ops ops = {
    .domain = ask_domain,
    .listed = ask_listed,
    .dns = ask_dns,
    .send_as = ask_send_as,
    .access = ask_access,
    .class = ask_class,
    .partner = ask_partner,
    .policy = ask_policy,
    .rate = ask_rate,
    .greylist = ask_greylist,
};

/* ---- lists ---- */

static void set_failure(struct restriction_result *r, const char *status, const char *text,
                        const char *restriction, const char *dn)
{
    *r = (struct restriction_result){
        .verdict = VERDICT_DEFER, .code = 451, .restriction = restriction, .dn = dn};
    snprintf(r->status, sizeof(r->status), "%s", status);
    snprintf(r->text, sizeof(r->text), "%s", text);
}

static enum answer find_text(struct evaluation *e, enum restriction_stage stage,
                             const char *recipient, const char **text, const char **dn)
{
    *dn = NULL;
    if (e->submission && (stage == STAGE_RELAY || stage == STAGE_SENDER)) {
        *text = conf_text(e->by->conf, stage == STAGE_RELAY ? "submission_relay_restrictions"
                                                            : "submission_sender_restrictions");
        return ANSWER_FOUND;
    }
    if (e->snap == NULL)
        return ANSWER_UNKNOWN;
    return policy_restrictions(e->snap, recipient, stage_attrs[stage], e->scratch, text, dn);
}

struct restriction_list *evaluation_list(struct evaluation *e, enum restriction_stage stage,
                                         const char *recipient, const char **dn,
                                         struct restriction_result *r)
{
    const char *text = "";
    char *error = NULL;

    /* "absent" means that nobody has such a list: an empty one. */
    enum answer answer = find_text(e, stage, recipient, &text, dn);
    /* The run may outlive the snapshot that the name is in. */
    if (*dn != NULL)
        *dn = arena_strdup(e->scratch, *dn);
    if (answer == ANSWER_UNKNOWN) {
        set_failure(r, "4.4.3", "Temporary lookup failure", restriction_stage_name(stage), *dn);
        return NULL;
    }
    struct restriction_list *list =
        restriction_cache_get(e->by->lists, text != NULL ? text : "", stage, &error);
    if (list == NULL) {
        log_error("restriction list is wrong", LOG_STR("policy", *dn != NULL ? *dn : "dirigo.conf"),
                  LOG_STR("list", restriction_stage_name(stage)), LOG_STR("error", error));
        free(error);
        set_failure(r, "4.3.5", "Server configuration error", restriction_stage_name(stage), *dn);
    }
    return list;
}

/* ---- evaluation ---- */

/* Runs until the verdict, or until something is asked for. */
static void go_on(struct evaluation *e)
{
    if (e->snap == NULL)
        e->snap = snapshot_take(e->by->directory);
    if (!restriction_run_go(&e->run)) {
        evaluation_rest(e);
        e->wait(e->owner);
        return;
    }
    e->done(e->owner, &e->run.result);
}

void evaluation_rest(struct evaluation *e)
{
    e->resolved = false;
    snapshot_release(&e->snap);
}

static void init_run(struct evaluation *e)
{
    restriction_run_init(&e->run, e->by->conf, &e->facts, &ops, e);
    e->run.lists_health = e->by->dnsl;
    e->run.lists = e->by->lists;
    e->questions = 0;
    e->run.trace = e->trace;
    e->run.trace_arg = e->owner;
}

/* Where there are partners, what was agreed on with them comes before all lists. */
static void add_partners(struct evaluation *e)
{
    char *error = NULL;

    if (e->submission || e->facts.trusted || e->facts.login != NULL ||
        e->facts.recipient.given == NULL || e->snap == NULL || !partner_anywhere(e->snap))
        return;
    struct restriction_list *list =
        restriction_cache_get(e->by->lists, "reject_partner_mismatch", STAGE_SENDER, &error);
    free(error);
    if (list != NULL)
        restriction_run_add(&e->run, STAGE_SENDER, list, NULL);
}

void evaluation_run(struct evaluation *e, unsigned stages)
{
    struct restriction_result failure;

    init_run(e);
    e->snap = snapshot_take(e->by->directory);
    add_partners(e);
    for (enum restriction_stage stage = 0; stage < STAGE_COUNT; stage++) {
        const char *dn;
        if (!(stages & 1u << stage))
            continue;
        struct restriction_list *list =
            evaluation_list(e, stage, e->facts.recipient.full, &dn, &failure);
        if (list == NULL) {
            e->done(e->owner, &failure);
            return;
        }
        restriction_run_add(&e->run, stage, list, dn);
    }
    go_on(e);
}

bool evaluation_has_lists(struct evaluation *e, enum restriction_stage stage)
{
    if (e->snap == NULL)
        e->snap = snapshot_take(e->by->directory);
    return e->snap == NULL || policy_anywhere(e->snap, stage_attrs[stage]);
}

void evaluation_run_lists(struct evaluation *e, const struct restriction_step *steps, size_t n)
{
    init_run(e);
    for (size_t i = 0; i < n; i++)
        restriction_run_add(&e->run, steps[i].stage, restriction_list_ref(steps[i].list),
                            steps[i].dn);
    go_on(e);
}

/* ---- the last word ---- */

static bool refuse_as(const struct evaluation *e, struct restriction_result *r, int64_t code,
                      const char *status, const char *text, const char *restriction)
{
    *r = (struct restriction_result){
        .verdict = code < 500 ? VERDICT_DEFER : VERDICT_REJECT,
        .code = (unsigned)code,
        .restriction = restriction,
        .dn = e->recipient.dn != NULL ? e->recipient.dn : "directory",
    };
    snprintf(r->status, sizeof(r->status), "%c%s", code < 500 ? '4' : '5', status + 1);
    snprintf(r->text, sizeof(r->text), "<%.300s>: %s", e->facts.recipient.given->text, text);
    for (char *c = r->text; *c != '\0'; c++) /* an entry may say anything */
        if (*c < ' ' || *c > '~')
            *c = '?';
    return false;
}

/* What groups say that the recipient leads to. False: the refusal is in *r. */
static bool lists_accept(struct evaluation *e, struct restriction_result *r)
{
    const struct resolution *res = evaluation_recipient(e);
    const char *sender = e->facts.sender.full;
    const struct list_sender from = {
        .address = sender != NULL ? sender : "", .login = e->login_owner, .size = e->facts.size};
    e->list = (struct list_outcome){.moderated = NULL};
    for (size_t i = 0; i < res->list_count; i++) {
        struct list_decision said;
        list_policy(e->snap, res->lists[i], &from, e->scratch, &said);
        const char *dn = arena_strdup(e->scratch, said.dn);
        if (said.verdict == LIST_UNKNOWN)
            refuse_as(e, r, 451, "4.4.3", "Recipient address rejected: Temporary lookup failure",
                      said.rule);
        else if (said.verdict == LIST_REFUSES)
            refuse_as(e, r, said.code, said.status, said.text, said.rule);
        if (said.verdict == LIST_UNKNOWN || said.verdict == LIST_REFUSES) {
            r->dn = dn;
            return false;
        }
        if (said.verdict == LIST_MODERATES && e->list.moderated == NULL)
            e->list.moderated = dn;
        if (said.errors_to != NULL && e->list.errors_to == NULL)
            e->list.errors_to = arena_strdup(e->scratch, said.errors_to);
        if (said.max_size > 0 && (e->list.max_size == 0 || said.max_size < e->list.max_size))
            e->list.max_size = said.max_size;
    }
    return true;
}

bool evaluation_accepts(struct evaluation *e, struct restriction_result *r, const char **reason)
{
    const struct resolution *res = evaluation_recipient(e);
    const struct conf *conf = e->by->conf;

    *reason = res->reason;
    if (res->answer == ANSWER_ABSENT)
        return refuse_as(e, r, conf->unknown_local_recipient_reject_code,
                         res->disabled ? "5.2.1" : "5.1.1",
                         res->disabled ? "Recipient address rejected: Mailbox disabled"
                                       : "Recipient address rejected: User unknown",
                         "reject_unlisted_recipient");
    if (res->answer != ANSWER_FOUND)
        return refuse_as(e, r, 451, "4.4.3", "Recipient address rejected: Temporary lookup failure",
                         "reject_unlisted_recipient");
    /*
     * Whatever lists say or leave out: mail for others is relayed only for our networks, for who
     * has logged in, and where a restriction of the relay stage permitted it in so many words.
     */
    if (!res->local_domain && !e->facts.trusted && e->facts.login == NULL &&
        !e->run.relay_permitted)
        return refuse_as(e, r, conf->relay_domains_reject_code, "5.7.1", "Relay access denied",
                         "no restriction permits relaying");
    return lists_accept(e, r);
}

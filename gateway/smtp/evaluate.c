/* Between the session and its restriction lists: whose lists hold, what they ask for, waiting. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/smtp/smtpd.h"

/* What one evaluation and one resolution may use. */
#define SCRATCH_MAX ((size_t)32 << 20)

static const enum entry_attr stage_attrs[STAGE_COUNT] = {
    [STAGE_CLIENT] = ATTR_CLIENT_RESTRICTIONS,       [STAGE_HELO] = ATTR_HELO_RESTRICTIONS,
    [STAGE_SENDER] = ATTR_SENDER_RESTRICTIONS,       [STAGE_RELAY] = ATTR_RELAY_RESTRICTIONS,
    [STAGE_RECIPIENT] = ATTR_RECIPIENT_RESTRICTIONS, [STAGE_DATA] = ATTR_DATA_RESTRICTIONS,
};

bool result_refuses(const struct restriction_result *r)
{
    return r->verdict == VERDICT_REJECT || r->verdict == VERDICT_DEFER;
}

struct evaluation *evaluation_begin(struct session *s)
{
    struct evaluation *e = s->eval;

    if (e == NULL) {
        e = s->eval = mem_zalloc(sizeof(*e));
        e->scratch = arena_new(SCRATCH_MAX);
    }
    restriction_run_end(&e->run);
    arena_reset(e->scratch);
    return e;
}

static void memo_clear(struct dns_memo *memo)
{
    free(memo->name);
    free(memo->data);
    *memo = (struct dns_memo){.name = NULL};
}

void evaluation_free(struct session *s)
{
    struct evaluation *e = s->eval;

    if (e == NULL)
        return;
    s->eval = NULL;
    if (e->dns_id != 0)
        dns_cancel(s->d->dns, e->dns_id);
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
    struct session *s = arg;
    const struct entry *entry;

    if (s->eval->snap == NULL)
        return ANSWER_UNKNOWN;
    return directory_domain(s->eval->snap, domain, &entry);
}

const struct resolution *evaluate_recipient(struct session *s)
{
    struct evaluation *e = s->eval;

    if (!e->resolved) {
        e->recipient =
            (struct resolution){.answer = ANSWER_UNKNOWN, .reason = "the replica cannot be read"};
        if (e->snap != NULL)
            resolve_address(e->snap, e->facts.recipient.full, false, e->scratch, &e->recipient);
        e->resolved = true;
    }
    return &e->recipient;
}

static enum answer ask_listed(void *arg, const char *address, bool *disabled)
{
    struct session *s = arg;
    struct evaluation *e = s->eval;
    struct resolution other = {.answer = ANSWER_UNKNOWN};
    const struct resolution *res = &other;

    if (address == e->facts.recipient.full)
        res = evaluate_recipient(s);
    else if (e->snap != NULL)
        resolve_address(e->snap, address, false, e->scratch, &other);
    *disabled = res->disabled;
    return res->answer;
}

static void go_on(struct session *s);

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
    struct session *s = arg;
    struct evaluation *e = s->eval;
    struct dns_memo *memo = e->asked;

    e->dns_id = 0;
    keep_answer(memo, answer);
    if (answer->status == DNS_UNKNOWN)
        log_info("DNS cannot tell", LOG_STR("id", s->id), LOG_STR("name", memo->name),
                 LOG_UINT("type", memo->type), LOG_STR("why", answer->why));
    go_on(s);
}

static bool ask_dns(void *arg, const char *name, uint16_t type, struct restriction_dns *out)
{
    struct session *s = arg;
    struct evaluation *e = s->eval;

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
    e->dns_id = dns_query(s->d->dns, name, type, dns_answered, s);
    return false;
}

static enum answer ask_owner(void *arg, const char *address, bool *owns)
{
    struct session *s = arg;

    if (s->eval->snap == NULL)
        return ANSWER_UNKNOWN;
    return address_owner(s->eval->snap, address, s->login != NULL ? &s->login->owner : NULL,
                         s->eval->scratch, owns);
}

static const struct restriction_ops ops = {ask_domain, ask_listed, ask_dns, ask_owner};

/* ---- lists ---- */

static void set_failure(struct restriction_result *r, const char *status, const char *text,
                        const char *restriction, const char *dn)
{
    *r = (struct restriction_result){
        .verdict = VERDICT_DEFER, .code = 451, .restriction = restriction, .dn = dn};
    snprintf(r->status, sizeof(r->status), "%s", status);
    snprintf(r->text, sizeof(r->text), "%s", text);
}

static enum answer find_text(struct session *s, enum restriction_stage stage, const char *recipient,
                             const char **text, const char **dn)
{
    struct evaluation *e = s->eval;

    *dn = NULL;
    if (s->flavour->submission) {
        *text = conf_text(s->d->conf, "submission_relay_restrictions");
        return ANSWER_FOUND;
    }
    if (e->snap == NULL)
        return ANSWER_UNKNOWN;
    return policy_restrictions(e->snap, recipient, stage_attrs[stage], e->scratch, text, dn);
}

struct restriction_list *evaluate_list(struct session *s, enum restriction_stage stage,
                                       const char *recipient, const char **dn,
                                       struct restriction_result *r)
{
    const char *text = "";
    char *error = NULL;

    /* "absent" means that nobody has such a list: an empty one. */
    enum answer answer = find_text(s, stage, recipient, &text, dn);
    /* The run may outlive the snapshot that the name is in. */
    if (*dn != NULL)
        *dn = arena_strdup(s->eval->scratch, *dn);
    if (answer == ANSWER_UNKNOWN) {
        set_failure(r, "4.4.3", "Temporary lookup failure", restriction_stage_name(stage), *dn);
        return NULL;
    }
    struct restriction_list *list =
        restriction_cache_get(s->d->lists, text != NULL ? text : "", stage, &error);
    if (list == NULL) {
        log_error("restriction list is wrong", LOG_STR("policy", *dn != NULL ? *dn : "dirigo.conf"),
                  LOG_STR("list", restriction_stage_name(stage)), LOG_STR("error", error));
        free(error);
        set_failure(r, "4.3.5", "Server configuration error", restriction_stage_name(stage), *dn);
    }
    return list;
}

/* ---- evaluation ---- */

static void set_facts(struct session *s, const struct restriction_address *recipient)
{
    struct restriction_facts *f = &s->eval->facts;

    *f = (struct restriction_facts){
        .id = s->id,
        .client = s->peer,
        .client_name = &s->client_name,
        .helo = s->helo,
        .login = s->login != NULL ? s->login->login : NULL,
        .trusted = s->trusted,
        .tls = s->tls,
        .early_input = s->early_input,
    };
    if (s->tx != NULL) {
        f->sender = s->tx->sender;
        f->recipient_count = s->tx->recipient_count;
    }
    if (recipient != NULL)
        f->recipient = *recipient;
}

/* The outcome goes to the command, which may still use the snapshot. */
static void finish(struct session *s, struct restriction_result *r)
{
    struct evaluation *e = s->eval;
    void (*done)(struct session * s, struct restriction_result * r) = e->done;

    e->done = NULL;
    done(s, r);
    if (s->eval == NULL) /* the command has ended the transaction */
        return;
    s->eval->resolved = false;
    snapshot_release(&s->eval->snap);
}

/* Runs until the verdict, or until something is asked for. */
static void go_on(struct session *s)
{
    struct evaluation *e = s->eval;
    bool waited = s->waiting;

    if (e->snap == NULL)
        e->snap = snapshot_take(s->d->directory);
    if (!restriction_run_go(&e->run)) {
        e->resolved = false;
        snapshot_release(&e->snap);
        session_wait(s, true);
        return;
    }
    s->waiting = false;
    finish(s, &e->run.result);
    /* The command may be waiting for something else by now; its replies leave all the same. */
    if (waited && !s->running)
        session_run(s);
}

void evaluate(struct session *s, unsigned stages, const struct restriction_address *recipient,
              void (*done)(struct session *s, struct restriction_result *r))
{
    /* With a recipient the command has begun it, for the address is in scratch. */
    struct evaluation *e = recipient == NULL ? evaluation_begin(s) : s->eval;
    struct restriction_result failure;

    set_facts(s, recipient);
    e->done = done;
    restriction_run_init(&e->run, s->d->conf, &e->facts, &ops, s);
    e->run.lists_health = s->d->dnsl;
    e->questions = 0;
    e->snap = snapshot_take(s->d->directory);
    for (enum restriction_stage stage = 0; stage < STAGE_COUNT; stage++) {
        const char *dn;
        if (!(stages & 1u << stage))
            continue;
        struct restriction_list *list =
            evaluate_list(s, stage, recipient != NULL ? recipient->full : NULL, &dn, &failure);
        if (list == NULL) {
            finish(s, &failure);
            return;
        }
        restriction_run_add(&e->run, stage, list, dn);
    }
    go_on(s);
}

void evaluate_data(struct session *s, void (*done)(struct session *s, struct restriction_result *r))
{
    struct evaluation *e = evaluation_begin(s);
    struct transaction *tx = s->tx;

    set_facts(s, NULL);
    e->done = done;
    restriction_run_init(&e->run, s->d->conf, &e->facts, &ops, s);
    e->run.lists_health = s->d->dnsl;
    e->questions = 0;
    for (size_t i = 0; i < tx->data_list_count; i++)
        restriction_run_add(&e->run, STAGE_DATA, restriction_list_ref(tx->data_lists[i].list),
                            tx->data_lists[i].dn);
    go_on(s);
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/ctl/explain.h"

/* What one answer may hold; a group of 50,000 members fits. */
#define ANSWER_MAX ((size_t)256 << 20)
/* Values of one attribute of one entry that are kept. */
#define VALUES_MAX 20

enum phase {
    PHASE_BEFORE, /* client, HELO and sender lists, where they are not put off to RCPT */
    PHASE_RCPT,
    PHASE_DATA
};

struct asking {
    struct loop *loop;
    const struct explain_question *q;
    struct explain_answer *a;
    struct evaluation *e;
    enum phase phase;
    bool finished, looping;
    struct restriction_list *data_list;
    const char *data_dn;
    struct restriction_client client_name;
    struct uuid owner; /* of the login */
};

static const char *keep(struct asking *x, const char *text)
{
    const char *copy = text != NULL ? arena_strdup(x->a->arena, text) : NULL;

    return text != NULL && copy == NULL ? "" : copy;
}

/* Room for one more element; the array moves. NULL past the arena's bound. */
static void *grow(struct arena *arena, void *array, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return array;
    size_t wanted = *cap == 0 ? 16 : *cap * 2;
    void *bigger = arena_alloc(arena, wanted * size);
    if (bigger == NULL)
        return NULL;
    if (count > 0)
        memcpy(bigger, array, count * size);
    *cap = wanted;
    return bigger;
}

/* ---- what was used ---- */

static void on_restriction(void *owner, const struct restriction_trace *t)
{
    struct asking *x = owner;
    struct explain_answer *a = x->a;
    struct restriction_trace *trace =
        grow(a->arena, a->trace, a->trace_count, &a->trace_cap, sizeof(*trace));

    if (trace == NULL)
        return;
    a->trace = trace;
    trace[a->trace_count] = *t;
    trace[a->trace_count].restriction = keep(x, t->restriction);
    trace[a->trace_count].arg = keep(x, t->arg);
    trace[a->trace_count++].dn = keep(x, t->dn);
}

static void keep_attributes(struct asking *x, struct explain_entry *out, const struct entry *e)
{
    size_t total = 0;

    for (enum entry_attr attr = 0; attr < ATTR_COUNT; attr++) {
        size_t n = entry_count(e, attr);
        total += n > VALUES_MAX ? VALUES_MAX + 1 : n;
    }
    out->attrs = arena_alloc(x->a->arena, (total + 1) * sizeof(*out->attrs));
    if (out->attrs == NULL)
        return;
    for (enum entry_attr attr = 0; attr < ATTR_COUNT; attr++) {
        size_t n = entry_count(e, attr);
        for (size_t i = 0; i < n && i <= VALUES_MAX; i++) {
            struct explain_attr *value = &out->attrs[out->attr_count++];
            value->name = entry_attr_name(attr);
            value->value = i < VALUES_MAX ? keep(x, entry_value(e, attr, i))
                                          : arena_printf(x->a->arena, "(%zu more)", n - i);
        }
    }
}

static void on_entry(void *arg, const char *by, const struct entry *e)
{
    struct asking *x = arg;
    struct explain_answer *a = x->a;

    for (size_t i = 0; i < a->entry_count; i++)
        if (strcmp(a->entries[i].dn, entry_dn(e)) == 0)
            return;
    struct explain_entry *entries =
        grow(a->arena, a->entries, a->entry_count, &a->entry_cap, sizeof(*entries));
    if (entries == NULL)
        return;
    a->entries = entries;
    struct explain_entry *out = &entries[a->entry_count++];
    *out = (struct explain_entry){.dn = keep(x, entry_dn(e)), .by = keep(x, by)};
    keep_attributes(x, out, e);
}

static void keep_resolution(struct asking *x, const struct resolution *res)
{
    struct resolution *out = &x->a->recipient;
    struct arena *arena = x->a->arena;

    *out = *res;
    x->a->resolved = true;
    out->reason = keep(x, res->reason);
    out->dn = keep(x, res->dn);
    struct delivery *deliveries = arena_alloc(arena, (res->count + 1) * sizeof(*deliveries));
    struct resolve_step *steps = arena_alloc(arena, (res->step_count + 1) * sizeof(*steps));
    if (deliveries == NULL)
        out->count = 0;
    if (steps == NULL)
        out->step_count = 0;
    for (size_t i = 0; i < out->count; i++) {
        deliveries[i] = res->deliveries[i];
        deliveries[i].address = keep(x, deliveries[i].address);
        deliveries[i].detail = keep(x, deliveries[i].detail);
        deliveries[i].host = keep(x, deliveries[i].host);
        deliveries[i].dn = keep(x, deliveries[i].dn);
    }
    for (size_t i = 0; i < out->step_count; i++) {
        steps[i] = res->steps[i];
        steps[i].address = keep(x, steps[i].address);
        steps[i].dn = keep(x, steps[i].dn);
    }
    out->deliveries = deliveries;
    out->steps = steps;
}

/* ---- the session's steps ---- */

static void refused(struct asking *x, const struct restriction_result *r, const char *stage,
                    const char *reason)
{
    struct explain_answer *a = x->a;

    a->accepted = false;
    a->code = r->code;
    memcpy(a->status, r->status, sizeof(a->status));
    memcpy(a->text, r->text, sizeof(a->text));
    a->restriction = keep(x, r->restriction);
    a->dn = keep(x, r->dn);
    a->stage = stage;
    a->reason = keep(x, reason);
}

/* Which list said so: the one of the last restriction that was looked at and did not go on. */
static const char *refusing_stage(const struct explain_answer *a, const char *restriction)
{
    for (size_t i = a->trace_count; i-- > 0;)
        if (strcmp(a->trace[i].restriction, restriction) == 0 &&
            a->trace[i].verdict != VERDICT_DUNNO)
            return restriction_stage_name(a->trace[i].stage);
    return "lists";
}

static void recipient_passed(struct asking *x)
{
    struct restriction_result r;
    const char *reason;
    bool accepts = evaluation_accepts(x->e, &r, &reason);

    keep_resolution(x, evaluation_recipient(x->e));
    if (!accepts) {
        refused(x, &r, "recipient", reason);
        return;
    }
    if (x->q->submission)
        return;
    x->data_list = evaluation_list(x->e, STAGE_DATA, x->e->facts.recipient.full, &x->data_dn, &r);
    x->data_dn = keep(x, x->data_dn);
    if (x->data_list == NULL)
        refused(x, &r, restriction_stage_name(STAGE_DATA), NULL);
}

static void on_done(void *owner, struct restriction_result *r)
{
    struct asking *x = owner;

    if (result_refuses(r)) {
        refused(x, r, refusing_stage(x->a, r->restriction), NULL);
        if (x->phase == PHASE_RCPT && x->e->snap != NULL)
            keep_resolution(x, evaluation_recipient(x->e));
    } else if (x->phase == PHASE_RCPT) {
        recipient_passed(x);
    }
    evaluation_rest(x->e);
    x->finished = true;
    if (x->looping)
        loop_stop(x->loop);
}

static void on_wait(void *owner)
{
    (void)owner;
}

static void finish(struct asking *x)
{
    x->looping = !x->finished;
    if (x->looping)
        loop_run(x->loop);
    x->looping = false;
}

static void run_stages(struct asking *x, enum phase phase, unsigned stages)
{
    if (!x->a->accepted)
        return;
    x->phase = phase;
    x->finished = false;
    evaluation_run(x->e, stages);
    finish(x);
}

/* The lists that the recipient has for DATA, as the session keeps them. */
static void run_data(struct asking *x)
{
    const struct restriction_step step = {
        .stage = STAGE_DATA, .list = x->data_list, .dn = x->data_dn};

    if (!x->a->accepted || x->data_list == NULL)
        return;
    evaluation_begin(x->e);
    memset(&x->e->facts.recipient, 0, sizeof(x->e->facts.recipient));
    x->e->facts.recipient_count = 1;
    x->phase = PHASE_DATA;
    x->finished = false;
    evaluation_run_lists(x->e, &step, 1);
    finish(x);
}

/* The login alone: whether somebody could be logged in under this name. */
static void check_login(struct asking *x)
{
    struct restriction_result r = {.verdict = VERDICT_REJECT,
                                   .code = 535,
                                   .status = "5.7.8",
                                   .restriction = "login",
                                   .text = "Authentication failed"};
    const struct entry *entry = NULL;
    struct snapshot *snap;

    if (x->q->login == NULL || (snap = snapshot_take(x->e->by->directory)) == NULL)
        return;
    enum answer answer = entry_by_login(snap, x->q->login, &entry);
    if (answer == ANSWER_ABSENT) {
        refused(x, &r, "login", "nobody logs in under this name");
    } else if (answer == ANSWER_UNKNOWN) {
        r = (struct restriction_result){.verdict = VERDICT_DEFER,
                                        .code = 454,
                                        .status = "4.7.0",
                                        .restriction = "login",
                                        .text = "Temporary authentication failure"};
        refused(x, &r, "login",
                "two users have this name, or the directory has been away too long");
    } else if ((entry_kinds(entry) & (ENTRY_DISABLED | ENTRY_NO_LOGIN)) != 0) {
        r.dn = entry_dn(entry);
        refused(x, &r, "login", "the account may not log in");
    }
    if (answer == ANSWER_FOUND) {
        x->owner = *entry_uuid(entry);
        x->e->login_owner = &x->owner;
    }
    snapshot_release(&snap);
}

/* An address of the command line; *given and what it points to live in the answer's arena. */
static int take_address(struct asking *x, const char *text, struct smtp_address *given,
                        struct restriction_address *out, char **error)
{
    const char *why;

    if (text[0] == '\0')
        *given = (struct smtp_address){.text = "", .domain = ""};
    else if (smtp_address_parse(text, strlen(text), x->a->arena, given, &why) != SMTP_SYNTAX_OK) {
        *error = mem_printf("%s: %s", text, why);
        return -1;
    }
    evaluator_address(x->e->by, given, x->a->arena, out);
    return 0;
}

static void session(struct asking *x)
{
    const struct evaluator *by = x->e->by;

    check_login(x);
    if (!by->conf->smtpd_delay_reject && !x->q->submission) {
        const struct restriction_address none = {0}, recipient = x->e->facts.recipient;
        const struct restriction_address sender = x->e->facts.sender;
        x->e->facts.recipient = x->e->facts.sender = none;
        run_stages(x, PHASE_BEFORE, 1u << STAGE_CLIENT);
        run_stages(x, PHASE_BEFORE, 1u << STAGE_HELO);
        x->e->facts.sender = sender;
        run_stages(x, PHASE_BEFORE, 1u << STAGE_SENDER);
        x->e->facts.recipient = recipient;
    }
    run_stages(x, PHASE_RCPT, evaluator_rcpt_stages(by, x->q->submission));
    run_data(x);
}

int explain_ask(struct evaluator *by, struct loop *loop, const struct explain_question *q,
                struct explain_answer *out, char **error)
{
    struct asking x = {.loop = loop, .q = q, .a = out};
    struct smtp_address from, to;

    *out = (struct explain_answer){
        .arena = arena_new(ANSWER_MAX), .accepted = true, .code = 250, .status = "2.1.5"};
    snprintf(out->text, sizeof(out->text), "Ok");
    out->recipient.answer = ANSWER_UNKNOWN;
    x.e = evaluation_new(by, &x);
    x.e->done = on_done;
    x.e->wait = on_wait;
    x.e->trace = on_restriction;
    x.e->with_steps = true;
    x.e->submission = q->submission;
    x.e->facts = (struct restriction_facts){.id = "explain",
                                            .client = q->client,
                                            .client_name = &x.client_name,
                                            .helo = q->helo,
                                            .login = q->login,
                                            .trusted = evaluator_trusts(by, &q->client),
                                            .tls = q->tls};
    int rc = take_address(&x, q->from, &from, &x.e->facts.sender, error);
    if (rc == 0)
        rc = take_address(&x, q->to, &to, &x.e->facts.recipient, error);
    if (rc == 0) {
        directory_trace(by->directory, on_entry, &x);
        session(&x);
        directory_trace(by->directory, NULL, NULL);
        directory_state(by->directory, &out->state);
    }
    restriction_list_unref(&x.data_list);
    evaluation_free(&x.e);
    restriction_client_free(&x.client_name);
    if (rc != 0)
        explain_answer_free(out);
    return rc;
}

void explain_answer_free(struct explain_answer *a)
{
    arena_free(&a->arena);
    memset(a, 0, sizeof(*a));
}

/* Between the session and its evaluation: what is known of it, waiting, and going on. */
#include "gateway/smtp/smtpd.h"

struct evaluation *evaluate_begin(struct session *s)
{
    if (s->eval == NULL)
        s->eval = evaluation_new(&s->d->evaluator, s);
    evaluation_begin(s->eval);
    return s->eval;
}

static void set_facts(struct session *s, const struct restriction_address *recipient)
{
    struct restriction_facts *f = &s->eval->facts;

    *f = (struct restriction_facts){
        .id = s->id,
        .client = s->peer,
        .client_name = &s->client_name,
        .helo = s->helo,
        .etrn = s->etrn,
        .login = s->login != NULL ? s->login->login : NULL,
        .login_key = s->login != NULL ? s->login_key : NULL,
        .protocol = s->flavour->lmtp ? "LMTP"
                    : s->esmtp       ? "ESMTP"
                                     : "SMTP",
        .tls_protocol = s->tls_info.version,
        .tls_cipher = s->tls_info.cipher,
        .tls_bits = s->tls_info.bits,
        .certificate = s->tls_info.peer != NULL && !s->named ? &s->certificate : NULL,
        .trusted = s->trusted,
        .tls = s->tls,
        .early_input = s->early_input,
    };
    if (s->tx != NULL) {
        f->sender = s->tx->sender;
        f->recipient_count = s->tx->recipient_count;
        f->transaction = (uint64_t)s->tx->begun;
        f->size = s->tx->declared_size;
    }
    if (recipient != NULL)
        f->recipient = *recipient;
}

static void wait(void *owner)
{
    session_wait(owner, true);
}

/* The outcome goes to the command, which may still use the snapshot. */
static void done(void *owner, struct restriction_result *r)
{
    struct session *s = owner;
    bool waited = s->waiting;

    s->waiting = false;
    s->evaluated(s, r);
    if (s->eval != NULL) /* else the command has ended the transaction */
        evaluation_rest(s->eval);
    /* The command may be waiting for something else by now; its replies leave all the same. */
    if (waited && !s->running)
        session_run(s);
}

static void prepare(struct session *s, const struct restriction_address *recipient,
                    void (*evaluated)(struct session *s, struct restriction_result *r))
{
    set_facts(s, recipient);
    s->evaluated = evaluated;
    s->eval->login_owner = s->login != NULL ? &s->login->owner : NULL;
    s->eval->submission = s->flavour->submission;
    s->eval->wait = wait;
    s->eval->done = done;
}

/* What the recipient needs is in the replica, or cannot be had now. */
static void wanted(void *arg)
{
    struct session *s = arg;
    s->want = NULL;
    evaluation_run(s->eval, s->want_stages);
}

void evaluate(struct session *s, unsigned stages, const struct restriction_address *recipient,
              void (*evaluated)(struct session *s, struct restriction_result *r))
{
    /* With a recipient the command has begun it, for the address is in scratch. */
    if (recipient == NULL)
        evaluate_begin(s);
    prepare(s, recipient, evaluated);
    if (recipient != NULL)
        s->want = directory_want(s->d->evaluator.directory, WANTED_ADDRESS, recipient->full,
                                 s->tx != NULL ? s->tx->sender.full : NULL, wanted, s);
    s->want_stages = stages;
    if (s->want != NULL)
        session_wait(s, true);
    else
        evaluation_run(s->eval, stages);
}

void evaluate_data(struct session *s,
                   void (*evaluated)(struct session *s, struct restriction_result *r))
{
    evaluate_begin(s);
    prepare(s, NULL, evaluated);
    evaluation_run_lists(s->eval, s->tx->data_lists, s->tx->data_list_count);
}

/* Adds the list of one recipient to those of the others, without doubles. */
static bool add_list(struct session *s, const char *recipient, struct restriction_step *steps,
                     size_t *n, struct restriction_result *r)
{
    const char *dn;
    struct restriction_list *list = evaluation_list(s->eval, STAGE_END_OF_DATA, recipient, &dn, r);

    if (list == NULL)
        return false;
    for (size_t i = 0; i < *n; i++) {
        if (steps[i].list == list) {
            restriction_list_unref(&list);
            return true;
        }
    }
    if (*n == DATA_LISTS_MAX) {
        restriction_list_unref(&list);
        *r = (struct restriction_result){.verdict = VERDICT_DEFER,
                                         .code = 452,
                                         .status = "4.5.3",
                                         .restriction = "smtpd_end_of_data_restrictions",
                                         .text = "Too many policies for one message"};
        return false;
    }
    steps[(*n)++] = (struct restriction_step){.stage = STAGE_END_OF_DATA, .list = list, .dn = dn};
    return true;
}

bool evaluate_end_of_data(struct session *s, uint64_t size,
                          void (*evaluated)(struct session *s, struct restriction_result *r))
{
    struct evaluation *e = evaluate_begin(s);
    struct restriction_step steps[DATA_LISTS_MAX];
    struct restriction_result failure;
    struct recipient *r;
    size_t n = 0;
    bool good = true;

    prepare(s, NULL, evaluated);
    e->facts.size = size;
    if (!evaluation_has_lists(e, STAGE_END_OF_DATA)) {
        evaluation_rest(e);
        return false;
    }
    STAILQ_FOREACH (r, &s->tx->recipients, link)
        if (!(good = add_list(s, r->address, steps, &n, &failure)))
            break;
    if (good)
        evaluation_run_lists(e, steps, n);
    else
        done(s, &failure);
    for (size_t i = 0; i < n; i++)
        restriction_list_unref(&steps[i].list);
    return true;
}

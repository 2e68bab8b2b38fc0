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
        .login = s->login != NULL ? s->login->login : NULL,
        .protocol = s->flavour->lmtp ? "LMTP"
                    : s->esmtp       ? "ESMTP"
                                     : "SMTP",
        .tls_protocol = s->tls_info.version,
        .tls_cipher = s->tls_info.cipher,
        .tls_bits = s->tls_info.bits,
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

void evaluate(struct session *s, unsigned stages, const struct restriction_address *recipient,
              void (*evaluated)(struct session *s, struct restriction_result *r))
{
    /* With a recipient the command has begun it, for the address is in scratch. */
    if (recipient == NULL)
        evaluate_begin(s);
    prepare(s, recipient, evaluated);
    evaluation_run(s->eval, stages);
}

void evaluate_data(struct session *s,
                   void (*evaluated)(struct session *s, struct restriction_result *r))
{
    evaluate_begin(s);
    prepare(s, NULL, evaluated);
    evaluation_run_lists(s->eval, s->tx->data_lists, s->tx->data_list_count);
}

/*
 * Restriction lists with the directory and DNS behind them: whose lists hold for a recipient, what
 * they ask for, and what the directory says of the recipient in the end. The live session and
 * `dirigo explain` run the same code; what a session is, it does not know.
 */
#ifndef DIRIGO_SMTP_EVALUATE_H
#define DIRIGO_SMTP_EVALUATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "directory/client.h"
#include "directory/resolve.h"
#include "gateway/base/buf.h"
#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/proto/smtp_address.h"
#include "gateway/resolver/client.h"
#include "gateway/smtp/restriction.h"

/* What the evaluations of a process share. */
struct evaluator {
    const struct conf *conf;
    struct directory *directory;
    struct dns_client *dns;
    struct restriction_cache *lists;
    struct dnsl_health *dnsl;        /* which DNS lists may be used */
    struct policy_client *policy;    /* NULL: policy services are not asked and say nothing; so
                                        that explaining greylists nobody */
    struct limits *limits;           /* NULL: nothing is counted, and no limit is reached */
    struct netaddr_prefix *networks; /* mynetworks */
    size_t network_count;
};

/* Reads mynetworks; what is not made here is filled in by the caller, who also closes directory and
 * dns. 0, or -1 with an allocated text in error. */
int evaluator_init(struct evaluator *by, const struct conf *conf, char **error);
void evaluator_release(struct evaluator *by);
/* Whether mynetworks holds the address; a Unix socket's peer is no network. */
bool evaluator_trusts(const struct evaluator *by, const struct netaddr *addr);
/* Fills in an address as restrictions see it, with $myorigin where it has no domain; strings live
 * in arena. */
void evaluator_address(const struct evaluator *by, const struct smtp_address *given,
                       struct arena *arena, struct restriction_address *out);
/* The stages that are evaluated at RCPT, as bits 1 << STAGE_*. */
unsigned evaluator_rcpt_stages(const struct evaluator *by, bool submission);

/* Answers kept; one restriction asks for less. */
#define DNS_MEMO_MAX 64
/* Questions of one evaluation: more would be a list that no administrator meant. */
#define DNS_QUESTIONS_MAX 300

struct dns_memo {
    char *name;
    uint16_t type;
    bool known;
    struct restriction_dns answer;
    void *data; /* what the answer points into */
};

/* What the lists that a recipient leads to want done with the message; in scratch. */
struct list_outcome {
    const char *moderated; /* the DN of the one whose moderators decide, or NULL */
    const char *errors_to; /* the envelope sender for the members, or NULL */
    uint64_t max_size;     /* the least that one takes; 0: any */
};

/* One evaluation at a time; what DNS answered is kept until evaluation_free. */
struct evaluation {
    const struct evaluator *by;
    void *owner;
    /* DNS was asked; the evaluation goes on by itself and calls done. */
    void (*wait)(void *owner);
    /* The verdict; the snapshot is there until evaluation_rest. The evaluation may be freed inside.
     */
    void (*done)(void *owner, struct restriction_result *r);
    void (*trace)(void *owner, const struct restriction_trace *t); /* or NULL */
    bool submission; /* submission_relay_restrictions alone hold */
    struct restriction_facts facts;
    const struct uuid *login_owner; /* the entry that has logged in, or NULL */
    struct arena *scratch;          /* emptied when the next one begins */
    struct restriction_run run;
    struct snapshot *snap;       /* only while one is on the stack; NULL: the replica is away */
    struct resolution recipient; /* what the recipient resolves to, if resolved; valid with snap */
    bool resolved;
    struct list_outcome list; /* behind evaluation_accepts: what lists among it want */
    bool with_steps;          /* the resolution keeps its steps */
    uint32_t dns_id;
    struct dns_memo *asked;
    struct dns_memo *memo; /* DNS_MEMO_MAX of them, or NULL: nothing was asked yet */
    size_t memo_next, questions;
    struct policy_query *policy; /* under way */
    bool policy_known;           /* action is the answer to the question at hand */
    char *action;
};

struct evaluation *evaluation_new(const struct evaluator *by, void *owner);
/* Also with a question under way: nothing is called any more. *e may be NULL. */
void evaluation_free(struct evaluation **e);
/* Makes it ready for the next run; whatever the one before left in scratch is gone. */
void evaluation_begin(struct evaluation *e);
/*
 * Evaluates the lists of the stages that govern facts.recipient, or that hold where there is none
 * yet. facts, wait and done are set. done is called once: at once, or after a wait.
 */
void evaluation_run(struct evaluation *e, unsigned stages);
/* The same for lists that were kept (evaluation_list); references are added. */
void evaluation_run_lists(struct evaluation *e, const struct restriction_step *steps, size_t n);
/* Behind done: the snapshot is given back. */
void evaluation_rest(struct evaluation *e);

/* What the recipient at hand resolves to; inside done. */
const struct resolution *evaluation_recipient(struct evaluation *e);
/* The list of one stage that governs recipient (NULL: none), with a reference; NULL (result set)
 * where it fails. *dn lives in scratch. */
struct restriction_list *evaluation_list(struct evaluation *e, enum restriction_stage stage,
                                         const char *recipient, const char **dn,
                                         struct restriction_result *r);
/* Whether anybody has a list at STAGE_DATA or STAGE_END_OF_DATA; the snapshot is taken. */
bool evaluation_has_lists(struct evaluation *e, enum restriction_stage stage);
/*
 * The last word at RCPT, inside done, when no list has refused: whether the recipient is there,
 * whether mail for others may be relayed, and what groups say of who sends to them (e->list).
 * False: the refusal is in *r, and *reason (or NULL) says more for the log.
 */
bool evaluation_accepts(struct evaluation *e, struct restriction_result *r, const char **reason);

/* What a policy service is told (policy_request.c). */
void policy_request(const struct restriction_facts *f, enum restriction_stage stage,
                    struct buf *out);

/* Whether the verdict is a refusal, for good or for now. */
bool result_refuses(const struct restriction_result *r);

#endif

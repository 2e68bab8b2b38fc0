/*
 * Restriction lists: the vocabulary that Postfix made standard, compiled and evaluated.
 *
 * The story of one RCPT: the session takes the lists that govern it (a policy's in the directory,
 * else those of dirigo.conf), compiles each once (restriction_cache_get), adds them to a run in the
 * order of the stages, and calls restriction_run_go. A restriction that needs an answer from
 * outside (DNS) asks for it through ops and says VERDICT_WAIT; the session calls go again when the
 * answer is there, the same restriction is called again, and asks again, which is answered at once
 * then. So a restriction is one function without a state of its own; restriction_table.c lists
 * them, and a new one is a line there and its function.
 *
 * Within a list the first permit or refusal decides; permit ends its list alone, a refusal ends
 * all.
 */
#ifndef DIRIGO_SMTP_RESTRICTION_H
#define DIRIGO_SMTP_RESTRICTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "directory/client.h"
#include "gateway/base/mem.h"
#include "gateway/base/netaddr.h"
#include "gateway/proto/smtp_address.h"
#include "gateway/resolver/client.h"

enum restriction_stage {
    STAGE_CLIENT,
    STAGE_HELO,
    STAGE_SENDER,
    STAGE_RELAY,
    STAGE_RECIPIENT,
    STAGE_DATA,
    STAGE_END_OF_DATA,
    STAGE_ETRN,
    STAGE_COUNT
};
/* "smtpd_relay_restrictions" and its like. */
const char *restriction_stage_name(enum restriction_stage stage);

enum verdict {
    VERDICT_DUNNO, /* the next restriction decides */
    VERDICT_PERMIT,
    VERDICT_REJECT,
    VERDICT_DEFER,
    VERDICT_DEFER_IF_PERMIT, /* goes on, and what would be permitted in the end is deferred */
    VERDICT_DEFER_IF_REJECT, /* goes on, and what would be rejected later is deferred */
    VERDICT_WAIT,            /* an answer is under way */
    VERDICT_NEST             /* the list in run->nested decides first */
};

/* An envelope address as restrictions see it. */
struct restriction_address {
    const struct smtp_address *given; /* as the client wrote it; NULL: not known at this stage */
    const char *full;                 /* with $myorigin where it had no domain; "" for <> */
    const char *domain;               /* of full, or "" */
};

/* What DNS says of the client's name, once a restriction has asked. */
enum client_name_state {
    CLIENT_NAME_UNASKED,
    CLIENT_NAME_FOUND,
    CLIENT_NAME_NONE,
    CLIENT_NAME_UNKNOWN /* nobody can tell now; asked again in the next transaction */
};

/* Kept with the session. Names have at most RESTRICTION_NAME_MAX bytes. */
#define RESTRICTION_NAME_MAX 255
struct restriction_client {
    enum client_name_state reverse;  /* the address has a name (PTR) */
    enum client_name_state verified; /* and the name has the address: it is a name to believe */
    char *reverse_name, *name;       /* allocated; NULL where there is none */
};
void restriction_client_free(struct restriction_client *client);

/* The client's TLS certificate; nothing of it is true unless verified, but that the client has its
 * key. */
struct restriction_certificate {
    bool verified;
    const char *subject, *issuer;              /* RFC 2253 text */
    const char *fingerprint, *key_fingerprint; /* SHA-256, "AB:CD:…" */
    const char *const *host_names;             /* dNSName; ended by NULL */
};

/* What is known of the session and the transaction. */
struct restriction_facts {
    const char *id; /* of the session, for the log */
    struct netaddr client;
    struct restriction_client *client_name; /* the session's; never NULL */
    const char *helo;                       /* NULL before HELO */
    const char *login;
    const char *login_key; /* the same for all names of its owner; NULL: login is */
    const char *etrn;      /* the domain, at STAGE_ETRN */
    struct restriction_address sender, recipient;
    size_t recipient_count; /* accepted so far */
    const char *protocol;   /* "ESMTP"; NULL: not known */
    const char *tls_protocol, *tls_cipher;
    const struct restriction_certificate *certificate; /* NULL: none */
    int tls_bits;
    uint64_t transaction; /* tells the session's messages apart */
    uint64_t size;        /* as declared in MAIL; 0: not */
    bool trusted;         /* in mynetworks */
    bool tls;
    bool early_input; /* sent more than it was allowed to before a reply */
};

#define RESTRICTION_DNS_MAX 16

/* An answer, as far as restrictions use it: RESTRICTION_DNS_MAX records. Valid until the next
 * question. */
struct restriction_dns {
    enum dns_status status;
    bool null_mx;                    /* RFC 7505 */
    size_t count;                    /* of what follows */
    const struct netaddr *addresses; /* A and AAAA */
    const char *const *names;        /* PTR */
    const char *text;                /* TXT: the first one, or NULL */
};

/* What an entry of the directory says. text is valid until the next question, dn (or NULL) as long
 * as the run. */
struct restriction_text {
    const char *text, *dn;
};

/* What an access table is asked about. */
enum access_subject {
    ACCESS_CLIENT,     /* the client's address; without a key */
    ACCESS_ANY_DOMAIN, /* whether it has domains; without a key */
    ACCESS_DOMAIN,
    ACCESS_ADDRESS,
    ACCESS_CERTIFICATE /* a fingerprint */
};

/* What was agreed on with whom the sender's domain or the client's network belongs to. */
#define RESTRICTION_PRINTS_MAX 16
struct restriction_partner {
    const char *dn;    /* as long as the run */
    const char *level; /* "none", "may", "encrypt", "verify", "fingerprint" */
    const char *ca;    /* the subject of the CA, RFC 2253 text; or NULL */
    const char *fingerprints[RESTRICTION_PRINTS_MAX];
    size_t fingerprint_count;
};

/* What restrictions may ask for; answers of the directory come at once. */
struct restriction_ops {
    enum answer (*domain)(void *arg, const char *domain); /* is it ours? */
    /* May it receive? Remote: found. *disabled: absent because its entry is. */
    enum answer (*listed)(void *arg, const char *address, bool *disabled);
    /* True with the answer, or false: asked for, and restriction_run_go is to be called again. */
    bool (*dns)(void *arg, const char *name, uint16_t type, struct restriction_dns *out);
    /* May who has logged in send as this address? Absent: *owned says whether somebody else could.
     * *dn gets the entry that decided, or NULL. */
    enum answer (*send_as)(void *arg, const char *address, bool *owned, const char **dn);
    enum answer (*access)(void *arg, const char *table, enum access_subject subject,
                          const char *key, struct restriction_text *out);
    /* What a restriction class stands for. */
    enum answer (*class)(void *arg, const char *name, struct restriction_text *out);
    /* The partner whose domain the sender claims, or whose network the client is in; NULL: there
     * are none. */
    enum answer (*partner)(void *arg, struct restriction_partner *out);
    /* What a policy service says, as with dns; NULL where it cannot be asked. */
    bool (*policy)(void *arg, const char *service, enum restriction_stage stage,
                   const char **action);
    /* Counts one event of the key; false where n in ms milliseconds is reached. */
    bool (*rate)(void *arg, const char *key, unsigned n, int64_t ms);
    /* Whether the greylist lets it pass, and how long it does not yet. */
    bool (*greylist)(void *arg, int64_t *wait_s);
};

/* ---- lists ---- */

#define RESTRICTION_TEXT_MAX  ((size_t)64 << 10)
#define RESTRICTION_ITEMS_MAX 256

struct restriction_list;
/* Compiles text, with one reference; NULL with an allocated text in error. */
struct restriction_list *restriction_compile(const char *text, enum restriction_stage stage,
                                             char **error);
/*
 * Compiles every list that dirigo.conf has, classes included, and tells fault of each that is wrong
 * what is and what would be right; 0 or -1. A word there is a restriction, a class of
 * smtpd_restriction_classes, or ldap:CLASS.
 */
int restriction_check_conf(const struct conf *conf,
                           void (*fault)(const char *parameter, const char *text, void *arg),
                           void *arg);
struct restriction_list *restriction_list_ref(struct restriction_list *list);
void restriction_list_unref(struct restriction_list **list);
size_t restriction_list_len(const struct restriction_list *list);
/* The first restriction class that the list names at or behind *from, which moves on; NULL at the
 * end. */
const char *restriction_list_class(const struct restriction_list *list, size_t *from,
                                   bool *directory);
/* The known restriction that a misspelled word is most like, or NULL. */
const char *restriction_nearest(const char *word);

/* Lists by their text, so that each is compiled once; bounded. */
struct restriction_cache;
struct restriction_cache *restriction_cache_new(void);
void restriction_cache_free(struct restriction_cache **cache);
/* The list with a reference for the caller, or NULL with an allocated text in error. */
struct restriction_list *restriction_cache_get(struct restriction_cache *cache, const char *text,
                                               enum restriction_stage stage, char **error);

/* ---- a run ---- */

struct dnsl_health;

#define RESTRICTION_REPLY_MAX 480

struct restriction_result {
    enum verdict verdict; /* DUNNO and PERMIT let it pass */
    unsigned code;
    char status[12]; /* "5.7.1" */
    char text[RESTRICTION_REPLY_MAX];
    const char *restriction; /* its name; static, or in the list */
    const char *dn;          /* of the policy, or NULL: dirigo.conf */
};

struct restriction_step {
    enum restriction_stage stage;
    struct restriction_list *list;
    const char *dn;
};

/* One restriction that was evaluated, for who explains a verdict. */
struct restriction_trace {
    enum restriction_stage stage;
    const char *restriction, *arg; /* arg: NULL where it takes none */
    const char *dn;                /* of the policy, or NULL: dirigo.conf */
    enum verdict verdict;
    bool warned; /* a refusal that warn_if_reject made a warning */
};

/* What restrictions want done with a message that is accepted. */
enum effect_kind {
    EFFECT_DISCARD,
    EFFECT_REDIRECT, /* to the address in text */
    EFFECT_PREPEND,  /* the header field in text */
    EFFECT_HOLD,     /* in the queue; why is in text */
    EFFECT_FILTER,   /* to the next hop in text, "smtp:HOP" */
    EFFECT_BCC       /* also to the address in text */
};
#define RESTRICTION_EFFECTS_MAX 16
#define RESTRICTION_FIELD_MAX   900
struct restriction_effect {
    enum effect_kind kind;
    char *text;
};

struct restriction_item;

/* A list that is being evaluated; those of classes and access entries lie on top of the stage's. */
struct restriction_frame {
    struct restriction_list *list;
    size_t item;
    const char *dn;
    bool warn;                           /* warn_if_reject stood before what led here */
    int score;                           /* of DNS lists with weights */
    size_t scored;                       /* items whose weight is in it */
    const struct restriction_item *best; /* the heaviest of them */
};
#define RESTRICTION_DEPTH_MAX 8
/* Restrictions that one run evaluates. */
#define RESTRICTION_WORK_MAX 4096

struct restriction_run {
    void (*trace)(void *arg, const struct restriction_trace *t); /* or NULL */
    void *trace_arg;
    const struct conf *conf;
    const struct restriction_facts *facts;
    const struct restriction_ops *ops;
    void *ops_arg;
    struct restriction_result result; /* valid when restriction_run_go returned true */
    bool relay_permitted;             /* a restriction of the relay stage said permit */
    struct dnsl_health *lists_health; /* the process'; NULL: DNS lists are tested each time */
    struct restriction_cache *lists;  /* the process'; NULL: nested lists are compiled each time */
    struct restriction_effect effects[RESTRICTION_EFFECTS_MAX];
    size_t effect_count;
    /* private */
    struct restriction_step steps[STAGE_COUNT];
    size_t step_count, step, depth, work;
    struct restriction_frame frames[RESTRICTION_DEPTH_MAX];
    struct restriction_list *nested; /* with VERDICT_NEST */
    const char *decided_by;          /* the entry, where it is not the list's policy */
    bool score_reached;              /* a DNS list with a weight is to say the refusal */
    bool deferring;                  /* deferred has the first DEFER_IF_PERMIT */
    bool deferring_rejects;          /* deferred_reject has the first DEFER_IF_REJECT */
    struct restriction_result deferred, deferred_reject;
};

/* Everything passed outlives the run. */
void restriction_run_init(struct restriction_run *run, const struct conf *conf,
                          const struct restriction_facts *facts, const struct restriction_ops *ops,
                          void *ops_arg);
/* Adds a list behind the others; the reference is taken over, dn must outlive the run. */
void restriction_run_add(struct restriction_run *run, enum restriction_stage stage,
                         struct restriction_list *list, const char *dn);
/* True: result is final. False: ops was asked for something; call again when it may be there. */
bool restriction_run_go(struct restriction_run *run);
/* Drops the references; also for a run that was never finished. */
void restriction_run_end(struct restriction_run *run);

#endif

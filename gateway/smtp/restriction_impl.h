/* What restrictions are made of: for restriction.c and the files with the functions alone. */
#ifndef DIRIGO_SMTP_RESTRICTION_IMPL_H
#define DIRIGO_SMTP_RESTRICTION_IMPL_H

#include "gateway/smtp/restriction.h"

enum {
    RESTRICTION_ARG = 1,     /* the next word is its argument */
    RESTRICTION_PREFIX = 2,  /* changes the restriction behind it (warn_if_reject) */
    RESTRICTION_AT_RCPT = 4, /* needs a recipient: without effect at DATA */
    RESTRICTION_WEIGHT = 16, /* a DNS list that may have one */
    RESTRICTION_AT_DATA = 8, /* decides only when all recipients are known */
};

struct restriction_item;

struct restriction {
    const char *name;
    const char *older; /* an earlier spelling, or NULL */
    unsigned flags;
    enum verdict (*check)(struct restriction_run *run, const struct restriction_item *item);
    /* Whether the argument may stand there; NULL: any word. */
    bool (*valid)(const char *arg);
};

struct restriction_item {
    const struct restriction *def;
    const char *arg;
    bool warn;        /* warn_if_reject stood before it */
    bool last_weight; /* the last of its list that has one: the sum is judged here */
};

/* The entry of this name, either spelling; NULL for an unknown one. */
const struct restriction *restriction_find(const char *name, size_t len);

/* The spellings of all restrictions, one by one ("" for an older one that there is not); NULL past
 * the end. */
const char *restriction_spelling(size_t i);

/* The stage that is being evaluated. */
enum restriction_stage restriction_run_stage(const struct restriction_run *run);

/*
 * Says no: the reply "<NAME>: WHAT rejected: TEXT" with name and what of the stage, or those of a
 * certain subject. The status' first digit follows the code. Returns the verdict: DEFER for a code
 * of 4xx, else REJECT.
 */
enum restriction_subject {
    SUBJECT_STAGE, /* what the stage is about */
    SUBJECT_CLIENT,
    SUBJECT_HELO,
    SUBJECT_SENDER,
    SUBJECT_RECIPIENT
};
enum verdict restriction_refuse(struct restriction_run *run, enum restriction_subject subject,
                                unsigned code, const char *status, const char *text);
/*
 * What DNS says of the client's name, in facts->client_name: VERDICT_WAIT, else VERDICT_DUNNO. A
 * client without an address has none.
 */
enum verdict restriction_client_name(struct restriction_run *run);
/* "mx.example.org[192.0.2.1]" as far as it is known, in dst[RESTRICTION_CLIENT_STRLEN]. */
#define RESTRICTION_CLIENT_STRLEN (RESTRICTION_NAME_MAX + NETADDR_STRLEN + 3)
const char *restriction_client_str(const struct restriction_facts *f, char *dst);
/* Whether an argument is a DNS list's domain with an optional "=PATTERN", and "*WEIGHT". */
bool restriction_dnsl_valid(const char *arg);
bool restriction_dnsl_valid_unweighted(const char *arg);

/* Says no as restriction_refuse does, with a reply of its own form. */
enum verdict restriction_say(struct restriction_run *run, unsigned code, const char *status,
                             const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/*
 * Evaluates a list in the place of the restriction at hand: VERDICT_NEST, or a temporary refusal
 * where it is wrong. dn is the entry that has it, or NULL.
 */
enum verdict restriction_nest(struct restriction_run *run, const char *text, const char *dn);
/* What the administrator wrote is wrong: logged, and refused for now. */
enum verdict restriction_misconfigured(struct restriction_run *run, const char *error,
                                       const char *what);
/* Divides an enhanced status code (RFC 3463) from a text; false where it begins with none. */
bool restriction_take_status(const char **text, char status[12]);
/* Keeps what has to be done with the message; VERDICT_DUNNO. */
enum verdict restriction_effect(struct restriction_run *run, enum effect_kind kind,
                                const char *text);
/* Does what an access entry or a policy service says. */
enum verdict restriction_act(struct restriction_run *run, enum restriction_subject subject,
                             const char *text, const char *dn);

/* What a name that is no restriction's stands for: a class, named by its argument. */
extern const struct restriction restriction_class;
/* The same where the directory alone has it: "ldap:NAME". */
extern const struct restriction restriction_ldap_class;
bool restriction_class_name(const char *s, size_t len);
bool restriction_table_valid(const char *arg);
bool restriction_service_valid(const char *arg);
bool restriction_rate_valid(const char *arg);
/* The entry whose list is being evaluated, or NULL: dirigo.conf. */
const char *restriction_run_dn(const struct restriction_run *run);

#define RESTRICTION_FUNCTION(name)                                                                 \
    enum verdict restrict_##name(struct restriction_run *run, const struct restriction_item *item)

RESTRICTION_FUNCTION(permit);
RESTRICTION_FUNCTION(reject);
RESTRICTION_FUNCTION(defer);
RESTRICTION_FUNCTION(permit_mynetworks);
RESTRICTION_FUNCTION(permit_sasl_authenticated);
RESTRICTION_FUNCTION(check_ccert_access);
RESTRICTION_FUNCTION(reject_partner_mismatch);
RESTRICTION_FUNCTION(permit_tls_all_clientcerts);
RESTRICTION_FUNCTION(permit_tls_clientcerts);
RESTRICTION_FUNCTION(reject_plaintext_session);
RESTRICTION_FUNCTION(reject_unauth_pipelining);
RESTRICTION_FUNCTION(reject_multi_recipient_bounce);
RESTRICTION_FUNCTION(reject_invalid_helo_hostname);
RESTRICTION_FUNCTION(reject_non_fqdn_helo_hostname);
RESTRICTION_FUNCTION(permit_auth_destination);
RESTRICTION_FUNCTION(reject_unauth_destination);
RESTRICTION_FUNCTION(defer_unauth_destination);
RESTRICTION_FUNCTION(reject_non_fqdn_sender);
RESTRICTION_FUNCTION(reject_non_fqdn_recipient);
RESTRICTION_FUNCTION(reject_unlisted_sender);
RESTRICTION_FUNCTION(reject_unlisted_recipient);
RESTRICTION_FUNCTION(reject_unknown_sender_domain);
RESTRICTION_FUNCTION(reject_unknown_recipient_domain);
RESTRICTION_FUNCTION(check_client_access);
RESTRICTION_FUNCTION(check_helo_access);
RESTRICTION_FUNCTION(check_greylist);
RESTRICTION_FUNCTION(check_policy_service);
RESTRICTION_FUNCTION(check_rate_limit);
RESTRICTION_FUNCTION(check_recipient_access);
RESTRICTION_FUNCTION(check_sender_access);
RESTRICTION_FUNCTION(defer_if_permit);
RESTRICTION_FUNCTION(defer_if_reject);
RESTRICTION_FUNCTION(permit_naked_ip_address);
RESTRICTION_FUNCTION(reject_unknown_client_hostname);
RESTRICTION_FUNCTION(reject_unknown_reverse_client_hostname);
RESTRICTION_FUNCTION(reject_unknown_helo_hostname);
RESTRICTION_FUNCTION(reject_sender_login_mismatch);
RESTRICTION_FUNCTION(reject_authenticated_sender_login_mismatch);
RESTRICTION_FUNCTION(reject_known_sender_login_mismatch);
RESTRICTION_FUNCTION(reject_unauthenticated_sender_login_mismatch);
RESTRICTION_FUNCTION(permit_dnswl_client);
RESTRICTION_FUNCTION(reject_maps_rbl);
RESTRICTION_FUNCTION(reject_rbl_client);
RESTRICTION_FUNCTION(reject_rhsbl_client);
RESTRICTION_FUNCTION(reject_rhsbl_helo);
RESTRICTION_FUNCTION(reject_rhsbl_recipient);
RESTRICTION_FUNCTION(reject_rhsbl_sender);

#endif

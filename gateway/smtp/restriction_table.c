/* Every restriction, once. Adding one is a line here and its function. */
#include "gateway/smtp/restriction_impl.h"

#include <string.h>

#include "gateway/base/str.h"

/* Sorted by name. */
static const struct restriction table[] = {
    {"defer", NULL, 0, restrict_defer},
    {"defer_unauth_destination", NULL, RESTRICTION_AT_RCPT, restrict_defer_unauth_destination},
    {"permit", NULL, 0, restrict_permit},
    {"permit_auth_destination", NULL, RESTRICTION_AT_RCPT, restrict_permit_auth_destination},
    {"permit_mynetworks", NULL, 0, restrict_permit_mynetworks},
    {"permit_sasl_authenticated", NULL, 0, restrict_permit_sasl_authenticated},
    {"reject", NULL, 0, restrict_reject},
    {"reject_invalid_helo_hostname", "reject_invalid_hostname", 0,
     restrict_reject_invalid_helo_hostname},
    {"reject_multi_recipient_bounce", NULL, RESTRICTION_AT_DATA,
     restrict_reject_multi_recipient_bounce},
    {"reject_non_fqdn_helo_hostname", "reject_non_fqdn_hostname", 0,
     restrict_reject_non_fqdn_helo_hostname},
    {"reject_non_fqdn_recipient", NULL, RESTRICTION_AT_RCPT, restrict_reject_non_fqdn_recipient},
    {"reject_non_fqdn_sender", NULL, 0, restrict_reject_non_fqdn_sender},
    {"reject_plaintext_session", NULL, 0, restrict_reject_plaintext_session},
    {"reject_unauth_destination", "check_relay_domains", RESTRICTION_AT_RCPT,
     restrict_reject_unauth_destination},
    {"reject_unauth_pipelining", NULL, 0, restrict_reject_unauth_pipelining},
    {"reject_unknown_recipient_domain", NULL, RESTRICTION_AT_RCPT,
     restrict_reject_unknown_recipient_domain},
    {"reject_unknown_sender_domain", NULL, 0, restrict_reject_unknown_sender_domain},
    {"reject_unlisted_recipient", "check_recipient_maps", RESTRICTION_AT_RCPT,
     restrict_reject_unlisted_recipient},
    {"reject_unlisted_sender", NULL, 0, restrict_reject_unlisted_sender},
    {"warn_if_reject", NULL, RESTRICTION_PREFIX, NULL},
};

const struct restriction *restriction_find(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (str_is(name, len, table[i].name) ||
            (table[i].older != NULL && str_is(name, len, table[i].older)))
            return &table[i];
    return NULL;
}

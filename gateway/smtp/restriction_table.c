/* Every restriction, once. Adding one is a line here and its function. */
#include "gateway/smtp/restriction_impl.h"

#include <string.h>

#include "gateway/base/str.h"

/* Sorted by name. */
static const struct restriction table[] = {
    {"check_ccert_access", NULL, RESTRICTION_ARG, restrict_check_ccert_access,
     restriction_table_valid},
    {"check_client_access", NULL, RESTRICTION_ARG, restrict_check_client_access,
     restriction_table_valid},
    {"check_greylist", NULL, RESTRICTION_AT_RCPT, restrict_check_greylist, NULL},
    {"check_helo_access", NULL, RESTRICTION_ARG, restrict_check_helo_access,
     restriction_table_valid},
    {"check_policy_service", NULL, RESTRICTION_ARG, restrict_check_policy_service,
     restriction_service_valid},
    {"check_rate_limit", NULL, RESTRICTION_ARG, restrict_check_rate_limit, restriction_rate_valid},
    {"check_recipient_access", NULL, RESTRICTION_ARG | RESTRICTION_AT_RCPT,
     restrict_check_recipient_access, restriction_table_valid},
    {"check_sender_access", NULL, RESTRICTION_ARG, restrict_check_sender_access,
     restriction_table_valid},
    {"defer", NULL, 0, restrict_defer, NULL},
    {"defer_if_permit", NULL, 0, restrict_defer_if_permit, NULL},
    {"defer_if_reject", NULL, 0, restrict_defer_if_reject, NULL},
    {"defer_unauth_destination", NULL, RESTRICTION_AT_RCPT, restrict_defer_unauth_destination,
     NULL},
    {"permit", NULL, 0, restrict_permit, NULL},
    {"permit_auth_destination", NULL, RESTRICTION_AT_RCPT, restrict_permit_auth_destination, NULL},
    {"permit_dnswl_client", NULL, RESTRICTION_ARG, restrict_permit_dnswl_client,
     restriction_dnsl_valid_unweighted},
    {"permit_mynetworks", NULL, 0, restrict_permit_mynetworks, NULL},
    {"permit_naked_ip_address", NULL, 0, restrict_permit_naked_ip_address, NULL},
    {"permit_tls_all_clientcerts", NULL, 0, restrict_permit_tls_all_clientcerts, NULL},
    {"permit_tls_clientcerts", NULL, 0, restrict_permit_tls_clientcerts, NULL},
    {"permit_sasl_authenticated", NULL, 0, restrict_permit_sasl_authenticated, NULL},
    {"reject", NULL, 0, restrict_reject, NULL},
    {"reject_authenticated_sender_login_mismatch", NULL, 0,
     restrict_reject_authenticated_sender_login_mismatch, NULL},
    {"reject_invalid_helo_hostname", "reject_invalid_hostname", 0,
     restrict_reject_invalid_helo_hostname, NULL},
    {"reject_known_sender_login_mismatch", NULL, 0, restrict_reject_known_sender_login_mismatch,
     NULL},
    {"reject_maps_rbl", NULL, 0, restrict_reject_maps_rbl, NULL},
    {"reject_multi_recipient_bounce", NULL, RESTRICTION_AT_DATA,
     restrict_reject_multi_recipient_bounce, NULL},
    {"reject_non_fqdn_helo_hostname", "reject_non_fqdn_hostname", 0,
     restrict_reject_non_fqdn_helo_hostname, NULL},
    {"reject_non_fqdn_recipient", NULL, RESTRICTION_AT_RCPT, restrict_reject_non_fqdn_recipient,
     NULL},
    {"reject_non_fqdn_sender", NULL, 0, restrict_reject_non_fqdn_sender, NULL},
    {"reject_partner_mismatch", NULL, 0, restrict_reject_partner_mismatch, NULL},
    {"reject_plaintext_session", NULL, 0, restrict_reject_plaintext_session, NULL},
    {"reject_rbl_client", NULL, RESTRICTION_ARG | RESTRICTION_WEIGHT, restrict_reject_rbl_client,
     restriction_dnsl_valid},
    {"reject_rhsbl_client", NULL, RESTRICTION_ARG | RESTRICTION_WEIGHT,
     restrict_reject_rhsbl_client, restriction_dnsl_valid},
    {"reject_rhsbl_helo", NULL, RESTRICTION_ARG | RESTRICTION_WEIGHT, restrict_reject_rhsbl_helo,
     restriction_dnsl_valid},
    {"reject_rhsbl_recipient", NULL, RESTRICTION_ARG | RESTRICTION_WEIGHT | RESTRICTION_AT_RCPT,
     restrict_reject_rhsbl_recipient, restriction_dnsl_valid},
    {"reject_rhsbl_sender", NULL, RESTRICTION_ARG | RESTRICTION_WEIGHT,
     restrict_reject_rhsbl_sender, restriction_dnsl_valid},
    {"reject_sender_login_mismatch", NULL, 0, restrict_reject_sender_login_mismatch, NULL},
    {"reject_unauth_destination", "check_relay_domains", RESTRICTION_AT_RCPT,
     restrict_reject_unauth_destination, NULL},
    {"reject_unauth_pipelining", NULL, 0, restrict_reject_unauth_pipelining, NULL},
    {"reject_unauthenticated_sender_login_mismatch", NULL, 0,
     restrict_reject_unauthenticated_sender_login_mismatch, NULL},
    {"reject_unknown_client_hostname", "reject_unknown_client", 0,
     restrict_reject_unknown_client_hostname, NULL},
    {"reject_unknown_helo_hostname", "reject_unknown_hostname", 0,
     restrict_reject_unknown_helo_hostname, NULL},
    {"reject_unknown_recipient_domain", NULL, RESTRICTION_AT_RCPT,
     restrict_reject_unknown_recipient_domain, NULL},
    {"reject_unknown_reverse_client_hostname", NULL, 0,
     restrict_reject_unknown_reverse_client_hostname, NULL},
    {"reject_unknown_sender_domain", NULL, 0, restrict_reject_unknown_sender_domain, NULL},
    {"reject_unlisted_recipient", "check_recipient_maps", RESTRICTION_AT_RCPT,
     restrict_reject_unlisted_recipient, NULL},
    {"reject_unlisted_sender", NULL, 0, restrict_reject_unlisted_sender, NULL},
    {"warn_if_reject", NULL, RESTRICTION_PREFIX, NULL, NULL},
};

const char *restriction_spelling(size_t i)
{
    if (i / 2 >= sizeof(table) / sizeof(table[0]))
        return NULL;
    if (i % 2 == 0)
        return table[i / 2].name;
    return table[i / 2].older != NULL ? table[i / 2].older : "";
}

const char *restriction_nearest(const char *word)
{
    size_t best = strlen(word) / 3 + 2;
    const char *nearest = NULL;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        size_t d = str_distance(word, table[i].name);
        if (d < best) {
            best = d;
            nearest = table[i].name;
        }
    }
    return nearest;
}

const struct restriction *restriction_find(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (str_is(name, len, table[i].name) ||
            (table[i].older != NULL && str_is(name, len, table[i].older)))
            return &table[i];
    return NULL;
}

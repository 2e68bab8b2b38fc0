/*
 * What the server can do: its root DSE first, then what stands at search_base. Both may be hidden
 * from us; what is not said is not there, and the method finds out.
 */
#include <string.h>

#include "directory/source_private.h"
#include "gateway/base/log.h"

int source_result_code(struct source *s, LDAPMessage *msg)
{
    int code = LDAP_OTHER;
    int rc = ldap_parse_result(ldapconn_ld(s->conn), msg, &code, NULL, NULL, NULL, NULL, 0);
    return rc == LDAP_SUCCESS ? code : rc;
}

static void ask(struct source *s, const char *dn, const char *const *attributes)
{
    int rc = ldap_search_ext(ldapconn_ld(s->conn), dn, LDAP_SCOPE_BASE, "(objectClass=*)",
                             (char **)attributes, 0, NULL, NULL, NULL, LDAP_NO_LIMIT, &s->ask_id);
    if (rc != LDAP_SUCCESS)
        source_fail(s, ldap_err2string(rc));
}

void source_ask(struct source *s)
{
    memset(&s->dse, 0, sizeof s->dse);
    s->phase = PHASE_ASKING;
    s->asking_base = false;
    ask(s, "", rootdse_attributes);
}

static void take(struct source *s, const struct berval *name, BerVarray values)
{
    if (values == NULL || values[0].bv_val == NULL)
        return;
    if (s->asking_base)
        rootdse_base_value(&s->dse, name->bv_val, name->bv_len);
    for (; !s->asking_base && values->bv_val != NULL; values++)
        rootdse_value(&s->dse, name->bv_val, name->bv_len, values->bv_val, values->bv_len);
}

static void take_entry(struct source *s, LDAPMessage *msg)
{
    LDAP *ld = ldapconn_ld(s->conn);
    BerElement *ber = NULL;
    struct berval dn;
    int rc = ldap_get_dn_ber(ld, msg, &ber, &dn);
    while (rc == LDAP_SUCCESS) {
        struct berval name;
        BerVarray values = NULL;
        rc = ldap_get_attribute_ber(ld, msg, ber, &name, &values);
        if (rc != LDAP_SUCCESS || name.bv_val == NULL)
            break;
        take(s, &name, values);
        ber_memfree(values);
    }
    ber_free(ber, 0);
}

static const struct source_method *choose(const struct source *s)
{
    static const struct source_method *const methods[] = {
        [CHOICE_SYNC] = &source_method_sync, [CHOICE_POLL] = &source_method_poll};
    enum source_choice choice = rootdse_choose(&s->dse, s->env->conf->directory_source, s->no_sync);
    return choice == CHOICE_NONE ? NULL : methods[choice];
}

static void begin(struct source *s)
{
    struct replica_state *state = replica_state(s->replica);
    s->method = choose(s);
    if (s->method == NULL) {
        source_fail(s, "the server has neither content synchronization (RFC 4533; on OpenLDAP load "
                       "the overlay syncprov) nor what directory_source = poll needs");
        return;
    }
    s->phase = PHASE_REFRESH;
    strlcpy(state->source, s->method->name, sizeof state->source);
    s->method->begin(s);
}

void source_ask_message(struct source *s, LDAPMessage *msg)
{
    if (ldap_msgid(msg) != s->ask_id)
        return;
    if (ldap_msgtype(msg) == LDAP_RES_SEARCH_ENTRY) {
        take_entry(s, msg);
    } else if (ldap_msgtype(msg) == LDAP_RES_SEARCH_RESULT && !s->asking_base) {
        s->asking_base = true;
        ask(s, s->env->conf->search_base, rootdse_base_attributes);
    } else if (ldap_msgtype(msg) == LDAP_RES_SEARCH_RESULT) {
        if (source_result_code(s, msg) == LDAP_NO_SUCH_OBJECT)
            source_fail(s, "search_base does not exist on the server, or may not be read");
        else
            begin(s);
    }
}

/*
 * What the server can do: its root DSE first, then what stands at search_base; and by its schema,
 * which profiles entries are read by. All may be hidden from us; what is not said is not there, and
 * the method finds out.
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

LDAPControl *source_page_control(struct source *s, const struct buf *page)
{
    struct berval cookie = {.bv_val = (char *)page->data, .bv_len = page->len};
    LDAPControl *control = NULL;
    if (s->dse.paged_control)
        ldap_create_page_control(ldapconn_ld(s->conn), (ber_int_t)s->env->conf->directory_page_size,
                                 page->len > 0 ? &cookie : NULL, 1, &control);
    return control;
}

int source_take_page(struct source *s, LDAPMessage *msg, struct buf *page)
{
    LDAP *ld = ldapconn_ld(s->conn);
    LDAPControl **controls = NULL, *control;
    struct berval cookie = {.bv_val = NULL};
    ber_int_t estimate;
    int code = LDAP_OTHER;
    buf_clear(page);
    int rc = ldap_parse_result(ld, msg, &code, NULL, NULL, NULL, &controls, 0);
    if (rc != LDAP_SUCCESS)
        return rc;
    control = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
    if (control != NULL &&
        ldap_parse_pageresponse_control(ld, control, &estimate, &cookie) == LDAP_SUCCESS &&
        buf_append(page, cookie.bv_val, cookie.bv_len) < 0)
        code = LDAP_OTHER;
    ber_memfree(cookie.bv_val);
    ldap_controls_free(controls);
    return code;
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
    static const struct source_method *const methods[] = {[CHOICE_SYNC] = &source_method_sync,
                                                          [CHOICE_POLL] = &source_method_poll,
                                                          [CHOICE_LOOKUP] = &source_method_lookup};
    enum source_choice choice = rootdse_choose(&s->dse, s->env->conf->directory_source, s->no_sync);
    return choice == CHOICE_NONE ? NULL : methods[choice];
}

/*
 * Entries that were read by other profiles have to be read again: the cookie, which stands for
 * them, is forgotten. 0 or -1 (the source has failed then).
 */
static int use_profiles(struct source *s)
{
    struct replica_state *state = replica_state(s->replica);
    source_entry_drop(s);
    profile_table_free(&s->table);
    s->table = profile_set_choose(s->env->profiles, s->env->conf, state->profiles);
    const char *signature = profile_table_signature(s->table);
    if (strcmp(signature, state->profiles) == 0)
        return 0;
    log_notice("the directory is read by other profiles", LOG_STR("profiles", signature),
               LOG_STR("before", state->profiles));
    if (source_tx_begin(s) < 0)
        return -1;
    strlcpy(state->profiles, signature, sizeof state->profiles);
    if (replica_set_cookie(s->replica, NULL, 0) == 0)
        return source_tx_commit(s);
    source_disk_failed(s);
    return -1;
}

static void begin(void *arg)
{
    struct source *s = arg;
    struct replica_state *state = replica_state(s->replica);
    detect_free(&s->detect);
    if (use_profiles(s) < 0)
        return;
    s->method = choose(s);
    if (s->method == NULL) {
        source_fail(s, "the server has neither content synchronization (RFC 4533; on OpenLDAP load "
                       "the overlay syncprov) nor what directory_source = poll needs");
        return;
    }
    if (s->env->further && s->method == &source_method_lookup) {
        source_fail(s,
                    "only the directory without a name can be asked name by name; this one needs "
                    "content synchronization or what directory_source = poll needs");
        return;
    }
    s->phase = PHASE_REFRESH;
    strlcpy(state->source, s->method->name, sizeof state->source);
    s->method->begin(s);
}

static void detect(struct source *s)
{
    s->detect = detect_start(s->conn, s->env->profiles, begin, s);
    if (s->detect == NULL)
        source_fail(s, "the server cannot be asked for its schema");
}

void source_ask_message(struct source *s, LDAPMessage *msg)
{
    if (detect_message(s->detect, msg))
        return;
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
            detect(s);
    }
}

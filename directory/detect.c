#include "directory/detect.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"

struct detect {
    struct ldapconn *conn;
    struct profile_set *set;
    void (*done)(void *arg);
    void *arg;
    int id;
    bool schema; /* the second search is under way */
    char *subschema;
};

static int ask(struct detect *d, const char *base, const char *filter, const char *const *attrs)
{
    return ldap_search_ext(ldapconn_ld(d->conn), base, LDAP_SCOPE_BASE, filter, (char **)attrs, 0,
                           NULL, NULL, NULL, 0, &d->id);
}

struct detect *detect_start(struct ldapconn *c, struct profile_set *set, void (*done)(void *arg),
                            void *arg)
{
    static const char *const attrs[] = {"subschemaSubentry",     "supportedControl",
                                        "supportedExtension",    "supportedFeatures",
                                        "supportedCapabilities", NULL};
    struct detect *d = mem_zalloc(sizeof *d);
    d->conn = c;
    d->set = set;
    d->done = done;
    d->arg = arg;
    profile_set_forget(set);
    if (ask(d, "", "(objectClass=*)", attrs) != LDAP_SUCCESS)
        detect_free(&d);
    return d;
}

void detect_free(struct detect **d)
{
    if (*d == NULL)
        return;
    free((*d)->subschema);
    free(*d);
    *d = NULL;
}

static void read_value(struct detect *d, const char *name, const struct berval *value)
{
    if (str_ieq(name, "subschemaSubentry") && d->subschema == NULL)
        d->subschema = mem_strndup(value->bv_val, value->bv_len);
    else
        profile_set_tell(d->set, name, value->bv_val, value->bv_len);
}

static void read_entry(struct detect *d, LDAPMessage *msg)
{
    LDAP *ld = ldapconn_ld(d->conn);
    BerElement *ber = NULL;
    char *name = ldap_first_attribute(ld, msg, &ber);
    for (; name != NULL; name = ldap_next_attribute(ld, msg, ber)) {
        struct berval **values = ldap_get_values_len(ld, msg, name);
        for (size_t i = 0; values != NULL && values[i] != NULL; i++)
            read_value(d, name, values[i]);
        ldap_value_free_len(values);
        ldap_memfree(name);
    }
    ber_free(ber, 0);
}

/* A search has ended, well or not: what it did not show is not known. */
static void go_on(struct detect *d)
{
    static const char *const attrs[] = {"objectClasses", "attributeTypes", NULL};
    if (!d->schema && d->subschema != NULL && *d->subschema != '\0') {
        d->schema = true;
        if (ask(d, d->subschema, "(objectClass=subschema)", attrs) == LDAP_SUCCESS)
            return;
    }
    d->done(d->arg);
}

bool detect_message(struct detect *d, LDAPMessage *msg)
{
    if (d == NULL || ldap_msgid(msg) != d->id)
        return false;
    if (ldap_msgtype(msg) == LDAP_RES_SEARCH_ENTRY)
        read_entry(d, msg);
    else if (ldap_msgtype(msg) == LDAP_RES_SEARCH_RESULT)
        go_on(d);
    return true;
}

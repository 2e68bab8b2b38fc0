/* Whether an entry is where the replica has it, asked on the connection of the sync. */
#include <stdlib.h>
#include <string.h>

#include "directory/source_private.h"
#include "gateway/base/mem.h"

/* More checks at one time than this are not asked; the bind's own answer stands. */
#define CHECKS_MAX 64

struct source_check {
    LIST_ENTRY(source_check) link;
    struct uuid uuid;
    int msgid;
    bool found, other;
    void (*fn)(enum answer answer, void *arg);
    void *arg;
};

struct source_check *source_check_dn(struct source *s, const struct uuid *uuid, const char *dn,
                                     void (*fn)(enum answer answer, void *arg), void *arg)
{
    char *attrs[] = {(char *)entry_key_attribute(rootdse_key(&s->dse)), NULL};
    struct source_check *c;
    size_t n = 0;
    LIST_FOREACH (c, &s->checks, link)
        n++;
    if (s->phase != PHASE_PERSIST || n >= CHECKS_MAX)
        return NULL;
    c = mem_zalloc(sizeof *c);
    c->uuid = *uuid;
    c->fn = fn;
    c->arg = arg;
    if (ldap_search_ext(ldapconn_ld(s->conn), dn, LDAP_SCOPE_BASE, "(objectClass=*)", attrs, 0,
                        NULL, NULL, NULL, 0, &c->msgid) != LDAP_SUCCESS) {
        free(c);
        return NULL;
    }
    LIST_INSERT_HEAD(&s->checks, c, link);
    return c;
}

void source_check_cancel(struct source_check *c)
{
    if (c != NULL)
        c->fn = NULL;
}

static void end(struct source_check *c, enum answer answer)
{
    LIST_REMOVE(c, link);
    if (c->fn != NULL)
        c->fn(answer, c->arg);
    free(c);
}

/* Whether the entry that the server has under this name is the one that was meant. */
static void take_entry(struct source *s, struct source_check *c, LDAPMessage *msg)
{
    enum entry_key key = rootdse_key(&s->dse);
    struct berval **values =
        ldap_get_values_len(ldapconn_ld(s->conn), msg, entry_key_attribute(key));
    struct uuid uuid;
    c->found = true;
    if (values != NULL && values[0] != NULL)
        c->other = entry_key_parse(key, values[0]->bv_val, values[0]->bv_len, &uuid) == 0 &&
                   !uuid_eq(&uuid, &c->uuid);
    ldap_value_free_len(values);
}

bool source_check_message(struct source *s, LDAPMessage *msg)
{
    struct source_check *c;
    int code = LDAP_OTHER;
    LIST_FOREACH (c, &s->checks, link)
        if (c->msgid == ldap_msgid(msg))
            break;
    if (c == NULL)
        return false;
    if (ldap_msgtype(msg) == LDAP_RES_SEARCH_ENTRY) {
        take_entry(s, c, msg);
    } else if (ldap_msgtype(msg) == LDAP_RES_SEARCH_RESULT) {
        if (ldap_parse_result(ldapconn_ld(s->conn), msg, &code, NULL, NULL, NULL, NULL, 0) != 0)
            code = LDAP_OTHER;
        bool absent = code == LDAP_NO_SUCH_OBJECT || c->other;
        end(c, absent ? ANSWER_ABSENT : c->found ? ANSWER_FOUND : ANSWER_UNKNOWN);
    }
    return true;
}

void source_check_end_all(struct source *s)
{
    while (!LIST_EMPTY(&s->checks))
        end(LIST_FIRST(&s->checks), ANSWER_UNKNOWN);
}

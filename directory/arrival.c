/*
 * Containers that come under search_base with what stands below them. A server tells of the
 * container alone when it is renamed into the scope of the search (RFC 4533 section 1.3.1), as it
 * does when a new one is made. So what is below a container that is new here is looked at; an entry
 * that is there and is not told of within a while means that everything has to be read again.
 */
#include <stdlib.h>
#include <string.h>

#include "directory/source_private.h"
#include "gateway/base/mem.h"

/* Who fills a new container is told of in this time. */
#define GRACE 2000
/* One that came with more than this is noticed by those. */
#define ENTRIES_MAX 1000

struct arrivals {
    struct source *source;
    struct buf waiting;  /* struct uuid each: containers */
    struct buf children; /* the same: entries below them, not here */
    int msgid;           /* 0: nothing is asked */
    struct timer *grace;
};

static bool is_here(struct source *s, const struct uuid *uuid)
{
    struct buf dn = {0};
    enum db_result rc = replica_dn(s->replica, uuid, &dn);
    buf_free(&dn);
    return rc != DB_NONE;
}

/* Looks below the next container that is still here. */
static void ask_next(struct arrivals *a)
{
    struct source *s = a->source;
    const struct uuid *next = (const struct uuid *)a->waiting.data;
    const char *names[SOURCE_ATTRIBUTES_MAX];
    struct buf dn = {0}, filter = {0};
    size_t n = 0, count = a->waiting.len / sizeof *next;
    while (n < count && replica_dn(s->replica, &next[n], &dn) != DB_OK)
        n++;
    buf_consume(&a->waiting, (n < count ? n + 1 : n) * sizeof *next);
    a->msgid = 0;
    if (n < count) {
        source_filter(s, &filter);
        size_t last = source_attribute_list(s, names);
        names[last] = entry_key_attribute(rootdse_key(&s->dse));
        names[last + 1] = NULL;
        /* A failure is one of the connection, and told by it. */
        ldap_search_ext(ldapconn_ld(s->conn), buf_str(&dn), LDAP_SCOPE_SUBTREE, buf_str(&filter),
                        (char **)names, 0, NULL, NULL, NULL, ENTRIES_MAX, &a->msgid);
    } else if (a->children.len > 0) {
        timer_set(a->grace, GRACE);
    }
    buf_free(&dn);
    buf_free(&filter);
}

static void on_grace(void *arg)
{
    struct arrivals *a = arg;
    const struct uuid *u = (const struct uuid *)a->children.data;
    size_t n = a->children.len / sizeof *u;
    bool missing = false;
    if (a->waiting.len > 0) {
        ask_next(a);
        return;
    }
    for (size_t i = 0; i < n && !missing; i++)
        missing = !is_here(a->source, &u[i]);
    buf_clear(&a->children);
    if (missing)
        source_start_afresh(a->source,
                            "a subtree came under search_base; asking again for everything");
}

/* An entry below: kept in mind where it means something to mail and is not here. */
static void take_entry(struct arrivals *a, LDAPMessage *msg)
{
    struct source *s = a->source;
    enum entry_key key = rootdse_key(&s->dse);
    struct berval **values =
        ldap_get_values_len(ldapconn_ld(s->conn), msg, entry_key_attribute(key));
    struct uuid uuid;
    bool named = values != NULL && values[0] != NULL &&
                 entry_key_parse(key, values[0]->bv_val, values[0]->bv_len, &uuid) == 0;
    ldap_value_free_len(values);
    if (named && !is_here(s, &uuid) && source_entry_matters(s, msg, &uuid))
        buf_append(&a->children, &uuid, sizeof uuid);
}

bool source_arrival_message(struct source *s, LDAPMessage *msg)
{
    struct arrivals *a = s->arrivals;
    if (a == NULL || a->msgid == 0 || ldap_msgid(msg) != a->msgid)
        return false;
    if (source_tx_commit(s) < 0) /* the replica is looked at */
        return true;
    if (ldap_msgtype(msg) == LDAP_RES_SEARCH_RESULT)
        ask_next(a);
    else if (ldap_msgtype(msg) == LDAP_RES_SEARCH_ENTRY)
        take_entry(a, msg);
    return true;
}

void source_arrived(struct source *s, const struct uuid *uuid)
{
    if (s->arrivals == NULL) {
        s->arrivals = mem_zalloc(sizeof *s->arrivals);
        s->arrivals->source = s;
        s->arrivals->grace = timer_new(s->env->loop, on_grace, s->arrivals);
    }
    struct arrivals *a = s->arrivals;
    buf_append(&a->waiting, uuid, sizeof *uuid);
    if (a->msgid == 0) /* once what came with it is written */
        timer_set(a->grace, 0);
}

void source_arrivals_end(struct source *s)
{
    struct arrivals *a = s->arrivals;
    s->arrivals = NULL;
    if (a == NULL)
        return;
    timer_free(&a->grace);
    buf_free(&a->waiting);
    buf_free(&a->children);
    free(a);
}

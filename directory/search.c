/* The entries that a filter finds on the server, asked on the connection of the sync, page by page.
 */
#include <stdlib.h>
#include <string.h>

#include "directory/source_private.h"
#include "gateway/base/buf.h"
#include "gateway/base/mem.h"

/* More searches at one time than this are not made. */
#define SEARCHES_MAX     32
#define SEARCH_SECONDS   25 /* that the server may take for a page */
#define SEARCH_PAGES_MAX 1000

struct source_search {
    LIST_ENTRY(source_search) link;
    struct source *source;
    struct memberurl url;
    size_t max;
    int msgid;
    unsigned pages;
    struct buf uuids;
    struct buf page; /* the server's cookie */
    void (*fn)(enum answer answer, const struct uuid *uuids, size_t n, const char *why, void *arg);
    void *arg;
};

static int ask(struct source_search *q)
{
    struct source *s = q->source;
    LDAP *ld = ldapconn_ld(s->conn);
    char *attrs[] = {(char *)entry_key_attribute(rootdse_key(&s->dse)), NULL};
    LDAPControl *controls[2] = {NULL};
    struct berval cookie = {.bv_val = (char *)q->page.data, .bv_len = q->page.len};
    struct timeval limit = {.tv_sec = SEARCH_SECONDS};
    int rc = LDAP_SUCCESS;
    if (s->dse.paged_control)
        rc = ldap_create_page_control(ld, (ber_int_t)s->env->conf->directory_page_size,
                                      cookie.bv_len > 0 ? &cookie : NULL, 1, &controls[0]);
    if (rc == LDAP_SUCCESS)
        rc = ldap_search_ext(ld, q->url.base, (int)q->url.scope, q->url.filter, attrs, 0, controls,
                             NULL, &limit, LDAP_NO_LIMIT, &q->msgid);
    if (controls[0] != NULL)
        ldap_control_free(controls[0]);
    return rc;
}

static void search_free(struct source_search *q)
{
    LIST_REMOVE(q, link);
    buf_free(&q->uuids);
    buf_free(&q->page);
    free(q);
}

struct source_search *source_search(struct source *s, const struct memberurl *url, size_t max,
                                    void (*fn)(enum answer answer, const struct uuid *uuids,
                                               size_t n, const char *why, void *arg),
                                    void *arg, const char **why)
{
    struct source_search *q;
    size_t n = 0;
    LIST_FOREACH (q, &s->searches, link)
        n++;
    *why = "the directory cannot be asked now";
    if (s->phase != PHASE_PERSIST || n >= SEARCHES_MAX)
        return NULL;
    q = mem_zalloc(sizeof *q);
    q->source = s;
    q->url = *url;
    q->max = max;
    q->fn = fn;
    q->arg = arg;
    LIST_INSERT_HEAD(&s->searches, q, link);
    int rc = ask(q);
    if (rc == LDAP_SUCCESS)
        return q;
    *why = ldap_err2string(rc);
    search_free(q);
    return NULL;
}

void source_search_cancel(struct source_search *q)
{
    if (q != NULL)
        q->fn = NULL;
}

static void end(struct source_search *q, enum answer answer, const char *why)
{
    if (q->fn != NULL)
        q->fn(answer, (const struct uuid *)q->uuids.data, q->uuids.len / sizeof(struct uuid), why,
              q->arg);
    search_free(q);
}

/* Without a name of its own for good an entry cannot be one that the replica has. */
static void take_entry(struct source_search *q, LDAPMessage *msg)
{
    struct source *s = q->source;
    enum entry_key key = rootdse_key(&s->dse);
    struct berval **values =
        ldap_get_values_len(ldapconn_ld(s->conn), msg, entry_key_attribute(key));
    struct uuid uuid;
    if (values != NULL && values[0] != NULL &&
        entry_key_parse(key, values[0]->bv_val, values[0]->bv_len, &uuid) == 0)
        buf_append(&q->uuids, &uuid, sizeof uuid);
    ldap_value_free_len(values);
}

/* The result of one page; its code. The cookie is empty where it was the last. */
static int take_result(struct source_search *q, LDAPMessage *msg)
{
    LDAP *ld = ldapconn_ld(q->source->conn);
    LDAPControl **controls = NULL, *control;
    struct berval cookie = {.bv_val = NULL};
    ber_int_t estimate;
    int code = LDAP_OTHER;
    buf_clear(&q->page);
    int rc = ldap_parse_result(ld, msg, &code, NULL, NULL, NULL, &controls, 0);
    if (rc != LDAP_SUCCESS)
        return rc;
    control = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
    if (control != NULL &&
        ldap_parse_pageresponse_control(ld, control, &estimate, &cookie) == LDAP_SUCCESS)
        buf_append(&q->page, cookie.bv_val, cookie.bv_len);
    ber_memfree(cookie.bv_val);
    ldap_controls_free(controls);
    return code;
}

bool source_search_message(struct source *s, LDAPMessage *msg)
{
    struct source_search *q;
    LIST_FOREACH (q, &s->searches, link)
        if (q->msgid == ldap_msgid(msg))
            break;
    if (q == NULL)
        return false;
    if (ldap_msgtype(msg) == LDAP_RES_SEARCH_ENTRY) {
        take_entry(q, msg);
        return true;
    }
    if (ldap_msgtype(msg) != LDAP_RES_SEARCH_RESULT)
        return true;
    int code = take_result(q, msg);
    if (q->uuids.len / sizeof(struct uuid) > q->max) {
        end(q, ANSWER_UNKNOWN, "more members than alias_expansion_limit allows");
    } else if (code == LDAP_SUCCESS && q->page.len > 0 && q->pages++ < SEARCH_PAGES_MAX) {
        code = ask(q);
        if (code != LDAP_SUCCESS)
            end(q, ANSWER_UNKNOWN, ldap_err2string(code));
    } else if (code == LDAP_SUCCESS && q->page.len == 0) {
        end(q, ANSWER_FOUND, NULL);
    } else {
        /* No such base, or the server gave up: either may be a mistake that is being mended. */
        end(q, ANSWER_UNKNOWN, ldap_err2string(code));
    }
    return true;
}

void source_search_end_all(struct source *s)
{
    while (!LIST_EMPTY(&s->searches))
        end(LIST_FIRST(&s->searches), ANSWER_UNKNOWN, "the directory has gone away");
}

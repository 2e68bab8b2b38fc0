/* Whose a Kerberos principal is: SASL GSSAPI (RFC 4752). */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "sasl/auth.h"

/*
 * Cyrus leaves the default realm of krb5.conf out. An entry is looked up by the whole principal,
 * and a login name by what stands before a realm of ours; never by what may be another realm's.
 */
struct principal {
    char *whole; /* NULL: the default realm's, whose name nobody has told */
    char *name;  /* NULL: of a realm that names no login */
};

static void principal_split(const struct conf *conf, const char *text, struct principal *out)
{
    const struct conf_list *realms = &conf->auth_krb5_realms;
    const char *at = strrchr(text, '@');
    memset(out, 0, sizeof(*out));
    if (at == NULL) {
        out->name = mem_strdup(text);
        if (realms->n > 0)
            out->whole = mem_printf("%s@%s", text, realms->v[0]);
        return;
    }
    out->whole = mem_strdup(text);
    for (size_t i = 0; i < realms->n && out->name == NULL; i++)
        if (strcmp(at + 1, realms->v[i]) == 0)
            out->name = mem_strndup(text, (size_t)(at - text));
}

/* A service or an administrator's instance ("host/a.example.org", "alice/admin") is no login name,
 * nor is an address. */
static bool names_login(const char *name)
{
    return name != NULL && strpbrk(name, "/@\\") == NULL;
}

static enum answer principal_find(struct snapshot *snap, const struct principal *who,
                                  const struct entry **e, const char **by)
{
    enum answer answer = ANSWER_ABSENT;
    *by = "krbPrincipalName";
    if (who->whole != NULL)
        answer = entry_by_principal(snap, who->whole, e);
    if (answer == ANSWER_ABSENT && names_login(who->name)) {
        *by = "principal";
        answer = entry_by_login(snap, who->name, e);
    }
    if (answer == ANSWER_ABSENT && !snapshot_in_sync(snap))
        answer = ANSWER_UNKNOWN;
    return answer;
}

enum login_answer principal_login(struct auth_process *p, const char *text, struct login *out,
                                  const char **by, const char **why)
{
    struct snapshot *snap = snapshot_take(p->directory);
    const struct entry *e = NULL;
    struct principal who;

    memset(out, 0, sizeof(*out));
    if (snap == NULL) {
        *why = "the replica cannot be read";
        return LOGIN_UNKNOWN;
    }
    principal_split(p->conf, text, &who);
    enum answer answer = principal_find(snap, &who, &e, by);
    enum login_answer result = login_of(p, snap, answer, e, NULL, out, why);
    if (result == LOGIN_REFUSED && answer == ANSWER_ABSENT)
        *why = "the principal is nobody's";
    snapshot_release(&snap);
    free(who.whole);
    free(who.name);
    return result;
}

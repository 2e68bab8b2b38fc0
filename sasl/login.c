#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "sasl/auth.h"

static char *copy_value(const struct entry *e, enum entry_attr attr)
{
    const char *value = entry_value(e, attr, 0);
    return value == NULL ? NULL : mem_strdup(value);
}

static void login_fill(struct auth_process *p, struct snapshot *snap, const struct entry *e,
                       const char *name, struct login *out)
{
    out->owner = *entry_uuid(e);
    out->directory = snapshot_directory_of(snap, e);
    out->kinds = entry_kinds(e);
    out->name = copy_value(e, ATTR_UID);
    if (out->name == NULL && name == NULL)
        out->name = copy_value(e, ATTR_MAIL);
    if (out->name == NULL)
        out->name = mem_strdup(name == NULL ? entry_dn(e) : name);
    out->address = copy_value(e, ATTR_MAIL);
    out->dn = mem_strdup(entry_dn(e));
    const char *host = entry_value(e, ATTR_MAIL_HOST, 0);
    if (host != NULL && !str_ieq(host, p->conf->myhostname))
        out->mail_host = mem_strdup(host);
}

static enum login_answer login_judge(struct snapshot *snap, enum answer answer,
                                     const struct entry *e, const char **why)
{
    switch (answer) {
    case ANSWER_UNKNOWN:
        *why = "the directory cannot say";
        return LOGIN_UNKNOWN;
    case ANSWER_ABSENT:
        *why = "no such user";
        return LOGIN_REFUSED;
    case ANSWER_FOUND:
        break;
    }
    if (!snapshot_fresh_for_login(snap)) {
        *why = "the replica is too old for logins";
        return LOGIN_UNKNOWN;
    }
    if (!(entry_kinds(e) & ENTRY_USER)) {
        *why = "not a user";
        return LOGIN_REFUSED;
    }
    if (entry_kinds(e) & (ENTRY_DISABLED | ENTRY_NO_LOGIN)) {
        *why = "may not log in";
        return LOGIN_REFUSED;
    }
    return LOGIN_FOUND;
}

enum login_answer login_of(struct auth_process *p, struct snapshot *snap, enum answer answer,
                           const struct entry *e, const char *name, struct login *out,
                           const char **why)
{
    memset(out, 0, sizeof(*out));
    enum login_answer result = login_judge(snap, answer, e, why);
    if (result == LOGIN_FOUND)
        login_fill(p, snap, e, name, out);
    return result;
}

enum login_answer login_lookup(struct auth_process *p, const char *name, struct login *out,
                               const char **why)
{
    struct snapshot *snap = snapshot_take(p->directory);
    const struct entry *e = NULL;

    memset(out, 0, sizeof(*out));
    if (snap == NULL) {
        *why = "the replica cannot be read";
        return LOGIN_UNKNOWN;
    }
    enum answer answer = entry_by_login(snap, name, &e);
    enum login_answer result = login_of(p, snap, answer, e, name, out, why);
    snapshot_release(&snap);
    return result;
}

void login_clear(struct login *l)
{
    free(l->name);
    free(l->address);
    free(l->dn);
    free(l->mail_host);
    memset(l, 0, sizeof(*l));
}

/* Keeps the passwords in clear text. */
static void keep_clear(struct secrets_list *list)
{
    size_t kept = 0, skip = strlen(SECRETS_CLEAR);
    for (size_t i = 0; i < list->count; i++) {
        char *value = list->value[i];
        if (strncmp(value, SECRETS_CLEAR, skip) == 0)
            list->value[kept++] = mem_strdup(value + skip);
        mem_wipe_free_str(value);
    }
    list->count = kept;
}

/* Keeps the keys that mechanism can use. */
static void keep_keys_of(struct secrets_list *list, const char *mechanism)
{
    size_t len = strlen(mechanism), kept = 0;
    if (str_iends(mechanism, "-PLUS"))
        len -= strlen("-PLUS");
    for (size_t i = 0; i < list->count; i++) {
        char *value = list->value[i];
        if (str_ieq_n(value, mechanism, len) && value[len] == '$')
            list->value[kept++] = value;
        else
            mem_wipe_free_str(value);
    }
    list->count = kept;
}

int login_keys(struct auth_process *p, const char *name, const char *mechanism, struct uuid *owner,
               struct secrets_list *out)
{
    struct login login;
    const char *why;
    enum login_answer answer = login_lookup(p, name, &login, &why);

    memset(owner, 0, sizeof(*owner));
    out->count = 0;
    if (answer == LOGIN_UNKNOWN)
        return -1;
    if (answer == LOGIN_FOUND) {
        /* A key would go past the one-time code. */
        enum answer keys = login.kinds & (ENTRY_TOTP | ENTRY_ONE_TIME)
                               ? ANSWER_ABSENT
                               : secrets_lookup(p->secrets, login.directory, &login.owner, out);
        if (keys == ANSWER_FOUND && str_ieq(mechanism, "CRAM-MD5"))
            keep_clear(out);
        else if (keys == ANSWER_FOUND)
            keep_keys_of(out, mechanism);
        if (out->count > 0)
            *owner = login.owner;
        login_clear(&login);
        if (keys == ANSWER_UNKNOWN)
            return -1;
        if (out->count > 0)
            return 0;
    }
    char *fake =
        fake_key(p->fake_secret, mechanism, (unsigned)p->conf->auth_scram_iterations, name);
    if (fake == NULL)
        return -1;
    out->value[out->count++] = fake;
    return 0;
}

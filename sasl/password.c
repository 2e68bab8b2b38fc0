/* App passwords and one-time codes. */
#include "sasl/password.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <time.h>

#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/base/hmac.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "sasl/totp.h"

/* RFC 3112: the scheme, the salt, and the hash of password and salt. */
#define SCHEME "SHA256$"

enum {
    PASSWORD_MAX = 1024,
    SALT_MAX = 64,
    CODES_MAX = 65536, /* entries whose last code is remembered */
    SKEW = 1           /* steps that the clock of the user's device may be off */
};

/* ---- used codes ---- */

struct used_code {
    RB_ENTRY(used_code) node;
    TAILQ_ENTRY(used_code) by_age;
    struct uuid owner;
    uint64_t step;
};

RB_HEAD(used_tree, used_code);

struct used_codes {
    struct used_tree tree;
    TAILQ_HEAD(, used_code) ages;
    size_t count;
};

static int used_cmp(const struct used_code *a, const struct used_code *b)
{
    return memcmp(&a->owner, &b->owner, sizeof(a->owner));
}

RB_GENERATE_INTERNAL(used_tree, used_code, node, used_cmp, static __attribute__((unused)))

struct used_codes *used_codes_new(void)
{
    struct used_codes *u = mem_zalloc(sizeof(*u));
    RB_INIT(&u->tree);
    TAILQ_INIT(&u->ages);
    return u;
}

static void used_remove(struct used_codes *u, struct used_code *c)
{
    RB_REMOVE(used_tree, &u->tree, c);
    TAILQ_REMOVE(&u->ages, c, by_age);
    u->count--;
    free(c);
}

void used_codes_free(struct used_codes **u)
{
    struct used_code *c;
    if (*u == NULL)
        return;
    while ((c = TAILQ_FIRST(&(*u)->ages)) != NULL)
        used_remove(*u, c);
    free(*u);
    *u = NULL;
}

static uint64_t used_last(struct used_codes *u, const struct uuid *owner)
{
    struct used_code key = {.owner = *owner}, *c = RB_FIND(used_tree, &u->tree, &key);
    return c != NULL ? c->step : 0;
}

static void used_set(struct used_codes *u, const struct uuid *owner, uint64_t step)
{
    struct used_code key = {.owner = *owner}, *c = RB_FIND(used_tree, &u->tree, &key);
    if (c != NULL)
        used_remove(u, c);
    if (u->count == CODES_MAX) /* the oldest one's time is long over */
        used_remove(u, TAILQ_FIRST(&u->ages));
    c = mem_zalloc(sizeof(*c));
    c->owner = *owner;
    c->step = step;
    RB_INSERT(used_tree, &u->tree, c);
    TAILQ_INSERT_TAIL(&u->ages, c, by_age);
    u->count++;
}

/* ---- app passwords ---- */

/* Whether "SHA256$SALT$HASH" is of this password. */
static bool matches(const char *value, const char *password)
{
    struct buf salt = {.max = SALT_MAX}, hash = {.max = 2 * HMAC_LEN}, text = {0};
    uint8_t digest[HMAC_LEN], differs = 0;
    const char *dollar;
    bool same = false;
    if (!str_istarts(value, SCHEME) || (dollar = strchr(value + strlen(SCHEME), '$')) == NULL)
        return false;
    value += strlen(SCHEME);
    if (str_base64_decode(&salt, value, (size_t)(dollar - value)) == 0 &&
        str_base64_decode(&hash, dollar + 1, strlen(dollar + 1)) == 0 && hash.len == HMAC_LEN) {
        buf_append_str(&text, password);
        buf_append(&text, salt.data, salt.len);
        hash_sha256(text.data, text.len, digest);
        for (size_t i = 0; i < HMAC_LEN; i++)
            differs |= digest[i] ^ (uint8_t)hash.data[i];
        same = differs == 0;
    }
    buf_wipe_free(&text);
    buf_wipe_free(&hash);
    buf_free(&salt);
    explicit_bzero(digest, sizeof(digest));
    return same;
}

static bool is_for(const struct entry *e, const char *service)
{
    const char *value;
    if (entry_count(e, ATTR_SERVICE) == 0)
        return true;
    for (size_t i = 0; (value = entry_value(e, ATTR_SERVICE, i)) != NULL; i++)
        if (str_ieq(value, service))
            return true;
    return false;
}

/* A GeneralizedTime in UTC, as far as seconds; what cannot be read is over. */
static bool is_over(const char *text)
{
    struct tm tm = {0};
    char *end = strptime(text, "%Y%m%d%H%M%S", &tm);
    if (end == NULL)
        return true;
    while (*end == '.' || *end == ',' || (*end >= '0' && *end <= '9'))
        end++;
    return strcmp(end, "Z") != 0 || timegm(&tm) <= (time_t)clock_wall();
}

static enum answer check_app_password(struct auth_process *p, struct snapshot *snap,
                                      const char *directory, const struct uuid *uuid,
                                      const char *service, const char *password)
{
    struct secrets_list keys = {0};
    const struct entry *e;
    enum answer answer = entry_by_uuid(snap, uuid, &e);
    if (answer != ANSWER_FOUND)
        return answer;
    const char *end = entry_value(e, ATTR_NOT_AFTER, 0);
    if (strcmp(snapshot_directory_of(snap, e), directory) != 0 ||
        !(entry_kinds(e) & ENTRY_APP_PASSWORD) || !is_for(e, service) ||
        (end != NULL && is_over(end)))
        return ANSWER_ABSENT;
    answer = secrets_lookup(p->secrets, directory, uuid, &keys);
    bool found = false;
    for (size_t i = 0; answer == ANSWER_FOUND && i < keys.count; i++)
        found = matches(keys.value[i], password) || found;
    secrets_list_wipe(&keys);
    if (found)
        log_info("app password used", LOG_STR("dn", entry_dn(e)), LOG_STR("service", service));
    return found ? ANSWER_FOUND : answer == ANSWER_UNKNOWN ? ANSWER_UNKNOWN : ANSWER_ABSENT;
}

/* One that cannot be read hides none that can. */
static enum answer check_app_passwords(struct auth_process *p, struct snapshot *snap,
                                       const struct entry *user, const char *service,
                                       const char *password)
{
    struct uuid uuids[ENTRY_APP_PASSWORDS_MAX];
    const char *directory = snapshot_directory_of(snap, user);
    enum answer answer = ANSWER_ABSENT;
    int n = entry_app_passwords(snap, user, uuids);
    if (n < 0)
        return ANSWER_UNKNOWN;
    for (int i = 0; i < n; i++) {
        enum answer one = check_app_password(p, snap, directory, &uuids[i], service, password);
        if (one == ANSWER_FOUND)
            return one;
        if (one == ANSWER_UNKNOWN)
            answer = one;
    }
    return answer;
}

/* ---- one-time codes ---- */

static int read_totp(struct auth_process *p, const struct login *login, struct totp *totp)
{
    struct secrets_list keys = {0};
    int rc = -1;
    if (secrets_lookup(p->secrets, login->directory, &login->owner, &keys) == ANSWER_FOUND)
        for (size_t i = 0; i < keys.count; i++)
            if (strncmp(keys.value[i], SECRETS_TOTP, strlen(SECRETS_TOTP)) == 0)
                rc = totp_parse(totp, keys.value[i] + strlen(SECRETS_TOTP));
    secrets_list_wipe(&keys);
    return rc;
}

/* The password ends in its code. */
static enum password_answer take_code(struct auth_process *p, const struct login *login,
                                      const char *password, char **rest, const char **why)
{
    enum password_answer answer = PASSWORD_WRONG;
    size_t len = strlen(password);
    struct totp totp;
    uint64_t step;
    if (read_totp(p, login, &totp) < 0) {
        *why = "the secret of its one-time codes cannot be read";
        return PASSWORD_UNKNOWN;
    }
    *why = "wrong one-time code";
    if (len > totp.digits && totp_check(&totp, password + len - totp.digits, clock_wall(), SKEW,
                                        used_last(p->used_codes, &login->owner), &step)) {
        used_set(p->used_codes, &login->owner, step);
        *rest = mem_strndup(password, len - totp.digits);
        answer = PASSWORD_BIND;
    }
    explicit_bzero(&totp, sizeof(totp));
    return answer;
}

enum password_answer password_judge(struct auth_process *p, const struct login *login,
                                    const char *service, const char *password, char **rest,
                                    const char **why)
{
    struct snapshot *snap = snapshot_take(p->directory);
    const struct entry *e;
    enum answer app = ANSWER_UNKNOWN;
    *why = "app passwords cannot be read";
    *rest = NULL;
    if (snap == NULL)
        return PASSWORD_UNKNOWN;
    if (strlen(password) <= PASSWORD_MAX && entry_by_uuid(snap, &login->owner, &e) == ANSWER_FOUND)
        app = check_app_passwords(p, snap, e, service, password);
    snapshot_release(&snap);
    if (app != ANSWER_ABSENT)
        return app == ANSWER_FOUND ? PASSWORD_APP : PASSWORD_UNKNOWN;
    if (login->kinds & ENTRY_TOTP)
        return take_code(p, login, password, rest, why);
    *rest = mem_strdup(password);
    return PASSWORD_BIND;
}

/* What an exchange comes to: who the client is, and whether it has proved that. */
#include <stdlib.h>
#include <string.h>

#include "directory/protocol.h"
#include "gateway/base/clock.h"
#include "gateway/base/hmac.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "sasl/exchange.h"
#include "sasl/password.h"

/* ---- deciding ---- */

/* Too many wrong passwords lately: nobody is asked whether this one is right. */
static void exchange_hold(struct exchange *x)
{
    exchange_log(x, "temporary", "too many wrong passwords lately");
    x->process->undecided++;
    exchange_end_at(x, AUTH_TEMPORARY, x->process->conf->auth_failure_delay);
}

/* A password for a name without an entry to log in to: counted as one for an entry is. */
static void exchange_refuse_name(struct exchange *x, const char *name, const char *password,
                                 const char *why)
{
    struct guesses *g = x->process->guesses;
    struct uuid id;
    uint8_t hash[HMAC_LEN];
    char *lower = mem_strdup(name);
    str_lower(lower);
    hash_sha256(lower, strlen(lower), hash);
    free(lower);
    memcpy(id.bytes, hash, sizeof(id.bytes));
    if (!guesses_begin(g, &id)) {
        exchange_hold(x);
        return;
    }
    guesses_end(g, &id, password, GUESS_WRONG);
    exchange_refuse(x, why);
}

static int exchange_bound(enum ipc_status status, struct msg *m, void *arg)
{
    struct exchange *x = arg;
    unsigned result = DIRECTORY_BIND_UNAVAILABLE, end = PASSWORD_END_UNSAID;
    const char *text = "";

    x->bind_id = 0;
    if (status == IPC_OK) {
        result = msg_get_u8(m);
        text = msg_get_str(m);
        end = msg_get_u8(m);
        x->password_end.value = msg_get_u32(m);
        if (msg_type(m) != DIRECTORY_MSG_BIND_RESULT || msg_end(m) < 0 ||
            result > DIRECTORY_BIND_HELD || end > PASSWORD_GRACE) {
            exchange_undecided(x, "dirigo-directory spoke nonsense");
            return -1;
        }
        log_debug("bind", LOG_STR("id", x->session), LOG_UINT("result", result),
                  LOG_STR("text", text));
    }
    switch ((enum directory_bind)result) {
    case DIRECTORY_BIND_OK:
        x->password_end.kind = (enum password_end_kind)end;
        exchange_authorise(x);
        break;
    case DIRECTORY_BIND_INVALID:
        exchange_refuse(x, "wrong password");
        break;
    case DIRECTORY_BIND_EXPIRED:
        exchange_refuse_as(x, AUTH_EXPIRED, "the password has expired");
        break;
    case DIRECTORY_BIND_LOCKED:
        exchange_refuse_as(x, AUTH_LOCKED, "the directory has locked the account");
        break;
    case DIRECTORY_BIND_MUST_CHANGE:
        exchange_refuse_as(x, AUTH_MUST_CHANGE, "the password must be changed first");
        break;
    case DIRECTORY_BIND_HELD:
        exchange_hold(x);
        break;
    case DIRECTORY_BIND_UNAVAILABLE:
        exchange_undecided(x, "the directory cannot verify the password");
        break;
    }
    return 0;
}

static void exchange_bind(struct exchange *x, const char *password)
{
    struct auth_process *p = x->process;
    struct msg *m = msg_new(DIRECTORY_MSG_BIND);
    msg_put_uuid(m, &x->login.owner);
    msg_put_str(m, password);
    x->state = EXCHANGE_BIND;
    int64_t left = x->deadline - clock_now_ms();
    x->bind_id = ipc_request(p->binder, &m, left > 1 ? left : 1, exchange_bound, x);
}

static void exchange_verify(struct exchange *x, const char *password)
{
    const char *why;
    char *rest;
    if (*password == '\0') {
        /* A bind without a password succeeds at many servers, as nobody (RFC 4513 section 5.1.2).
         */
        exchange_refuse(x, "empty password");
        return;
    }
    switch (password_judge(x->process, &x->login, x->service, password, &rest, &why)) {
    case PASSWORD_BIND:
        exchange_bind(x, rest);
        mem_wipe_free_str(rest);
        break;
    case PASSWORD_APP:
        x->by = "app password";
        exchange_authorise(x);
        break;
    case PASSWORD_WRONG:
        exchange_refuse(x, why);
        break;
    case PASSWORD_UNKNOWN:
        exchange_undecided(x, why);
        break;
    }
}

bool exchange_claim(struct exchange *x, const struct uuid *owner, const char *name)
{
    static const struct uuid nobody;
    char text[UUID_STRLEN];
    if (x->claimed != NULL)
        return true;
    if (!uuid_eq(owner, &nobody))
        name = uuid_str(owner, text);
    if (!throttle_claim(x->process->throttle, name))
        return false;
    x->claimed = mem_strdup(name);
    return true;
}

/* The entry of who the client says it is. */
static enum login_answer exchange_look_up(struct exchange *x, const char *name, const char **why)
{
    if (x->known)
        return LOGIN_FOUND;
    if (strcmp(x->mechanism, "GSSAPI") != 0)
        return login_lookup(x->process, name, &x->login, why);
    enum login_answer answer = principal_login(x->process, name, &x->login, &x->by, why);
    x->keys_owner = x->login.owner;
    return answer;
}

static void exchange_decide(struct exchange *x);

static void exchange_wanted(void *arg)
{
    struct exchange *x = arg;
    x->want = NULL;
    exchange_decide(x);
}

/* Whether the name's entry is being asked for; then the decision comes when it is here. */
static bool exchange_wants(struct exchange *x, const char *name)
{
    if (x->known || x->wanted)
        return false;
    x->wanted = true;
    x->want = directory_want(x->process->directory, WANTED_LOGIN, name, NULL, exchange_wanted, x);
    return x->want != NULL;
}

/* The client has said who it is, and has proved it or given a password. */
static void exchange_decide(struct exchange *x)
{
    if (exchange_wants(x, conversation_user(x->conversation)))
        return;
    const char *why = "", *password = conversation_password(x->conversation);
    const char *name = conversation_user(x->conversation);
    enum login_answer answer = exchange_look_up(x, name, &why);
    if (answer != LOGIN_UNKNOWN && !exchange_claim(x, &x->login.owner, name)) {
        exchange_undecided(x, "too many attempts at this login under way");
        return;
    }
    switch (answer) {
    case LOGIN_UNKNOWN:
        exchange_undecided(x, why);
        return;
    case LOGIN_REFUSED:
        if (password != NULL && *password != '\0')
            exchange_refuse_name(x, name, password, why);
        else
            exchange_refuse(x, why);
        return;
    case LOGIN_FOUND:
        break;
    }
    if (password != NULL)
        exchange_verify(x, password);
    else if (!uuid_eq(&x->login.owner, &x->keys_owner))
        exchange_undecided(x, "the name went to another entry meanwhile");
    else
        exchange_authorise(x);
}

/* ---- access tokens ---- */

static void exchange_refuse_token(struct exchange *x, enum token_answer answer, const char *why)
{
    int64_t left = x->arrived + exchange_fail(x, why) - clock_now_ms();
    x->error = oauth_error(x->process->conf, answer, strcmp(x->mechanism, "XOAUTH2") == 0);
    x->state = EXCHANGE_DELAY;
    timer_set(x->timer, left > 0 ? left : 0);
}

/* The token is good and names somebody: is there an entry that may log in? */
static void exchange_take_token(struct exchange *x)
{
    const char *why = "", *out, *user = x->token_user;
    size_t len;
    enum login_answer answer = login_lookup(x->process, user, &x->login, &why);
    if (answer != LOGIN_UNKNOWN && !exchange_claim(x, &x->login.owner, user)) {
        exchange_undecided(x, "too many attempts at this login under way");
        return;
    }
    switch (answer) {
    case LOGIN_UNKNOWN:
        exchange_undecided(x, why);
        return;
    case LOGIN_REFUSED:
        exchange_refuse_token(x, TOKEN_INVALID, why);
        return;
    case LOGIN_FOUND:
        break;
    }
    x->known = true;
    x->keys_owner = x->login.owner;
    enum conversation_result r =
        conversation_verdict(x->conversation, x->login.name, NULL, &out, &len);
    exchange_go_on(x, r, out, len);
}

static void exchange_token_wanted(void *arg)
{
    struct exchange *x = arg;
    x->want = NULL;
    exchange_take_token(x);
}

static void exchange_token_judged(enum token_answer answer, const char *user, const char *why,
                                  void *arg)
{
    struct exchange *x = arg;
    x->check = NULL;
    if (answer == TOKEN_UNKNOWN) {
        exchange_undecided(x, why);
        return;
    }
    if (answer != TOKEN_GOOD) {
        exchange_refuse_token(x, answer, why);
        return;
    }
    x->token_user = mem_strdup(user);
    x->want =
        directory_want(x->process->directory, WANTED_LOGIN, user, NULL, exchange_token_wanted, x);
    if (x->want == NULL)
        exchange_take_token(x);
}

static void exchange_check_token(struct exchange *x)
{
    x->state = EXCHANGE_TOKEN;
    x->check = oauth_verify(x->process->oauth, conversation_token(x->conversation),
                            exchange_token_judged, x);
}

void exchange_go_on(struct exchange *x, enum conversation_result result, const char *out,
                    size_t len)
{
    switch (result) {
    case CONVERSATION_CONTINUE:
        exchange_reply(x, result_msg(AUTH_CONTINUE, out, len));
        break;
    case CONVERSATION_DONE:
        exchange_decide(x);
        break;
    case CONVERSATION_TOKEN:
        exchange_check_token(x);
        break;
    case CONVERSATION_NO_MECHANISM:
        exchange_end(x, AUTH_BAD_MECH);
        break;
    case CONVERSATION_MALFORMED:
        exchange_log(x, "denied", "malformed");
        exchange_end_at(x, AUTH_BAD_SYNTAX, x->process->conf->auth_failure_delay);
        break;
    case CONVERSATION_UNAVAILABLE:
        exchange_undecided(x, "keys cannot be read");
        break;
    case CONVERSATION_DENIED:
        if (x->told) /* and counted */
            exchange_end(x, AUTH_DENIED);
        else
            exchange_refuse(x, "not proved");
        break;
    }
}

/* ---- what the conversation asks ---- */

static int exchange_keys(const char *user, struct secrets_list *out, void *arg)
{
    struct exchange *x = arg;
    if (login_keys(x->process, user, x->mechanism, &x->keys_owner, out) < 0)
        return -1;
    if (exchange_claim(x, &x->keys_owner, user))
        return 0;
    secrets_list_wipe(out);
    return -1;
}

const struct conversation_ops exchange_conversation_ops = {
    .keys = exchange_keys,
};

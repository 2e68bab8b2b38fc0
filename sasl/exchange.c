/*
 * Exchanges with front ends. The story of one:
 *
 *   START, STEP  ->  Cyrus steps  ->  RESULT continue ... (the client's turn)
 *                                 ->  proved by key     ->  the entry is looked up  ->  RESULT
 *                                 ->  a password        ->  looked up, BIND at dirigo-directory
 *                                                           ->  RESULT
 *                                 ->  an access token   ->  verified, looked up  ->  Cyrus steps
 *
 *   With EXTERNAL the client's certificate is the proof, and its entry is looked up first. Who asks
 *   to act for another is judged last, when it is known who asks.
 *
 * A refusal waits: it leaves a delay after the client's last bytes came, not after it was decided,
 * so that it tells nothing of how long deciding took and a name that exists looks like one that
 * does not. auth_timeout bounds everything before.
 */
#include "sasl/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/ticket.h"
#include "sasl/protocol.h"

static int exchange_cmp(const struct exchange *a, const struct exchange *b)
{
    return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE(exchange_tree, exchange, node, exchange_cmp)

/* ---- life ---- */

void exchange_free(struct exchange *x)
{
    struct auth_process *p = x->process;
    RB_REMOVE(exchange_tree, x->tree, x);
    if (x->bind_id != 0)
        ipc_cancel(p->binder, x->bind_id);
    directory_query_cancel(&x->want);
    oauth_cancel(&x->check);
    free(x->token_user);
    free(x->error);
    timer_free(&x->timer);
    conversation_free(&x->conversation);
    login_clear(&x->login);
    login_clear(&x->actor);
    if (!x->trusted)
        throttle_leave(p->throttle, &x->client);
    if (x->claimed != NULL)
        throttle_release(p->throttle, x->claimed);
    free(x->claimed);
    free(x->service);
    free(x->session);
    free(x->mechanism);
    free(x);
    p->exchanges--;
    p->hooks.session_end(p->hooks.arg);
}

struct msg *result_msg(enum auth_result result, const void *challenge, size_t len)
{
    struct msg *m = msg_new(AUTH_MSG_RESULT);
    msg_put_u8(m, (uint8_t)result);
    msg_put_bytes(m, challenge, len);
    return m;
}

void exchange_reply(struct exchange *x, struct msg *m)
{
    uint32_t id = x->reply_id;
    x->reply_id = 0;
    ipc_reply(x->peer, id, &m);
}

static void process_report(struct auth_process *p)
{
    char text[160];
    (void)snprintf(text, sizeof(text), "exchanges=%zu logins=%llu refused=%llu undecided=%llu",
                   p->exchanges, (unsigned long long)p->succeeded, (unsigned long long)p->failed,
                   (unsigned long long)p->undecided);
    p->hooks.report(text, p->hooks.arg);
}

void exchange_log(struct exchange *x, const char *result, const char *why)
{
    char peer[NETADDR_STRLEN];
    const char *name = x->login.name;
    if (name == NULL && x->conversation != NULL)
        name = conversation_user(x->conversation);
    struct log_field fields[] = {
        LOG_STR("id", x->session),
        LOG_STR("service", x->service),
        LOG_STR("mechanism", x->mechanism),
        LOG_BYTES("login", name, name == NULL ? 0 : strnlen(name, LOG_NAME_MAX)),
        LOG_STR("peer", netaddr_str(&x->client, peer)),
        LOG_STR("result", result),
        {0},
        {0},
        {0},
        {0},
    };
    size_t n = sizeof(fields) / sizeof(*fields) - 4;
    if (x->by != NULL)
        fields[n++] = LOG_STR("by", x->by);
    if (x->actor.name != NULL)
        fields[n++] = LOG_STR("actor", x->actor.name);
    if (why != NULL)
        fields[n++] = LOG_STR("reason", why);
    log_write(LOG_LEVEL_INFO, "login", fields);
}

/* ---- ends ---- */

/* What opens the mailbox of who has logged in. */
static void exchange_put_ticket(const struct exchange *x, struct msg *m)
{
    uint8_t ticket[TICKET_LEN];
    if (x->process->ticket_key == NULL) {
        msg_put_bytes(m, "", 0);
        return;
    }
    ticket_make(x->process->ticket_key, &x->login.owner, x->session,
                clock_now_ms() + TICKET_LIFETIME_MS, ticket);
    msg_put_bytes(m, ticket, sizeof(ticket));
    explicit_bzero(ticket, sizeof(ticket));
}

/* Answers and ends. */
void exchange_end(struct exchange *x, enum auth_result result)
{
    struct auth_process *p = x->process;
    struct msg *m = result_msg(result, NULL, 0);
    if (result == AUTH_OK) {
        msg_put_uuid(m, &x->login.owner);
        msg_put_str(m, x->login.name);
        msg_put_str(m, x->login.address);
        msg_put_str(m, x->login.dn);
        msg_put_str(m, x->login.mail_host);
        exchange_put_ticket(x, m);
        msg_put_u8(m, (uint8_t)x->password_end.kind);
        msg_put_u32(m, x->password_end.value);
    }
    exchange_reply(x, m);
    exchange_free(x);
    process_report(p);
}

void exchange_end_at(struct exchange *x, enum auth_result result, int64_t delay)
{
    int64_t left = x->arrived + delay - clock_now_ms();
    x->state = EXCHANGE_DELAY;
    x->result = result;
    /* Nothing of the conversation is needed any more. */
    conversation_free(&x->conversation);
    timer_set(x->timer, left > 0 ? left : 0);
}

int64_t exchange_fail(struct exchange *x, const char *why)
{
    struct auth_process *p = x->process;
    char owner[UUID_STRLEN];
    const char *name = x->conversation != NULL ? conversation_user(x->conversation) : x->claimed;
    exchange_log(x, "denied", why);
    /* An entry counts as one, by whatever name it is called. */
    if (x->login.name != NULL)
        name = uuid_str(&x->login.owner, owner);
    p->failed++;
    return throttle_failed(p->throttle, x->trusted ? NULL : &x->client, name == NULL ? "" : name);
}

void exchange_refuse_as(struct exchange *x, enum auth_result result, const char *why)
{
    int64_t delay = exchange_fail(x, why);
    exchange_end_at(x, result, delay);
}

void exchange_refuse(struct exchange *x, const char *why)
{
    exchange_refuse_as(x, AUTH_DENIED, why);
}

void exchange_undecided(struct exchange *x, const char *why)
{
    exchange_log(x, "temporary", why);
    x->process->undecided++;
    exchange_end(x, AUTH_TEMPORARY);
}

/* It may not, or that cannot be told now: the refusal tells no more than any other. */
static void exchange_not_for(struct exchange *x, enum login_answer answer, const char *other,
                             const char *why)
{
    log_info("acting for another", LOG_STR("id", x->session), LOG_STR("login", x->login.name),
             LOG_BYTES("other", other, strnlen(other, LOG_NAME_MAX)),
             LOG_STR("result", answer == LOGIN_UNKNOWN ? "temporary" : "denied"));
    if (answer == LOGIN_UNKNOWN)
        exchange_undecided(x, why);
    else
        exchange_refuse(x, why);
}

static void exchange_succeed(struct exchange *x)
{
    struct auth_process *p = x->process;
    const struct login *who = x->actor.name != NULL ? &x->actor : &x->login;
    char owner[UUID_STRLEN];
    throttle_succeeded(p->throttle, uuid_str(&who->owner, owner));
    throttle_succeeded(p->throttle, who->name);
    p->succeeded++;
    exchange_log(x, "ok", NULL);
    exchange_end(x, AUTH_OK);
}

static void exchange_other_wanted(void *arg)
{
    struct exchange *x = arg;
    x->want = NULL;
    exchange_authorise(x);
}

/* The client has proved who it is; may it act for whom it asks to? */
void exchange_authorise(struct exchange *x)
{
    const char *other = conversation_other(x->conversation), *why = "", *by = NULL;
    struct login target = {0};
    enum login_answer answer = LOGIN_FOUND;
    if (other != NULL && !x->wanted_other) {
        x->wanted_other = true;
        x->want = directory_want(x->process->directory, WANTED_LOGIN, other, NULL,
                                 exchange_other_wanted, x);
        if (x->want != NULL)
            return;
    }
    if (other != NULL)
        answer = login_lookup(x->process, other, &target, &why);
    if (other != NULL && answer == LOGIN_FOUND && !uuid_eq(&target.owner, &x->login.owner)) {
        answer = act_for(x->process, &x->login, &target, &by, &why);
        if (answer == LOGIN_FOUND) {
            x->by = by;
            x->actor = x->login;
            x->login = target;
            memset(&target, 0, sizeof(target));
        }
    }
    if (answer == LOGIN_FOUND)
        exchange_succeed(x);
    else
        exchange_not_for(x, answer, other, why);
    login_clear(&target);
}

/* The client hears why its token is not good, and has to answer before the exchange is over. */
static void exchange_tell_error(struct exchange *x)
{
    const char *out;
    size_t len;
    enum conversation_result r = conversation_verdict(x->conversation, NULL, x->error, &out, &len);
    free(x->error);
    x->error = NULL;
    if (r != CONVERSATION_CONTINUE) {
        exchange_end(x, AUTH_DENIED);
        return;
    }
    x->state = EXCHANGE_CLIENT;
    x->told = true;
    timer_set(x->timer, x->process->conf->auth_timeout);
    exchange_reply(x, result_msg(AUTH_CONTINUE, out, len));
}

void exchange_timer(void *arg)
{
    struct exchange *x = arg;
    if (x->state == EXCHANGE_DELAY && x->error != NULL) {
        exchange_tell_error(x);
    } else if (x->state == EXCHANGE_DELAY) {
        exchange_end(x, x->result);
    } else if (x->reply_id != 0) {
        exchange_undecided(x, "timed out");
    } else {
        exchange_log(x, "given up", "the client did not answer");
        exchange_free(x);
    }
}

#include "sasl/client.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "sasl/protocol.h"

/* Beyond auth_timeout, for an answer that is delayed because it is a refusal. */
#define CLIENT_GRACE_MS 75000

struct auth_client {
    struct ipc_client *ipc;
    const struct conf *conf;
    uint32_t last_exchange;
    struct buf plain; /* what is offered without TLS, where that is allowed at all */
    struct buf tls;
    struct buf external; /* the same and EXTERNAL */
};

struct auth {
    struct auth_client *client;
    struct arena *arena; /* the session's strings */
    struct auth_session session;
    uint32_t exchange;  /* 0: none is under way */
    uint32_t request;   /* 0: no answer is awaited */
    struct buf strings; /* of the identity, one after the other */
    struct buf ticket;
    struct auth_identity identity;
    void (*done)(const struct auth_reply *reply, void *arg);
    void *arg;
};

/* ---- the channel ---- */

static void client_list_mechanisms(struct auth_client *c)
{
    bool external = false;
    for (size_t i = 0; i < c->conf->auth_mechanisms.n; i++) {
        char *name = mem_strdup(c->conf->auth_mechanisms.v[i]);
        for (char *p = name; *p != '\0'; p++)
            if (*p >= 'a' && *p <= 'z')
                *p -= 'a' - 'A';
        if (strcmp(name, "EXTERNAL") == 0) {
            external = true;
            free(name);
            continue;
        }
        /* A server that takes bindings has to say so: a client that could bind and is told nothing
         * must suspect that the -PLUS name was removed on the way (RFC 5802 section 6). */
        if (str_istarts(name, "SCRAM-"))
            (void)buf_printf(&c->tls, "%s%s-PLUS", c->tls.len > 0 ? " " : "", name);
        (void)buf_printf(&c->tls, "%s%s", c->tls.len > 0 ? " " : "", name);
        (void)buf_printf(&c->plain, "%s%s", c->plain.len > 0 ? " " : "", name);
        free(name);
    }
    (void)buf_str(&c->tls);
    (void)buf_str(&c->plain);
    (void)buf_printf(&c->external, "%s%s%s", (const char *)c->tls.data,
                     external && c->tls.len > 0 ? " " : "", external ? "EXTERNAL" : "");
}

struct auth_client *auth_client_new(struct loop *loop, const char *socket_path,
                                    const struct conf *conf)
{
    struct auth_client *c = mem_zalloc(sizeof(*c));
    c->conf = conf;
    client_list_mechanisms(c);
    c->ipc = ipc_client_new(loop, socket_path, AUTH_SERVICE, AUTH_VERSION);
    return c;
}

void auth_client_free(struct auth_client **pc)
{
    struct auth_client *c = *pc;
    if (c == NULL)
        return;
    *pc = NULL;
    ipc_client_free(&c->ipc);
    buf_free(&c->plain);
    buf_free(&c->tls);
    buf_free(&c->external);
    free(c);
}

static bool client_believes(const struct auth_client *c, const struct tls_peer *certificate)
{
    return certificate != NULL &&
           (certificate->verified || (certificate->in_date && c->conf->auth_ssl_trust_directory));
}

const char *auth_mechanisms(const struct auth_client *c, bool tls,
                            const struct tls_peer *certificate, const struct netaddr *peer)
{
    if (tls && client_believes(c, certificate))
        return (const char *)c->external.data;
    if (tls)
        return c->tls.len > 0 ? (const char *)c->tls.data : "";
    if (c->conf->disable_plaintext_auth || !netaddr_is_loopback(peer) || c->plain.len == 0)
        return "";
    return (const char *)c->plain.data;
}

/* ---- one login ---- */

struct auth *auth_new(struct auth_client *c, const struct auth_session *session,
                      void (*done)(const struct auth_reply *reply, void *arg), void *arg)
{
    struct auth *a = mem_zalloc(sizeof(*a));
    a->client = c;
    a->arena = arena_new(0);
    a->done = done;
    a->arg = arg;
    a->session = *session;
    a->session.service = arena_strdup(a->arena, session->service);
    a->session.id = arena_strdup(a->arena, session->id);
    if (session->binding_name != NULL) {
        a->session.binding_name = arena_strdup(a->arena, session->binding_name);
        a->session.binding = arena_strndup(a->arena, session->binding, session->binding_len);
    }
    return a;
}

void auth_cancel(struct auth *a)
{
    if (a->request != 0)
        ipc_cancel(a->client->ipc, a->request);
    a->request = 0;
    if (a->exchange != 0) {
        struct msg *m = msg_new(AUTH_MSG_CANCEL);
        msg_put_u32(m, a->exchange);
        ipc_send(a->client->ipc, &m);
    }
    a->exchange = 0;
}

void auth_free(struct auth **pa)
{
    struct auth *a = *pa;
    if (a == NULL)
        return;
    *pa = NULL;
    auth_cancel(a);
    buf_free(&a->strings);
    buf_wipe_free(&a->ticket);
    arena_free(&a->arena);
    free(a);
}

/* Keeps a string of the identity; its place in the buffer is resolved when all are there. */
static size_t auth_keep(struct auth *a, const char *s)
{
    size_t at = a->strings.len;
    if (s == NULL)
        return SIZE_MAX;
    (void)buf_append(&a->strings, s, strlen(s) + 1);
    return at;
}

static const char *auth_kept(const struct auth *a, size_t at)
{
    return at == SIZE_MAX ? NULL : (const char *)a->strings.data + at;
}

static int auth_read_identity(struct auth *a, struct msg *m)
{
    size_t ticket_len;
    buf_clear(&a->strings);
    buf_clear(&a->ticket);
    a->identity.owner = msg_get_uuid(m);
    size_t login = auth_keep(a, msg_get_str(m));
    size_t address = auth_keep(a, msg_get_str(m));
    size_t dn = auth_keep(a, msg_get_str(m));
    size_t mail_host = auth_keep(a, msg_get_str(m));
    const void *ticket = msg_get_bytes(m, &ticket_len);
    (void)buf_append(&a->ticket, ticket, ticket_len);
    unsigned end = msg_get_u8(m);
    a->identity.password_end.kind = (enum password_end_kind)end;
    a->identity.password_end.value = msg_get_u32(m);
    a->identity.ticket = buf_str(&a->ticket);
    a->identity.ticket_len = a->ticket.len;
    a->identity.login = auth_kept(a, login);
    a->identity.address = auth_kept(a, address);
    a->identity.dn = auth_kept(a, dn);
    a->identity.mail_host = auth_kept(a, mail_host);
    return login == SIZE_MAX || dn == SIZE_MAX || end > PASSWORD_GRACE ? -1 : 0;
}

static int auth_answered(enum ipc_status status, struct msg *m, void *arg)
{
    struct auth *a = arg;
    struct auth_reply reply = {.result = AUTH_TEMPORARY};
    int r = 0;

    a->request = 0;
    if (status == IPC_OK) {
        unsigned result = msg_get_u8(m);
        reply.challenge = msg_get_bytes(m, &reply.challenge_len);
        if (result == AUTH_OK)
            r = auth_read_identity(a, m);
        if (r < 0 || msg_type(m) != AUTH_MSG_RESULT || msg_end(m) < 0 ||
            result > AUTH_MUST_CHANGE) {
            r = -1;
        } else {
            reply.result = (enum auth_result)result;
            reply.identity = result == AUTH_OK ? &a->identity : NULL;
        }
    }
    if (r < 0 || reply.result != AUTH_CONTINUE) {
        /* Told also after a time-out, for then the other side may still be at work. */
        if (status == IPC_TIMEOUT)
            auth_cancel(a);
        a->exchange = 0;
    }
    if (r < 0 || status != IPC_OK) {
        reply.challenge = NULL;
        reply.challenge_len = 0;
    }
    a->done(&reply, a->arg); /* may free a */
    return r;
}

static void auth_send(struct auth *a, struct msg *m)
{
    int64_t wait = a->client->conf->auth_timeout + CLIENT_GRACE_MS;
    a->request = ipc_request(a->client->ipc, &m, wait, auth_answered, a);
}

static void auth_put_certificate(struct msg *m, const struct tls_peer *c)
{
    uint32_t count = 0;
    msg_put_bool(m, c != NULL);
    if (c == NULL)
        return;
    msg_put_bool(m, c->verified);
    msg_put_bool(m, c->in_date);
    msg_put_str(m, c->subject);
    msg_put_str(m, c->fingerprint);
    while (c->emails[count] != NULL)
        count++;
    msg_put_u32(m, count);
    for (uint32_t i = 0; i < count; i++)
        msg_put_str(m, c->emails[i]);
}

void auth_start(struct auth *a, const char *mechanism, const void *initial, size_t initial_len)
{
    const struct auth_session *s = &a->session;
    struct msg *m = msg_new(AUTH_MSG_START);

    auth_cancel(a);
    if (++a->client->last_exchange == 0)
        a->client->last_exchange = 1;
    a->exchange = a->client->last_exchange;
    msg_put_u32(m, a->exchange);
    msg_put_str(m, s->service);
    msg_put_str(m, s->id);
    msg_put_addr(m, &s->peer);
    msg_put_addr(m, &s->local);
    msg_put_bool(m, s->tls);
    msg_put_u32(m, s->tls_bits > 0 ? (uint32_t)s->tls_bits : 0);
    msg_put_str(m, s->binding_name);
    msg_put_bytes(m, s->binding, s->binding_name != NULL ? s->binding_len : 0);
    auth_put_certificate(m, strcmp(mechanism, "EXTERNAL") == 0 ? s->certificate : NULL);
    msg_put_str(m, mechanism);
    msg_put_bool(m, initial != NULL);
    msg_put_bytes(m, initial, initial != NULL ? initial_len : 0);
    auth_send(a, m);
}

void auth_step(struct auth *a, const void *data, size_t len)
{
    struct msg *m = msg_new(AUTH_MSG_STEP);
    msg_put_u32(m, a->exchange);
    msg_put_bytes(m, data, len);
    auth_send(a, m);
}

void auth_login(struct auth *a, const char *user, const char *password)
{
    size_t user_len = strlen(user), password_len = strlen(password);
    size_t len = user_len + password_len + 2;
    char *plain = mem_zalloc(len);

    memcpy(plain + 1, user, user_len);
    memcpy(plain + 2 + user_len, password, password_len);
    auth_start(a, "PLAIN", plain, len);
    mem_wipe_free(plain, len);
}

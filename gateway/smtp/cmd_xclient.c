/* XCLIENT (Postfix's XCLIENT_README): a trusted client says for whom it speaks. */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/smtp/smtpd.h"

/* What the attributes of one command say. */
struct xclient {
    struct netaddr peer;
    bool esmtp;
    enum client_name_state verified, reverse;
    char *name, *reverse_name, *helo;
};

static void xclient_free(struct xclient *x)
{
    free(x->name);
    free(x->reverse_name);
    free(x->helo);
}

/* Values that say that there is none. */
static bool is_unavailable(const char *value)
{
    return str_ieq(value, "[UNAVAILABLE]") || str_ieq(value, "[TEMPUNAVAIL]");
}

static int take_addr(struct xclient *x, const char *value)
{
    struct netaddr addr;
    uint16_t port = x->peer.port;

    if (is_unavailable(value)) {
        /* Whoever that is, it is not the one who says so: an address that nobody has. */
        x->peer = (struct netaddr){.family = 4};
        return 0;
    }
    if (str_istarts(value, "IPV6:"))
        value += 5;
    if (netaddr_parse(&addr, value) != 0)
        return -1;
    x->peer = addr;
    x->peer.port = port;
    return 0;
}

static int take_port(struct xclient *x, const char *value)
{
    uint64_t port;

    if (is_unavailable(value))
        return 0;
    if (str_uint(value, strlen(value), UINT16_MAX, &port) != 0)
        return -1;
    x->peer.port = (uint16_t)port;
    return 0;
}

/* "[TEMPUNAVAIL]" is asked for again when a restriction wants the name. */
static int take_name(const char *value, enum client_name_state *state, char **name)
{
    if (is_unavailable(value)) {
        *state = str_ieq(value, "[UNAVAILABLE]") ? CLIENT_NAME_NONE : CLIENT_NAME_UNASKED;
        return 0;
    }
    if (strlen(value) > RESTRICTION_NAME_MAX || !smtp_hostname_valid(value, strlen(value)))
        return -1;
    free(*name);
    *name = mem_strdup(value);
    *state = CLIENT_NAME_FOUND;
    return 0;
}

static int take_verified(struct xclient *x, const char *value)
{
    return take_name(value, &x->verified, &x->name);
}

static int take_reverse(struct xclient *x, const char *value)
{
    return take_name(value, &x->reverse, &x->reverse_name);
}

static int take_protocol(struct xclient *x, const char *value)
{
    x->esmtp = str_ieq(value, "ESMTP");
    return x->esmtp || str_ieq(value, "SMTP") ? 0 : -1;
}

static int take_greeting(struct xclient *x, const char *value)
{
    free(x->helo);
    x->helo = is_unavailable(value) ? NULL : helo_name(value, strlen(value));
    return x->helo != NULL || is_unavailable(value) ? 0 : -1;
}

static const struct attribute {
    const char *name;
    int (*take)(struct xclient *x, const char *value);
} attributes[] = {
    {"NAME", take_verified}, {"REVERSE_NAME", take_reverse}, {"ADDR", take_addr},
    {"PORT", take_port},     {"PROTO", take_protocol},       {"HELO", take_greeting},
};

/* Printable ASCII alone. */
static bool is_clean(const struct buf *value)
{
    for (size_t i = 0; i < value->len; i++)
        if (value->data[i] <= ' ' || value->data[i] > '~')
            return false;
    return value->len > 0;
}

/* One "NAME=xtext"; -1 with a word for the reply. */
static int take(struct xclient *x, const char *word, size_t len, const char **why)
{
    const char *equals = memchr(word, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - word) : len;
    struct buf value = {0};
    int rc = -1;

    *why = "No such attribute";
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
        if (equals == NULL || !str_is(word, name_len, attributes[i].name))
            continue;
        *why = "Bad value of an attribute";
        if (smtp_xtext_decode(&value, equals + 1, len - name_len - 1) == 0 && is_clean(&value))
            rc = attributes[i].take(x, buf_str(&value));
        break;
    }
    buf_free(&value);
    return rc;
}

/* The session as it is for the client that was named; everything that was said before is void. */
static void become(struct session *s, struct xclient *x)
{
    char text[NETADDR_STRLEN];

    session_forget(s);
    s->helo = x->helo;
    s->esmtp = x->esmtp;
    s->peer = x->peer;
    s->named = true;
    s->trusted = evaluator_trusts(&s->d->evaluator, &s->peer);
    restriction_client_free(&s->client_name);
    s->client_name = (struct restriction_client){.verified = x->verified,
                                                 .name = x->name,
                                                 .reverse = x->reverse,
                                                 .reverse_name = x->reverse_name};
    /* A verified name is a reverse one as well. */
    if (x->verified == CLIENT_NAME_FOUND && x->reverse == CLIENT_NAME_UNASKED) {
        s->client_name.reverse = CLIENT_NAME_FOUND;
        s->client_name.reverse_name = mem_strdup(x->name);
    }
    *x = (struct xclient){0};
    log_info("client named by XCLIENT", LOG_STR("id", s->id),
             LOG_STR("peer", netaddr_str(&s->peer, text)),
             LOG_STR("name", s->client_name.name != NULL ? s->client_name.name : ""));
}

void command_xclient(struct session *s, const char *arg, size_t len)
{
    struct xclient x = {.peer = s->peer, .esmtp = s->esmtp};
    const char *end = arg + len, *why = "Attributes are needed";
    int rc = -1;

    if (!s->may_name_client) {
        session_reply(s, 550, "5.7.0", "You may not use XCLIENT");
        return;
    }
    if (s->tx != NULL) {
        session_reply(s, 503, "5.5.1", "Not within a mail transaction");
        return;
    }
    while (arg < end) {
        const char *space = memchr(arg, ' ', (size_t)(end - arg));
        size_t n = space != NULL ? (size_t)(space - arg) : (size_t)(end - arg);
        rc = n > 0 ? take(&x, arg, n, &why) : rc;
        if (n > 0 && rc != 0)
            break;
        arg += n + (space != NULL);
    }
    if (rc != 0) {
        session_reply(s, 501, "5.5.4", "%s", why);
        xclient_free(&x);
        return;
    }
    become(s, &x);
    session_greet(s);
}

#include "gateway/smtp/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/networks.h"
#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/base/shtable.h"
#include "gateway/base/str.h"

/* What keys are of; part of the file's format. */
enum {
    KEY_CLIENT = 'c', /* + event */
    KEY_LOGIN = 'l',
    KEY_CONNECTIONS = 'n',
    KEY_PROCESS = 'p',
    KEY_RATE = 'r',
    KEY_GREY = 'g',
    KEY_GREY_CLIENT = 'G',
    KEY_WAITED = 'w'
};

#define US 1000 /* of a millisecond */
/*
 * Counts are small. What is larger is a time, by a process that was held up between finding its
 * entry and changing it, while the entry gave way to this one: no count at all.
 */
#define COUNT_MAX (UINT64_C(1) << 32)
/* A count of connections is worth something as long as its process lives. */
#define CONNECTION_US (UINT64_C(86400) * 1000 * 1000)

struct limits {
    const struct conf *conf;
    struct shtable *table;
    struct networks exempt;
    unsigned index, count;
    uint64_t epoch; /* of this process: counts of an earlier one in its place are void */
    int64_t client_limits[LIMIT_EVENTS], login_limits[LIMIT_EVENTS];
};

static uint64_t now_us(void)
{
    return (uint64_t)clock_wall_us();
}

struct limits *limits_new(const struct conf *conf, int fd, unsigned index, unsigned count)
{
    struct shtable *table = shtable_map(fd);
    if (table == NULL)
        return NULL;
    struct limits *l = mem_zalloc(sizeof(*l));
    l->conf = conf;
    l->table = table;
    l->index = index;
    l->count = count;
    l->epoch = now_us();
    networks_read(&l->exempt, &conf->smtpd_client_event_limit_exceptions);
    l->client_limits[LIMIT_CONNECTION] = conf->smtpd_client_connection_rate_limit;
    l->client_limits[LIMIT_MESSAGE] = conf->smtpd_client_message_rate_limit;
    l->client_limits[LIMIT_RECIPIENT] = conf->smtpd_client_recipient_rate_limit;
    l->client_limits[LIMIT_AUTH] = conf->smtpd_client_auth_rate_limit;
    l->client_limits[LIMIT_TLS] = conf->smtpd_client_new_tls_session_rate_limit;
    l->login_limits[LIMIT_MESSAGE] = conf->smtpd_login_message_rate_limit;
    l->login_limits[LIMIT_RECIPIENT] = conf->smtpd_login_recipient_rate_limit;
    struct shtable_key key = shtable_key(table, KEY_PROCESS, &index, sizeof(index));
    struct shtable_entry *e = shtable_take(table, key, UINT64_MAX);
    atomic_store(&e->value[0], l->epoch);
    return l;
}

void limits_free(struct limits **l)
{
    if (*l == NULL)
        return;
    networks_free(&(*l)->exempt);
    shtable_unmap(&(*l)->table);
    free(*l);
    *l = NULL;
}

/* The client's network; those of one network are one client. */
static struct netaddr network_of(const struct limits *l, const struct netaddr *client)
{
    size_t bits = (size_t)(client->family == 6 ? l->conf->smtpd_client_ipv6_prefix_length
                                               : l->conf->smtpd_client_ipv4_prefix_length);
    return netaddr_network(client, (unsigned)bits);
}

const char *limits_network(const struct limits *l, const struct netaddr *client, char *dst)
{
    struct netaddr net = network_of(l, client);
    return netaddr_str(&net, dst);
}

static struct shtable_key client_key(const struct limits *l, char kind, char event,
                                     const struct netaddr *client)
{
    struct netaddr net = network_of(l, client);
    uint8_t data[2 + sizeof(net.bytes)] = {(uint8_t)event, net.family};
    memcpy(data + 2, net.bytes, sizeof(net.bytes));
    return shtable_key(l->table, kind, data, sizeof(data));
}

/*
 * One event of at most n in a time: value[0] is when the bucket will be empty, in microseconds
 * (the generic cell rate algorithm, ITU-T I.371).
 */
static bool take(struct limits *l, struct shtable_key key, uint64_t n, uint64_t period_us)
{
    uint64_t now = now_us(), each = period_us / n;
    struct shtable_entry *e = shtable_take(l->table, key, now + period_us);
    uint64_t was = atomic_load(&e->value[0]), will;
    do {
        will = (was > now && was <= now + period_us ? was : now) + each;
        if (will > now + period_us)
            return false;
    } while (!atomic_compare_exchange_weak(&e->value[0], &was, will));
    atomic_store(&e->expires, will);
    return true;
}

static bool is_exempt(const struct limits *l, const struct netaddr *client)
{
    if (client->family == 0)
        return true; /* a Unix socket: its permissions say who may connect */
    return networks_contain(&l->exempt, client);
}

bool limits_client(struct limits *l, enum limit_event event, const struct netaddr *client)
{
    int64_t n = l->client_limits[event];
    if (n == 0 || is_exempt(l, client))
        return true;
    return take(l, client_key(l, KEY_CLIENT, (char)event, client), (uint64_t)n,
                (uint64_t)l->conf->anvil_rate_time_unit * US);
}

/* A string under a kind, ASCII letters in lower case. */
static struct shtable_key text_key(const struct limits *l, char kind, char event, const char *text)
{
    struct buf b = {0};
    buf_append_byte(&b, event);
    for (; *text != '\0'; text++)
        buf_append_byte(&b, str_lower_char(*text));
    struct shtable_key key = shtable_key(l->table, kind, b.data, b.len);
    buf_free(&b);
    return key;
}

bool limits_login(struct limits *l, enum limit_event event, const char *login)
{
    int64_t n = l->login_limits[event];
    if (n == 0)
        return true;
    return take(l, text_key(l, KEY_LOGIN, (char)event, login), (uint64_t)n,
                (uint64_t)l->conf->smtpd_login_rate_time_unit * US);
}

bool limits_rate(struct limits *l, const char *name, unsigned n, int64_t ms)
{
    return take(l, text_key(l, KEY_RATE, 0, name), n, (uint64_t)ms * US);
}

static uint64_t count_of(const struct shtable_entry *e)
{
    uint64_t n = atomic_load(&e->value[0]);
    return n <= COUNT_MAX ? n : 0;
}

/* ---- connections ---- */

/* Each process counts its own, so that one that is killed takes its count along. */
static struct shtable_key process_key(struct shtable_key key, unsigned index)
{
    key.tag += index * UINT64_C(0x9e3779b97f4a7c15);
    key.tag |= key.tag == 0;
    return key;
}

static uint64_t epoch_of(struct limits *l, unsigned index)
{
    struct shtable_entry *e =
        shtable_find(l->table, shtable_key(l->table, KEY_PROCESS, &index, sizeof(index)));
    return e != NULL ? atomic_load(&e->value[0]) : 0;
}

static uint64_t connections_of(struct limits *l, struct shtable_key key, unsigned index)
{
    struct shtable_entry *e = shtable_find(l->table, process_key(key, index));
    if (e == NULL || atomic_load(&e->value[1]) != epoch_of(l, index))
        return 0;
    return count_of(e);
}

bool limits_connect(struct limits *l, const struct netaddr *client)
{
    uint64_t sum = 0;
    if (l->conf->smtpd_client_connection_count_limit == 0 || is_exempt(l, client))
        return true;
    struct shtable_key key = client_key(l, KEY_CONNECTIONS, 0, client);
    for (unsigned i = 0; i < l->count; i++)
        sum += connections_of(l, key, i);
    if (sum >= (uint64_t)l->conf->smtpd_client_connection_count_limit)
        return false;
    struct shtable_entry *e =
        shtable_take(l->table, process_key(key, l->index), now_us() + CONNECTION_US);
    if (atomic_load(&e->value[1]) != l->epoch || count_of(e) == 0)
        atomic_store(&e->value[0], 0);
    atomic_store(&e->value[1], l->epoch);
    atomic_fetch_add(&e->value[0], 1);
    return true;
}

void limits_disconnect(struct limits *l, const struct netaddr *client)
{
    if (l->conf->smtpd_client_connection_count_limit == 0 || is_exempt(l, client))
        return;
    struct shtable_key key = client_key(l, KEY_CONNECTIONS, 0, client);
    struct shtable_entry *e = shtable_find(l->table, process_key(key, l->index));
    /* Not there: it gave way to another client's, or counts for a process that came after us. */
    if (e != NULL && atomic_load(&e->value[1]) == l->epoch && count_of(e) > 0)
        atomic_fetch_sub(&e->value[0], 1);
}

/* ---- greylist ---- */

/* Client network, sender, recipient. */
static struct shtable_key grey_key(const struct limits *l, const struct netaddr *client,
                                   const char *sender, const char *recipient)
{
    char net[NETADDR_STRLEN];
    struct buf b = {0};
    buf_printf(&b, "%s\n%s\n%s", limits_network(l, client, net), sender, recipient);
    struct shtable_key key = text_key(l, KEY_GREY, 0, buf_str(&b));
    buf_free(&b);
    return key;
}

/* value[0]: how many different mails of the client came again; value[1]: nothing. */
static bool is_known_client(struct limits *l, struct shtable_key key, uint64_t now)
{
    struct shtable_entry *e = shtable_find(l->table, key);
    if (l->conf->greylist_auto_whitelist_clients == 0 || e == NULL ||
        atomic_load(&e->expires) < now ||
        count_of(e) < (uint64_t)l->conf->greylist_auto_whitelist_clients)
        return false;
    atomic_store(&e->expires, now + (uint64_t)l->conf->greylist_max_age * US);
    return true;
}

/* value[0]: first seen; value[1]: 1 where it has passed. */
bool limits_greylist(struct limits *l, const struct netaddr *client, const char *sender,
                     const char *recipient, int64_t *wait_s)
{
    const struct conf *conf = l->conf;
    uint64_t now = now_us(), delay = (uint64_t)conf->greylist_delay * US;
    uint64_t max_age = (uint64_t)conf->greylist_max_age * US;
    struct shtable_key of_client = client_key(l, KEY_GREY_CLIENT, 0, client);

    *wait_s = 0;
    if (is_known_client(l, of_client, now))
        return true;
    uint64_t window = now + (uint64_t)conf->greylist_retry_window * US;
    struct shtable_entry *e =
        shtable_take(l->table, grey_key(l, client, sender, recipient), window);
    uint64_t first = atomic_load(&e->value[0]);
    if (first == 0 || first > now || atomic_load(&e->expires) < now) {
        atomic_store(&e->value[1], 0);
        atomic_store(&e->value[0], now);
        atomic_store(&e->expires, window);
        first = now;
    }
    if (now - first < delay) {
        *wait_s = (int64_t)((delay - (now - first)) / 1000000) + 1;
        return false;
    }
    atomic_store(&e->expires, now + max_age);
    if (atomic_exchange(&e->value[1], 1) == 0 && delay > 0) {
        struct shtable_entry *c = shtable_take(l->table, of_client, now + max_age);
        if (count_of(c) == 0)
            atomic_store(&c->value[0], 0);
        atomic_fetch_add(&c->value[0], 1);
        atomic_store(&c->expires, now + max_age);
    }
    return true;
}

/* ---- the greeting ---- */

bool limits_has_waited(struct limits *l, const struct netaddr *client)
{
    struct shtable_entry *e = shtable_find(l->table, client_key(l, KEY_WAITED, 0, client));
    return e != NULL && atomic_load(&e->expires) > now_us();
}

void limits_waited(struct limits *l, const struct netaddr *client)
{
    uint64_t until = now_us() + (uint64_t)l->conf->postscreen_greet_ttl * US;
    struct shtable_entry *e = shtable_take(l->table, client_key(l, KEY_WAITED, 0, client), until);
    atomic_store(&e->expires, until);
}

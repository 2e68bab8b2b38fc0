#include <string.h>

#include "directory/address.h"
#include "directory/replica.h"
#include "directory/resolve.h"
#include "gateway/base/str.h"

#define NAME_MAX_LEN 64 /* of tables and classes */

/* Partners lie in a table of their own, whose name no restriction can write. */
#define PARTNERS "\\"

/* What stands behind the table's name in an index key. The marks say what a table has at all. */
enum key_type {
    KEY_ADDRESS = 'a', /* address_fold */
    KEY_DOMAIN = 'd',
    KEY_LOCAL = 'u',
    KEY_NULL_SENDER = '<',
    KEY_CERTIFICATE = 'c', /* the digest's bytes */
    KEY_NETWORK = 'n',     /* family, bits, bytes */
    MARK_ANY = '*',
    MARK_DOMAIN = 'D',
    MARK_IPV4 = '4',
    MARK_IPV6 = '6'
};

/* "AB:CD:…": the bytes of a digest of 16 to 64 bytes; 0 where it is none. */
static size_t digest_bytes(uint8_t dst[64], const char *text)
{
    size_t n = 0;
    for (;;) {
        char pair[3] = {text[0], text[0] != '\0' ? text[1] : '\0', '\0'};
        if (n == 64 || str_unhex(&dst[n], 1, pair) < 0)
            return 0;
        n++;
        text += 2;
        if (*text == '\0')
            return n >= 16 ? n : 0;
        if (*text++ != ':')
            return 0;
    }
}

/* The key of len bytes of data in a table; -1 where the table's name is none. */
static int make_key(struct index_key *key, const char *table, enum key_type type, const void *data,
                    size_t len)
{
    char text[NAME_MAX_LEN + 2 + ADDRESS_STRLEN];
    size_t n = strlen(table);
    if (n == 0 || n > NAME_MAX_LEN || len > ADDRESS_STRLEN)
        return -1;
    memcpy(text, table, n + 1);
    str_lower(text);
    text[n + 1] = (char)type;
    if (len > 0)
        memcpy(text + n + 2, data, len);
    index_key(key, INDEX_ACCESS, text, n + 2 + len);
    return 0;
}

static size_t network_bytes(char dst[18], uint8_t family, unsigned bits, const uint8_t *bytes)
{
    size_t size = family == 6 ? 16 : 4;
    dst[0] = (char)family;
    dst[1] = (char)bits;
    memset(dst + 2, 0, size);
    for (unsigned i = 0; i < bits; i += 8)
        dst[2 + i / 8] = (char)(bytes[i / 8] & (bits - i >= 8 ? 0xff : 0xff00 >> (bits - i)));
    return 2 + size;
}

/* ---- the writer's side ---- */

struct sink {
    const char *table;
    void (*fn)(const struct index_key *key, void *arg);
    void *arg;
};

static void emit(const struct sink *sink, enum key_type type, const void *data, size_t len)
{
    struct index_key key;
    if (make_key(&key, sink->table, type, data, len) == 0)
        sink->fn(&key, sink->arg);
}

static void emit_domain(const struct sink *sink, const char *text)
{
    char domain[ADDRESS_DOMAIN_MAX + 2] = ".";
    bool below = text[0] == '.';
    if (address_domain(domain + below, text + below) < 0)
        return;
    emit(sink, KEY_DOMAIN, domain, strlen(domain));
    emit(sink, MARK_DOMAIN, NULL, 0);
}

/* "abuse@": that local part in any domain. */
static void emit_local(const struct sink *sink, const char *text, size_t len)
{
    char lower[ADDRESS_LOCAL_MAX + 1];
    if (len == 0 || len > ADDRESS_LOCAL_MAX)
        return;
    memcpy(lower, text, len);
    lower[len] = '\0';
    str_lower(lower);
    emit(sink, KEY_LOCAL, lower, len);
}

static void emit_value(const struct sink *sink, const char *text)
{
    size_t len = strlen(text);
    struct netaddr_prefix net;
    struct address address;
    char fold[ADDRESS_STRLEN], network[18];
    uint8_t digest[64];
    size_t digest_len = digest_bytes(digest, text);
    if (strcmp(text, "<>") == 0) {
        emit(sink, KEY_NULL_SENDER, NULL, 0);
    } else if (digest_len > 0) {
        emit(sink, KEY_CERTIFICATE, digest, digest_len);
    } else if (len > 1 && text[len - 1] == '@') {
        emit_local(sink, text, len - 1);
    } else if (strchr(text, '@') != NULL) {
        if (address_parse(&address, text) == 0 && address.domain[0] != '\0')
            emit(sink, KEY_ADDRESS, fold, address_fold(&address, fold));
    } else if (netaddr_prefix_parse(&net, text) == 0) {
        emit(sink, KEY_NETWORK, network,
             network_bytes(network, net.addr.family, net.bits, net.addr.bytes));
        emit(sink, net.addr.family == 6 ? MARK_IPV6 : MARK_IPV4, NULL, 0);
    } else {
        emit_domain(sink, text);
    }
}

bool partner_key_valid(const char *text)
{
    struct netaddr_prefix net;
    char domain[ADDRESS_DOMAIN_MAX + 1];
    if (netaddr_prefix_parse(&net, text) == 0)
        return true;
    if (address_domain(domain, text + (text[0] == '.')) < 0 || domain[0] == '[')
        return false;
    /* No top-level domain is a number: that was to be a network. */
    const char *dot = strrchr(domain, '.'), *top = dot == NULL ? domain : dot + 1;
    return top[strspn(top, "0123456789")] != '\0';
}

void access_index_keys(const struct entry *e, void (*fn)(const struct index_key *key, void *arg),
                       void *arg)
{
    struct sink sink = {.fn = fn, .arg = arg};
    const char *value;
    if ((entry_kinds(e) & ENTRY_PARTNER) != 0) {
        sink.table = PARTNERS;
        emit(&sink, MARK_ANY, NULL, 0);
        for (size_t j = 0; (value = entry_value(e, ATTR_PARTNER_KEY, j)) != NULL; j++)
            emit_value(&sink, value);
    }
    for (size_t i = 0; (sink.table = entry_value(e, ATTR_ACCESS_TABLE, i)) != NULL; i++)
        for (size_t j = 0; (value = entry_value(e, ATTR_ACCESS_KEY, j)) != NULL; j++)
            emit_value(&sink, value);
}

int access_class_key(struct index_key *key, const char *name)
{
    char lower[NAME_MAX_LEN + 1];
    size_t n = strlen(name);
    if (n == 0 || n > NAME_MAX_LEN)
        return -1;
    memcpy(lower, name, n + 1);
    str_lower(lower);
    index_key(key, INDEX_CLASS, lower, n);
    return 0;
}

/* ---- the reader's side ---- */

/* One key; a mark is found with any number of entries, everything else with one. */
static enum answer find(struct snapshot *snap, const struct index_key *key, unsigned kind,
                        const struct entry **out)
{
    const struct entry *e[2];
    if (!snapshot_fresh_for_lookup(snap))
        return ANSWER_UNKNOWN;
    int n = snapshot_find(snap, key, kind, e);
    if (n > 0)
        *out = e[0];
    return n == 0 ? ANSWER_ABSENT : n == 1 ? ANSWER_FOUND : ANSWER_UNKNOWN;
}

static enum answer look_up(struct snapshot *snap, const char *table, enum key_type type,
                           const void *data, size_t len, struct access *out)
{
    const struct entry *e = NULL;
    struct index_key key;
    *out = (struct access){0};
    if (make_key(&key, table, type, data, len) < 0)
        return ANSWER_ABSENT;
    bool partner = strcmp(table, PARTNERS) == 0;
    enum answer answer = find(snap, &key, partner ? ENTRY_PARTNER : ENTRY_ACCESS, &e);
    if (e == NULL)
        return answer;
    out->entry = e;
    out->dn = entry_dn(e);
    out->action = entry_value(e, partner ? ATTR_PARTNER_TLS : ATTR_ACCESS_ACTION, 0);
    return out->action == NULL ? ANSWER_UNKNOWN : answer;
}

static enum answer has(struct snapshot *snap, const char *table, enum key_type mark)
{
    struct access ignored;
    enum answer answer = look_up(snap, table, mark, NULL, 0, &ignored);
    return answer == ANSWER_UNKNOWN && ignored.dn != NULL ? ANSWER_FOUND : answer;
}

enum answer access_has_domains(struct snapshot *snap, const char *table)
{
    return has(snap, table, MARK_DOMAIN);
}

enum answer access_domain(struct snapshot *snap, const char *table, const char *domain,
                          struct access *out)
{
    char lower[ADDRESS_DOMAIN_MAX + 2] = ".";
    *out = (struct access){0};
    if (address_domain(lower + 1, domain) < 0)
        return ANSWER_ABSENT;
    enum answer answer = has(snap, table, MARK_DOMAIN);
    /* The name itself, then each ".PARENT" and "PARENT". */
    for (const char *p = lower; answer == ANSWER_FOUND && p != NULL; p = strchr(p + 1, '.')) {
        enum answer found = ANSWER_ABSENT;
        if (p != lower)
            found = look_up(snap, table, KEY_DOMAIN, p, strlen(p), out);
        if (found == ANSWER_ABSENT)
            found = look_up(snap, table, KEY_DOMAIN, p + 1, strlen(p + 1), out);
        if (found != ANSWER_ABSENT)
            return found;
    }
    return answer == ANSWER_FOUND ? ANSWER_ABSENT : answer;
}

enum answer access_network(struct snapshot *snap, const char *table, const struct netaddr *addr,
                           struct access *out)
{
    char network[18];
    *out = (struct access){0};
    if (addr->family == 0)
        return ANSWER_ABSENT;
    enum answer answer = has(snap, table, addr->family == 6 ? MARK_IPV6 : MARK_IPV4);
    for (int bits = addr->family == 6 ? 128 : 32; answer == ANSWER_FOUND && bits >= 0; bits--) {
        size_t len = network_bytes(network, addr->family, (unsigned)bits, addr->bytes);
        enum answer found = look_up(snap, table, KEY_NETWORK, network, len, out);
        if (found != ANSWER_ABSENT)
            return found;
    }
    return answer == ANSWER_FOUND ? ANSWER_ABSENT : answer;
}

/* The address as a key, then without its detail. */
static enum answer find_address(struct snapshot *snap, const char *table, struct address *a,
                                enum key_type type, struct access *out)
{
    const char *delimiters = snapshot_conf(snap)->recipient_delimiter;
    size_t len = strcspn(a->local, delimiters);
    struct address base = *a;
    char fold[ADDRESS_STRLEN];
    if (len > 0)
        base.local[len] = '\0';
    const struct address *forms[2] = {a, &base};
    for (size_t i = 0; i < (strlen(base.local) < strlen(a->local) ? 2 : 1); i++) {
        size_t n = address_fold(forms[i], fold);
        /* A local part alone is the fold up to its at sign. */
        if (type == KEY_LOCAL)
            n = strlen(forms[i]->local);
        enum answer found = look_up(snap, table, type, fold, n, out);
        if (found != ANSWER_ABSENT)
            return found;
    }
    return ANSWER_ABSENT;
}

enum answer access_address(struct snapshot *snap, const char *table, const char *address,
                           struct access *out)
{
    struct address a;
    *out = (struct access){0};
    if (*address == '\0')
        return look_up(snap, table, KEY_NULL_SENDER, NULL, 0, out);
    if (address_parse(&a, address) < 0)
        return ANSWER_ABSENT;
    enum answer answer = find_address(snap, table, &a, KEY_ADDRESS, out);
    if (answer == ANSWER_ABSENT && a.domain[0] != '\0')
        answer = access_domain(snap, table, a.domain, out);
    if (answer == ANSWER_ABSENT)
        answer = find_address(snap, table, &a, KEY_LOCAL, out);
    return answer;
}

enum answer access_certificate(struct snapshot *snap, const char *table, const char *fingerprint,
                               struct access *out)
{
    uint8_t digest[64];
    size_t len = digest_bytes(digest, fingerprint);
    *out = (struct access){0};
    if (len == 0)
        return ANSWER_ABSENT;
    return look_up(snap, table, KEY_CERTIFICATE, digest, len, out);
}

bool partner_anywhere(struct snapshot *snap)
{
    return has(snap, PARTNERS, MARK_ANY) != ANSWER_ABSENT;
}

enum answer partner_find(struct snapshot *snap, const char *domain, const struct netaddr *addr,
                         struct access *out)
{
    enum answer answer = ANSWER_ABSENT;
    *out = (struct access){0};
    if (*domain != '\0')
        answer = access_domain(snap, PARTNERS, domain, out);
    return answer == ANSWER_ABSENT ? access_network(snap, PARTNERS, addr, out) : answer;
}

enum answer access_class(struct snapshot *snap, const char *name, struct access *out)
{
    const struct entry *e = NULL;
    struct index_key key;
    *out = (struct access){0};
    if (access_class_key(&key, name) < 0)
        return ANSWER_ABSENT;
    enum answer answer = find(snap, &key, ENTRY_CLASS, &e);
    if (e == NULL)
        return answer;
    out->dn = entry_dn(e);
    out->action = entry_value(e, ATTR_RESTRICTIONS, 0);
    return out->action == NULL ? ANSWER_UNKNOWN : answer;
}

#include <string.h>

#include "directory/address.h"
#include "directory/dn.h"
#include "directory/replica.h"
#include "gateway/base/str.h"

/* Offsets in an encoded entry; replica.h tells the whole form. */
enum {
    OFF_TOTAL = 16,
    OFF_KINDS = 20,
    OFF_DN = 24,
    OFF_ROWS = 28,
    HEAD = 32,
    ROW = 8
};

struct entry {
    uint8_t bytes[HEAD];
};

const struct db_table replica_tables[] = {
    [TABLE_META] = {.name = "meta"},
    [TABLE_ENTRY] = {.name = "entry"},
    [TABLE_INDEX] = {.name = "index", .dup_size = sizeof(struct uuid)},
    [TABLE_MAP] = {.name = "map"},
    [TABLE_ASKED] = {.name = "asked"},
    {0},
};

static uint32_t get32(const struct entry *e, size_t offset)
{
    uint32_t v;
    memcpy(&v, (const uint8_t *)e + offset, sizeof v);
    return v;
}

static uint32_t row_attr(const struct entry *e, uint32_t row)
{
    return get32(e, HEAD + (size_t)row * ROW);
}

static uint32_t row_end(const struct entry *e, uint32_t row)
{
    return get32(e, HEAD + (size_t)row * ROW + 4);
}

/*
 * The bounds that make every later access safe: the tables lie inside, and the last byte is a NUL,
 * so a string that begins inside ends inside. Offsets of strings are checked where they are used.
 */
bool entry_valid(const void *data, size_t len)
{
    const struct entry *e = data;
    if (len < HEAD + 1 || len > UINT32_MAX || ((const uint8_t *)data)[len - 1] != '\0')
        return false;
    uint32_t rows = get32(e, OFF_ROWS);
    if (get32(e, OFF_TOTAL) != len || get32(e, OFF_DN) >= len || rows > ATTR_COUNT)
        return false;
    size_t table = HEAD + (size_t)rows * ROW;
    if (table > len)
        return false;
    uint32_t before = 0;
    for (uint32_t i = 0; i < rows; i++) {
        if (row_end(e, i) < before)
            return false;
        before = row_end(e, i);
    }
    return before <= (len - table) / 4;
}

const struct uuid *entry_uuid(const struct entry *e)
{
    return (const struct uuid *)e->bytes;
}

const char *entry_dn(const struct entry *e)
{
    return (const char *)e + get32(e, OFF_DN);
}

unsigned entry_all_kinds(const struct entry *e)
{
    return get32(e, OFF_KINDS);
}

uint32_t entry_digest(const struct entry *e)
{
    return str_crc32c(0, e, get32(e, OFF_TOTAL));
}

unsigned entry_kinds(const struct entry *e)
{
    return get32(e, OFF_KINDS) & 0xffff;
}

const char *entry_attr_name(enum entry_attr attr)
{
    static const char *const names[ATTR_COUNT] = {
        [ATTR_MAIL] = "mail",
        [ATTR_MAIL_ALTERNATE] = "mailAlternateAddress",
        [ATTR_UID] = "uid",
        [ATTR_CN] = "cn",
        [ATTR_ROUTING_ADDRESS] = "mailRoutingAddress",
        [ATTR_MAIL_HOST] = "mailHost",
        [ATTR_MEMBER] = "member",
        [ATTR_MEMBER_ADDRESS] = "rfc822MailMember",
        [ATTR_DELIVERY_MODE] = "deliveryMode",
        [ATTR_ACCOUNT_STATUS] = "accountStatus",
        [ATTR_QUOTA] = "quota",
        [ATTR_DOMAIN] = "domain",
        [ATTR_DOMAIN_TARGET] = "domainTarget",
        [ATTR_CATCHALL] = "catchAll",
        [ATTR_POLICY] = "policy",
        [ATTR_CLIENT_RESTRICTIONS] = "smtpdClientRestrictions",
        [ATTR_HELO_RESTRICTIONS] = "smtpdHeloRestrictions",
        [ATTR_SENDER_RESTRICTIONS] = "smtpdSenderRestrictions",
        [ATTR_RELAY_RESTRICTIONS] = "smtpdRelayRestrictions",
        [ATTR_RECIPIENT_RESTRICTIONS] = "smtpdRecipientRestrictions",
        [ATTR_DATA_RESTRICTIONS] = "smtpdDataRestrictions",
        [ATTR_LANGUAGE] = "preferredLanguage",
        [ATTR_MEMBER_URL] = "memberURL",
        [ATTR_LIST_ALLOWED] = "mgrpAllowedBroadcaster",
        [ATTR_LIST_DENIED] = "mgrpDisallowedBroadcaster",
        [ATTR_LIST_ALLOWED_DOMAIN] = "mgrpAllowedDomain",
        [ATTR_LIST_DENIED_DOMAIN] = "mgrpDisallowedDomain",
        [ATTR_LIST_ACCESS] = "listAccess",
        [ATTR_LIST_BROADCASTER_POLICY] = "mgrpBroadcasterPolicy",
        [ATTR_LIST_MAX_SIZE] = "mgrpMsgMaxSize",
        [ATTR_LIST_MODERATOR] = "mgrpModerator",
        [ATTR_LIST_REJECT_ACTION] = "mgrpMsgRejectAction",
        [ATTR_LIST_REJECT_TEXT] = "mgrpMsgRejectText",
        [ATTR_LIST_ERRORS_TO] = "mgrpErrorsTo",
        [ATTR_SEND_AS] = "sendAs",
        [ATTR_SEND_AS_ADDRESS] = "sendAsAddress",
        [ATTR_CERTIFICATE] = "certificate",
        [ATTR_PRINCIPAL] = "principal",
        [ATTR_SERVICE] = "service",
        [ATTR_NOT_AFTER] = "notAfter",
        [ATTR_DELEGATE] = "delegate",
        [ATTR_DKIM_KEY] = "dkimKey",
        [ATTR_DMARC_ACTION] = "dmarcAction",
        [ATTR_END_OF_DATA_RESTRICTIONS] = "smtpdEndOfDataRestrictions",
        [ATTR_ETRN_RESTRICTIONS] = "smtpdEtrnRestrictions",
        [ATTR_PARTNER_KEY] = "partnerKey",
        [ATTR_PARTNER_TLS] = "partnerTLS",
        [ATTR_PARTNER_CA] = "partnerCA",
        [ATTR_PARTNER_CERTIFICATE] = "partnerCertificate",
        [ATTR_ACCESS_TABLE] = "accessTable",
        [ATTR_ACCESS_KEY] = "accessKey",
        [ATTR_ACCESS_ACTION] = "accessAction",
        [ATTR_RESTRICTIONS] = "restrictions",
        [ATTR_MEMBER_OF] = "memberOfGroup",
        [ATTR_PARAMETER] = "parameter",
        [ATTR_CONFIG_HOST] = "configHost",
    };
    return names[attr] != NULL ? names[attr] : "attribute";
}

/* Which values belong to an attribute: their number, and the number of the first. */
static size_t find_row(const struct entry *e, enum entry_attr attr, uint32_t *first)
{
    uint32_t rows = get32(e, OFF_ROWS);
    *first = 0;
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t end = row_end(e, i);
        if (row_attr(e, i) == (uint32_t)attr)
            return end - *first;
        *first = end;
    }
    return 0;
}

size_t entry_count(const struct entry *e, enum entry_attr attr)
{
    uint32_t first;
    return find_row(e, attr, &first);
}

const char *entry_value(const struct entry *e, enum entry_attr attr, size_t i)
{
    uint32_t first;
    if (i >= find_row(e, attr, &first))
        return NULL;
    size_t table = HEAD + (size_t)get32(e, OFF_ROWS) * ROW;
    uint32_t offset = get32(e, table + (first + i) * 4);
    return offset < get32(e, OFF_TOTAL) ? (const char *)e + offset : "";
}

/* ---- drafts ---- */

void entry_draft_reset(struct entry_draft *d)
{
    buf_clear(&d->dn);
    buf_clear(&d->values);
    d->kinds = 0;
    d->count = 0;
    memset(&d->uuid, 0, sizeof d->uuid);
}

void entry_draft_free(struct entry_draft *d)
{
    buf_free(&d->dn);
    buf_free(&d->values);
}

int entry_draft_copy(struct entry_draft *d, const struct entry *e, const char *dn)
{
    const char *value;
    entry_draft_reset(d);
    d->uuid = *entry_uuid(e);
    d->kinds = entry_all_kinds(e);
    int rc = buf_append_str(&d->dn, dn);
    for (unsigned a = 0; rc == 0 && a < ATTR_COUNT; a++)
        for (size_t i = 0; rc == 0 && (value = entry_value(e, a, i)) != NULL; i++)
            rc = entry_draft_add(d, a, value, strlen(value));
    return rc;
}

struct value_head {
    uint32_t attr, len;
};

int entry_draft_add(struct entry_draft *d, enum entry_attr attr, const void *value, size_t len)
{
    struct value_head head = {.attr = attr, .len = (uint32_t)len};
    if (len == 0 || len > (1U << 24) || memchr(value, '\0', len) != NULL)
        return -1;
    unsigned char *p = buf_reserve(&d->values, sizeof head + len + 1);
    if (p == NULL)
        return -1;
    memcpy(p, &head, sizeof head);
    memcpy(p + sizeof head, value, len);
    p[sizeof head + len] = '\0';
    buf_commit(&d->values, sizeof head + len + 1);
    d->count++;
    return 0;
}

/* The next value of a draft: its text (NUL-terminated), or NULL at the end. */
static const char *next_value(const struct entry_draft *d, size_t *pos, struct value_head *head)
{
    if (*pos >= d->values.len)
        return NULL;
    memcpy(head, d->values.data + *pos, sizeof *head);
    const char *text = (const char *)d->values.data + *pos + sizeof *head;
    *pos += sizeof *head + head->len + 1;
    return text;
}

static void append32(struct buf *out, uint32_t v)
{
    buf_append(out, &v, sizeof v);
}

static uint32_t append_rows(const struct entry_draft *d, struct buf *out)
{
    uint32_t count[ATTR_COUNT] = {0}, rows = 0, end = 0;
    struct value_head head;
    for (size_t pos = 0; next_value(d, &pos, &head) != NULL;)
        count[head.attr]++;
    for (uint32_t a = 0; a < ATTR_COUNT; a++) {
        if (count[a] == 0)
            continue;
        end += count[a];
        append32(out, a);
        append32(out, end);
        rows++;
    }
    return rows;
}

int entry_encode(const struct entry_draft *d, struct buf *out)
{
    struct value_head head;
    uint32_t zero[4] = {0};
    buf_clear(out);
    buf_append(out, d->uuid.bytes, sizeof d->uuid.bytes);
    buf_append(out, zero, sizeof zero);
    uint32_t rows = append_rows(d, out);
    size_t dn = out->len + d->count * 4;
    size_t at = dn + d->dn.len + 1, total = at + d->values.len - d->count * sizeof head;
    if (total > BUF_MAX_DEFAULT)
        return -1;
    /* Two passes in one order: attribute by attribute, and inside one as the directory has it. */
    for (uint32_t a = 0; a < ATTR_COUNT; a++)
        for (size_t pos = 0; next_value(d, &pos, &head) != NULL;)
            if (head.attr == a) {
                append32(out, (uint32_t)at);
                at += head.len + 1;
            }
    buf_append(out, d->dn.data, d->dn.len);
    buf_append_byte(out, '\0');
    for (uint32_t a = 0; a < ATTR_COUNT; a++) {
        const char *text;
        for (size_t pos = 0; (text = next_value(d, &pos, &head)) != NULL;)
            if (head.attr == a && buf_append(out, text, (size_t)head.len + 1) < 0)
                return -1;
    }
    if (out->len != total)
        return -1;
    uint32_t fixed[4] = {(uint32_t)total, d->kinds, (uint32_t)dn, rows};
    memcpy(out->data + OFF_TOTAL, fixed, sizeof fixed);
    return 0;
}

/* ---- index keys ---- */

static uint64_t fnv1a(const char *s, size_t len)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)s[i]) * 0x100000001b3U;
    return h;
}

void index_key(struct index_key *key, enum index_kind kind, const char *text, size_t len)
{
    key->data[0] = (char)kind;
    if (len < DB_KEY_MAX) {
        if (len > 0)
            memcpy(key->data + 1, text, len);
        key->len = len + 1;
        return;
    }
    /* Names of this length are rare, and the directory's own administrators write them. */
    uint64_t digest[2] = {fnv1a(text, len), str_crc32c(0, text, len) | (uint64_t)len << 32};
    memcpy(key->data + 1, text, DB_KEY_MAX - 1 - sizeof digest);
    memcpy(key->data + DB_KEY_MAX - sizeof digest, digest, sizeof digest);
    key->len = DB_KEY_MAX;
}

int index_key_dn(struct index_key *key, enum index_kind kind, const char *dn)
{
    char normal[DN_MAX];
    int len = dn_normalize(dn, normal);
    if (len < 0)
        return -1;
    if (kind == INDEX_DN)
        dn_reverse(normal, (size_t)len);
    index_key(key, kind, normal, (size_t)len);
    return 0;
}

int index_key_name(struct index_key *key, const char *name)
{
    return index_key_folded(key, INDEX_NAME, name);
}

int index_key_folded(struct index_key *key, enum index_kind kind, const char *name)
{
    char lower[ADDRESS_STRLEN];
    size_t len = strlen(name);
    if (len == 0 || len >= DB_KEY_MAX - 1)
        return -1;
    memcpy(lower, name, len + 1);
    str_lower(lower);
    index_key(key, kind, lower, len);
    return 0;
}

struct key_sink {
    void (*fn)(const struct index_key *key, void *arg);
    void *arg;
};

static void emit_addresses(const struct entry *e, enum index_kind kind, enum entry_attr attr,
                           const struct key_sink *sink)
{
    const char *value;
    for (size_t i = 0; (value = entry_value(e, attr, i)) != NULL; i++) {
        struct address address;
        struct index_key key;
        char fold[ADDRESS_STRLEN];
        if (address_parse(&address, value) < 0 || address.domain[0] == '\0')
            continue;
        index_key(&key, kind, fold, address_fold(&address, fold));
        sink->fn(&key, sink->arg);
    }
}

static void emit_names(const struct entry *e, const struct key_sink *sink)
{
    const char *value;
    for (size_t i = 0; (value = entry_value(e, ATTR_UID, i)) != NULL; i++) {
        struct index_key key;
        if (index_key_name(&key, value) == 0)
            sink->fn(&key, sink->arg);
    }
}

static void emit_credentials(const struct entry *e, const struct key_sink *sink)
{
    static const struct {
        enum entry_attr attr;
        enum index_kind kind;
    } rows[] = {{ATTR_CERTIFICATE, INDEX_CERTIFICATE}, {ATTR_PRINCIPAL, INDEX_PRINCIPAL}};
    const char *value;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
        for (size_t i = 0; (value = entry_value(e, rows[r].attr, i)) != NULL; i++) {
            struct index_key key;
            if (index_key_folded(&key, rows[r].kind, value) == 0)
                sink->fn(&key, sink->arg);
        }
}

static void emit_domains(const struct entry *e, const struct key_sink *sink)
{
    const char *value;
    for (size_t i = 0; (value = entry_value(e, ATTR_DOMAIN, i)) != NULL; i++) {
        char domain[ADDRESS_DOMAIN_MAX + 1];
        struct index_key key;
        if (address_domain(domain, value) < 0)
            continue;
        index_key(&key, INDEX_DOMAIN, domain, strlen(domain));
        sink->fn(&key, sink->arg);
    }
}

static void emit_class_names(const struct entry *e, const struct key_sink *sink)
{
    const char *value;
    for (size_t i = 0; (value = entry_value(e, ATTR_CN, i)) != NULL; i++) {
        struct index_key key;
        if (access_class_key(&key, value) == 0)
            sink->fn(&key, sink->arg);
    }
}

/* The stages that are evaluated once for a message: most policies leave them alone. */
static void emit_stages(const struct entry *e, const struct key_sink *sink)
{
    static const enum entry_attr attrs[] = {ATTR_DATA_RESTRICTIONS, ATTR_END_OF_DATA_RESTRICTIONS};
    for (size_t i = 0; i < sizeof attrs / sizeof attrs[0]; i++) {
        char attr = (char)attrs[i];
        struct index_key key;
        if (entry_count(e, attrs[i]) == 0)
            continue;
        index_key(&key, INDEX_STAGE, &attr, 1);
        sink->fn(&key, sink->arg);
    }
}

static void emit_members(const struct entry *e, const struct key_sink *sink)
{
    const char *value;
    for (size_t i = 0; (value = entry_value(e, ATTR_MEMBER, i)) != NULL; i++) {
        struct index_key key;
        if (index_key_dn(&key, INDEX_MEMBER, value) == 0)
            sink->fn(&key, sink->arg);
    }
    emit_addresses(e, INDEX_MEMBER_ADDRESS, ATTR_MEMBER_ADDRESS, sink);
}

/* An app password is found by the user above it. */
static void emit_parent(const struct entry *e, const struct key_sink *sink)
{
    char normal[DN_MAX];
    struct index_key key;
    if (dn_normalize(entry_dn(e), normal) < 0)
        return;
    size_t head = (size_t)dn_head(normal, 1);
    if (normal[head] == ',')
        head++;
    index_key(&key, INDEX_APP_PASSWORD, normal + head, strlen(normal + head));
    sink->fn(&key, sink->arg);
}

void entry_index_keys(const struct entry *e, void (*fn)(const struct index_key *key, void *arg),
                      void *arg)
{
    const struct key_sink sink = {.fn = fn, .arg = arg};
    unsigned kinds = entry_all_kinds(e);
    struct index_key key;
    if (index_key_dn(&key, INDEX_DN, entry_dn(e)) == 0)
        fn(&key, arg);
    if ((kinds & (ENTRY_USER | ENTRY_ALIAS | ENTRY_GROUP)) != 0) {
        emit_addresses(e, INDEX_ADDRESS, ATTR_MAIL, &sink);
        emit_addresses(e, INDEX_ADDRESS, ATTR_MAIL_ALTERNATE, &sink);
        emit_addresses(e, INDEX_LISTED, ATTR_MEMBER_OF, &sink);
        emit_names(e, &sink);
    }
    if ((kinds & ENTRY_USER) != 0)
        emit_credentials(e, &sink);
    if ((kinds & ENTRY_GROUP) != 0)
        emit_members(e, &sink);
    if ((kinds & ENTRY_DOMAIN) != 0)
        emit_domains(e, &sink);
    if ((kinds & ENTRY_POLICY) != 0)
        emit_stages(e, &sink);
    if ((kinds & (ENTRY_ACCESS | ENTRY_PARTNER)) != 0)
        access_index_keys(e, fn, arg);
    if ((kinds & ENTRY_CLASS) != 0)
        emit_class_names(e, &sink);
    if ((kinds & ENTRY_APP_PASSWORD) != 0)
        emit_parent(e, &sink);
    if ((kinds & ENTRY_CONFIG) != 0) {
        index_key(&key, INDEX_CONFIG, NULL, 0);
        fn(&key, arg);
    }
    if ((kinds & ENTRY_GLOBAL) != 0) {
        index_key(&key, INDEX_GLOBAL, NULL, 0);
        fn(&key, arg);
    }
}

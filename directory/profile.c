#include "directory/profile.h"

#include <string.h>

#include "directory/secrets.h"
#include "gateway/base/hmac.h"
#include "gateway/base/str.h"

/* What an object class says of an entry. */
enum {
    CLASS_PERSON = 1,    /* a user, if it has an address or a login name */
    CLASS_RECIPIENT = 2, /* an alias where it routes, else a user; nothing beside another kind */
    CLASS_GROUP = 4,
    CLASS_DOMAIN = 8,
    CLASS_POLICY = 16,
    CLASS_ALIAS = 32,
    CLASS_CN_ALIAS = 64, /* cn is the name that it answers to */
    CLASS_ACCESS = 128,
    CLASS_RESTRICTIONS = 256,
    CLASS_CONTAINER = 512 /* holds others; kept for its DN where it is nothing else */
};

static const struct {
    const char *name;
    unsigned classes;
} profile_classes[] = {
    {"inetOrgPerson", CLASS_PERSON},
    {"dirigoUser", CLASS_PERSON},
    {"qmailUser", CLASS_PERSON},
    {"mailRecipient", CLASS_PERSON},
    {"inetMailUser", CLASS_PERSON},
    {"inetLocalMailRecipient", CLASS_RECIPIENT},
    {"nisMailAlias", CLASS_ALIAS | CLASS_CN_ALIAS},
    {"groupOfNames", CLASS_GROUP},
    {"groupOfUniqueNames", CLASS_GROUP},
    {"mailGroup", CLASS_GROUP},
    {"inetMailGroup", CLASS_GROUP},
    {"rfc822MailGroup", CLASS_GROUP},
    {"groupOfURLs", CLASS_GROUP},
    {"dirigoGroup", CLASS_GROUP},
    {"dirigoDomain", CLASS_DOMAIN},
    {"dirigoPolicy", CLASS_POLICY},
    {"dirigoAccess", CLASS_ACCESS},
    {"dirigoRestrictionClass", CLASS_RESTRICTIONS},
    {"organizationalUnit", CLASS_CONTAINER},
    {"organization", CLASS_CONTAINER},
    {"dcObject", CLASS_CONTAINER},
    {"domain", CLASS_CONTAINER},
    {"country", CLASS_CONTAINER},
    {"locality", CLASS_CONTAINER},
    {"organizationalRole", CLASS_CONTAINER},
    {"container", CLASS_CONTAINER},
    {"nsContainer", CLASS_CONTAINER},
};

/* How a value is taken. */
enum {
    TAKE_VALUE,
    TAKE_ADDRESS, /* counts as an address of the entry */
    TAKE_NAME,    /* a login name */
    TAKE_CN,
    TAKE_ROUTE,   /* forwards, without a copy unless the delivery mode says "keep" */
    TAKE_FORWARD, /* forwards, with a copy unless the delivery mode says otherwise */
    TAKE_MODE,
    TAKE_STATUS,
    TAKE_GLOBAL,
    TAKE_SECRET,
    TAKE_CERTIFICATE, /* DER, of which the hash is kept */
    TAKE_CLASS
};

static const struct profile_row {
    const char *name;
    enum entry_attr attr;
    int take;
} profile_rows[] = {
    {"objectClass", ATTR_COUNT, TAKE_CLASS},
    {"mail", ATTR_MAIL, TAKE_ADDRESS},
    {"mailLocalAddress", ATTR_MAIL_ALTERNATE, TAKE_ADDRESS},
    {"mailAlternateAddress", ATTR_MAIL_ALTERNATE, TAKE_ADDRESS},
    {"mailEquivalentAddress", ATTR_MAIL_ALTERNATE, TAKE_ADDRESS},
    {"uid", ATTR_UID, TAKE_NAME},
    {"cn", ATTR_CN, TAKE_CN},
    {"preferredLanguage", ATTR_LANGUAGE, TAKE_VALUE},
    {"mailRoutingAddress", ATTR_ROUTING_ADDRESS, TAKE_ROUTE},
    {"dirigoForwardingAddress", ATTR_ROUTING_ADDRESS, TAKE_ROUTE},
    {"mailForwardingAddress", ATTR_ROUTING_ADDRESS, TAKE_FORWARD},
    {"mailHost", ATTR_MAIL_HOST, TAKE_VALUE},
    {"member", ATTR_MEMBER, TAKE_VALUE},
    {"uniqueMember", ATTR_MEMBER, TAKE_VALUE},
    {"rfc822MailMember", ATTR_MEMBER_ADDRESS, TAKE_VALUE},
    {"mgrpRFC822MailMember", ATTR_MEMBER_ADDRESS, TAKE_VALUE},
    {"deliveryMode", ATTR_DELIVERY_MODE, TAKE_MODE},
    {"mailDeliveryOption", ATTR_DELIVERY_MODE, TAKE_MODE},
    {"dirigoDeliveryMode", ATTR_DELIVERY_MODE, TAKE_MODE},
    {"accountStatus", ATTR_ACCOUNT_STATUS, TAKE_STATUS},
    {"mailUserStatus", ATTR_ACCOUNT_STATUS, TAKE_STATUS},
    {"inetUserStatus", ATTR_ACCOUNT_STATUS, TAKE_STATUS},
    {"dirigoAccountStatus", ATTR_ACCOUNT_STATUS, TAKE_STATUS},
    {"mailQuota", ATTR_QUOTA, TAKE_VALUE},
    {"dirigoQuota", ATTR_QUOTA, TAKE_VALUE},
    {"dirigoDomainName", ATTR_DOMAIN, TAKE_VALUE},
    {"dirigoDomainTarget", ATTR_DOMAIN_TARGET, TAKE_VALUE},
    {"dirigoCatchAll", ATTR_CATCHALL, TAKE_VALUE},
    {"dirigoPolicyDN", ATTR_POLICY, TAKE_VALUE},
    {"dirigoGlobalPolicy", ATTR_COUNT, TAKE_GLOBAL},
    {"dirigoSmtpdClientRestrictions", ATTR_CLIENT_RESTRICTIONS, TAKE_VALUE},
    {"dirigoSmtpdHeloRestrictions", ATTR_HELO_RESTRICTIONS, TAKE_VALUE},
    {"dirigoSmtpdSenderRestrictions", ATTR_SENDER_RESTRICTIONS, TAKE_VALUE},
    {"dirigoSmtpdRelayRestrictions", ATTR_RELAY_RESTRICTIONS, TAKE_VALUE},
    {"dirigoSmtpdRecipientRestrictions", ATTR_RECIPIENT_RESTRICTIONS, TAKE_VALUE},
    {"dirigoSmtpdDataRestrictions", ATTR_DATA_RESTRICTIONS, TAKE_VALUE},
    {"dirigoSmtpdEndOfDataRestrictions", ATTR_END_OF_DATA_RESTRICTIONS, TAKE_VALUE},
    {"dirigoSmtpdEtrnRestrictions", ATTR_ETRN_RESTRICTIONS, TAKE_VALUE},
    {"dirigoAccessTable", ATTR_ACCESS_TABLE, TAKE_VALUE},
    {"dirigoAccessKey", ATTR_ACCESS_KEY, TAKE_VALUE},
    {"dirigoAccessAction", ATTR_ACCESS_ACTION, TAKE_VALUE},
    {"dirigoRestrictions", ATTR_RESTRICTIONS, TAKE_VALUE},
    {"memberURL", ATTR_MEMBER_URL, TAKE_VALUE},
    {"mgrpDeliverTo", ATTR_MEMBER_URL, TAKE_VALUE},
    {"dirigoSendAs", ATTR_SEND_AS, TAKE_VALUE},
    {"publicDelegates", ATTR_SEND_AS, TAKE_VALUE},
    {"kolabDelegate", ATTR_SEND_AS_ADDRESS, TAKE_VALUE},
    {"authPassword", ATTR_COUNT, TAKE_SECRET},
    {"userCertificate", ATTR_CERTIFICATE, TAKE_CERTIFICATE},
    {"krbPrincipalName", ATTR_PRINCIPAL, TAKE_VALUE},
    {"userPrincipalName", ATTR_PRINCIPAL, TAKE_VALUE},
    {"dirigoDelegate", ATTR_DELEGATE, TAKE_VALUE},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *const *profile_attributes(void)
{
    static const char *names[COUNT(profile_rows) + 1];
    for (size_t i = 0; i < COUNT(profile_rows); i++)
        names[i] = profile_rows[i].name;
    return names;
}

void profile_filter(struct buf *out)
{
    buf_append_str(out, "(|");
    for (size_t i = 0; i < COUNT(profile_classes); i++)
        buf_printf(out, "(objectClass=%s)", profile_classes[i].name);
    buf_append_str(out, ")");
}

void profile_begin(struct profile_entry *p, struct entry_draft *draft, struct buf *secrets,
                   const struct uuid *uuid, const char *dn)
{
    memset(p, 0, sizeof *p);
    p->draft = draft;
    p->secrets = secrets;
    buf_clear(secrets);
    entry_draft_reset(draft);
    draft->uuid = *uuid;
    buf_append_str(&draft->dn, dn);
}

static void take_class(struct profile_entry *p, const char *value, size_t len)
{
    for (size_t i = 0; i < COUNT(profile_classes); i++)
        if (str_is(value, len, profile_classes[i].name))
            p->classes |= profile_classes[i].classes;
}

/* A word that is not known may mean anything, so the account may not log in; its mail waits there.
 */
static void take_status(struct profile_entry *p, const char *value, size_t len)
{
    static const char *const off[] = {"disabled", "deleted", "inactive", "removed"};
    if (len == 0 || str_is(value, len, "active") || str_is(value, len, "enabled"))
        return;
    p->status |= ENTRY_NO_LOGIN;
    for (size_t i = 0; i < COUNT(off); i++)
        if (str_is(value, len, off[i]))
            p->status |= ENTRY_DISABLED;
}

/* Several vocabularies, one word: "keep" is what delivers here while forwarding. */
static void take_mode(struct profile_entry *p, const char *value, size_t len)
{
    bool keep = str_is(value, len, "keep") || str_is(value, len, "mailbox") ||
                str_is(value, len, "normal") || str_is(value, len, "localdelivery");
    p->has_mode = true;
    if (keep)
        entry_draft_add(p->draft, ATTR_DELIVERY_MODE, "keep", 4);
    else
        entry_draft_add(p->draft, ATTR_DELIVERY_MODE, value, len);
}

static void take_secret(struct profile_entry *p, const char *value, size_t len)
{
    static const unsigned char nul;
    if (len == 0 || memchr(value, '\0', len) != NULL)
        return;
    buf_append(p->secrets, value, len);
    buf_append(p->secrets, &nul, 1);
}

static void take_certificate(struct profile_entry *p, const char *der, size_t len)
{
    uint8_t hash[HMAC_LEN];
    char text[2 * HMAC_LEN + 1];
    hash_sha256(der, len, hash);
    str_hex(text, hash, sizeof(hash));
    entry_draft_add(p->draft, ATTR_CERTIFICATE, text, strlen(text));
}

static void take(struct profile_entry *p, const struct profile_row *row, const char *value,
                 size_t len)
{
    switch (row->take) {
    case TAKE_CLASS:
        take_class(p, value, len);
        return;
    case TAKE_GLOBAL:
        p->global = p->global || str_is(value, len, "TRUE");
        return;
    case TAKE_SECRET:
        take_secret(p, value, len);
        return;
    case TAKE_CERTIFICATE:
        take_certificate(p, value, len);
        return;
    case TAKE_MODE:
        take_mode(p, value, len);
        return;
    case TAKE_STATUS:
        take_status(p, value, len);
        break;
    case TAKE_CN:
        if (buf_append(&p->common_names, value, len) == 0)
            buf_append_byte(&p->common_names, '\0');
        break;
    default:
        p->addresses += row->take == TAKE_ADDRESS;
        p->names += row->take == TAKE_NAME;
        p->routes += row->take == TAKE_ROUTE || row->take == TAKE_FORWARD;
        p->forward_keeps = p->forward_keeps || row->take == TAKE_FORWARD;
    }
    entry_draft_add(p->draft, row->attr, value, len);
}

void profile_value(struct profile_entry *p, const char *name, size_t name_len, const void *value,
                   size_t value_len)
{
    const char *options = memchr(name, ';', name_len);
    if (options != NULL)
        name_len = (size_t)(options - name);
    for (size_t i = 0; i < COUNT(profile_rows); i++) {
        if (str_is(name, name_len, profile_rows[i].name)) {
            take(p, &profile_rows[i], value, value_len);
            return;
        }
    }
}

/* An alias by its common name: a whole address, or a name for the domains of this machine. */
static void name_alias(struct profile_entry *p)
{
    const char *data = (const char *)p->common_names.data;
    for (size_t pos = 0; pos < p->common_names.len;) {
        size_t len = strlen(data + pos);
        bool whole = memchr(data + pos, '@', len) != NULL;
        entry_draft_add(p->draft, whole ? ATTR_MAIL_ALTERNATE : ATTR_UID, data + pos, len);
        pos += len + 1;
    }
}

static unsigned kinds(const struct profile_entry *p)
{
    unsigned k = 0;
    if ((p->classes & CLASS_GROUP) != 0)
        k |= ENTRY_GROUP;
    if ((p->classes & CLASS_ALIAS) != 0)
        k |= ENTRY_ALIAS;
    if ((p->classes & CLASS_PERSON) != 0 && p->addresses + p->names > 0)
        k |= ENTRY_USER;
    if (k == 0 && (p->classes & CLASS_RECIPIENT) != 0 && p->addresses > 0)
        k |= p->routes > 0 ? ENTRY_ALIAS : ENTRY_USER;
    if ((p->classes & CLASS_DOMAIN) != 0)
        k |= ENTRY_DOMAIN;
    if ((p->classes & CLASS_POLICY) != 0)
        k |= ENTRY_POLICY | (p->global ? ENTRY_GLOBAL : 0);
    if ((p->classes & CLASS_ACCESS) != 0)
        k |= ENTRY_ACCESS;
    if ((p->classes & CLASS_RESTRICTIONS) != 0)
        k |= ENTRY_CLASS;
    if (k == 0)
        return (p->classes & CLASS_CONTAINER) != 0 ? ENTRY_CONTAINER : 0;
    return k | p->status;
}

bool profile_end(struct profile_entry *p)
{
    if ((p->classes & CLASS_CN_ALIAS) != 0 && p->common_names.len > 0)
        name_alias(p);
    if (p->forward_keeps && !p->has_mode)
        entry_draft_add(p->draft, ATTR_DELIVERY_MODE, "keep", 4);
    p->draft->kinds = kinds(p);
    if (p->draft->kinds == ENTRY_CONTAINER) {
        buf_clear(&p->draft->values);
        p->draft->count = 0;
    }
    buf_free(&p->common_names);
    return p->draft->kinds != 0;
}

/* ---- the way back ---- */

static const struct profile_row *find_row(const char *name, size_t len)
{
    const char *options = memchr(name, ';', len);
    if (options != NULL)
        len = (size_t)(options - name);
    for (size_t i = 0; i < COUNT(profile_rows); i++)
        if (str_is(name, len, profile_rows[i].name))
            return &profile_rows[i];
    return NULL;
}

bool profile_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const struct profile_row *x = find_row(a, a_len), *y = find_row(b, b_len);
    if (x == NULL || y == NULL || x->take == TAKE_SECRET)
        return false;
    return x == y || (x->attr == y->attr && x->attr != ATTR_COUNT);
}

static bool is_common_name(const struct entry *e, const char *value)
{
    const char *cn;
    for (size_t i = 0; (cn = entry_value(e, ATTR_CN, i)) != NULL; i++)
        if (strcmp(cn, value) == 0)
            return true;
    return false;
}

void profile_unmap(const struct entry *e,
                   void (*fn)(void *arg, const char *name, const char *value), void *arg)
{
    unsigned kinds = entry_all_kinds(e);
    bool by_class = entry_count(e, ATTR_ROUTING_ADDRESS) > 0 &&
                    entry_count(e, ATTR_MAIL) + entry_count(e, ATTR_MAIL_ALTERNATE) > 0 &&
                    (kinds & (ENTRY_USER | ENTRY_GROUP)) == 0;
    bool named = (kinds & ENTRY_ALIAS) != 0 && !by_class;
    const struct {
        bool holds;
        const char *name;
    } classes[] = {
        {(kinds & ENTRY_USER) != 0, "dirigoUser"},
        {(kinds & ENTRY_ALIAS) != 0, by_class ? "inetLocalMailRecipient" : "nisMailAlias"},
        {(kinds & ENTRY_GROUP) != 0, "dirigoGroup"},
        {(kinds & ENTRY_DOMAIN) != 0, "dirigoDomain"},
        {(kinds & ENTRY_POLICY) != 0, "dirigoPolicy"},
        {(kinds & ENTRY_ACCESS) != 0, "dirigoAccess"},
        {(kinds & ENTRY_CLASS) != 0, "dirigoRestrictionClass"},
        {(kinds & ENTRY_CONTAINER) != 0, "container"},
    };
    for (size_t i = 0; i < COUNT(classes); i++)
        if (classes[i].holds)
            fn(arg, "objectClass", classes[i].name);
    if ((kinds & ENTRY_GLOBAL) != 0)
        fn(arg, "dirigoGlobalPolicy", "TRUE");
    for (enum entry_attr attr = 0; attr < ATTR_COUNT; attr++) {
        const struct profile_row *row = profile_rows;
        const char *value;
        while (row < profile_rows + COUNT(profile_rows) && row->attr != attr)
            row++;
        if (row == profile_rows + COUNT(profile_rows))
            continue;
        for (size_t i = 0; (value = entry_value(e, attr, i)) != NULL; i++) {
            /* What name_alias made of a common name is made again. */
            bool again = named && (attr == ATTR_UID || attr == ATTR_MAIL_ALTERNATE);
            if (!again || !is_common_name(e, value))
                fn(arg, row->name, value);
        }
    }
}

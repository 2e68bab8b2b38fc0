#include "directory/profile.h"

#include <stdio.h>
#include <string.h>

#include "directory/profile_private.h"
#include "directory/secrets.h"
#include "gateway/base/hmac.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void profile_begin(struct profile_entry *p, const struct profile_table *table,
                   struct entry_draft *draft, struct buf *secrets, const struct uuid *uuid,
                   const char *dn)
{
    memset(p, 0, sizeof *p);
    p->table = table;
    p->draft = draft;
    p->secrets = secrets;
    buf_clear(secrets);
    entry_draft_reset(draft);
    draft->uuid = *uuid;
    buf_append_str(&draft->dn, dn);
}

/* Texts one after another, each with its NUL: one that has a NUL inside is taken as empty, for it
 * would be read as two. */
static void append_text(struct buf *b, const char *text, size_t len)
{
    static const char nul;
    if (buf_append(b, text, memchr(text, '\0', len) == NULL ? len : 0) == 0)
        buf_append(b, &nul, 1);
}

static void take_class(struct profile_entry *p, const char *value, size_t len)
{
    if (len > 1 && value[0] == '=') {
        char word[32] = "";
        if (len <= sizeof word)
            memcpy(word, value + 1, len - 1);
        p->classes |= profile_class_word(word);
        return;
    }
    p->classes |= profile_table_classes(p->table, value, len);
    append_text(&p->class_names, value, len);
}

/* ---- what words mean ---- */

static bool holds(const struct profile_meaning *m, const char *value, size_t len)
{
    uint64_t number;
    switch (m->test) {
    case TEST_BIT:
        return str_uint(value, len, UINT32_MAX, &number) == 0 && (number & m->bit) != 0;
    case TEST_LETTER:
        return memchr(value, m->text[0], len) != NULL;
    case TEST_LACKS:
        return false; /* that is known when every value has come */
    default:
        return str_is(value, len, m->text);
    }
}

/* What the row says of a value; NULL: nothing. */
static const char *meaning_of(const struct profile_row *row, const char *value, size_t len)
{
    const char *other = NULL;
    for (size_t i = 0; i < row->meaning_count; i++) {
        if (holds(&row->meanings[i], value, len))
            return row->meanings[i].meaning;
        if (row->meanings[i].test == TEST_WORD && strcmp(row->meanings[i].text, "*") == 0)
            other = row->meanings[i].meaning;
    }
    return other;
}

static void set_status(struct profile_entry *p, const char *meaning)
{
    if (strcmp(meaning, "active") != 0)
        p->status |= ENTRY_NO_LOGIN;
    if (strcmp(meaning, "disabled") == 0)
        p->status |= ENTRY_DISABLED;
}

static void take_status(struct profile_entry *p, const struct profile_row *row, const char *value,
                        size_t len)
{
    const char *meaning = meaning_of(row, value, len);
    bool list = false;
    for (size_t i = 0; i < row->meaning_count; i++)
        list = list || row->meanings[i].test == TEST_LACKS;
    if (list) {
        buf_append(&p->present, &row, sizeof row);
        append_text(&p->present, value, len);
    } else {
        entry_draft_add(p->draft, ATTR_ACCOUNT_STATUS, value, len);
    }
    if (meaning != NULL)
        set_status(p, meaning);
}

/* Whether the values that came by a row are without this one. */
static bool is_lacking(const struct profile_entry *p, const struct profile_row *row,
                       const char *value)
{
    for (size_t pos = 0; pos < p->present.len;) {
        const struct profile_row *other;
        const char *text = (const char *)p->present.data + pos + sizeof other;
        memcpy(&other, p->present.data + pos, sizeof other);
        if (other == row && str_ieq(text, value))
            return false;
        pos += sizeof other + strlen(text) + 1;
    }
    return true;
}

static void judge_lacking(struct profile_entry *p)
{
    const struct profile_row *judged = NULL;
    for (size_t pos = 0; pos < p->present.len;) {
        const struct profile_row *row;
        memcpy(&row, p->present.data + pos, sizeof row);
        for (size_t i = 0; row != judged && i < row->meaning_count; i++)
            if (row->meanings[i].test == TEST_LACKS && is_lacking(p, row, row->meanings[i].text))
                set_status(p, row->meanings[i].meaning);
        judged = row;
        pos += sizeof row + strlen((const char *)p->present.data + pos + sizeof row) + 1;
    }
}

/* Several vocabularies, one word: "keep" is what delivers here while forwarding. */
static void take_mode(struct profile_entry *p, const struct profile_row *row, const char *value,
                      size_t len)
{
    const char *meaning = meaning_of(row, value, len);
    p->has_mode = true;
    if (meaning != NULL)
        entry_draft_add(p->draft, ATTR_DELIVERY_MODE, meaning, strlen(meaning));
    else
        entry_draft_add(p->draft, ATTR_DELIVERY_MODE, value, len);
}

/*
 * Bytes, whatever the directory counts in; nothing where there is no bound (0, or less). What is no
 * number is kept as it is, so that those who check quotas see it.
 */
static void take_quota(struct profile_entry *p, const struct profile_row *row, const char *value,
                       size_t len)
{
    static const char letters[] = "kmgt";
    char text[32];
    uint64_t number, unit = row->unit;
    const char *letter =
        len > 1 ? memchr(letters, str_lower_char(value[len - 1]), sizeof letters - 1) : NULL;
    if (len > 1 && value[0] == '-' && str_uint(value + 1, len - 1, INT64_MAX, &number) == 0)
        return;
    if (letter != NULL)
        unit = (uint64_t)1 << (10 * (unsigned)(letter - letters + 1));
    if (str_uint(value, len - (letter != NULL), INT64_MAX, &number) < 0) {
        entry_draft_add(p->draft, ATTR_QUOTA, value, len);
        return;
    }
    if (number == 0)
        return;
    if (number > INT64_MAX / unit)
        number = INT64_MAX / unit;
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)(number * unit));
    entry_draft_add(p->draft, ATTR_QUOTA, text, (size_t)n);
}

/* ---- values ---- */

static void take_secret(struct profile_entry *p, const char *value, size_t len)
{
    if (len > 0 && memchr(value, '\0', len) == NULL)
        append_text(p->secrets, value, len);
}

/* A value that begins with a scheme is a hash, unless the scheme says that it is none (RFC 2307).
 */
static void take_clear(struct profile_entry *p, const char *value, size_t len)
{
    static const char *const none[] = {"{CLEARTEXT}", "{CLEAR}", "{PLAIN}"};
    struct buf text = {0};
    size_t skip = 0;
    for (size_t i = 0; i < COUNT(none); i++)
        if (len > strlen(none[i]) && str_ieq_n(value, none[i], strlen(none[i])))
            skip = strlen(none[i]);
    if (len == 0 || (value[0] == '{' && skip == 0) || memchr(value, '\0', len) != NULL)
        return;
    buf_append_str(&text, SECRETS_CLEAR);
    buf_append(&text, value + skip, len - skip);
    append_text(p->secrets, buf_str(&text), text.len);
    buf_wipe_free(&text);
}

/* Kept beside the keys, and told from them by SECRETS_TOTP. */
static void take_totp(struct profile_entry *p, const char *value, size_t len)
{
    if (len == 0 || memchr(value, '\0', len) != NULL)
        return;
    buf_append_str(p->secrets, SECRETS_TOTP);
    append_text(p->secrets, value, len);
    p->status |= ENTRY_TOTP;
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
    case TAKE_NOTHING:
        return;
    case TAKE_GLOBAL:
        p->global = p->global || str_is(value, len, "TRUE");
        return;
    case TAKE_SECRET:
        take_secret(p, value, len);
        return;
    case TAKE_CLEAR:
        take_clear(p, value, len);
        return;
    case TAKE_TOTP:
        take_totp(p, value, len);
        return;
    case TAKE_ONE_TIME:
        p->status |= ENTRY_ONE_TIME;
        return;
    case TAKE_CERTIFICATE:
        take_certificate(p, value, len);
        return;
    case TAKE_MODE:
        take_mode(p, row, value, len);
        return;
    case TAKE_QUOTA:
        take_quota(p, row, value, len);
        return;
    case TAKE_STATUS:
        take_status(p, row, value, len);
        return;
    case TAKE_CN:
        append_text(&p->common_names, value, len);
        break;
    default:
        p->addresses += row->take == TAKE_ADDRESS;
        p->names += row->take == TAKE_NAME;
        p->routes += row->take == TAKE_ROUTE || row->take == TAKE_FORWARD;
        p->forward_keeps = p->forward_keeps || row->take == TAKE_FORWARD;
    }
    entry_draft_add(p->draft, row->attr, value, len);
}

static bool has_class(const struct profile_entry *p, const char *name)
{
    const char *at = (const char *)p->class_names.data;
    for (size_t pos = 0; pos < p->class_names.len; pos += strlen(at + pos) + 1)
        if (str_ieq(at + pos, name))
            return true;
    return false;
}

/*
 * Every statement that fits, of the first profile that has one: a product's own profile stands
 * before the vocabulary that it borrowed its names from.
 */
static void take_by(struct profile_entry *p, const struct profile_slot *slot, const char *value,
                    size_t len)
{
    bool taken = false;
    for (size_t i = 0; i < slot->count; i++) {
        const struct profile_row *row = slot->rows[i];
        size_t skip = row->prefix == NULL ? 0 : strlen(row->prefix);
        if (taken && i > 0 && slot->owner[i] != slot->owner[i - 1])
            return;
        if (len < skip || (skip > 0 && memcmp(value, row->prefix, skip) != 0) ||
            (row->object_class != NULL && !has_class(p, row->object_class)))
            continue;
        take(p, row, value + skip, len - skip);
        taken = true;
    }
}

/* A value of a logical attribute, as profile_unmap names it. */
static void take_logical(struct profile_entry *p, const char *name, size_t name_len,
                         const char *value, size_t len)
{
    struct profile_row row = {.unit = 1};
    if (profile_logical(name, name_len, &row.attr, &row.take) < 0)
        return;
    if (row.take == TAKE_CERTIFICATE)
        row.take = TAKE_VALUE; /* it is a hash already */
    if (row.take == TAKE_STATUS && str_is(value, len, "disabled"))
        set_status(p, "disabled");
    else if (row.take == TAKE_STATUS && str_is(value, len, "noaccess"))
        set_status(p, "noaccess");
    take(p, &row, value, len);
}

static size_t plain_len(const char *name, size_t len)
{
    const char *options = memchr(name, ';', len);
    return options == NULL ? len : (size_t)(options - name);
}

void profile_value(struct profile_entry *p, const char *name, size_t name_len, const void *value,
                   size_t value_len)
{
    name_len = plain_len(name, name_len);
    if (str_is(name, name_len, "objectClass")) {
        take_class(p, value, value_len);
        return;
    }
    if (name_len > 0 && name[0] == '=') {
        take_logical(p, name + 1, name_len - 1, value, value_len);
        return;
    }
    const struct profile_slot *slot = profile_table_find(p->table, name, name_len);
    if (slot == NULL)
        return;
    if (!slot->conditional) {
        take_by(p, slot, value, value_len);
        return;
    }
    buf_append(&p->deferred, &slot, sizeof slot);
    buf_append(&p->deferred, &value_len, sizeof value_len);
    buf_append(&p->deferred, value, value_len);
}

static void take_deferred(struct profile_entry *p)
{
    for (size_t pos = 0; pos < p->deferred.len;) {
        const struct profile_slot *slot;
        size_t len;
        memcpy(&slot, p->deferred.data + pos, sizeof slot);
        pos += sizeof slot;
        memcpy(&len, p->deferred.data + pos, sizeof len);
        pos += sizeof len;
        take_by(p, slot, (const char *)p->deferred.data + pos, len);
        pos += len;
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
    if ((p->classes & CLASS_NOTHING) != 0)
        return 0;
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
    if ((p->classes & CLASS_PARTNER) != 0)
        k |= ENTRY_PARTNER;
    if ((p->classes & CLASS_RESTRICTIONS) != 0)
        k |= ENTRY_CLASS;
    if ((p->classes & CLASS_CONFIG) != 0)
        k |= ENTRY_CONFIG;
    if ((p->classes & CLASS_APP_PASSWORD) != 0)
        k |= ENTRY_APP_PASSWORD;
    if (k == 0)
        return (p->classes & CLASS_CONTAINER) != 0 ? ENTRY_CONTAINER : 0;
    return k | p->status;
}

bool profile_end(struct profile_entry *p)
{
    take_deferred(p);
    judge_lacking(p);
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
    buf_wipe_free(&p->deferred);
    buf_free(&p->class_names);
    buf_free(&p->present);
    return p->draft->kinds != 0;
}

/* ---- the way back ---- */

static bool is_secret(enum profile_take take)
{
    return take == TAKE_SECRET || take == TAKE_CLEAR || take == TAKE_TOTP || take == TAKE_ONE_TIME;
}

/* Whether a name stands for the attribute (ATTR_COUNT: for any), and not for a secret. */
static bool stands_for(const struct profile_table *t, const char *name, size_t len,
                       enum entry_attr attr)
{
    enum entry_attr own;
    enum profile_take take;
    len = plain_len(name, len);
    if (len > 0 && name[0] == '=')
        return profile_logical(name + 1, len - 1, &own, &take) == 0 && !is_secret(take) &&
               (attr == ATTR_COUNT || attr == own);
    const struct profile_slot *slot = profile_table_find(t, name, len);
    for (size_t i = 0; slot != NULL && i < slot->count; i++)
        if (!is_secret(slot->rows[i]->take) && slot->rows[i]->take != TAKE_NOTHING &&
            (attr == ATTR_COUNT || attr == slot->rows[i]->attr))
            return true;
    return false;
}

bool profile_same(const struct profile_table *table, const char *a, size_t a_len, const char *b,
                  size_t b_len)
{
    a_len = plain_len(a, a_len);
    b_len = plain_len(b, b_len);
    bool class = str_is(a, a_len, "objectClass");
    if (class || str_is(b, b_len, "objectClass"))
        return class && str_is(b, b_len, "objectClass");
    if (a_len == b_len && str_ieq_n(a, b, a_len))
        return stands_for(table, a, a_len, ATTR_COUNT);
    for (enum entry_attr attr = 0; attr < ATTR_COUNT; attr++)
        if (stands_for(table, a, a_len, attr) && stands_for(table, b, b_len, attr))
            return true;
    return false;
}

static bool is_common_name(const struct entry *e, const char *value)
{
    const char *cn;
    for (size_t i = 0; (cn = entry_value(e, ATTR_CN, i)) != NULL; i++)
        if (strcmp(cn, value) == 0)
            return true;
    return false;
}

static void unmap_classes(unsigned kinds, bool named,
                          void (*fn)(void *arg, const char *name, const char *value), void *arg)
{
    const struct {
        bool holds;
        const char *name;
    } classes[] = {
        {(kinds & ENTRY_USER) != 0, "dirigoUser"},
        {(kinds & ENTRY_ALIAS) != 0, named ? "=cn-alias" : "=alias"},
        {(kinds & ENTRY_GROUP) != 0, "dirigoGroup"},
        {(kinds & ENTRY_DOMAIN) != 0, "dirigoDomain"},
        {(kinds & ENTRY_POLICY) != 0, "dirigoPolicy"},
        {(kinds & ENTRY_ACCESS) != 0, "dirigoAccess"},
        {(kinds & ENTRY_PARTNER) != 0, "dirigoPartner"},
        {(kinds & ENTRY_CLASS) != 0, "dirigoRestrictionClass"},
        {(kinds & ENTRY_CONFIG) != 0, "dirigoConfig"},
        {(kinds & ENTRY_APP_PASSWORD) != 0, "dirigoAppPassword"},
        {(kinds & ENTRY_CONTAINER) != 0, "=container"},
    };
    for (size_t i = 0; i < COUNT(classes); i++)
        if (classes[i].holds)
            fn(arg, "objectClass", classes[i].name);
    if ((kinds & ENTRY_GLOBAL) != 0)
        fn(arg, "=globalPolicy", "TRUE");
}

void profile_unmap(const struct entry *e,
                   void (*fn)(void *arg, const char *name, const char *value), void *arg)
{
    unsigned kinds = entry_all_kinds(e);
    bool by_class = entry_count(e, ATTR_ROUTING_ADDRESS) > 0 &&
                    entry_count(e, ATTR_MAIL) + entry_count(e, ATTR_MAIL_ALTERNATE) > 0 &&
                    (kinds & (ENTRY_USER | ENTRY_GROUP)) == 0;
    bool named = (kinds & ENTRY_ALIAS) != 0 && !by_class;
    unmap_classes(kinds, named, fn, arg);
    for (enum entry_attr attr = 0; attr < ATTR_COUNT; attr++) {
        char name[64];
        const char *value;
        snprintf(name, sizeof name, "=%s", entry_attr_name(attr));
        if (attr == ATTR_ACCOUNT_STATUS && (kinds & ENTRY_NO_LOGIN) != 0) {
            fn(arg, name, (kinds & ENTRY_DISABLED) != 0 ? "disabled" : "noaccess");
            continue;
        }
        for (size_t i = 0; (value = entry_value(e, attr, i)) != NULL; i++) {
            /* What name_alias made of a common name is made again. */
            bool again = named && (attr == ATTR_UID || attr == ATTR_MAIL_ALTERNATE);
            if (!again || !is_common_name(e, value))
                fn(arg, name, value);
        }
    }
}

#include "directory/rootdse.h"

#include <stdio.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"

#define OID_SYNC         "1.3.6.1.4.1.4203.1.9.1.1"
#define OID_PAGED        "1.2.840.113556.1.4.319"
#define OID_SHOW_DELETED "1.2.840.113556.1.4.417"
/* LDAP_CAP_ACTIVE_DIRECTORY_OID, and that of AD LDS. */
#define OID_AD      "1.2.840.113556.1.4.800"
#define OID_AD_LDS  "1.2.840.113556.1.4.1851"
#define GUID_LEN    16
#define NS_TEXT_LEN 35

const char *const rootdse_attributes[] = {
    "supportedControl",    "supportedCapabilities", "vendorName",           "vendorVersion",
    "highestCommittedUSN", "dsServiceName",         "defaultNamingContext", NULL};
const char *const rootdse_base_attributes[] = {
    "entryUUID",       "nsUniqueId",  "objectGUID", "modifyTimestamp",
    "createTimestamp", "whenChanged", NULL};

static void keep(char *dst, size_t size, const char *value, size_t len)
{
    if (len >= size) /* a DN that is cut is none */
        len = 0;
    memcpy(dst, value, len);
    dst[len] = '\0';
}

static void take_control(struct rootdse *d, const char *value, size_t len)
{
    d->sync_control = d->sync_control || str_is(value, len, OID_SYNC);
    d->paged_control = d->paged_control || str_is(value, len, OID_PAGED);
    d->show_deleted_control = d->show_deleted_control || str_is(value, len, OID_SHOW_DELETED);
}

static uint64_t number(const char *value, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len && value[i] >= '0' && value[i] <= '9'; i++) {
        if (n > (UINT64_MAX - 9) / 10)
            return 0;
        n = n * 10 + (uint64_t)(value[i] - '0');
    }
    return n;
}

void rootdse_value(struct rootdse *d, const char *name, size_t name_len, const char *value,
                   size_t len)
{
    if (str_is(name, name_len, "supportedControl")) {
        take_control(d, value, len);
    } else if (str_is(name, name_len, "supportedCapabilities")) {
        d->active_directory =
            d->active_directory || str_is(value, len, OID_AD) || str_is(value, len, OID_AD_LDS);
    } else if (str_is(name, name_len, "vendorName") || str_is(name, name_len, "vendorVersion")) {
        if (len >= strlen("389") && memcmp(value, "389", 3) == 0)
            d->ns_vendor = true;
        keep(d->vendor, sizeof d->vendor, value, len);
    } else if (str_is(name, name_len, "highestCommittedUSN")) {
        d->usn = number(value, len);
    } else if (str_is(name, name_len, "dsServiceName")) {
        keep(d->ds_service, sizeof d->ds_service, value, len);
    } else if (str_is(name, name_len, "defaultNamingContext")) {
        keep(d->naming_context, sizeof d->naming_context, value, len);
    }
}

void rootdse_base_value(struct rootdse *d, const char *name, size_t name_len)
{
    d->has_entry_uuid = d->has_entry_uuid || str_is(name, name_len, "entryUUID");
    d->has_ns_unique_id = d->has_ns_unique_id || str_is(name, name_len, "nsUniqueId");
    d->has_object_guid = d->has_object_guid || str_is(name, name_len, "objectGUID");
    d->has_timestamp = d->has_timestamp || str_is(name, name_len, "modifyTimestamp") ||
                       str_is(name, name_len, "createTimestamp") ||
                       str_is(name, name_len, "whenChanged");
}

enum entry_key rootdse_key(const struct rootdse *d)
{
    if (d->active_directory && d->has_object_guid)
        return KEY_OBJECT_GUID;
    /* 389 Directory Server may have entryUUID too, but not on entries older than that plugin. */
    if (d->has_ns_unique_id)
        return KEY_NS_UNIQUE_ID;
    if (d->has_entry_uuid)
        return KEY_ENTRY_UUID;
    return d->has_object_guid ? KEY_OBJECT_GUID : KEY_NONE;
}

enum source_choice rootdse_choose(const struct rootdse *d, const char *word, bool no_sync)
{
    bool can_poll = rootdse_key(d) != KEY_NONE && (d->usn > 0 || d->has_timestamp);
    if (strcmp(word, "sync") == 0)
        return CHOICE_SYNC;
    if (strcmp(word, "poll") == 0)
        return can_poll ? CHOICE_POLL : CHOICE_NONE;
    if (strcmp(word, "lookup") == 0)
        return CHOICE_LOOKUP;
    if (d->sync_control && !no_sync)
        return CHOICE_SYNC;
    return can_poll ? CHOICE_POLL : CHOICE_LOOKUP;
}

const char *entry_key_attribute(enum entry_key key)
{
    static const char *const names[] = {[KEY_NONE] = "entryUUID",
                                        [KEY_ENTRY_UUID] = "entryUUID",
                                        [KEY_NS_UNIQUE_ID] = "nsUniqueId",
                                        [KEY_OBJECT_GUID] = "objectGUID"};
    return names[key];
}

static const uint8_t guid_order[GUID_LEN] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

/* xxxxxxxx-xxxxxxxx-xxxxxxxx-xxxxxxxx */
static int parse_ns_unique_id(const char *value, size_t len, struct uuid *out)
{
    char digits[2 * GUID_LEN], text[UUID_STRLEN];
    size_t n = 0;
    if (len != NS_TEXT_LEN)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (i % 9 == 8 && value[i] != '-')
            return -1;
        if (i % 9 != 8)
            digits[n++] = value[i];
    }
    snprintf(text, sizeof text, "%.8s-%.4s-%.4s-%.4s-%.12s", digits, digits + 8, digits + 12,
             digits + 16, digits + 20);
    return uuid_parse(out, text);
}

int entry_key_parse(enum entry_key key, const char *value, size_t len, struct uuid *out)
{
    char text[UUID_STRLEN];
    if (key == KEY_OBJECT_GUID) {
        if (len != GUID_LEN)
            return -1;
        for (size_t i = 0; i < GUID_LEN; i++)
            out->bytes[i] = (uint8_t)value[guid_order[i]];
        return 0;
    }
    if (key == KEY_NS_UNIQUE_ID)
        return parse_ns_unique_id(value, len, out);
    if (len >= sizeof text)
        return -1;
    memcpy(text, value, len);
    text[len] = '\0';
    return uuid_parse(out, text);
}

void entry_key_filter(enum entry_key key, const struct uuid *u, struct buf *out)
{
    char text[UUID_STRLEN];
    buf_printf(out, "(%s=", entry_key_attribute(key));
    if (key == KEY_OBJECT_GUID) {
        for (size_t i = 0; i < GUID_LEN; i++)
            buf_printf(out, "\\%02x", u->bytes[guid_order[i]]);
    } else if (key == KEY_NS_UNIQUE_ID) {
        for (size_t i = 0; i < GUID_LEN; i++)
            buf_printf(out, "%s%02x", i > 0 && i % 4 == 0 ? "-" : "", u->bytes[i]);
    } else {
        buf_append_str(out, uuid_str(u, text));
    }
    buf_append_str(out, ")");
}

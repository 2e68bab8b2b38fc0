/* From a key of the replica's index to the filter (RFC 4515) that finds on a server what is under
 * it. */
#include <string.h>

#include "directory/dn.h"
#include "directory/profile_private.h"

/* Value escapes of section 3; more than it asks for does no harm. */
static void put_value(struct buf *out, const char *value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        if (c < 0x20 || c >= 0x7f || strchr("*()\\", c) != NULL)
            buf_printf(out, "\\%02x", c);
        else
            buf_append_byte(out, c);
    }
}

static void put_equal(struct buf *out, const char *name, const char *prefix, const char *value,
                      size_t len)
{
    buf_printf(out, "(%s=", name);
    if (prefix != NULL)
        put_value(out, prefix, strlen(prefix));
    put_value(out, value, len);
    buf_append_byte(out, ')');
}

/* Every attribute that stands for attr. */
static void put_attribute(const struct profile_table *t, enum entry_attr attr, const char *value,
                          size_t len, struct buf *out)
{
    for (size_t i = 0; i < t->attribute_slots; i++) {
        const struct profile_slot *slot = &t->attributes[i];
        for (size_t j = 0; slot->name != NULL && j < slot->count; j++)
            if (slot->rows[j]->attr == attr && slot->rows[j]->take != TAKE_NOTHING)
                put_equal(out, slot->name, slot->rows[j]->prefix, value, len);
    }
}

/* Aliases whose cn is the name that they answer to. */
static void put_alias(const struct profile_table *t, const char *value, size_t len, struct buf *out)
{
    for (size_t i = 0; i < t->class_slots; i++) {
        const struct profile_class *class = t->classes[i];
        if (class == NULL || (class->classes & CLASS_CN_ALIAS) == 0)
            continue;
        buf_printf(out, "(&(objectClass=%s)", class->name);
        put_equal(out, "cn", NULL, value, len);
        buf_append_byte(out, ')');
    }
}

/* Every class that is one of bits; -1 where there is none. */
static int put_classes(const struct profile_table *t, unsigned bits, struct buf *out)
{
    int rc = -1;
    for (size_t i = 0; i < t->class_slots; i++) {
        if (t->classes[i] == NULL || (t->classes[i]->classes & bits) == 0)
            continue;
        buf_printf(out, "(objectClass=%s)", t->classes[i]->name);
        rc = 0;
    }
    return rc;
}

int profile_key_filter(const struct profile_table *t, const struct index_key *key, struct buf *out)
{
    const char *value = key->data + 1;
    size_t len = key->len - 1;
    if (key->len <= 1 || key->len >= DB_KEY_MAX) /* cut, and ended by a digest */
        return -1;
    buf_append_str(out, "(|");
    switch ((enum index_kind)key->data[0]) {
    case INDEX_ADDRESS:
        put_attribute(t, ATTR_MAIL, value, len, out);
        put_attribute(t, ATTR_MAIL_ALTERNATE, value, len, out);
        put_alias(t, value, len, out);
        break;
    case INDEX_NAME:
        put_attribute(t, ATTR_UID, value, len, out);
        put_alias(t, value, len, out);
        break;
    case INDEX_MEMBER:
        put_attribute(t, ATTR_MEMBER, value, len, out);
        break;
    case INDEX_MEMBER_ADDRESS:
        put_attribute(t, ATTR_MEMBER_ADDRESS, value, len, out);
        break;
    case INDEX_LISTED:
        put_attribute(t, ATTR_MEMBER_OF, value, len, out);
        break;
    case INDEX_APP_PASSWORD:
        if (put_classes(t, CLASS_APP_PASSWORD, out) < 0)
            return -1;
        break;
    default:
        return -1;
    }
    buf_append_byte(out, ')');
    return 0;
}

void profile_frame_filter(const struct profile_table *t, struct buf *out)
{
    buf_append_str(out, "(|");
    (void)put_classes(t,
                      CLASS_DOMAIN | CLASS_POLICY | CLASS_ACCESS | CLASS_PARTNER |
                          CLASS_RESTRICTIONS | CLASS_CONFIG,
                      out);
    buf_append_byte(out, ')');
}

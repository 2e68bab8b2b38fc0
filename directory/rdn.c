#include "directory/rdn.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"

/* The first of the bytes in stop outside quotes and escapes, or the end. */
static const char *scan(const char *s, const char *stop)
{
    bool quoted = false;
    for (; *s != '\0'; s++) {
        if (*s == '\\' && s[1] != '\0')
            s++;
        else if (*s == '"')
            quoted = !quoted;
        else if (!quoted && strchr(stop, *s) != NULL)
            break;
    }
    return s;
}

static void unescape(struct buf *out, const char *s, const char *end)
{
    while (s < end) {
        unsigned char byte;
        if (*s == '\\' && end - s > 2 && str_unhex(&byte, 1, (char[]){s[1], s[2], '\0'}) == 0) {
            buf_append_byte(out, byte);
            s += 3;
            continue;
        }
        if (*s == '\\' && end - s > 1)
            s++;
        else if (*s == '"') {
            s++;
            continue;
        }
        buf_append_byte(out, (unsigned char)*s++);
    }
}

void rdn_each(const char *dn, void (*fn)(void *arg, const char *type, const char *value), void *arg)
{
    const char *last = scan(dn, ",");
    while (dn < last) {
        const char *end = scan(dn, ",+"), *equals = memchr(dn, '=', (size_t)(end - dn));
        struct buf type = {0}, value = {0};
        if (equals == NULL)
            return;
        const char *type_end = equals, *v = equals + 1, *v_end = end;
        while (*dn == ' ')
            dn++;
        while (type_end > dn && type_end[-1] == ' ')
            type_end--;
        while (v < v_end && *v == ' ')
            v++;
        while (v_end > v + 1 && v_end[-1] == ' ' && v_end[-2] != '\\')
            v_end--;
        buf_append(&type, dn, (size_t)(type_end - dn));
        unescape(&value, v, v_end);
        if (strlen(buf_str(&value)) == value.len)
            fn(arg, buf_str(&type), buf_str(&value));
        buf_free(&type);
        buf_free(&value);
        dn = *end == '+' ? end + 1 : end;
    }
}

#include "directory/memberurl.h"

#include <stdbool.h>
#include <string.h>

#include "gateway/base/str.h"

static const char malformed[] = "it is no LDAP URL";

/* One part up to a question mark or the end, decoded. What follows the mark, or NULL: no room, a
 * broken escape, or a byte that belongs into no name and no filter. */
static const char *part(const char *s, char *dst, size_t size)
{
    size_t len = 0;
    for (; *s != '\0' && *s != '?'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '%') {
            char hex[3] = {s[1], s[1] != '\0' ? s[2] : '\0', '\0'};
            if (str_unhex(&c, 1, hex) != 0)
                return NULL;
            s += 2;
        }
        if (c < 0x20 || c == 0x7f || len + 1 >= size)
            return NULL;
        dst[len++] = (char)c;
    }
    dst[len] = '\0';
    return s;
}

static bool parse_scope(const char *text, enum memberurl_scope *scope)
{
    static const char *const names[] = {
        [MEMBERURL_BASE] = "base", [MEMBERURL_ONE] = "one", [MEMBERURL_SUB] = "sub"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (str_ieq(text, names[i])) {
            *scope = (enum memberurl_scope)i;
            return true;
        }
    }
    *scope = MEMBERURL_BASE;
    return *text == '\0';
}

/* An extension with a mark before it has to be understood, and none is. */
static bool has_critical(const char *extensions)
{
    return extensions[0] == '!' || strstr(extensions, ",!") != NULL;
}

const char *memberurl_parse(struct memberurl *out, const char *text)
{
    char attributes[1024], scope[8], extensions[256];
    char normal[DN_MAX];
    const struct {
        char *dst;
        size_t size;
    } parts[] = {{out->base, sizeof out->base},
                 {attributes, sizeof attributes},
                 {scope, sizeof scope},
                 {out->filter, sizeof out->filter},
                 {extensions, sizeof extensions}};
    if (strlen(text) < 8 || !str_is(text, 7, "ldap://"))
        return malformed;
    text += 7;
    if (*text != '/')
        return "it names a host of its own";
    text++;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        parts[i].dst[0] = '\0';
        if (text[0] == '\0')
            continue;
        text = part(text, parts[i].dst, parts[i].size);
        if (text == NULL)
            return malformed;
        if (*text == '?')
            text++;
    }
    if (*text != '\0' || !parse_scope(scope, &out->scope) || dn_normalize(out->base, normal) < 0)
        return malformed;
    if (has_critical(extensions))
        return "it has a critical extension";
    if (out->filter[0] == '\0')
        strcpy(out->filter, "(objectClass=*)");
    return NULL;
}

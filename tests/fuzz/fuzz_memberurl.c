/* A memberURL of any content: what is taken is text, in bounds, and means the same when it is read
 * again from its parts. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "directory/memberurl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte of a part, escaped. */
static size_t escape(char *dst, const char *text)
{
    size_t len = 0;
    for (; *text != '\0'; text++)
        len += (size_t)sprintf(dst + len, "%%%02x", (unsigned char)*text);
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memberurl url, again;
    static char text[16400], written[3 * (DN_MAX + MEMBERURL_FILTER_MAX) + 64];
    static const char *const scopes[] = {"base", "one", "sub"};

    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (memberurl_parse(&url, text) != NULL)
        return 0;
    if (strlen(url.base) >= DN_MAX || strlen(url.filter) >= MEMBERURL_FILTER_MAX ||
        url.scope > MEMBERURL_SUB)
        abort();
    size_t len = (size_t)sprintf(written, "ldap:///");
    len += escape(written + len, url.base);
    len += (size_t)sprintf(written + len, "??%s?", scopes[url.scope]);
    escape(written + len, url.filter);
    if (memberurl_parse(&again, written) != NULL || again.scope != url.scope ||
        strcmp(again.base, url.base) != 0 || strcmp(again.filter, url.filter) != 0)
        abort();
    return 0;
}

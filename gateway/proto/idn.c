#include "gateway/proto/idn.h"

#include <idn2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "gateway/base/str.h"

int idn_to_ascii(char *dst, size_t size, const char *domain)
{
    uint8_t *ascii = NULL;
    bool plain = true;

    for (const char *p = domain; *p != '\0'; p++)
        plain = plain && (unsigned char)*p < 0x80;
    if (plain)
        return strlcpy(dst, domain, size) < size ? 0 : -1;
    if (!str_utf8_valid(domain, strlen(domain)) ||
        idn2_lookup_u8((const uint8_t *)domain, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) !=
            IDN2_OK)
        return -1;
    size_t len = strlcpy(dst, (const char *)ascii, size);
    idn2_free(ascii);
    return len < size ? 0 : -1;
}

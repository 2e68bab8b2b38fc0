#include "gateway/base/uuid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/str.h"

int uuid_parse(struct uuid *out, const char *text)
{
    char hex[33];
    if (strlen(text) != 36)
        return -1;
    int n = 0;
    for (int i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash != (text[i] == '-'))
            return -1;
        if (!dash)
            hex[n++] = text[i];
    }
    hex[n] = '\0';
    return str_unhex(out->bytes, sizeof(out->bytes), hex);
}

const char *uuid_str(const struct uuid *u, char *dst)
{
    char hex[33];
    str_hex(hex, u->bytes, 16);
    snprintf(dst, UUID_STRLEN, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
    return dst;
}

bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, 16) == 0;
}

bool uuid_is_zero(const struct uuid *u)
{
    static const struct uuid zero;
    return uuid_eq(u, &zero);
}

const char *id_new(char dst[ID_STRLEN])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    /* Eleven digits of microseconds reach past the year 6000; five random ones tell processes
     * apart. */
    uint64_t t = (uint64_t)clock_wall_us();
    for (int i = 10; i >= 0; i--, t /= 36)
        dst[i] = digits[t % 36];
    for (int i = 11; i < 16; i++)
        dst[i] = digits[arc4random_uniform(36)];
    dst[16] = '\0';
    return dst;
}

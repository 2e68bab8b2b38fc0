#include "gateway/filter/srs.h"

#include <stdio.h>
#include <string.h>

#include "gateway/base/hmac.h"
#include "gateway/base/str.h"

enum {
    ADDRESS_MAX = 512,
    DAY = 86400,
    DAYS_CYCLE = 1024 /* two digits */
};

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static int digit_value(char c)
{
    const char *p = strchr(digits, c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);

    return c != '\0' && p != NULL ? (int)(p - digits) : -1;
}

static bool is_prefix(const char *local, const char *prefix)
{
    return str_istarts(local, prefix) && local[4] != '\0' && strchr("=-+", local[4]) != NULL;
}

bool srs_is(const struct srs *srs, const char *address)
{
    const char *at = strrchr(address, '@');

    return *srs->domain != '\0' && at != NULL && str_ieq(at + 1, srs->domain) &&
           (is_prefix(address, "SRS0") || is_prefix(address, "SRS1"));
}

/* The first digits of the hash of text, whose case does not matter: others may have changed it. */
static void make_hash(const struct srs *srs, const char *secret, const char *text,
                      char dst[SRS_HASH_MAX + 1])
{
    char lower[ADDRESS_MAX];
    uint8_t mac[HMAC_LEN];
    unsigned bit = 0;

    snprintf(lower, sizeof(lower), "%s", text);
    str_lower(lower);
    hmac_sha256(secret, strlen(secret), lower, strlen(lower), mac);
    for (unsigned i = 0; i < srs->hash_length; i++, bit += 5) {
        unsigned two = (unsigned)mac[bit / 8] << 8 | mac[bit / 8 + 1];
        dst[i] = digits[two >> (11 - bit % 8) & 31];
    }
    dst[srs->hash_length] = '\0';
}

/* Whether one of the secrets has made the hash; in constant time for each. */
static bool hash_valid(const struct srs *srs, const char *hash, size_t len, const char *text)
{
    char want[SRS_HASH_MAX + 1];
    bool valid = false;

    if (len != srs->hash_length)
        return false;
    for (size_t i = 0; i < srs->secret_count; i++) {
        unsigned difference = 0;
        make_hash(srs, srs->secrets[i], text, want);
        for (size_t k = 0; k < len; k++)
            difference |= (unsigned)(digit_value(hash[k]) ^ digit_value(want[k]));
        valid |= difference == 0;
    }
    return valid;
}

/* ---- forward ---- */

static int put(const struct srs *srs, const char *kind, const char *rest, struct buf *out)
{
    char hash[SRS_HASH_MAX + 1];

    make_hash(srs, srs->secrets[0], rest, hash);
    return buf_printf(out, "%s=%s=%s@%s", kind, hash, rest, srs->domain);
}

int srs_forward(const struct srs *srs, const char *sender, int64_t now, struct buf *out)
{
    char rest[ADDRESS_MAX];
    const char *at = strrchr(sender, '@');
    unsigned day = (unsigned)(now / DAY % DAYS_CYCLE);
    int n, local;

    /* The domain ends at the next "=", so that it cannot have one. */
    if (at == NULL || at == sender || at[1] == '\0' || strchr(at + 1, '=') != NULL ||
        *sender == '"' || srs->secret_count == 0 ||
        strlen(sender) + strlen(srs->domain) + srs->hash_length + 16 > 320)
        return -1;
    local = (int)(at - sender);
    if (is_prefix(sender, "SRS1")) {
        /* Another forwarder's, which leads to the first one: only the hash is ours. */
        const char *host = memchr(sender + 5, '=', (size_t)local - 5);
        if (host == NULL)
            return -1;
        snprintf(rest, sizeof(rest), "%.*s", (int)(at - host - 1), host + 1);
        return put(srs, "SRS1", rest, out);
    }
    if (is_prefix(sender, "SRS0")) {
        snprintf(rest, sizeof(rest), "%s=%.*s", at + 1, local - 4, sender + 4);
        return put(srs, "SRS1", rest, out);
    }
    n = snprintf(rest, sizeof(rest), "%c%c=%s=%.*s", digits[day / 32], digits[day % 32], at + 1,
                 local, sender);
    return n < (int)sizeof(rest) ? put(srs, "SRS0", rest, out) : -1;
}

/* ---- reverse ---- */

/* "TT=domain=local" */
static enum srs_answer reverse_first(const struct srs *srs, const char *rest, int64_t now,
                                     struct buf *out)
{
    int high = digit_value(rest[0]), low = high >= 0 ? digit_value(rest[1]) : -1;
    const char *domain, *local;

    if (high < 0 || low < 0 || rest[2] != '=')
        return SRS_FORGED;
    domain = rest + 3;
    local = strchr(domain, '=');
    if (local == NULL || local == domain || local[1] == '\0')
        return SRS_FORGED;
    unsigned today = (unsigned)(now / DAY % DAYS_CYCLE);
    unsigned age = (today + DAYS_CYCLE - (unsigned)(high * 32 + low)) % DAYS_CYCLE;
    /* A day of tomorrow comes from a clock that is a little ahead. */
    if (age > srs->max_age && age != DAYS_CYCLE - 1)
        return SRS_EXPIRED;
    return buf_printf(out, "%s@%.*s", local + 1, (int)(local - domain), domain) == 0 ? SRS_FOUND
                                                                                     : SRS_FORGED;
}

/* "host=rest", where rest begins with the separator behind the first forwarder's SRS0. */
static enum srs_answer reverse_second(const char *rest, struct buf *out)
{
    const char *opaque = strchr(rest, '=');

    if (opaque == NULL || opaque == rest || opaque[1] == '\0' || strchr("=-+", opaque[1]) == NULL)
        return SRS_FORGED;
    return buf_printf(out, "SRS0%s@%.*s", opaque + 1, (int)(opaque - rest), rest) == 0 ? SRS_FOUND
                                                                                       : SRS_FORGED;
}

enum srs_answer srs_reverse(const struct srs *srs, const char *address, int64_t now,
                            struct buf *out)
{
    const char *at = strrchr(address, '@');
    char local[ADDRESS_MAX];

    if (!srs_is(srs, address) || at - address >= (ptrdiff_t)sizeof(local))
        return SRS_FORGED;
    snprintf(local, sizeof(local), "%.*s", (int)(at - address), address);
    const char *hash = local + 5, *end = strchr(hash, '=');
    if (end == NULL || !hash_valid(srs, hash, (size_t)(end - hash), end + 1))
        return SRS_FORGED;
    return is_prefix(local, "SRS1") ? reverse_second(end + 1, out)
                                    : reverse_first(srs, end + 1, now, out);
}

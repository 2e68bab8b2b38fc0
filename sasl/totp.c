/* One-time codes. */
#include "sasl/totp.h"

#include <sha1.h>
#include <sha2.h>
#include <string.h>

#include "gateway/base/str.h"

#define URI "otpauth://totp/"

enum {
    DIGITS_MIN = 6,
    DIGITS_MAX = 8,
    PERIOD_MAX = 3600,
    SECRET_MIN = 10
};

static int base32_value(char c)
{
    c = str_lower_char(c);
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

static int take_secret(struct totp *t, const char *text, size_t len)
{
    uint32_t bits = 0;
    unsigned have = 0;

    t->len = 0;
    for (size_t i = 0; i < len && text[i] != '='; i++) {
        if (text[i] == ' ' || text[i] == '-')
            continue;
        int value = base32_value(text[i]);
        if (value < 0)
            return -1;
        bits = bits << 5 | (uint32_t)value;
        have += 5;
        if (have >= 8) {
            if (t->len == TOTP_SECRET_MAX)
                return -1;
            have -= 8;
            t->secret[t->len++] = (uint8_t)(bits >> have);
        }
    }
    return t->len >= SECRET_MIN ? 0 : -1;
}

static int take_hash(struct totp *t, const char *text, size_t len)
{
    static const struct {
        const char *name;
        enum totp_hash hash;
    } hashes[] = {{"SHA1", TOTP_SHA1}, {"SHA256", TOTP_SHA256}, {"SHA512", TOTP_SHA512}};

    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
        if (str_is(text, len, hashes[i].name)) {
            t->hash = hashes[i].hash;
            return 0;
        }
    return -1;
}

static int take_number(unsigned *out, const char *text, size_t len, unsigned min, unsigned max)
{
    uint64_t n;

    if (str_uint(text, len, max, &n) != 0 || n < min)
        return -1;
    *out = (unsigned)n;
    return 0;
}

static int take_parameter(struct totp *t, const char *name, size_t name_len, const char *value,
                          size_t len)
{
    if (str_is(name, name_len, "secret"))
        return take_secret(t, value, len);
    if (str_is(name, name_len, "algorithm"))
        return take_hash(t, value, len);
    if (str_is(name, name_len, "digits"))
        return take_number(&t->digits, value, len, DIGITS_MIN, DIGITS_MAX);
    if (str_is(name, name_len, "period"))
        return take_number(&t->period, value, len, 1, PERIOD_MAX);
    return 0; /* an issuer, an image */
}

int totp_parse(struct totp *out, const char *text)
{
    *out = (struct totp){.hash = TOTP_SHA1, .digits = DIGITS_MIN, .period = 30};
    if (!str_istarts(text, URI))
        return take_secret(out, text, strlen(text));
    const char *p = strchr(text, '?');
    while (p != NULL && *p != '\0') {
        size_t len = strcspn(++p, "&"), name_len = strcspn(p, "=&");
        if (name_len < len &&
            take_parameter(out, p, name_len, p + name_len + 1, len - name_len - 1) != 0)
            return -1;
        p += len;
    }
    return out->len > 0 ? 0 : -1;
}

/* One of the three hashes under one name. */
struct hasher {
    enum totp_hash hash;
    union {
        SHA1_CTX sha1;
        SHA2_CTX sha2;
    } ctx;
};

static void hasher_init(struct hasher *h, enum totp_hash hash)
{
    h->hash = hash;
    if (hash == TOTP_SHA1)
        SHA1Init(&h->ctx.sha1);
    else if (hash == TOTP_SHA256)
        SHA256Init(&h->ctx.sha2);
    else
        SHA512Init(&h->ctx.sha2);
}

static void hasher_update(struct hasher *h, const uint8_t *data, size_t len)
{
    if (h->hash == TOTP_SHA1)
        SHA1Update(&h->ctx.sha1, data, len);
    else if (h->hash == TOTP_SHA256)
        SHA256Update(&h->ctx.sha2, data, len);
    else
        SHA512Update(&h->ctx.sha2, data, len);
}

/* The length of the digest; h is wiped. */
static size_t hasher_final(struct hasher *h, uint8_t out[SHA512_DIGEST_LENGTH])
{
    size_t len = SHA512_DIGEST_LENGTH;
    if (h->hash == TOTP_SHA1) {
        SHA1Final(out, &h->ctx.sha1);
        len = SHA1_DIGEST_LENGTH;
    } else if (h->hash == TOTP_SHA256) {
        SHA256Final(out, &h->ctx.sha2);
        len = SHA256_DIGEST_LENGTH;
    } else {
        SHA512Final(out, &h->ctx.sha2);
    }
    explicit_bzero(h, sizeof(*h));
    return len;
}

/* HMAC (RFC 2104). */
static size_t digest(const struct totp *t, const uint8_t counter[8],
                     uint8_t out[SHA512_DIGEST_LENGTH])
{
    size_t block = t->hash == TOTP_SHA512 ? SHA512_BLOCK_LENGTH : SHA256_BLOCK_LENGTH, len;
    uint8_t pad[SHA512_BLOCK_LENGTH] = {0};
    struct hasher h;

    if (t->len > block) {
        hasher_init(&h, t->hash);
        hasher_update(&h, t->secret, t->len);
        len = hasher_final(&h, out);
        memcpy(pad, out, len);
    } else {
        memcpy(pad, t->secret, t->len);
    }
    for (size_t i = 0; i < block; i++)
        pad[i] ^= 0x36;
    hasher_init(&h, t->hash);
    hasher_update(&h, pad, block);
    hasher_update(&h, counter, 8);
    len = hasher_final(&h, out);
    for (size_t i = 0; i < block; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    hasher_init(&h, t->hash);
    hasher_update(&h, pad, block);
    hasher_update(&h, out, len);
    len = hasher_final(&h, out);
    explicit_bzero(pad, sizeof(pad));
    return len;
}

uint32_t totp_code(const struct totp *t, uint64_t step)
{
    static const uint32_t powers[] = {1000000, 10000000, 100000000};
    uint8_t counter[8], out[SHA512_DIGEST_LENGTH];

    for (int i = 0; i < 8; i++)
        counter[i] = (uint8_t)(step >> (56 - 8 * i));
    /* RFC 4226 section 5.3: the last byte says where to cut. */
    size_t at = out[digest(t, counter, out) - 1] & 15U;
    uint32_t cut = (uint32_t)(out[at] & 127) << 24 | (uint32_t)out[at + 1] << 16 |
                   (uint32_t)out[at + 2] << 8 | out[at + 3];
    return cut % powers[t->digits - DIGITS_MIN];
}

bool totp_check(const struct totp *t, const char *code, int64_t now_s, unsigned skew,
                uint64_t after, uint64_t *step)
{
    uint64_t given, now = (uint64_t)now_s / t->period;
    bool good = false;

    if (strlen(code) != t->digits || str_uint(code, t->digits, UINT32_MAX, &given) != 0)
        return false;
    for (uint64_t s = now > skew ? now - skew : 1; s <= now + skew; s++)
        if (totp_code(t, s) == given && s > after && !good) {
            *step = s;
            good = true;
        }
    return good;
}

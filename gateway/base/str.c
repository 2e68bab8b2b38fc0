#include "gateway/base/str.h"

#include <string.h>

#include "gateway/base/buf.h"

char str_lower_char(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

void str_lower(char *s)
{
    for (; *s != '\0'; s++)
        *s = str_lower_char(*s);
}

bool str_ieq_n(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (str_lower_char(a[i]) != str_lower_char(b[i]))
            return false;
    return true;
}

bool str_ieq(const char *a, const char *b)
{
    size_t len = strlen(a);
    return len == strlen(b) && str_ieq_n(a, b, len);
}

bool str_istarts(const char *s, const char *prefix)
{
    size_t len = strlen(prefix);
    return strlen(s) >= len && str_ieq_n(s, prefix, len);
}

bool str_iends(const char *s, const char *suffix)
{
    size_t n = strlen(s), len = strlen(suffix);
    return n >= len && str_ieq_n(s + n - len, suffix, len);
}

bool str_is(const void *s, size_t len, const char *word)
{
    return strlen(word) == len && str_ieq_n(s, word, len);
}

bool str_token(const char **cursor, const char *delims, const char **token, size_t *len)
{
    const char *s = *cursor + strspn(*cursor, delims);
    *token = s;
    *len = strcspn(s, delims);
    *cursor = s + *len;
    return *len > 0;
}

int str_uint(const char *s, size_t len, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    if (len == 0)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        uint64_t digit = (uint64_t)(s[i] - '0');
        if (digit > max || n > (max - digit) / 10)
            return -1;
        n = n * 10 + digit;
    }
    *out = n;
    return 0;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int str_base64_encode(struct buf *out, const void *data, size_t len)
{
    const unsigned char *p = data;
    char *d = buf_reserve(out, (len + 2) / 3 * 4);
    if (d == NULL)
        return -1;
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        d[n++] = base64_digits[v >> 18];
        d[n++] = base64_digits[v >> 12 & 63];
        d[n++] = left > 1 ? base64_digits[v >> 6 & 63] : '=';
        d[n++] = left > 2 ? base64_digits[v & 63] : '=';
    }
    buf_commit(out, n);
    return 0;
}

int str_base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int str_base64_decode(struct buf *out, const char *s, size_t len)
{
    if (len % 4 != 0)
        return -1;
    unsigned char *d = buf_reserve(out, len / 4 * 3);
    if (d == NULL)
        return -1;
    size_t n = 0;
    for (size_t i = 0; i < len; i += 4) {
        bool last = i + 4 == len;
        int pad = last && s[i + 3] == '=' ? (s[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t v = 0;
        for (int j = 0; j < 4; j++) {
            int b = j >= 4 - pad ? 0 : str_base64_digit(s[i + (size_t)j]);
            if (b < 0)
                return -1;
            v = v << 6 | (uint32_t)b;
        }
        d[n++] = (unsigned char)(v >> 16);
        if (pad < 2)
            d[n++] = (unsigned char)(v >> 8);
        if (pad < 1)
            d[n++] = (unsigned char)v;
    }
    buf_commit(out, n);
    return 0;
}

void str_hex(char *dst, const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++) {
        *dst++ = digits[p[i] >> 4];
        *dst++ = digits[p[i] & 15];
    }
    *dst = '\0';
}

int str_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = str_lower_char(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int str_unhex(void *dst, size_t dst_len, const char *hex)
{
    unsigned char *d = dst;
    if (strlen(hex) != dst_len * 2)
        return -1;
    for (size_t i = 0; i < dst_len; i++) {
        int hi = str_hex_digit(hex[2 * i]), lo = str_hex_digit(hex[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -1;
        d[i] = (unsigned char)(hi << 4 | lo);
    }
    return 0;
}

bool str_utf8_valid(const void *s, size_t len)
{
    const unsigned char *p = s;
    for (size_t i = 0; i < len;) {
        unsigned char c = p[i++];
        if (c == 0)
            return false;
        if (c < 0x80)
            continue;
        int more = c >= 0xc2 && c <= 0xdf   ? 1
                   : (c & 0xf0) == 0xe0     ? 2
                   : c >= 0xf0 && c <= 0xf4 ? 3
                                            : 0;
        if (more == 0 || len - i < (size_t)more)
            return false;
        /* The second byte's range keeps out overlong forms, surrogates and code points past
         * U+10FFFF. */
        unsigned char lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        unsigned char hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        if (p[i] < lo || p[i] > hi)
            return false;
        for (int j = 1; j < more; j++)
            if ((p[i + (size_t)j] & 0xc0) != 0x80)
                return false;
        i += (size_t)more;
    }
    return true;
}

int str_put_utf8(struct buf *out, uint32_t c)
{
    unsigned char u[4];
    size_t n = 0;
    if (c < 0x80) {
        u[n++] = (unsigned char)c;
    } else if (c < 0x800) {
        u[n++] = (unsigned char)(0xc0 | c >> 6);
        u[n++] = (unsigned char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        u[n++] = (unsigned char)(0xe0 | c >> 12);
        u[n++] = (unsigned char)(0x80 | (c >> 6 & 63));
        u[n++] = (unsigned char)(0x80 | (c & 63));
    } else {
        u[n++] = (unsigned char)(0xf0 | c >> 18);
        u[n++] = (unsigned char)(0x80 | (c >> 12 & 63));
        u[n++] = (unsigned char)(0x80 | (c >> 6 & 63));
        u[n++] = (unsigned char)(0x80 | (c & 63));
    }
    return buf_append(out, u, n);
}

/* Eight tables ("slicing by eight"), built before main: the journal checksums every message. */
static uint32_t crc32c_table[8][256];

static void __attribute__((constructor)) crc32c_build(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        crc32c_table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            crc32c_table[t][i] =
                crc32c_table[t - 1][i] >> 8 ^ crc32c_table[0][crc32c_table[t - 1][i] & 255];
}

size_t str_distance(const char *a, const char *b)
{
    enum {
        LEN_MAX = 64
    };
    size_t row[LEN_MAX + 1];
    size_t la = strlen(a), lb = strlen(b);
    if (la > LEN_MAX || lb > LEN_MAX)
        return LEN_MAX + 1;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = diagonal + (str_lower_char(a[i - 1]) != str_lower_char(b[j - 1]));
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

uint32_t str_crc32c(uint32_t crc, const void *data, size_t len)
{
    const unsigned char *p = data;
    crc = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint32_t a, b;
        memcpy(&a, p, 4);
        memcpy(&b, p + 4, 4);
        a ^= crc;
        crc = crc32c_table[7][a & 255] ^ crc32c_table[6][a >> 8 & 255] ^
              crc32c_table[5][a >> 16 & 255] ^ crc32c_table[4][a >> 24] ^ crc32c_table[3][b & 255] ^
              crc32c_table[2][b >> 8 & 255] ^ crc32c_table[1][b >> 16 & 255] ^
              crc32c_table[0][b >> 24];
    }
    while (len-- > 0)
        crc = crc >> 8 ^ crc32c_table[0][(crc ^ *p++) & 255];
    return ~crc;
}

/* Modified UTF-7 (RFC 3501 section 5.1.3) and the rules for folder names. */
#include "gateway/store/utf7.h"

#include <string.h>

#include "gateway/base/str.h"
#include "gateway/store/mailbox.h"

/* Base64 with a comma in the place of the slash. */
static int digit(char c)
{
    return c == ',' ? 63 : c == '/' ? -1 : str_base64_digit(c);
}

/* One UTF-16 unit of a shifted run; *high is the first half of a pair. */
static int take_unit(struct buf *out, uint32_t unit, uint32_t *high)
{
    if (unit >= 0xdc00 && unit <= 0xdfff) {
        if (*high == 0)
            return -1;
        str_put_utf8(out, 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00));
        *high = 0;
        return 0;
    }
    if (*high != 0)
        return -1;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        *high = unit;
        return 0;
    }
    if (unit >= 0x20 && unit <= 0x7e) /* must stand for itself */
        return -1;
    if (unit == 0)
        return -1;
    str_put_utf8(out, unit);
    return 0;
}

/* A shifted run after '&' up to '-'; returns where it ends, or NULL. */
static const char *take_run(const char *p, struct buf *out)
{
    uint32_t bits = 0, high = 0;
    unsigned have = 0;
    if (*p == '-') {
        buf_append_byte(out, '&');
        return p + 1;
    }
    for (; *p != '-'; p++) {
        int d = digit(*p);
        if (d < 0)
            return NULL;
        bits = (bits << 6 | (uint32_t)d) & 0x3fffff;
        have += 6;
        if (have >= 16) {
            have -= 16;
            if (take_unit(out, bits >> have & 0xffff, &high) != 0)
                return NULL;
        }
    }
    /* What is left over must be padding of zero bits, less than a digit. */
    if (high != 0 || have >= 6 || (bits & ((1u << have) - 1)) != 0)
        return NULL;
    return p + 1;
}

int utf7_decode(const char *name, struct buf *out)
{
    bool run_ended = false;
    for (const char *p = name; *p != '\0';) {
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
            return -1;
        if (*p != '&') {
            buf_append_byte(out, (unsigned char)*p++);
            run_ended = false;
            continue;
        }
        bool null_shift = p[1] != '-' && run_ended; /* two runs in a row must be one */
        p = take_run(p + 1, out);
        if (p == NULL || null_shift)
            return -1;
        run_ended = p[-2] != '&';
    }
    return 0;
}

static void put_digits(struct buf *out, uint32_t *bits, unsigned *have, bool flush)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
    while (*have >= 6) {
        *have -= 6;
        buf_append_byte(out, (unsigned char)digits[*bits >> *have & 63]);
    }
    if (flush && *have > 0) {
        buf_append_byte(out, (unsigned char)digits[*bits << (6 - *have) & 63]);
        *have = 0;
    }
}

/* The next character of well-formed UTF-8. */
static uint32_t next_char(const unsigned char **p)
{
    uint32_t c = *(*p)++;
    int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (more > 0)
        c &= 0x3fu >> more;
    while (more-- > 0)
        c = c << 6 | (*(*p)++ & 63);
    return c;
}

int utf7_encode(const char *utf8, struct buf *out)
{
    const unsigned char *p = (const unsigned char *)utf8;
    if (!str_utf8_valid(utf8, strlen(utf8)))
        return -1;
    uint32_t bits = 0;
    unsigned have = 0;
    bool shifted = false;
    while (*p != '\0') {
        uint32_t c = next_char(&p);
        bool plain = c >= 0x20 && c <= 0x7e;
        if (plain && shifted) {
            put_digits(out, &bits, &have, true);
            buf_append_byte(out, '-');
            shifted = false;
        }
        if (plain) {
            buf_append_byte(out, (unsigned char)c);
            if (c == '&')
                buf_append_byte(out, '-');
            continue;
        }
        if (!shifted)
            buf_append_byte(out, '&');
        shifted = true;
        if (c >= 0x10000) {
            bits = bits << 16 | (0xd800 + ((c - 0x10000) >> 10));
            have += 16;
            put_digits(out, &bits, &have, false);
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        bits = bits << 16 | c;
        have += 16;
        put_digits(out, &bits, &have, false);
    }
    if (shifted) {
        put_digits(out, &bits, &have, true);
        buf_append_byte(out, '-');
    }
    return 0;
}

const char *folder_name_canonical(const char *name)
{
    return str_ieq(name, "INBOX") ? "INBOX" : name;
}

bool folder_name_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= MAILBOX_NAME_MAX || strpbrk(name, "/*%") != NULL)
        return false;
    if (name[0] == MAILBOX_DELIMITER || name[len - 1] == MAILBOX_DELIMITER ||
        strstr(name, "..") != NULL)
        return false;
    struct buf text = {.max = (size_t)4 * MAILBOX_NAME_MAX};
    bool valid = utf7_decode(name, &text) == 0;
    for (size_t i = 0; valid && i < text.len; i++)
        valid = text.data[i] >= 0x20 && text.data[i] != 0x7f;
    buf_free(&text);
    return valid;
}

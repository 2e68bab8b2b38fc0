#include "gateway/imap/text.h"

#include <stdint.h>
#include <string.h>

#include "gateway/base/str.h"

/* ---- character sets and case ---- */

enum text_charset text_charset(const char *name, size_t len)
{
    static const struct {
        const char *name;
        enum text_charset charset;
    } known[] = {{"iso-8859-1", TEXT_LATIN1},
                 {"latin1", TEXT_LATIN1},
                 {"iso-8859-15", TEXT_LATIN9},
                 {"windows-1252", TEXT_CP1252},
                 {"cp1252", TEXT_CP1252}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_is(name, len, known[i].name))
            return known[i].charset;
    return TEXT_UTF8;
}

/* Simple folding of the scripts that have case and that mail is mostly written in. */
static uint32_t fold_char(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c >= 0xc0 && c <= 0xde && c != 0xd7)
        return c + 32;
    if ((c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177))
        return c | 1;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
        return (c & 1) ? c + 1 : c;
    if (c == 0x178)
        return 0xff;
    if (c >= 0x391 && c <= 0x3a9)
        return c + 32;
    if (c >= 0x410 && c <= 0x42f)
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    return c;
}

static uint32_t single_byte(enum text_charset charset, unsigned char c)
{
    static const uint16_t cp1252[32] = {
        0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
        0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
    static const uint16_t latin9[][2] = {{0xa4, 0x20ac}, {0xa6, 0x160}, {0xa8, 0x161},
                                         {0xb4, 0x17d},  {0xb8, 0x17e}, {0xbc, 0x152},
                                         {0xbd, 0x153},  {0xbe, 0x178}};
    if (charset == TEXT_CP1252 && c >= 0x80 && c < 0xa0)
        return cp1252[c - 0x80];
    for (size_t i = 0; charset == TEXT_LATIN9 && i < sizeof(latin9) / sizeof(latin9[0]); i++)
        if (latin9[i][0] == c)
            return latin9[i][1];
    return c;
}

void text_fold(struct buf *out, enum text_charset charset, const void *data, size_t len)
{
    const unsigned char *p = data, *end = p + len;
    while (p < end) {
        if (*p < 0x80 || charset != TEXT_UTF8) {
            str_put_utf8(out, fold_char(single_byte(charset, *p++)));
        } else if (p + 1 < end && *p >= 0xc2 && *p <= 0xdf && (p[1] & 0xc0) == 0x80) {
            str_put_utf8(out, fold_char((uint32_t)(*p & 31) << 6 | (p[1] & 63)));
            p += 2;
        } else { /* longer sequences have no case here */
            buf_append_byte(out, *p++);
        }
    }
}

/* ---- transfer encodings ---- */

enum text_encoding text_encoding(const char *name)
{
    if (str_ieq(name, "base64"))
        return TEXT_BASE64;
    return str_ieq(name, "quoted-printable") ? TEXT_QUOTED_PRINTABLE : TEXT_IDENTITY;
}

static void decode_base64(struct text_decoder *d, const char *data, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        int v = str_base64_digit(data[i]);
        if (v < 0)
            continue;
        d->bits = (d->bits << 6 | (unsigned)v) & 0xfff;
        d->have += 6;
        if (d->have >= 8) {
            d->have -= 8;
            buf_append_byte(out, (unsigned char)(d->bits >> d->have & 0xff));
        }
    }
}

static void qp_byte(struct text_decoder *d, char c, struct buf *out)
{
    if (d->held_n == 0) {
        if (c == '=')
            d->held[d->held_n++] = c;
        else
            buf_append_byte(out, (unsigned char)c);
        return;
    }
    if (d->held_n == 1 && c == '\n') { /* soft line end */
        d->held_n = 0;
        return;
    }
    if (d->held_n == 2 && d->held[1] == '\r') {
        d->held_n = 0;
        if (c != '\n')
            qp_byte(d, c, out);
        return;
    }
    if (d->held_n == 1 && (c == '\r' || str_hex_digit(c) >= 0)) {
        d->held[d->held_n++] = c;
        return;
    }
    if (d->held_n == 2 && str_hex_digit(c) >= 0) {
        buf_append_byte(out, (unsigned char)(str_hex_digit(d->held[1]) << 4 | str_hex_digit(c)));
        d->held_n = 0;
        return;
    }
    buf_append(out, d->held, d->held_n);
    d->held_n = 0;
    qp_byte(d, c, out);
}

void text_decode(struct text_decoder *d, const char *data, size_t len, struct buf *out)
{
    switch (d->encoding) {
    case TEXT_IDENTITY:
        buf_append(out, data, len);
        break;
    case TEXT_BASE64:
        decode_base64(d, data, len, out);
        break;
    case TEXT_QUOTED_PRINTABLE:
        for (size_t i = 0; i < len; i++)
            qp_byte(d, data[i], out);
        break;
    }
}

/* ---- encoded words ---- */

/* "=?charset?B?text?=" at p: its length with the decoded text appended, or 0. */
static size_t encoded_word(struct buf *out, const char *p, size_t len)
{
    if (len < 8 || p[0] != '=' || p[1] != '?')
        return 0;
    const char *end = p + len, *charset = p + 2;
    const char *q1 = memchr(charset, '?', (size_t)(end - charset));
    if (q1 == NULL || end - q1 < 4 || q1[2] != '?')
        return 0;
    const char *text = q1 + 3, *close = text;
    while (close + 1 < end && !(close[0] == '?' && close[1] == '=')) {
        if (*close == ' ' || *close == '\t')
            return 0;
        close++;
    }
    if (close + 1 >= end)
        return 0;
    const char *star = memchr(charset, '*', (size_t)(q1 - charset)); /* RFC 2231 language */
    size_t charset_len = (size_t)((star != NULL ? star : q1) - charset);
    struct text_decoder d = {0};
    struct buf raw = {0};
    if (q1[1] == 'B' || q1[1] == 'b')
        d.encoding = TEXT_BASE64;
    else if (q1[1] == 'Q' || q1[1] == 'q')
        d.encoding = TEXT_QUOTED_PRINTABLE;
    else
        return 0;
    for (const char *c = text; c < close; c++)
        text_decode(&d, d.encoding == TEXT_QUOTED_PRINTABLE && *c == '_' ? " " : c, 1, &raw);
    if (raw.len > 0)
        text_fold(out, text_charset(charset, charset_len), raw.data, raw.len);
    buf_free(&raw);
    return (size_t)(close - p) + 2;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void text_fold_header(struct buf *out, const char *value, size_t len)
{
    const char *p = value, *end = value + len;
    bool after_word = false;
    while (p < end) {
        struct buf word = {0};
        const char *at = p;
        while (at < end && is_space(*at))
            at++;
        size_t n = encoded_word(&word, at, (size_t)(end - at));
        /* White space between two encoded words is no part of the text (RFC 2047 section 6.2). */
        for (; p < at; p++)
            if ((n == 0 || !after_word) && *p != '\r' && *p != '\n')
                buf_append_byte(out, (unsigned char)*p);
        if (n > 0) {
            buf_append(out, buf_str(&word), word.len);
            p += n;
        } else if (p < end) {
            const char *stop = p + 1;
            while (stop < end && !is_space(*stop) && *stop != '=')
                stop++;
            text_fold(out, TEXT_UTF8, p, (size_t)(stop - p));
            p = stop;
        }
        after_word = n > 0;
        buf_free(&word);
    }
}

/* ---- finding ---- */

void text_finder_init(struct text_finder *f, const char *needle)
{
    *f = (struct text_finder){.needle = needle, .needle_len = strlen(needle)};
    f->found = f->needle_len == 0;
}

void text_finder_push(struct text_finder *f, enum text_charset charset, const void *data,
                      size_t len)
{
    if (f->found || len == 0)
        return;
    text_fold(&f->window, charset, data, len);
    if (f->window.len < f->needle_len)
        return;
    f->found = memmem(f->window.data, f->window.len, f->needle, f->needle_len) != NULL;
    buf_consume(&f->window, f->window.len - (f->needle_len - 1));
}

void text_finder_free(struct text_finder *f)
{
    buf_free(&f->window);
}

/* Small string helpers that do not depend on the locale. */
#ifndef DIRIGO_BASE_STR_H
#define DIRIGO_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* ASCII only; other bytes compare and stay as they are. */
char str_lower_char(char c);
void str_lower(char *s);
bool str_ieq(const char *a, const char *b);
bool str_ieq_n(const char *a, const char *b, size_t len);
bool str_istarts(const char *s, const char *prefix);
bool str_iends(const char *s, const char *suffix);
/* Whether the len bytes at s are the string word, ASCII case ignored. */
bool str_is(const void *s, size_t len, const char *word);

/*
 * The next token of *cursor up to one of the bytes in delims, which are skipped before it; *cursor
 * moves on. False at the end. The token is not NUL-terminated: *token and *len say where it is.
 */
bool str_token(const char **cursor, const char *delims, const char **token, size_t *len);

/* Whole-string numbers: 0, or -1 for anything but digits or past the bounds. */
int str_uint(const char *s, size_t len, uint64_t max, uint64_t *out);

/* RFC 4648 section 4, with padding. Decoding is strict; -1 for a bad character, length or bound. */
int str_base64_encode(struct buf *out, const void *data, size_t len);
int str_base64_decode(struct buf *out, const char *s, size_t len);
/* The value of one digit of that alphabet, or of a hexadecimal one in either case; -1 for another
 * byte. */
int str_base64_digit(char c);
int str_hex_digit(char c);
/* Lower-case hexadecimal; dst has room for 2 * len + 1 bytes. */
void str_hex(char *dst, const void *data, size_t len);
int str_unhex(void *dst, size_t dst_len, const char *hex);

/* Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, no NUL). */
bool str_utf8_valid(const void *s, size_t len);

/* Appends a code point up to U+10FFFF as UTF-8. 0, or -1 where out is full. */
int str_put_utf8(struct buf *out, uint32_t c);

/* Edits that turn a into b, whatever their case (Levenshtein), for "did you mean"; more than 64
 * where either is longer than that. */
size_t str_distance(const char *a, const char *b);

/* CRC-32C (Castagnoli), continuing from crc; start with 0. */
uint32_t str_crc32c(uint32_t crc, const void *data, size_t len);

#endif

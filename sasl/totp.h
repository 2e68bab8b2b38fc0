/* One-time codes (RFC 6238), as authenticator programs show them. No I/O and no state. */
#ifndef DIRIGO_SASL_TOTP_H
#define DIRIGO_SASL_TOTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOTP_SECRET_MAX 128

enum totp_hash {
    TOTP_SHA1,
    TOTP_SHA256,
    TOTP_SHA512
};

struct totp {
    enum totp_hash hash;
    unsigned digits; /* 6 to 8 */
    unsigned period; /* seconds */
    size_t len;
    uint8_t secret[TOTP_SECRET_MAX];
};

/*
 * Reads what an entry has: the secret in base32 (RFC 4648 section 6; case, spaces and padding do
 * not matter), or "otpauth://totp/NAME?secret=...&algorithm=SHA1&digits=6&period=30". 0, or -1. The
 * caller wipes *out.
 */
int totp_parse(struct totp *out, const char *text);
/* The code of a step, which is a time divided by the period. */
uint32_t totp_code(const struct totp *t, uint64_t step);
/*
 * Whether code (t->digits digits, no more) is one of a step within skew of now's, and behind after,
 * the last one that was used (0: none). *step gets its step.
 */
bool totp_check(const struct totp *t, const char *code, int64_t now_s, unsigned skew,
                uint64_t after, uint64_t *step);

#endif

/* What the directory's password policy says of a password that is still good, but not for long. */
#ifndef DIRIGO_BASE_PASSWORD_END_H
#define DIRIGO_BASE_PASSWORD_END_H

#include <stddef.h>
#include <stdint.h>

/* Holds every text of password_end_str. */
#define PASSWORD_END_STRLEN 96

enum password_end_kind {
    PASSWORD_END_UNSAID, /* nothing; of a zeroed struct */
    PASSWORD_EXPIRES,    /* value: in so many seconds */
    PASSWORD_GRACE       /* it has expired; value: so many logins are left */
};

struct password_end {
    enum password_end_kind kind;
    uint32_t value;
};

/*
 * The sentence that the user reads, on every protocol the same: printable ASCII, for no more than
 * one line. A time is rounded down, so that nobody comes too late. Returns text, or NULL where
 * there is nothing to say.
 */
const char *password_end_str(const struct password_end *end, char text[PASSWORD_END_STRLEN]);

#endif

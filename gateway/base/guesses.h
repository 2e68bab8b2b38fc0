/*
 * A bound on wrong passwords for one account: so many, and then none until a pause was made. An
 * LDAP server that locks accounts counts in the same way, so that with a bound below its own and a
 * pause as long as its own nobody can lock an account from here.
 *
 * What is refused twice in a row, as by a device that has an old password, counts once. Passwords
 * are kept as keyed digests; records are bounded, and the oldest make room.
 */
#ifndef DIRIGO_BASE_GUESSES_H
#define DIRIGO_BASE_GUESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/uuid.h"

struct guesses;

/* entries: accounts that are remembered; limit: wrong passwords, 0 for no bound; pause: ms. */
struct guesses *guesses_new(size_t entries, unsigned limit, int64_t pause);
/* Wipes it. NULL is allowed. */
void guesses_free(struct guesses **g);
/* Whether a password may be tried for the account now. Each true counts as wrong until
 * guesses_end says otherwise, so that guesses beside each other are bounded too. */
bool guesses_begin(struct guesses *g, const struct uuid *account);

enum guess {
    GUESS_RIGHT, /* the count begins anew */
    GUESS_WRONG,
    GUESS_UNKNOWN /* nobody could tell: it does not count */
};
void guesses_end(struct guesses *g, const struct uuid *account, const char *password,
                 enum guess result);

#endif

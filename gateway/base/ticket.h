/*
 * The proof that a login succeeded. dirigo-auth makes one for each, the front end carries it, and
 * dirigo-mailbox opens a mailbox only for it: so a front end that was taken over reaches the
 * mailboxes of those who log in through it, and no other.
 *
 * The key is made by dirigod when it starts and known to these two kinds of process alone.
 */
#ifndef DIRIGO_BASE_TICKET_H
#define DIRIGO_BASE_TICKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/hmac.h"
#include "gateway/base/role.h"
#include "gateway/base/uuid.h"

#define TICKET_KEY_LEN ROLE_KEY_LEN
#define TICKET_LEN     (8 + HMAC_LEN)
/* How long a ticket is good: longer than a front end waits for dirigo-mailbox. */
#define TICKET_LIFETIME_MS 60000

/* A ticket for one owner and one session id, good until that time of clock_now_ms. */
void ticket_make(const uint8_t key[TICKET_KEY_LEN], const struct uuid *owner, const char *session,
                 int64_t until, uint8_t out[TICKET_LEN]);
/* Whether ticket was made with this key for this owner and session, and is still good. */
bool ticket_valid(const uint8_t key[TICKET_KEY_LEN], const struct uuid *owner, const char *session,
                  int64_t now, const void *ticket, size_t len);
/* The last time of clock_now_ms at which it is good, as it says itself. */
int64_t ticket_until(const uint8_t ticket[TICKET_LEN]);

#endif

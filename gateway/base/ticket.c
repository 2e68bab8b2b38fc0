#include "gateway/base/ticket.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/mem.h"

/* The fixed fields come first, so that no two tickets are made from the same bytes. */
void ticket_make(const uint8_t key[TICKET_KEY_LEN], const struct uuid *owner, const char *session,
                 int64_t until, uint8_t out[TICKET_LEN])
{
    size_t session_len = strlen(session), fixed = 8 + sizeof(owner->bytes);
    uint8_t *text = mem_alloc(fixed + session_len);
    for (size_t i = 0; i < 8; i++)
        out[i] = text[i] = (uint8_t)((uint64_t)until >> 8 * i);
    memcpy(text + 8, owner->bytes, sizeof(owner->bytes));
    memcpy(text + fixed, session, session_len);
    hmac_sha256(key, TICKET_KEY_LEN, text, fixed + session_len, out + 8);
    free(text);
}

int64_t ticket_until(const uint8_t ticket[TICKET_LEN])
{
    uint64_t until = 0;
    for (size_t i = 0; i < 8; i++)
        until |= (uint64_t)ticket[i] << 8 * i;
    return (int64_t)until;
}

bool ticket_valid(const uint8_t key[TICKET_KEY_LEN], const struct uuid *owner, const char *session,
                  int64_t now, const void *ticket, size_t len)
{
    uint8_t given[TICKET_LEN], right[TICKET_LEN], different = 0;
    if (len != TICKET_LEN)
        return false;
    memcpy(given, ticket, TICKET_LEN);
    int64_t until = ticket_until(given);
    ticket_make(key, owner, session, until, right);
    /* Every byte is compared, so that the time taken tells nothing of where they differ. */
    for (size_t i = 0; i < TICKET_LEN; i++)
        different |= given[i] ^ right[i];
    return different == 0 && now <= until;
}

/*
 * The tickets that were used: each opens one session. What is remembered is forgotten when the
 * ticket is no longer good, so memory is bounded by the logins of that time, and by a limit.
 */
#ifndef DIRIGO_BASE_TICKET_USED_H
#define DIRIGO_BASE_TICKET_USED_H

#include "gateway/base/ticket.h"

struct ticket_used;

/* limit: tickets to remember. */
struct ticket_used *ticket_used_new(size_t limit);
void ticket_used_free(struct ticket_used **used);
/* Whether a valid ticket may open a session at now (clock_now_ms): it has not been used, and there
 * is room to remember it. */
bool ticket_used_allows(struct ticket_used *used, const uint8_t ticket[TICKET_LEN], int64_t now);
/* Remembers a ticket that was allowed just now. */
void ticket_used_add(struct ticket_used *used, const uint8_t ticket[TICKET_LEN]);

#endif

/*
 * BDAT (RFC 3030): the message in chunks whose sizes are said before.
 *
 * Pipelining clients send a chunk without waiting, so whatever a BDAT is answered with, its octets
 * follow and are never taken for commands: where it is refused they are read and dropped.
 */
#include <string.h>

#include "gateway/base/str.h"
#include "gateway/smtp/smtpd.h"

/* "SIZE [LAST]"; -1 where it is not that. */
static int parse(const char *arg, size_t len, uint64_t *size, bool *last)
{
    const char *space = memchr(arg, ' ', len);
    size_t digits = space != NULL ? (size_t)(space - arg) : len;

    *last = space != NULL;
    while (space != NULL && space < arg + len && *space == ' ')
        space++;
    if (*last && !str_is(space, (size_t)(arg + len - space), "LAST"))
        return -1;
    return str_uint(arg, digits, INT64_MAX, size);
}

/* Refused: one reply, and the octets are nobody's. */
static void refuse(struct session *s, unsigned code, const char *status, const char *text)
{
    session_reply(s, code, status, "%s", text);
    if (s->tx != NULL)
        transaction_end(s);
    s->mode = s->chunk.left > 0 ? MODE_CHUNK : MODE_COMMAND;
}

static void data_done(struct session *s, struct restriction_result *r)
{
    data_decided(s, r);
    if (s->tx == NULL && s->chunk.left > 0)
        s->mode = MODE_CHUNK;
}

void command_bdat(struct session *s, const char *arg, size_t len)
{
    uint64_t size;
    bool last;

    if (!extension_offered(s, EXT_CHUNKING)) {
        session_bye(s, 502, "5.5.1", "BDAT is not offered");
        return;
    }
    if (parse(arg, len, &size, &last) != 0) {
        /* How much of what follows is a chunk nobody knows. */
        session_bye(s, 501, "5.5.4", "BDAT needs a size, and LAST or nothing");
        return;
    }
    s->chunk = (struct chunk){.active = true, .last = last, .left = size};
    if (s->tx == NULL) {
        refuse(s, 503, "5.5.1", "Send MAIL first");
    } else if (s->tx->recipient_count == 0) {
        refuse(s, s->flavour->lmtp ? 503 : 554, "5.5.1", "No valid recipients");
    } else if (s->tx->message != NULL) {
        s->mode = MODE_CHUNK;
        if (size == 0)
            message_chunk_end(s);
    } else if (s->tx->data_list_count > 0) {
        evaluate_data(s, data_done);
    } else {
        message_begin(s);
    }
}

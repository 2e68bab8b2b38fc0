/*
 * What the journal's records mean, and what a restart makes of them. Blocking.
 *
 * After replay_run every message of the journal is in its mailboxes, was forgotten, or is in the
 * spool; nothing of it needs to be durable yet, so the halves are recycled only after a syncfs.
 */
#ifndef DIRIGO_QUEUE_REPLAY_H
#define DIRIGO_QUEUE_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/queue/envelope.h"
#include "gateway/queue/journal.h"
#include "gateway/queue/spool.h"

enum {
    RECORD_MESSAGE = 1, /* u32 length of the envelope (little-endian), envelope, content */
    RECORD_FILE,     /* envelope; the content is ID.msg in the spool, durable before the record */
    RECORD_ENVELOPE, /* envelope: what is left to do for a message; without recipients: nothing */
    RECORD_FORGET    /* names of mailbox files that are gone for good, each ended by NUL */
};

/* A message that the journal holds. */
struct replay_message {
    char id[ID_STRLEN];
    uint64_t generation; /* of the half with its record */
    bool file;           /* RECORD_FILE */
};

struct replay_result {
    struct replay_message *messages; /* by id */
    size_t count;
    size_t delivered; /* local deliveries that had to be made */
    size_t repaired;  /* mailbox files whose content had not reached the disk */
    size_t forgotten;
};

/*
 * Replays the journal. 0, or -1 after logging why: then nothing may be recycled and no mail taken.
 * The caller frees messages.
 */
int replay_run(struct journal *j, const struct spool *s, struct replay_result *out);

/* The envelope in a RECORD_MESSAGE's payload; *content gets the offset of the content. */
struct envelope *replay_message_envelope(const void *payload, size_t len, size_t *content);

#endif

/*
 * The journal: an append-only log in two preallocated files ("halves"), made durable by whole
 * batches.
 *
 * The story of a half: it is filled with zeros once, so that later writes change no metadata and
 * fdatasync has nothing but data to write. One half is active and takes records. When it is full or
 * old, the other one is made active; once everything in the first is durable elsewhere it is
 * recycled: its header gets a new generation, which makes every record in it void. A restart
 * replays what is not void.
 *
 * File layout, all little-endian. Two header slots of 512 bytes at 0 and 4096, written in turn, so
 * that a torn write leaves the other: magic, version, crc32c, size of the file, generation, salt.
 * Records follow from 8192, each at a multiple of 8: magic, payload length, generation, sequence,
 * crc32c, type, payload. A batch starts at a block of 4096 and is padded with zeros, so a block
 * that holds acknowledged records is never written again. Sequences are consecutive over both
 * halves. The checksum starts from the half's random salt, which no sender knows, so bytes of a
 * message can never pass for a record. The first record that is not whole, not of this generation
 * or out of sequence ends the half: a torn tail, which nobody was told is durable.
 *
 * The functions block and are called by one thread at a time, but for journal_recycle: it touches
 * its half alone and may run beside writing to the other.
 */
#ifndef DIRIGO_QUEUE_JOURNAL_H
#define DIRIGO_QUEUE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"

#define JOURNAL_HALVES 2

struct journal;

/* ---- one record, without I/O ---- */

/* What the records of one half have in common. */
struct journal_key {
    uint64_t generation;
    uint64_t salt;
};

struct journal_record {
    uint64_t sequence;
    uint64_t generation;
    uint32_t type;
    const void *payload;
    size_t len;
    int half;        /* where it lies, for journal_read */
    uint64_t offset; /* of the payload, in the half's file */
};

/* Bytes that a record with this payload takes. */
size_t journal_record_size(size_t payload);
/* Writes the header of the record whose payload stands at p + JOURNAL_RECORD_HEADER. */
#define JOURNAL_RECORD_HEADER 32
void journal_record_seal(const struct journal_key *key, void *p, uint32_t type, uint64_t sequence,
                         size_t len);
/*
 * The record at data: its size with padding; 0 where more than avail bytes are needed (*need, if
 * not NULL, says how many); -1 where there is none. max bounds the payload. payload points into
 * data.
 */
int64_t journal_record_parse(const struct journal_key *key, const void *data, size_t avail,
                             size_t max, struct journal_record *out, size_t *need);

/* ---- the log ---- */

/*
 * Opens journal.a and journal.b in the folder, making what is missing (half_size bytes of zeros
 * each). A half of another size is kept until it is recycled. NULL with a text appended to error.
 */
struct journal *journal_open(int dir_fd, uint64_t half_size, struct buf *error);
void journal_close(struct journal **j);

/*
 * Hands every record that is not void to fn, in sequence order; payloads are valid inside fn. fn
 * returns 0, or -1 to stop. 0, or -1 with errno. To be called once, before anything is written.
 */
int journal_replay(struct journal *j, int (*fn)(const struct journal_record *r, void *arg),
                   void *arg);
/* Reads len bytes of a replayed record's payload, from offset at. 0, or -1 with errno. */
int journal_read(struct journal *j, int half, uint64_t at, void *dst, size_t len);

/* Whether a half holds no records. */
bool journal_half_empty(const struct journal *j, int half);
uint64_t journal_generation(const struct journal *j, int half);
/* The half that takes records, or -1. */
int journal_active(const struct journal *j);
/* Makes an empty half the active one. */
void journal_activate(struct journal *j, int half);
/* Bytes that the active half still takes as one batch; 0 without one. */
uint64_t journal_room(const struct journal *j);
/* The largest payload that a half of the configured size can hold. */
size_t journal_payload_max(const struct journal *j);

/*
 * Writing a batch: for each record journal_reserve (room for the payload, to be filled at once) and
 * journal_append with the same length, or nothing where it could not be filled; then journal_sync,
 * after which all are durable. journal_reserve returns NULL where the half is full (ENOSPC); it may
 * write earlier records out.
 * After any other error nothing is known about the batch:
 * the process has to end and replay.
 */
void *journal_reserve(struct journal *j, size_t len);
uint64_t journal_append(struct journal *j, uint32_t type, size_t len); /* its sequence */
int journal_sync(struct journal *j);

/* Voids a half that is not active, durably. 0, or -1 with errno. */
int journal_recycle(struct journal *j, int half);

#endif

#include "gateway/queue/journal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/file.h"
#include "gateway/base/log.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

#define JOURNAL_BLOCK       4096u
#define JOURNAL_DATA        ((uint64_t)8192) /* records start here */
#define JOURNAL_SLOT        512
#define JOURNAL_VERSION     1
#define JOURNAL_BATCH       ((size_t)1 << 20) /* written out when a batch has grown this far */
#define JOURNAL_BATCH_KEEP  ((size_t)4 << 20) /* memory kept between batches */
#define JOURNAL_READ        ((size_t)1 << 20)
#define JOURNAL_RESUME_SUMS 4 /* times its size that a damaged half is summed up at most */

static const char journal_magic[8] = {'D', 'G', 'J', 'R', 'N', 'L', '0', '1'};
static const char *const journal_name[JOURNAL_HALVES] = {"journal.a", "journal.b"};

struct slot {
    char magic[8];
    uint32_t version;
    uint32_t crc; /* over the slot with crc 0 */
    uint64_t size;
    uint64_t generation;
    uint64_t salt;
};

struct half {
    int fd;
    uint64_t size; /* by its header */
    struct journal_key key;
    int slot;         /* which of the two holds the header; the next one goes to the other */
    uint64_t records; /* in it now */
    uint64_t end;     /* where the next batch goes */
};

struct journal {
    struct half half[JOURNAL_HALVES];
    uint64_t half_size; /* as configured */
    int active;
    uint64_t next_sequence;
    unsigned char *batch; /* assembled here, then written at half.end */
    size_t batch_cap;
    size_t batch_len;
};

/* ---- files ---- */

/* Zeros from the end of the file to size, durable. */
static int journal_fill(int fd, uint64_t from, uint64_t size)
{
    unsigned char *zeros = mem_zalloc(JOURNAL_BATCH);
    int r = 0;
    while (from < size && r == 0) {
        size_t n = size - from < JOURNAL_BATCH ? (size_t)(size - from) : JOURNAL_BATCH;
        r = file_pwrite(fd, zeros, n, from);
        from += n;
    }
    if (r == 0)
        r = ftruncate(fd, (off_t)size) == 0 ? fsync(fd) : -1;
    free(zeros);
    return r;
}

/* ---- headers ---- */

static uint32_t slot_crc(const struct slot *s)
{
    struct slot copy = *s;
    copy.crc = 0;
    return str_crc32c(0, &copy, sizeof(copy));
}

static int slot_write(struct half *h, int slot, uint64_t size, const struct journal_key *key)
{
    unsigned char block[JOURNAL_SLOT] = {0};
    struct slot s = {
        .version = htole32(JOURNAL_VERSION),
        .size = htole64(size),
        .generation = htole64(key->generation),
        .salt = key->salt,
    };
    memcpy(s.magic, journal_magic, sizeof(s.magic));
    s.crc = htole32(slot_crc(&s));
    memcpy(block, &s, sizeof(s));
    if (file_pwrite(h->fd, block, sizeof(block), (uint64_t)slot * JOURNAL_BLOCK) < 0 ||
        fdatasync(h->fd) < 0)
        return -1;
    h->slot = slot;
    h->size = size;
    h->key = *key;
    return 0;
}

/* 1: a valid header; 0: nothing was ever written; -1: neither. */
static int slot_read(const struct half *h, int slot, struct slot *out)
{
    unsigned char block[JOURNAL_SLOT];
    memset(block, 0, sizeof(block));
    if (file_pread(h->fd, block, sizeof(block), (uint64_t)slot * JOURNAL_BLOCK) < 0)
        return -1;
    memcpy(out, block, sizeof(*out));
    uint32_t crc = slot_crc(out);
    if (memcmp(out->magic, journal_magic, sizeof(out->magic)) == 0 && le32toh(out->crc) == crc &&
        le32toh(out->version) == JOURNAL_VERSION)
        return 1;
    for (size_t i = 0; i < sizeof(block); i++)
        if (block[i] != 0)
            return -1;
    return 0;
}

static void journal_new_key(struct journal_key *key, uint64_t generation)
{
    key->generation = generation;
    key->salt = (uint64_t)arc4random() << 32 | arc4random();
}

static int half_open(struct journal *j, int dir_fd, int index, struct buf *error)
{
    struct half *h = &j->half[index];
    struct slot s[2], *best = NULL;
    struct stat st;
    h->fd = openat(dir_fd, journal_name[index], O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (h->fd < 0 || fstat(h->fd, &st) < 0) {
        buf_printf(error, "%s: %s", journal_name[index], strerror(errno));
        return -1;
    }
    bool blank = true;
    for (int i = 0; i < 2; i++) {
        int r = slot_read(h, i, &s[i]);
        if (r != 0)
            blank = false;
        if (r == 1 && (best == NULL || le64toh(s[i].generation) > le64toh(best->generation)))
            best = &s[i];
    }
    if (best != NULL) {
        h->slot = best == &s[1];
        h->size = le64toh(best->size);
        h->key.generation = le64toh(best->generation);
        h->key.salt = best->salt;
        if ((uint64_t)st.st_size >= h->size && h->size > JOURNAL_DATA)
            return 0;
        buf_printf(error, "%s: shorter than its header says", journal_name[index]);
        return -1;
    }
    if (!blank) {
        buf_printf(error, "%s: its header is damaged", journal_name[index]);
        return -1;
    }
    struct journal_key key;
    journal_new_key(&key, (uint64_t)index + 1);
    if (journal_fill(h->fd, 0, j->half_size) < 0 || slot_write(h, 0, j->half_size, &key) < 0 ||
        fsync(dir_fd) < 0) {
        buf_printf(error, "%s: %s", journal_name[index], strerror(errno));
        return -1;
    }
    return 0;
}

struct journal *journal_open(int dir_fd, uint64_t half_size, struct buf *error)
{
    struct journal *j = mem_zalloc(sizeof(*j));
    j->half_size = half_size & ~(uint64_t)(JOURNAL_BLOCK - 1);
    j->active = -1;
    j->next_sequence = 1;
    for (int i = 0; i < JOURNAL_HALVES; i++) {
        j->half[i].fd = -1;
        j->half[i].end = JOURNAL_DATA;
    }
    for (int i = 0; i < JOURNAL_HALVES; i++) {
        if (half_open(j, dir_fd, i, error) < 0) {
            journal_close(&j);
            return NULL;
        }
    }
    return j;
}

void journal_close(struct journal **pj)
{
    struct journal *j = *pj;
    if (j == NULL)
        return;
    *pj = NULL;
    for (int i = 0; i < JOURNAL_HALVES; i++)
        if (j->half[i].fd >= 0)
            close(j->half[i].fd);
    free(j->batch);
    free(j);
}

/* ---- replay ---- */

struct scan {
    struct journal *j;
    int half;
    unsigned char *data; /* a window of the file, from offset start */
    size_t len, cap;
    uint64_t start;
    uint64_t summed; /* bytes that were read as candidates for a record */
    int (*fn)(const struct journal_record *r, void *arg);
    void *arg;
};

/* Makes need bytes from offset at visible, as far as the half has them. */
static int scan_fill(struct scan *s, uint64_t at, size_t need)
{
    struct half *h = &s->j->half[s->half];
    if (need > s->cap) {
        s->data = mem_realloc(s->data, need, 1);
        s->cap = need;
    }
    size_t want = s->cap;
    if (at + want > h->size)
        want = at < h->size ? (size_t)(h->size - at) : 0;
    ssize_t n = file_pread(h->fd, s->data, want, at);
    if (n < 0)
        return -1;
    s->start = at;
    s->len = (size_t)n;
    return 0;
}

/* The record at offset at: 1, 0 for none, -1 with errno. */
static int scan_record(struct scan *s, uint64_t at, struct journal_record *r, uint64_t *size)
{
    struct half *h = &s->j->half[s->half];
    size_t need = JOURNAL_RECORD_HEADER;
    for (int tries = 0; tries < 3; tries++) {
        if (at < s->start || at + need > s->start + s->len) {
            if (at + need > h->size)
                return 0;
            if (scan_fill(s, at, need) < 0)
                return -1;
            if (s->len < need)
                return 0;
        }
        int64_t n = journal_record_parse(&h->key, s->data + (at - s->start),
                                         s->len - (size_t)(at - s->start),
                                         (size_t)(h->size - JOURNAL_DATA), r, &need);
        s->summed += need;
        if (n < 0)
            return 0;
        if (n > 0) {
            r->half = s->half;
            r->offset = at + JOURNAL_RECORD_HEADER;
            *size = (uint64_t)n;
            return 1;
        }
    }
    return 0;
}

/*
 * No record at *at that continues what came before: either the end, or damage in the middle with
 * promised records behind it. Batches start with blocks, so the rest is looked through by blocks;
 * how much of it may be summed up is bounded, for payloads can be made to look like many headers.
 */
static int scan_resume(struct scan *s, uint64_t *at, struct journal_record *r, uint64_t *size)
{
    struct half *h = &s->j->half[s->half];
    uint64_t from = *at, bound = s->summed + JOURNAL_RESUME_SUMS * h->size;

    for (*at = (from / JOURNAL_BLOCK + 1) * JOURNAL_BLOCK;
         *at + JOURNAL_RECORD_HEADER <= h->size && s->summed < bound; *at += JOURNAL_BLOCK) {
        int found = scan_record(s, *at, r, size);
        if (found < 0)
            return -1;
        if (found == 0 || r->sequence < s->j->next_sequence)
            continue;
        log_error("journal is damaged: what follows is used, the records between are lost",
                  LOG_STR("file", journal_name[s->half]), LOG_UINT("offset", from),
                  LOG_UINT("until", *at), LOG_UINT("next", s->j->next_sequence),
                  LOG_UINT("found", r->sequence));
        return 1;
    }
    return 0;
}

static int scan_half(struct scan *s)
{
    struct half *h = &s->j->half[s->half];
    uint64_t at = JOURNAL_DATA;
    s->start = s->len = 0;
    for (;;) {
        struct journal_record r;
        uint64_t size;
        int found = scan_record(s, at, &r, &size);
        if (found == 0 && at % JOURNAL_BLOCK != 0) {
            /* The end of a batch: the next one starts with a block. */
            at = (at + JOURNAL_BLOCK - 1) & ~(uint64_t)(JOURNAL_BLOCK - 1);
            found = scan_record(s, at, &r, &size);
        }
        if (found == 0 || (found > 0 && ((h->records > 0 && r.sequence != s->j->next_sequence) ||
                                         r.sequence < s->j->next_sequence)))
            found = scan_resume(s, &at, &r, &size);
        if (found <= 0)
            return found;
        s->j->next_sequence = r.sequence + 1;
        h->records++;
        at += size;
        h->end = at;
        if (s->fn(&r, s->arg) < 0)
            return -1;
    }
}

int journal_replay(struct journal *j, int (*fn)(const struct journal_record *r, void *arg),
                   void *arg)
{
    struct scan s = {.j = j, .cap = JOURNAL_READ, .fn = fn, .arg = arg};
    int first = j->half[1].key.generation < j->half[0].key.generation;
    int r = 0;
    s.data = mem_alloc(s.cap);
    for (int i = 0; i < JOURNAL_HALVES && r == 0; i++) {
        s.half = (first + i) % JOURNAL_HALVES;
        r = scan_half(&s);
        /* The process that wrote the last batch may have died before it was on the disk. */
        if (r == 0 && j->half[s.half].records > 0)
            r = fdatasync(j->half[s.half].fd);
    }
    free(s.data);
    return r;
}

int journal_read(struct journal *j, int half, uint64_t at, void *dst, size_t len)
{
    ssize_t n = file_pread(j->half[half].fd, dst, len, at);
    if (n >= 0 && (size_t)n < len)
        errno = EIO;
    return n >= 0 && (size_t)n == len ? 0 : -1;
}

/* ---- state ---- */

bool journal_half_empty(const struct journal *j, int half)
{
    return j->half[half].records == 0;
}

uint64_t journal_generation(const struct journal *j, int half)
{
    return j->half[half].key.generation;
}

int journal_active(const struct journal *j)
{
    return j->active;
}

void journal_activate(struct journal *j, int half)
{
    j->active = half;
    j->half[half].end = JOURNAL_DATA;
    j->half[half].records = 0;
}

uint64_t journal_room(const struct journal *j)
{
    if (j->active < 0)
        return 0;
    const struct half *h = &j->half[j->active];
    return h->size - h->end - j->batch_len;
}

size_t journal_payload_max(const struct journal *j)
{
    return (size_t)(j->half_size - JOURNAL_DATA - 2 * JOURNAL_BLOCK);
}

/* ---- writing ---- */

/* Writes the batch out, whole blocks of it; what follows starts with the next block. */
static int journal_write_batch(struct journal *j)
{
    struct half *h = &j->half[j->active];
    if (j->batch_len == 0)
        return 0;
    size_t padded = (j->batch_len + JOURNAL_BLOCK - 1) & ~(size_t)(JOURNAL_BLOCK - 1);
    memset(j->batch + j->batch_len, 0, padded - j->batch_len);
    if (file_pwrite(h->fd, j->batch, padded, h->end) < 0)
        return -1;
    h->end += padded;
    j->batch_len = 0;
    return 0;
}

void *journal_reserve(struct journal *j, size_t len)
{
    size_t size = journal_record_size(len);
    /* A batch that is written out is padded, so it must leave room for that. */
    if (j->active < 0 || size + JOURNAL_BLOCK > journal_room(j)) {
        errno = ENOSPC;
        return NULL;
    }
    if (j->batch_len > 0 && j->batch_len + size > JOURNAL_BATCH && journal_write_batch(j) < 0)
        return NULL;
    size_t need = j->batch_len + size + JOURNAL_BLOCK;
    if (need > j->batch_cap) {
        j->batch_cap =
            need < JOURNAL_BATCH + 2 * JOURNAL_BLOCK ? JOURNAL_BATCH + 2 * JOURNAL_BLOCK : need;
        j->batch = mem_realloc(j->batch, j->batch_cap, 1);
    }
    return j->batch + j->batch_len + JOURNAL_RECORD_HEADER;
}

uint64_t journal_append(struct journal *j, uint32_t type, size_t len)
{
    struct half *h = &j->half[j->active];
    journal_record_seal(&h->key, j->batch + j->batch_len, type, j->next_sequence, len);
    j->batch_len += journal_record_size(len);
    h->records++;
    return j->next_sequence++;
}

int journal_sync(struct journal *j)
{
    if (j->active < 0)
        return 0;
    if (journal_write_batch(j) < 0 || fdatasync(j->half[j->active].fd) < 0)
        return -1;
    if (j->batch_cap > JOURNAL_BATCH_KEEP) {
        free(j->batch);
        j->batch = NULL;
        j->batch_cap = 0;
    }
    return 0;
}

int journal_recycle(struct journal *j, int half)
{
    struct half *h = &j->half[half];
    struct journal_key key;
    uint64_t size = h->size;
    uint64_t other = j->half[1 - half].key.generation;
    journal_new_key(&key, (other > h->key.generation ? other : h->key.generation) + 1);
    if (size < j->half_size && journal_fill(h->fd, size, j->half_size) < 0)
        return -1;
    if (slot_write(h, 1 - h->slot, j->half_size, &key) < 0)
        return -1;
    if (size > j->half_size && ftruncate(h->fd, (off_t)j->half_size) < 0)
        return -1;
    h->records = 0;
    h->end = JOURNAL_DATA;
    return 0;
}

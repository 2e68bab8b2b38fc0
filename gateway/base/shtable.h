/*
 * A hash table in a file that several processes map: what they count and remember of clients
 * together, through restarts as well. Old and unused entries give way to new ones, so its size is
 * its only bound, and nothing in it is more than a good guess.
 *
 * Who reads or changes an entry does so with atomic operations, and waits for nobody. Two processes
 * that make the same entry at the same moment may each get one of their own; the second is found by
 * nobody then and gives way some time.
 */
#ifndef DIRIGO_BASE_SHTABLE_H
#define DIRIGO_BASE_SHTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shtable;

struct shtable_entry {
    _Atomic uint64_t tag;     /* of the key; 0: unused */
    _Atomic uint64_t expires; /* wall time in microseconds; the earliest gives way first */
    _Atomic uint64_t value[2];
};

/* A key's place; made once for many look-ups. */
struct shtable_key {
    uint64_t place, tag;
};

/*
 * Makes the file path, of this many bytes, all on the disk, with a random key for its hashes; one
 * that is there goes on where it is of that size and format. Returns a descriptor to read and
 * write, close-on-exec; -1 with errno.
 */
int shtable_make(const char *path, size_t size);
/* Maps the file, and closes fd. fd -1: memory of this process alone. NULL with errno (EINVAL: it is
 * no such file). */
struct shtable *shtable_map(int fd);
void shtable_unmap(struct shtable **t);

/* kind keeps apart what keys of different uses say; strings are hashed with the file's secret key.
 */
struct shtable_key shtable_key(const struct shtable *t, char kind, const void *data, size_t len);
/*
 * The entry of a key, valid as long as the table, or NULL. make: takes the place of an unused
 * entry, or of the one that expires first, with zero for values and expires_us; never NULL then.
 */
struct shtable_entry *shtable_find(struct shtable *t, struct shtable_key key);
struct shtable_entry *shtable_take(struct shtable *t, struct shtable_key key, uint64_t expires_us);

#endif

#include "gateway/base/shtable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/file.h"
#include "gateway/base/hmac.h"
#include "gateway/base/mem.h"

#define MAGIC UINT64_C(0x64697269676f0001) /* and the format's number */

enum {
    HEADER_SIZE = 4096,
    KEY_LEN = 32,
    WAYS = 8,               /* entries among which a key has its place */
    PRIVATE_SIZE = 1 << 20, /* without a file */
    DATA_MAX = 1024
};

struct header {
    uint64_t magic, size;
    uint8_t key[KEY_LEN];
};

struct shtable {
    void *map;
    size_t size, sets;
    struct shtable_entry *entries;
};

static bool is_good(int fd, size_t size)
{
    struct header h;
    struct stat st;
    return fstat(fd, &st) == 0 && (uint64_t)st.st_size == size &&
           pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) && h.magic == MAGIC && h.size == size;
}

int shtable_make(const char *path, size_t size)
{
    struct header h = {.magic = MAGIC, .size = size};
    if (size < HEADER_SIZE + WAYS * sizeof(struct shtable_entry)) {
        errno = EINVAL;
        return -1;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && is_good(fd, size))
        return fd;
    if (fd >= 0) {
        close(fd);
        if (unlink(path) < 0)
            return -1;
    } else if (errno != ENOENT) {
        return -1;
    }
    if (file_allocate(path, (off_t)size, 0600) < 0)
        return -1;
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    arc4random_buf(h.key, sizeof(h.key));
    /* A file system without fallocate leaves the file short. */
    if (ftruncate(fd, (off_t)size) == 0 && pwrite(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void *map_private(size_t *size)
{
    *size = PRIVATE_SIZE;
    void *map = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    struct header *h = map;
    *h = (struct header){.magic = MAGIC, .size = *size};
    arc4random_buf(h->key, sizeof(h->key));
    return map;
}

static void *map_file(int fd, size_t *size)
{
    struct stat st;
    void *map = MAP_FAILED;
    if (fstat(fd, &st) == 0) {
        *size = (size_t)st.st_size;
        if (is_good(fd, *size))
            map = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        else
            errno = EINVAL;
    }
    int error = errno;
    close(fd);
    errno = error;
    return map == MAP_FAILED ? NULL : map;
}

struct shtable *shtable_map(int fd)
{
    size_t size;
    void *map = fd < 0 ? map_private(&size) : map_file(fd, &size);
    if (map == NULL)
        return NULL;
    struct shtable *t = mem_zalloc(sizeof(*t));
    t->map = map;
    t->size = size;
    t->entries = (void *)((char *)map + HEADER_SIZE);
    t->sets = (size - HEADER_SIZE) / (WAYS * sizeof(struct shtable_entry));
    return t;
}

void shtable_unmap(struct shtable **t)
{
    if (*t == NULL)
        return;
    munmap((*t)->map, (*t)->size);
    free(*t);
    *t = NULL;
}

struct shtable_key shtable_key(const struct shtable *t, char kind, const void *data, size_t len)
{
    const struct header *h = t->map;
    uint8_t text[1 + DATA_MAX], hash[HMAC_LEN];
    struct shtable_key key;
    if (len > DATA_MAX) {
        hash_sha256(data, len, text + 1);
        len = HMAC_LEN;
    } else {
        memcpy(text + 1, data, len);
    }
    text[0] = (uint8_t)kind;
    hmac_sha256(h->key, sizeof(h->key), text, len + 1, hash);
    memcpy(&key, hash, sizeof(key));
    key.tag |= key.tag == 0;
    return key;
}

static struct shtable_entry *set_of(struct shtable *t, struct shtable_key key)
{
    return &t->entries[key.place % t->sets * WAYS];
}

struct shtable_entry *shtable_find(struct shtable *t, struct shtable_key key)
{
    struct shtable_entry *set = set_of(t, key);
    for (size_t i = 0; i < WAYS; i++)
        if (atomic_load_explicit(&set[i].tag, memory_order_acquire) == key.tag)
            return &set[i];
    return NULL;
}

struct shtable_entry *shtable_take(struct shtable *t, struct shtable_key key, uint64_t expires_us)
{
    struct shtable_entry *e = shtable_find(t, key), *set = set_of(t, key);
    if (e != NULL)
        return e;
    e = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (atomic_load(&set[i].tag) == 0) {
            e = &set[i];
            break;
        }
        if (atomic_load(&set[i].expires) < atomic_load(&e->expires))
            e = &set[i];
    }
    /* Nobody finds it while it changes hands. */
    atomic_store(&e->tag, 0);
    atomic_store(&e->value[0], 0);
    atomic_store(&e->value[1], 0);
    atomic_store(&e->expires, expires_us);
    atomic_store_explicit(&e->tag, key.tag, memory_order_release);
    return e;
}

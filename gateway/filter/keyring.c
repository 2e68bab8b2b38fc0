#include "gateway/filter/keyring.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/file.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

enum {
    KEYS_MAX = 10000,
    FILE_MAX_SIZE = 65536
};

struct named_key {
    char *name;
    struct private_key *key;
};

struct keyring {
    struct named_key *keys; /* sorted by name */
    size_t count;
};

static int by_name(const void *a, const void *b)
{
    const struct named_key *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static struct private_key *read_key(const char *path, struct buf *why)
{
    struct buf text = {0};
    struct private_key *key = NULL;
    const char *reason;

    if (file_read(path, FILE_MAX_SIZE, &text) != 0) {
        buf_printf(why, "%s cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    key = private_key_new(text.data, text.len, &reason);
    if (key == NULL)
        buf_printf(why, "%s: %s; make one with openssl genpkey", path, reason);
    buf_wipe_free(&text);
    return key;
}

static int add(struct keyring *ring, const char *folder, const char *name, struct buf *why)
{
    char *path = mem_printf("%s/%s", folder, name);
    struct private_key *key = ring->count < KEYS_MAX ? read_key(path, why) : NULL;

    free(path);
    if (key == NULL)
        return -1;
    ring->keys = mem_realloc(ring->keys, ring->count + 1, sizeof(*ring->keys));
    ring->keys[ring->count++] = (struct named_key){mem_strndup(name, strlen(name) - 4), key};
    return 0;
}

struct keyring *keyring_new(const char *folder, struct buf *why)
{
    struct keyring *ring = mem_zalloc(sizeof(*ring));
    struct dirent *e;
    int rc = 0;

    if (*folder == '\0')
        return ring;
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        buf_printf(why, "%s cannot be read: %s", folder, strerror(errno));
        rc = -1;
    }
    while (rc == 0 && (e = readdir(dir)) != NULL) {
        if (*e->d_name != '.' && str_iends(e->d_name, ".pem"))
            rc = add(ring, folder, e->d_name, why);
    }
    if (dir != NULL)
        closedir(dir);
    if (rc != 0)
        keyring_free(&ring);
    else if (ring->count > 0)
        qsort(ring->keys, ring->count, sizeof(*ring->keys), by_name);
    return ring;
}

void keyring_free(struct keyring **ring)
{
    if (*ring == NULL)
        return;
    for (size_t i = 0; i < (*ring)->count; i++) {
        free((*ring)->keys[i].name);
        private_key_free(&(*ring)->keys[i].key);
    }
    free((*ring)->keys);
    free(*ring);
    *ring = NULL;
}

const struct private_key *keyring_find(const struct keyring *ring, const char *name)
{
    const struct named_key wanted = {.name = (char *)(uintptr_t)name};
    const struct named_key *k =
        ring->count > 0 ? bsearch(&wanted, ring->keys, ring->count, sizeof(*ring->keys), by_name)
                        : NULL;

    return k != NULL ? k->key : NULL;
}

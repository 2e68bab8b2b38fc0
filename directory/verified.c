#include "directory/verified.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/hmac.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"

/* An entry may lie in one of so many neighbouring places. */
#define WAYS     8
#define KEY_LEN  32
#define SALT_LEN 16

struct place {
    struct uuid uuid;
    int64_t until; /* monotonic; 0: free */
    uint8_t salt[SALT_LEN];
    uint8_t digest[HMAC_LEN];
};

struct verified {
    struct place *places;
    size_t sets;
    int64_t ttl;
    uint64_t epoch, hits;
    uint8_t key[KEY_LEN];
};

struct verified *verified_new(size_t entries, int64_t ttl)
{
    struct verified *v = mem_zalloc(sizeof *v);
    v->ttl = ttl;
    v->sets = ttl > 0 ? (entries + WAYS - 1) / WAYS : 0;
    arc4random_buf(v->key, sizeof v->key);
    if (v->sets > 0)
        v->places = mem_zalloc(v->sets * WAYS * sizeof *v->places);
    return v;
}

void verified_free(struct verified **v)
{
    if (*v == NULL)
        return;
    mem_wipe_free((*v)->places, (*v)->sets * WAYS * sizeof *(*v)->places);
    mem_wipe_free(*v, sizeof **v);
    *v = NULL;
}

static struct place *set_of(struct verified *v, const struct uuid *uuid)
{
    return v->places + str_crc32c(0, uuid->bytes, sizeof uuid->bytes) % v->sets * WAYS;
}

static struct place *find(struct verified *v, const struct uuid *uuid)
{
    struct place *p = v->sets == 0 ? NULL : set_of(v, uuid);
    for (int i = 0; p != NULL && i < WAYS; i++)
        if (p[i].until != 0 && uuid_eq(&p[i].uuid, uuid))
            return &p[i];
    return NULL;
}

static void digest(const struct verified *v, const struct place *p, const char *password,
                   uint8_t out[HMAC_LEN])
{
    uint8_t key[KEY_LEN + SALT_LEN];
    memcpy(key, v->key, KEY_LEN);
    memcpy(key + KEY_LEN, p->salt, SALT_LEN);
    hmac_sha256(key, sizeof key, password, strlen(password), out);
    explicit_bzero(key, sizeof key);
}

bool verified_has(struct verified *v, const struct uuid *uuid, const char *password)
{
    struct place *p = find(v, uuid);
    uint8_t mine[HMAC_LEN], differs = 0;
    if (p == NULL)
        return false;
    if (clock_now_ms() >= p->until) {
        explicit_bzero(p, sizeof *p);
        return false;
    }
    digest(v, p, password, mine);
    for (size_t i = 0; i < sizeof mine; i++)
        differs |= mine[i] ^ p->digest[i];
    explicit_bzero(mine, sizeof mine);
    v->hits += differs == 0;
    return differs == 0;
}

uint64_t verified_epoch(const struct verified *v)
{
    return v->epoch;
}

void verified_put(struct verified *v, const struct uuid *uuid, const char *password, uint64_t epoch)
{
    struct place *p = find(v, uuid);
    if (v->sets == 0 || epoch != v->epoch)
        return;
    if (p == NULL) {
        struct place *set = p = set_of(v, uuid);
        for (int i = 1; i < WAYS; i++)
            if (set[i].until < p->until)
                p = &set[i];
    }
    p->uuid = *uuid;
    p->until = clock_now_ms() + v->ttl;
    arc4random_buf(p->salt, sizeof p->salt);
    digest(v, p, password, p->digest);
}

void verified_forget(struct verified *v, const struct uuid *uuid)
{
    struct place *p = find(v, uuid);
    v->epoch++;
    if (p != NULL)
        explicit_bzero(p, sizeof *p);
}

uint64_t verified_hits(const struct verified *v)
{
    return v->hits;
}

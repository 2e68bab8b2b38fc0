#include "gateway/base/guesses.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/hmac.h"
#include "gateway/base/mem.h"

/* An account may lie in one of so many neighbouring places. */
#define WAYS    8
#define KEY_LEN 32

struct place {
    struct uuid account;
    unsigned count;
    int64_t last; /* monotonic, of the last wrong one; 0: free */
    uint8_t digest[HMAC_LEN];
};

struct guesses {
    struct place *places;
    size_t sets;
    unsigned limit;
    int64_t pause;
    uint8_t key[KEY_LEN];
};

struct guesses *guesses_new(size_t entries, unsigned limit, int64_t pause)
{
    struct guesses *g = mem_zalloc(sizeof(*g));
    g->limit = limit;
    g->pause = pause;
    g->sets = limit > 0 ? (entries + WAYS - 1) / WAYS : 0;
    arc4random_buf(g->key, sizeof(g->key));
    if (g->sets > 0)
        g->places = mem_zalloc(g->sets * WAYS * sizeof(*g->places));
    return g;
}

void guesses_free(struct guesses **pg)
{
    struct guesses *g = *pg;
    if (g == NULL)
        return;
    *pg = NULL;
    mem_wipe_free(g->places, g->sets * WAYS * sizeof(*g->places));
    mem_wipe_free(g, sizeof(*g));
}

/* A keyed hash of account and password; of the account alone it tells where the place is. */
static void guesses_hash(const struct guesses *g, const struct uuid *account, const char *password,
                         uint8_t out[HMAC_LEN])
{
    size_t len = sizeof(account->bytes) + strlen(password);
    uint8_t *text = mem_alloc(len);
    memcpy(text, account->bytes, sizeof(account->bytes));
    memcpy(text + sizeof(account->bytes), password, len - sizeof(account->bytes));
    hmac_sha256(g->key, sizeof(g->key), text, len, out);
    mem_wipe_free(text, len);
}

/* The place of an account; with make that of the oldest where it has none. */
static struct place *guesses_find(struct guesses *g, const struct uuid *account, bool make)
{
    uint8_t hash[HMAC_LEN];
    uint64_t n;
    if (g->sets == 0)
        return NULL;
    guesses_hash(g, account, "", hash);
    memcpy(&n, hash, sizeof(n));
    struct place *set = g->places + n % g->sets * WAYS, *oldest = set;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].last != 0 && uuid_eq(&set[i].account, account))
            return &set[i];
        if (set[i].last < oldest->last)
            oldest = &set[i];
    }
    if (!make)
        return NULL;
    memset(oldest, 0, sizeof(*oldest));
    oldest->account = *account;
    return oldest;
}

bool guesses_begin(struct guesses *g, const struct uuid *account)
{
    int64_t now = clock_now_ms();
    struct place *p = guesses_find(g, account, true);
    if (p == NULL)
        return true;
    if (p->last != 0 && now - p->last >= g->pause)
        p->count = 0;
    if (p->count >= g->limit)
        return false;
    p->count++;
    p->last = now;
    return true;
}

void guesses_end(struct guesses *g, const struct uuid *account, const char *password,
                 enum guess result)
{
    struct place *p = guesses_find(g, account, false);
    uint8_t hash[HMAC_LEN];
    if (p == NULL)
        return;
    if (result == GUESS_RIGHT) {
        explicit_bzero(p, sizeof(*p));
        return;
    }
    if (result == GUESS_WRONG) {
        p->last = clock_now_ms();
        guesses_hash(g, account, password, hash);
        if (memcmp(hash, p->digest, sizeof(hash)) != 0) {
            memcpy(p->digest, hash, sizeof(hash));
            return;
        }
    }
    if (p->count > 0)
        p->count--;
}

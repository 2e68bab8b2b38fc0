/*
 * Lookups in a replica per second, in one process on one core: addresses resolved, logins found,
 * and addresses that are not there. The replica is that of a dirigo.conf, which may be in use
 * meanwhile.
 *
 *     lookup dirigo.conf USERS SECONDS        the users are user0 … user(USERS-1) in example.org
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "conf/conf.h"
#include "directory/resolve.h"

#define ARENA ((size_t)1 << 20)
/* Lookups between two looks at the clock. */
#define BATCH 1000

struct bench {
    struct directory *directory;
    struct arena *arena;
    uint64_t users, state;
    uint64_t other; /* answers that were not expected */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* xorshift64: users in no order that a cache could guess. */
static uint64_t pick(struct bench *b)
{
    b->state ^= b->state << 13;
    b->state ^= b->state >> 7;
    b->state ^= b->state << 17;
    return b->state % b->users;
}

static void resolve(struct bench *b, const char *format, enum answer expected)
{
    char address[64];
    struct resolution res = {.answer = ANSWER_UNKNOWN};
    snprintf(address, sizeof address, format, pick(b));
    struct snapshot *snap = snapshot_take(b->directory);
    if (snap != NULL)
        resolve_address(snap, address, false, b->arena, &res);
    b->other += res.answer != expected;
    snapshot_release(&snap);
    arena_reset(b->arena);
}

static void found(struct bench *b)
{
    resolve(b, "user%" PRIu64 "@example.org", ANSWER_FOUND);
}

static void absent(struct bench *b)
{
    resolve(b, "nobody%" PRIu64 "@example.org", ANSWER_ABSENT);
}

static void login(struct bench *b)
{
    char name[64];
    const struct entry *e;
    snprintf(name, sizeof name, "user%" PRIu64, pick(b));
    struct snapshot *snap = snapshot_take(b->directory);
    b->other += snap == NULL || entry_by_login(snap, name, &e) != ANSWER_FOUND;
    snapshot_release(&snap);
}

static void run(struct bench *b, const char *name, double seconds, void (*one)(struct bench *b))
{
    uint64_t n = 0;
    double begin = now(), end;
    b->other = 0;
    do {
        for (int i = 0; i < BATCH; i++)
            one(b);
        n += BATCH;
    } while ((end = now()) - begin < seconds);
    printf("%s: %.0f/s, %" PRIu64 " of %" PRIu64 " not as expected\n", name,
           (double)n / (end - begin), b->other, n);
}

int main(int argc, char **argv)
{
    struct buf errors = {0};
    char *error = NULL;
    if (argc != 4) {
        fputs("usage: lookup dirigo.conf USERS SECONDS\n", stderr);
        return 2;
    }
    struct conf *conf = conf_load(argv[1], NULL, &errors);
    if (conf == NULL) {
        fputs(buf_str(&errors), stderr);
        return 1;
    }
    struct bench b = {.users = strtoull(argv[2], NULL, 10), .state = 88172645463325252U};
    double seconds = strtod(argv[3], NULL);
    b.directory = directory_open(conf, &error);
    if (b.directory == NULL || b.users == 0) {
        fprintf(stderr, "%s\n", error != NULL ? error : "no users");
        return 1;
    }
    b.arena = arena_new(ARENA);
    run(&b, "found", seconds, found);
    run(&b, "absent", seconds, absent);
    run(&b, "login", seconds, login);
    arena_free(&b.arena);
    directory_close(&b.directory);
    conf_free(&conf);
    return 0;
}

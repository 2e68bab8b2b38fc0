/* The journal: batches, torn tails, damage, both halves in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/queue/journal.h"

#define HALF ((uint64_t)1 << 20)

struct place {
    char path[64];
    int dir;
};

static int setup(void **state)
{
    struct place *p = mem_zalloc(sizeof(*p));
    strcpy(p->path, "/tmp/dirigo-journal-XXXXXX");
    if (mkdtemp(p->path) == NULL)
        return -1;
    p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    unlinkat(p->dir, "journal.a", 0);
    unlinkat(p->dir, "journal.b", 0);
    close(p->dir);
    rmdir(p->path);
    free(p);
    return 0;
}

static struct journal *reopen(struct place *p, uint64_t size)
{
    struct buf error = {.max = 1000};
    struct journal *j = journal_open(p->dir, size, &error);
    if (j == NULL)
        fprintf(stderr, "%s\n", buf_str(&error));
    buf_free(&error);
    return j;
}

static void put(struct journal *j, const char *text)
{
    char *p = journal_reserve(j, strlen(text));
    assert_non_null(p);
    memcpy(p, text, strlen(text));
    journal_append(j, 7, strlen(text));
}

/* What a replay saw: the payloads, one after another. */
struct seen {
    char text[65536];
    size_t n;
    uint64_t last;
    struct journal_record record;
};

static int see(const struct journal_record *r, void *arg)
{
    struct seen *s = arg;
    assert_int_equal(r->type, 7);
    assert_true(s->last == 0 || r->sequence == s->last + 1);
    s->last = r->sequence;
    s->record = *r;
    s->n++;
    size_t at = strlen(s->text);
    size_t len = r->len < 32 ? r->len : 32;
    if (at + len + 2 < sizeof(s->text))
        snprintf(s->text + at, sizeof(s->text) - at, "%.*s,", (int)len, (const char *)r->payload);
    return 0;
}

static void replay(struct place *p, uint64_t size, struct seen *s)
{
    struct journal *j = reopen(p, size);
    assert_non_null(j);
    memset(s, 0, sizeof(*s));
    assert_int_equal(journal_replay(j, see, s), 0);
    journal_close(&j);
}

static void test_batches_survive(void **state)
{
    struct seen s;
    struct journal *j = reopen(*state, HALF);
    assert_non_null(j);
    assert_int_equal(journal_replay(j, see, &s), 0);
    journal_activate(j, 0);
    put(j, "one");
    put(j, "two");
    assert_int_equal(journal_sync(j), 0);
    put(j, "three");
    assert_int_equal(journal_sync(j), 0);
    put(j, "never synced");
    journal_close(&j);
    replay(*state, HALF, &s);
    assert_string_equal(s.text, "one,two,three,");
    assert_int_equal(s.last, 3);

    j = reopen(*state, HALF);
    char text[6] = "";
    memset(&s, 0, sizeof(s));
    assert_int_equal(journal_replay(j, see, &s), 0);
    assert_false(journal_half_empty(j, 0));
    assert_true(journal_half_empty(j, 1));
    assert_int_equal(journal_read(j, s.record.half, s.record.offset, text, 5), 0);
    assert_string_equal(text, "three");
    journal_close(&j);
}

static void damage(struct place *p, const char *name, off_t at, const char *bytes, size_t n)
{
    int fd = openat(p->dir, name, O_RDWR);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}

/* One record in each block: whatever part of the third is missing, the first two are there. */
static void test_torn_tail(void **state)
{
    struct seen s;
    char big[6000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    struct journal *j = reopen(*state, HALF);
    journal_activate(j, 0);
    put(j, "one");
    assert_int_equal(journal_sync(j), 0);
    put(j, "two");
    assert_int_equal(journal_sync(j), 0);
    put(j, big);
    put(j, "four");
    assert_int_equal(journal_sync(j), 0);
    journal_close(&j);
    replay(*state, HALF, &s);
    assert_int_equal(s.n, 4);
    /* The second block of the last batch did not reach the disk. */
    char zeros[4096] = {0};
    damage(*state, "journal.a", 8192 + 3 * 4096, zeros, sizeof(zeros));
    replay(*state, HALF, &s);
    assert_string_equal(s.text, "one,two,");
    /* Nor did its first. */
    damage(*state, "journal.a", 8192 + 2 * 4096, zeros, sizeof(zeros));
    replay(*state, HALF, &s);
    assert_string_equal(s.text, "one,two,");
    /* One bit of the second record. */
    damage(*state, "journal.a", 8192 + 4096 + 33, "v", 1);
    replay(*state, HALF, &s);
    assert_string_equal(s.text, "one,");
}

static int see_gaps(const struct journal_record *r, void *arg)
{
    struct seen *s = arg;
    assert_true(r->sequence > s->last);
    s->last = r->sequence - 1;
    return see(r, s);
}

/* A batch in the middle that cannot be read takes none of those behind it along. */
static void test_damage_in_the_middle(void **state)
{
    struct seen s = {0};
    static const char *const words[] = {"one", "two", "three", "four", "five"};
    struct journal *j = reopen(*state, HALF);
    journal_activate(j, 0);
    for (size_t i = 0; i < 5; i++) {
        put(j, words[i]);
        assert_int_equal(journal_sync(j), 0);
    }
    journal_close(&j);
    damage(*state, "journal.a", 8192 + 4096 + 33, "v", 1);
    damage(*state, "journal.a", 8192 + 3 * 4096, "v", 1);
    j = reopen(*state, HALF);
    assert_int_equal(journal_replay(j, see_gaps, &s), 0);
    assert_string_equal(s.text, "one,three,five,");
    journal_close(&j);
    /* The first one, too. */
    memset(&s, 0, sizeof(s));
    damage(*state, "journal.a", 8192, "v", 1);
    j = reopen(*state, HALF);
    assert_int_equal(journal_replay(j, see_gaps, &s), 0);
    assert_string_equal(s.text, "three,five,");
    journal_close(&j);
}

static void test_halves_in_turn(void **state)
{
    struct seen s;
    char text[32];
    struct journal *j = reopen(*state, HALF);
    unsigned n = 0;
    journal_activate(j, 0);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 40; i++) {
            snprintf(text, sizeof(text), "%u", n++);
            put(j, text);
            if (i % 3 == 0)
                assert_int_equal(journal_sync(j), 0);
        }
        assert_int_equal(journal_sync(j), 0);
        int old = journal_active(j);
        journal_activate(j, 1 - old);
        put(j, "other");
        n++;
        assert_int_equal(journal_sync(j), 0);
        if (round < 4)
            assert_int_equal(journal_recycle(j, old), 0);
    }
    journal_close(&j);
    /* The last round's half was not recycled: its 41 records, then one in the other. */
    replay(*state, HALF, &s);
    assert_int_equal(s.n, 42);
    assert_int_equal(s.last, n);
    assert_int_equal(strncmp(s.text, "other,164,165,", 14), 0);
}

static void test_full(void **state)
{
    struct seen s;
    struct journal *j = reopen(*state, HALF);
    size_t n = 0;
    journal_activate(j, 0);
    while (journal_reserve(j, 3000) != NULL) {
        char *p = journal_reserve(j, 3000);
        memset(p, 'm', 3000);
        journal_append(j, 7, 3000);
        if (++n % 7 == 0)
            assert_int_equal(journal_sync(j), 0);
    }
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(journal_sync(j), 0);
    assert_true(n > 290);
    assert_null(journal_reserve(j, journal_payload_max(j) + 1));
    journal_activate(j, 1);
    assert_non_null(journal_reserve(j, journal_payload_max(j)));
    journal_close(&j);
    struct stat st;
    struct place *p = *state;
    assert_int_equal(fstatat(p->dir, "journal.a", &st, 0), 0);
    assert_int_equal(st.st_size, HALF);
    replay(p, HALF, &s);
    assert_int_equal(s.n, n);
}

/* Old records behind a shorter new tail, and bytes that look like a record, are not replayed. */
static void test_stale_records(void **state)
{
    struct seen s;
    struct journal *j = reopen(*state, HALF);
    journal_activate(j, 0);
    for (int i = 0; i < 50; i++)
        put(j, "old");
    assert_int_equal(journal_sync(j), 0);
    journal_activate(j, 1);
    assert_int_equal(journal_recycle(j, 0), 0);
    journal_activate(j, 0);
    unsigned char fake[4096 + 64] = {0};
    struct journal_key guess = {.generation = journal_generation(j, 0), .salt = 1};
    memcpy(fake + 4096 - 32 + 32, "evil", 4);
    journal_record_seal(&guess, fake + 4096 - 32, 7, 52, 4);
    char *p = journal_reserve(j, sizeof(fake));
    memcpy(p, fake, sizeof(fake));
    journal_append(j, 7, sizeof(fake));
    assert_int_equal(journal_sync(j), 0);
    journal_close(&j);
    replay(*state, HALF, &s);
    assert_int_equal(s.n, 1);
}

static void test_header_damage(void **state)
{
    struct seen s;
    struct journal *j = reopen(*state, HALF);
    journal_activate(j, 0);
    put(j, "kept");
    assert_int_equal(journal_sync(j), 0);
    journal_close(&j);
    /* A torn recycle: the other slot still counts. */
    damage(*state, "journal.a", 4096, "torn", 4);
    replay(*state, HALF, &s);
    assert_string_equal(s.text, "kept,");
    /* Both: no guess is made. */
    damage(*state, "journal.a", 0, "torn", 4);
    assert_null(reopen(*state, HALF));
}

static void test_resize(void **state)
{
    struct seen s;
    struct stat st;
    struct place *p = *state;
    struct journal *j = reopen(p, HALF);
    journal_activate(j, 0);
    put(j, "before");
    assert_int_equal(journal_sync(j), 0);
    journal_close(&j);
    for (int grow = 1; grow >= 0; grow--) {
        uint64_t size = grow ? 2 * HALF : HALF;
        j = reopen(p, size);
        memset(&s, 0, sizeof(s));
        assert_int_equal(journal_replay(j, see, &s), 0);
        assert_int_equal(s.n, grow);
        assert_int_equal(journal_recycle(j, 0), 0);
        assert_int_equal(journal_recycle(j, 1), 0);
        assert_int_equal(fstatat(p->dir, "journal.a", &st, 0), 0);
        assert_int_equal(st.st_size, size);
        journal_close(&j);
    }
    replay(p, HALF, &s);
    assert_int_equal(s.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_batches_survive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_in_the_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_halves_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resize, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

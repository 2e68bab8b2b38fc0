/* A restart: what the journal holds is in its mailboxes once, whatever happened to it meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/file.h"
#include "gateway/base/mem.h"
#include "gateway/queue/deliver.h"
#include "gateway/queue/replay.h"

#define OWNER "a1b2c3d4-0000-1111-2222-333344445555"
#define BOX   "users/a1/" OWNER

struct place {
    char path[64];
    struct spool spool;
    struct journal *journal;
    struct replay_result result;
};

static struct journal *open_journal(struct place *p)
{
    struct buf error = {.max = 1000};
    struct journal *j = journal_open(p->spool.queue_fd, 1 << 20, &error);
    assert_non_null(j);
    buf_free(&error);
    return j;
}

static int nothing(const struct journal_record *r, void *arg)
{
    (void)r;
    (void)arg;
    return 0;
}

static int setup(void **state)
{
    struct place *p = mem_zalloc(sizeof(*p));
    struct buf error = {.max = 1000};
    strcpy(p->path, "/tmp/dirigo-replay-XXXXXX");
    if (mkdtemp(p->path) == NULL || spool_open(&p->spool, p->path, &error) < 0)
        return -1;
    p->journal = open_journal(p);
    journal_replay(p->journal, nothing, NULL);
    journal_activate(p->journal, 0);
    buf_free(&error);
    *state = p;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct place *p = *state;
    journal_close(&p->journal);
    spool_close(&p->spool);
    nftw(p->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(p->result.messages);
    free(p);
    return 0;
}

static struct envelope *make_envelope(const char *id, const char *content, bool remote)
{
    struct envelope *e = envelope_new();
    envelope_set(&e->id, id);
    envelope_set(&e->sender, "s@example.org");
    e->arrived = 1700000000;
    e->size = strlen(content);
    struct envelope_rcpt *r = envelope_add(e);
    r->kind = QUEUE_RCPT_MAILBOX;
    assert_int_equal(uuid_parse(&r->owner, OWNER), 0);
    envelope_set(&r->address, "u@example.org");
    if (remote) {
        r = envelope_add(e);
        r->kind = QUEUE_RCPT_REMOTE;
        r->number = 1;
        envelope_set(&r->address, "x@example.net");
    }
    return e;
}

static void append(struct place *p, uint32_t type, const void *data, size_t len)
{
    void *to = journal_reserve(p->journal, len);
    assert_non_null(to);
    memcpy(to, data, len);
    journal_append(p->journal, type, len);
    assert_int_equal(journal_sync(p->journal), 0);
}

static void put_message(struct place *p, const struct envelope *e, const char *content)
{
    struct buf text = {.max = 10000};
    assert_int_equal(buf_append(&text, "\0\0\0\0", 4), 0);
    assert_int_equal(envelope_write(e, &text), 0);
    uint32_t n = htole32((uint32_t)text.len - 4);
    memcpy(text.data, &n, 4);
    if (content != NULL)
        assert_int_equal(buf_append_str(&text, content), 0);
    if (content != NULL)
        append(p, RECORD_MESSAGE, text.data, text.len);
    else
        append(p, RECORD_FILE, text.data + 4, text.len - 4);
    buf_free(&text);
}

/* A message for OWNER in the journal; its file's base name is 1700000000.IDR0. */
static void accept_message(struct place *p, const char *id, const char *content, bool remote)
{
    struct envelope *e = make_envelope(id, content, remote);
    put_message(p, e, content);
    envelope_free(&e);
}

static void put_envelope(struct place *p, const char *id, const char *content, bool done)
{
    struct envelope *e = make_envelope(id, content, true);
    struct buf text = {.max = 10000};
    envelope_remove(e, 0);
    if (done)
        envelope_remove(e, 0);
    e->tries = 5;
    assert_int_equal(envelope_write(e, &text), 0);
    append(p, RECORD_ENVELOPE, text.data, text.len);
    envelope_free(&e);
    buf_free(&text);
}

/* The process dies and starts again. */
static void restart(struct place *p)
{
    journal_close(&p->journal);
    free(p->result.messages);
    p->journal = open_journal(p);
    assert_int_equal(replay_run(p->journal, &p->spool, &p->result), 0);
}

static char *slurp(struct place *p, const char *path)
{
    static char text[1000];
    int fd = openat(p->spool.mail_fd, path, O_RDONLY);
    if (fd < 0)
        return NULL;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

#define ID1 "aaaaaaaaaaaaaaa1"
#define ID2 "aaaaaaaaaaaaaaa2"
#define F1  "1700000000." ID1 "R0"

static void test_delivers_once(void **state)
{
    struct place *p = *state;
    accept_message(p, ID1, "one\r\n", false);
    accept_message(p, ID2, "two\r\n", false);
    restart(p);
    assert_int_equal(p->result.count, 2);
    assert_string_equal(p->result.messages[0].id, ID1);
    assert_int_equal(p->result.delivered, 2);
    assert_string_equal(slurp(p, BOX "/new/" F1), "one\r\n");
    restart(p);
    assert_int_equal(p->result.delivered, 0);
    assert_int_equal(p->result.repaired, 0);
    assert_null(slurp(p, "queue/spool/" ID1 ".msg"));
}

static void test_moved_and_read(void **state)
{
    struct place *p = *state;
    accept_message(p, ID1, "one\r\n", false);
    restart(p);
    static const char *const places[] = {"/cur/" F1 ":2,S", "/.Archive/new/" F1,
                                         "/.Archive.x/cur/" F1 ":2,FS"};
    char last[200] = BOX "/new/" F1, next[200];
    mkdirat(p->spool.mail_fd, BOX "/.Archive", 0700);
    mkdirat(p->spool.mail_fd, BOX "/.Archive/new", 0700);
    mkdirat(p->spool.mail_fd, BOX "/.Archive.x", 0700);
    mkdirat(p->spool.mail_fd, BOX "/.Archive.x/cur", 0700);
    for (size_t i = 0; i < 3; i++) {
        snprintf(next, sizeof(next), "%s%s", BOX, places[i]);
        assert_int_equal(renameat(p->spool.mail_fd, last, p->spool.mail_fd, next), 0);
        restart(p);
        assert_int_equal(p->result.delivered, 0);
        assert_null(slurp(p, BOX "/new/" F1));
        assert_string_equal(slurp(p, next), "one\r\n");
        memcpy(last, next, sizeof(last));
    }
    /* A power cut kept the name and lost the bytes. */
    int fd = openat(p->spool.mail_fd, last, O_WRONLY | O_TRUNC);
    close(fd);
    restart(p);
    assert_int_equal(p->result.repaired, 1);
    assert_string_equal(slurp(p, last), "one\r\n");
    assert_null(slurp(p, BOX "/new/" F1));
}

static void test_forgotten(void **state)
{
    struct place *p = *state;
    accept_message(p, ID1, "one\r\n", false);
    accept_message(p, ID2, "two\r\n", false);
    append(p, RECORD_FORGET, F1, sizeof(F1));
    restart(p);
    assert_int_equal(p->result.forgotten, 1);
    assert_int_equal(p->result.delivered, 1);
    assert_null(slurp(p, BOX "/new/" F1));
}

static void test_remote_goes_to_the_spool(void **state)
{
    struct place *p = *state;
    accept_message(p, ID1, "one\r\n", true);
    accept_message(p, ID2, "two\r\n", true);
    put_envelope(p, ID2, "two\r\n", false);
    restart(p);
    assert_string_equal(slurp(p, "queue/spool/" ID1 ".msg"), "one\r\n");
    struct envelope *e = spool_read(&p->spool, ID1);
    assert_non_null(e);
    assert_int_equal(e->rcpt_count, 1);
    assert_int_equal(e->tries, 0);
    envelope_free(&e);
    e = spool_read(&p->spool, ID2);
    assert_non_null(e);
    assert_int_equal(e->tries, 5);
    envelope_free(&e);
    /* Relayed meanwhile: gone, and a restart does not bring it back. */
    journal_activate(p->journal, 1);
    put_envelope(p, ID1, "one\r\n", true);
    restart(p);
    assert_null(slurp(p, "queue/spool/" ID1 ".msg"));
    assert_null(slurp(p, "queue/spool/" ID1 ".env"));
    assert_string_equal(slurp(p, "queue/spool/" ID2 ".msg"), "two\r\n");
}

static void test_large_message(void **state)
{
    struct place *p = *state;
    struct envelope *e = make_envelope(ID1, "large\r\n", false);
    int fd = spool_new_file(&p->spool);
    assert_int_equal(file_pwrite(fd, "large\r\n", 7, 0), 0);
    assert_int_equal(spool_link(&p->spool, ID1, fd, true), 0);
    close(fd);
    put_message(p, e, NULL);
    envelope_free(&e);
    restart(p);
    assert_true(p->result.messages[0].file);
    assert_string_equal(slurp(p, BOX "/new/" F1), "large\r\n");
    /* Kept until the half is recycled. */
    assert_string_equal(slurp(p, "queue/spool/" ID1 ".msg"), "large\r\n");
}

/* A mailbox that cannot be written to: the message waits in the spool. */
static void test_undeliverable_now(void **state)
{
    struct place *p = *state;
    mkdirat(p->spool.mail_fd, "users", 0700);
    mkdirat(p->spool.mail_fd, "users/a1", 0700);
    mkdirat(p->spool.mail_fd, BOX, 0700);
    int fd = openat(p->spool.mail_fd, BOX "/new", O_CREAT | O_WRONLY, 0600);
    close(fd);
    accept_message(p, ID1, "one\r\n", false);
    restart(p);
    struct envelope *e = spool_read(&p->spool, ID1);
    assert_non_null(e);
    assert_int_equal(e->rcpts[0].kind, QUEUE_RCPT_MAILBOX);
    envelope_free(&e);
    assert_string_equal(slurp(p, "queue/spool/" ID1 ".msg"), "one\r\n");
}

static void take(struct envelope *e, void *arg)
{
    ++*(int *)arg;
    envelope_free(&e);
}

static bool keep(const char *id, void *arg)
{
    (void)arg;
    return strcmp(id, ID2) == 0;
}

static void test_spool_scan(void **state)
{
    struct place *p = *state;
    int n = 0;
    struct envelope *e = make_envelope("bbbbbbbbbbbbbbb1", "x", true);
    assert_int_equal(spool_write(&p->spool, e), 0);
    static const char *const ids[] = {"bbbbbbbbbbbbbbb1", ID1, ID2};
    for (int i = 0; i < 3; i++) {
        int fd = spool_new_file(&p->spool);
        assert_int_equal(spool_link(&p->spool, ids[i], fd, false), 0);
        close(fd);
    }
    assert_int_equal(spool_scan(&p->spool, take, keep, &n), 0);
    assert_int_equal(n, 1);
    assert_non_null(slurp(p, "queue/spool/bbbbbbbbbbbbbbb1.msg"));
    assert_null(slurp(p, "queue/spool/" ID1 ".msg"));
    assert_non_null(slurp(p, "queue/spool/" ID2 ".msg"));
    envelope_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_delivers_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved_and_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remote_goes_to_the_spool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_message, setup, teardown),
        cmocka_unit_test_setup_teardown(test_undeliverable_now, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spool_scan, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

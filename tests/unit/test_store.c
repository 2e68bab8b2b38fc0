/* Mailboxes in a temporary folder: UIDs, flags in names, keywords, removals, other programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/store/mailbox.h"
#include "gateway/store/names.h"
#include "gateway/store/utf7.h"

struct fixture {
    char dir[64];
    char owner_dir[160];
    struct loop *loop;
    struct store *store;
    struct uuid owner;
    struct mailbox *mb;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    char path[64];
    strcpy(f->dir, "/tmp/dirigo-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->loop = loop_new();
    f->store = store_new(f->loop, &(struct store_config){.mail_directory = f->dir,
                                                         .index_map_size = (size_t)64 << 20,
                                                         .folder_limit = 100});
    assert_non_null(f->store);
    uuid_parse(&f->owner, "12345678-1234-1234-1234-123456789abc");
    f->mb = mailbox_open(f->store, &f->owner);
    assert_non_null(f->mb);
    snprintf(f->owner_dir, sizeof(f->owner_dir), "%s/%s", f->dir,
             store_owner_path(&f->owner, path, sizeof(path)));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    mailbox_release(&f->mb);
    store_free(&f->store);
    loop_free(&f->loop);
    char *cmd = mem_printf("rm -rf %s", f->dir);
    int rc = system(cmd);
    free(cmd);
    free(f);
    return rc;
}

/* What the queue does: a file appears in new/. */
static void deliver(struct fixture *f, const char *sub, const char *name, const char *text)
{
    char *path = mem_printf("%s/%s/%s", f->owner_dir, sub, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(path);
}

static bool exists(struct fixture *f, const char *rel)
{
    char *path = mem_printf("%s/%s", f->owner_dir, rel);
    bool is = access(path, F_OK) == 0;
    free(path);
    return is;
}

static void reopen(struct fixture *f)
{
    mailbox_release(&f->mb);
    f->mb = mailbox_open(f->store, &f->owner);
    assert_non_null(f->mb);
}

static struct message get(struct fixture *f, struct view *v, uint32_t uid)
{
    struct message m;
    struct mail_read *r = mail_read_begin(f->mb, v);
    assert_non_null(r);
    assert_int_equal(mail_read_get(r, uid, &m), 1);
    mail_read_end(&r);
    return m;
}

static void change(struct fixture *f, struct view *v, uint32_t uid, enum flags_op op, uint8_t flags,
                   const char *keyword)
{
    struct flags_change c = {op, flags, &keyword, keyword != NULL};
    assert_int_equal(mailbox_change_flags(f->mb, v, &uid, 1, &c), STORE_OK);
}

static void test_a_new_mailbox_opens_read_only(void **state)
{
    struct fixture *f = *state;
    struct view *v, *w;
    /* As POP3 and EXAMINE do, before anything wrote the index. */
    assert_int_equal(view_open(f->mb, "INBOX", true, &v), STORE_OK);
    assert_int_equal(v->n, 0);
    assert_int_equal(view_open(f->mb, "INBOX", true, &w), STORE_OK);
    assert_int_equal(w->uidvalidity, v->uidvalidity);
    view_free(&v);
    view_free(&w);
}

static void test_arrivals_get_uids_in_order(void **state)
{
    struct fixture *f = *state;
    struct view *v, *w;
    struct view_changes c;
    deliver(f, "new", "200.bR0", "B: 1\r\n\r\nb");
    deliver(f, "new", "100.aR0", "A: 1\r\n\r\n");
    assert_int_equal(view_open(f->mb, "INBOX", false, &v), STORE_OK);
    assert_int_equal(v->n, 2);
    assert_int_equal(v->uidnext, 3);
    assert_int_equal(v->first_unseen, 1);
    assert_true(view_is_recent(v, 1));
    struct message m = get(f, v, 1);
    assert_string_equal(m.base, "100.aR0");
    assert_int_equal(m.size, 8);
    /* A second session sees the same UIDs, and nothing is recent any more. */
    assert_int_equal(view_open(f->mb, "INBOX", false, &w), STORE_OK);
    assert_int_equal(w->uidvalidity, v->uidvalidity);
    assert_false(view_is_recent(w, 2));
    deliver(f, "new", "150.cR0", "C: 1\r\n\r\n");
    assert_int_equal(view_refresh(f->mb, v, true, &c), STORE_OK);
    assert_true(c.arrived);
    assert_int_equal(c.recent, 3);
    assert_int_equal(v->n, 3);
    assert_int_equal(v->uids[2], 3);
    view_changes_free(&c);
    view_free(&v);
    view_free(&w);
    reopen(f);
    assert_int_equal(view_open(f->mb, "INBOX", true, &v), STORE_OK);
    assert_int_equal(v->n, 3);
    assert_string_equal(get(f, v, 3).base, "150.cR0");
    view_free(&v);
}

static void test_flags_are_in_the_name_and_keywords_in_the_index(void **state)
{
    struct fixture *f = *state;
    struct view *v, *w;
    struct view_changes c;
    deliver(f, "new", "1.aR0", "A: 1\r\n\r\n");
    assert_int_equal(view_open(f->mb, "INBOX", false, &v), STORE_OK);
    assert_int_equal(view_open(f->mb, "INBOX", false, &w), STORE_OK);
    change(f, v, 1, FLAGS_ADD, MESSAGE_SEEN | MESSAGE_FLAGGED, "$Work");
    assert_true(exists(f, "cur/1.aR0:2,FS"));
    assert_int_equal(v->keyword_n, 1);
    /* The session itself is told nothing; the other one is. */
    assert_int_equal(view_refresh(f->mb, v, true, &c), STORE_OK);
    assert_int_equal(c.flags_n, 0);
    view_changes_free(&c);
    assert_int_equal(view_refresh(f->mb, w, true, &c), STORE_OK);
    assert_int_equal(c.flags_n, 1);
    assert_int_equal(c.flags[0], 1);
    assert_true(c.keywords);
    assert_string_equal(w->keywords[0], "$Work");
    view_changes_free(&c);
    change(f, v, 1, FLAGS_REPLACE, MESSAGE_ANSWERED, NULL);
    assert_true(exists(f, "cur/1.aR0:2,R"));
    struct message m = get(f, v, 1);
    assert_int_equal(m.keywords, 0);
    assert_int_equal(m.flags, MESSAGE_ANSWERED);
    change(f, v, 1, FLAGS_REMOVE, MESSAGE_ANSWERED, "$Unknown");
    assert_true(exists(f, "cur/1.aR0:2,"));
    view_free(&v);
    view_free(&w);
}

static void test_other_programs_are_followed(void **state)
{
    struct fixture *f = *state;
    struct view *v;
    struct view_changes c;
    deliver(f, "new", "1.aR0", "A: 1\r\n\r\n");
    deliver(f, "cur", "2.b:2,Sa", "A: 1\r\n\r\n");
    deliver(f, "cur", "3.c", "A: 1\r\n\r\n");
    assert_int_equal(view_open(f->mb, "INBOX", false, &v), STORE_OK);
    assert_int_equal(v->n, 3);
    assert_int_equal(get(f, v, 2).flags, MESSAGE_SEEN);
    char *old = mem_printf("%s/cur/2.b:2,Sa", f->owner_dir);
    char *new = mem_printf("%s/cur/2.b:2,RSa", f->owner_dir);
    assert_int_equal(rename(old, new), 0);
    free(old);
    old = mem_printf("%s/new/1.aR0", f->owner_dir);
    assert_int_equal(unlink(old), 0);
    assert_int_equal(view_refresh(f->mb, v, true, &c), STORE_OK);
    assert_int_equal(c.expunged_n, 1);
    assert_int_equal(c.expunged[0], 1);
    assert_int_equal(c.flags_n, 1);
    assert_int_equal(c.flags[0], 1);
    assert_int_equal(v->n, 2);
    view_changes_free(&c);
    /* Letters of others survive our change. */
    change(f, v, 2, FLAGS_ADD, MESSAGE_DELETED, NULL);
    assert_true(exists(f, "cur/2.b:2,RSTa"));
    free(old);
    free(new);
    view_free(&v);
}

static void test_removals_wait_until_they_may_be_told(void **state)
{
    struct fixture *f = *state;
    struct view *v, *w;
    struct view_changes c;
    struct name_list names;
    uint32_t *uids, all[4] = {1, 2, 3, 4};
    for (int i = 1; i <= 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d.xR0", i);
        deliver(f, "new", name, "A: 1\r\n\r\n");
    }
    assert_int_equal(view_open(f->mb, "INBOX", false, &v), STORE_OK);
    assert_int_equal(view_open(f->mb, "INBOX", false, &w), STORE_OK);
    change(f, v, 2, FLAGS_ADD, MESSAGE_DELETED, NULL);
    change(f, v, 3, FLAGS_ADD, MESSAGE_DELETED, NULL);
    assert_int_equal(mailbox_names(f->mb, v, NULL, 0, MESSAGE_DELETED, &names, &uids), STORE_OK);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.v[1], "3.xR0");
    name_list_free(&names);
    free(uids);
    assert_int_equal(mailbox_expunge(f->mb, v, all, 4, MESSAGE_DELETED), STORE_OK);
    assert_false(exists(f, "cur/2.xR0:2,T"));
    assert_true(exists(f, "new/1.xR0"));
    deliver(f, "new", "9.xR0", "A: 1\r\n\r\n");
    assert_int_equal(view_refresh(f->mb, w, false, &c), STORE_OK);
    assert_int_equal(c.expunged_n, 0);
    assert_int_equal(w->n, 5);
    assert_true(c.arrived);
    view_changes_free(&c);
    assert_int_equal(view_refresh(f->mb, w, true, &c), STORE_OK);
    assert_int_equal(c.expunged_n, 2);
    assert_int_equal(c.expunged[0], 2);
    assert_int_equal(c.expunged[1], 2);
    assert_int_equal(w->n, 3);
    assert_int_equal(view_seq(w, 4), 2);
    assert_int_equal(view_seq(w, 3), 0);
    view_changes_free(&c);
    view_free(&v);
    view_free(&w);
}

static void test_folders(void **state)
{
    struct fixture *f = *state;
    struct folder_list list;
    struct folder_status st;
    assert_int_equal(mailbox_create(f->mb, "A.B.C"), STORE_OK);
    assert_int_equal(mailbox_create(f->mb, "A-X"), STORE_OK);
    assert_int_equal(mailbox_create(f->mb, "A.B.C"), STORE_EXISTS);
    assert_int_equal(mailbox_create(f->mb, "A..B"), STORE_INVALID);
    assert_int_equal(mailbox_create(f->mb, "../x"), STORE_INVALID);
    assert_int_equal(mailbox_list(f->mb, &list), STORE_OK);
    assert_int_equal(list.n, 5);
    assert_string_equal(list.v[0].name, "INBOX");
    assert_string_equal(list.v[1].name, "A");
    assert_false(list.v[1].selectable);
    assert_true(list.v[1].has_children);
    assert_string_equal(list.v[3].name, "A.B.C");
    assert_string_equal(list.v[4].name, "A-X");
    folder_list_free(&list);
    assert_int_equal(mailbox_status(f->mb, "A.B.C", &st), STORE_OK);
    assert_int_equal(mailbox_rename(f->mb, "A.B", "Z"), STORE_OK);
    assert_true(exists(f, ".Z.C/cur"));
    struct folder_status after;
    assert_int_equal(mailbox_status(f->mb, "Z.C", &after), STORE_OK);
    assert_int_equal(after.uidvalidity, st.uidvalidity);
    assert_int_equal(mailbox_status(f->mb, "A.B.C", &after), STORE_ABSENT);
    assert_int_equal(mailbox_delete(f->mb, "Z.C"), STORE_OK);
    assert_int_equal(mailbox_delete(f->mb, "Z.C"), STORE_ABSENT);
    assert_int_equal(mailbox_delete(f->mb, "INBOX"), STORE_INVALID);
    /* The same name again is another folder. */
    assert_int_equal(mailbox_create(f->mb, "Z.C"), STORE_OK);
    assert_int_equal(mailbox_status(f->mb, "Z.C", &after), STORE_OK);
    assert_true(after.uidvalidity > st.uidvalidity);
    assert_int_equal(mailbox_subscribe(f->mb, "Z.C", true), STORE_OK);
    assert_int_equal(mailbox_subscribe(f->mb, "INBOX", true), STORE_OK);
    assert_int_equal(mailbox_subscribe(f->mb, "Z.C", false), STORE_OK);
    assert_int_equal(mailbox_subscriptions(f->mb, &list), STORE_OK);
    assert_int_equal(list.n, 1);
    folder_list_free(&list);
}

static void test_append_copy_move(void **state)
{
    struct fixture *f = *state;
    struct append *a;
    struct copy_result r;
    struct view *v, *w;
    struct view_changes c;
    uint32_t uidvalidity, uid;
    const char *kw = "$Kw";
    assert_int_equal(append_begin(f->mb, "Nowhere", &a), STORE_ABSENT);
    assert_int_equal(append_begin(f->mb, "INBOX", &a), STORE_OK);
    assert_int_equal(append_write(a, "A: 1\r", 5), STORE_OK);
    assert_int_equal(append_write(a, "\n\nbody\n", 7), STORE_OK);
    struct flags_change flags = {FLAGS_REPLACE, MESSAGE_SEEN, &kw, 1};
    assert_int_equal(append_commit(&a, &flags, 86400, &uidvalidity, &uid), STORE_OK);
    assert_int_equal(uid, 1);
    assert_int_equal(view_open(f->mb, "INBOX", false, &v), STORE_OK);
    assert_int_equal(v->uidvalidity, uidvalidity);
    struct message m = get(f, v, 1);
    assert_int_equal(m.size, 14);
    assert_int_equal(m.date, 86400);
    assert_int_equal(m.keywords, 1);
    assert_int_equal(mailbox_create(f->mb, "D"), STORE_OK);
    assert_int_equal(mailbox_copy(f->mb, v, &uid, 1, "D", false, &r), STORE_OK);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.to[0], 1);
    copy_result_free(&r);
    assert_int_equal(mailbox_copy(f->mb, v, &uid, 1, "D", true, &r), STORE_OK);
    assert_int_equal(r.to[0], 2);
    copy_result_free(&r);
    assert_int_equal(view_refresh(f->mb, v, true, &c), STORE_OK);
    assert_int_equal(c.expunged_n, 1);
    assert_int_equal(v->n, 0);
    view_changes_free(&c);
    assert_int_equal(view_open(f->mb, "D", true, &w), STORE_OK);
    assert_int_equal(w->n, 2);
    assert_int_equal(get(f, w, 2).date, 86400);
    assert_int_equal(get(f, w, 1).keywords, 1);
    assert_int_equal(mailbox_copy(f->mb, w, w->uids, 2, "None", false, &r), STORE_ABSENT);
    struct mail_read *read = mail_read_begin(f->mb, w);
    int fd = mail_read_open(read, 2);
    assert_true(fd >= 0);
    char text[32] = "";
    assert_int_equal(pread(fd, text, sizeof(text), 0), 14);
    assert_memory_equal(text, "A: 1\r\n\r\nbody\r\n", 14);
    close(fd);
    mail_read_end(&read);
    view_free(&v);
    view_free(&w);
    assert_int_equal(mailbox_rename(f->mb, "INBOX", "Old"), STORE_OK);
}

static void test_structures_are_kept(void **state)
{
    struct fixture *f = *state;
    struct view *v;
    struct message_structure s = {"(env)", 5, "(body)", 6, "(structure)", 11}, back;
    uint32_t uids[2] = {1, 7};
    struct message_structure two[2] = {s, s};
    deliver(f, "new", "1.aR0", "A: 1\r\n\r\n");
    assert_int_equal(view_open(f->mb, "INBOX", false, &v), STORE_OK);
    assert_int_equal(mailbox_keep_structures(f->mb, v, uids, two, 2), STORE_OK);
    struct mail_read *r = mail_read_begin(f->mb, v);
    assert_int_equal(mail_read_structure(r, 1, &back), 1);
    assert_int_equal(back.bodystructure_len, 11);
    assert_memory_equal(back.body, "(body)", 6);
    assert_int_equal(mail_read_structure(r, 7, &back), 0);
    mail_read_end(&r);
    view_free(&v);
}

static void test_a_lost_index_is_built_again(void **state)
{
    struct fixture *f = *state;
    struct view *v;
    deliver(f, "new", "1.aR0", "A: 1\r\n\r\n");
    deliver(f, "cur", "2.a:2,S", "A: 1\r\n\r\n");
    assert_int_equal(view_open(f->mb, "INBOX", false, &v), STORE_OK);
    view_free(&v);
    mailbox_release(&f->mb);
    char *path = mem_printf("%s/index/data.mdb", f->owner_dir);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "garbage, not a database at all....", 34), 34);
    close(fd);
    free(path);
    f->mb = mailbox_open(f->store, &f->owner);
    assert_int_equal(view_open(f->mb, "INBOX", false, &v), STORE_OK);
    assert_int_equal(v->n, 2);
    assert_int_equal(get(f, v, 2).flags, MESSAGE_SEEN);
    view_free(&v);
}

static void test_a_full_new_is_emptied_into_cur(void **state)
{
    struct fixture *f = *state;
    struct view *v;
    struct view_changes c;
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%d.xR0", 1000 + i);
        deliver(f, "new", name, "A: 1\r\n\r\n");
    }
    assert_int_equal(view_open(f->mb, "INBOX", false, &v), STORE_OK);
    assert_int_equal(v->n, 300);
    assert_true(exists(f, "cur/1299.xR0:2,"));
    assert_int_equal(view_refresh(f->mb, v, true, &c), STORE_OK);
    assert_int_equal(c.expunged_n + c.flags_n, 0);
    view_changes_free(&c);
    view_free(&v);
}

static void test_modified_utf7(void **state)
{
    (void)state;
    static const struct {
        const char *utf7, *utf8;
    } good[] = {{"INBOX", "INBOX"},
                {"~peter.mail.&U,BTFw-.&ZeVnLIqe-", "~peter.mail.台北.日本語"},
                {"&-", "&"},
                {"A&-B&-", "A&B&"},
                {"Entw&APw-rfe", "Entwürfe"},
                {"&2D3eAA-", "\xf0\x9f\x98\x80"},
                {"&AOQ-&-&AOQ-", "ä&ä"}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct buf out = {0};
        assert_int_equal(utf7_decode(good[i].utf7, &out), 0);
        assert_string_equal(buf_str(&out), good[i].utf8);
        buf_clear(&out);
        assert_int_equal(utf7_encode(good[i].utf8, &out), 0);
        assert_string_equal(buf_str(&out), good[i].utf7);
        buf_free(&out);
    }
    static const char *const bad[] = {"&",     "&A",       "&AGE-",  "&AOQ",  "\xc3\xa4",
                                      "&2D0-", "&3gDYPQ-", "&AOR-",  "&AAA-", "&AOQ-&AOQ-",
                                      "a&b",   "&A-",      "&AOQA-", "&!-"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct buf out = {0};
        if (utf7_decode(bad[i], &out) != -1)
            fail_msg("%s was taken", bad[i]);
        buf_free(&out);
    }
    assert_true(folder_name_valid("Sent Mail"));
    assert_false(folder_name_valid("a/b"));
    assert_false(folder_name_valid(".a"));
    assert_false(folder_name_valid("a."));
    assert_false(folder_name_valid("&AAo-"));
    assert_string_equal(folder_name_canonical("inBox"), "INBOX");
}

int main(void)
{
#define STORE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_a_new_mailbox_opens_read_only),
        STORE_TEST(test_arrivals_get_uids_in_order),
        STORE_TEST(test_flags_are_in_the_name_and_keywords_in_the_index),
        STORE_TEST(test_other_programs_are_followed),
        STORE_TEST(test_removals_wait_until_they_may_be_told),
        STORE_TEST(test_folders),
        STORE_TEST(test_append_copy_move),
        STORE_TEST(test_structures_are_kept),
        STORE_TEST(test_a_lost_index_is_built_again),
        STORE_TEST(test_a_full_new_is_emptied_into_cur),
        cmocka_unit_test(test_modified_utf7),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

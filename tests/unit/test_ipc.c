/* Messages and channels: every field type, malformed frames, time-outs, a service that goes and
 * comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/ipc/channel.h"
#include "gateway/ipc/frame.h"

static void test_fields_come_back(void **state)
{
    (void)state;
    struct uuid u = {{1, 2, 3}}, v;
    struct netaddr a = {.family = 4, .bytes = {127, 0, 0, 1}, .port = 25}, b;
    struct msg *m = msg_new(7);
    msg_put_u8(m, 200);
    msg_put_u32(m, 4000000000u);
    msg_put_u64(m, UINT64_MAX);
    msg_put_bool(m, true);
    msg_put_str(m, NULL);
    msg_put_str(m, "");
    msg_put_str(m, "text");
    msg_put_bytes(m, "a\0b", 3);
    msg_put_uuid(m, &u);
    msg_put_addr(m, &a);
    struct msg *r = msg_reread(m);
    size_t len;
    assert_int_equal(msg_get_u8(r), 200);
    assert_int_equal(msg_get_u32(r), 4000000000u);
    assert_true(msg_get_u64(r) == UINT64_MAX);
    assert_true(msg_get_bool(r));
    assert_null(msg_get_str(r));
    assert_string_equal(msg_get_str(r), "");
    assert_string_equal(msg_get_str(r), "text");
    assert_memory_equal(msg_get_bytes(r, &len), "a\0b", 3);
    assert_int_equal(len, 3);
    v = msg_get_uuid(r);
    assert_true(uuid_eq(&u, &v));
    b = msg_get_addr(r);
    assert_int_equal(b.port, 25);
    assert_int_equal(msg_end(r), 0);
    assert_int_equal(msg_get_u8(r), 0);
    assert_int_equal(msg_end(r), -1);
    msg_free(&r);
    msg_free(&m);
}

static void test_every_cut_is_bad(void **state)
{
    (void)state;
    struct msg *m = msg_new(7);
    msg_put_str(m, "text");
    msg_put_bytes(m, "abc", 3);
    msg_put_u32(m, 9);
    for (size_t cut = 0; cut < m->out.len; cut++) {
        struct frame_header h = {.len = (uint32_t)cut, .type = 7};
        struct msg r;
        size_t len;
        uint8_t *exact = mem_alloc(cut);
        memcpy(exact, m->out.data, cut);
        msg_view(&r, &h, exact);
        msg_get_str(&r);
        msg_get_bytes(&r, &len);
        msg_get_u32(&r);
        assert_int_equal(msg_end(&r), -1);
        free(exact);
    }
    msg_free(&m);
}

static void test_too_large_is_marked(void **state)
{
    (void)state;
    struct msg *m = msg_new(7);
    char *big = mem_zalloc(MSG_BODY_MAX);
    msg_put_bytes(m, big, MSG_BODY_MAX);
    assert_true(msg_full(m));
    free(big);
    msg_free(&m);
}

/* ---- a service ---- */

struct fixture {
    struct loop *loop;
    char path[64];
    struct ipc_server *server;
    struct ipc_client *client;
    int answers, ok, unavailable, timeouts, gone, requests, connected, lost;
    int fd;
    char text[64];
    bool silent;
};

enum {
    TEST_ECHO = 1,
    TEST_FD,
    TEST_BAD
};

static int on_request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    struct fixture *f = arg;
    f->requests++;
    if (f->silent)
        return 0;
    if (msg_type(m) == TEST_FD) {
        int fd = msg_get_fd(m);
        if (msg_end(m) != 0)
            return -1;
        struct msg *reply = msg_new(TEST_FD);
        msg_put_fd(reply, fd);
        ipc_reply(peer, msg_id(m), &reply);
        return 0;
    }
    const char *s = msg_get_str(m);
    if (msg_end(m) != 0 || s == NULL)
        return -1;
    struct msg *reply = msg_new(TEST_ECHO);
    msg_put_str(reply, s);
    ipc_reply(peer, msg_id(m), &reply);
    return 0;
}

static void on_gone(struct ipc_peer *peer, void *arg)
{
    struct fixture *f = arg;
    (void)peer;
    f->gone++;
}

static const struct ipc_server_ops server_ops = {.request = on_request, .gone = on_gone};

static int on_answer(enum ipc_status status, struct msg *reply, void *arg)
{
    struct fixture *f = arg;
    f->answers++;
    f->ok += status == IPC_OK;
    f->unavailable += status == IPC_UNAVAILABLE;
    f->timeouts += status == IPC_TIMEOUT;
    loop_stop(f->loop);
    if (reply == NULL)
        return 0;
    if (msg_type(reply) == TEST_FD) {
        f->fd = msg_get_fd(reply);
        return msg_end(reply);
    }
    const char *s = msg_get_str(reply);
    if (msg_end(reply) != 0)
        return -1;
    strlcpy(f->text, s, sizeof(f->text));
    return 0;
}

static void on_state(bool connected, void *arg)
{
    struct fixture *f = arg;
    f->connected += connected;
    f->lost += !connected;
}

static int listen_at(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    strlcpy(un.sun_path, path, sizeof(un.sun_path));
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 10), 0);
    return fd;
}

static void serve(struct fixture *f)
{
    f->server = ipc_server_new(f->loop, listen_at(f->path), "test", 3, &server_ops, f);
}

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->fd = -1;
    f->loop = loop_new();
    snprintf(f->path, sizeof(f->path), "/tmp/dirigo-test-%d.sock", (int)getpid());
}

static void teardown(struct fixture *f)
{
    ipc_client_free(&f->client);
    ipc_server_free(&f->server);
    loop_free(&f->loop);
    unlink(f->path);
}

static void ask(struct fixture *f, uint16_t type, const char *text, int64_t timeout)
{
    struct msg *m = msg_new(type);
    if (text != NULL)
        msg_put_str(m, text);
    ipc_request(f->client, &m, timeout, on_answer, f);
    assert_null(m);
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

static void run_for(struct loop *loop, int64_t ms)
{
    struct timer *t = timer_new(loop, stop_loop, loop);
    timer_set(t, ms);
    loop_run(loop);
    timer_free(&t);
}

static void wait_answers(struct fixture *f, int count)
{
    while (f->answers < count)
        loop_run(f->loop);
}

static void test_requests_before_the_service_is_there(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    unlink(f.path);
    f.client = ipc_client_new(f.loop, f.path, "test", 3);
    ipc_client_on_state(f.client, on_state, &f);
    ask(&f, TEST_ECHO, "early", 5000);
    run_for(f.loop, 20);
    assert_int_equal(f.answers, 0);
    serve(&f);
    wait_answers(&f, 1);
    assert_int_equal(f.ok, 1);
    assert_string_equal(f.text, "early");
    assert_int_equal(f.connected, 1);
    for (int i = 0; i < 1000; i++)
        ask(&f, TEST_ECHO, "many", 5000);
    wait_answers(&f, 1001);
    assert_int_equal(f.ok, 1001);
    /* The service goes with requests under way: each is answered once, and the client finds the
     * next one. */
    f.silent = true;
    ask(&f, TEST_ECHO, "lost", 5000);
    ask(&f, TEST_ECHO, "lost", 5000);
    while (f.requests < 1003)
        run_for(f.loop, 5);
    ipc_server_free(&f.server);
    assert_int_equal(f.gone, 1);
    wait_answers(&f, 1003);
    assert_int_equal(f.unavailable, 2);
    assert_int_equal(f.lost, 1);
    f.silent = false;
    serve(&f);
    ask(&f, TEST_ECHO, "again", 5000);
    wait_answers(&f, 1004);
    assert_string_equal(f.text, "again");
    teardown(&f);
}

static void test_time_out_and_cancel(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    serve(&f);
    f.client = ipc_client_new(f.loop, f.path, "test", 3);
    f.silent = true;
    ask(&f, TEST_ECHO, "slow", 30);
    wait_answers(&f, 1);
    assert_int_equal(f.timeouts, 1);
    struct msg *m = msg_new(TEST_ECHO);
    msg_put_str(m, "x");
    uint32_t id = ipc_request(f.client, &m, 30, on_answer, &f);
    assert_int_not_equal(id, 0);
    ipc_cancel(f.client, id);
    run_for(f.loop, 80);
    assert_int_equal(f.answers, 1);
    /* Freeing the client answers what is outstanding. */
    ask(&f, TEST_ECHO, "y", 5000);
    ipc_client_free(&f.client);
    assert_int_equal(f.unavailable, 1);
    teardown(&f);
}

static void test_descriptors_travel(void **state)
{
    struct fixture f;
    int fds[2];
    (void)state;
    setup(&f);
    serve(&f);
    f.client = ipc_client_new(f.loop, f.path, "test", 3);
    assert_int_equal(pipe(fds), 0);
    ask(&f, TEST_ECHO, "before", 5000);
    struct msg *m = msg_new(TEST_FD);
    msg_put_fd(m, fds[1]);
    ipc_request(f.client, &m, 5000, on_answer, &f);
    ask(&f, TEST_ECHO, "behind", 5000);
    wait_answers(&f, 3);
    assert_int_equal(f.ok, 3);
    assert_true(f.fd >= 0);
    char c;
    assert_int_equal(write(f.fd, "p", 1), 1);
    assert_int_equal(read(fds[0], &c, 1), 1);
    close(f.fd);
    /* No copy of the writing end is left in the messages. */
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(read(fds[0], &c, 1), 0);
    close(fds[0]);
    teardown(&f);
}

static void test_malformed_closes_the_channel(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    serve(&f);
    f.client = ipc_client_new(f.loop, f.path, "test", 3);
    ask(&f, TEST_BAD, NULL, 5000);
    wait_answers(&f, 1);
    assert_int_equal(f.unavailable, 1);
    assert_int_equal(f.gone, 1);
    ask(&f, TEST_ECHO, "fresh", 5000);
    wait_answers(&f, 2);
    assert_string_equal(f.text, "fresh");
    teardown(&f);
}

static void test_another_version_is_turned_away(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    serve(&f);
    f.client = ipc_client_new(f.loop, f.path, "test", 4);
    ask(&f, TEST_ECHO, "x", 200);
    wait_answers(&f, 1);
    assert_int_equal(f.timeouts, 1);
    assert_int_equal(f.requests, 0);
    teardown(&f);
}

/* Raw bytes, whole and one by one, against a server: it never answers nonsense and never dies. */
static void send_raw(struct fixture *f, const uint8_t *data, size_t len, bool by_byte)
{
    int fd = ipc_connect(f->path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < len; i += by_byte ? 1 : len) {
        if (send(fd, data + i, by_byte ? 1 : len, MSG_NOSIGNAL) < 0)
            break;
        run_for(f->loop, by_byte ? 1 : 5);
    }
    run_for(f->loop, 5);
    close(fd);
    run_for(f->loop, 5);
}

static void test_raw_frames(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f);
    serve(&f);
    struct buf good = {0};
    uint8_t header[FRAME_HEADER_SIZE];
    struct msg *hello = hello_new("test", 3), *echo = msg_new(TEST_ECHO);
    msg_put_str(echo, "raw");
    frame_header_put(
        header, &(struct frame_header){.len = (uint32_t)hello->out.len, .type = FRAME_TYPE_HELLO});
    buf_append(&good, header, sizeof(header));
    buf_append(&good, hello->out.data, hello->out.len);
    frame_header_put(
        header, &(struct frame_header){.len = (uint32_t)echo->out.len, .type = TEST_ECHO, .id = 5});
    buf_append(&good, header, sizeof(header));
    buf_append(&good, echo->out.data, echo->out.len);
    for (int by_byte = 0; by_byte < 2; by_byte++) {
        int before = f.requests;
        send_raw(&f, good.data, good.len, by_byte);
        assert_int_equal(f.requests, before + 1);
    }
    int before = f.requests;
    good.data[7] = 1; /* a reserved byte of the first header */
    send_raw(&f, good.data, good.len, false);
    good.data[7] = 0;
    good.data[3] = 0x7f; /* a body of two gigabytes */
    send_raw(&f, good.data, good.len, false);
    good.data[3] = 0;
    good.data[6] = 2; /* descriptors that did not come */
    send_raw(&f, good.data, good.len, false);
    assert_int_equal(f.requests, before);
    msg_free(&hello);
    msg_free(&echo);
    buf_free(&good);
    teardown(&f);
}

static void test_who_says_no_hello_is_closed(void **state)
{
    struct fixture f;
    char byte;
    (void)state;
    setup(&f);
    serve(&f);
    ipc_server_set_hello_timeout(f.server, 50);
    int fd = ipc_connect(f.path);
    assert_true(fd >= 0);
    run_for(f.loop, 10);
    while (recv(fd, &byte, 1, MSG_DONTWAIT) == 1)
        continue; /* the server's hello */
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    run_for(f.loop, 100);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
    assert_int_equal(f.gone, 0);
    close(fd);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_come_back),
        cmocka_unit_test(test_every_cut_is_bad),
        cmocka_unit_test(test_too_large_is_marked),
        cmocka_unit_test(test_requests_before_the_service_is_there),
        cmocka_unit_test(test_time_out_and_cancel),
        cmocka_unit_test(test_descriptors_travel),
        cmocka_unit_test(test_malformed_closes_the_channel),
        cmocka_unit_test(test_another_version_is_turned_away),
        cmocka_unit_test(test_raw_frames),
        cmocka_unit_test(test_who_says_no_hello_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

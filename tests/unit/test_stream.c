/* Loop, workers and streams on socket pairs: clear text, TLS, splices, time-outs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/event/loop.h"
#include "gateway/event/stream.h"
#include "gateway/event/worker.h"

/* One end under test: what it heard, in order. */
struct end {
    struct loop *loop;
    struct stream *stream;
    struct buf heard;
    int closed; /* 1 + enum stream_end */
    bool secured, drained, free_on_input;
    size_t stop_at; /* the loop stops when so much was heard */
};

static void end_input(struct stream *s, void *arg)
{
    struct end *e = arg;
    size_t len;
    const void *data = stream_peek(s, &len);
    buf_append(&e->heard, data, len);
    stream_consume(s, len);
    if (e->free_on_input)
        stream_free(&e->stream);
    if (e->stop_at > 0 && e->heard.len >= e->stop_at)
        loop_stop(e->loop);
}

static void end_drained(struct stream *s, void *arg)
{
    struct end *e = arg;
    (void)s;
    e->drained = true;
}

static void end_secured(struct stream *s, void *arg)
{
    struct end *e = arg;
    (void)s;
    e->secured = true;
}

static void end_closed(struct stream *s, enum stream_end why, void *arg)
{
    struct end *e = arg;
    (void)s;
    e->closed = 1 + (int)why;
    loop_stop(e->loop);
}

static const struct stream_ops end_ops = {
    .input = end_input, .drained = end_drained, .secured = end_secured, .closed = end_closed};

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

/* Waits for what has to come, however busy the machine is: 10 s at most. */
static void wait_heard(struct end *e, size_t len)
{
    for (int i = 0; i < 1000 && e->heard.len < len; i++)
        run_for(e->loop, 10);
}

static void wait_secured(const struct end *a, const struct end *b)
{
    for (int i = 0; i < 1000 && !(a->secured && b->secured); i++)
        run_for(a->loop, 10);
}

static void ends_open(struct loop *loop, struct end *a, struct end *b)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    *a = (struct end){.loop = loop};
    *b = (struct end){.loop = loop};
    a->stream = stream_new(loop, fds[0], &end_ops, a);
    b->stream = stream_new(loop, fds[1], &end_ops, b);
}

static void ends_close(struct end *a, struct end *b)
{
    stream_free(&a->stream);
    stream_free(&b->stream);
    buf_free(&a->heard);
    buf_free(&b->heard);
}

static void test_bytes_cross_and_end(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct end a, b;
    ends_open(loop, &a, &b);
    stream_printf(a.stream, "hello %d", 7);
    b.stop_at = 7;
    loop_run(loop);
    assert_string_equal(buf_str(&b.heard), "hello 7");
    run_for(loop, 10);
    assert_true(a.drained);
    b.stop_at = 0;
    stream_write(a.stream, " bye", 4);
    stream_finish(&a.stream);
    assert_null(a.stream);
    loop_run(loop);
    assert_int_equal(b.closed, 1 + STREAM_EOF);
    assert_string_equal(buf_str(&b.heard), "hello 7 bye");
    ends_close(&a, &b);
    loop_free(&loop);
}

static void test_stream_freed_in_its_callback(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct end a, b;
    ends_open(loop, &a, &b);
    b.free_on_input = true;
    b.stop_at = 1;
    stream_write(a.stream, "x", 1);
    loop_run(loop);
    assert_null(b.stream);
    loop_run(loop);
    assert_int_not_equal(a.closed, 0);
    ends_close(&a, &b);
    loop_free(&loop);
}

static void test_timeout_and_pause(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct end a, b;
    ends_open(loop, &a, &b);
    stream_pause(b.stream);
    stream_write(a.stream, "wait", 4);
    run_for(loop, 30);
    assert_int_equal(b.heard.len, 0);
    stream_resume(b.stream);
    wait_heard(&b, 4);
    assert_string_equal(buf_str(&b.heard), "wait");
    stream_set_timeout(b.stream, 30);
    loop_run(loop);
    assert_int_equal(b.closed, 1 + STREAM_TIMEOUT);
    ends_close(&a, &b);
    loop_free(&loop);
}

static void test_detach_gives_unread_input(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct end a, b;
    struct buf left = {0};
    int fds[2];
    ends_open(loop, &a, &b);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    stream_free(&b.stream);
    assert_int_equal(write(fds[1], "abc", 3), 3);
    b.stream = stream_new(loop, fds[0], &end_ops, &b);
    stream_set_ops(b.stream, &(const struct stream_ops){.closed = end_closed}, &b);
    run_for(loop, 20);
    int fd = stream_detach(&b.stream, &left);
    assert_int_equal(fd, fds[0]);
    assert_null(b.stream);
    assert_string_equal(buf_str(&left), "abc");
    assert_int_equal(write(fd, "z", 1), 1);
    close(fd);
    close(fds[1]);
    buf_free(&left);
    ends_close(&a, &b);
    loop_free(&loop);
}

/* ---- TLS ---- */

static char cert_path[64], key_path[64];

static int make_certificate(void **state)
{
    (void)state;
    char command[512];
    snprintf(cert_path, sizeof(cert_path), "/tmp/dirigo-test-%d-cert.pem", (int)getpid());
    snprintf(key_path, sizeof(key_path), "/tmp/dirigo-test-%d-key.pem", (int)getpid());
    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "
             "/CN=localhost "
             "-addext subjectAltName=DNS:localhost -out %s -keyout %s 2>/dev/null",
             cert_path, key_path);
    return system(command);
}

static int remove_certificate(void **state)
{
    (void)state;
    unlink(cert_path);
    unlink(key_path);
    return 0;
}

static void test_starttls_drops_injected_clear_text(void **state)
{
    (void)state;
    char *error = NULL;
    struct tls_context *server = tls_server_new(cert_path, key_path, &error);
    struct tls_context *client = tls_client_new(TLS_VERIFY_PEER, cert_path, NULL, NULL, &error);
    assert_non_null(server);
    assert_non_null(client);
    struct loop *loop = loop_new();
    struct end a, b;
    ends_open(loop, &a, &b);
    /* b is the server: the client sends STARTTLS and, in the same packet, a command of its own. */
    stream_pause(b.stream);
    stream_write(a.stream, "STARTTLS\r\nEVIL\r\n", 16);
    run_for(loop, 20);
    stream_resume(b.stream);
    stream_set_ops(b.stream,
                   &(const struct stream_ops){.closed = end_closed, .secured = end_secured}, &b);
    size_t len = 0, dropped = 0;
    for (int i = 0; i < 1000 && len < 16; i++) {
        run_for(loop, 10);
        stream_peek(b.stream, &len);
    }
    assert_int_equal(len, 16);
    stream_consume(b.stream, 10);
    stream_write(b.stream, "220 go\r\n", 8);
    stream_start_tls_server(b.stream, server, &dropped);
    assert_int_equal(dropped, 6);
    stream_set_ops(b.stream, &end_ops, &b);
    a.stop_at = 8;
    loop_run(loop);
    assert_string_equal(buf_str(&a.heard), "220 go\r\n");
    stream_start_tls_client(a.stream, client, "localhost");
    wait_secured(&a, &b);
    assert_true(a.secured);
    assert_true(b.secured);
    assert_true(stream_is_tls(b.stream));
    struct buf ours = {0}, theirs = {0};
    const char *name;
    assert_int_equal(stream_tls_binding(a.stream, &name, &ours), 0);
    assert_int_equal(stream_tls_binding(b.stream, &name, &theirs), 0);
    assert_string_equal(name, "tls-exporter");
    assert_memory_equal(ours.data, theirs.data, 32);
    buf_free(&ours);
    buf_free(&theirs);
    stream_write(a.stream, "secret", 6);
    b.stop_at = 6;
    loop_run(loop);
    assert_string_equal(buf_str(&b.heard), "secret");
    stream_finish(&a.stream);
    b.closed = 0;
    loop_run(loop);
    assert_int_equal(b.closed, 1 + STREAM_EOF);
    ends_close(&a, &b);
    loop_free(&loop);
    tls_context_free(&server);
    tls_context_free(&client);
}

static void test_tls_client_refuses_another_name(void **state)
{
    (void)state;
    char *error = NULL;
    struct tls_context *server = tls_server_new(cert_path, key_path, &error);
    struct tls_context *client = tls_client_new(TLS_VERIFY_PEER, cert_path, NULL, NULL, &error);
    struct loop *loop = loop_new();
    struct end a, b;
    ends_open(loop, &a, &b);
    stream_start_tls_server(b.stream, server, NULL);
    stream_start_tls_client(a.stream, client, "other.example.org");
    for (int i = 0; i < 200 && a.closed == 0; i++)
        run_for(loop, 50);
    assert_int_equal(a.closed, 1 + STREAM_TLS_ERROR);
    assert_non_null(strstr(stream_error(a.stream), "ostname"));
    ends_close(&a, &b);
    loop_free(&loop);
    tls_context_free(&server);
    tls_context_free(&client);
}

static void test_tls_errors_name_the_file(void **state)
{
    (void)state;
    char *error = NULL;
    assert_null(tls_server_new("/nonexistent/cert.pem", key_path, &error));
    assert_non_null(strstr(error, "/nonexistent/cert.pem"));
    free(error);
}

static void test_nothing_leaves_in_clear_after_starttls(void **state)
{
    (void)state;
    char *error = NULL;
    struct tls_context *server = tls_server_new(cert_path, key_path, &error);
    struct tls_context *client = tls_client_new(TLS_VERIFY_NONE, cert_path, NULL, NULL, &error);
    struct loop *loop = loop_new();
    struct end a, b;
    /* Written before the loop could begin the handshake, with and without a reply in clear. */
    for (int reply = 0; reply < 2; reply++) {
        ends_open(loop, &a, &b);
        if (reply)
            stream_write(b.stream, "220", 3);
        stream_start_tls_server(b.stream, server, NULL);
        stream_write(b.stream, "secret", 6);
        assert_int_equal(stream_pending(b.stream), reply ? 9 : 6);
        wait_heard(&a, reply ? 3 : 0);
        run_for(loop, 30);
        assert_string_equal(buf_str(&a.heard), reply ? "220" : "");
        stream_start_tls_client(a.stream, client, NULL);
        wait_heard(&a, reply ? 9 : 6);
        assert_string_equal(buf_str(&a.heard), reply ? "220secret" : "secret");
        ends_close(&a, &b);
    }
    /* And dropped with the stream. */
    ends_open(loop, &a, &b);
    stream_start_tls_server(b.stream, server, NULL);
    stream_printf(b.stream, "%s", "secret");
    ends_close(&a, &b);
    loop_free(&loop);
    tls_context_free(&server);
    tls_context_free(&client);
}

static void test_handshake_times_out(void **state)
{
    (void)state;
    char *error = NULL;
    struct tls_context *server = tls_server_new(cert_path, key_path, &error);
    struct loop *loop = loop_new();
    struct end a, b;
    ends_open(loop, &a, &b);
    stream_set_timeout(b.stream, 50);
    stream_start_tls_server(b.stream, server, NULL);
    loop_run(loop);
    assert_int_equal(b.closed, 1 + STREAM_TIMEOUT);
    ends_close(&a, &b);
    /* A peer that speaks no TLS, and one that goes away. */
    ends_open(loop, &a, &b);
    stream_start_tls_server(b.stream, server, NULL);
    stream_write(a.stream, "EHLO there\r\n", 12);
    loop_run(loop);
    assert_int_equal(b.closed, 1 + STREAM_TLS_ERROR);
    ends_close(&a, &b);
    ends_open(loop, &a, &b);
    stream_start_tls_server(b.stream, server, NULL);
    stream_free(&a.stream);
    loop_run(loop);
    assert_int_equal(b.closed, 1 + STREAM_TLS_ERROR);
    ends_close(&a, &b);
    loop_free(&loop);
    tls_context_free(&server);
}

static void test_tls_byte_by_byte(void **state)
{
    (void)state;
    char *error = NULL;
    struct tls_context *server = tls_server_new(cert_path, key_path, &error);
    struct tls_context *client = tls_client_new(TLS_VERIFY_PEER, cert_path, NULL, NULL, &error);
    struct loop *loop = loop_new();
    struct end a, b;
    ends_open(loop, &a, &b);
    stream_start_tls_server(b.stream, server, NULL);
    stream_start_tls_client(a.stream, client, "localhost");
    wait_secured(&a, &b);
    assert_true(a.secured && b.secured);
    for (size_t i = 0; i < 100; i++) {
        stream_write(a.stream, "x", 1);
        b.stop_at = i + 1;
        loop_run(loop);
    }
    assert_int_equal(b.heard.len, 100);
    /* Much at once, against a reader that stops now and then. */
    size_t size = 1 << 20;
    char *data = mem_zalloc(size);
    stream_write(a.stream, data, size);
    while (b.heard.len < 100 + size) {
        stream_pause(b.stream);
        run_for(loop, 1);
        b.stop_at = b.heard.len + 1;
        stream_resume(b.stream);
        loop_run(loop);
    }
    assert_int_equal(b.heard.len, 100 + size);
    free(data);
    ends_close(&a, &b);
    loop_free(&loop);
    tls_context_free(&server);
    tls_context_free(&client);
}

static void test_encrypted_key_is_an_error(void **state)
{
    (void)state;
    char command[512], path[64], *error = NULL;
    snprintf(path, sizeof(path), "/tmp/dirigo-test-%d-locked.pem", (int)getpid());
    snprintf(command, sizeof(command), "openssl pkey -in %s -aes256 -passout pass:x -out %s",
             key_path, path);
    assert_int_equal(system(command), 0);
    assert_null(tls_server_new(cert_path, path, &error));
    assert_non_null(strstr(error, path));
    free(error);
    unlink(path);
}

/* ---- time-outs and splices ---- */

static void test_sending_is_not_idle(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct end a, b;
    ends_open(loop, &a, &b);
    size_t size = 4 << 20;
    char *data = mem_zalloc(size);
    stream_set_timeout(a.stream, 1000);
    stream_write(a.stream, data, size);
    /* The reader takes some every 60 ms and never says a word. */
    for (int i = 0; i < 18; i++) {
        stream_resume(b.stream);
        b.stop_at = b.heard.len + 200000;
        loop_run(loop);
        stream_pause(b.stream);
        b.stop_at = 0;
        run_for(loop, 60);
        assert_int_equal(a.closed, 0);
    }
    assert_true(stream_pending(a.stream) > 0);
    /* One that takes nothing any more is. */
    loop_run(loop);
    assert_int_equal(a.closed, 1 + STREAM_TIMEOUT);
    free(data);
    ends_close(&a, &b);
    loop_free(&loop);
}

struct splice_state {
    struct loop *loop;
    bool done;
};

static void splice_done(void *arg)
{
    struct splice_state *s = arg;
    s->done = true;
    loop_stop(s->loop);
}

static void test_splice_carries_much_and_ends(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct end a, b, c, d;
    struct splice_state done = {.loop = loop};
    ends_open(loop, &a, &b);
    ends_open(loop, &c, &d);
    stream_splice(&b.stream, &c.stream, splice_done, &done);
    assert_null(b.stream);
    size_t size = 3 << 20;
    unsigned char *data = mem_alloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(i * 7 >> 3);
    stream_write(a.stream, data, size);
    d.stop_at = size;
    loop_run(loop);
    assert_int_equal(d.heard.len, size);
    assert_memory_equal(d.heard.data, data, size);
    stream_write(d.stream, "back", 4);
    stream_finish(&d.stream);
    while (!done.done)
        loop_run(loop);
    for (int i = 0; i < 200 && a.closed == 0; i++)
        run_for(loop, 20);
    assert_string_equal(buf_str(&a.heard), "back");
    assert_int_equal(a.closed, 1 + STREAM_EOF);
    free(data);
    ends_close(&a, &b);
    ends_close(&c, &d);
    loop_free(&loop);
}

/* ---- workers ---- */

struct work {
    struct loop *loop;
    int ran, done;
};

static void work_run(void *arg)
{
    struct work *w = arg;
    __atomic_fetch_add(&w->ran, 1, __ATOMIC_SEQ_CST);
}

static void work_done(void *arg)
{
    struct work *w = arg;
    if (++w->done == 100)
        loop_stop(w->loop);
}

static void test_workers(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct worker_pool *pool = worker_pool_new(loop, 3);
    struct work w = {.loop = loop};
    for (int i = 0; i < 100; i++)
        worker_run(pool, work_run, work_done, &w);
    loop_run(loop);
    assert_int_equal(w.done, 100);
    assert_int_equal(worker_pending(pool), 0);
    for (int i = 0; i < 50; i++)
        worker_run(pool, work_run, work_done, &w);
    worker_pool_free(&pool);
    assert_int_equal(w.ran, 150);
    assert_int_equal(w.done, 150);
    loop_free(&loop);
}

static void test_timers_repeat_and_stop(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct work w = {.loop = loop, .done = 0};
    struct timer *t = timer_new(loop, work_done, &w);
    timer_repeat(t, 1);
    for (int i = 0; i < 200 && w.done < 5; i++)
        run_for(loop, 20);
    assert_true(w.done >= 5);
    timer_stop(t);
    int before = w.done;
    run_for(loop, 20);
    assert_int_equal(w.done, before);
    assert_false(timer_pending(t));
    timer_set(t, 1);
    for (int i = 0; i < 200 && w.done == before; i++)
        run_for(loop, 20);
    assert_int_equal(w.done, before + 1);
    timer_free(&t);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_cross_and_end),
        cmocka_unit_test(test_stream_freed_in_its_callback),
        cmocka_unit_test(test_timeout_and_pause),
        cmocka_unit_test(test_detach_gives_unread_input),
        cmocka_unit_test(test_starttls_drops_injected_clear_text),
        cmocka_unit_test(test_tls_client_refuses_another_name),
        cmocka_unit_test(test_tls_errors_name_the_file),
        cmocka_unit_test(test_nothing_leaves_in_clear_after_starttls),
        cmocka_unit_test(test_handshake_times_out),
        cmocka_unit_test(test_tls_byte_by_byte),
        cmocka_unit_test(test_encrypted_key_is_an_error),
        cmocka_unit_test(test_sending_is_not_idle),
        cmocka_unit_test(test_splice_carries_much_and_ends),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_timers_repeat_and_stop),
    };
    return cmocka_run_group_tests(tests, make_certificate, remove_certificate);
}

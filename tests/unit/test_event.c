/* The loop's sources of events, listeners, and streams that connect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/event/listener.h"
#include "gateway/event/loop.h"
#include "gateway/event/stream.h"

struct seen {
    struct loop *loop;
    struct listener *listener;
    struct watch *watch;
    int count, last, stop_at;
    bool free_listener;
    int fds[8];
};

static void count_one(struct seen *s)
{
    if (++s->count == s->stop_at)
        loop_stop(s->loop);
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

static void wait_count(struct seen *s, int count)
{
    for (int i = 0; i < 1000 && s->count < count; i++)
        run_for(s->loop, 10);
    assert_int_equal(s->count, count);
}

/* ---- posts, descriptors, signals ---- */

static void on_post(void *arg)
{
    count_one(arg);
}

static void on_post_again(void *arg)
{
    struct seen *s = arg;
    count_one(s);
    loop_post(s->loop, on_post, s);
}

static void *post_many(void *arg)
{
    struct seen *s = arg;
    for (int i = 0; i < 1000; i++)
        loop_post(s->loop, on_post, s);
    return NULL;
}

static void test_posts_from_threads(void **state)
{
    (void)state;
    struct seen s = {.loop = loop_new(), .stop_at = 4002};
    pthread_t threads[4];
    loop_post(s.loop, on_post_again, &s);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &s), 0);
    loop_run(s.loop);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(s.count, 4002);
    /* What is posted and not yet run runs when the loop goes. */
    loop_post(s.loop, on_post, &s);
    loop_free(&s.loop);
    assert_int_equal(s.count, 4003);
    loop_free(&s.loop);
}

static void on_ready(int ready, void *arg)
{
    struct seen *s = arg;
    s->last = ready;
    count_one(s);
    watch_set(s->watch, 0);
}

static void test_watch(void **state)
{
    (void)state;
    struct seen s = {.loop = loop_new()};
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    s.watch = watch_new(s.loop, fds[0], on_ready, &s);
    assert_int_equal(write(fds[1], "x", 1), 1);
    run_for(s.loop, 10);
    assert_int_equal(s.count, 0);
    watch_set(s.watch, WATCH_READ);
    wait_count(&s, 1);
    assert_int_equal(s.last, WATCH_READ);
    watch_free(&s.watch);
    s.watch = watch_new(s.loop, fds[1], on_ready, &s);
    watch_set(s.watch, WATCH_READ);
    watch_set(s.watch, WATCH_WRITE);
    wait_count(&s, 2);
    assert_int_equal(s.last, WATCH_WRITE);
    watch_free(&s.watch);
    watch_free(&s.watch);
    close(fds[0]);
    close(fds[1]);
    loop_free(&s.loop);
}

static void on_signal(int signum, void *arg)
{
    struct seen *s = arg;
    s->last = signum;
    count_one(s);
}

static void test_signal(void **state)
{
    (void)state;
    struct seen s = {.loop = loop_new(), .stop_at = 1};
    struct signal_watch *w = signal_watch_new(s.loop, SIGUSR1, on_signal, &s);
    raise(SIGUSR1);
    loop_run(s.loop);
    assert_int_equal(s.last, SIGUSR1);
    signal_watch_free(&w);
    loop_free(&s.loop);
}

/* ---- listener ---- */

static void on_accept(int fd, const struct netaddr *peer, void *arg)
{
    struct seen *s = arg;
    assert_true(netaddr_is_loopback(peer));
    assert_true(s->count < 8);
    s->fds[s->count] = fd;
    if (s->free_listener)
        listener_free(&s->listener);
    count_one(s);
}

/* A listening socket on a port of the kernel's choice. */
static int listen_any(struct netaddr *addr)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    netaddr_from_sockaddr(addr, (struct sockaddr *)&sin);
    return fd;
}

static int connect_to(const struct netaddr *addr)
{
    struct sockaddr_storage ss;
    socklen_t len = netaddr_to_sockaddr(addr, &ss);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    return fd;
}

static void close_all(int *fds, int n)
{
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

static void test_listener(void **state)
{
    (void)state;
    struct seen s = {.loop = loop_new()};
    struct netaddr addr;
    int clients[4];
    s.listener = listener_new(s.loop, listen_any(&addr), on_accept, &s);
    listener_pause(s.listener);
    for (int i = 0; i < 3; i++)
        clients[i] = connect_to(&addr);
    run_for(s.loop, 20);
    assert_int_equal(s.count, 0);
    listener_resume(s.listener);
    wait_count(&s, 3);
    /* Freed by its own callback. */
    s.free_listener = true;
    clients[3] = connect_to(&addr);
    wait_count(&s, 4);
    assert_null(s.listener);
    close_all(clients, 4);
    close_all(s.fds, 4);
    loop_free(&s.loop);
}

/* ---- streams that connect ---- */

struct client {
    struct loop *loop;
    struct stream *stream;
    bool connected, inside;
    int closed; /* 1 + enum stream_end */
};

static void client_input(struct stream *s, void *arg)
{
    (void)s;
    (void)arg;
}

static void client_connected(struct stream *s, void *arg)
{
    struct client *c = arg;
    int on = 0;
    socklen_t len = sizeof(on);
    assert_false(c->inside);
    assert_int_equal(getsockopt(stream_fd(s), IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_not_equal(on, 0);
    c->connected = true;
    loop_stop(c->loop);
}

static void client_closed(struct stream *s, enum stream_end why, void *arg)
{
    struct client *c = arg;
    assert_false(c->inside);
    assert_ptr_equal(s, c->stream);
    c->closed = 1 + (int)why;
    stream_free(&c->stream);
    loop_stop(c->loop);
}

static const struct stream_ops client_ops = {
    .input = client_input, .connected = client_connected, .closed = client_closed};

static void client_open(struct client *c, const struct netaddr *addr, const struct netaddr *source)
{
    c->inside = true;
    c->stream = stream_connect(c->loop, addr, source, 2000, &client_ops, c);
    c->inside = false;
}

static void test_connect(void **state)
{
    (void)state;
    struct client c = {.loop = loop_new()};
    struct netaddr addr, source;
    int fd = listen_any(&addr);
    assert_int_equal(netaddr_parse(&source, "127.0.0.1"), 0);
    client_open(&c, &addr, &source);
    loop_run(c.loop);
    assert_true(c.connected);
    /* The time-out was for connecting alone. */
    stream_set_timeout(c.stream, 40);
    loop_run(c.loop);
    assert_int_equal(c.closed, 1 + STREAM_TIMEOUT);
    close(fd);
    loop_free(&c.loop);
}

static void test_connect_fails_on_the_loop(void **state)
{
    (void)state;
    struct client c = {.loop = loop_new()};
    struct netaddr addr, source;
    close(listen_any(&addr)); /* nobody listens there now */
    client_open(&c, &addr, NULL);
    loop_run(c.loop);
    assert_int_equal(c.closed, 1 + STREAM_ERROR);
    assert_false(c.connected);
    /* A source address that is not this host's, and no address at all. */
    assert_int_equal(netaddr_parse(&source, "192.0.2.1"), 0);
    client_open(&c, &addr, &source);
    c.closed = 0;
    loop_run(c.loop);
    assert_int_equal(c.closed, 1 + STREAM_ERROR);
    client_open(&c, &(struct netaddr){0}, NULL);
    c.closed = 0;
    loop_run(c.loop);
    assert_int_equal(c.closed, 1 + STREAM_ERROR);
    /* Given up before the loop could say so. */
    client_open(&c, &addr, NULL);
    stream_free(&c.stream);
    run_for(c.loop, 10);
    loop_free(&c.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_posts_from_threads),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_listener),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_connect_fails_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

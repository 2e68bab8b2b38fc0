/* The SMTP client against a scripted server, whose replies come whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/relay/smtp_client.h"
#include "tests/unit/smtp_script.h"

static const char trace[] = "Return-Path: <s@example.net>\r\n";

/* What became of a run. */
struct run {
    struct loop *loop;
    struct timer *end;
    struct tls_context *tls_context;
    struct smtp_client *client;
    struct relay_job *job;
    unsigned left; /* messages still to send */
    bool sent, failed, tls, reusable;
    char *words;
    unsigned code;
};

static struct relay_job *make_job(const char *body, size_t len, const char *const *rcpts)
{
    struct relay_job *job = mem_zalloc(sizeof(*job));

    job->job = mem_strdup("1");
    job->id = mem_strdup("id");
    job->sender = mem_strdup("s@example.net");
    job->next_hop = mem_strdup("");
    job->offset = sizeof(trace) - 1;
    job->size = job->offset + len;
    job->body_8bit = true;
    job->fd = memfd_create("message", MFD_CLOEXEC);
    assert_int_equal(write(job->fd, trace, job->offset), job->offset);
    assert_int_equal(write(job->fd, body, len), len);
    job->rcpts = mem_zalloc(8 * sizeof(*job->rcpts));
    for (; rcpts[job->count] != NULL; job->count++)
        job->rcpts[job->count].address = mem_strdup(rcpts[job->count]);
    return job;
}

static void on_ready(struct smtp_client *c, void *arg)
{
    struct run *r = arg;

    smtp_client_send(c, r->job);
}

static void on_sent(struct smtp_client *c, void *arg)
{
    struct run *r = arg;

    r->sent = true;
    r->reusable = smtp_client_reusable(c);
    if (--r->left > 0 && r->reusable) {
        for (size_t i = 0; i < r->job->count; i++)
            r->job->rcpts[i].final = r->job->rcpts[i].decided = false;
        smtp_client_send(c, r->job);
        return;
    }
    smtp_client_quit(&r->client);
    timer_set(r->end, 20); /* until QUIT has left */
}

static void on_failed(struct smtp_client *c, const struct smtp_trouble *trouble, void *arg)
{
    struct run *r = arg;

    (void)c;
    r->failed = true;
    r->tls = trouble->tls;
    r->code = trouble->code;
    r->words = mem_strdup(trouble->words);
    smtp_client_free(&r->client);
    loop_stop(r->loop);
}

static void on_end(void *arg)
{
    struct run *r = arg;

    loop_stop(r->loop);
}

static void on_stuck(void *arg)
{
    (void)arg;
    fail_msg("the session is stuck");
}

static const struct smtp_client_ops ops = {.ready = on_ready, .sent = on_sent, .failed = on_failed};

/* Runs one session against the script. The caller frees with run_end. */
static struct script_server *run_session(struct run *r, const struct script_step *steps,
                                         bool bytewise)
{
    const struct smtp_client_settings settings = {.helo_name = "client.test",
                                                  .tls = r->tls_context,
                                                  .connect_timeout = 2000,
                                                  .command_timeout = 2000,
                                                  .data_done_timeout = 2000};
    struct netaddr addr;

    r->loop = loop_new();
    r->end = timer_new(r->loop, on_end, r);
    r->left = r->left == 0 ? 1 : r->left;
    struct script_server *server = script_server_new(r->loop, "127.0.0.1", 0, steps, bytewise);
    assert_int_equal(netaddr_parse(&addr, "127.0.0.1"), 0);
    addr.port = script_server_port(server);
    struct timer *stuck = timer_new(r->loop, on_stuck, NULL);
    timer_set(stuck, 20000);
    r->client = smtp_client_new(r->loop, &settings, "mx.test", &addr, SMTP_CLIENT_TLS_MAY, &ops, r);
    loop_run(r->loop);
    timer_free(&stuck);
    timer_free(&r->end);
    if (script_server_fault(server) != NULL)
        fail_msg("unexpected line: %s", script_server_fault(server));
    return server;
}

static void run_end(struct run *r, struct script_server **server)
{
    script_server_free(server);
    smtp_client_free(&r->client);
    relay_job_free(&r->job);
    free(r->words);
    loop_free(&r->loop);
}

static void expect_rcpt(const struct run *r, size_t i, enum relay_status status, bool final,
                        const char *text)
{
    const struct relay_rcpt *rcpt = &r->job->rcpts[i];

    assert_true(rcpt->decided);
    assert_int_equal(rcpt->status, status);
    assert_int_equal(rcpt->final, final);
    assert_string_equal(rcpt->text, text);
    assert_memory_equal(rcpt->host, "mx.test[127.0.0.1]:", 19);
}

#define BODY "Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n"

static void test_pipelining(void **state)
{
    (void)state;
    static const struct script_step steps[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO client.test", "250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000\r\n"},
        {"MAIL FROM:<s@example.net> SIZE=29 BODY=8BITMIME", "250 2.1.0 ok\r\n"},
        {"RCPT TO:<a@x.test>", "250 2.1.5 ok\r\n"},
        {"RCPT TO:<b@x.test>", "550-5.1.1 no such\r\n550 5.1.1 user\r\n"},
        {"RCPT TO:<c@x.test>", "451 later\r\n"},
        {"RCPT TO:<d@x.test>", "552 too many\r\n"},
        {"DATA", "354 go\r\n"},
        {".", "250 2.0.0 queued as 1\r\n"},
        {"QUIT", NULL},
        {NULL, NULL},
    };
    for (int bytewise = 0; bytewise < 2; bytewise++) {
        struct run r = {.job = make_job(BODY, sizeof(BODY) - 1,
                                        (const char *const[]){"a@x.test", "b@x.test", "c@x.test",
                                                              "d@x.test", NULL})};
        struct script_server *server = run_session(&r, steps, bytewise);
        assert_true(r.sent && r.reusable);
        expect_rcpt(&r, 0, RELAY_SENT, true, "250 2.0.0 queued as 1");
        expect_rcpt(&r, 1, RELAY_BOUNCED, true, "550 5.1.1 no such user");
        expect_rcpt(&r, 2, RELAY_DEFERRED, false, "451 4.0.0 later");
        expect_rcpt(&r, 3, RELAY_DEFERRED, false, "452 4.0.0 too many");
        assert_string_equal(buf_str(script_server_body(server)), BODY);
        run_end(&r, &server);
    }
}

static void test_one_by_one_with_helo(void **state)
{
    (void)state;
    static const struct script_step steps[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "502 what\r\n"},
        {"HELO client.test", "250 mx.test\r\n"},
        {"MAIL FROM:<s@example.net>", "250 ok\r\n"},
        {"RCPT TO:<a@x.test>", "250 ok\r\n"},
        {"DATA", "354 go\r\n"},
        {".", "550 5.7.1 spam\r\n"},
        {NULL, NULL},
    };
    for (int bytewise = 0; bytewise < 2; bytewise++) {
        struct run r = {.job =
                            make_job("no line end", 11, (const char *const[]){"a@x.test", NULL})};
        struct script_server *server = run_session(&r, steps, bytewise);
        assert_true(r.sent && !r.reusable);
        expect_rcpt(&r, 0, RELAY_BOUNCED, true, "550 5.7.1 spam");
        assert_string_equal(buf_str(script_server_body(server)), "no line end\r\n");
        assert_non_null(strstr(script_server_lines(server), "MAIL FROM:<s@example.net>\n"));
        run_end(&r, &server);
    }
}

static void test_sender_refused(void **state)
{
    (void)state;
    static const struct script_step pipelined[] = {
        {NULL, "220 mx.test\r\n"},     {"EHLO ", "250-mx.test\r\n250 PIPELINING\r\n"},
        {"MAIL ", "450 4.1.8 no\r\n"}, {"RCPT ", "503 5.5.1 sender first\r\n"},
        {"DATA", "503 5.5.1 no\r\n"},  {NULL, NULL},
    };
    static const struct script_step plain[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "250 mx.test\r\n"},
        {"MAIL ", "450 4.1.8 no\r\n"},
        {NULL, NULL},
    };
    for (int i = 0; i < 2; i++) {
        struct run r = {
            .job = make_job(BODY, sizeof(BODY) - 1, (const char *const[]){"a@x.test", NULL})};
        struct script_server *server = run_session(&r, i ? plain : pipelined, i);
        assert_true(r.sent && !r.reusable);
        expect_rcpt(&r, 0, RELAY_DEFERRED, false, "450 4.1.8 no");
        run_end(&r, &server);
    }
}

static void test_all_recipients_refused(void **state)
{
    (void)state;
    static const struct script_step pipelined[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "250-mx.test\r\n250 PIPELINING\r\n"},
        {"MAIL ", "250 ok\r\n"},
        {"RCPT ", "550 no\r\n"},
        {"DATA", "354 into the void\r\n"},
        {".", "554 5.5.1 nobody\r\n"},
        {NULL, NULL},
    };
    static const struct script_step plain[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "250 mx.test\r\n"},
        {"MAIL ", "250 ok\r\n"},
        {"RCPT ", "550 no\r\n"},
        {NULL, NULL},
    };
    for (int i = 0; i < 2; i++) {
        struct run r = {
            .job = make_job(BODY, sizeof(BODY) - 1, (const char *const[]){"a@x.test", NULL})};
        struct script_server *server = run_session(&r, i ? plain : pipelined, i);
        assert_true(r.sent && !r.reusable);
        expect_rcpt(&r, 0, RELAY_BOUNCED, true, "550 5.0.0 no");
        assert_int_equal(script_server_body(server)->len, 0);
        run_end(&r, &server);
    }
}

static void test_session_refused(void **state)
{
    (void)state;
    static const struct {
        struct script_step steps[4];
        unsigned code;
        const char *words;
    } cases[] = {
        {{{NULL, "421 4.3.2 busy\r\n"}}, 421, "busy"},
        {{{NULL, "554 go away\r\n"}}, 554, "go away"},
        {{{NULL, "SSH-2.0-x\r\n"}}, 0, "the host does not speak SMTP (waiting for the greeting)"},
        {{{NULL, "!"}}, 0, "lost the connection (waiting for the greeting)"},
        {{{NULL, "220 x\r\n"}, {"EHLO", "450 not now\r\n"}}, 450, "not now"},
        {{{NULL, "220 x\r\n"}, {"EHLO", "550 x\r\n"}, {"HELO", "550 y\r\n"}}, 550, "y"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct run r = {
            .job = make_job(BODY, sizeof(BODY) - 1, (const char *const[]){"a@x.test", NULL})};
        struct script_server *server = run_session(&r, cases[i].steps, i % 2);
        assert_true(r.failed && !r.tls);
        assert_int_equal(r.code, cases[i].code);
        assert_string_equal(r.words, cases[i].words);
        assert_false(r.job->rcpts[0].decided);
        run_end(&r, &server);
    }
}

static void test_tls_fails(void **state)
{
    (void)state;
    static const struct script_step broken[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "250-mx.test\r\n250 STARTTLS\r\n"},
        {"STARTTLS", "220 go\r\n"},
        {".+1", NULL},
        {NULL, NULL},
    };
    static const struct script_step refused[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "250-mx.test\r\n250 STARTTLS\r\n"},
        {"STARTTLS", "454 4.7.0 not now\r\n"},
        {"MAIL ", "250 ok\r\n"},
        {"RCPT ", "250 ok\r\n"},
        {"DATA", "354 go\r\n"},
        {".", "250 ok\r\n"},
        {NULL, NULL},
    };
    const char *const rcpts[] = {"a@x.test", NULL};
    char *error = NULL;
    struct tls_context *tls = tls_client_new(TLS_VERIFY_NONE, NULL, NULL, NULL, &error);
    assert_non_null(tls);

    struct run r = {.tls_context = tls, .job = make_job(BODY, sizeof(BODY) - 1, rcpts)};
    struct script_server *server = run_session(&r, broken, false);
    assert_true(r.failed && r.tls);
    assert_false(r.job->rcpts[0].decided);
    run_end(&r, &server);

    r = (struct run){.tls_context = tls, .job = make_job(BODY, sizeof(BODY) - 1, rcpts)};
    server = run_session(&r, refused, true);
    assert_true(r.sent);
    expect_rcpt(&r, 0, RELAY_SENT, true, "250 2.0.0 ok");
    run_end(&r, &server);
    tls_context_free(&tls);
}

/* The server ends the connection after the message: it may have it, so nobody else gets it now. */
static void test_lost_after_the_end(void **state)
{
    (void)state;
    static const struct script_step steps[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "250 mx.test\r\n"},
        {"MAIL ", "250 ok\r\n"},
        {"RCPT ", "250 ok\r\n"},
        {"RCPT ", "450 no\r\n"},
        {"DATA", "354 go\r\n"},
        {".", "!"},
        {NULL, NULL},
    };
    struct run r = {.job = make_job(BODY, sizeof(BODY) - 1,
                                    (const char *const[]){"a@x.test", "b@x.test", NULL})};
    struct script_server *server = run_session(&r, steps, false);
    assert_true(r.failed);
    assert_true(r.job->rcpts[0].final);
    assert_int_equal(r.job->rcpts[0].status, RELAY_DEFERRED);
    expect_rcpt(&r, 1, RELAY_DEFERRED, false, "450 4.0.0 no");
    run_end(&r, &server);
}

/* A message of several slices, full of dots: all of it arrives; lost in its middle, none counts. */
static void test_large_message(void **state)
{
    (void)state;
    static const struct script_step whole[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "250 mx.test\r\n"},
        {"MAIL ", "250 ok\r\n"},
        {"RCPT ", "250 ok\r\n"},
        {"DATA", "354 go\r\n"},
        {".", "250 2.6.0 thanks\r\n"},
        {NULL, NULL},
    };
    static const struct script_step part[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "250 mx.test\r\n"},
        {"MAIL ", "250 ok\r\n"},
        {"RCPT ", "250 ok\r\n"},
        {"DATA", "354 go\r\n"},
        {".+200000", NULL},
        {NULL, NULL},
    };
    static const struct script_step early[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "250 mx.test\r\n"},
        {"MAIL ", "250 ok\r\n"},
        {"RCPT ", "250 ok\r\n"},
        {"DATA", "354 go\r\n554 5.3.4 too large\r\n"},
        {".+100000000", NULL},
        {NULL, NULL},
    };
    struct buf body = {0};
    for (unsigned i = 0; body.len < (3u << 20); i++)
        assert_int_equal(
            buf_printf(&body, "%.*s%u\r\n", (int)(i % 70),
                       "......................................................................", i),
            0);
    const char *const rcpts[] = {"a@x.test", NULL};
    struct run r = {.job = make_job(buf_str(&body), body.len, rcpts)};
    struct script_server *server = run_session(&r, whole, false);
    expect_rcpt(&r, 0, RELAY_SENT, true, "250 2.6.0 thanks");
    assert_int_equal(script_server_body(server)->len, body.len);
    assert_memory_equal(script_server_body(server)->data, body.data, body.len);
    run_end(&r, &server);

    r = (struct run){.job = make_job(buf_str(&body), body.len, rcpts)};
    server = run_session(&r, part, false);
    assert_true(r.failed);
    assert_false(r.job->rcpts[0].decided);
    run_end(&r, &server);

    r = (struct run){.job = make_job(buf_str(&body), body.len, rcpts)};
    server = run_session(&r, early, false);
    assert_true(r.sent && !r.reusable);
    expect_rcpt(&r, 0, RELAY_BOUNCED, true, "554 5.3.4 too large");
    run_end(&r, &server);
    buf_free(&body);
}

static void test_two_messages(void **state)
{
    (void)state;
    static const struct script_step steps[] = {
        {NULL, "220 mx.test\r\n"},
        {"EHLO ", "250-mx.test\r\n250 PIPELINING\r\n"},
        {"MAIL ", "250 ok\r\n"},
        {"RCPT ", "250 ok\r\n"},
        {"DATA", "354 go\r\n"},
        {".", "250 one\r\n"},
        {"MAIL ", "250 ok\r\n"},
        {"RCPT ", "250 ok\r\n"},
        {"DATA", "354 go\r\n"},
        {".", "250 two\r\n"},
        {NULL, NULL},
    };
    struct run r = {.left = 2,
                    .job =
                        make_job(BODY, sizeof(BODY) - 1, (const char *const[]){"a@x.test", NULL})};
    struct script_server *server = run_session(&r, steps, true);
    expect_rcpt(&r, 0, RELAY_SENT, true, "250 2.0.0 two");
    assert_string_equal(buf_str(script_server_body(server)), BODY BODY);
    assert_int_equal(script_server_connections(server), 1);
    run_end(&r, &server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipelining),         cmocka_unit_test(test_one_by_one_with_helo),
        cmocka_unit_test(test_sender_refused),     cmocka_unit_test(test_all_recipients_refused),
        cmocka_unit_test(test_session_refused),    cmocka_unit_test(test_tls_fails),
        cmocka_unit_test(test_lost_after_the_end), cmocka_unit_test(test_large_message),
        cmocka_unit_test(test_two_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

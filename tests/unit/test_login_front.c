/*
 * IMAP and POP3 until login, over socket pairs, each conversation sent whole and byte by byte. The
 * services behind are scripted here: what dirigo-auth decides, and a dirigo-mailbox that says what
 * it was given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/mem.h"
#include "gateway/imap/front.h"
#include "gateway/pop3/front.h"
#include "gateway/session/handoff.h"
#include "sasl/client.h"
#include "sasl/protocol.h"

struct fixture {
    char dir[64];
    struct loop *loop;
    struct conf *conf;
    struct ipc_server *auth, *mailbox;
    bool mailbox_takes;
    int sessions; /* open */
    /* the client */
    struct stream *client;
    struct timer *feed, *guard;
    const char *in;
    size_t in_len, at, step;
    struct buf heard;
    bool hung;
};

/* ---- the services ---- */

/* Carried from one to the other as it is. */
#define TICKET "what dirigo-mailbox wants to see"

static struct msg *auth_result(enum auth_result result, const char *challenge,
                               struct password_end end)
{
    struct msg *m = msg_new(AUTH_MSG_RESULT);
    struct uuid owner = {{7}};
    msg_put_u8(m, (uint8_t)result);
    msg_put_bytes(m, challenge, strlen(challenge));
    if (result == AUTH_OK) {
        msg_put_uuid(m, &owner);
        msg_put_str(m, "bob");
        msg_put_str(m, "bob@example.org");
        msg_put_str(m, "uid=bob,dc=example,dc=org");
        msg_put_str(m, NULL);
        msg_put_bytes(m, TICKET, strlen(TICKET));
        msg_put_u8(m, (uint8_t)end.kind);
        msg_put_u32(m, end.value);
    }
    return m;
}

static struct password_end unsaid, soon = {PASSWORD_EXPIRES, 3 * 86400 + 5};

static bool is_old(const char *data, size_t len)
{
    return len == 12 && memcmp(data, "\0bob\0my old", 11) == 0;
}

static enum auth_result judge_plain(const char *data, size_t len)
{
    if (len == 12 && (memcmp(data, "\0bob\0se cret", 12) == 0 || is_old(data, len)))
        return AUTH_OK;
    return len > 4 && memcmp(data, "\0tmp", 4) == 0 ? AUTH_TEMPORARY : AUTH_DENIED;
}

static int auth_request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    struct msg *answer;
    size_t len;
    (void)arg;
    (void)msg_get_u32(m);
    if (msg_type(m) == AUTH_MSG_CANCEL)
        return msg_end(m);
    if (msg_type(m) == AUTH_MSG_STEP) {
        const char *data = msg_get_bytes(m, &len);
        bool right = len == 6 && memcmp(data, "answer", 6) == 0;
        answer = auth_result(right ? AUTH_OK : AUTH_DENIED, "", unsaid);
    } else {
        assert_non_null(msg_get_str(m));
        assert_int_equal(strlen(msg_get_str(m)), ID_STRLEN - 1);
        (void)msg_get_addr(m);
        (void)msg_get_addr(m);
        assert_false(msg_get_bool(m));
        (void)msg_get_u32(m);
        (void)msg_get_str(m);
        (void)msg_get_bytes(m, &len);
        assert_false(msg_get_bool(m)); /* no certificate */
        const char *mechanism = msg_get_str(m);
        bool has_initial = msg_get_bool(m);
        const char *initial = msg_get_bytes(m, &len);
        if (strcmp(mechanism, "PLAIN") == 0 && has_initial)
            answer =
                auth_result(judge_plain(initial, len), "", is_old(initial, len) ? soon : unsaid);
        else
            answer =
                auth_result(AUTH_CONTINUE, has_initial && len == 0 ? "empty" : "go on", unsaid);
    }
    assert_int_equal(msg_end(m), 0);
    ipc_reply(peer, msg_id(m), &answer);
    return 0;
}

static const struct ipc_server_ops auth_ops = {.request = auth_request};

static int mailbox_request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    struct fixture *f = arg;
    struct msg *answer = msg_new(MAILBOX_MSG_SESSION_RESULT);
    size_t len;
    const char *protocol = msg_get_str(m), *id = msg_get_str(m), *tag = msg_get_str(m);
    struct uuid owner = msg_get_uuid(m);
    const char *login = msg_get_str(m), *address = msg_get_str(m);
    (void)msg_get_addr(m);
    const void *ticket = msg_get_bytes(m, &len);
    assert_int_equal(len, strlen(TICKET));
    assert_memory_equal(ticket, TICKET, len);
    const char *notice = msg_get_str(m);
    assert_true(notice == NULL || handoff_notice_valid(notice));
    bool tls = msg_get_bool(m);
    const char *unread = msg_get_bytes(m, &len);
    (void)msg_get_str(m);
    int fd = msg_get_fd(m);

    assert_int_equal(msg_end(m), 0);
    assert_int_equal(owner.bytes[0], 7);
    assert_int_equal(strlen(id), ID_STRLEN - 1);
    assert_false(tls);
    msg_put_bool(answer, f->mailbox_takes);
    ipc_reply(peer, msg_id(m), &answer);
    if (f->mailbox_takes)
        dprintf(fd, "%s%s: %s OK %s %s <%.*s>\r\n", notice == NULL ? "" : notice, protocol, tag,
                login, address, (int)len, unread);
    close(fd);
    return 0;
}

static const struct ipc_server_ops mailbox_ops = {.request = mailbox_request};

static int listen_at(const char *dir, const char *name)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", dir, name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 10), 0);
    return fd;
}

static int set_up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/dirigo-login-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->loop = loop_new();
    f->conf = conf_defaults();
    assert_non_null(f->conf);
    f->conf->disable_plaintext_auth = false;
    f->conf->login_line_limit = 1024;
    f->auth = ipc_server_new(f->loop, listen_at(f->dir, "auth.sock"), AUTH_SERVICE, AUTH_VERSION,
                             &auth_ops, f);
    f->mailbox = ipc_server_new(f->loop, listen_at(f->dir, "mailbox-0.sock"), MAILBOX_SERVICE,
                                MAILBOX_VERSION, &mailbox_ops, f);
    f->mailbox_takes = true;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char path[128];
    ipc_server_free(&f->auth);
    ipc_server_free(&f->mailbox);
    loop_free(&f->loop);
    conf_free(&f->conf);
    (void)snprintf(path, sizeof(path), "%s/auth.sock", f->dir);
    unlink(path);
    (void)snprintf(path, sizeof(path), "%s/mailbox-0.sock", f->dir);
    unlink(path);
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

/* ---- the client ---- */

static void client_input(struct stream *s, void *arg)
{
    struct fixture *f = arg;
    size_t len;
    const void *data = stream_peek(s, &len);
    (void)buf_append(&f->heard, data, len);
    stream_consume(s, len);
}

static void client_closed(struct stream *s, enum stream_end why, void *arg)
{
    struct fixture *f = arg;
    (void)s;
    (void)why;
    timer_stop(f->feed);
    loop_stop(f->loop);
}

static const struct stream_ops client_ops = {.input = client_input, .closed = client_closed};

static void client_feed(void *arg)
{
    struct fixture *f = arg;
    size_t n = f->in_len - f->at < f->step ? f->in_len - f->at : f->step;
    stream_write(f->client, f->in + f->at, n);
    f->at += n;
    if (f->at < f->in_len)
        timer_set(f->feed, 0);
}

static void client_hangs(void *arg)
{
    struct fixture *f = arg;
    f->hung = true;
    loop_stop(f->loop);
}

static bool session_begin(void *arg)
{
    struct fixture *f = arg;
    f->sessions++;
    return true;
}

static void session_end(void *arg)
{
    struct fixture *f = arg;
    f->sessions--;
}

static void converse(struct fixture *f, const struct login_protocol *protocol, const char *peer,
                     const char *in, size_t len, size_t step, const char *want)
{
    const struct login_setup setup = {.loop = f->loop,
                                      .conf = f->conf,
                                      .protocol = protocol,
                                      .run_path = f->dir,
                                      .mailbox_count = 1,
                                      .session_begin = session_begin,
                                      .session_end = session_end,
                                      .arg = f};
    struct login_process *p = login_process_new(&setup);
    struct netaddr addr;
    int pair[2];

    assert_int_equal(netaddr_parse(&addr, peer), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    f->in = in;
    f->in_len = len;
    f->at = 0;
    f->step = step;
    f->hung = false;
    f->feed = timer_new(f->loop, client_feed, f);
    f->guard = timer_new(f->loop, client_hangs, f);
    f->client = stream_new(f->loop, pair[0], &client_ops, f);
    login_process_accept(p, pair[1], &addr, false);
    timer_set(f->feed, 0);
    timer_set(f->guard, 10000);
    loop_run(f->loop);
    assert_string_equal(buf_str(&f->heard), want);
    assert_false(f->hung);
    buf_free(&f->heard);
    stream_free(&f->client);
    timer_free(&f->feed);
    timer_free(&f->guard);
    login_process_free(&p);
    assert_int_equal(f->sessions, 0);
}

static void expect_from(struct fixture *f, const struct login_protocol *protocol, const char *peer,
                        const char *in, size_t len, const char *want)
{
    converse(f, protocol, peer, in, len, len, want);
    converse(f, protocol, peer, in, len, 1, want);
}

#define IMAP(in, want) expect_from(f, &imap_front, "127.0.0.1", in, sizeof(in) - 1, want)
#define POP3(in, want) expect_from(f, &pop3_front, "127.0.0.1", in, sizeof(in) - 1, want)

#define IMAP_CAPS  "IMAP4rev1 LITERAL+ SASL-IR ID STARTTLS AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256"
#define IMAP_HELLO "* OK [CAPABILITY " IMAP_CAPS "] Dirigo ready.\r\n"
#define IMAP_BYE   "* BYE Logging out.\r\nz OK Logged out.\r\n"
#define POP3_HELLO "+OK Dirigo ready.\r\n"

/* ---- IMAP ---- */

static void test_imap_commands(void **state)
{
    struct fixture *f = *state;
    IMAP("a capability\r\nb NOOP\r\nz LOGOUT\r\n",
         IMAP_HELLO "* CAPABILITY " IMAP_CAPS "\r\na OK Capability completed.\r\n"
                    "b OK Nothing to do.\r\n" IMAP_BYE);
    IMAP("a ID (\"name\" \"x\" \"version\" NIL)\r\nb ID NIL\r\nc ID\r\nz LOGOUT\r\n",
         IMAP_HELLO "* ID (\"name\" \"Dirigo\")\r\na OK Pleased to meet you.\r\n"
                    "* ID (\"name\" \"Dirigo\")\r\nb OK Pleased to meet you.\r\n"
                    "c BAD A list or NIL was expected.\r\n" IMAP_BYE);
    IMAP("a SELECT INBOX\r\nb NOOP x\r\n)\r\nz LOGOUT\r\nzz NOOP\r\n",
         IMAP_HELLO "a BAD Unknown, or not before login.\r\nb BAD No arguments were expected.\r\n"
                    "* BAD a tag was expected\r\n" IMAP_BYE);
}

static void test_imap_login(void **state)
{
    struct fixture *f = *state;
    IMAP("a LOGIN bob \"se cret\"\r\n", IMAP_HELLO "imap: a OK bob bob@example.org <>\r\n");
    IMAP("a LOGIN {3}\r\nbob {7+}\r\nse cret\r\n",
         IMAP_HELLO "+ Go on.\r\nimap: a OK bob bob@example.org <>\r\n");
    IMAP("a LOGIN bob x\r\nb LOGIN tmp x\r\nc LOGIN bob\r\nz LOGOUT\r\n",
         IMAP_HELLO "a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"
                    "b NO [UNAVAILABLE] That cannot be decided now; try again later.\r\n"
                    "c BAD User name and password were expected.\r\n" IMAP_BYE);
    f->mailbox_takes = false;
    IMAP("a LOGIN bob \"se cret\"\r\nz LOGOUT\r\n",
         IMAP_HELLO "a NO [UNAVAILABLE] That cannot be decided now; try again later.\r\n" IMAP_BYE);
    f->mailbox_takes = true;
}

/* Said by who says the login's answer. */
static void test_notice(void **state)
{
    struct fixture *f = *state;
    char longest[HANDOFF_NOTICE_MAX + 2];
    IMAP("a LOGIN bob \"my old1\"\r\n",
         IMAP_HELLO "Your password expires in 3 days.imap: a OK bob bob@example.org <>\r\n");
    POP3("USER bob\r\nPASS my old1\r\n",
         POP3_HELLO "+OK And the password?\r\n"
                    "Your password expires in 3 days.pop3:  OK bob bob@example.org <>\r\n");
    memset(longest, 'x', sizeof(longest));
    longest[HANDOFF_NOTICE_MAX] = '\0';
    assert_true(handoff_notice_valid(longest));
    longest[HANDOFF_NOTICE_MAX] = 'x';
    longest[HANDOFF_NOTICE_MAX + 1] = '\0';
    assert_false(handoff_notice_valid(longest));
    assert_false(handoff_notice_valid("one\r\na OK two"));
    assert_false(handoff_notice_valid("\xc3\xa9"));
}

static void test_imap_unread(void **state)
{
    struct fixture *f = *state;
    const char in[] = "a LOGIN bob \"se cret\"\r\nb SELECT INBOX\r\nc NO";
    converse(f, &imap_front, "127.0.0.1", in, sizeof(in) - 1, sizeof(in) - 1,
             IMAP_HELLO "imap: a OK bob bob@example.org <b SELECT INBOX\r\nc NO>\r\n");
}

static void test_imap_sasl(void **state)
{
    struct fixture *f = *state;
    IMAP("a AUTHENTICATE PLAIN AGJvYgBzZSBjcmV0\r\n",
         IMAP_HELLO "imap: a OK bob bob@example.org <>\r\n");
    /* "go on", then the answer; "=" is an empty first word. */
    IMAP("a AUTHENTICATE scram-sha-256\r\nYW5zd2Vy\r\n",
         IMAP_HELLO "+ Z28gb24=\r\nimap: a OK bob bob@example.org <>\r\n");
    IMAP("a AUTHENTICATE SCRAM-SHA-256 =\r\nYW5zd2Vx\r\nz LOGOUT\r\n", IMAP_HELLO
         "+ ZW1wdHk=\r\na NO [AUTHENTICATIONFAILED] Authentication failed.\r\n" IMAP_BYE);
    IMAP("a AUTHENTICATE SCRAM-SHA-256\r\n*\r\nb AUTHENTICATE LOGIN\r\n?\r\n"
         "c AUTHENTICATE PLAIN x\r\nd AUTHENTICATE GSSAPI\r\nz LOGOUT\r\n",
         IMAP_HELLO "+ Z28gb24=\r\na BAD Authentication cancelled.\r\n"
                    "+ Z28gb24=\r\nb BAD Malformed authentication data.\r\n"
                    "c BAD Malformed authentication data.\r\n"
                    "d NO [CANNOT] This way of logging in is not offered.\r\n" IMAP_BYE);
}

static void test_imap_clear_text(void **state)
{
    struct fixture *f = *state;
    const char in[] = "a LOGIN bob \"se cret\"\r\nb AUTHENTICATE PLAIN AGJvYgBzZSBjcmV0\r\n"
                      "z LOGOUT\r\n";
    const char want[] =
        "* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID STARTTLS LOGINDISABLED] Dirigo ready.\r\n"
        "a NO [PRIVACYREQUIRED] Use TLS first.\r\nb NO [PRIVACYREQUIRED] Use TLS "
        "first.\r\n" IMAP_BYE;
    /* Not from elsewhere, whatever the parameter says; and not at all by default. */
    expect_from(f, &imap_front, "192.0.2.1", in, sizeof(in) - 1, want);
    f->conf->disable_plaintext_auth = true;
    expect_from(f, &imap_front, "127.0.0.1", in, sizeof(in) - 1, want);
    f->conf->disable_plaintext_auth = false;
}

static void test_imap_bounds(void **state)
{
    struct fixture *f = *state;
    char in[3000];
    f->conf->login_error_limit = 2;
    IMAP("a X\r\nb X\r\nc NOOP\r\n", IMAP_HELLO "a BAD Unknown, or not before login.\r\n"
                                                "b BAD Unknown, or not before login.\r\n"
                                                "* BYE Too many errors.\r\n");
    f->conf->login_error_limit = 10;
    f->conf->login_failure_limit = 2;
    IMAP("a LOGIN bob x\r\nb LOGIN bob x\r\nc NOOP\r\n",
         IMAP_HELLO "a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"
                    "b NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"
                    "* BYE Too many errors.\r\n");
    f->conf->login_failure_limit = 5;
    memset(in, 'x', sizeof(in));
    memcpy(in, "a LOGIN ", 8);
    memcpy(in + 2000, "\r\nz LOGOUT\r\n", 12);
    expect_from(f, &imap_front, "127.0.0.1", in, 2012,
                IMAP_HELLO "a BAD the command line is too long\r\n" IMAP_BYE);
    IMAP("a LOGIN {1025}\r\nb LOGIN {2000000000}\r\nz LOGOUT\r\n",
         IMAP_HELLO "a BAD the literal is too long\r\nb BAD the literal is too long\r\n" IMAP_BYE);
}

static void test_imap_timeout(void **state)
{
    struct fixture *f = *state;
    f->conf->login_timeout = 50;
    IMAP("a NOOP\r\nb NO",
         IMAP_HELLO "a OK Nothing to do.\r\n* BYE It took too long to log in.\r\n");
    f->conf->login_timeout = 60000;
}

/* ---- POP3 ---- */

static void test_pop3(void **state)
{
    struct fixture *f = *state;
    POP3("CAPA\r\nstat\r\nQUIT\r\n",
         POP3_HELLO "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nSTLS\r\n"
                    "USER\r\nSASL PLAIN LOGIN SCRAM-SHA-256\r\nIMPLEMENTATION Dirigo\r\n.\r\n"
                    "-ERR Unknown, or not before login.\r\n+OK Bye.\r\n");
    POP3("USER bob\r\nPASS se cret\r\n",
         POP3_HELLO "+OK And the password?\r\npop3:  OK bob bob@example.org <>\r\n");
    POP3("PASS x\r\nUSER\r\nUSER bob\r\nPASS x\r\nPASS y\r\nUSER tmp\r\nPASS x\r\nQUIT\r\n",
         POP3_HELLO "-ERR USER comes first.\r\n-ERR A user name was expected.\r\n"
                    "+OK And the password?\r\n-ERR [AUTH] Authentication failed.\r\n"
                    "-ERR USER comes first.\r\n+OK And the password?\r\n"
                    "-ERR [SYS/TEMP] That cannot be decided now; try again later.\r\n+OK Bye.\r\n");
}

static void test_pop3_sasl(void **state)
{
    struct fixture *f = *state;
    POP3("AUTH PLAIN AGJvYgBzZSBjcmV0\r\n", POP3_HELLO "pop3:  OK bob bob@example.org <>\r\n");
    POP3("AUTH SCRAM-SHA-256\r\nYW5zd2Vy\r\n",
         POP3_HELLO "+ Z28gb24=\r\npop3:  OK bob bob@example.org <>\r\n");
    POP3("AUTH\r\nAUTH LOGIN\r\n*\r\nAUTH GSSAPI\r\nAUTH PLAIN = x\r\nAUTH PLAIN ?\r\nQUIT\r\n",
         POP3_HELLO "+OK\r\nPLAIN\r\nLOGIN\r\nSCRAM-SHA-256\r\n.\r\n"
                    "+ Z28gb24=\r\n-ERR Authentication cancelled.\r\n"
                    "-ERR This way of logging in is not offered.\r\n-ERR Too many arguments.\r\n"
                    "-ERR Malformed authentication data.\r\n+OK Bye.\r\n");
    f->conf->disable_plaintext_auth = true;
    POP3("CAPA\r\nUSER bob\r\nAUTH PLAIN AGJvYgBzZSBjcmV0\r\nQUIT\r\n",
         POP3_HELLO "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nSTLS\r\n"
                    "IMPLEMENTATION Dirigo\r\n.\r\n-ERR Use TLS first.\r\n-ERR Use TLS first.\r\n"
                    "+OK Bye.\r\n");
    f->conf->disable_plaintext_auth = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_imap_commands),   cmocka_unit_test(test_imap_login),
        cmocka_unit_test(test_imap_unread),     cmocka_unit_test(test_imap_sasl),
        cmocka_unit_test(test_notice),          cmocka_unit_test(test_imap_sasl),
        cmocka_unit_test(test_imap_clear_text), cmocka_unit_test(test_imap_bounds),
        cmocka_unit_test(test_imap_timeout),    cmocka_unit_test(test_pop3),
        cmocka_unit_test(test_pop3_sasl),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/*
 * dirigo-auth's exchanges through its own client: the real replica, the real secrets store and
 * Cyrus SASL; only dirigo-directory's binds are scripted.
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
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "directory/protocol.h"
#include "directory/secrets_store.h"
#include "gateway/base/clock.h"
#include "gateway/base/mem.h"
#include "gateway/base/ticket.h"
#include "sasl/auth.h"
#include "sasl/certificate.h"
#include "sasl/client.h"
#include "sasl/password.h"
#include "sasl/protocol.h"
#include "tests/unit/directory_fixture.h"

#define DELAY 60 /* ms */
#define SALT  "W22ZaJ0SNY7soEsUEjb6gQ=="
#define KEY                                                                                        \
    "SCRAM-SHA-256$4096:" SALT "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"                    \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const uint8_t ticket_key[TICKET_KEY_LEN] = {1, 2, 3};

struct world {
    struct fixture f;
    struct auth_process p;
    struct ipc_server *directory;
    int binds, sessions;
    struct auth_client *client;
    struct auth_session session;
    struct auth *auth;
    /* the last answer */
    enum auth_result result;
    char challenge[256];
    char login[64], address[64], dn[64];
    bool has_host;
    struct password_end end;
    bool has_ticket; /* that opens the mailbox of who logged in */
};

static char *mechanisms[] = {(char *)"plain", (char *)"login", (char *)"scram-sha-256", NULL};
static char *no_networks[] = {NULL};

/* ---- around dirigo-auth ---- */

static int bind_request(struct ipc_peer *peer, struct msg *m, void *arg)
{
    struct world *w = arg;
    struct uuid who = msg_get_uuid(m), one = fixture_uuid(1);
    const char *password = msg_get_str(m);
    assert_int_equal(msg_type(m), DIRECTORY_MSG_BIND);
    assert_int_equal(msg_end(m), 0);
    w->binds++;
    if (strcmp(password, "hang") == 0)
        return 0;
    struct msg *answer = msg_new(DIRECTORY_MSG_BIND_RESULT);
    bool ends = strcmp(password, "ends") == 0, grace = strcmp(password, "grace") == 0;
    bool right = uuid_eq(&who, &one) && (strcmp(password, "right") == 0 || ends || grace);
    msg_put_u8(answer, strcmp(password, "down") == 0 ? DIRECTORY_BIND_UNAVAILABLE
                       : right                       ? DIRECTORY_BIND_OK
                                                     : DIRECTORY_BIND_INVALID);
    msg_put_str(answer, "");
    msg_put_u8(answer, ends ? PASSWORD_EXPIRES : grace ? PASSWORD_GRACE : PASSWORD_END_UNSAID);
    msg_put_u32(answer, ends ? 90000 : grace ? 2 : 0);
    ipc_reply(peer, msg_id(m), &answer);
    return 0;
}

static const struct ipc_server_ops bind_ops = {.request = bind_request};

static bool session_begin(void *arg)
{
    struct world *w = arg;
    w->sessions++;
    return true;
}

static void session_end(void *arg)
{
    struct world *w = arg;
    w->sessions--;
}

static void report(const char *text, void *arg)
{
    (void)text;
    (void)arg;
}

static int listen_at(struct world *w, const char *name, char *path, size_t size)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    (void)snprintf(path, size, "%s/%s", w->f.state, name);
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 10), 0);
    return fd;
}

static void fill_directory(struct world *w)
{
    char dir[96], *error = NULL;
    struct uuid alice = fixture_uuid(1);
    PUT(&w->f, 1, ENTRY_USER, "uid=alice,dc=x", {ATTR_UID, "alice"}, {ATTR_MAIL, "alice@x.org"},
        {ATTR_MAIL_HOST, "MX.example.org"});
    PUT(&w->f, 2, ENTRY_USER | ENTRY_DISABLED | ENTRY_NO_LOGIN, "uid=dave,dc=x",
        {ATTR_UID, "dave"});
    PUT(&w->f, 3, ENTRY_USER, "uid=eve,dc=x", {ATTR_UID, "eve"}, {ATTR_MAIL, "eve@x.org"});
    (void)snprintf(dir, sizeof(dir), "%s/secrets", w->f.state);
    assert_int_equal(mkdir(dir, 0700), 0);
    struct secrets_store *store = secrets_store_open(dir, 64 << 20, &error);
    assert_non_null(store);
    assert_int_equal(secrets_store_begin(store), 0);
    assert_int_equal(secrets_store_put(store, &alice, KEY, sizeof(KEY)), 0);
    assert_int_equal(secrets_store_set_complete(store, true), 0);
    assert_int_equal(secrets_store_commit(store), 0);
    secrets_store_close(&store);
    w->p.secrets = secrets_open(&w->f.conf, &error);
    assert_non_null(w->p.secrets);
}

static int set_up(void **state)
{
    struct world *w = mem_zalloc(sizeof(*w));
    struct conf *conf = &w->f.conf;
    const struct throttle_limits limits = {.delay = DELAY,
                                           .delay_max = DELAY,
                                           .memory = 60000,
                                           .entries = 100,
                                           .network_free = 20,
                                           .bits_ipv4 = 24,
                                           .bits_ipv6 = 64,
                                           .peer_max = 2,
                                           .login_max = 100};
    char path[96];

    fixture_open(&w->f);
    conf->auth_mechanisms = (struct conf_list){.n = 3, .v = mechanisms};
    conf->mynetworks = (struct conf_list){.n = 0, .v = no_networks};
    conf->auth_failure_delay = DELAY;
    conf->auth_timeout = 5000;
    conf->auth_exchange_limit = 10;
    conf->auth_scram_iterations = 4096;
    conf->disable_plaintext_auth = true;
    fill_directory(w);
    w->p.conf = conf;
    w->p.ticket_key = ticket_key;
    w->p.directory = w->f.directory;
    w->p.loop = loop_new();
    w->p.hooks = (struct auth_hooks){session_begin, session_end, report, w};
    w->p.throttle = throttle_new(&limits);
    w->p.guesses = guesses_new(100, 100, 60000);
    w->p.used_codes = used_codes_new();
    w->p.cyrus = cyrus_new(conf);
    assert_non_null(w->p.cyrus);
    w->directory = ipc_server_new(w->p.loop, listen_at(w, "directory.sock", path, sizeof(path)),
                                  DIRECTORY_SERVICE, DIRECTORY_VERSION, &bind_ops, w);
    w->p.binder = ipc_client_new(w->p.loop, path, DIRECTORY_SERVICE, DIRECTORY_VERSION);
    w->p.server = ipc_server_new(w->p.loop, listen_at(w, "auth.sock", path, sizeof(path)),
                                 AUTH_SERVICE, AUTH_VERSION, &exchange_ops, &w->p);
    w->client = auth_client_new(w->p.loop, path, conf);
    w->session = (struct auth_session){.service = "imap", .id = "session", .tls = true};
    assert_int_equal(netaddr_parse(&w->session.peer, "192.0.2.1"), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    static const char *const files[] = {"secrets/data.mdb", "secrets/lock.mdb", "secrets/boot",
                                        "directory.sock", "auth.sock"};
    char path[128];
    auth_free(&w->auth);
    auth_client_free(&w->client);
    ipc_server_free(&w->p.server);
    ipc_client_free(&w->p.binder);
    ipc_server_free(&w->directory);
    assert_int_equal(w->sessions, 0);
    assert_int_equal(w->p.exchanges, 0);
    throttle_free(&w->p.throttle);
    guesses_free(&w->p.guesses);
    used_codes_free(&w->p.used_codes);
    cyrus_free(&w->p.cyrus);
    secrets_close(&w->p.secrets);
    loop_free(&w->p.loop);
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", w->f.state, files[i]);
        unlink(path);
    }
    (void)snprintf(path, sizeof(path), "%s/secrets", w->f.state);
    rmdir(path);
    fixture_close(&w->f);
    free(w);
    return 0;
}

/* ---- a front end ---- */

static void answered(const struct auth_reply *reply, void *arg)
{
    struct world *w = arg;
    w->result = reply->result;
    (void)snprintf(w->challenge, sizeof(w->challenge), "%.*s", (int)reply->challenge_len,
                   (const char *)reply->challenge);
    if (reply->identity != NULL) {
        const struct auth_identity *id = reply->identity;
        (void)snprintf(w->login, sizeof(w->login), "%s", id->login);
        (void)snprintf(w->address, sizeof(w->address), "%s", id->address);
        (void)snprintf(w->dn, sizeof(w->dn), "%s", id->dn);
        w->has_host = id->mail_host != NULL;
        w->end = id->password_end;
        w->has_ticket = ticket_valid(ticket_key, &id->owner, "session", clock_now_ms(), id->ticket,
                                     id->ticket_len);
    }
    loop_stop(w->p.loop);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void auth_again(struct world *w)
{
    auth_free(&w->auth);
    w->auth = auth_new(w->client, &w->session, answered, w);
}

static enum auth_result login(struct world *w, const char *user, const char *password)
{
    auth_again(w);
    auth_login(w->auth, user, password);
    loop_run(w->p.loop);
    return w->result;
}

static enum auth_result start(struct world *w, const char *mechanism, const char *initial)
{
    auth_again(w);
    auth_start(w->auth, mechanism, initial, initial == NULL ? 0 : strlen(initial));
    loop_run(w->p.loop);
    return w->result;
}

/* How long a login took that is refused. */
static int64_t refused(struct world *w, const char *user, const char *password, int binds)
{
    int before = w->binds;
    int64_t begin = now_ms();
    assert_int_equal(login(w, user, password), AUTH_DENIED);
    assert_int_equal(w->binds - before, binds);
    return now_ms() - begin;
}

/* ---- tests ---- */

static void test_password(void **state)
{
    struct world *w = *state;
    assert_int_equal(login(w, "Alice@X.org", "right"), AUTH_OK);
    assert_string_equal(w->login, "alice");
    assert_string_equal(w->address, "alice@x.org");
    assert_string_equal(w->dn, "uid=alice,dc=x");
    assert_false(w->has_host); /* mailHost is this host */
    assert_true(w->has_ticket);
    assert_int_equal(login(w, "alice", "down"), AUTH_TEMPORARY);
    /* LOGIN asks twice. */
    assert_int_equal(start(w, "LOGIN", NULL), AUTH_CONTINUE);
    auth_step(w->auth, "alice", 5);
    loop_run(w->p.loop);
    assert_int_equal(w->result, AUTH_CONTINUE);
    auth_step(w->auth, "right", 5);
    loop_run(w->p.loop);
    assert_int_equal(w->result, AUTH_OK);
}

/* What the directory says of a password that is right reaches the front end, of this login alone.
 */
static void test_password_ends(void **state)
{
    struct world *w = *state;
    assert_int_equal(login(w, "alice", "ends"), AUTH_OK);
    assert_int_equal(w->end.kind, PASSWORD_EXPIRES);
    assert_int_equal(w->end.value, 90000);
    assert_int_equal(login(w, "alice", "grace"), AUTH_OK);
    assert_int_equal(w->end.kind, PASSWORD_GRACE);
    assert_int_equal(w->end.value, 2);
    assert_int_equal(login(w, "alice", "right"), AUTH_OK);
    assert_int_equal(w->end.kind, PASSWORD_END_UNSAID);
}

static void test_refusals_take_the_same_time(void **state)
{
    struct world *w = *state;
    assert_in_range(refused(w, "alice", "wrong", 1), DELAY - 5, DELAY + 2000);
    assert_in_range(refused(w, "nobody", "wrong", 0), DELAY - 5, DELAY + 2000);
    /* Neither a disabled entry nor an empty password reaches the directory server. */
    assert_in_range(refused(w, "dave", "right", 0), DELAY - 5, DELAY + 2000);
    assert_in_range(refused(w, "alice", "", 0), DELAY - 5, DELAY + 2000);
}

static void test_unknown_is_temporary(void **state)
{
    struct world *w = *state;
    fixture_sync(&w->f, false, FIXTURE_NOW - 10, FIXTURE_NOW);
    assert_int_equal(login(w, "nobody", "x"), AUTH_TEMPORARY);
    assert_int_equal(login(w, "alice", "right"), AUTH_OK);
    assert_int_equal(start(w, "SCRAM-SHA-256", "n,,n=nobody,r=abc"), AUTH_TEMPORARY);
    /* Past directory_stale_login_time nobody can be told. */
    fixture_sync(&w->f, false, FIXTURE_NOW - 60, FIXTURE_NOW);
    assert_int_equal(login(w, "alice", "right"), AUTH_TEMPORARY);
    assert_int_equal(start(w, "SCRAM-SHA-256", "n,,n=alice,r=abc"), AUTH_TEMPORARY);
}

static void test_keys(void **state)
{
    struct world *w = *state;
    char first[256];
    assert_int_equal(start(w, "scram-sha-256", "n,,n=alice,r=abc"), AUTH_CONTINUE);
    assert_non_null(strstr(w->challenge, ",s=" SALT ",i=4096"));
    /* Who has no key, may not log in or does not exist has one too, and always the same. */
    static const char *const others[] = {"n,,n=eve,r=abc", "n,,n=dave,r=abc", "n,,n=nobody,r=abc"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(start(w, "SCRAM-SHA-256", others[i]), AUTH_CONTINUE);
        assert_non_null(strstr(w->challenge, ",i=4096"));
        (void)snprintf(first, sizeof(first), "%s", strstr(w->challenge, ",s="));
        assert_int_equal(start(w, "SCRAM-SHA-256", others[i]), AUTH_CONTINUE);
        assert_string_equal(strstr(w->challenge, ",s="), first);
    }
    auth_step(w->auth, "c=biws,r=x,p=eA==", 17);
    loop_run(w->p.loop);
    assert_in_set(w->result, ((unsigned long[]){AUTH_DENIED, AUTH_BAD_SYNTAX}), 2);
}

static void test_what_is_not_offered(void **state)
{
    struct world *w = *state;
    assert_int_equal(start(w, "SCRAM-SHA-512", "n,,n=alice,r=abc"), AUTH_BAD_MECH);
    assert_int_equal(start(w, "EXTERNAL", ""), AUTH_BAD_MECH);
    assert_int_equal(start(w, "PLAIN", "junk"), AUTH_BAD_SYNTAX);
    w->session.tls = false;
    assert_int_equal(login(w, "alice", "right"), AUTH_BAD_MECH);
    w->f.conf.disable_plaintext_auth = false;
    assert_int_equal(login(w, "alice", "right"), AUTH_BAD_MECH); /* not from there */
    assert_int_equal(netaddr_parse(&w->session.peer, "127.0.0.1"), 0);
    assert_int_equal(login(w, "alice", "right"), AUTH_OK);
}

static void named(const char *subject, const char *rules, const char *name)
{
    char *found = certificate_name_by_rule(subject, rules);
    if (name == NULL)
        assert_null(found);
    else
        assert_string_equal(found, name);
    free(found);
}

static void test_names_in_subjects(void **state)
{
    static const char staff[] = "CN=%u,OU=Staff,O=Example";
    (void)state;
    named("CN=Alice,OU=Staff,O=Example", staff, "alice");
    named("cn=a\\2cb\\+c,ou=staff,o=example", "CN=%u, OU=Staff, O=Example", "a,b+c");
    named("UID=eve,DC=x", "CN=%u,OU=Staff,O=Example | UID=%u,DC=x", "eve");
    static const char *const strangers[] = {
        "OU=Staff,O=Example",
        "CN=alice,OU=Staff,O=Example,C=XX",
        "CN=alice,CN=eve,OU=Staff,O=Example",
        "CN=alice+UID=eve,OU=Staff,O=Example",
        "CN=alice,OU=Guests,O=Example",
        "CN=a\\00b,OU=Staff,O=Example",
        "SN=alice,OU=Staff,O=Example",
        "",
        "junk",
    };
    for (size_t i = 0; i < sizeof(strangers) / sizeof(*strangers); i++)
        named(strangers[i], staff, NULL);
    named("CN=alice,OU=Staff,O=Example", "junk | ", NULL);
    named("CN=alice,CN=eve", "CN=%u,CN=%u", NULL);
    static const char subject[] = "CN=Eve Adams+emailAddress=eve@x.org,O=Example";
    static const char *const fields[][2] = {
        {"commonName", "eve adams"}, {"emailAddress", "eve@x.org"}, {"o", "example"}};
    for (size_t i = 0; i < 3; i++) {
        char *value = certificate_field(subject, fields[i][0]);
        assert_string_equal(value, fields[i][1]);
        free(value);
    }
    assert_null(certificate_field(subject, "UID"));
}

static void test_bounds(void **state)
{
    struct world *w = *state;
    struct auth *held[2];
    /* Two exchanges from one address, and no more. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(start(w, "LOGIN", NULL), AUTH_CONTINUE);
        held[i] = w->auth;
        w->auth = NULL;
    }
    assert_int_equal(start(w, "LOGIN", NULL), AUTH_TEMPORARY);
    auth_free(&held[0]);
    assert_int_equal(start(w, "LOGIN", NULL), AUTH_CONTINUE);
    auth_free(&held[1]);
    /* What takes too long is forgotten, whoever dawdles. */
    w->f.conf.auth_timeout = 30;
    assert_int_equal(login(w, "alice", "hang"), AUTH_TEMPORARY);
    assert_int_equal(start(w, "LOGIN", NULL), AUTH_CONTINUE);
    usleep(60000);
    auth_step(w->auth, "alice", 5);
    loop_run(w->p.loop);
    assert_int_equal(w->result, AUTH_TEMPORARY);
}

static void test_hanging_up(void **state)
{
    struct world *w = *state;
    auth_again(w);
    auth_login(w->auth, "alice", "hang");
    /* The next login is answered after the first one has reached the directory. */
    struct auth *hanging = w->auth;
    w->auth = NULL;
    assert_int_equal(login(w, "alice", "right"), AUTH_OK);
    assert_int_equal(w->binds, 2);
    auth_free(&hanging);
    assert_int_equal(login(w, "nobody", "x"), AUTH_DENIED);
    assert_int_equal(w->p.exchanges, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_password, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_password_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals_take_the_same_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_is_temporary, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_offered, set_up, tear_down),
        cmocka_unit_test(test_names_in_subjects),
        cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hanging_up, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

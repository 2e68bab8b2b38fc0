/* Conversations with Cyrus SASL's own client, keys made up for unknown names, and the throttle. */
#include <sasl/sasl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/clock.h"
#include "gateway/base/hmac.h"
#include "gateway/base/mem.h"
#include "gateway/base/str.h"
#include "sasl/conversation.h"
#include "sasl/fake.h"
#include "sasl/oauth_message.h"
#include "sasl/throttle.h"

/* SCRAM-SHA-256 of the password "pencil" (RFC 7677 section 3), and an older key beside it. */
#define PENCIL_256                                                                                 \
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"    \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#define CALLBACK(fn) ((int (*)(void))(void (*)(void))(fn))

static const uint8_t secret[FAKE_SECRET_LEN] = {1, 2, 3};

static int keys(const char *user, struct secrets_list *out, void *arg)
{
    const char *mechanism = arg;
    if (strcmp(user, "gone") == 0)
        return -1;
    out->count = 1;
    if (strcmp(user, "user") == 0 && str_istarts(mechanism, "SCRAM-SHA-256"))
        out->value[0] = mem_strdup(PENCIL_256);
    else
        out->value[0] = fake_key(secret, mechanism, 4096, user);
    return 0;
}

static const struct conversation_ops ops = {.keys = keys};
static struct cyrus *cyrus;
static struct conf *conf;

static struct conversation *converse(const char *mechanism, const char *binding)
{
    struct netaddr addr;
    assert_int_equal(netaddr_parse(&addr, "127.0.0.1"), 0);
    struct conversation_setup setup = {.service = "imap",
                                       .peer = &addr,
                                       .local = &addr,
                                       .tls_bits = 256,
                                       .binding_name = binding != NULL ? "tls-exporter" : NULL,
                                       .binding = binding,
                                       .binding_len = binding != NULL ? strlen(binding) : 0};
    return conversation_new(cyrus, &setup, &ops, (void *)(uintptr_t)mechanism);
}

/* ---- PLAIN and LOGIN ---- */

static enum conversation_result plain(const char *data, size_t len, const char *user,
                                      const char *password)
{
    struct conversation *c = converse("PLAIN", NULL);
    const char *out;
    size_t out_len;
    enum conversation_result r = conversation_start(c, "PLAIN", data, len, &out, &out_len);
    if (user != NULL) {
        assert_string_equal(conversation_user(c), user);
        assert_string_equal(conversation_password(c), password);
    }
    conversation_free(&c);
    return r;
}

#define PLAIN(data, user, password) plain(data, sizeof(data) - 1, user, password)

static void test_plain(void **state)
{
    (void)state;
    assert_int_equal(PLAIN("\0user\0pencil", "user", "pencil"), CONVERSATION_DONE);
    assert_int_equal(PLAIN("user\0user\0pencil", "user", "pencil"), CONVERSATION_DONE);
    assert_int_equal(PLAIN("user@example.org\0user\0p", "user", "p"), CONVERSATION_DONE);
    /* Nor is it judged here for whom somebody may act. */
    assert_int_equal(PLAIN("other\0user\0pencil", "user", "pencil"), CONVERSATION_DONE);
    assert_int_equal(PLAIN("user\0pencil", NULL, NULL), CONVERSATION_MALFORMED);
    assert_int_equal(PLAIN("", NULL, NULL), CONVERSATION_MALFORMED);
    /* Nobody is refused here: the password is verified afterwards. */
    assert_int_equal(PLAIN("\0nobody\0x", "nobody", "x"), CONVERSATION_DONE);
}

static void test_login(void **state)
{
    (void)state;
    struct conversation *c = converse("LOGIN", NULL);
    const char *out;
    size_t len;
    assert_int_equal(conversation_start(c, "LOGIN", NULL, 0, &out, &len), CONVERSATION_CONTINUE);
    assert_true(str_istarts(out, "User"));
    assert_int_equal(conversation_step(c, "user", 4, &out, &len), CONVERSATION_CONTINUE);
    assert_int_equal(conversation_step(c, "pen cil", 7, &out, &len), CONVERSATION_DONE);
    assert_string_equal(conversation_user(c), "user");
    assert_string_equal(conversation_password(c), "pen cil");
    conversation_free(&c);
    c = converse("GSSAPI", NULL);
    assert_int_equal(conversation_start(c, "GSSAPI", NULL, 0, &out, &len),
                     CONVERSATION_NO_MECHANISM);
    conversation_free(&c);
}

/* ---- SCRAM ---- */

struct person {
    const char *user, *password;
    sasl_secret_t *secret;
};

static int client_name(void *context, int id, const char **result, unsigned *len)
{
    const struct person *p = context;
    *result = id == SASL_CB_AUTHNAME ? p->user : "";
    if (len != NULL)
        *len = (unsigned)strlen(*result);
    return SASL_OK;
}

static int client_password(sasl_conn_t *conn, void *context, int id, sasl_secret_t **psecret)
{
    struct person *p = context;
    (void)conn;
    (void)id;
    size_t len = strlen(p->password);
    free(p->secret);
    p->secret = mem_zalloc(sizeof(*p->secret) + len);
    p->secret->len = len;
    memcpy(p->secret->data, p->password, len);
    *psecret = p->secret;
    return SASL_OK;
}

static enum conversation_result scram(const char *mechanism, const char *user, const char *password,
                                      const char *client_binding)
{
    struct person who = {.user = user, .password = password};
    sasl_callback_t callbacks[] = {
        {SASL_CB_AUTHNAME, CALLBACK(client_name), &who},
        {SASL_CB_USER, CALLBACK(client_name), &who},
        {SASL_CB_PASS, CALLBACK(client_password), &who},
        {SASL_CB_LIST_END, NULL, NULL},
    };
    sasl_channel_binding_t cb = {.name = "tls-exporter",
                                 .data = (const unsigned char *)client_binding,
                                 .len = client_binding != NULL ? strlen(client_binding) : 0};
    sasl_conn_t *client = NULL;
    const char *data, *used, *out;
    unsigned len;
    size_t out_len;
    assert_int_equal(sasl_client_new("imap", "mx.example.org", NULL, NULL, callbacks, 0, &client),
                     SASL_OK);
    if (client_binding != NULL)
        assert_int_equal(sasl_setprop(client, SASL_CHANNEL_BINDING, &cb), SASL_OK);
    assert_int_equal(sasl_client_start(client, mechanism, NULL, &data, &len, &used), SASL_CONTINUE);
    struct conversation *c = converse(mechanism, "0123456789abcdef");
    enum conversation_result r = conversation_start(c, mechanism, data, len, &out, &out_len);
    while (r == CONVERSATION_CONTINUE) {
        int rc = sasl_client_step(client, out, (unsigned)out_len, NULL, &data, &len);
        if (rc != SASL_OK && rc != SASL_CONTINUE)
            break;
        r = conversation_step(c, data, len, &out, &out_len);
    }
    assert_null(conversation_password(c));
    if (r == CONVERSATION_DONE)
        assert_string_equal(conversation_user(c), user);
    conversation_free(&c);
    sasl_dispose(&client);
    free(who.secret);
    return r;
}

static void test_scram(void **state)
{
    (void)state;
    assert_int_equal(scram("SCRAM-SHA-256", "user", "pencil", NULL), CONVERSATION_DONE);
    assert_int_equal(scram("SCRAM-SHA-256", "user", "pen", NULL), CONVERSATION_DENIED);
    /* An unknown name gets as far as a known one with a wrong password. */
    assert_int_equal(scram("SCRAM-SHA-256", "nobody", "pencil", NULL), CONVERSATION_DENIED);
    /* It has a plugin, but is not in auth_mechanisms. */
    assert_int_equal(scram("SCRAM-SHA-512", "user", "pencil", NULL), CONVERSATION_NO_MECHANISM);
    assert_int_equal(scram("SCRAM-SHA-256", "gone", "pencil", NULL), CONVERSATION_UNAVAILABLE);
}

static void test_binding(void **state)
{
    (void)state;
    assert_int_equal(scram("SCRAM-SHA-256-PLUS", "user", "pencil", "0123456789abcdef"),
                     CONVERSATION_DONE);
    assert_int_not_equal(scram("SCRAM-SHA-256-PLUS", "user", "pencil", "0123456789abcdee"),
                         CONVERSATION_DONE);
}

/* ---- made-up keys ---- */

static void test_hmac(void **state)
{
    (void)state;
    /* RFC 4231, test cases 2 and 6. */
    uint8_t out[HMAC_LEN], key[131];
    char hex[2 * HMAC_LEN + 1];
    hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    str_hex(hex, out, sizeof(out));
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    hmac_sha256(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First", 54,
                out);
    str_hex(hex, out, sizeof(out));
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_fake(void **state)
{
    (void)state;
    char *a = fake_key(secret, "SCRAM-SHA-256-PLUS", 4096, "nobody");
    char *b = fake_key(secret, "scram-sha-256", 4096, "nobody");
    char *c = fake_key(secret, "SCRAM-SHA-512", 4096, "nobody");
    char *d = fake_key(secret, "SCRAM-SHA-256", 4096, "nobody2");
    assert_string_equal(a, b);
    assert_true(str_istarts(a, "SCRAM-SHA-256$4096:"));
    assert_true(str_istarts(c, "SCRAM-SHA-512$4096:"));
    assert_memory_not_equal(a + 19, d + 19, 16);
    assert_int_equal(strlen(a), 19 + 16 + 1 + 44 + 1 + 44);
    assert_null(fake_key(secret, "PLAIN", 4096, "nobody"));
    free(a);
    free(b);
    free(c);
    free(d);
}

/* ---- access tokens ---- */

static void parsed(const char *text, bool gs2, const char *user, const char *token)
{
    struct oauth_message m;
    size_t len = strlen(text);
    /* No part of it is a message. */
    for (size_t i = 0; i < len; i++)
        assert_int_equal(oauth_message_parse(text, i, gs2, &m), -1);
    assert_int_equal(oauth_message_parse(text, len, gs2, &m), 0);
    assert_string_equal(m.token, token);
    if (user == NULL)
        assert_null(m.user);
    else
        assert_string_equal(m.user, user);
    oauth_message_clear(&m);
}

static void test_oauth_message(void **state)
{
    (void)state;
    parsed("n,a=a=2Cb=3D@x,\001host=h\001port=1\001auth=Bearer tok\001\001", true, "a,b=@x", "tok");
    parsed("y,,\001auth=bearer t.o-k_~+/=\001x=\001\001", true, NULL, "t.o-k_~+/=");
    parsed("user=me@x\001auth=Bearer tok\001\001", false, "me@x", "tok");
    parsed("user=\001auth=Bearer tok\001\001", false, NULL, "tok");
}

/* ---- throttle ---- */

static void test_throttle(void **state)
{
    (void)state;
    const struct throttle_limits limits = {.delay = 100,
                                           .delay_max = 1000,
                                           .memory = 60000,
                                           .entries = 12,
                                           .network_free = 3,
                                           .bits_ipv4 = 20,
                                           .bits_ipv6 = 64,
                                           .peer_max = 2};
    struct throttle *t = throttle_new(&limits);
    struct netaddr a, b, c, d;
    (void)netaddr_parse(&a, "2001:db8::1");
    (void)netaddr_parse(&b, "2001:db8::2");
    (void)netaddr_parse(&c, "2001:db8::3");
    (void)netaddr_parse(&d, "2001:db8:0:1::1");
    clock_set_fake(1000, 1000);

    /* By login. */
    assert_int_equal(throttle_failed(t, NULL, "bob"), 100);
    assert_int_equal(throttle_failed(t, NULL, "bob"), 200);
    assert_int_equal(throttle_failed(t, NULL, "alice"), 100);
    throttle_succeeded(t, "bob");
    assert_int_equal(throttle_failed(t, NULL, "bob"), 100);
    /* By address. */
    assert_int_equal(throttle_failed(t, &a, "x"), 100);
    assert_int_equal(throttle_failed(t, &a, "y"), 200);
    throttle_succeeded(t, "y");
    assert_int_equal(throttle_failed(t, &a, "y"), 400);
    /* By network: the two are of one /64, where three are free. */
    assert_int_equal(throttle_failed(t, &b, "z"), 100);
    assert_int_equal(throttle_failed(t, &b, "u"), 200);
    assert_int_equal(throttle_failed(t, &b, "v"), 400);
    assert_int_equal(throttle_failed(t, &c, "w"), 800);
    assert_int_equal(throttle_failed(t, &c, "w"), 1000);
    assert_int_equal(throttle_failed(t, &d, "1"), 100);
    /* With time they fade: of c two become one, of the network eight become four. */
    clock_set_fake(1000 + 60000, 1060);
    assert_int_equal(throttle_failed(t, &c, "2"), 200);
    clock_set_fake(1000 + 600000, 1600);
    assert_int_equal(throttle_failed(t, &c, "3"), 100);
    /* Open exchanges. */
    assert_true(throttle_enter(t, &a));
    assert_true(throttle_enter(t, &b));
    assert_false(throttle_enter(t, &a));
    throttle_leave(t, &b);
    assert_true(throttle_enter(t, &a));
    /* The table is bounded; what is open stays. */
    for (int i = 0; i < 1000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "n%d", i);
        (void)throttle_failed(t, NULL, name);
    }
    assert_false(throttle_enter(t, &a));
    assert_int_equal(throttle_failed(t, NULL, "n0"), 100);
    assert_int_equal(throttle_failed(t, NULL, "n999"), 200);
    throttle_free(&t);
    clock_set_fake(-1, -1);
}

/* Only the plugins under test are loaded: some others leak as they start, which is not our fault.
 */
static int client_verify_file(void *context, const char *file, sasl_verify_type_t type)
{
    (void)context;
    return type != SASL_VRFY_PLUGIN || strstr(file, "/libplain.") != NULL ||
                   strstr(file, "/liblogin.") != NULL || strstr(file, "/libscram.") != NULL
               ? SASL_OK
               : SASL_CONTINUE;
}

static int set_up(void **state)
{
    static const sasl_callback_t callbacks[] = {
        {SASL_CB_VERIFYFILE, CALLBACK(client_verify_file), NULL}, {SASL_CB_LIST_END, NULL, NULL}};
    (void)state;
    conf = conf_defaults();
    cyrus = conf == NULL ? NULL : cyrus_new(conf);
    return cyrus != NULL && sasl_client_init(callbacks) == SASL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sasl_client_done();
    cyrus_free(&cyrus);
    conf_free(&conf);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hmac),          cmocka_unit_test(test_fake),
        cmocka_unit_test(test_oauth_message), cmocka_unit_test(test_throttle),
        cmocka_unit_test(test_plain),         cmocka_unit_test(test_login),
        cmocka_unit_test(test_scram),         cmocka_unit_test(test_binding),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

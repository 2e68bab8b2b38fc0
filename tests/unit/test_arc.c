/* ARC: the validation tests of the public suite (tests/data/arc.tests), and chains of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/str.h"
#include "gateway/filter/arc.h"

enum {
    KEYS_MAX = 16
};

struct keys {
    char *name[KEYS_MAX], *record[KEYS_MAX];
    size_t count;
};

static const struct signature_limits limits = {
    .now = 1528640000, .drift = 300, .minimum_rsa = 1024};

static void answer(struct arc_verifier *v, size_t i, const struct keys *keys)
{
    struct dns_record record = {.type = DNS_TYPE_TXT};
    struct dns_answer a = {.status = DNS_NXDOMAIN, .why = "", .records = &record};

    /* The last one of a name holds. */
    for (size_t k = 0; k < keys->count; k++) {
        if (str_ieq(keys->name[k], arc_question(v, i))) {
            record.data = (const uint8_t *)keys->record[k];
            record.len = strlen(keys->record[k]);
            a.status = *keys->record[k] == '!' ? DNS_UNKNOWN : DNS_FOUND;
            a.count = 1;
        }
    }
    arc_answer(v, i, &a);
}

/* The result of a message's chain; with how, one more set is put in front of it. */
static struct arc_result judge(struct buf *message, const struct keys *keys,
                               const struct arc_sealing *how, int *sealed)
{
    struct arena *arena = arena_new(1 << 20);
    struct bodyhash *hashes = bodyhash_new(2);
    struct fields fields;
    struct arc_result result;
    struct buf out = {0};
    size_t body;

    assert_int_equal(fields_read(&fields, buf_str(message), message->len, 200, arena, &body), 0);
    struct arc_verifier *v = arc_verifier_new(&fields, hashes, &limits, arena);
    int form = arc_seal_want(hashes);
    bodyhash_push(hashes, message->data + body, message->len - body);
    bodyhash_finish(hashes);
    for (size_t i = 0; arc_question(v, i) != NULL; i++)
        answer(v, i, keys);
    arc_result(v, &result);
    if (how != NULL) {
        *sealed = arc_seal(how, v, &fields, hashes, form, &out);
        buf_append(&out, message->data, message->len);
        buf_clear(message);
        buf_append(message, out.data, out.len);
    }
    result.sealer = result.results = NULL; /* they go with the arena */
    buf_free(&out);
    arc_verifier_free(&v);
    bodyhash_free(&hashes);
    arena_free(&arena);
    return result;
}

static void keys_add(struct keys *keys, const char *name, const char *record)
{
    size_t i = 0;

    while (i < keys->count && strcmp(keys->name[i], name) != 0)
        i++;
    assert_true(i < KEYS_MAX);
    if (i == keys->count)
        keys->name[keys->count++] = mem_strdup(name);
    free(keys->record[i]);
    keys->record[i] = mem_strdup(record);
}

static void keys_free(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->name[i]);
        free(keys->record[i]);
    }
}

static void test_suite(void **state)
{
    FILE *file = fopen(DATA_DIR "/arc.tests", "r");
    struct buf message = {0};
    struct keys keys = {.count = 0};
    char *line = NULL;
    size_t size = 0;
    unsigned tests = 0, failures = 0;

    (void)state;
    assert_non_null(file);
    while (getline(&line, &size, file) != -1) {
        line[strcspn(line, "\n")] = '\0';
        char *rest = line, *kind = strsep(&rest, "\t");
        if (*kind == 'K') {
            char *name = strsep(&rest, "\t");
            keys_add(&keys, name, rest);
        } else if (*kind == 'B') {
            buf_clear(&message);
        } else if (*kind == '.') {
            buf_printf(&message, "%s%s%s\r\n", line + 1, rest != NULL ? "\t" : "",
                       rest != NULL ? rest : "");
        } else if (*kind == 'T') {
            char *name = strsep(&rest, "\t");
            struct arc_result r = judge(&message, &keys, NULL, NULL);
            tests++;
            if (strcmp(auth_result_name(r.result), rest) != 0) {
                failures++;
                print_message("%s: got %s (%s), not %s\n", name, auth_result_name(r.result),
                              r.reason, rest);
            }
        }
    }
    fclose(file);
    free(line);
    buf_free(&message);
    keys_free(&keys);
    assert_true(tests > 170);
    assert_int_equal(failures, 0);
}

/* ---- sealing ---- */

static const char ed_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";
static const char ed_record[] =
    "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
static const char *const names[] = {"from", "to", "subject", NULL};
static const char *const oversign[] = {"from", NULL};

struct world {
    struct buf message;
    struct keys keys;
    struct private_key *key;
    struct arc_sealing how;
};

static void world_new(struct world *w)
{
    const char *why;

    *w = (struct world){0};
    buf_append_str(&w->message,
                   "From: a@example.org\r\nTo: b@example.net\r\nSubject: x\r\n\r\nBody\r\n");
    keys_add(&w->keys, "s1._domainkey.example.org", ed_record);
    w->key = private_key_new(ed_private, sizeof(ed_private) - 1, &why);
    w->how = (struct arc_sealing){.key = w->key,
                                  .domain = "example.org",
                                  .selector = "s1",
                                  .names = names,
                                  .oversign = oversign,
                                  .now = limits.now,
                                  .results = "mx.example.org;\r\n\tspf=pass"};
}

static void world_free(struct world *w)
{
    private_key_free(&w->key);
    buf_free(&w->message);
    keys_free(&w->keys);
}

static void test_seals_chain_up(void **state)
{
    struct world w;
    int sealed = -1;

    (void)state;
    world_new(&w);
    for (unsigned i = 0; i < ARC_INSTANCES_MAX; i++) {
        struct arc_result r = judge(&w.message, &w.keys, &w.how, &sealed);
        assert_int_equal(sealed, 0);
        assert_int_equal(r.result, i == 0 ? AUTH_NONE : AUTH_PASS);
        assert_int_equal(r.instances, i);
    }
    judge(&w.message, &w.keys, &w.how, &sealed);
    assert_int_equal(sealed, 1); /* no more than 50 */
    world_free(&w);
}

/* A changed message fails the chain; one more seal says so, and then nobody seals any more. */
static void test_broken_chain(void **state)
{
    struct world w;
    int sealed;

    (void)state;
    world_new(&w);
    judge(&w.message, &w.keys, &w.how, &sealed);
    buf_append_str(&w.message, "footer\r\n");
    struct arc_result r = judge(&w.message, &w.keys, &w.how, &sealed);
    assert_int_equal(r.result, AUTH_FAIL);
    assert_string_equal(r.reason, "the body was changed");
    assert_int_equal(sealed, 0);
    assert_non_null(strstr(buf_str(&w.message), "cv=fail"));
    r = judge(&w.message, &w.keys, &w.how, &sealed);
    assert_int_equal(r.result, AUTH_FAIL);
    assert_int_equal(sealed, 1);
    world_free(&w);
}

/* What the DNS cannot say now breaks nothing for good. */
static void test_unknown_key(void **state)
{
    struct world w;
    int sealed;

    (void)state;
    world_new(&w);
    judge(&w.message, &w.keys, &w.how, &sealed);
    keys_add(&w.keys, "s1._domainkey.example.org", "!");
    struct arc_result r = judge(&w.message, &w.keys, &w.how, &sealed);
    assert_int_equal(r.result, AUTH_TEMPERROR);
    assert_int_equal(sealed, 1);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),
        cmocka_unit_test(test_seals_chain_up),
        cmocka_unit_test(test_broken_chain),
        cmocka_unit_test(test_unknown_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

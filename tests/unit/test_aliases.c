/* /etc/aliases, each text read whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/proto/aliases.h"

/* What is read, as text: "LINE NAME" and " K[TEXT]", or "LINE! FAULT". */
static const struct {
    const char *text, *expected;
    bool list;
} cases[] = {
    {"", "", false},
    {"# a comment\n\n   \n  # another\n", "", false},
    {"postmaster: root\n", "1 postmaster a[root]\n", false},
    {"Root:alice@example.org , bob", "1 root a[alice@example.org] a[bob]\n", false},
    {"staff: a,\n  b,\n\n# between\n\t c\r\nx : y\r\n", "1 staff a[a] a[b] a[c]\n6 x a[y]\n",
     false},
    {"a: \\a, copy@example.net\n", "1 a \\[a] a[copy@example.net]\n", false},
    {"list: :include:/etc/mail/list, \":include:/etc/my list\"\n",
     "1 list :[/etc/mail/list] :[/etc/my list]\n", false},
    {"p: |/bin/cat, \"|/usr/bin/vacation -a \\\"x y\\\" z\", |\"prog a, b\"\n",
     "1 p |[/bin/cat] |[/usr/bin/vacation -a \"x y\" z] |[prog a, b]\n", false},
    {"nobody: /dev/null, \"/var/mail/with space\"\n",
     "1 nobody /[/dev/null] /[/var/mail/with space]\n", false},
    {"\"some one\": \"plain\", \"two words\"@example.org, \"a,b\"@example.org\n",
     "1 some one a[plain] a[\"two words\"@example.org] a[\"a,b\"@example.org]\n", false},
    {"x: Some One <one@example.org>, \"Two, T.\" <two@example.org>\n",
     "1 x a[one@example.org] a[two@example.org]\n", false},
    {"no colon here\nok: yes\n", "1! no name and colon before the targets\n2 ok a[yes]\n", false},
    {"  stray\nok: yes\n", "1! no name and colon before the targets\n2 ok a[yes]\n", false},
    {"e:\nf: , ,\n", "1! the alias has no target\n2! the alias has no target\n", false},
    {"q: \"open\nok: yes\n", "1! a quote that does not end\n2 ok a[yes]\n", false},
    {"c: a\001b\n", "1! a control character\n", false},
    {"c: \xff\n", "1! neither ASCII nor UTF-8\n", false},
    {"# members\n  a@example.org, b\n\nc\n", "2  a[a@example.org] a[b]\n4  a[c]\n", true},
};

static void take(struct aliases_parser *p, struct buf *out)
{
    static const char kinds[] = {[ALIAS_ADDRESS] = 'a',
                                 [ALIAS_ACCOUNT] = '\\',
                                 [ALIAS_INCLUDE] = ':',
                                 [ALIAS_COMMAND] = '|',
                                 [ALIAS_FILE] = '/'};
    struct alias_entry entry;
    struct aliases_fault fault;
    int rc = aliases_next(p, &entry, &fault);
    if (rc == -1)
        buf_printf(out, "%zu! %s\n", fault.line, fault.text);
    if (rc != 1)
        return;
    buf_printf(out, "%zu %s", entry.line, entry.name);
    for (size_t i = 0; i < entry.count; i++)
        buf_printf(out, " %c[%s]", kinds[entry.targets[i].kind], entry.targets[i].text);
    buf_append_byte(out, '\n');
    assert_int_equal(aliases_next(p, &entry, &fault), 0);
}

static void read_all(const char *text, size_t step, bool list, struct buf *out)
{
    struct aliases_parser p = {.list = list};
    for (size_t len = strlen(text); len > 0;) {
        size_t taken = aliases_push(&p, text, len < step ? len : step);
        text += taken;
        len -= taken;
        take(&p, out);
    }
    aliases_end(&p);
    take(&p, out);
    aliases_free(&p);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step < 64; step += 62) {
            struct buf out = {0};
            read_all(cases[i].text, step == 1 ? 1 : SIZE_MAX, cases[i].list, &out);
            assert_string_equal(buf_str(&out), cases[i].expected);
            buf_free(&out);
        }
    }
}

static void test_overlong(void **state)
{
    struct aliases_parser p = {0};
    struct alias_entry entry;
    struct aliases_fault fault;
    char chunk[4096];
    (void)state;
    memset(chunk, 'x', sizeof chunk);
    for (size_t n = 0; n <= ALIASES_LINE_MAX; n += sizeof chunk)
        assert_int_equal(aliases_push(&p, chunk, sizeof chunk), sizeof chunk);
    assert_int_equal(aliases_push(&p, "\na: b\n", 6), 1);
    assert_int_equal(aliases_next(&p, &entry, &fault), -1);
    assert_string_equal(fault.text, "the entry is too long");
    assert_int_equal(aliases_push(&p, "a: b\n", 5), 5);
    aliases_end(&p);
    assert_int_equal(aliases_next(&p, &entry, &fault), 1);
    assert_string_equal(entry.targets[0].text, "b");
    aliases_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_overlong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

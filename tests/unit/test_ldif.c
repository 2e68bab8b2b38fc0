/* LDIF, each text read whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/proto/ldif.h"

/* What is read, as text: "LINE CHANGE DN" and " OP NAME=VALUE@LINE", or "LINE! FAULT". */
static const struct {
    const char *ldif, *expected;
} cases[] = {
    {"", ""},
    {"\n\n# only a comment\n\n", ""},
    {"version: 1\n\ndn: dc=x\ndc: x\n", "3 0 dc=x 0 dc=x@4\n"},
    {"version: 1\ndn: dc=x\ndc: x", "2 0 dc=x 0 dc=x@3\n"},
    {"version: 2\n\ndn: dc=x\ndc: x\n", "1! only version 1 is known\n3 0 dc=x 0 dc=x@4\n"},
    {"dn: dc=x\r\ndc:x\r\n\r\n\r\ndn: dc=y\r\ndc:   y z \r\n", "1 0 dc=x 0 dc=x@2\n"
                                                               "5 0 dc=y 0 dc=y z @6\n"},
    {"# goes\n  on\ndn: uid=a,\n dc=x\ncn: on\n e\nsn:\n", "3 0 uid=a,dc=x 0 cn=one@5 0 sn=@7\n"},
    {"dn:: ZGM9eA==\nmail;lang-de:: YQBi\n", "1 0 dc=x 0 mail;lang-de=a\\0b@2\n"},
    {"dn: dc=x\nchangetype: add\ndc: x\n\n", "1 1 dc=x 0 dc=x@3\n"},
    {"dn: dc=x\nchangetype: delete\n\ndn: dc=y\nchangetype: delete\ndc: y\n",
     "1 2 dc=x\n6! a deletion has nothing behind changetype\n"},
    {"dn: dc=x\ncontrol: 1.2.3 true\nchangetype: modify\nadd: mail\nmail: a\nMail: b\n-\n"
     "replace: cn\n-\ndelete: sn\nsn: c\n",
     "1 3 dc=x 1 mail 0 mail=a@5 0 mail=b@6 3 cn 2 sn 0 sn=c@11\n"},
    {"dn: dc=x\nchangetype: modify\nadd: mail\ncn: a\n\n",
     "4! a value of another attribute than the one that is changed\n"},
    {"dn: dc=x\nchangetype: modify\nincrement: n\n\n",
     "3! a modification begins with add, delete or replace and an attribute\n"},
    {"dn: dc=x\nchangetype: modify\n-\n\n", "3! \"-\" ends a modification, and there is none\n"},
    {"dn: uid=a,dc=x\nchangetype: modrdn\nnewrdn: uid=b\ndeleteoldrdn: 1\nnewsuperior: dc=y\n",
     "1 4 uid=a,dc=x -> uid=b 1 dc=y\n"},
    {"dn: uid=a,dc=x\nchangetype: moddn\nnewrdn: uid=b\ndeleteoldrdn: 0\n",
     "1 4 uid=a,dc=x -> uid=b 0 \n"},
    {"dn: dc=x\nchangetype: modrdn\ndeleteoldrdn: 1\n", "1! a rename needs newrdn\n"},
    {"dn: dc=x\nchangetype: rename\n", "2! changetype is add, delete, modify, modrdn or moddn\n"},
    {"dn: dc=x\nchangetype: modrdn\nnewrdn: dc=y\ndeleteoldrdn: 2\n",
     "4! a rename has newrdn, deleteoldrdn (0 or 1) and newsuperior alone\n"},
    {"cn: x\nsn: y\n\ndn: dc=z\n", "1! a record begins with dn\n4 0 dc=z\n"},
    {" x\n\ndn: dc=z\n", "1! a continuation of nothing\n3 0 dc=z\n"},
    {"dn: dc=x\njpegPhoto:< file:///etc/passwd\n\ndn: dc=z\n",
     "2! values given by URL are not read\n4 0 dc=z\n"},
    {"dn: dc=x\ncn:: a\n\n", "2! the value is no base64, or too large\n"},
    {"dn: dc=x\nno colon\n\n", "2! a line \"attribute: value\" is needed\n"},
    {"dn: dc=x\nc n: colon\n\n", "2! a line \"attribute: value\" is needed\n"},
    {"dn:: ZGM9AHg=\n\n", "1! a NUL byte in a DN\n"},
};

static void put_value(struct buf *out, const struct ldif_item *item)
{
    buf_append_byte(out, '=');
    for (size_t i = 0; i < item->value_len; i++) {
        if (item->value[i] == '\0')
            buf_append_str(out, "\\0");
        else
            buf_append_byte(out, (unsigned char)item->value[i]);
    }
    assert_int_equal(item->value[item->value_len], '\0');
    buf_printf(out, "@%zu", item->line);
}

static void take(struct ldif_parser *p, struct buf *out)
{
    struct ldif_record r;
    struct ldif_fault f;
    int rc = ldif_next(p, &r, &f);

    if (rc == -1)
        buf_printf(out, "%zu! %s\n", f.line, f.text);
    if (rc != 1)
        return;
    buf_printf(out, "%zu %d %s", r.line, r.change, r.dn);
    if (r.change == LDIF_MODRDN)
        buf_printf(out, " -> %s %d %s", r.new_rdn, r.delete_old_rdn,
                   r.new_superior != NULL ? r.new_superior : "");
    for (size_t i = 0; i < r.count; i++) {
        buf_printf(out, " %d %s", r.items[i].op, r.items[i].name);
        if (r.items[i].value != NULL)
            put_value(out, &r.items[i]);
    }
    buf_append_byte(out, '\n');
    assert_int_equal(ldif_next(p, &r, &f), 0);
}

static void read_all(const char *s, size_t len, size_t step, struct buf *out)
{
    struct ldif_parser p = {0};

    while (len > 0) {
        size_t n = ldif_push(&p, s, len < step ? len : step);
        assert_true(n > 0);
        s += n;
        len -= n;
        take(&p, out);
    }
    ldif_end(&p);
    take(&p, out);
    ldif_free(&p);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 1; step < 200; step += step < 4 ? 1 : 180) {
            struct buf out = {0};
            read_all(cases[i].ldif, strlen(cases[i].ldif), step, &out);
            assert_string_equal(buf_str(&out), cases[i].expected);
            buf_free(&out);
        }
    }
}

/* A record past the bound is a fault of its own, in one piece and in many. */
static void test_too_large(void **state)
{
    static const char head[] = "dn: dc=x\ncn: ", tail[] = "\n\ndn: dc=y\n";
    size_t big = LDIF_RECORD_MAX + 10;
    struct buf text = {.max = big + 100};

    (void)state;
    buf_append_str(&text, head);
    memset(buf_reserve(&text, big), 'a', big);
    buf_commit(&text, big);
    buf_append_str(&text, tail);
    for (size_t step = 100000; step <= big * 2; step *= 200) {
        struct buf out = {0};
        read_all((const char *)text.data, text.len, step, &out);
        assert_string_equal(buf_str(&out), "2! the record is too large\n4 0 dc=y\n");
        buf_free(&out);
    }
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
